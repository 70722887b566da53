"""The callers of one service who wait for a replica: each has a turn after another."""

from __future__ import annotations

from typing import Protocol

from ..core.fairness import Turns
from ..core.message import Refusal
from ..core.pace import Pace, turn_in
from ..core.retrying import Budget
from ..core.routing import Endpoint
from .body import Kept

__all__ = ["Desk", "Waiter"]


class Waiter(Protocol):
    def look_again(self, now: float) -> bool:
        """Something changed, or time passed; ``True`` when the caller need not wait any more."""

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

    ``held`` counts all who wait. ``missing_since`` is when a caller first found no replica (monotonic), until there
    is one.
    """

    __slots__ = ("_again", "_busy", "_queue", "budget", "endpoint", "held", "kept", "missing_since", "pace")

    def __init__(self, endpoint: Endpoint, most_kept: int) -> None:
        self.endpoint = endpoint
        self.kept = Kept(most_kept)
        self.budget = Budget()
        self._queue: Turns[str | bytes, Waiter] = Turns()
        self._busy = False
        self._again = False
        self.held = 0
        self.pace = Pace()
        self.missing_since: float | None = None

    def add(self, waiter: Waiter, *, first: bool) -> None:
        """``first``: it has been served before, by a replica that failed it, and may avoid that one still. All who only
        look have one turn together."""
        if first:
            self._queue.add_first(waiter)
        else:
            self._queue.add(waiter, waiter.who if waiter.is_call else None)
        self._count(waiter, 1)

    def _count(self, waiter: Waiter, change: int) -> None:
        self.held += change
        if waiter.is_call:
            self.endpoint.waiting += change

    def remove(self, waiter: Waiter) -> None:
        if self._queue.remove(waiter):
            self._count(waiter, -1)

    @property
    def looks(self) -> int:
        """How many wait who only look."""
        return self.held - self.endpoint.waiting

    def greediest(self, who: str | bytes) -> Waiter | None:
        """Who is to give its place to a call of ``who``, if anybody is."""
        return self._queue.greediest(who)

    def turn_in(self, now: float) -> float:
        """Seconds until who comes back then need not wait, as fast as the service gets through its calls now."""
        traffic, slots = self.endpoint.traffic, self.endpoint.in_flight
        self.pace.look(traffic, now)
        return turn_in(self.endpoint.waiting, slots, self.pace.seconds_per_call(traffic, slots, now))

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
        self.pace.look(self.endpoint.traffic, now)
        self._busy = True
        try:
            self._again = True
            while self._again:
                self._again = False
                for waiter in self._queue.firsts():
                    if waiter.look_again(now):
                        self.remove(waiter)
                while (next_one := self._queue.turn()) is not None and next_one.look_again(now):
                    if self._queue.served(next_one):
                        self._count(next_one, -1)
        finally:
            self._busy = False
