"""One ended call as a line of JSON. Pure: the times are given, and what a caller wrote is bounded and escaped."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

from .ending import Broken

__all__ = ["FIELDS", "LONGEST_NAME", "LONGEST_PATH", "LONGEST_TRACE", "Entry", "line", "trace_id"]

LONGEST_PATH, LONGEST_NAME, LONGEST_TRACE = 1024, 128, 56  # characters; whoever calls chooses them


class Entry(NamedTuple):
    """What the front notes of a call, in its order and as it has it: times are monotonic or in seconds, ``""`` and
    ``b""`` stand for what there is none of. ``target`` is the path with its query, or the beginning of a long one."""

    began: float
    ended: float
    first_byte: float | None
    waited: float
    owner: str
    name: str
    revision: int
    caller: str
    address: bytes
    method: bytes
    target: bytes
    status: int
    code: str
    broken: Broken | None
    bytes_in: int
    bytes_out: int
    replica: str
    tries: int
    request_id: bytes
    trace: bytes
    upgrade: bytes


FIELDS = (
    "time", "service", "owner", "revision", "caller", "address", "method", "path", "status", "code", "broken",
    "bytes_in", "bytes_out", "seconds", "first_byte_seconds", "wait_seconds", "replica", "tries", "request_id",
    "trace_id", "upgrade",
)  # fmt: skip

_LINE = "{" + ",".join(f'"{name}":%s' for name in FIELDS) + "}\n"
_escaped = json.JSONEncoder(ensure_ascii=True).encode
# The last line of defence: a token of ours that somebody put into a path.
_TOKEN = re.compile(r"jm[sc]_[A-Za-z0-9_-]+")
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:(-)|\Z)")


def line(entry: Entry, to_unix: float) -> str:
    """With its end of line; ASCII only. ``to_unix``: what a monotonic time lacks to a Unix time."""
    began = entry.began
    first_byte = entry.first_byte
    return _LINE % (
        _time(began + to_unix),
        _text(f"{entry.owner}/{entry.name}") if entry.name else "null",
        _text(entry.owner),
        entry.revision or "null",
        _text(entry.caller),
        _of_caller(entry.address),
        _of_caller(entry.method),
        _path(entry.target),
        entry.status,
        _text(entry.code),
        "null" if entry.broken is None else _text(entry.broken.value),
        entry.bytes_in,
        entry.bytes_out,
        f"{entry.ended - began:.6f}",
        "null" if first_byte is None else f"{first_byte - began:.6f}",
        f"{entry.waited:.6f}",
        _text(entry.replica),
        entry.tries,
        _escaped(entry.request_id.decode("latin-1")) if entry.request_id else "null",
        _trace(entry.trace) if entry.trace else "null",
        _of_caller(entry.upgrade),
    )


# Callers say the same again and again; what is remembered is 1 MiB at most.


@lru_cache(1024)
def _text(text: str) -> str:
    return _escaped(_short(text, 2 * LONGEST_NAME)) if text else "null"


@lru_cache(256)
def _of_caller(text: bytes) -> str:
    return _escaped(_short(text.decode("utf-8", "backslashreplace"), LONGEST_NAME)) if text else "null"


@lru_cache(512)
def _path(target: bytes) -> str:
    """Without its query, which may hold secrets."""
    path = target.partition(b"?")[0].decode("utf-8", "backslashreplace")
    return _escaped(_TOKEN.sub("[token]", _short(path, LONGEST_PATH))) if path else "null"


def _short(text: str, most: int) -> str:
    return text if len(text) < most else text[: most - 1] + "…"


@lru_cache(4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _time(unix: float) -> str:
    """RFC 3339, to the millisecond."""
    second = int(unix)
    return f'"{_second(second)}.{int((unix - second) * 1000):03d}Z"'


def _trace(value: bytes) -> str:
    found = trace_id(value)
    return f'"{found}"' if found else "null"


def trace_id(traceparent: bytes) -> str | None:
    """Of W3C Trace Context (§3.2.2): 32 lower-case hex digits, ``None`` where the header is not valid. Only a version
    that we do not know yet may have more fields."""
    match = _TRACEPARENT.match(traceparent)
    if match is None or (match[1] == b"00" and match[3]):
        return None
    return match[2].decode()
