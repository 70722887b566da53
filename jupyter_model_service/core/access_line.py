"""One ended call as a line of JSON. Pure: the times are given, and what a caller wrote is bounded and escaped."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _escaped
from typing import Any, NamedTuple
from urllib.parse import unquote

from .ending import Broken
from .message import Headers
from .token_in_address import TOKEN_IN_ADDRESS

__all__ = ["FIELDS", "LONGEST_NAME", "LONGEST_PATH", "LONGEST_TRACE", "Entry", "line", "own_code", "trace_id"]

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

_THOUSANDTHS = [f"{number:03d}" for number in range(1000)]
# The last line of defence: a token of ours that somebody put into a path, or where its owner and name stand in one.
_TOKEN = re.compile(r"jm[sc]_[A-Za-z0-9_-]+")
_MOST_TIMES_ENCODED = 4
_OWN_CODE = b"x-model-service-error"
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:(-)|\Z)")


def line(entry: tuple[Any, ...], to_unix: float) -> str:
    """Of an :class:`Entry`, or of what would be in one; with its end of line, ASCII only. ``to_unix``: what a monotonic
    time lacks to a Unix time."""
    began, ended, first_byte, waited = entry[:4]
    bytes_in, bytes_out, replica, tries, request_id, trace, upgrade = entry[14:]
    unix = began + to_unix
    second = int(unix)
    took = f"{ended - began:.6f}"
    # Most answers come in one read: their first byte is their last.
    first = took if first_byte == ended else "null" if first_byte is None else f"{first_byte - began:.6f}"
    return (
        f'{_second(second)}.{_THOUSANDTHS[int((unix - second) * 1000)]}Z",{_what(*entry[4:14])}{bytes_in},'
        f'"bytes_out":{bytes_out},"seconds":{took},"first_byte_seconds":{first},'
        f'"wait_seconds":{f"{waited:.6f}" if waited else 0},{_where(replica, tries)}{_id(request_id)},'
        f'"trace_id":{_trace(trace) if trace else "null"},"upgrade":{_sent(upgrade) if upgrade else "null"}}}\n'
    )


def own_code(headers: Headers) -> str:
    """Of an answer of the control API: what it says in ``X-Model-Service-Error``, or nothing."""
    return next((value.decode("latin-1") for name, value in headers if name.lower() == _OWN_CODE), "")


# Callers say the same again and again; what is remembered is 4 MiB at most, of paths as long as they may be.


@lru_cache(4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime('{"time":"%Y-%m-%dT%H:%M:%S')


@lru_cache(512)
def _what(
    owner: str,
    name: str,
    revision: int,
    caller: str,
    address: bytes,
    method: bytes,
    target: bytes,
    status: int,
    code: str,
    broken: Broken | None,
) -> str:
    service = _text(f"{owner}/{name}") if name else "null"
    # Of the control API, it may be in the path: a token of the Hub's, which looks like nothing in particular.
    path = '"[token]"' if code == TOKEN_IN_ADDRESS.code and not name else _path(target)
    return (
        f'"service":{service},"owner":{_text(owner)},"revision":{revision or "null"},"caller":{_text(caller)},'
        f'"address":{_sent(address)},"method":{_sent(method)},"path":{path},"status":{status},'
        f'"code":{_text(code)},"broken":{_text("" if broken is None else broken.value)},"bytes_in":'
    )


@lru_cache(512)
def _where(replica: str, tries: int) -> str:
    return f'"replica":{_text(replica)},"tries":{tries},"request_id":'


def _text(text: str) -> str:
    return _escaped(_without_token(_short(text, 2 * LONGEST_NAME))) if text else "null"


def _sent(text: bytes) -> str:
    shown = _short(text.decode("utf-8", "backslashreplace"), LONGEST_NAME)
    return _escaped(_without_token(shown)) if shown else "null"


def _id(request_id: bytes) -> str:
    return _escaped(request_id.decode("latin-1")) if request_id else "null"


def _path(target: bytes) -> str:
    """Without its query, which may hold secrets."""
    path = target.partition(b"?")[0].decode("utf-8", "backslashreplace")
    return _escaped(_without_token(_short(path, LONGEST_PATH))) if path else "null"


def _without_token(text: str) -> str:
    """Also where it is percent-encoded, and that again: then the rest is shown decoded."""
    plain, times = text, 0
    while "%" in plain and times < _MOST_TIMES_ENCODED:
        plain, times = unquote(plain), times + 1
    return _TOKEN.sub("[token]", plain if times and _TOKEN.search(plain) else text)


def _short(text: str, most: int) -> str:
    return text if len(text) < most else text[: most - 1] + "…"


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
