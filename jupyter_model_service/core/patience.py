"""What a call waits for, and what its caller says about that: how long at most, and whether it wants signs of life."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence

from .message import BadMessage

__all__ = ["Silence", "heartbeat_seconds", "preferred_wait", "silence"]


class Silence(enum.Enum):
    """In which part of a call nothing moves. Each has a limit, and an end, of its own."""

    BODY = "body"  # the caller's body stands still, though it may come on
    FIRST_BYTE = "first byte"  # the model does not begin to answer
    STREAM = "stream"  # it began, and does not go on
    READER = "reader"  # the caller does not take what came
    BRIDGE = "bridge"  # an upgraded connection is quiet


def silence(*, bridged: bool, answered: bool, stuck: bool, of_body: bool) -> Silence:
    """``stuck``: what was written to the caller is not taken. ``of_body``: its body is not all here, and not held back
    by us. While it is, the model's time to answer does not run."""
    if bridged:
        return Silence.BRIDGE
    if answered:
        return Silence.READER if stuck else Silence.STREAM
    return Silence.BODY if of_body else Silence.FIRST_BYTE


MOST_HEARTBEAT = 60

READ = 1000  # bytes of preferences that are looked at
_SECONDS = re.compile(rb"[0-9]{1,9}\Z")


def preferred_wait(values: Sequence[bytes]) -> int | None:
    """Seconds of ``Prefer: wait=N`` (RFC 7240 §4.3); ``None`` where none was said, or nothing that could be understood:
    a preference is no demand. Of several the first counts."""
    for part in _parts(b",".join(values)[:READ]):
        name, _, value = part.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"wait":
            seconds = value.strip().strip(b'"')
            return int(seconds) if _SECONDS.match(seconds) else None
    return None


def _parts(text: bytes) -> Iterator[bytes]:
    """Of a list, whose commas may stand in quotes. One step per byte: a pattern took 100 s for 60 KB of quotes."""
    start = 0
    quoted = escaped = False
    for at in range(len(text)):
        byte = text[at : at + 1]
        if escaped:
            escaped = False
        elif byte == b'"':
            quoted = not quoted
        elif byte == b"\\":
            escaped = quoted
        elif byte == b"," and not quoted:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def heartbeat_seconds(values: Sequence[bytes]) -> int:
    """Of ``X-Model-Service-Heartbeat``. Raises :class:`BadMessage` (400): who asks for it relies on it."""
    if len(values) == 1 and _SECONDS.match(values[0]) and 1 <= int(values[0]) <= MOST_HEARTBEAT:
        return int(values[0])
    message = f"X-Model-Service-Heartbeat must be given once, as whole seconds from 1 to {MOST_HEARTBEAT}."
    raise BadMessage(400, "bad_request", message)
