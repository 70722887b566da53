"""What the parser takes, what it refuses, and what it says about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jupyter_model_service.core.definition import Action, Definition, HealthCheck, Serving, json_schema, parse
from jupyter_model_service.core.definition.keys import SERVING
from jupyter_model_service.errors import DefinitionError, Problem

COMMAND = ["uvicorn", "--app-dir", "/models", "chatbot-api:app", "--port", "8000", "--host", "0.0.0.0"]
ARTICLE: dict[str, Any] = {
    "models": [
        {
            "name": "KoAlpaca-5.8B-model",
            "model_path": "/models/KoAlpaca-5.8B",
            "service": {
                "pre_start_actions": [
                    {
                        "action": "run_command",
                        "args": {"command": ["pip3", "install", "-r", "/models/requirements.txt"]},
                    }
                ],
                "start_command": COMMAND,
                "port": 8000,
                "health_check": {"path": "/health", "max_retries": 10},
            },
        }
    ]
}


def service(**keys: Any) -> dict[str, Any]:
    """A right document with these keys of ``service`` (``...`` takes one away)."""
    block = {"port": 8000, **keys}
    return {"models": [{"name": "m", "service": {k: v for k, v in block.items() if v is not ...}}]}


def action(kind: str, ref: Any = None, **args: Any) -> dict[str, Any]:
    return service(pre_start_actions=[{"action": kind, "args": args, "ref": ref}])


def problems(document: Any, **rest: Any) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        parse(document, **rest)
    return list(caught.value.problems)


def problem(document: Any) -> str:
    """The one problem of a document, as ``where: message``."""
    (only,) = problems(document)
    assert only.severity == "error"
    return str(only)


def read(document: Any) -> Definition:
    definition, warnings = parse(document)
    assert warnings == ()
    return definition


# --- what is right -----------------------------------------------------------------------------------


def test_the_article_definition_is_read_with_the_defaults_of_backend_ai() -> None:
    assert read(ARTICLE) == Definition(
        name="KoAlpaca-5.8B-model",
        model_path="/models/KoAlpaca-5.8B",
        port=8000,
        start_command=tuple(COMMAND),
        shell="/bin/bash",
        pre_start_actions=(
            Action(
                "run_command", {"command": ["pip3", "install", "-r", "/models/requirements.txt"], "echo": False}, None
            ),
        ),
        health_check=HealthCheck("/health", 10.0, 10, 15.0, 200, 1800.0),
        serving=Serving(),
    )


def test_the_least_definition_has_a_name_and_a_port() -> None:
    definition = read(service())
    assert definition == Definition("m", "/models", 8000)
    assert (definition.start_command, definition.shell, definition.health_check) == (None, "/bin/bash", None)


def test_every_action_gets_its_defaults() -> None:
    definition = read(
        service(
            pre_start_actions=[
                {"action": "run_command", "args": {"command": ["ls"]}, "ref": "files"},
                {"action": "write_file", "args": {"filename": "/tmp/a", "body": ["x", ""]}},
                {"action": "write_tempfile", "args": {"body": "x\n"}, "ref": "script_1"},
                {"action": "mkdir", "args": {"path": "/tmp/d"}},
                {"action": "log", "args": {"message": ""}},
            ]
        )
    )
    assert definition.pre_start_actions == (
        Action("run_command", {"command": ["ls"], "echo": False}, "files"),
        Action("write_file", {"filename": "/tmp/a", "body": ["x", ""], "mode": "644", "append": False}),
        Action("write_tempfile", {"body": "x\n", "mode": "644"}, "script_1"),
        Action("mkdir", {"path": "/tmp/d"}),
        Action("log", {"message": "", "debug": False}),
    )


@pytest.mark.parametrize("mode", ["755", "0755", "0o755"])
def test_a_mode_may_be_spelled_in_every_way_that_octal_numbers_are(mode: str) -> None:
    assert read(action("write_tempfile", body="", mode=mode)).pre_start_actions[0].args["mode"] == "755"


def test_kebab_case_keys_mean_the_same() -> None:
    kebab = {
        "models": [
            {
                "name": "m",
                "model-path": "/models/x",
                "service": {
                    "pre-start-actions": [],
                    "start-command": ["a"],
                    "port": 8000,
                    "health-check": {"path": "/h", "expected-status-code": 204, "max-wait-time": 1},
                    "serving": {"queue-timeout": 3},
                },
            }
        ]
    }
    definition = read(kebab)
    assert definition.model_path == "/models/x"
    assert definition.start_command == ("a",)
    assert definition.health_check == HealthCheck("/h", expected_status_code=204, max_wait_time=1.0)
    assert definition.serving.queue_timeout == 3.0


@pytest.mark.parametrize("key", ["start_command", "start-command", "command"])
def test_the_start_command_has_its_legacy_names(key: str) -> None:
    assert read(service(**{key: "run me"})).start_command == "run me"


def test_a_list_is_arguments_and_a_text_stays_a_text() -> None:
    assert read(service(start_command=["a", "b c", '{"x": 1}'])).start_command == ("a", "b c", '{"x": 1}')
    assert read(service(start_command="a | b {port}")).start_command == "a | b {port}"


@pytest.mark.parametrize("shell", [None, ""])
def test_an_empty_shell_is_none_and_a_missing_one_is_bash(shell: str | None) -> None:
    assert read(service(start_command="a", shell=shell)).shell is None
    assert read(service(start_command="a")).shell == "/bin/bash"


@pytest.mark.parametrize(
    "block", [None, {}, {"enable": False}, {"enable": False, "interval": 3}, {"enable": False, "path": "/x"}]
)
def test_no_health_check_by_an_empty_or_disabled_block(block: Any) -> None:
    assert read(service(health_check=block)).health_check is None


def test_an_enabled_health_check_is_read_whole() -> None:
    block = {
        "enable": True,
        "path": "/ok?x=1",
        "interval": 0.5,
        "max_retries": 1,
        "max_wait_time": 2,
        "expected_status_code": 204,
        "initial_delay": 5,
    }
    assert read(service(health_check=block)).health_check == HealthCheck("/ok?x=1", 0.5, 1, 2.0, 204, 5.0)


def test_the_serving_block_is_read_whole() -> None:
    block = {
        "concurrency": 4,
        "queue": 0,
        "queue_timeout": 1,
        "connect_timeout": 2,
        "first_byte_timeout": 3,
        "idle_timeout": 4,
        "drain_timeout": 0,
        "stop_timeout": 6.5,
        "retry": False,
        "replay_limit": 0,
        "body_limit": 8,
    }
    assert read(service(serving=block)).serving == Serving(4, 0, 1.0, 2.0, 3.0, 4.0, 0.0, 6.5, False, 0, 8)
    assert read(service(serving={"body_limit": None})).serving == Serving()


def test_null_is_not_set() -> None:
    document = service(start_command=None, pre_start_actions=None, health_check=None, serving=None)
    document["models"][0] |= {"model_path": None, "metadata": None}
    assert read(document) == Definition("m", "/models", 8000)


def test_metadata_may_hold_anything() -> None:
    document = service()
    document["models"][0]["metadata"] = {"author": "a", "port": 1, "min_resource": {"mem": "1g"}, "label": ["x"]}
    assert read(document).name == "m"


def test_a_trailing_slash_of_the_model_path_is_dropped() -> None:
    document = service()
    document["models"][0]["model_path"] = "/models/x//"
    assert read(document).model_path == "/models/x"


def test_text_that_looks_like_a_number_keeps_its_spelling() -> None:
    base = ("models", 0, "service", "start_command")
    spelling = {(*base, 1): "1.10", (*base, 2): "0x1F", (*base, 3): "true"}
    definition, _ = parse(service(start_command=["a", 1.1, 31, True]), spelling=spelling)
    assert definition.start_command == ("a", "1.10", "0x1F", "true")


# --- what is wrong -----------------------------------------------------------------------------------

M = "models[0]"
S = f"{M}.service"
A = f"{S}.pre_start_actions[0]"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "the file is empty; it begins with `models:`, and below that `- name: …`"),
        ({}, "the file is empty; it begins with `models:`, and below that `- name: …`"),
        ([1], "the file must hold a mapping, not a list; it begins with `models:`, and below that `- name: …`"),
        ("x", 'the file must hold a mapping, not "x"; it begins with `models:`, and below that `- name: …`'),
        ({"models": []}, "models: is empty; a service runs exactly one model"),
        ({"models": {"name": "x"}}, "models: must be a list with one model, not a mapping; put `- ` before its first key"),
        ({"models": "x"}, 'models: must be a list with one model, not "x"'),
        ({"models": None}, "models: is missing. The model to serve: a list with exactly one entry."),
        ({"models": ["x"]}, f"{M}: must be a mapping with the keys name, model_path, service or metadata"),
        ({"models": [{"name": "x"}]}, f"{M}.service: is missing. How the model is served."),
        (
            {"models": [{"name": "x", "service": []}]},
            f"{S}: must be a mapping with the keys pre_start_actions, start_command, shell, port, health_check or serving",
        ),
        (
            {"models": [{"name": "x", "service": {"port": 80}, "metadata": "x"}]},
            f'{M}.metadata: must be a mapping, not "x"',
        ),
        (
            service(port=...),
            f"{S}.port: is missing. The port on which the model server listens. 2000 and 2001 are reserved.",
        ),
        (service(port=0), f"{S}.port: must be a whole number of at least 2 and at most 65535, not 0"),
        (service(port=70000), f"{S}.port: must be a whole number of at least 2 and at most 65535, not 70000"),
        (
            service(port=2000),
            f"{S}.port: 2000 is reserved, as 2000 and 2001 are by Backend.AI; choose another such as 8000",
        ),
        (
            service(port=2001),
            f"{S}.port: 2001 is reserved, as 2000 and 2001 are by Backend.AI; choose another such as 8000",
        ),
        (
            service(port="8000"),
            f'{S}.port: must be a whole number of at least 2 and at most 65535, not "8000"; write 8000 without quotes',
        ),
        (service(port=True), f"{S}.port: must be a whole number of at least 2 and at most 65535, not true"),
        (service(port=80.5), f"{S}.port: must be a whole number of at least 2 and at most 65535, not 80.5"),
        (service(start_command=[]), f"{S}.start_command: is empty; its first entry is the program to run"),
        (service(start_command=[""]), f"{S}.start_command: is empty; its first entry is the program to run"),
        (
            service(start_command=" "),
            f"{S}.start_command: is empty; write the command, or take the key away to run the image's own",
        ),
        (
            service(start_command={"a": 1}),
            f"{S}.start_command: must be a list of arguments, or text for the shell, not a mapping",
        ),
        (service(start_command=["a", None]), f"{S}.start_command[1]: must be text, not nothing"),
        (service(start_command=["a", 8000]), f'{S}.start_command[1]: must be text, not 8000; write it in quotes: "8000"'),
        (
            service(start_command=["a\0"]),
            f"{S}.start_command[0]: holds a NUL character, which no program can be given; take it out",
        ),
        (
            service(start_command="echo 'x", shell=""),
            f"{S}.start_command: cannot be split into arguments (no closing quotation); close the quotation",
        ),
        (service(start_command="'' x", shell=None), f"{S}.start_command: is empty; its first entry is the program to run"),
        (service(shell="bash -e"), f'{S}.shell: must be one program without arguments such as /bin/sh, not "bash -e"'),
        (service(shell=False), f"{S}.shell: must name a program such as /bin/sh; write null to run without a shell"),
        (service(shell=["sh"]), f"{S}.shell: must be text, not a list"),
        (service(pre_start_actions="x"), f'{S}.pre_start_actions: must be a list of actions, not "x"'),
        (
            service(pre_start_actions={"action": "log"}),
            f"{S}.pre_start_actions: must be a list of actions, not a mapping; put `- ` before `action`",
        ),
        (service(pre_start_actions=["ls"]), f"{A}: must be a mapping with the keys action, args or ref"),
        (service(pre_start_actions=[{"args": {}}]), f"{A}.action: is missing. What to do: one of the actions below."),
        (service(pre_start_actions=[{"action": "log"}]), f"{A}.args: is missing. The arguments of the action."),
        (service(pre_start_actions=[{"action": "log", "args": []}]), f"{A}.args: must be a mapping with the keys message or debug"),
        (action("run_comand", command=["a"]), f'{A}.action: "run_comand" is not a known action; did you mean run_command?'),
        (
            action("sleep"),
            f'{A}.action: "sleep" is not a known action; there are run_command, write_file, write_tempfile, mkdir or log',
        ),
        (service(pre_start_actions=[{"action": 3, "args": {}}]), f"{A}.action: 3 is not a known action; there are run_command, write_file, write_tempfile, mkdir or log"),
        (
            action("run_command", command="pip3 install 'x y'"),
            f"{A}.args.command: must be a list of arguments, not \"pip3 install 'x y'\"; "
            'write ["pip3", "install", "x y"]',
        ),
        (
            action("run_command", command="it's"),
            f'{A}.args.command: must be a list of arguments, not "it\'s"; write ["pip3", "install", "emoji"]',
        ),
        (action("run_command", command=[]), f"{A}.args.command: is empty; its first entry is the program to run"),
        (action("run_command", command=["a", {}]), f"{A}.args.command[1]: must be text, not a mapping"),
        (action("mkdir", path=""), f"{A}.args.path: is empty; fill it in or take the key away"),
        (action("mkdir"), f"{A}.args.path: is missing. The directory to make, with its parents; one that exists is fine."),
        (action("write_file", filename="a", body=3), f'{A}.args.body: must be a list of lines, or text, not 3; write it in quotes: "3"'),
        (action("write_file", filename="a", body=[], mode="u+x"), f'{A}.args.mode: must be three octal digits such as "644", not "u+x"'),
        (action("write_file", filename="a", body=[], mode={}), f"{A}.args.mode: must be text, not a mapping"),
        (action("write_file", filename="a", body=[], append="no"), f'{A}.args.append: must be true or false, not "no"'),
        (action("run_command", "a-b", command=["a"]), f'{A}.ref: must be a name of at most 64 letters, digits and _, not "a-b"'),
        (action("run_command", "port", command=["a"]), f'{A}.ref: "port" already has a meaning in {{port}}; choose another'),
        (action("run_command", ["x"], command=["a"]), f"{A}.ref: must be text, not a list"),
        (service(health_check={"interval": 3}), f"{S}.health_check.path: is missing. Asked for with GET, directly at the model server."),
        (service(health_check="/health"), f"{S}.health_check: must be a mapping with the keys enable, path, interval, max_retries, max_wait_time, expected_status_code or initial_delay"),
        (service(health_check={"path": "health"}), f'{S}.health_check.path: must be a path that begins with / and has only URL characters, not "health"; write "/health"'),
        (service(health_check={"path": "http://x/y"}), f'{S}.health_check.path: must be a path that begins with / and has only URL characters, not "http://x/y"; write it like "/health"'),
        (service(health_check={"path": "/a b"}), f'{S}.health_check.path: must be a path that begins with / and has only URL characters, not "/a b"; write it like "/health"'),
        (service(health_check={"path": 3}), f'{S}.health_check.path: must be text, not 3; write it in quotes: "3"'),
        (service(health_check={"path": "/", "enable": "yes"}), f'{S}.health_check.enable: must be true or false, not "yes"'),
        (service(health_check={"path": "/", "interval": 0}), f"{S}.health_check.interval: must be a number above 0 and at most 86400, not 0"),
        (service(health_check={"path": "/", "interval": float("nan")}), f"{S}.health_check.interval: must be a number above 0 and at most 86400, not nan"),
        (service(health_check={"path": "/", "max_retries": 0}), f"{S}.health_check.max_retries: must be a whole number of at least 1 and at most 1000, not 0"),
        (service(health_check={"path": "/", "max_wait_time": -1}), f"{S}.health_check.max_wait_time: must be a number above 0 and at most 86400, not -1"),
        (service(health_check={"path": "/", "expected_status_code": 100}), f"{S}.health_check.expected_status_code: must be a whole number of at least 101 and at most 599, not 100"),
        (service(health_check={"path": "/", "initial_delay": -1}), f"{S}.health_check.initial_delay: must be a number of at least 0 and at most 604800, not -1"),
        (service(serving=[]), f"{S}.serving: must be a mapping with the keys concurrency, queue, queue_timeout, connect_timeout, first_byte_timeout, idle_timeout, drain_timeout, stop_timeout, retry, replay_limit, body_limit, affinity or autoscaling"),
        (service(serving={"concurrency": 0}), f"{S}.serving.concurrency: must be a whole number of at least 1 and at most 100000, not 0"),
        (service(serving={"queue": -1}), f"{S}.serving.queue: must be a whole number of at least 0 and at most 100000, not -1"),
        (service(serving={"replay_limit": 1 << 40}), f"{S}.serving.replay_limit: must be a whole number of at least 0 and at most 67108864, not 1099511627776"),
        (service(serving={"body_limit": -1}), f"{S}.serving.body_limit: must be a whole number of at least 0 and at most 1099511627776, not -1"),
        (service(serving={"body_limit": "1 MB"}), f"{S}.serving.body_limit: must be a whole number of at least 0 and at most 1099511627776 (bytes), not \"1 MB\""),
        (service(serving={"retry": 1}), f"{S}.serving.retry: must be true or false, not 1"),
    ],
)  # fmt: skip
def test_one_sentence_says_what_is_wrong_where_and_what_would_be_right(document: Any, told: str) -> None:
    assert problem(document) == told


@pytest.mark.parametrize("timeout", ["queue_timeout", "connect_timeout", "first_byte_timeout", "idle_timeout"])
def test_a_time_limit_is_above_zero_and_at_most_a_day(timeout: str) -> None:
    for wrong in (0, -1, 86_401, float("inf")):
        assert f".{timeout}: must be a number above 0 and at most 86400" in problem(service(serving={timeout: wrong}))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "is empty; fill it in or take the key away"),
        (" x", "must be one line of printable text with no space around it"),
        ("a\nb", "must be one line of printable text with no space around it"),
        ("x" * 256, "must be at most 255 characters long, not 256"),
        (["x"], "must be text, not a list"),
        (None, "is missing. The model's name; anything. "),
    ],
)
def test_a_model_needs_a_readable_name(name: Any, told: str) -> None:
    document = service()
    document["models"][0]["name"] = name
    assert problem(document).startswith(f"models[0].name: {told}")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("KoAlpaca", 'must be an absolute path, and the model folder is at /models: "/models/KoAlpaca"'),
        ("./models/a", 'must be an absolute path, and the model folder is at /models: "/models/a"'),
        ("/models/../etc", "must not have .. in it; write the path without"),
        ("", "is empty; fill it in or take the key away"),
    ],
)
def test_a_model_path_is_absolute_and_stays_where_it_says(path: str, told: str) -> None:
    document = service()
    document["models"][0]["model_path"] = path
    assert problem(document) == f"models[0].model_path: {told}"


def test_several_models_are_refused_and_each_is_still_checked() -> None:
    document = {"models": [service()["models"][0], service(port=1)["models"][0]]}
    first, second = problems(document)
    assert str(first) == (
        "models: has 2 models, but a service runs exactly one; keep one here and give each of the others a folder of "
        "its own"
    )
    assert second.where == "models[1].service.port"


def test_a_ref_is_used_once() -> None:
    step = {"action": "run_command", "args": {"command": ["a"]}, "ref": "x"}
    assert problem(service(pre_start_actions=[step, step])) == (
        f'{S}.pre_start_actions[1].ref: "x" is already the ref of action 1; choose another'
    )


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    document = {
        "models": [
            {
                "service": {"port": 0, "health_check": {"interval": -1}, "note": 1},
                "model_path": "x",
            }
        ]
    }
    base = ("models", 0)
    lines = {
        (): 1,
        base: 2,
        (*base, "service"): 3,
        (*base, "service", "port"): 4,
        (*base, "service", "health_check"): 5,
        (*base, "service", "health_check", "interval"): 6,
        (*base, "service", "note"): 7,
        (*base, "model_path"): 8,
    }
    found = [(p.line, p.where, p.severity) for p in problems(document, lines=lines)]
    assert found == [
        (2, "models[0].name", "error"),
        (4, f"{S}.port", "error"),
        (5, f"{S}.health_check.path", "error"),
        (6, f"{S}.health_check.interval", "error"),
        (7, f"{S}.note", "warning"),
        (8, "models[0].model_path", "error"),
    ]


# --- unknown keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("helth_check", "health_check"),
        ("healthcheck", "health_check"),
        ("healthCheck", "health_check"),
        ("HEALTH-CHECK", "health_check"),
        ("start_comand", "start_command"),
        ("start", "pre_start_actions or start_command"),
        ("prestart_actions", "pre_start_actions"),
        ("ports", "port"),
    ],
)
def test_a_likely_typo_is_an_error_that_names_the_key_that_was_meant(typo: str, meant: str) -> None:
    assert problem(service(**{typo: 1})) == f"{S}.{typo}: is not a known key; did you mean {meant}?"


@pytest.mark.parametrize(("typo", "meant"), [("retries", "max_retries"), ("status_code", "expected_status_code")])
def test_a_part_of_a_name_is_a_likely_typo_too(typo: str, meant: str) -> None:
    document = service(health_check={"path": "/", typo: 3})
    assert problem(document) == f"{S}.health_check.{typo}: is not a known key; did you mean {meant}?"


@pytest.mark.parametrize(
    ("typo", "told"),
    [
        ("retries", "is not a known key; did you mean retry?"),
        ("concurency", "is not a known key; did you mean concurrency?"),
        ("time_limit", "is not a known key; did you mean replay_limit?"),
        ("max_retries", "is not a known key; did you mean retry?"),
        ("note", "is not known; known here: affinity, autoscaling, body_limit, concurrency, connect_timeout, drain_timeout, first_byte_timeout, idle_timeout, queue, queue_timeout, replay_limit, retry or stop_timeout"),
    ],
)  # fmt: skip
def test_what_is_ours_alone_has_no_unknown_keys(typo: str, told: str) -> None:
    """`retries: false` in `serving` was a warning once, and calls were repeated all the same."""
    document = service(serving={typo: False})
    assert problem(document) == f"{S}.serving.{typo}: {told}"
    assert not Draft202012Validator(json_schema()).is_valid(document)


@pytest.mark.parametrize("place", ["serving", "affinity", "autoscaling", "schedules"])
def test_so_it_is_in_all_of_its_blocks(place: str) -> None:
    autoscaling = {"min": 0, "max": 4, "schedules": [{"when": "Mon 08:00-09:00", "max": 2}]}
    serving: dict[str, Any] = {"affinity": {"by": "cookie"}, "autoscaling": autoscaling}
    blocks = {**serving, "serving": serving, "schedules": autoscaling["schedules"][0]}
    assert parse(service(serving=serving))[1] == ()
    blocks[place]["zzz"] = 1
    assert "zzz: is not known; known here:" in problem(service(serving=serving))
    assert not Draft202012Validator(json_schema()).is_valid(service(serving=serving))


@pytest.mark.parametrize("key", [key.name for key in SERVING if key.form == "seconds"])
def test_times_in_serving_may_have_a_unit(key: str) -> None:
    document = service(serving={key: "90s"})
    assert getattr(parse(document)[0].serving, key) == 90
    assert Draft202012Validator(json_schema()).is_valid(document)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"serving": {"first_byte_timeout": "soon"}}, 'serving.first_byte_timeout: must be seconds, a number above 0 and at most 86400, or a time such as 90s or 15m, not "soon"'),
        ({"serving": {"body_limit": "1m"}}, 'serving.body_limit: must be a whole number of at least 0 and at most 1099511627776 (bytes), not "1m"'),
        ({"health_check": {"path": "/", "interval": "5s"}}, 'health_check.interval: must be a number above 0 and at most 86400 (seconds), not "5s"'),
    ],
)  # fmt: skip
def test_whoever_writes_a_unit_is_told_which_it_is(block: dict[str, Any], told: str) -> None:
    assert problem(service(**block)) == f"{S}.{told}"


def test_any_other_unknown_key_is_a_warning_and_never_dropped_in_silence() -> None:
    definition, warnings = parse({**service(note="x", environ={}), "version": 1})
    assert definition == Definition("m", "/models", 8000)
    assert [(w.where, w.severity) for w in warnings] == [
        ("version", "warning"),
        (f"{S}.note", "warning"),
        (f"{S}.environ", "warning"),
    ]
    assert warnings[0].message == "is not a known key and has no effect; known here: models"


@pytest.mark.parametrize(
    ("document", "where", "home"),
    [
        ({**service(), "port": 8000}, "port", "models[].service"),
        ({"models": [{**service()["models"][0], "port": 1}]}, f"{M}.port", "models[].service"),
        ({"models": [{**service()["models"][0], "models": 1}]}, f"{M}.models", "the top level of the file"),
        (service(model_path="/models"), f"{S}.model_path", "models[]"),
        (service(interval=3), f"{S}.interval", "models[].service.health_check"),
        (service(queue=3), f"{S}.queue", "models[].service.serving"),
        (
            service(pre_start_actions=[{"action": "mkdir", "args": {"path": "/x"}, "path": "/y"}]),
            f"{A}.path",
            "args",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_sent_to_its_own(document: Any, where: str, home: str) -> None:
    told = f"{where}: belongs in {home}; move it there (the indentation tells what it belongs to)"
    assert problem(document) == told


def test_one_key_in_two_spellings_is_refused() -> None:
    assert problem(service(start_command=["a"], command="b")) == (
        f"{S}.command: says the same as start_command, which is there too; keep one of them"
    )


def test_a_strange_key_is_quoted_and_cut() -> None:
    _, warnings = parse({**service(), "a b\n": 1, "x" * 1000: 2})
    assert [w.where for w in warnings] == ['"a b\\n"', f'"{"x" * 57}..."']


# --- warnings ----------------------------------------------------------------------------------------


def warning(document: Any) -> str:
    _, (only,) = parse(document)
    assert only.severity == "warning"
    return str(only)


def test_a_ref_without_a_result_is_pointed_out_and_not_kept() -> None:
    document = action("mkdir", "x", path="/tmp/x")
    assert warning(document) == f"{A}.ref: has no effect: mkdir has no result, only run_command or write_tempfile have"
    assert parse(document)[0].pre_start_actions[0].ref is None


def test_texts_of_a_temporary_file_are_joined_as_in_backend_ai_and_surprises_pointed_out() -> None:
    whole = action("write_tempfile", body=["a\n", "b"])
    assert read(whole).pre_start_actions[0].args["body"] == "a\nb"
    broken = action("write_tempfile", body=["a", "b"])
    assert warning(broken).startswith(f"{A}.args.body: is written as one line")
    assert parse(broken)[0].pre_start_actions[0].args["body"] == "ab"


def test_a_grace_of_zero_is_pointed_out() -> None:
    assert "leaves the model server no time" in warning(service(health_check={"path": "/", "initial_delay": 0}))


# --- anything at all ---------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
words = st.sampled_from(
    ["models", "name", "service", "port", "health_check", "path", "args", "action", "log", "serving", "start-command"]
)
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4),
    max_leaves=25,
)


@given(anything | st.builds(lambda x: service(**x) if isinstance(x, dict) else x, anything))
def test_any_document_is_a_definition_or_a_list_of_problems_and_nothing_else(document: Any) -> None:
    try:
        definition, found = parse(document)
    except DefinitionError as error:
        definition, found = None, error.problems
    assert (definition is None) == any(p.severity == "error" for p in found)
    assert not any("\n" in str(p) for p in found)
