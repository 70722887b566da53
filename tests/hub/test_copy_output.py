"""What the Hub takes from a copier's output, every byte of which may be hostile."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.hub.copy_output import CopyOutput, follow

DONE = {
    "t": "done",
    "files": 2,
    "bytes": 30,
    "folders": 1,
    "links": 4,
    "outside": {"count": 1, "names": ["a"]},
    "skipped": {"count": 0, "names": []},
    "unsettled": {"count": 0, "names": []},
    "fingerprint": "ab" * 32,
}


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(content)) + content


def heard(
    data: bytes, piece: int = 1 << 20, tell: Callable[[int, int], None] = lambda files, size: None, **limits: float
) -> CopyOutput:
    """What is made of these bytes, sent in pieces over a real connection that then ends."""
    ours, engines = socket.socketpair()

    def send() -> None:
        try:
            for at in range(0, len(data), piece):
                engines.sendall(data[at : at + piece])
        except OSError:
            pass
        engines.close()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return follow(ours, tell, **{"limit": 30.0, "silence": 30.0, **limits})
    finally:
        sender.join(timeout=30)


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


@pytest.mark.parametrize("piece", [1, 7, 8, 9, 1000])
def test_figures_progress_and_last_words_however_the_bytes_come(piece: int) -> None:
    told: list[tuple[int, int]] = []
    data = (
        frame(1, line({"t": "progress", "files": 1, "bytes": 10}))
        + frame(2, b"a warning\nlast wo")
        + frame(1, line(DONE)[:20])
        + frame(2, b"rds\n")
        + frame(1, line(DONE)[20:])
    )
    output = heard(data, piece, lambda files, size: told.append((files, size)))
    assert told == [(1, 10)]
    assert output.last_words == "last words"
    assert output.result == {key: value for key, value in DONE.items() if key != "t"}


@pytest.mark.parametrize(
    ("message", "result"),
    [
        ({"t": "error", "stage": "limit", "message": "Too much."}, {"stage": "limit", "error": "Too much."}),
        ({"t": "error", "stage": "root", "message": "x" * 5000}, {"stage": "folder", "error": "x" * 999 + "…"}),
        ({"t": "error", "message": "\x1b[2Ja\nb\ud800"}, {"stage": "folder", "error": "\ufffd[2Ja\ufffdb\ufffd"}),
        (
            {"t": "error", "stage": ["limit"], "message": {"no": "text"}},
            {"stage": "folder", "error": "The copy failed."},
        ),
    ],
)
def test_an_error_is_text_of_one_line_with_a_stage_that_we_know(message: object, result: dict[str, Any]) -> None:
    assert heard(frame(1, line(message))).result == result


def test_figures_are_what_they_should_be_whatever_is_said() -> None:
    none = {"count": 0, "names": []}
    hostile = {
        "t": "done",
        "files": -1,
        "bytes": "many",
        "folders": True,
        "links": 1e9,
        "outside": [1],
        "skipped": {"count": 10**30, "names": ["a"] * 9},
        "unsettled": {"count": None, "names": "abc"},
        "fingerprint": "../../etc",
        "volume": "bob-home",
    }
    assert heard(frame(1, line(hostile))).result == {
        "files": 0,
        "bytes": 0,
        "folders": 0,
        "links": 0,
        "outside": none,
        "skipped": {"count": 1 << 60, "names": ["a"] * 5},
        "unsettled": none,
        "fingerprint": "",
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        frame(1, b"no json\n"),
        frame(1, b"[" * 60000 + b"\n"),
        frame(1, b"[1, 2]\n"),
        frame(1, line(DONE)[:-1]),  # a line that never ended is not the last word
        frame(3, line(DONE)),
        frame(1, b"x" * 10_000_000),
        frame(1, b"y" * 100_000 + line(DONE)),  # hidden behind more than a line may have
        b"\x01\0\0\0\xff\xff\xff\xff" + b"z" * 3_000_000,
    ],
)
def test_noise_is_no_result(data: bytes) -> None:
    assert heard(data).result is None


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=8), st.integers(1, 400))
def test_any_bytes_end_in_an_output(frames: list[tuple[int, bytes]], piece: int) -> None:
    output = heard(b"".join(frame(*each) for each in frames) + frame(1, b"\n" + line(DONE)), piece)
    assert output.result is not None
    assert output.overdue == ""


def test_silence_and_endless_talk_are_given_up() -> None:
    """Who says nothing for a while, or never ends, is not waited for."""
    ours, engines = socket.socketpair()
    began = time.monotonic()
    output = follow(ours, lambda files, size: None, limit=30.0, silence=0.2)
    assert output.overdue == "nothing was heard of it for 0.2 seconds"
    assert time.monotonic() - began < 10
    engines.close()
    ours, engines = socket.socketpair()
    ended = threading.Event()

    def talk() -> None:
        while not ended.is_set():
            try:
                engines.sendall(frame(1, b"x" * 1000 + b"\n"))
            except OSError:
                return

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        output = follow(ours, lambda files, size: None, limit=0.6, silence=30.0)
    finally:
        ended.set()
        engines.close()
        talker.join(timeout=30)
    assert output.overdue == "it took longer than 0.6 s"
    assert output.result is None
