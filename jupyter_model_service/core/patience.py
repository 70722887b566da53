"""What a caller says about its own waiting: how long at most, and whether it wants signs of life meanwhile."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .message import BadMessage

__all__ = ["heartbeat_seconds", "preferred_wait"]

MOST_HEARTBEAT = 60

# A part of a list, whose commas may stand in quotes.
_PART = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_SECONDS = re.compile(rb"[0-9]{1,9}\Z")


def preferred_wait(values: Sequence[bytes]) -> int | None:
    """Seconds of ``Prefer: wait=N`` (RFC 7240 §4.3); ``None`` where none was said, or nothing that could be understood:
    a preference is no demand. Of several the first counts."""
    for part in _PART.findall(b",".join(values)):
        name, _, value = part.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"wait":
            seconds = value.strip().strip(b'"')
            return int(seconds) if _SECONDS.match(seconds) else None
    return None


def heartbeat_seconds(values: Sequence[bytes]) -> int:
    """Of ``X-Model-Service-Heartbeat``. Raises :class:`BadMessage` (400): who asks for it relies on it."""
    if len(values) == 1 and _SECONDS.match(values[0]) and 1 <= int(values[0]) <= MOST_HEARTBEAT:
        return int(values[0])
    message = f"X-Model-Service-Heartbeat must be given once, as whole seconds from 1 to {MOST_HEARTBEAT}."
    raise BadMessage(400, "bad_request", message)
