"""Whether there is a place for one more caller, and who gives way to it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ..core.crowding import at_a_time, most_callers, most_refused

if TYPE_CHECKING:
    from .downstream import Downstream

__all__ = ["Places"]

_UNLIMITED = 1 << 20


def _descriptors() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


class Places:
    """``most`` callers may be connected. ``outgoing`` counts connections to replicas; idle ones of those give way, too:
    where there are as many as callers may be, ``release`` is to close them."""

    __slots__ = ("_freed", "_none_idle", "most", "outgoing", "release")

    def __init__(self, most: int | None = None) -> None:
        self.most = most or most_callers(_descriptors())
        self.outgoing = 0
        self.release: Callable[[], None] | None = None
        self._freed = 0
        self._none_idle = False

    def enters(self, others: Collection[Downstream]) -> bool:
        """Whether one more has a place beside ``others``. Those who wait for nothing give theirs, who would be closed
        first anyway before all others."""
        if len(others) < self.most:
            return True
        if not self._freed and not self._none_idle:
            idle = sorted((each for each in others if each.idle), key=lambda each: each.deadline)
            leaving = idle[: at_a_time(self.most)]
            self._freed = len(leaving)
            self._none_idle = not leaving
            for each in leaving:
                each.close()
        if self._freed:
            self._freed -= 1
            return True
        return False

    def may_linger(self, others: Collection[Downstream]) -> bool:
        """Whether one without a place may be told so."""
        return len(others) < self.most + most_refused(self.most)

    def leaves(self) -> None:
        """One more connection to a replica is to be made."""
        if self.outgoing >= self.most and self.release is not None:
            self.release()

    def look_again(self) -> None:
        """Time has passed: who was busy may be idle now."""
        self._freed = 0
        self._none_idle = False
