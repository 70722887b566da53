"""What follows when a try of a call on one replica ends before the caller got anything of an answer: what that was,
whom it is held against, and whether and where the call is sent again. Pure.

A call is sent again twice at most, and reaches two replicas at most that may have worked on it: a poisonous one ends no
more than these. One that must not be repeated (``serving.retry`` is off, its method is not idempotent) is sent again
only if no replica can have worked on it. Repeats have a :class:`Budget`; beyond it they go only where the last call did
not fail. So an outage of all replicas is not made worse by them, and a call that is only unlucky when one of several is
killed does not fail.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from .routing import Backend, Endpoint

__all__ = [
    "IDEMPOTENT", "MOST_REPEATS", "TROUBLE", "UNTRIED", "Blame", "Budget", "Failure", "Retry", "Tries", "Verdict",
    "after", "died", "left_out", "may_move", "none_is_well", "only_once",
]  # fmt: skip


class Failure(enum.Enum):
    """How an attempt ended before anything of a final answer went out to the caller."""

    CONNECT = "connect"  # no connection, or one that was closed before the call reached the replica
    STALE = "stale"  # a kept-alive connection had been closed before the call reached the replica
    SUDDEN = "sudden"  # one ended at once, and nobody knows whether the call had reached it
    DIED = "died"  # the connection ended while the replica had the call, or the replica is known to be lost
    HUNG = "hung"  # it did not begin to answer in time, and its health check is late, too
    LATE = "late"  # it did not begin to answer in time: the call itself may take so long
    BROKEN = "broken"  # the connection ended within an answer: in its head, or in a body that was held
    BAD = "bad"  # what it answered was not HTTP
    DRAINED = "drained"  # it leaves, and had the call for as long as it may
    LACK = "lack"  # this machine has no descriptor or port left for a connection, which says nothing of the replica


class Blame(enum.Enum):
    NO = "no"
    FAILED = "failed"  # several of them in a row put the replica out (``balance.ejection``)
    REFUSED = "refused"  # one does, for a moment: it did not answer at all, and the engine is to look at it


class Retry(enum.Enum):
    NO = "no"
    SAME = "same"  # the same replica, on a fresh connection
    OTHER = "other"  # another replica
    WELL = "well"  # another one whose last call did not fail: the budget is spent


class Tries(NamedTuple):
    """``again``: how often a call was sent again; ``had``: how many replicas may have worked on it."""

    again: int = 0
    had: int = 0


class Verdict(NamedTuple):
    """``tries`` are those that count from then on."""

    failure: Failure
    blame: Blame
    retry: Retry
    tries: Tries


UNTRIED = Tries()
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
MOST_REPEATS = 2
TROUBLE = frozenset({502, 503, 504})  # answers that are failures of the replica; a 500 is what a bad input causes

_MAY_HAVE_HAD = frozenset(
    {Failure.SUDDEN, Failure.DIED, Failure.HUNG, Failure.LATE, Failure.BROKEN, Failure.BAD, Failure.DRAINED}
)
_FINAL = frozenset({Failure.LATE, Failure.BAD, Failure.LACK})
_BLAME = {
    Failure.CONNECT: Blame.REFUSED,
    Failure.STALE: Blame.NO,
    Failure.SUDDEN: Blame.NO,
    Failure.DIED: Blame.REFUSED,
    Failure.HUNG: Blame.FAILED,
    Failure.LATE: Blame.FAILED,
    Failure.BROKEN: Blame.FAILED,
    Failure.BAD: Blame.FAILED,
    Failure.DRAINED: Blame.NO,
    Failure.LACK: Blame.NO,
}


def after(
    failure: Failure,
    tries: Tries,
    *,
    method: bytes,
    any_method: bool,
    replayable: bool,
    suspect: bool,
    lost: bool,
    others: bool,
    within_budget: bool,
) -> Verdict:
    """The end of an attempt whose caller got nothing of an answer, with ``tries`` before it.

    ``any_method``: the service did not opt out (``serving.retry``), so a POST may run twice; RFC 9110 §9.2.2 would say
    no, inference is stateless by definition. ``replayable``: the body is still at hand. ``suspect``: the replica's
    health check is late; ``lost``: the engine knows that it is gone. ``others``: there may be other replicas, which
    the control API has not.
    """
    if failure is Failure.LATE and suspect:
        failure = Failure.HUNG
    had = tries.had + (failure in _MAY_HAVE_HAD)
    runs = 0 if only_once(method, any_method=any_method) else 1  # that may be in vain
    if not replayable or failure in _FINAL or tries.again >= MOST_REPEATS or had > runs:
        retry = Retry.NO
    elif failure in (Failure.STALE, Failure.SUDDEN) and not lost:
        retry = Retry.SAME
    elif not others:
        retry = Retry.NO
    else:
        retry = Retry.OTHER if within_budget else Retry.WELL
    return Verdict(failure, _BLAME[failure] if others else Blame.NO, retry, Tries(tries.again + 1, had))


def only_once(method: bytes, *, any_method: bool) -> bool:
    """Whether a call may not be repeated that may have been worked on."""
    return not any_method and method not in IDEMPOTENT


def may_move(verdict: Verdict, endpoint: Endpoint | None) -> bool:
    """Whether a call leaves a replica that is only doubtful. Where it would fail by that, or no other one serves, it is
    best off where it is: the replica may be working on it."""
    return verdict.retry is not Retry.NO and endpoint is not None and endpoint.ready > 0


def died(failure: Failure | None) -> bool:
    """Whether a call that finds no other replica is told that its own died under it."""
    return failure in (Failure.SUDDEN, Failure.DIED, Failure.HUNG, Failure.BROKEN)


def left_out(
    backends: Sequence[Backend], failed: Collection[Backend], *, only_well: bool, waited: float, grace: float
) -> list[Collection[Backend]]:
    """Which replicas a call does not go to that those in ``failed`` have failed, and if nobody else can be had: after
    ``grace`` seconds it may go to these. ``only_well``: see :attr:`Retry.WELL`."""
    unwell = [backend for backend in backends if backend.failures] if only_well else []
    last = [unwell] if failed and waited > grace else []
    return [[*failed, *unwell], *last]


def none_is_well(backends: Iterable[Backend]) -> bool:
    """Whether some replicas serve, and the last call of each failed: there is nothing to wait for."""
    serving = [backend for backend in backends if backend.serving and not backend.lost]
    return bool(serving) and all(backend.failures for backend in serving)


class Budget:
    """Repeats on other replicas: 20 % of the calls of the last 10 s, at least 3. Times are monotonic."""

    __slots__ = ("_calls", "_repeats", "_second")

    WINDOW, SHARE, FLOOR = 10, 0.2, 3

    def __init__(self) -> None:
        self._second = 0
        self._calls = [0] * self.WINDOW
        self._repeats = [0] * self.WINDOW

    def call(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._roll(second)
        self._calls[second % self.WINDOW] += 1

    def left(self, now: float) -> bool:
        """Whether there is one more."""
        self._roll(int(now))
        return sum(self._repeats) < max(self.FLOOR, self.SHARE * sum(self._calls))

    def spend(self, now: float) -> None:
        self._roll(int(now))
        self._repeats[int(now) % self.WINDOW] += 1

    def _roll(self, second: int) -> None:
        for passed in _passed(self._second, second, self.WINDOW):
            self._calls[passed % self.WINDOW] = self._repeats[passed % self.WINDOW] = 0
        self._second = second


def _passed(before: int, now: int, window: int) -> Iterable[int]:
    return range(max(before + 1, now - window + 1), now + 1)
