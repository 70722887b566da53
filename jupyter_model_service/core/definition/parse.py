"""From a document (plain data, whatever it was read from) to a ``Definition``, or to all of its problems."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ...errors import DefinitionError, Problem
from ..admission import is_of_probes
from ..affinity import BOUND, CHARACTERS, NAME_PATTERN, Affinity, is_passed_on
from ..document import WRONG, Key, Reader, Wrong
from ..scaling.policy import Autoscaling
from ..scaling.reading import read_autoscaling
from ..spelling import Path, alternatives, near, shown
from .keys import (
    ACTION,
    ACTIONS,
    AFFINITY,
    HEALTH_CHECK,
    MODEL,
    PLACE_AFFINITY,
    PLACE_AUTOSCALING,
    RESERVED_PORTS,
    SECTIONS,
    SERVICE,
    SERVING,
    TOP,
    WITH_RESULT,
)
from .model import Action, Definition, HealthCheck, Serving

_FORM = "it begins with `models:`, and below that `- name: …`"

Found = Mapping[str, tuple[Any, Path]]


def parse(
    document: Any, lines: Mapping[Path, int] | None = None, spelling: Mapping[Path, str] | None = None
) -> tuple[Definition, tuple[Problem, ...]]:
    """The definition in ``document``, and warnings (unknown keys and the like).

    ``lines`` maps paths in the document (``("models", 0, "service", "port")``) to 1-based lines; ``spelling`` maps
    paths of numbers and booleans to what was written, so that ``1.10`` can serve as text.
    Raises ``DefinitionError`` with every problem and warning, in the order of the file.
    """
    reader = Reader(lines, spelling, SECTIONS)
    definition = _document(reader, document)
    # Problems without a line (of a document that was no file) keep the order in which they were found.
    problems = tuple(sorted(reader.problems, key=lambda p: p.line or 0))
    if reader.failed or definition is None:
        raise DefinitionError(problems)
    return definition, problems


def _document(reader: Reader, document: Any) -> Definition | None:
    if document is None or document == {}:
        reader.error((), f"the file is empty; {_FORM}")
        return None
    if not isinstance(document, Mapping):
        reader.error((), f"the file must hold a mapping, not {shown(document)}; {_FORM}")
        return None
    top = reader.mapping(document, (), TOP, "")
    if not top or "models" not in top:
        return None
    models, path = top["models"]
    if not isinstance(models, list):
        hint = "; put `- ` before its first key" if isinstance(models, Mapping) else ""
        reader.error(path, f"must be a list with one model, not {shown(models)}{hint}")
        return None
    if not models:
        reader.error(path, "is empty; a service runs exactly one model")
        return None
    if len(models) > 1:
        reader.error(
            path,
            f"has {len(models)} models, but a service runs exactly one; keep one here and give each "
            "of the others a folder of its own",
        )
    read = [_model(reader, model, (*path, n)) for n, model in enumerate(models)]
    return read[0]


def _values(reader: Reader, found: Found, keys: tuple[Key, ...]) -> dict[str, Any]:
    """What was read of ``keys``: only those that are set and right."""
    values = {key.name: reader.read(key, *found[key.name]) for key in keys if key.name in found}
    return {name: value for name, value in values.items() if value is not WRONG}


def _model(reader: Reader, value: Any, path: Path) -> Definition | None:
    found = reader.mapping(value, path, MODEL, "models[]")
    if found is None:
        return None
    values = _values(reader, found, tuple(k for k in MODEL if k.name in ("name", "model_path")))
    if "metadata" in found and not isinstance(found["metadata"][0], Mapping):
        reader.error(found["metadata"][1], f"must be a mapping, not {shown(found['metadata'][0])}")
    if "service" not in found:
        return None
    service = reader.mapping(*found["service"], SERVICE, "models[].service")
    if service is None:
        return None
    values.update(_service(reader, service))
    if reader.failed:
        return None
    values.setdefault("model_path", "/models")
    return Definition(**values)


def _service(reader: Reader, found: Found) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "pre_start_actions" in found:
        values["pre_start_actions"] = _actions(reader, *found["pre_start_actions"])
    if "shell" in found:
        values["shell"] = _shell(reader, *found["shell"])
    if "start_command" in found:
        values["start_command"] = _start_command(reader, *found["start_command"], split=values.get("shell", "") is None)
    if "port" in found:
        values["port"] = _port(reader, *found["port"])
    if "health_check" in found:
        values["health_check"] = _health_check(reader, *found["health_check"])
    if "serving" in found:
        values["serving"] = _serving(reader, *found["serving"])
        _warn_of_looks(reader, found, values)
    return values


def _warn_of_looks(reader: Reader, found: Found, values: Mapping[str, Any]) -> None:
    """Calls on the health path wake nothing: where that is ``/v1/models``, it answers nobody who finds it asleep."""
    check, serving = values.get("health_check"), values["serving"]
    policy = serving.autoscaling if isinstance(serving, Serving) else None
    if not isinstance(check, HealthCheck) or not isinstance(policy, Autoscaling) or is_of_probes(str(check.path)):
        return
    if policy.may_sleep:
        reader.warning(
            (*found["health_check"][1], "path"),
            f"is {check.path}, and GET on the health path is no call: while the service sleeps (autoscaling with min "
            "0), it wakes nothing there and gets 503, unless a browser opens a page; a path that is for probes alone, "
            "such as /health, keeps nobody from calling",
        )


def _port(reader: Reader, value: Any, path: Path) -> int | Wrong:
    port: int | Wrong = reader.read(next(k for k in SERVICE if k.name == "port"), value, path)
    if port in RESERVED_PORTS:
        taken = " and ".join(map(str, RESERVED_PORTS))
        return reader.error(path, f"{port} is reserved, as {taken} are by Backend.AI; choose another such as 8000")
    return port


def _shell(reader: Reader, value: Any, path: Path) -> str | Wrong | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return reader.error(path, "must name a program such as /bin/sh; write null to run without a shell")
    text = reader.text(value, path)
    if isinstance(text, str) and (re.search(r"\s", text) or not text):
        return reader.error(path, f"must be one program without arguments such as /bin/sh, not {shown(text)}")
    return text


def _start_command(reader: Reader, value: Any, path: Path, split: bool) -> tuple[str, ...] | str | Wrong:
    if isinstance(value, list):
        if not value or value[0] in ("", None):
            return reader.error(path, "is empty; its first entry is the program to run")
        words = reader.texts(value, path)
        return words if isinstance(words, Wrong) else tuple(words)
    text = reader.text(value, path, "must be a list of arguments, or text for the shell")
    if isinstance(text, Wrong):
        return text
    if not text.strip():
        return reader.error(path, "is empty; write the command, or take the key away to run the image's own")
    if split:
        try:
            program = shlex.split(text)[0]
        except ValueError as error:
            return reader.error(path, f"cannot be split into arguments ({str(error).lower()}); close the quotation")
        if not program:
            return reader.error(path, "is empty; its first entry is the program to run")
    return text


# --- actions -----------------------------------------------------------------------------------------


def _actions(reader: Reader, value: Any, path: Path) -> tuple[Action, ...]:
    if not isinstance(value, list):
        hint = "; put `- ` before `action`" if isinstance(value, Mapping) else ""
        reader.error(path, f"must be a list of actions, not {shown(value)}{hint}")
        return ()
    actions = [_action(reader, item, (*path, n)) for n, item in enumerate(value)]
    first: dict[str, int] = {}
    for n, action in enumerate(actions):
        if action is None or action.ref is None:
            continue
        if action.ref in first:
            reader.error(
                (*path, n, "ref"),
                f'"{action.ref}" is already the ref of action {first[action.ref] + 1}; choose another',
            )
        first.setdefault(action.ref, n)
    return tuple(action for action in actions if action is not None)


def _action(reader: Reader, value: Any, path: Path) -> Action | None:
    kind = value.get("action") if isinstance(value, Mapping) else None
    kind = kind if isinstance(kind, str) else ""
    place = SECTIONS["models[].service.pre_start_actions[]"].place
    found = reader.mapping(value, path, ACTION, place, _argument_places(kind))
    if found is None or "action" not in found:
        return None
    if kind not in ACTIONS:
        close = near(kind, ACTIONS)
        hint = f"did you mean {alternatives(close)}?" if close else f"there are {alternatives(list(ACTIONS))}"
        reader.error(found["action"][1], f"{shown(found['action'][0])} is not a known action; {hint}")
        return None
    ref = _ref(reader, kind, *found["ref"]) if "ref" in found else None
    if "args" not in found:
        return None
    keys = ACTIONS[kind]
    given = reader.mapping(*found["args"], keys, f"{place}.args")
    if given is None:
        return None
    args = {key.name: key.default for key in keys} | _values(reader, given, keys)
    if kind == "write_tempfile" and isinstance(args["body"], list):
        args["body"] = _joined(reader, args["body"], given["body"][1])
    return Action(kind, args, ref)


def _argument_places(kind: str) -> Mapping[str, str]:
    """Where the arguments of an action belong, for one that stands beside ``args`` instead of inside."""
    return {key.name: "args" for key in ACTIONS.get(kind, ())}


def _joined(reader: Reader, texts: list[str], path: Path) -> str:
    """Backend.AI adds no line break in a ``write_tempfile``, unlike in a ``write_file``: easily overlooked."""
    if any(not text.endswith("\n") for text in texts[:-1]):
        reader.warning(
            path, "is written as one line: no line break is added between the texts; write one text with `|` instead"
        )
    return "".join(texts)


def _ref(reader: Reader, kind: str, value: Any, path: Path) -> str | None:
    name = reader.text(value, path)
    if not isinstance(name, str):
        return None
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or len(name) > 64:
        reader.error(path, f"must be a name of at most 64 letters, digits and _, not {shown(name)}")
    elif name in ("port", "model_path"):
        reader.error(path, f'"{name}" already has a meaning in {{{name}}}; choose another')
    elif kind not in WITH_RESULT:
        reader.warning(path, f"has no effect: {kind} has no result, only {alternatives(WITH_RESULT)} have")
        return None
    return name


# --- health check, serving ---------------------------------------------------------------------------


def _health_check(reader: Reader, value: Any, path: Path) -> HealthCheck | None:
    if value == {}:
        return None
    off = isinstance(value, Mapping) and value.get("enable") is False
    keys = tuple(Key(k.name, k.form, k.meaning) if off and k.required else k for k in HEALTH_CHECK)
    found = reader.mapping(value, path, keys, "models[].service.health_check")
    if found is None:
        return None
    values = _values(reader, found, HEALTH_CHECK)
    if not values.pop("enable", True) or "path" not in values:
        return None
    if values.get("initial_delay") == 0:
        reader.warning(
            found["initial_delay"][1],
            "0 leaves the model server no time to come up: the first check must pass; it is no delay before the first "
            "check but the time until one has passed (1800 when left out)",
        )
    return HealthCheck(**values)


def _serving(reader: Reader, value: Any, path: Path) -> Serving:
    found = reader.mapping(value, path, SERVING, "models[].service.serving") or {}
    values = _values(reader, found, tuple(key for key in SERVING if key.form != "section"))
    if "affinity" in found:
        values["affinity"] = _affinity(reader, *found["affinity"])
    if "autoscaling" in found:
        values["autoscaling"] = _autoscaling(reader, *found["autoscaling"], values.get("concurrency"))
    return Serving(**values)


def _affinity(reader: Reader, value: Any, path: Path) -> Affinity | None:
    found = reader.mapping(value, path, AFFINITY, PLACE_AFFINITY)
    if found is None:
        return None
    values = _values(reader, found, AFFINITY)
    if "by" not in values:
        return None
    by = values["by"]
    if by == "prefix":
        if "name" in found:
            reader.warning(found["name"][1], "has no effect: it is for by: header")
        return Affinity(by, None, values.get("characters", CHARACTERS), values.get("bound", BOUND))
    if "characters" in found:
        reader.warning(found["characters"][1], "has no effect: it is for by: prefix")
    if by == "cookie":
        if "name" in found:
            reader.warning(found["name"][1], "has no effect: it is for by: header; the cookie is the gateway's own")
        return Affinity(by, None, None, values.get("bound"))
    if "name" not in found:
        reader.error((*path, "name"), "is missing: which header is it?")
    elif "name" in values and (why := _no_header(values["name"])):
        reader.error(found["name"][1], why)
    return Affinity(by, values.get("name"), None, values.get("bound"))


def _no_header(name: str) -> str | None:
    if re.fullmatch(NAME_PATTERN, name) is None:
        return f"must be the name of a header, of letters, digits and -_.!#$%&'*+^`|~, not {shown(name)}"
    if name.lower() == "cookie":
        return "cannot be the header of all cookies; say by: cookie, which has one of its own for this"
    if not is_passed_on(name):
        return f"must be a header that goes on to the model, and {shown(name)} does not; use one of your own, X-Session"
    return None


def _autoscaling(reader: Reader, value: Any, path: Path, concurrency: int | None) -> Autoscaling | None:
    policy = read_autoscaling(reader, value, path, PLACE_AUTOSCALING)
    aim = policy.target_concurrency if policy is not None else None
    if aim is not None and concurrency is not None and aim > concurrency:
        reader.warning(
            (*path, "target_concurrency"),
            f"is {aim:g}, but a replica takes only {concurrency} calls at once (serving.concurrency): callers wait "
            "before there are more replicas",
        )
    return policy
