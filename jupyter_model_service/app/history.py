"""Brings the figures of the last day over a restart of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from ..adapters.history_file import HistoryFile
from ..engine.history import Histories, Piece, dumped

__all__ = ["KeptHistories"]

SAVED_EVERY = 15.0  # seconds: what a gateway that is killed loses of them, of the charts that show ten minutes
SAVING_SHARE = 100  # pauses are so many times as long as a save took: 3 s for 5,000 services, hence one each 5 minutes
BATCH = 20  # services in one turn of the loop: about 1 ms


class KeptHistories:
    """``load`` once the services are known, then ``start``; ``stop`` saves for the last time."""

    def __init__(self, histories: Histories, file: HistoryFile, every: float = SAVED_EVERY) -> None:
        self._histories = histories
        self._file = file
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def load(self, services: Collection[str]) -> None:
        """Those of the services with these ids."""
        data = await asyncio.to_thread(self._file.read)
        if data is not None:
            try:
                self._histories.load(data, services)
            except ValueError as error:
                self._file.refused("used", error)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="figures over time")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._save()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        took = 0.0
        while True:
            await asyncio.sleep(max(self._every, SAVING_SHARE * took))
            began = loop.time()
            # A thread cannot be stopped: the last save waits for one that has begun, or both would write one file.
            self._saving = asyncio.ensure_future(self._save())
            await asyncio.shield(self._saving)
            took = loop.time() - began

    async def _save(self) -> None:
        async with self._turn:
            pieces: list[Piece] = []
            for piece in self._histories.pieces():
                pieces.append(piece)
                if len(pieces) % BATCH == 0:
                    await asyncio.sleep(0)  # calls go first
            await asyncio.to_thread(lambda: self._file.write(dumped(pieces)))
