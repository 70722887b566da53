"""What is left to each person with whom a service is shared, where the share limits her: whatever token she uses.

Whoever is made anew in the Hub under the same name begins at nothing. What she called today is known from
:mod:`.uses`, which also stores it, so that nothing is lost with what is forgotten here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from jupyter_model_service.core.limits import Allowance, Limits
from jupyter_model_service.ports import Clock

MOST = 10_000  # people of whom something is kept in memory

Key = tuple[str, str, str]  # service id, name, when she was made


class Caps:
    """``called`` says on which day (since 1970) she called how often last. Belongs to one event loop."""

    def __init__(self, clock: Clock, called: Callable[[Key], tuple[int, int]]) -> None:
        self._clock = clock
        self._called = called
        self._kept: OrderedDict[Key, Allowance] = OrderedDict()

    def allowance(self, key: Key, limits: Limits, set_by: str) -> Allowance:
        kept = self._kept.get(key)
        if kept is None:
            day, calls = self._called(key)
            self._bound()  # before it is one of them: with nobody else to forget it would be forgotten itself
            kept = self._kept[key] = Allowance(limits, day=day, calls=calls, who="You", set_by=set_by)
        elif kept.limits != limits:
            kept.change(limits, int(self._clock.monotonic() * 1_000_000_000))
        kept.set_by = set_by
        self._kept.move_to_end(key)
        return kept

    def _bound(self) -> None:
        """Whose calls are over is forgotten first."""
        if len(self._kept) < MOST:
            return
        for key, kept in self._kept.items():
            if kept.in_flight == 0:
                del self._kept[key]
                return
