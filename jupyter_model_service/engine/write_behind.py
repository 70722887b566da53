"""What is counted in memory and stored a little later, by one task, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from jupyter_model_service.ports import Clock

COUNTS_EVERY = 0.75  # seconds between two writes of counts: with the time that one takes, less than a second

_log = logging.getLogger(__name__)


class WriteBehind:
    """Calls ``write`` at most every ``every`` seconds: after :meth:`counted`, or each time where it is to be done
    ``always``. ``write`` keeps what it could not store for the next time, and raises what was wrong; ``what`` stands
    for it in the log. Nobody wakes up while nothing is counted. Belongs to one event loop."""

    def __init__(
        self, what: str, write: Callable[[], Awaitable[None]], clock: Clock, every: float, *, always: bool = False
    ) -> None:
        self._what = what
        self._write = write
        self._clock = clock
        self._every = every
        self._always = always
        self._come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def counted(self) -> None:
        self._come.set()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_writing(), name=f"storing {self._what}")

    async def stop(self) -> None:
        """What cannot be stored is logged."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        try:
            await self._write()
        except Exception as error:  # an end that fails here would leave others unended
            _log.warning("The %s could not be stored: %s", self._what, error)

    async def _keep_writing(self) -> None:
        failed = False
        while True:
            if not self._always:
                await self._come.wait()
            await self._clock.sleep(self._every)
            self._come.clear()
            try:
                await self._write()
                failed = False
            except Exception as error:  # whatever it is, what is counted from now on is to be stored, too
                if not failed:  # once, and not each second while a disk is full
                    _log.warning("The %s could not be stored, trying again: %s", self._what, error)
                failed = True
                self._come.set()
