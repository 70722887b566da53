"""When a replica that ended may be replaced, and when to stop trying.

A replica that had been ready is replaced at once, the first time. Otherwise 1 s, 2 s, 4 s … 60 s. Replicas that
were started before the last counted failure belong to the same attempt: when ten replicas of a broken
revision end together, that is one failed attempt and not ten.

A replica for which there is no room (no GPU is free) has not failed, and says nothing about its revision: it is tried
again after 1 s, 2 s … 60 s, for ever, and at once when a replica of ours has given its room back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

FIRST_DELAY = 1.0  # seconds
LONGEST_DELAY = 60.0
PROVEN_AFTER = 60.0  # seconds ready, after which earlier failures are forgotten
ATTEMPTS = 5  # failed attempts of a revision that has not proved itself, before it is given up
SAME_FINDINGS = 2  # attempts that ended with the same finding before they were ever ready: the third would do so, too


@dataclass(frozen=True)
class Retry:
    """The failures of one revision in a row. Times are monotonic seconds; ``reason`` is the last failure's.

    ``finding`` is what the last attempt is certain to do again at the next (where it listened, say), and ``repeats``
    how many in a row ended with it.

    ``room``: how many replicas of the service were there when one of this revision found no place (no GPU was free),
    and ``refusal`` the sentence about it; ``None``: each found one. ``refusals`` counts such attempts in a row, until
    one finds a place again; the next is not made before ``room_at``.
    """

    failures: int = 0
    counted_at: float = -math.inf
    not_before: float = -math.inf
    ever_ready: bool = False
    reason: str = ""
    finding: str = ""
    repeats: int = 0
    room: int | None = None
    refusal: str = ""
    refusals: int = 0
    refused_at: float = -math.inf
    room_at: float = -math.inf

    @property
    def tired(self) -> bool:
        """So many failed attempts in a row that a revision without merits is given up."""
        return self.failures >= ATTEMPTS or self.repeats >= SAME_FINDINGS

    @property
    def next_at(self) -> float:
        """Before this, nothing is started."""
        return max(self.not_before, self.room_at)


def delay(failures: int, had_been_ready: bool) -> float:
    """Seconds until the next attempt after this many failures in a row (the last of which had been ready or not).

    1, 2, 4 … for starts that fail; 0, 1, 2, 4 … for replicas that had been ready.
    """
    doublings = failures - 2 if had_been_ready else failures - 1
    if doublings < 0:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(doublings, 20))


def after_failure(
    retry: Retry, *, created_at: float, ready_for: float | None, now: float, reason: str, finding: str = ""
) -> Retry:
    """A replica created at ``created_at`` failed ``now``, ``ready_for`` seconds after its first pass (or never)."""
    if ready_for is not None and ready_for >= PROVEN_AFTER:
        return replace(retry, failures=1, counted_at=now, not_before=now, reason=reason, finding="", repeats=0)
    if created_at < retry.counted_at:
        return replace(retry, reason=reason)
    failures = retry.failures + 1
    wait = delay(failures, ready_for is not None)
    repeats = 0 if not finding else retry.repeats + 1 if finding == retry.finding else 1
    return replace(
        retry,
        failures=failures,
        counted_at=now,
        not_before=now + wait,
        reason=reason,
        finding=finding,
        repeats=repeats,
    )


def without_merit(retry: Retry) -> Retry:
    """That it was ready counts for nothing: it did then what no replica may do (listen where others reach it), and
    would do so again for ever."""
    return replace(retry, ever_ready=False)


def without_place(retry: Retry, *, created_at: float, beside: int, now: float, reason: str) -> Retry:
    """A replica created at ``created_at`` found no place beside ``beside`` others of its service."""
    retry = replace(retry, room=beside, refusal=reason)
    if created_at < retry.refused_at:
        return retry
    refusals = retry.refusals + 1
    return replace(retry, refusals=refusals, refused_at=now, room_at=now + delay(refusals, had_been_ready=False))


def with_place(retry: Retry) -> Retry:
    """A replica found its place: no other waits for one, as far as is known."""
    return replace(retry, refusals=0, room_at=-math.inf)


def room_given_back(retry: Retry) -> Retry:
    """A replica of ours left its place: who waits for one may try now."""
    return replace(retry, room_at=-math.inf)


def after_ready(retry: Retry) -> Retry:
    return replace(retry, ever_ready=True)
