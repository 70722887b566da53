"""The control API on a real Unix socket, over a real engine in a world that exists in memory only."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from jupyter_model_service import wire
from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.guessing import Guesses
from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.revision import Kept, Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.routing import RoutingTable
from jupyter_model_service.core.sharing import Share
from jupyter_model_service.engine.bus import Change, Subscription
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.overrides import Overrides
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.engine.views import ServiceView
from jupyter_model_service.errors import InvalidRequest, Problem
from jupyter_model_service.ports import NOTHING_HELD, TokenRecord
from jupyter_model_service.testing import (
    CountingMeter,
    FakeDefinitions,
    FakeLauncher,
    FakeLeases,
    FakeProbe,
    FakeStorage,
    MemoryStore,
    Shelf,
    World,
)
from jupyter_model_service.testing.identity import FakeIdentity, FakeIssuer
from jupyter_model_service.web.application import ControlApplication, make_application
from jupyter_model_service.web.call import Parts
from jupyter_model_service.web.handler import MAX_DISCARDED
from jupyter_model_service.web.sending import Sending
from jupyter_model_service.web.stream import EventStreams
from jupyter_model_service.wire.offer import OfferInfo

T = TypeVar("T")

CONTROL, ENDPOINT, BOB, ADMIN = "jmc_control", "jms_endpoint", "jmc_bob", "jmc_admin"
FOLDER = "/models/chat"
FOLDERS = (FOLDER, "/models/x", "/models/y", "/m", "/f")
MISSPELT = Problem("models[0].nmae", 'unknown key, did you mean "name"?', "model-definition.yaml", 3, "warning")


class Heard(Engine):
    """The engine, and what it was asked: ``asked`` has the name of each method of ``HEARD`` and what it was given, in the
    order of its parameters. ``failure`` is raised in place of what it would do."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.asked: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None

    @property
    def subscriptions(self) -> set[Subscription]:
        return self._bus._listeners

    def publish(self, *changes: Change | None) -> None:
        """As if that had just happened; ``None``: there is no more to come."""
        for change in changes:
            if change is None:
                self._bus.close()
            else:
                self._bus._push(change)

    def _hear(self, name: str, *given: Any) -> None:
        self.asked.append((name, *given))
        if self.failure is not None:
            raise self.failure


HEARD = (
    "create", "update", "scale", "rollback", "restart", "stop_service", "start_service", "delete", "validate",
    "logs", "events", "autoscale", "adjust", "resume", "add_rule", "remove_rule", "add_schedule", "remove_schedule",
    "decisions", "series",
)  # fmt: skip


def _heard(name: str) -> Any:
    real = getattr(Engine, name)
    signature = inspect.signature(real)

    @functools.wraps(real)
    def method(self: Heard, *given: Any, **named: Any) -> Any:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        self._hear(name, *[value for key, value in bound.arguments.items() if key not in ("self", "still")])
        return real(self, *given, **named)

    @functools.wraps(real)
    async def waiting(self: Heard, *given: Any, **named: Any) -> Any:
        return await method(self, *given, **named)

    return waiting if inspect.iscoroutinefunction(real) else method


for _name in HEARD:
    setattr(Heard, _name, _heard(_name))


class Launcher(FakeLauncher):
    """It has images."""

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> Sequence[str]:
        return self.world.cannot_enforce


