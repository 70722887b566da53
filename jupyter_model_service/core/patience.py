"""What a caller says about its own waiting: how long at most, and whether it wants signs of life meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .message import BadMessage

__all__ = ["heartbeat_seconds", "preferred_wait"]

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
