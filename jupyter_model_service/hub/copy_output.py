"""What a copier says, read from the engine's attach stream. The image that it runs in is the user's choice, so every
byte may be hostile: lines, their number and the time are bounded, and nothing is taken over unchecked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.sentences import duration

__all__ = ["CopyOutput", "follow"]

LINE = 64 << 10  # bytes
Report = Callable[[int, int], None]  # files, bytes
STAGES = ("folder", "limit", "space")
MOST = 1 << 60


@dataclass
class CopyOutput:
    """``result``: the checked last line (``error`` and ``stage``, or the figures); ``last_words``: the last line of its
    standard error; ``overdue``: why it was given up."""

    result: dict[str, Any] | None = None
    last_words: str = ""
    overdue: str = ""


def follow(
    socket: Any,
    tell: Report,
    *,
    limit: float,
    silence: float,
    expected: Report = lambda files, size: None,
) -> CopyOutput:
    """Read until the copier ends (blocking). ``limit`` seconds in all, ``silence`` seconds between two words."""
    output = CopyOutput()
    plain = getattr(socket, "_sock", socket)
    ends = time.monotonic() + limit
    lines = {1: b"", 2: b""}
    buffer = b""
    try:
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                output.overdue = f"it took longer than {duration(limit)}"
                return output
            plain.settimeout(min(silence, left))
            try:
                part = plain.recv(LINE)
            except TimeoutError:
                if time.monotonic() < ends:
                    output.overdue = f"nothing was heard of it for {silence:g} seconds"
                    return output
                continue
            if not part:
                return output
            frames, buffer = _frames(buffer + part)
            for stream, content in frames:
                if stream not in lines:
                    continue
                *whole, rest = (lines[stream] + content).split(b"\n")
                lines[stream] = rest[-LINE:]
                for line in whole:
                    _take(stream, line[-LINE:], output, tell, expected)
    finally:
        socket.close()


def _frames(buffer: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The engine's framing of two streams on one: stream, three zeros, length (4 bytes, big endian), content. A frame
    that has not come as a whole is given piece by piece."""
    frames = []
    while len(buffer) >= 8:
        length = int.from_bytes(buffer[4:8], "big")
        content = buffer[8 : 8 + length]
        missing = length - len(content)
        if missing and len(content) < LINE:
            break
        frames.append((buffer[0], content))
        buffer = buffer[8 + length :] if not missing else buffer[:4] + missing.to_bytes(4, "big")
    return frames, buffer


def _take(stream: int, line: bytes, output: CopyOutput, tell: Report, expected: Report) -> None:
    if stream == 2:
        output.last_words = _text(line.decode("utf-8", "replace"), 300) or output.last_words
        return
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict):
        return
    if message.get("t") in ("progress", "expected"):
        told = tell if message["t"] == "progress" else expected
        told(_count(message.get("files")), _count(message.get("bytes")))
    elif message.get("t") == "error":
        stage = message.get("stage")
        said = _text(message.get("message"), 1000)
        output.result = {"stage": stage if stage in STAGES else "folder", "error": said or "The copy failed."}
    elif message.get("t") == "done":
        output.result = _figures(message)


def _figures(message: Mapping[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {key: _count(message.get(key)) for key in ("files", "bytes", "folders", "links")}
    for key in ("outside", "skipped", "unsettled"):
        noted = message.get(key)
        noted = noted if isinstance(noted, dict) else {}
        names = noted.get("names")
        names = names if isinstance(names, list) else []
        figures[key] = {"count": _count(noted.get("count")), "names": [_text(name, 200) for name in names[:5]]}
    fingerprint = message.get("fingerprint")
    whole = isinstance(fingerprint, str) and re.fullmatch("[0-9a-f]{64}", fingerprint)
    figures["fingerprint"] = fingerprint if whole else ""
    return figures


def _count(value: object) -> int:
    return min(value, MOST) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _text(value: object, most: int) -> str:
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in value) if isinstance(value, str) else ""
    return text.strip() if len(text) <= most else text[: most - 1] + "…"
