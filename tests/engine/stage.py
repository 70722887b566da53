"""A stage for the engine: the public fakes as its world, virtual time, and a gateway that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from jupyter_model_service.core.definition import Definition, HealthCheck, Serving
from jupyter_model_service.core.replica import LIVE, Phase
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.routing import Backend, Endpoint, RoutingTable
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.engine.views import ReplicaView, ServiceView
from jupyter_model_service.ports import EventRecord, NoQueries, NoRules, Queries, Rules
from jupyter_model_service.testing import (
    CountingMeter,
    Disk,
    FakeDefinitions,
    FakeLauncher,
    FakeLeases,
    FakeProbe,
    FakeReplica,
    FakeStorage,
    LoopClock,
    MemoryStore,
    Shelf,
    World,
    run_in_virtual_time,
)

FOLDER, OWNER, NAME = "/models/chat", "ann", "chat"
CHECK = HealthCheck("/health", interval=10.0, max_retries=3, max_wait_time=15.0, initial_delay=60.0)


def definition(name: str = "chat", health: HealthCheck | None = CHECK, **serving: Any) -> Definition:
    return Definition(name, "/models", 8000, ("serve",), health_check=health, serving=Serving(**serving))


class Stage:
    """``world`` and ``disk`` survive the gateway; everything else is new after :meth:`reopen`."""

    def __init__(self, served: Definition | None = None, settings: EngineSettings | None = None) -> None:
        self.world = World(on_start=lambda replica: replica.serves())
        self.store = MemoryStore(Disk())
        self.shelf = Shelf(folders={FOLDER: {"app.py": b"1"}})
        self.definitions = FakeDefinitions({FOLDER: served or definition()})
        self.settings = settings or EngineSettings(strict=True)
        self.queries: Queries = NoQueries()
        self.rules: Rules = NoRules()
        self.launcher_class: type[FakeLauncher] = FakeLauncher
        self.build()

    def build(self) -> None:
        self.meter, self.routing, self.probe = CountingMeter(), RoutingTable(), FakeProbe(self.world)
        self.clock = LoopClock()
        self.engine = Engine(
            store=self.store,
            launcher=self.launcher_class(self.world),
            leases=FakeLeases(self.world),
            probe=self.probe,
            definitions=self.definitions,
            clock=self.clock,
            meter=self.meter,
            routing=self.routing,
            storage=FakeStorage(self.shelf),
            endpoint_url=lambda owner, name: f"http://127.0.0.1:1/endpoints/{owner}/{name}/",
            settings=self.settings,
            queries=self.queries,
            rules=self.rules,
        )

    @property
    def disk(self) -> Disk:
        return self.store.disk

    # --- the gateway ---

    async def kill(self) -> None:
        """``kill -9``: what was not on disk or in the world is lost, nobody cleans up."""
        self.world.kill_gateway()
        self.shelf.kill_gateway()
        self.store = self.store.reopened()
        await self.engine._tasks.close()  # the process is gone, and its tasks with it

    async def reopen(self) -> None:
        self.build()
        await self.engine.start()

    # --- the service ---

    async def create(self, replicas: int = 1, **more: Any) -> ServiceView:
        change = RevisionChange(folder=FOLDER, **more)
        return await self.engine.create(OWNER, change=change, name=NAME, replicas=replicas, public=False)

    async def ready(self, replicas: int = 1) -> list[FakeReplica]:
        await self.create(replicas)
        await self.until(lambda: self.view.state == "ready")
        return self.there()

    @property
    def view(self) -> ServiceView:
        return self.engine.service(OWNER, NAME)

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.routing.get(OWNER, NAME)
        assert endpoint is not None
        return endpoint

    def there(self) -> list[FakeReplica]:
        return sorted(self.world, key=lambda replica: replica.placement.control)

    def shown(self, replica: str) -> ReplicaView:
        return next(r for r in self.view.replica_list if r.id == replica)

    def backend(self, replica: str) -> Backend:
        return next(b for b in self.endpoint.backends if b.replica == replica)

    def takes_calls(self) -> set[str]:
        return {b.replica for b in self.endpoint.backends if b.serving and not b.suspect}

    async def told(self, kind: str = "") -> list[EventRecord]:
        events = await self.engine.events(OWNER, NAME, 0, 1000)
        return [event for _, event in events if event.kind.startswith(kind)]

    # --- time ---

    async def until(self, true: Callable[[], object], limit: float = 3600.0) -> float:
        """Virtual seconds until it is so."""
        began = self.clock.monotonic()
        while not true():
            if self.clock.monotonic() - began > limit:
                raise AssertionError(f"it did not come to that within {limit:g} s: {self.engine.services()}")
            await asyncio.sleep(0.01)
        return self.clock.monotonic() - began

    async def quiet(self) -> None:
        """Until nothing starts or leaves any more."""
        await self.until(lambda: all(r.phase in ("ready", "unhealthy", "gone") for r in self._replicas()), 600)
        await asyncio.sleep(0.1)

    def _replicas(self) -> Sequence[ReplicaView]:
        return [replica for service in self.engine.services() for replica in service.replica_list]

    # --- what must always hold at rest ---

    def check(self) -> None:
        assert list(self.engine.faults) == []
        living = {r.id for r in self._replicas() if r.phase != Phase.GONE.value}
        assert set(self.world.replicas) <= living, "an orphan"
        assert set(self.disk.replicas) <= living, "a record of something that is gone"
        stored = {(service, number) for service, known in self.disk.revisions.items() for number in known}
        assert set(self.shelf.kept) <= stored, "files of a revision that nobody wants"
        assert not self.shelf.half
        for service in self.engine.services():
            live = [r for r in service.replica_list if Phase(r.phase) in LIVE]
            assert len(live) <= service.replicas.want + (service.replicas.want + 1) // 2


def play(scene: Callable[[Stage], Coroutine[Any, Any, None]], stage: Stage | None = None) -> None:
    """Run the scene in virtual time on an open gateway; at its end the stage must be in order."""

    async def body() -> None:
        on = stage or Stage()
        await on.engine.start()
        await scene(on)
        await on.until(lambda: all(r.phase not in ("stopping", "failed") for r in on._replicas()), 600)
        await asyncio.sleep(0.1)
        on.check()
        await on.engine.stop(end_replicas=False)
        assert list(on.engine.faults) == []

    run_in_virtual_time(body())
