"""Time for tests: by hand, or an event loop that jumps to its next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import heapq
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0  # Unix time at which the clocks below begin


class ManualClock:
    """A clock that stands still until it is told otherwise. Implements ``ports.Clock``."""

    def __init__(self, now: float = EPOCH, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0  # breaks ties: who lay down first wakes first

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._count, woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Jump: everybody whose time has come wakes at the new time."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use step() for a changed wall clock")
        self._now += seconds
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():  # cancelled
                woken.set_result(None)

    async def pass_time(self, seconds: float, turns: int = 20) -> None:
        """Go there step by step: everybody wakes at the right time and may act, and lie down again, before the
        next one does. ``turns`` is how many turns of the loop each step gets."""
        end = self._monotonic + seconds
        while True:
            for _ in range(turns):
                await asyncio.sleep(0)
            due = [at for at, _, woken in self._sleepers if at <= end and not woken.done()]
            if not due:
                break
            self.advance(min(due) - self._monotonic)
        self.advance(end - self._monotonic)

    def step(self, seconds: float) -> None:
        """Somebody sets the machine's clock: the wall clock jumps, the monotonic one does not."""
        self._now += seconds


class ClockAhead:
    """Ahead of the machine's by ``by`` seconds: whoever asks for the time hears that so much more has passed, and
    whoever sleeps sleeps as long as ever. Implements ``ports.Clock``."""

    def __init__(self) -> None:
        self.by = 0.0

    def now(self) -> float:
        return time.time() + self.by

    def monotonic(self) -> float:
        return time.monotonic() + self.by

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopClock:
    """The running loop's time as ``ports.Clock``; made for :func:`run_in_virtual_time`, right on any loop."""

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: a wait of x seconds with nothing ready moves the loop's time by x.

    Without any timer it really waits: another thread may have the answer. ``give_up`` is called when there is
    none after ``patience`` real seconds, or when the virtual time is over.
    """

    def __init__(self, limit: float, patience: float) -> None:
        super().__init__()
        self.elapsed = 1000.0
        self.give_up: Callable[[], object] = lambda: None
        self._end = self.elapsed + limit
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(self._patience)
            if not ready:
                self.give_up()
            return ready
        self.elapsed += max(0.0, timeout)
        if self.elapsed > self._end:
            self.give_up()
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which ten minutes of back-off take no time. For code without real I/O; a thread is
    waited for only while no timer runs."""

    def __init__(self, limit: float = 86_400.0, patience: float = 5.0) -> None:
        self.jumping = _JumpingSelector(limit, patience)
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.elapsed


def run_in_virtual_time(main: Coroutine[Any, Any, T], *, limit: float = 86_400.0, patience: float = 5.0) -> T:
    """``asyncio.run`` on a :class:`VirtualTimeLoop`.

    ``TimeoutError`` when ``main`` is not done after ``limit`` virtual seconds, or when nothing at all happens
    for ``patience`` real ones.
    """
    loop = VirtualTimeLoop(limit, patience)
    task = loop.create_task(main)
    over = False

    def give_up() -> None:
        nonlocal over
        over = True
        task.cancel()
        loop.call_soon(lambda: None)

    loop.jumping.give_up = give_up
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        if over:
            raise TimeoutError("it waited for something that never came") from None
        raise
    finally:
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
