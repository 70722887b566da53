"""Calls of one token or person to one service, counted for its owner to read. Pure, and as cheap as can be: each call
passes here. Of which day they are says whoever takes them, each second or so."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Tally"]


class Tally:
    """``calls`` were let in since the last :meth:`take`, ``refused`` were not. ``counted`` is called at the first of
    them, once. Belongs to one event loop."""

    __slots__ = ("_counted", "_told", "calls", "refused")

    def __init__(self, counted: Callable[[], None] = lambda: None) -> None:
        self.calls = self.refused = 0
        self._counted = counted
        self._told = False

    def let_in(self) -> None:
        self.calls += 1
        if not self._told:
            self._tell()

    def refuse(self) -> None:
        self.refused += 1
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        self._told = True
        self._counted()

    def take(self) -> tuple[int, int]:
        """``calls`` and ``refused`` of this time; the next ones are counted from 0, and told again."""
        taken = self.calls, self.refused
        self.calls = self.refused = 0
        self._told = False
        return taken

    def put_back(self, calls: int, refused: int) -> None:
        """What was taken could not be stored."""
        self.calls += calls
        self.refused += refused
        if (calls or refused) and not self._told:
            self._tell()
