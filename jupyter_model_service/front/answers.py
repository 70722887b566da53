"""Answers that the front gives by itself: errors as JSON, and the redirect to the slash."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from ..core.message import Refusal, RequestHead
from ..core.openai import error_fields
from ..core.plain_page import POLICY, plain_page
from ..core.visits import wants_page

__all__ = ["CONTINUE", "To", "error", "found", "redirect"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class To(NamedTuple):
    """Whom an answer of our own is for, and whether the connection stays. As it is, but for its id: somebody whose
    request was not understood."""

    version: int = 11
    keep_alive: bool = False
    to_head: bool = False
    request_id: bytes = b""


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def error(
    refusal: Refusal, to: To, *, applied: bytes = b"", openai: bool = False, head: RequestHead | None = None
) -> bytes:
    """The whole answer. Its shape is that of the control API's errors (``wire.ErrorAnswer``), and with ``openai`` that
    of OpenAI's, too; ``applied`` is one more line of its head, or empty. Who opened a page by
    ``head`` is told on a page."""
    if head is not None and not openai and refusal.status in _TITLES and wants_page(head):
        return _page(refusal, to)
    more = error_fields(refusal) if openai else {}
    body = json.dumps({"error": {"code": refusal.code, "message": refusal.message, **more}}).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {refusal.status} {_reason(refusal.status)}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Model-Service-Error: {refusal.code}",
    ]
    if refusal.status == 401:
        lines.append("WWW-Authenticate: Bearer")
    lines += _wait(refusal)
    if applied:
        lines.append(applied.decode("latin-1").rstrip())
    return _finish(lines, body, to)


def found(body: bytes, to: To, *, allow: bytes | None = None, applied: bytes = b"") -> bytes:
    """JSON that the front knows by itself; ``allow``: the methods that there are, and no body; ``applied``: as of
    :func:`error`."""
    lines = (
        ["HTTP/1.1 204 No Content", f"Allow: {allow.decode()}"]
        if allow is not None
        else [
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
    )
    lines.append("Cache-Control: no-store")
    if applied:
        lines.append(applied.decode("latin-1").rstrip())
    return _finish(lines, body, to)


_TITLES = {
    400: "This cannot be opened",
    401: "This is private",
    403: "This may not be opened",
    404: "There is nothing here",
    429: "Not now",
    502: "The model does not answer",
    503: "The model cannot answer now",
    504: "The model does not answer",
}
_LINKS = {400: [("/", "Begin again")]}


def _page(refusal: Refusal, to: To) -> bytes:
    body = plain_page(_TITLES[refusal.status], [refusal.message], _LINKS.get(refusal.status, ()))
    lines = [
        f"HTTP/1.1 {refusal.status} {_reason(refusal.status)}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Content-Security-Policy: {POLICY}",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Cache-Control: no-store",
        f"X-Model-Service-Error: {refusal.code}",
        *_wait(refusal),
    ]
    return _finish(lines, body, to)


def _wait(refusal: Refusal) -> list[str]:
    return [] if refusal.retry_after is None else [f"Retry-After: {max(1, math.ceil(refusal.retry_after))}"]


def redirect(location: bytes, to: To, status: int = 308, cookies: Iterable[bytes] = ()) -> bytes:
    """308 keeps method and body, 303 is to be opened with ``GET``, and told no other page where it came from. Its own
    body is for clients that do not follow it, and show nothing else."""
    body = b"The address of an endpoint ends with a slash: see the header Location.\n" if status == 308 else b""
    lines = [
        f"HTTP/1.1 {status} {_reason(status)}",
        f"Location: {location.decode('latin-1')}",
        *(f"Set-Cookie: {each.decode('latin-1')}" for each in cookies),
        *(() if status == 308 else ("Referrer-Policy: no-referrer",)),
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
    ]
    return _finish(lines, body, to)


def _finish(lines: list[str], body: bytes, to: To) -> bytes:
    if not to.keep_alive:
        lines.append("Connection: close")
    elif to.version == 10:
        lines.append("Connection: keep-alive")
    if to.request_id:
        lines.append(f"X-Request-Id: {to.request_id.decode('latin-1')}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if to.to_head else head + body
