"""Definitions of every shape, for property tests, and the documents that say the same."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from jupyter_model_service.core.affinity import Affinity
from jupyter_model_service.core.definition import Action, Definition, HealthCheck, Serving

PRINTABLE = st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("C", "Z"))
words = st.text(PRINTABLE, min_size=1, max_size=12)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
seconds = st.floats(min_value=0.001, max_value=86_400, allow_nan=False)
grace = st.floats(min_value=0, max_value=86_400, allow_nan=False)
refs = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda r: r not in ("port", "model_path"))


def actions() -> st.SearchStrategy[Action]:
    mode = st.from_regex(r"[0-7]{3}", fullmatch=True)
    args = {
        "run_command": {"command": st.tuples(words, texts).map(list), "echo": st.booleans()},
        "write_file": {
            "filename": words,
            "body": texts | st.lists(texts, max_size=3),
            "mode": mode,
            "append": st.booleans(),
        },
        "write_tempfile": {"body": texts, "mode": mode},
        "mkdir": {"path": words},
        "log": {"message": texts, "debug": st.booleans()},
    }
    return st.one_of(
        st.builds(
            Action,
            st.just(kind),
            st.fixed_dictionaries(keys),
            st.none() | refs if kind in ("run_command", "write_tempfile") else st.none(),
        )
        for kind, keys in args.items()
    )


def affinities() -> st.SearchStrategy[Affinity]:
    factor = st.floats(1, 100)
    names = st.sampled_from(["X-Session", "session_id", "a!b"])
    header = st.builds(Affinity, st.just("header"), names, st.none(), st.none() | factor)
    cookie = st.builds(Affinity, st.just("cookie"), st.none(), st.none(), st.none() | factor)
    return header | cookie | st.builds(Affinity, st.just("prefix"), st.none(), st.integers(1, 16_384), factor)


def definitions() -> st.SearchStrategy[Definition]:
    health_check = st.builds(
        HealthCheck,
        path=st.from_regex(r"/[a-z0-9/_.-]{0,12}", fullmatch=True),
        interval=seconds,
        max_retries=st.integers(1, 1000),
        max_wait_time=seconds,
        expected_status_code=st.integers(101, 599),
        initial_delay=seconds,
    )
    serving = st.builds(
        Serving,
        concurrency=st.none() | st.integers(1, 100_000),
        queue=st.integers(0, 100_000),
        queue_timeout=seconds,
        connect_timeout=seconds,
        first_byte_timeout=seconds,
        idle_timeout=seconds,
        drain_timeout=grace,
        stop_timeout=grace,
        retry=st.booleans(),
        replay_limit=st.integers(0, 64 << 20),
        affinity=st.none() | affinities(),
        body_limit=st.none() | st.integers(0, 1 << 40),
    )
    return st.builds(
        Definition,
        name=words,
        model_path=st.from_regex(r"(/[a-zA-Z0-9_-]{1,8}){1,3}", fullmatch=True),
        port=st.integers(2, 65_535).filter(lambda port: port not in (2000, 2001)),
        start_command=st.none() | words | st.tuples(words, texts),
        shell=st.sampled_from([None, "/bin/bash", "/bin/sh"]),
        pre_start_actions=st.lists(actions(), max_size=3, unique_by=lambda a: a.ref or id(a)).map(tuple),
        health_check=st.none() | health_check,
        serving=serving,
    ).filter(lambda d: d.shell is not None or not isinstance(d.start_command, str) or d.start_command.isalnum())


def document_of(definition: Definition) -> dict[str, Any]:
    command = definition.start_command
    service = {
        "pre_start_actions": [{"action": a.kind, "args": a.args, "ref": a.ref} for a in definition.pre_start_actions],
        "start_command": list(command) if isinstance(command, tuple) else command,
        "shell": definition.shell,
        "port": definition.port,
        "health_check": definition.health_check and dataclasses.asdict(definition.health_check),
        "serving": dataclasses.asdict(definition.serving),
    }
    return {"models": [{"name": definition.name, "model_path": definition.model_path, "service": service}]}
