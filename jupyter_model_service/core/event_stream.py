"""What a caller gets who asked for signs of life while its call waits: one event stream (``text/event-stream``), with
comments first, and then the model's own events, or one event that tells of anything else. Pure.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from .message import EVENT_STREAM, AnswerHead, Refusal

__all__ = ["BEAT", "answer_event", "is_events", "refusal_event", "stream_head"]

BEAT = b": waiting for the model\n\n"  # a comment, which readers of events skip


def stream_head(*, version: int, keep_alive: bool, request_id: bytes, applied: bytes) -> tuple[bytes, bool, bool]:
    """The head of the stream; whether its body is chunked; whether the connection stays. ``applied`` is a line of its
    own or empty. ``X-Accel-Buffering`` keeps nginx from holding the comments back."""
    chunked = version == 11
    keep_alive = keep_alive and chunked  # an HTTP/1.0 caller is told the end by closing
    parts = [
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % EVENT_STREAM,
        b"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n",
        b"Transfer-Encoding: chunked\r\n" if chunked else b"",
        b"" if keep_alive else b"Connection: close\r\n",
        applied,
        b"X-Request-Id: %b\r\n\r\n" % request_id,
    ]
    return b"".join(parts), chunked, keep_alive


def is_events(answer: AnswerHead) -> bool:
    """Whether a model's answer can go on in the stream: events, and not compressed."""
    coding = _header(answer, b"content-encoding").strip().lower()
    return answer.status == 200 and answer.events and coding in (b"", b"identity")


def refusal_event(refusal: Refusal) -> bytes:
    """``event: error`` with what a refusal's JSON body has, and its status and ``retry_after``."""
    data: dict[str, Any] = {
        "error": {"code": refusal.code, "message": refusal.message},
        "status": refusal.status,
    }
    if refusal.retry_after is not None:
        data["retry_after"] = max(1, math.ceil(refusal.retry_after))
    return _event("error", data)


def answer_event(answer: AnswerHead, body: bytes) -> bytes:
    """A model's answer of another kind, whole: ``event: answer`` for a status below 400, else ``event: error``.

    The body is a string, or base64 where it is no UTF-8 (or compressed). Every ``error`` event has an ``error`` object,
    since clients of OpenAI's kind look for it.
    """
    data: dict[str, Any] = {"status": answer.status}
    failed = answer.status >= 400
    if failed:
        message = f"The model answered with status {answer.status}; its answer is in 'body'."
        data["error"] = {"code": "model_error", "message": message}
    for name in (b"content-type", b"content-encoding"):
        if value := _header(answer, name):
            data[name.decode().replace("-", "_")] = value.decode("latin-1")
    try:
        data["body"] = body.decode()
    except UnicodeDecodeError:
        data["body_base64"] = base64.b64encode(body).decode()
    return _event("error" if failed else "answer", data)


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def _header(answer: AnswerHead, wanted: bytes) -> bytes:
    return next((value for name, value in answer.headers if name.lower() == wanted), b"")
