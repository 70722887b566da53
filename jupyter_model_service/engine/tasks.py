"""Owned tasks and bounded waits of services; every wait goes by ``ports.Clock``. What runs for as long as the engine
does (the ledger's turns, what is kept and counted) has a task of its own, which ``stop`` ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from ..ports import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")

CANCEL_AGAIN = 0.2  # seconds until a task that was cancelled and runs on is cancelled once more


class Tasks:
    """A named set of running tasks: at most one per name, all ended by :meth:`close`."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``; a former task of that name is cancelled."""
        if self._closed:
            work.close()
            return
        self.cancel(name)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    def cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            self._ending.add(task)
            task.cancel()

    def running(self, name: str) -> bool:
        return name in self._tasks

    async def ended(self, prefix: str) -> None:
        """Until every cancelled task whose name begins so has really ended."""
        while waiting := [t for t in self._ending if t.get_name().startswith(prefix) and t is not _this()]:
            await asyncio.wait(waiting)

    async def finished(self, names: Iterable[str]) -> None:
        """Until none of these runs any more."""
        while waiting := [self._tasks[name] for name in names if name in self._tasks]:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        self._closed = True
        for name in list(self._tasks):
            self.cancel(name)
        # Again for those that survive it: a store that is just committing finishes that instead of being cancelled, and
        # the ledger's loop went on as if nothing had been said (seen as a gateway that did not end on SIGTERM).
        while waiting := [task for task in self._ending if task is not _this()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=CANCEL_AGAIN)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Task %s failed", name, exc_info=error)


def _this() -> asyncio.Task[Any] | None:
    return asyncio.current_task()


async def within(clock: Clock, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of ``work``, or ``TimeoutError`` after ``seconds`` of the clock; then ``work`` was cancelled."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await _end(task, alarm)


async def until(clock: Clock, seconds: float, *events: asyncio.Event) -> bool:
    """Wait for one of the events, at most ``seconds``; whether one of them is set."""
    if any(event.is_set() for event in events):
        return True
    if seconds <= 0:
        return False
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({*waits, alarm}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(*waits, alarm)
    return any(event.is_set() for event in events)


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for it, so that nothing outlives its waiter."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen, so that the loop does not complain
