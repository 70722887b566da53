"""What ``mixed_load.py`` does to the replicas under its callers, every few seconds, and what the engine says of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
from mixed_tally import Tally

from jupyter_model_service.client import Client

FEWEST, MOST = 3, 5  # replicas
SETTLED = 60.0  # seconds for a service to be what it is to be


class Troublemaker:
    """Does one thing after another from a shuffled deck. At most one replica is being ended at a time, as a call may be
    sent again only once."""

    def __init__(self, client: Client, name: str, tally: Tally, *, every: float, seed: int = 3) -> None:
        self.client, self.name, self.tally = client, name, tally
        self.every = every
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.given_up: list[str] = []  # replicas that the engine ended though nothing had been done to them
        self.replicas: dict[str, int] = {}  # every one that was seen, and its process
        self.random = random.Random(seed)
        self._version = 0
        self._heard = 0

    async def go_on(self, seconds: float) -> None:
        deeds: list[Callable[[], Awaitable[None]]] = [
            self.kill_model, self.kill_runner, self.hang, self.answer_503, self.be_503, self.scale, self.update,
            self.restart,
        ]  # fmt: skip
        end = time.monotonic() + seconds
        deck = self.random.sample(deeds, len(deeds))
        while time.monotonic() < end or len(self.done) < len(deeds):  # each of them once, at least
            deck = deck or self.random.sample(deeds, len(deeds))
            deed = deck.pop()
            began = time.monotonic()
            try:
                await asyncio.wait_for(deed(), SETTLED + 20)
            except (asyncio.TimeoutError, Exception) as error:
                self.problems.append(f"{deed.__name__} did not come to its end: {error!r}")
            self.done[deed.__name__.replace("_", " ")] += 1
            await self.hear()
            await asyncio.sleep(max(0.1, self.every - (time.monotonic() - began)))
        await self.settled()
        await self.hear()

    # --- what the gateway says ------------------------------------------------------------------------------------

    async def look(self) -> Any:
        service = await asyncio.to_thread(self.client.get, self.name)
        self.replicas.update({r.id: r.pid for r in service.replica_list if r.pid})
        return service

    async def victim(self) -> tuple[str, int]:
        """One of at least three that are well: two others stay."""
        while True:
            service = await self.look()
            well = [r for r in service.replica_list if r.phase == "ready" and r.pid and not r.suspect]
            if len(well) >= FEWEST:
                chosen = self.random.choice(well)
                return chosen.id, chosen.pid
            await asyncio.sleep(0.05)

    async def settled(self) -> None:
        async def is_it() -> bool:
            service = await self.look()
            counts = service.replicas
            return service.state == "ready" and counts.ready == counts.want == counts.total

        await self._until(is_it, "the service is settled")

    async def gone(self, replica: str) -> None:
        async def is_it() -> bool:
            here = [r for r in (await self.look()).replica_list if r.id == replica]
            return all(r.phase in ("gone", "failed") for r in here)

        await self._until(is_it, f"{replica} is gone")

    async def _until(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        end = time.monotonic() + SETTLED
        while not await look():
            if time.monotonic() > end:
                raise TimeoutError(f"not seen within {SETTLED:g} s: {what}")
            await asyncio.sleep(0.1)

    async def hear(self) -> None:
        """A replica that the engine gave up by itself is ended, too: it could not prove in time that it is well."""
        for event in await asyncio.to_thread(self.client.events, self.name, after=self._heard, limit=500):
            self._heard = max(self._heard, event.id)
            replica = event.replica
            if event.kind != "replica.failed" or replica is None or replica in self.tally.trouble.ended:
                continue
            if "health check" not in event.message:
                self.problems.append(f"unprovoked: {event.message}")
            self.end(replica)
            self.given_up.append(event.message)

    def end(self, replica: str) -> None:
        self.tally.trouble.ended.setdefault(replica, time.monotonic())

    # --- deeds ------------------------------------------------------------------------------------------------------

    async def kill_model(self) -> None:
        replica, pid = await self.victim()
        self.end(replica)
        os.kill(pid, signal.SIGKILL)
        await self.gone(replica)

    async def kill_runner(self) -> None:
        replica, pid = await self.victim()
        runner = psutil.Process(pid).parent()
        assert runner is not None
        self.end(replica)
        runner.kill()
        await self.gone(replica)

    async def hang(self) -> None:
        replica, pid = await self.victim()
        self.end(replica)
        os.kill(pid, signal.SIGSTOP)
        await self.gone(replica)

    async def answer_503(self) -> None:
        """For three seconds; its health is well."""
        replica, pid = await self.victim()
        self.tally.trouble.sick.add(replica)
        os.kill(pid, signal.SIGUSR1)
        await asyncio.sleep(3)

    async def be_503(self) -> None:
        """For good, health and all: it is replaced."""
        replica, pid = await self.victim()
        self.tally.trouble.sick.add(replica)
        self.end(replica)
        os.kill(pid, signal.SIGUSR2)
        await self.gone(replica)

    async def scale(self) -> None:
        """Up, or down: those that leave are drained under their open streams."""
        want = (await self.look()).replicas.want
        count = self.random.choice([n for n in range(FEWEST, MOST + 1) if n != want])
        await asyncio.to_thread(self.client.scale, self.name, count)
        await self.settled()

    async def update(self) -> None:
        """The next revision; all of the old one are drained."""
        self._version += 1
        await asyncio.to_thread(self.client.update, self.name, environment={"VERSION": str(self._version)})

        async def is_it() -> bool:
            service = await self.look()
            return bool(service.stable_revision == service.revision)

        await self._until(is_it, "the next revision serves")
        await self.settled()

    async def restart(self) -> None:
        await asyncio.to_thread(self.client.restart, self.name)
        await asyncio.sleep(0.5)
        await self.settled()

    # --- afterwards ---------------------------------------------------------------------------------------------------

    async def at_rest(self, count: int) -> dict[str, int]:
        """So many replicas, and what each of them, and the gateway of each, still has in flight after at most 10 s."""
        await asyncio.to_thread(self.client.scale, self.name, count)
        await self.settled()
        figures: dict[str, int] = {}
        for _ in range(100):
            service = await self.look()
            figures = {f"gateway: {r.id}": r.in_flight for r in service.replica_list}
            for replica in [each for each in service.replica_list if each.phase == "ready"]:
                figures[f"replica: {replica.id}"] = await asyncio.to_thread(in_flight_of, replica.address)
            if not any(figures.values()):
                break
            await asyncio.sleep(0.1)
        return figures


def in_flight_of(address: str) -> int:
    """What the replica itself has in flight, asked directly."""
    with urllib.request.urlopen(f"http://{address}/figures", timeout=10) as answer:
        return int(json.load(answer)["in_flight"])
