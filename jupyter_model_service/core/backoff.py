"""When a replica that ended may be replaced, and when to stop trying.

A replica that had been ready is replaced at once, the first time. Otherwise 1 s, 2 s, 4 s … 60 s. Replicas that
were started before the last counted failure belong to the same attempt: when ten replicas of a broken
revision end together, that is one failed attempt and not ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FIRST_DELAY = 1.0  # seconds
LONGEST_DELAY = 60.0
PROVEN_AFTER = 60.0  # seconds ready, after which earlier failures are forgotten
ATTEMPTS = 5  # failed attempts of a revision that has not proved itself, before it is given up


@dataclass(frozen=True)
class Retry:
    """The failures of one revision in a row. Times are monotonic seconds; ``reason`` is the last failure's.

    ``room``: how many replicas of the service were there when one of this revision found no place (no GPU was free),
    and ``refusal`` the sentence about it; ``None``: each found one.
    """

    failures: int = 0
    counted_at: float = -math.inf
    not_before: float = -math.inf
    ever_ready: bool = False
    reason: str = ""
    room: int | None = None
    refusal: str = ""

    @property
    def tired(self) -> bool:
        """So many failed attempts in a row that a revision without merits is given up."""
        return self.failures >= ATTEMPTS


def delay(failures: int, had_been_ready: bool) -> float:
    """Seconds until the next attempt after this many failures in a row (the last of which had been ready or not).

    1, 2, 4 … for starts that fail; 0, 1, 2, 4 … for replicas that had been ready.
    """
    doublings = failures - 2 if had_been_ready else failures - 1
    if doublings < 0:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(doublings, 20))


def after_failure(retry: Retry, *, created_at: float, ready_for: float | None, now: float, reason: str) -> Retry:
    """A replica created at ``created_at`` failed ``now``, ``ready_for`` seconds after its first pass (or never)."""
    if ready_for is not None and ready_for >= PROVEN_AFTER:
        return replace(retry, failures=1, counted_at=now, not_before=now, reason=reason)
    if created_at < retry.counted_at:
        return replace(retry, reason=reason)
    failures = retry.failures + 1
    wait = delay(failures, ready_for is not None)
    return replace(retry, failures=failures, counted_at=now, not_before=now + wait, reason=reason)


def without_merit(retry: Retry) -> Retry:
    """That it was ready counts for nothing: it did then what no replica may do (listen where others reach it), and
    would do so again for ever."""
    return replace(retry, ever_ready=False)


def without_place(retry: Retry, beside: int, reason: str) -> Retry:
    """A replica found no place beside ``beside`` others of its service."""
    return replace(retry, room=beside, refusal=reason)


def after_ready(retry: Retry) -> Retry:
    return replace(retry, ever_ready=True)
