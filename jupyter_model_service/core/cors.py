"""Whose pages may call an endpoint from a browser, and read what it answers: the CORS protocol (Fetch §3.2). Pure.

What the model says of it never goes out (``header_names.ANSWER_RULES``): without a list of its owner's, a service is
closed to pages of other origins. With one they call it with a token that they send themselves. That a browser adds
what it keeps for the address (``Access-Control-Allow-Credentials``) is never allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import InvalidRequest
from .header_names import OF_PROXIES
from .message import Headers, RequestHead

__all__ = ["MOST_ORIGINS", "VARY", "Preflight", "check_origins", "comes_from", "lines_for", "preflight"]

MOST_ORIGINS = 100
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_MOST_NAMES = 100  # that a page wants to send
_SECONDS = 600  # for which a browser need not ask again; so long a page may go on that was taken off the list

# Beside what a script may always see: by which it knows what went wrong, and when to come again.
_EXPOSED = b"Retry-After, X-Model-Service-Error, X-Model-Service-Replica, X-Request-Id"
VARY = b"Vary: Origin\r\n"


def check_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """As browsers write them, each once. ``InvalidRequest`` for what is none."""
    found = tuple(dict.fromkeys(_origin(each) for each in origins))
    if len(found) > MOST_ORIGINS:
        raise InvalidRequest(f"A service can be open to the pages of {MOST_ORIGINS} origins, not {len(found)}.")
    return found


def _origin(given: str) -> str:
    try:
        parts = urlsplit(given.strip().lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.netloc.rpartition("@")[2]
    host = host[: -len(f":{port}")] if port is not None else host.removesuffix(":")
    plain = parts.scheme in _PORTS and parts.path in ("", "/") and not (parts.query or parts.fragment)
    if not plain or "@" in parts.netloc or not _HOST.fullmatch(host) or len(given) > 300:
        raise InvalidRequest(
            f"{given[:100]!r} is no origin: write scheme and host as in https://app.example.org, and the port where it "
            "is another than the usual one. There is none for all pages."
        )
    return f"{parts.scheme}://{host}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def _value(headers: Headers, wanted: bytes) -> bytes | None:
    """Of a header that must be there once."""
    found = [value for name, value in headers if name.lower() == wanted]
    return found[0] if len(found) == 1 else None


def _allowed(origins: tuple[str, ...], headers: Headers) -> bytes | None:
    origin = _value(headers, b"origin")
    return origin if origin is not None and origin.decode("latin-1") in origins else None


def comes_from(origins: tuple[str, ...], host: bytes, head: RequestHead) -> bool:
    """Whether no page of an origin but ``host``'s own and those of ``origins`` sent it. A program says no origin;
    two of them, or one that ``Connection`` takes away, speak against it, as in :mod:`who_asks`."""
    said = [value for name, value in head.headers if name.lower() == b"origin"]
    if not said:
        return b"origin" not in head.named
    if len(said) > 1:
        return False
    return said[0].partition(b"://")[2].lower() == host.lower() or _allowed(origins, head.headers) is not None


def lines_for(origins: tuple[str, ...], headers: Headers) -> bytes:
    """Lines for each answer of a service that has ``origins``; ``headers`` are the request's."""
    origin = _allowed(origins, headers)
    if origin is None:
        return VARY
    return b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n%b" % (origin, _EXPOSED, VARY)


class Preflight(NamedTuple):
    """A browser's question before a page's request, and what it is answered."""

    method: bytes
    lines: bytes


def preflight(origins: tuple[str, ...], headers: Headers) -> Preflight | None:
    """Of an OPTIONS request; ``None`` for one that is none, or of a page that may not call, or that wants to say what
    proxies say (``X-Forwarded-*``). JupyterHub's passes on a caller's ``X-Forwarded-Host``: where it is believed, the
    answer to a page that says there a service's own host could set cookies for the Hub's address."""
    origin = _allowed(origins, headers)
    method = _value(headers, b"access-control-request-method")
    if origin is None or method is None or not _TOKEN.fullmatch(method):
        return None
    lines = b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Allow-Methods: %b\r\n" % (origin, method)
    wanted = _value(headers, b"access-control-request-headers")
    names = [name.strip() for name in wanted.split(b",")] if wanted else []
    if len(names) > _MOST_NAMES or not all(_TOKEN.fullmatch(name) for name in names):
        return None
    if any(name.lower().startswith(OF_PROXIES) for name in names):
        return None
    if names:
        lines += b"Access-Control-Allow-Headers: %b\r\n" % b", ".join(names)
    if _value(headers, b"access-control-request-private-network") == b"true":
        lines += b"Access-Control-Allow-Private-Network: true\r\n"
    return Preflight(method, lines + b"Access-Control-Max-Age: %d\r\n" % _SECONDS + VARY)
