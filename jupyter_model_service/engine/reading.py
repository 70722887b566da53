"""Whose turn it is to have something long read: one reader at a time.

The store has one thread, and whoever wants something changed waits for it, too: for what one reader has at once, and
not for what all of them have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

__all__ = ["Reading"]


class Reading:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._of: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, whose: str) -> AsyncIterator[None]:
        """Of one reader one at a time waits for the turn, so that somebody else waits for each other reader once,
        however much each of them asks for."""
        hers = self._of.setdefault(whose, asyncio.Lock())
        async with hers, self._one:
            yield
