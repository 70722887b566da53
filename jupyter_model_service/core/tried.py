"""What of a refused request is written down in the audit log: what somebody tried, no secrets, and not much. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .policy_limits import NUMBERS

__all__ = ["NAMED_ALONE", "TOLD", "UNTOLD", "aimed", "tried"]

# fmt: off
#: Fields of request bodies, and of our pages' forms, whose values are told; those of no other name are.
TOLD = frozenset((
    # of services and their revisions
    "name", "folder", "image", "cpus", "memory", "gpus", "mounts", "source", "target", "read_only", "replicas",
    "revision", "public", "visibility", "file",
    # of autoscaling
    "min", "max", "target_concurrency", "idle_after", "down_delay", "rules", "schedules", "id", "metric", "above",
    "below", "step", "cooldown", "window", "when", "timezone", "duration",
    # of who may do what
    "role", "limits", "calls_per_second", "calls_per_day", "in_flight", "origins", "expires_in", "shorten", "overlap",
    "methods", "path", "paths",
    # of administrators
    "allow_public", *(each.name for each in NUMBERS), "text", "user", "no_public",
    # of the gateway
    "pid", "create_time", "keep", "leave_replicas",
))
# fmt: on
#: Those of which the names within are told alone: values of environment variables are secrets, as often as not.
NAMED_ALONE = frozenset({"environment"})
#: Those of which is told that they were there: a whole file, in which anything may stand.
UNTOLD = frozenset({"definition"})

LONGEST = 100  # characters of one value
MOST = 20  # fields of one mapping, and entries of one list
DEEPEST = 4
LARGEST = 2_000  # characters of all of it
# Whatever looks like a token where none belongs: ours have 47 characters, the Hub's 32 and more.
_RUN = re.compile(r"(?:jm[a-z]_)?[A-Za-z0-9_-]{32,}|jm[a-z]_\S*")
_SAID = re.compile(r"(?i)(token|key|secret|password|passwd)([=:]\s*)[^\s&;,]+")
# Keys of others are base64, with slashes, as those of AWS (40 characters): what tells them from a path is that letters
# of both cases and digits take turns in them.
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
_TURN = re.compile(r"[a-z](?=[A-Z0-9])|[0-9](?=[A-Za-z])|[A-Z](?=[0-9])")
_TURNS = 5


def tried(given: Any) -> dict[str, Any]:
    """Of a body as it came, before anybody has looked whether it is right; empty where there is nothing to tell."""
    found = _mapping(given, 0) if isinstance(given, Mapping) else {}
    size = len(json.dumps(found))
    return found if size <= LARGEST else {"too_long": size, "fields": list(found)}


def aimed(path: Mapping[str, str]) -> dict[str, str]:
    """Of the variable parts of an address what is not its service: ``{"user": "bob"}`` of a share, ``{"id": …}`` of a
    token."""
    rest = {name: value for name, value in path.items() if name not in ("owner", "name")}
    if rest.get("kind") in ("user", "group") and "whom" in rest:
        rest[rest.pop("kind")] = rest.pop("whom")
    return {name: _text(value) for name, value in rest.items()}


def _mapping(given: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if len(found) >= MOST:
            break
        if name in TOLD:
            found[name] = _value(value, depth + 1)
        elif name in NAMED_ALONE and isinstance(value, Mapping):
            found[name] = [_text(str(each)) for each in list(value)[:MOST]]
        elif name in UNTOLD or name in NAMED_ALONE:
            found[name] = "…"
    return found


def _value(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "…"  # JSON has no NaN (RFC 8259)
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else "…"
    if isinstance(value, str):
        return _text(value)
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    return [_value(each, depth + 1) for each in list(value)[:MOST]] if isinstance(value, list) else "…"


def _text(text: str) -> str:
    text = _RUN.sub("…", text[: 10 * LONGEST])
    text = _SAID.sub(r"\1\2…", _BASE64.sub(_unless_path, text))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _unless_path(found: re.Match[str]) -> str:
    run = found[0]
    random = len(_TURN.findall(run)) >= _TURNS and any(map(str.isdigit, run))
    return "…" if random else run
