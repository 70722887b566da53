"""Every key of ``model-definition.yaml`` in one table: its form, range, default and meaning.

The parser, the JSON Schema and the reference in ``docs/`` all read this table, so they cannot drift apart.
Names, forms and defaults are Backend.AI's, except for the ``serving`` block, which is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..affinity import BOUND, BY, CHARACTERS
from ..document import Key, Section, default_of
from ..scaling.keys import AUTOSCALING, BACKEND_AI_RULE, RULE, SCHEDULE
from .model import Definition, HealthCheck, Serving

DAY = 86_400  # seconds; no time limit is longer

RESERVED_PORTS = (2000, 2001)  # taken inside every Backend.AI container


TOP = (Key("models", "list", "The model to serve: a list with exactly one entry.", required=True),)

MODEL = (
    Key(
        "name",
        "line",
        "The model's name; anything. A service's default name is made from it.",
        required=True,
        most=255,
    ),
    Key(
        "model_path",
        "folder",
        "Where the weights are, as the model server sees it: the model folder is always at `/models`. It is the "
        "working directory of the actions and the server, which also finds it in `BACKEND_MODEL_PATH`.",
        default="/models",
    ),
    Key("service", "section", "How the model is served.", required=True),
    Key("metadata", "anything", "Author, title, licence and the like. Accepted as it is; has no effect on serving."),
)

SERVICE = (
    Key("pre_start_actions", "list", "What to do, in order, before the model server starts.", default=[]),
    Key(
        "start_command",
        "command",
        "Starts the model server. A list is the arguments as they stand; a text is run by `shell`. Left out: the "
        "image's own command. `{port}` and `{model_path}` are replaced; all other braces stay.",
        legacy=("command",),
    ),
    Key(
        "shell",
        "shell",
        "The program that runs a `start_command` given as text, as `[shell, -c, text]`. `null` or an empty text: "
        "no shell, the text is split into arguments as a POSIX shell would.",
        default=default_of(Definition, "shell"),
    ),
    Key(
        "port",
        "whole",
        "The port on which the model server listens. 2000 and 2001 are reserved.",
        required=True,
        least=2,
        most=65535,
    ),
    Key("health_check", "section", "How to see that the model server is well. Left out or empty: ready when its "
        "port accepts connections."),
    Key("serving", "section", "How calls reach the replicas (ours, not Backend.AI's). Everything in it is optional."),
)  # fmt: skip

ACTION = (
    Key("action", "kind", "What to do: one of the actions below.", required=True),
    Key("args", "section", "The arguments of the action.", required=True),
    Key(
        "ref",
        "ref",
        "A name for the result (the output of a `run_command`, the path of a `write_tempfile`); later actions and "
        "the start command use it as `{name}` or `${{ name }}`.",
    ),
)

ACTIONS: Mapping[str, tuple[Key, ...]] = {
    "run_command": (
        Key("command", "arguments", "The program and its arguments; no shell is involved.", required=True),
        Key("echo", "flag", "Write the command and its output to the log.", default=False),
    ),
    "write_file": (
        Key("filename", "text", "The file to write.", required=True),
        Key(
            "body",
            "lines",
            "A list of lines, each of which gets a line break at its end; or one text, written as it is.",
            required=True,
        ),
        Key("mode", "mode", "Permission bits, octal.", default="644"),
        Key("append", "flag", "Keep what is in the file and write at its end.", default=False),
    ),
    "write_tempfile": (
        Key(
            "body",
            "lines",
            "One text, or a list of texts. They are written as they are, one after another: no line break is added.",
            required=True,
        ),
        Key("mode", "mode", "Permission bits, octal.", default="644"),
    ),
    "mkdir": (Key("path", "text", "The directory to make, with its parents; one that exists is fine.", required=True),),
    "log": (
        Key("message", "text", "What to write to the replica's log.", required=True),
        Key("debug", "flag", "Mark the line as being for debugging.", default=False),
    ),
}

ACTION_MEANING: Mapping[str, str] = {
    "run_command": "Runs a command and waits for it. A command that fails fails the start.",
    "write_file": "Writes a file.",
    "write_tempfile": "Writes a new temporary file; its path is the result.",
    "mkdir": "Makes a directory.",
    "log": "Writes a line to the replica's log.",
}

WITH_RESULT = ("run_command", "write_tempfile")


def _health(name: str, form: str, meaning: str, **rest: Any) -> Key:
    return Key(name, form, meaning, default=default_of(HealthCheck, name), **rest)


HEALTH_CHECK = (
    Key("enable", "flag", "`false`: no health check, whatever else the block says.", default=True),
    _health("path", "url_path", "Asked for with GET, directly at the model server.", required=True, most=2048),
    _health("interval", "number", "Seconds from one check to the next.", above=0, most=DAY, unit="seconds"),
    _health("max_retries", "whole", "So many failed checks in a row, and the replica is replaced.", least=1, most=1000),
    _health("max_wait_time", "number", "Seconds that one check may take.", above=0, most=DAY, unit="seconds"),
    _health("expected_status_code", "whole", "The status of a passed check, exactly.", least=101, most=599),
    _health(
        "initial_delay",
        "number",
        "Seconds until the first check must have passed, counted from the end of the pre-start actions. Checks begin "
        "at once, and a server that exits fails at once, whatever this says.",
        least=0,
        most=7 * DAY,
        unit="seconds",
    ),
)


def _serving(name: str, form: str, meaning: str, **rest: Any) -> Key:
    return Key(name, form, meaning, default=default_of(Serving, name), **rest)


SERVING = (
    _serving("concurrency", "whole", "Calls at once per replica. `null`: no limit.", least=1, most=100_000),
    _serving("queue", "whole", "Callers that may wait for a free replica of this service.", least=0, most=100_000),
    _serving("queue_timeout", "seconds", "Seconds that such a caller waits at most.", above=0, most=DAY),
    _serving("connect_timeout", "seconds", "Seconds for connecting to a replica.", above=0, most=DAY),
    _serving("first_byte_timeout", "seconds", "Seconds until a replica begins to answer.", above=0, most=DAY),
    _serving("idle_timeout", "seconds", "Seconds between two bytes of an answer that began.", above=0, most=DAY),
    _serving(
        "drain_timeout",
        "seconds",
        "Seconds that open calls may go on when their replica leaves, unless it fails its health checks. Then they are "
        "broken off, and the replica gets SIGTERM.",
        least=0,
        most=DAY,
    ),
    _serving("stop_timeout", "seconds", "Seconds between SIGTERM and SIGKILL.", least=0, most=DAY),
    _serving(
        "retry",
        "flag",
        "Whether a call whose replica died before anything of its answer was sent goes to another one. `false`: only "
        "if it is GET, HEAD, OPTIONS, PUT or DELETE. A call that came to no replica is sent again in any case.",
        slips=("max_retries",),
    ),
    _serving(
        "replay_limit",
        "whole",
        "Bytes of a call's body that are kept so that the call can be sent again.",
        least=0,
        most=64 << 20,
        unit="bytes",
    ),
    _serving(
        "body_limit",
        "whole",
        "Bytes that a call's body may have; a longer one gets 413. `null`: no limit.",
        least=0,
        most=1 << 40,
        unit="bytes",
    ),
    _serving(
        "affinity",
        "section",
        "Which replica a call goes to if it can: that of its session, or of the beginning of its prompt. Left out: the "
        "least busy one.",
    ),
    _serving(
        "autoscaling",
        "section",
        "How many replicas there are, by calls, rules and the time of day. Taken when a service is created, and by an "
        "update if it differs from what the revision before said. Left out: as many as `scale` says.",
    ),
)


AFFINITY = (
    Key(
        "by",
        "choice",
        "What calls have in common that go to the same replica: a `header`, a `cookie` of ours, or the `prefix` of a "
        "prompt.",
        required=True,
        choices=BY,
    ),
    Key(
        "name",
        "line",
        "Of `header`, and needed there: the name of the header. A call without it goes to the least busy replica.",
        most=100,
    ),
    Key(
        "characters",
        "whole",
        f"Of `prefix`: so many characters of the prompt count. Left out: {CHARACTERS}.",
        least=1,
        most=16_384,
    ),
    Key(
        "bound",
        "number",
        "A replica is given no more calls at once than so many times the mean; the others go to the next one. Left "
        f"out: {BOUND:g} for `prefix`, and no bound for `header` and `cookie`.",
        least=1,
        most=100,
    ),
)

_PLACE_SERVICE = "models[].service"
_PLACE_ACTION = f"{_PLACE_SERVICE}.pre_start_actions[]"
_PLACE_HEALTH = f"{_PLACE_SERVICE}.health_check"
_PLACE_SERVING = f"{_PLACE_SERVICE}.serving"
PLACE_AFFINITY = f"{_PLACE_SERVING}.affinity"
PLACE_AUTOSCALING = f"{_PLACE_SERVING}.autoscaling"
_PLACE_RULES = f"{PLACE_AUTOSCALING}.rules[]"
_PLACE_SCHEDULES = f"{PLACE_AUTOSCALING}.schedules[]"

SECTIONS: Mapping[str, Section] = {
    s.place: s
    for s in (
        Section("", TOP, ("models[]", _PLACE_SERVICE, _PLACE_ACTION, _PLACE_HEALTH, _PLACE_SERVING)),
        Section("models[]", MODEL, (_PLACE_SERVICE, "", _PLACE_HEALTH, _PLACE_SERVING)),
        Section(_PLACE_SERVICE, SERVICE, ("models[]", _PLACE_ACTION, _PLACE_HEALTH, _PLACE_SERVING)),
        Section(_PLACE_ACTION, ACTION, (_PLACE_SERVICE,)),
        Section(_PLACE_HEALTH, HEALTH_CHECK, (_PLACE_SERVICE,)),
        Section(_PLACE_SERVING, SERVING, (_PLACE_SERVICE, PLACE_AFFINITY, PLACE_AUTOSCALING), ours=True),
        Section(PLACE_AFFINITY, AFFINITY, (_PLACE_SERVING,), ours=True),
        Section(PLACE_AUTOSCALING, AUTOSCALING, (_PLACE_SERVING, _PLACE_RULES, _PLACE_SCHEDULES), ours=True),
        Section(_PLACE_RULES, (*RULE, *BACKEND_AI_RULE), (PLACE_AUTOSCALING, _PLACE_SCHEDULES)),
        Section(_PLACE_SCHEDULES, SCHEDULE, (PLACE_AUTOSCALING, _PLACE_RULES), ours=True),
    )
}
