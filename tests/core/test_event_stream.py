"""The event stream of a caller who asked for signs of life."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from jupyter_model_service.core.event_stream import BEAT, answer_event, is_events, refusal_event, stream_head
from jupyter_model_service.core.message import AnswerHead, Refusal
from jupyter_model_service.core.read_answer import read_answer


def read(event: bytes) -> tuple[str, dict[str, Any]]:
    kind, data, *end = event.decode("ascii").split("\n")
    assert end == ["", ""]
    assert kind.startswith("event: ")
    assert data.startswith("data: ")
    return kind[7:], json.loads(data[6:])


@pytest.mark.parametrize(
    ("version", "keep_alive", "chunked", "keeps"),
    [(11, True, True, True), (11, False, True, False), (10, True, False, False), (10, False, False, False)],
)
def test_the_head_says_how_the_stream_ends(version: int, keep_alive: bool, chunked: bool, keeps: bool) -> None:
    head, *found = stream_head(version=version, keep_alive=keep_alive, request_id=b"r1", applied=b"A: 1\r\n")
    assert found == [chunked, keeps]
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert (b"Transfer-Encoding: chunked" in lines) is chunked
    assert (b"Connection: close" in lines) is not keeps
    assert lines[-4:] == [b"A: 1", b"X-Request-Id: r1", b"", b""]


def test_a_beat_is_a_comment_of_its_own() -> None:
    assert BEAT.startswith(b":")
    assert BEAT.endswith(b"\n\n")
    assert BEAT.count(b"\n") == 2


@pytest.mark.parametrize(
    ("status", "headers", "events"),
    [
        (200, [(b"Content-Type", b"text/event-stream")], True),
        (200, [(b"content-type", b"Text/Event-Stream ; charset=utf-8"), (b"Content-Encoding", b"identity")], True),
        (201, [(b"Content-Type", b"text/event-stream")], False),
        (200, [(b"Content-Type", b"text/event-streams")], False),
        (200, [(b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip")], False),
        (200, [], False),
    ],
)
def test_what_can_go_on_in_the_stream(status: int, headers: list[tuple[bytes, bytes]], events: bool) -> None:
    assert is_events(read_answer(status, "1.1", b"", headers, to_head=False)) is events


def test_a_refusal_has_what_its_answer_would_have() -> None:
    refusal = Refusal(503, "queue_full", "Sorry\n\nevent: x", 3.2)
    error = {"code": "queue_full", "message": "Sorry\n\nevent: x"}
    assert read(refusal_event(refusal)) == ("error", {"error": error, "status": 503, "retry_after": 4})
    assert "retry_after" not in read(refusal_event(Refusal(502, "bad_answer", "x")))[1]


def test_an_answer_of_another_kind_is_whole_in_its_event() -> None:
    plain = AnswerHead(399, b"", [(b"Content-Type", b"text/plain")])
    assert read(answer_event(plain, "ä\n\nb".encode())) == (
        "answer",
        {"status": 399, "content_type": "text/plain", "body": "ä\n\nb"},
    )
    kind, data = read(answer_event(AnswerHead(400, b"", []), b"\xff\x00"))
    assert (kind, data["status"], data["error"]["code"]) == ("error", 400, "model_error")
    assert base64.b64decode(data["body_base64"]) == b"\xff\x00"
