"""The engine's part for an endpoint at zero: it wakes when a call comes, and gets its replica back when a test says so."""

from __future__ import annotations

import asyncio

from .site import Site, until


class Sleeper:
    """``site.endpoint`` sleeps, and ``called`` counts who knocked. It wakes unless it ``fails``."""

    def __init__(self, here: Site, *, start_seconds: float | None = None) -> None:
        self.here = here
        self.called = 0
        self.fails = False
        self.backends = list(here.backends)
        here.backends.clear()
        endpoint = here.endpoint
        endpoint.asleep, endpoint.on_call, endpoint.start_seconds = True, self.on_call, start_seconds
        endpoint.health_path = "/health"
        endpoint.unavailable = "Service o/n has no replica: idle."

    def on_call(self) -> None:
        self.called += 1
        endpoint = self.here.endpoint
        if endpoint.asleep and not self.fails:
            self.woken()

    def woken(self, seconds_ago: float = 0.0) -> None:
        """By whatever: a call, a schedule, a rule, its owner."""
        endpoint = self.here.endpoint
        endpoint.asleep, endpoint.wanted = False, True
        endpoint.woken_at = asyncio.get_running_loop().time() - seconds_ago
        self.wake()

    def wake(self) -> None:
        if self.here.endpoint.wake is not None:
            self.here.endpoint.wake()

    def ready(self) -> None:
        """Its next replica is."""
        self.here.backends.append(self.backends.pop(0))
        self.here.endpoint.woken_at = None
        self.wake()

    def failed(self, reason: str, retry_in: float) -> None:
        endpoint = self.here.endpoint
        endpoint.asleep, endpoint.wanted, endpoint.unavailable = True, False, reason
        endpoint.woken_at = None
        endpoint.retry_at = asyncio.get_running_loop().time() + retry_in
        self.wake()

    async def waiting(self, number: int) -> None:
        await until(lambda: self.here.endpoint.waiting == number, f"{number} waiting")
