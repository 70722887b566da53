"""A front of a few lines: callers who wait for a free replica, are answered after a while, or are told why not."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from jupyter_model_service.core.routing import Backend, Endpoint

from .stage import Stage


@dataclass(frozen=True)
class Answered:
    """``why`` is set where no replica answered; ``waited`` is until a replica had the call, or until it was refused."""

    waited: float
    why: str = ""
    retry_at: float = 0.0


class Callers:
    """``each`` replica takes so many calls at once."""

    def __init__(self, stage: Stage, each: int = 8) -> None:
        self.stage = stage
        self.each = each
        self.tasks: set[asyncio.Task[Answered]] = set()
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.stage.endpoint
        endpoint.wake = self._look_again
        return endpoint

    def begin(self, seconds: float = 1.0) -> asyncio.Task[Answered]:
        task = asyncio.ensure_future(self.call(seconds))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def come(self, rate: float, seconds: float, each: float = 1.0) -> None:
        """``rate`` calls a second for so long; each takes a replica ``each`` seconds."""
        for _ in range(round(rate * seconds)):
            self.begin(each)
            await asyncio.sleep(1 / rate)

    async def call(self, seconds: float = 1.0) -> Answered:
        endpoint, now = self.endpoint, self.stage.clock.monotonic
        came = now()
        endpoint.traffic.begun(came)
        if endpoint.asleep and endpoint.on_call is not None:
            endpoint.on_call()
        while (backend := self._free()) is None:
            if not endpoint.wanted:
                endpoint.traffic.rejected(now())
                return Answered(now() - came, endpoint.unavailable, endpoint.retry_at)
            self._queue.append(asyncio.get_running_loop().create_future())
            endpoint.waiting += 1
            await self._queue[-1]
            endpoint.waiting -= 1
        sent = now()
        endpoint.in_flight += 1
        backend.in_flight += 1
        endpoint.traffic.sent(sent)
        await asyncio.sleep(seconds)
        endpoint.in_flight -= 1
        backend.in_flight -= 1
        endpoint.traffic.ended(now(), 200, seconds, now() - came, now() - came)
        if backend.in_flight == 0 and backend.on_idle is not None:
            backend.on_idle()
        self._look_again()
        return Answered(sent - came)

    def _look_again(self) -> None:
        """The first of those who wait, as many as there are places; all of them when there will be none."""
        endpoint = self.stage.endpoint
        places = sum(max(0, self.each - b.in_flight) for b in endpoint.backends if b.serving)
        for _ in range(places if endpoint.wanted else len(self._queue)):
            if self._queue and not (first := self._queue.popleft()).done():
                first.set_result(None)

    def _free(self) -> Backend | None:
        free = [b for b in self.endpoint.backends if b.serving and b.in_flight < self.each]
        return min(free, key=lambda b: b.in_flight, default=None)
