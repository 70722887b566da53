"""The callers of one service who wait for a replica, first come, first served."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Protocol

from ..core.message import Refusal
from ..core.retrying import Budget
from ..core.routing import Endpoint

__all__ = ["Desk", "Waiter"]


class Waiter(Protocol):
    def look_again(self, now: float) -> bool:
        """Something changed, or time passed; ``True`` when the caller need not wait any more."""

    @property
    def choosy(self) -> bool:
        """Whether it may stay while one behind it can go: it avoids a replica that failed it."""

    @property
    def is_call(self) -> bool:
        """Not one who only looks at health or metrics."""

    @property
    def who(self) -> str | bytes:
        """Whose call it is: the name of a token, or an address."""

    def give_way(self, refusal: Refusal) -> None:
        """Leave the queue: its place is needed."""


class Desk:
    """One per endpoint. Sets ``endpoint.wake``, keeps ``endpoint.waiting``, by which the service is scaled: calls only.

    ``missing_since`` is when a caller first found no replica (monotonic), until there is one.
    """

    __slots__ = ("_again", "_busy", "_queue", "budget", "endpoint", "missing_since")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.budget = Budget()
        self._queue: deque[Waiter] = deque()
        self._busy = False
        self._again = False
        self.missing_since: float | None = None

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._queue)

    def add(self, waiter: Waiter, *, first: bool) -> None:
        """``first``: it has been served before, by a replica that failed it."""
        if first:
            self._queue.appendleft(waiter)
        else:
            self._queue.append(waiter)
        self.endpoint.waiting += waiter.is_call

    def remove(self, waiter: Waiter) -> None:
        if waiter in self._queue:
            self._queue.remove(waiter)
            self.endpoint.waiting -= waiter.is_call

    @property
    def looks(self) -> int:
        """How many wait who only look."""
        return len(self._queue) - self.endpoint.waiting

    def greediest(self, who: str | bytes) -> Waiter | None:
        """The last call of whoever has most of the places, where a call of ``who`` has a better right to one: with it
        ``who`` has fewer than the other one keeps, or as many."""
        taken = Counter([waiter.who for waiter in self._queue if waiter.is_call])
        most = max(taken, key=taken.__getitem__, default=who)
        if taken[most] < taken[who] + 2:
            return None
        return next(waiter for waiter in reversed(self._queue) if waiter.is_call and waiter.who == most)

    def missing(self, now: float) -> None:
        """A caller finds no replica."""
        if self.missing_since is None:
            self.missing_since = now

    def _see(self) -> None:
        if self.missing_since is not None and (self.endpoint.ready or not self.endpoint.wanted):
            self.missing_since = None

    def wake(self, now: float) -> None:
        """Let go whoever can be served. What one of them sets off may call this again: then it is done in turn."""
        if self._busy:
            self._again = True
            return
        self._see()
        self._busy = True
        try:
            self._again = True
            while self._again:
                self._again = False
                for waiter in list(self._queue):
                    if waiter.look_again(now):
                        self.remove(waiter)
                    elif not waiter.choosy:
                        break
        finally:
            self._busy = False
