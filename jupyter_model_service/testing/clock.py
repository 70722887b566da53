"""Time for tests: by hand, or an event loop that jumps to its next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0  # Unix time at which the clocks below begin


class ManualClock:
    """A clock that stands still until it is told otherwise. Implements ``ports.Clock``."""

    def __init__(self, now: float = EPOCH, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time does not run backwards; use step() for a changed wall clock")
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the machine's clock: the wall clock jumps, the monotonic one does not."""
        self._now += seconds


class LoopClock:
    """The running loop's time as ``ports.Clock``; made for :func:`run_in_virtual_time`, right on any loop."""

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: a wait of x seconds with nothing ready moves the loop's time by x.

    Without any timer it really waits (for at most 50 ms a time): another thread may have the answer.
    """

    elapsed = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(0.05)
        self.elapsed += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which ten minutes of back-off take no time. For code without threads or real I/O."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed


def run_in_virtual_time(main: Coroutine[Any, Any, T], *, limit: float = 86_400.0) -> T:
    """``asyncio.run`` on a :class:`VirtualTimeLoop`. ``limit`` (virtual seconds) ends a test that waits for
    something that never comes with ``TimeoutError``, at once in real time."""

    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, limit))
    finally:
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
