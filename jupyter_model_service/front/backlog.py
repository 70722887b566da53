"""Callers who sent more requests at once than are served in one turn of the loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .downstream import Downstream

__all__ = ["IN_A_ROW", "Backlog"]

IN_A_ROW = 4  # requests of one connection: those that end at once, as refused ones do, are no longer one at a time
_AT_ONCE = 4  # connections in one turn of the loop; the others, and whoever came meanwhile, are not kept waiting


class Backlog:
    """256 KB, which one read may bring, are up to 10,000 requests: answered in one turn, they stopped everybody else's
    stream for 0.4 s. Each connection goes on with some few of them, one connection after another."""

    __slots__ = ("_begun", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[Downstream, None] = OrderedDict()
        self._begun = False

    def add(self, connection: Downstream) -> None:
        """It goes on in a later turn, after what is written in this one went out."""
        self._waiting[connection] = None
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        for _ in range(min(len(self._waiting), _AT_ONCE)):
            self._waiting.popitem(last=False)[0].advance()
        self._begun = False
        self._schedule()
