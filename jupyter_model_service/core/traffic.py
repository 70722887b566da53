"""What calls do at one endpoint, as counters that only grow: written by the front, read by who takes differences.

A call costs a few additions here and two searches in a table. Probes, scrapes and the engine's own looks are no calls.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, compress
from operator import sub

__all__ = ["BUCKETS", "Traffic", "difference", "quantile", "quantiles"]

FIRST = 0.001  # seconds: the upper bound of the first bucket
STEPS = 4  # buckets per doubling: a quantile is right to within 9 %
BUCKETS = 84  # up to 0.001 s x 2 ** (82 / 4), half an hour; the last one has what took longer
_BOUNDS = [0.0, *[FIRST * math.pow(2.0, bucket / STEPS) for bucket in range(BUCKETS)]]  # of bucket n: n and n + 1
_UPPER = _BOUNDS[1:-1]
_NUMBERS = range(BUCKETS)


class Traffic:
    """``arrived`` counts the calls that came, ``finished`` those that a replica answered (``failed`` of them with a
    status of 500 or above), ``refused`` those that no replica saw. ``busy_seconds`` is the time that the finished ones
    spent on their replica, ``whole`` and ``first`` count them by the seconds from their arrival to the end of the
    answer and to its first byte. ``last_call`` is when a call last came or ended (monotonic)."""

    __slots__ = (
        "_integral",
        "_level",
        "_level_at",
        "arrived",
        "busy_seconds",
        "failed",
        "finished",
        "first",
        "last_call",
        "refused",
        "whole",
    )

    def __init__(self) -> None:
        self.arrived = self.finished = self.failed = self.refused = 0
        self.busy_seconds = 0.0
        self.last_call: float | None = None
        self.whole = [0] * BUCKETS
        self.first = [0] * BUCKETS
        self._level = 0
        self._level_at = 0.0
        self._integral = 0.0

    def begun(self, now: float) -> None:
        """A call came; it may have to wait for a replica."""
        self.arrived += 1
        self.last_call = now

    def sent(self, now: float) -> None:
        """It is on a replica now, for the first time."""
        level = self._level
        self._integral += level * (now - self._level_at)
        self._level, self._level_at = level + 1, now

    def ended(
        self, now: float, status: int, seconds_on_replica: float, whole_seconds: float, first_byte: float | None
    ) -> None:
        """A call that was sent is over, however. ``first_byte``: seconds from its arrival, ``None`` if none came."""
        level = self._level
        self._integral += level * (now - self._level_at)
        self._level, self._level_at = level - 1, now
        self.last_call = now
        self.finished += 1
        if status >= 500:
            self.failed += 1
        self.busy_seconds += seconds_on_replica
        bucket = bisect_left(_UPPER, whole_seconds)
        self.whole[bucket] += 1
        if first_byte is not None:  # most answers come in one read: their first byte is their last
            self.first[bucket if first_byte == whole_seconds else bisect_left(_UPPER, first_byte)] += 1

    def rejected(self, now: float) -> None:
        """A call is over that no replica saw: refused, or given up by its caller while it waited."""
        self.last_call = now
        self.refused += 1

    def in_flight_seconds(self, now: float) -> float:
        """The integral over time of how many calls are on replicas."""
        return self._integral + self._level * (now - self._level_at)


def difference(earlier: Sequence[int], later: Sequence[int]) -> list[int]:
    """The calls between two moments, by bucket."""
    return list(map(sub, later, earlier))


def quantile(counts: Sequence[float], share: float) -> float | None:
    """Seconds that ``share`` (0 to 1) of these calls did not exceed; ``None`` when there are none."""
    (seconds,) = quantiles({bucket: counts[bucket] for bucket in compress(_NUMBERS, counts)}, (share,))
    return seconds


def quantiles(counts: Mapping[int, float], shares: Sequence[float]) -> list[float | None]:
    """As :func:`quantile` gives for each of ``shares``, of calls by bucket: those that have any, in any order."""
    buckets = sorted(counts)
    below = [0, *accumulate([counts[bucket] for bucket in buckets])]
    total = below[-1]
    if not total:
        return [None] * len(shares)
    found: list[float | None] = []
    for share in shares:
        rank = share * total
        number = max(bisect_left(below, rank, 1) - 1, 0)
        bucket = buckets[number]
        lower, upper = _BOUNDS[bucket], _BOUNDS[bucket + 1]
        found.append(lower + (upper - lower) * max(0.0, rank - below[number]) / counts[bucket])
    return found
