"""What the gateway's tick costs: the engine's own objects with fake replicas, a simulated clock, and no sleep.

    python benchmarks/autoscale.py --cost           # 1,000 services × 10 replicas; none, half, all of them with calls
    python benchmarks/autoscale_tick.py --busy 0.1

The whole tick is measured: looking at replicas, decisions (a target and two rules), the rows that are kept of them, and
figures for pictures; and a save of these figures. Between ticks each replica sends a sample (GPUs of services without
calls are at rest), and calls come and end: that is the runner's and the front's part, and not counted. Figures are
processor time of the whole process; of several runs the one with the least counts, as what the work itself takes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import random
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_model_service.adapters.history_file import HistoryFile
from jupyter_model_service.app.history import BATCH, SAVED_EVERY, KeptHistories
from jupyter_model_service.core.definition import Definition, Serving
from jupyter_model_service.core.replica import Phase
from jupyter_model_service.core.reports import GpuSample, LeaseSample
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.routing import Endpoint, RoutingTable
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule
from jupyter_model_service.engine import sampling, scaling
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.history import History
from jupyter_model_service.engine.state import Replica, Service
from jupyter_model_service.ports import Placement, ReplicaRecord, ServiceRecord
from jupyter_model_service.testing import (
    CountingMeter,
    FakeDefinitions,
    FakeLauncher,
    FakeLeases,
    FakeProbe,
    FakeStorage,
    MemoryStore,
    World,
)

PERIOD = 2.0  # seconds between two looks at a service
SHARE = 0.05  # of a core
BUSY = 0.5  # of the services have calls
HELD = 0.010  # seconds that the loop may be held
WARM = 170  # looks, until what is remembered is as much as it becomes: 300 s are
CALLS, MEAN = 10, 4.5  # calls of so many seconds that come to a service each 2 s: 22 are in flight
RULES = (Rule("r1", "gpu_util", above=80.0, below=20.0), Rule("r2", "latency_p95", above=20.0))


class Stopwatch:
    """``ports.Clock`` whose time passes in ``sleep`` only. What is done from one sleep to the next is one piece of
    work, for which the loop is held: ``pieces`` has its seconds of processor time, ``spent`` their sum."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        self.at = 1_000.0
        self.spent = 0.0
        self.pieces: list[float] = []
        self._passed = passed
        self._began = 0.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at

    def begin(self) -> None:
        self._began = time.process_time()

    async def sleep(self, seconds: float) -> None:
        piece = time.process_time() - self._began
        self.pieces.append(piece)
        self.spent += piece
        await asyncio.sleep(0)
        if seconds > 0:
            self.at += seconds
            self._passed(self.at)
        self.begin()


