"""The fields that follow a chunked body (RFC 9110 §6.5, RFC 9112 §7.1.2): which of them travel on, and as what. Pure.

There are servers that take them for headers (uvicorn adds them to those of the request). So what may not be said in a
head is not passed on behind a body either, nor what a server decides by before it reads one: a token that is for some
paths and methods was judged by the head alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .header_names import DESTINATION, OTHER_METHOD, OURS, answer_header_passes, request_header_passes
from .message import Headers
from .origin import OF_THE_ORIGIN

__all__ = ["announced_by_answer", "announced_by_request", "answer_end", "request_end"]

# RFC 9110 §6.5.1, RFC 7230 §4.1.2: routing, modifiers, authentication, control, and how the content is to be read. The
# names that the rules for headers know are not repeated here.
_NEVER = frozenset(
    b"age cache-control content-encoding content-range content-security-policy content-type date expires location"
    b" max-forwards origin pragma range referer retry-after vary warning www-authenticate x-client-request-id".split()
)
_KINDS = (b"if-", b"sec-", OURS)
_NOT_JUDGED = OTHER_METHOD | {DESTINATION}  # by the rules of a token (``grants.py``), if they came so late


def request_end(fields: Headers, named: frozenset[bytes]) -> bytes:
    """The last chunk of a request's body, and what of its trailer ``fields`` goes to a replica. ``named`` are the names
    that stand in ``Connection``."""
    return _end(fields, named, _request_passes)


def answer_end(fields: Headers, named: frozenset[bytes]) -> bytes:
    """The same for an answer, on its way to a caller who takes trailers."""
    return _end(fields, named, _answer_passes)


def announced_by_request(values: Iterable[bytes], named: frozenset[bytes]) -> bytes:
    """The line ``Trailer`` with the names that :func:`request_end` lets pass; empty if there are none."""
    return _announced(values, named, _request_passes)


def announced_by_answer(values: Iterable[bytes], named: frozenset[bytes]) -> bytes:
    return _announced(values, named, _answer_passes)


def _request_passes(lower: bytes) -> bool:
    """To WSGI and CGI, ``Content_Type`` is ``Content-Type``."""
    dashed = lower.replace(b"_", b"-")
    return not (_decides(dashed) or dashed in _NOT_JUDGED) and request_header_passes(lower)


def _answer_passes(lower: bytes) -> bool:
    return lower not in OF_THE_ORIGIN and answer_header_passes(lower)


def _decides(lower: bytes) -> bool:
    return lower in _NEVER or lower.startswith(_KINDS)


def _travels(lower: bytes, named: frozenset[bytes], passes: Callable[[bytes], bool]) -> bool:
    return not _decides(lower) and lower not in named and passes(lower)


def _end(fields: Headers, named: frozenset[bytes], passes: Callable[[bytes], bool]) -> bytes:
    lines = [
        b"%b: %b\r\n" % (name, value.rstrip(b" \t")) for name, value in fields if _travels(name.lower(), named, passes)
    ]
    return b"0\r\n%b\r\n" % b"".join(lines)


def _announced(values: Iterable[bytes], named: frozenset[bytes], passes: Callable[[bytes], bool]) -> bytes:
    names = [name.strip(b" \t") for value in values for name in value.split(b",")]
    told = [name for name in names if name and _travels(name.lower(), named, passes)]
    return b"Trailer: %b\r\n" % b", ".join(told) if told else b""