class Storage(FakeStorage):
    """``meanwhile`` is called while a folder is copied."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.meanwhile: Callable[[], object] = lambda: None

    async def keep(self, *given: Any, **named: Any) -> Kept:
        self.meanwhile()
        return await super().keep(*given, **named)


class ControlSite:
    """One application on a Unix socket of its own, and the engine under it, which goes on from one :meth:`run` to the
    next. ``identity`` knows people, programs, and one token of an endpoint; ``tokens`` has those that are made here."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.loop = asyncio.new_event_loop()
        self.clock = SystemClock()
        self.store = MemoryStore()
        self.world = World(on_start=lambda replica: replica.serves())
        self.shelf = Shelf(folders={folder: {"app.py": b"1"} for folder in FOLDERS})
        self.storage = Storage(self.shelf)
        self.routing = RoutingTable()
        self.definitions = FakeDefinitions()
        for folder in FOLDERS:
            self.definitions.put(folder, Definition("Tiny Chat", "/models", 8000, ("serve",)), [MISSPELT])
        self.engine = Heard(
            store=self.store,
            launcher=Launcher(self.world),
            leases=FakeLeases(self.world),
            probe=FakeProbe(self.world),
            definitions=self.definitions,
            clock=self.clock,
            meter=CountingMeter(),
            routing=self.routing,
            storage=self.storage,
            endpoint_url=lambda owner, name: f"http://127.0.0.1:1/endpoints/{owner}/{name}/",
            settings=EngineSettings(strict=True, store_retry=0.1, audit_kept=None, copies_beside_store=True),
        )
        self.tokens = EndpointTokens(self.store, self.clock, {}, FakeIssuer(made_at=time.time()))
        self.identity = FakeIdentity(
            {
                CONTROL: Caller("alice", manages=frozenset({"alice"})),
                BOB: Caller("bob", manages=frozenset({"bob"}), home="bob"),
                ADMIN: Caller("boss", manages_all=True, home="boss"),
                ENDPOINT: Caller("token:demo", invokes=frozenset({"alice/chat"})),
            }
        )
        self.attached: list[tuple[int, float, bool]] = []
        self.ended: list[bool] = []
        self.streams = EventStreams(heartbeat=0.1)
        self.sending = Sending()
        self.overrides = Overrides(self.store.access, self.clock, self.exists)
        self.open_metrics = False
        self.shared = False
        self.people = True
        self.prefix = "/"
        self.guesses: Guesses | None = None
        self._started = False

    # --- what there is ---

    def add(self, owner: str, name: str, *shares: Share, **more: Any) -> ServiceView:
        """As :meth:`made`."""
        return self.play(self.made(owner, name, *shares, **more))

    async def made(
        self, owner: str, name: str, *shares: Share, public: bool = False, replicas: int = 0, **change: Any
    ) -> ServiceView:
        """A service, ready if it has replicas; nothing of this is in ``engine.asked``."""
        asked = RevisionChange(**{"folder": FOLDER, **change})
        await Engine.create(self.engine, owner, change=asked, name=name, replicas=replicas, public=public)
        await eventually(lambda: not replicas or self.engine.service(owner, name).state == "ready")
        await self.share(owner, name, *shares)
        return self.engine.service(owner, name)

    async def share(self, owner: str, name: str, *shares: Share) -> None:
        """With these and nobody else."""
        await self.engine.sharings.clear(owner, name)
        for each in shares:
            await self.engine.sharings.set(owner, name, each.kind, each.name, role=each.role, limits=each.limits)

    def of(self, owner: str = "alice", name: str = "chat") -> list[TokenRecord]:
        """The endpoint tokens of that service."""
        return self.tokens.of(self.engine.service(owner, name).id)

    async def exists(self, user: str) -> bool:
        return True

    # --- the program around it ---

    def attach(self, pid: int, create_time: float, keep: bool) -> None:
        if pid == 666:
            raise InvalidRequest("There is no process 666 that began then.")
        self.attached.append((pid, create_time, keep))

    def info(self) -> wire.GatewayInfo:
        return wire.GatewayInfo(
            version="1",
            mode="embedded",
            owner="alice",
            pid=1,
            launcher="local",
            started_at=1.0,
            keep=False,
            attached=0,
            people=self.people,
        )

    async def offer(self, owner: str | None) -> OfferInfo:
        return OfferInfo(containers=False, max_replicas=100)

    def application(self) -> ControlApplication:
        parts = Parts(
            engine=self.engine,
            tokens=self.tokens,
            callers=Callers(self.identity, self.clock, guesses=self.guesses),
            metrics=lambda: b"model_service_replicas 1.0\n",
            info=self.info,
            attach=self.attach,
            shutdown=self.ended.append,
            offer=self.offer,
            overrides=self.overrides,
        )
        return make_application(
            parts,
            prefix=self.prefix,
            open_metrics=self.open_metrics,
            shared=self.shared,
            streams=self.streams,
            sending=self.sending,
        )

    @contextlib.asynccontextmanager
    async def serving(self, token: str | None = CONTROL) -> AsyncIterator[httpx.AsyncClient]:
        server = HTTPServer(self.application(), max_body_size=MAX_DISCARDED)
        server.add_socket(bind_unix_socket(self.path, mode=0o600))
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        try:
            async with httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=self.path),
                base_url="http://gateway/",
                headers=headers,
                timeout=20.0,
            ) as client:
                yield client
        finally:
            server.stop()
            self.streams.close()
            await server.close_all_connections()

    def run(self, body: Callable[[httpx.AsyncClient], Awaitable[T]], token: str | None = CONTROL) -> T:
        """Run the coroutine function with a client of the served application."""

        async def main() -> T:
            async with self.serving(token) as client:
                return await asyncio.wait_for(body(client), 30)

        return self.play(main())

    def play(self, body: Coroutine[Any, Any, T]) -> T:
        """Run it with the engine started."""

        async def main() -> T:
            if not self._started:
                self._started = True
                await self.engine.start()
            return await body

        return self.loop.run_until_complete(main())

    def close(self) -> None:
        if self._started:
            self.engine.failure = self.store.fail_writes = None
            self.play(self.engine.stop(end_replicas=False))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        assert list(self.engine.faults) == []


async def eventually(check: Callable[[], object]) -> None:
    for _ in range(1000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ControlSite]:
    site = ControlSite(tmp_path / "web.sock")
    yield site
    site.close()
