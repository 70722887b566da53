"""Whether a call that failed on a replica may be sent again, and where."""

from __future__ import annotations

import enum
from collections.abc import Iterable

__all__ = ["IDEMPOTENT", "MAX_CONNECT_RETRIES", "Budget", "Failure", "Retry", "may_retry"]


class Failure(enum.Enum):
    """How an attempt ended before anything of a final answer went out to the caller."""

    CONNECT = "connect"  # no connection: the replica never saw the call
    STALE = "stale"  # a kept-alive connection died: most likely it had been closed before the call
    DIED = "died"  # a fresh connection died, or the replica is known to be lost
    HUNG = "hung"  # it did not begin to answer in time, and its health check is late, too
    BROKEN = "broken"  # the connection ended within an answer: in its head, or in a body that was held
    LACK = "lack"  # this machine has no descriptor or port left for a connection, which says nothing of the replica


class Retry(enum.Enum):
    NO = "no"
    SAME = "same"  # the same replica, on a fresh connection
    OTHER = "other"  # another replica
    LATER = "later"  # another replica, after a pause: the budget is spent


IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
MAX_CONNECT_RETRIES = 2


def may_retry(
    failure: Failure,
    *,
    method: bytes,
    replayable: bool,
    any_method: bool,
    fresh_tried: bool,
    connects: int,
    deaths: int,
    within_budget: bool,
) -> Retry:
    """Whether a call whose caller got nothing of an answer may be sent again, and where.

    ``replayable``: its body is still at hand. ``any_method``: the service did not opt out (``serving.retry``), so a
    POST may run twice; RFC 9110 §9.2.2 would say no, inference is stateless by definition. ``fresh_tried``: a stale
    connection to this replica was already replaced once. ``connects``, ``deaths``: earlier failures of this call.
    """
    if not replayable or failure is Failure.LACK:
        return Retry.NO
    if failure is Failure.CONNECT:
        if connects >= MAX_CONNECT_RETRIES:
            return Retry.NO
        return Retry.OTHER if within_budget else Retry.LATER
    if failure is Failure.STALE and not fresh_tried:
        return Retry.SAME
    if deaths >= 1 or not (any_method or method in IDEMPOTENT):
        return Retry.NO  # a poisonous call kills two replicas at most
    return Retry.OTHER


class Budget:
    """Retries after failed connections: 20 % of the calls of the last 10 s, at least 3. Times are monotonic."""

    __slots__ = ("_calls", "_retries", "_second")

    WINDOW, SHARE, FLOOR = 10, 0.2, 3

    def __init__(self) -> None:
        self._second = 0
        self._calls = [0] * self.WINDOW
        self._retries = [0] * self.WINDOW

    def call(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._calls[second % self.WINDOW] += 1

    def spend(self, now: float) -> bool:
        """Take one retry; ``False`` when there is none left."""
        self._roll(int(now))
        if sum(self._retries) >= max(self.FLOOR, self.SHARE * sum(self._calls)):
            return False
        self._retries[int(now) % self.WINDOW] += 1
        return True

    def _roll(self, second: int) -> None:
        for passed in _passed(self._second, second, self.WINDOW):
            self._calls[passed % self.WINDOW] = self._retries[passed % self.WINDOW] = 0
        self._second = second


def _passed(before: int, now: int, window: int) -> Iterable[int]:
    return range(max(before + 1, now - window + 1), now + 1)