@dataclass
class Stand:
    """An engine that has not been started: of its tasks only the autoscaler's runs."""

    count: int
    replicas: int
    busy: float
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    services: list[Service] = field(default_factory=list)
    calls: list[tuple[float, float, int]] = field(default_factory=list)  # until when, for how long, of which service

    def __post_init__(self) -> None:
        self.clock = Stopwatch(self.passed)
        self.heard_at = self.clock.at
        world = World()
        self.engine = Engine(
            store=MemoryStore(),
            launcher=FakeLauncher(world),
            leases=FakeLeases(world),
            probe=FakeProbe(world),
            definitions=FakeDefinitions(),
            clock=self.clock,
            meter=CountingMeter(),
            routing=RoutingTable(),
            storage=FakeStorage(),
            endpoint_url=lambda owner, name: "",
        )
        self.controller, self.scaling = self.engine._controller, self.engine._scaling
        self.controller.acting = True
        self.policy = Autoscaling(self.replicas, self.replicas, rules=RULES)  # what a change brings is not the tick's
        for number in range(self.count):
            self.add(number)
        self.working = [n for n in range(self.count) if (n + 1) * self.busy // 1 > n * self.busy // 1]

    def add(self, number: int) -> None:
        name = f"model-{number}"
        served = Definition(name, "/models", 8000, ("serve",), serving=Serving(concurrency=8))
        revision = Revision(1, "/models", served, self.clock.now())
        record = ServiceRecord(
            f"{number:032x}", "ann", name, False, True, self.replicas, 1, 1, self.clock.now(), autoscaling=self.policy
        )
        service = Service(record, {1: revision}, Endpoint("ann", name, False, served.serving))
        self.controller.services["ann", name] = service
        self.services.append(service)
        for replica in range(self.replicas):
            place = Placement({}, ("127.0.0.1", 1), ("127.0.0.1", 2))
            written = ReplicaRecord(f"{name}-{replica:06}", service.id, 1, "", place, self.clock.now())
            self.ready(self.controller.add(service, written))

    def ready(self, replica: Replica) -> None:
        at = self.clock.at
        replica.life = replace(replica.life, phase=Phase.READY, ready_at=at, starts={Phase.READY: at})
        replica.lease_open = True

    def passed(self, now: float) -> None:
        """Time has passed: samples, and calls that end and begin."""
        seconds = now - self.heard_at
        if seconds < PERIOD / 2:
            return
        self.heard_at = now
        working, idle = ([self.sample(now, use) for _ in range(97)] for use in (40.0, 0.0))
        calls = set(self.working)
        for number, service in enumerate(self.services):
            samples = working if number in calls else idle
            for turn, replica in enumerate(service.replicas.values()):
                self.controller.contact._hear(replica, samples[(number + turn) % 97])
        while self.calls and self.calls[0][0] <= now:
            at, took, number = heapq.heappop(self.calls)
            endpoint = self.services[number].endpoint
            endpoint.in_flight -= 1
            endpoint.traffic.ended(at, 500 if took > 6.45 else 200, took, took, took / 2)
        for number in self.working:
            endpoint = self.services[number].endpoint
            for _ in range(round(CALLS * seconds / PERIOD)):
                took = MEAN - 2 + 4 * self.dice.random()
                endpoint.in_flight += 1
                endpoint.traffic.begun(now)
                endpoint.traffic.sent(now)
                heapq.heappush(self.calls, (now + took, took, number))

    def sample(self, now: float, use: float) -> LeaseSample:
        gpu = GpuSample("GPU-1", use * (1 + self.dice.random() / 2), 20 << 30, 80 << 30)
        return LeaseSample((gpu,), 2 << 30, now * self.dice.random(), now)

    async def run(self, seconds: float) -> None:
        task = asyncio.ensure_future(self.scaling._run())
        self.clock.begin()
        until = self.clock.at + seconds
        while self.clock.at < until:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def timed(parts: dict[str, tuple[Any, str]], spent: dict[str, float]) -> Iterator[None]:
    """Adds up what each of the functions takes, those that it calls included."""

    def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                spent[name] = spent.get(name, 0.0) + time.thread_time() - began

        return measured

    before = {name: getattr(*place) for name, place in parts.items()}
    for name, (where, what) in parts.items():
        setattr(where, what, around(name, before[name]))
    try:
        yield
    finally:
        for name, (where, what) in parts.items():
            setattr(where, what, before[name])


PARTS: dict[str, tuple[Any, str]] = {
    "replicas and what they measure": (sampling, "look"),
    "counters, and one point for pictures": (sampling, "point"),
    "the figures for pictures": (History, "add"),
    "whether anything is new": (scaling, "goes_on"),
    "the sample": (sampling, "take"),
    "the decision": (scaling, "decide"),
    "queries of rules": (sampling, "asked"),
}


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time: ``tick`` for a look at all services, ``held`` the longest for which the loop was held
    meanwhile, ``parts`` for one service. ``saving`` is what a save of all figures takes, ``holding`` the loop's."""

    tick: float
    held: float
    parts: dict[str, float]
    saving: float
    holding: float

    @property
    def share(self) -> float:
        """Of one core."""
        return self.tick / PERIOD + self.saving / SAVED_EVERY


async def measured(stand: Stand, ticks: int, runs: int) -> Cost:
    """The run that takes the least: others were disturbed."""
    await stand.run(WARM * PERIOD)
    found: list[tuple[float, float]] = []
    for _ in range(runs):
        stand.clock.spent, stand.clock.pieces = 0.0, []
        began = stand.clock.at
        await stand.run(ticks * PERIOD)
        found.append((stand.clock.spent * PERIOD / (stand.clock.at - began), max(stand.clock.pieces)))
    spent: dict[str, float] = {}
    with timed(PARTS, spent):
        await stand.run(ticks * PERIOD)
    parts = {name: spent.get(name, 0.0) / ticks / stand.count for name in PARTS}
    tick, held = min(found)
    return Cost(tick, held, parts, *await saved(stand))


async def saved(stand: Stand) -> tuple[float, float]:
    """A save of a full day of figures that no two services have alike: that is the most that there is to compress."""
    noise = array("f", [stand.dice.random() for _ in range(20_000)])
    for history in stand.engine.histories._of.values():
        for ring in history.rings:
            for name in ring.columns:
                begin = stand.dice.randrange(len(noise) - ring.length)
                ring.columns[name] = noise[begin : begin + ring.length]
    holding, pieces = 0.0, stand.engine.histories.pieces()
    while (began := time.process_time()) and list(islice(pieces, BATCH)):
        holding = max(holding, time.process_time() - began)
    with TemporaryDirectory() as folder:
        began = time.process_time()
        await KeptHistories(stand.engine.histories, HistoryFile(Path(folder, "history"))).stop()
        return time.process_time() - began, holding


def cost_of_tick(services: int = 1000, replicas: int = 10, busy: float = 0.5, ticks: int = 10, runs: int = 6) -> Cost:
    gc.collect()
    return asyncio.run(measured(Stand(services, replicas, busy), ticks, runs))


def cost(services: int = 1000, replicas: int = 10, busy: tuple[float, ...] = (0.0, 0.5, 1.0)) -> int:
    """Prints it; 1 if the share is too much, or the loop is held for too long, with calls at :data:`BUSY` or fewer."""
    found = {each: cost_of_tick(services, replicas, each) for each in busy}
    print(f"{services:,} services × {replicas} replicas, looked at every {PERIOD:g} s; processor time\n")
    print("| services with calls | of one core | a service | longest step | a save each 5 min | of it on the loop |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for each, its in found.items():
        cells = f"{each:.0%}", f"{its.share:.2%}", f"{its.tick / services * 1e6:.0f} µs", f"{its.held * 1e3:.1f} ms"
        print("| " + " | ".join((*cells, f"{its.saving:.2f} s", f"{its.holding * 1e3:.1f} ms a step")) + " |")
    print(
        "\n| µs a service, each measured with a stopwatch around it | " + " | ".join(f"{e:.0%}" for e in found) + " |"
    )
    print("| --- |" + " ---: |" * len(found))
    for part in PARTS:
        print(f"| {part} | " + " | ".join(f"{its.parts[part] * 1e6:.1f}" for its in found.values()) + " |")
    judged = [its for each, its in found.items() if each <= BUSY]
    return 0 if all(its.share <= SHARE and max(its.held, its.holding) <= HELD for its in judged) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--busy", type=float, action="append", help="share of the services that have calls")
    asked = parser.parse_args()
    return cost(asked.services, asked.replicas, tuple(asked.busy or (0.0, 0.5, 1.0)))


if __name__ == "__main__":
    sys.exit(main())
