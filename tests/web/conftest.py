"""The control API on a real Unix socket, over a small hand-written engine that only remembers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from jupyter_model_service import wire
from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.cors import check_origins
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.grants import PathRule, changed_half, check_rules
from jupyter_model_service.core.guessing import Guesses
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.scaling import reading
from jupyter_model_service.core.scaling.policy import Autoscaling
from jupyter_model_service.core.scaling.signals import Bounds, Decision, Wish
from jupyter_model_service.core.sharing import NOBODY, Role, Share, Sharing
from jupyter_model_service.engine.audit import Audit
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.engine.history import SeriesView
from jupyter_model_service.engine.ledger import Ledger
from jupyter_model_service.engine.overrides import Overrides
from jupyter_model_service.engine.tokens import Use
from jupyter_model_service.engine.views import CopyView
from jupyter_model_service.errors import Conflict, InvalidRequest, NotFound, Problem
from jupyter_model_service.ports import EventRecord, Notice, TokenRecord
from jupyter_model_service.testing.store import MemoryStore
from jupyter_model_service.web.application import make_application
from jupyter_model_service.web.call import Parts
from jupyter_model_service.web.handler import MAX_DISCARDED
from jupyter_model_service.web.stream import EventStreams
from jupyter_model_service.wire.offer import OfferInfo

CONTROL, ENDPOINT, BOB, ADMIN = "jmc_control", "jms_endpoint", "jmc_bob", "jmc_admin"


@dataclasses.dataclass(frozen=True)
class Counts:
    want: int
    ready: int
    total: int


@dataclasses.dataclass(frozen=True)
class AutoscalingView(Autoscaling):
    """The policy, and what it comes to."""

    aim: float | None = 5.6
    bounds: Bounds | None = None
    last: str | None = None
    last_at: float | None = None


@dataclasses.dataclass
class DecisionView(Decision):
    changed: bool = False  # type: ignore[assignment]
    since: float = 0.5


@dataclasses.dataclass(frozen=True)
class View:
    """What the engine shows of a service; the same field names as ``wire.ServiceInfo``."""

    owner: str
    name: str
    id: str
    public: bool = False
    state: str = "ready"
    reason: str | None = None
    note: str | None = None
    endpoint: str = "http://127.0.0.1:1/endpoints/alice/chat/"
    replicas: Counts = Counts(1, 1, 1)
    revision: int = 1
    stable_revision: int | None = 1
    revisions: tuple[Any, ...] = ()
    replica_list: tuple[Any, ...] = ()
    not_enforced: tuple[str, ...] = ()
    restarts: int = 0
    created_at: float = 1_700_000_000.0
    autoscaling: AutoscalingView | None = None
    changed: list[str] | None = None
    folder_changed: bool | None = None
    notices: list[str] = dataclasses.field(default_factory=list)
    visibility: str = "private"
    page: str | None = None
    notice: Notice | None = None
    last_call_at: float | None = None
    gpus: int = 0


@dataclasses.dataclass(frozen=True)
class Change:
    kind: str
    key: str
    view: View | None = None
    event: EventRecord | None = None
    copy: CopyView | None = None


class Subscription:
    def __init__(self, engine: FakeEngine) -> None:
        self.queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._engine = engine
        engine.subscriptions.append(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        change = await self.queue.get()
        if change is None:
            raise StopAsyncIteration
        return change

    def close(self) -> None:
        self._engine.subscriptions.remove(self)


class FakeSharings:
    """Shares of the fake engine's services."""

    def __init__(self, engine: FakeEngine) -> None:
        self.kept: dict[tuple[str, str], Sharing] = {}
        self._engine = engine

    def of(self, owner: str, name: str) -> Sharing:
        return self.kept.get((owner, name), NOBODY)

    def former(self, share: Share) -> bool:
        return False

    async def set(self, owner: str, name: str, kind: Any, whom: str, *, role: Role, limits: Any, by: str) -> Share:
        self._engine._does("share", owner, name, kind, whom, role, limits, by)
        share = Share(kind, whom, role, limits, None, 5.0, by)
        self.kept[owner, name] = self.of(owner, name).with_share(share)
        return share

    async def remove(self, owner: str, name: str, kind: Any, whom: str) -> Share:
        self._engine._does("unshare", owner, name, kind, whom)
        share = self.of(owner, name).get(kind, whom)
        if share is None:
            raise NotFound(f"{owner}/{name} is not shared with {whom}.")
        self.kept[owner, name] = self.of(owner, name).without(kind, whom)
        return share


class FakeNotices:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def set(self, owner: str, name: str, text: str, by: str) -> None:
        self._engine._note("notice", owner, name, text, by)

    async def remove(self, owner: str, name: str) -> None:
        self._engine._note("no notice", owner, name)


class FakeOrigins:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, owner: str, name: str) -> tuple[str, ...]:
        return self.kept.get((owner, name), ())

    async def set(self, owner: str, name: str, origins: Any) -> None:
        self.kept[owner, name] = check_origins(origins)


class FakeLives:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def close_forbidden(self, owner: str | None = None) -> None:
        self._engine._note("close_forbidden", owner)


class FakeEngine:
    """Keeps services in a dictionary and every call in ``asked``."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], View] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.subscriptions: list[Subscription] = []
        self.store_error: str | None = None
        self.changed: list[str] | None = None
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None  # while a folder is copied
        self.sharings = FakeSharings(self)
        self.origins = FakeOrigins()
        self.notices = FakeNotices(self)
        self.lives = FakeLives(self)
        self.store = MemoryStore()
        ledger = Ledger(self.store, SystemClock(), 0.1, lambda: None)
        self.audit = Audit(self.store, SystemClock(), ledger, kept=None, retry=0.1)

    def add(self, owner: str, name: str, **fields: Any) -> View:
        view = View(owner=owner, name=name, id=f"id-{owner}-{name}", **fields)
        self.kept[owner, name] = view
        return view

    def services(self, owner: str | None = None) -> list[View]:
        return [v for v in self.kept.values() if owner in (None, v.owner)]

    def held(self) -> dict[str, Held]:
        return {owner: Held(services=len(self.services(owner))) for owner, _ in self.kept}

    def service(self, owner: str, name: str) -> View:
        if (owner, name) not in self.kept:
            raise NotFound(f"There is no service {owner}/{name}.")
        return self.kept[owner, name]

    async def inspect(self, owner: str, name: str) -> View:
        return dataclasses.replace(self.service(owner, name), changed=self.changed)

    async def validate(self, folder: str, given: Any = None) -> tuple[Definition, Sequence[Problem]]:
        self._note("validate", folder, *([given] if given else []))
        warning = Problem("models[0].nmae", 'unknown key, did you mean "name"?', "model-definition.yaml", 3, "warning")
        return Definition("Tiny Chat", "/models", 8000), [warning]

    async def create(
        self, owner: str, *, change: Any, name: str | None, replicas: int, public: bool, still: Any
    ) -> View:
        await self.copied(still)
        self._note("create", owner, change, name, replicas, public)
        if (owner, name) in self.kept:
            raise Conflict(f"There is a service {owner}/{name} already.")
        return self.add(owner, name or "tiny-chat", state="starting", public=public, replicas=Counts(replicas, 0, 0))

    async def copied(self, still: Any) -> None:
        self.meanwhile()
        await still()

    async def update(self, owner: str, name: str, *, change: Any, public: bool | None, still: Any) -> View:
        await self.copied(still)
        return self._does("update", owner, name, change, public)

    async def scale(self, owner: str, name: str, replicas: int) -> View:
        return self._does("scale", owner, name, replicas)

    async def rollback(self, owner: str, name: str, revision: int | None) -> View:
        return self._does("rollback", owner, name, revision)

    async def restart(self, owner: str, name: str) -> View:
        return self._does("restart", owner, name)

    async def stop_service(self, owner: str, name: str) -> View:
        return self._does("stop", owner, name)

    async def start_service(self, owner: str, name: str) -> View:
        return self._does("start", owner, name)

    async def delete(self, owner: str, name: str) -> View:
        return dataclasses.replace(self._does("delete", owner, name), state="deleting")

    async def logs(
        self, owner: str, name: str, replica: str | None, after: int, limit: int
    ) -> tuple[str, Sequence[str], int, int]:
        self._does("logs", owner, name, replica, after, limit)
        return replica or f"{name}-abc123", ["one", "two"], after + 2, 0

    async def events(
        self, owner: str | None, name: str | None, after: int, limit: int
    ) -> Sequence[tuple[str, EventRecord]]:
        self._does("events", owner, name, after, limit)
        return [(f"{owner}/{name}", EventRecord(7, 1.5, "id", "replica.ready", "ready", f"{name}-abc123", {"n": 1}))]

    async def autoscale(self, owner: str, name: str, plain: Any) -> View:
        self._does("autoscale", owner, name, plain)
        return self._scaled(owner, name, None if plain is None else reading.autoscaling_from_plain(plain))

    async def adjust(self, owner: str, name: str, changes: Any) -> View:
        self._does("adjust", owner, name, changes)
        plain = reading.autoscaling_to_plain(self._policy(owner, name))
        return self._scaled(owner, name, reading.autoscaling_from_plain({**plain, **changes}), "told besides")

    async def resume(self, owner: str, name: str) -> View:
        self._does("resume", owner, name)
        return self._scaled(owner, name, dataclasses.replace(self._policy(owner, name), held=False))

    async def add_rule(self, owner: str, name: str, plain: Any) -> View:
        return self._scaled(owner, name, reading.with_rule(self._policy(owner, name), plain))

    async def remove_rule(self, owner: str, name: str, id: str) -> View:
        return self._scaled(owner, name, reading.without_rule(self._policy(owner, name), id))

    async def add_schedule(self, owner: str, name: str, plain: Any) -> View:
        return self._scaled(owner, name, reading.with_schedule(self._policy(owner, name), plain))

    async def remove_schedule(self, owner: str, name: str, id: str) -> View:
        return self._scaled(owner, name, reading.without_schedule(self._policy(owner, name), id))

    def decisions(self, owner: str, name: str, limit: int) -> list[DecisionView]:
        self._does("decisions", owner, name, limit)
        wish = Wish("target", None, "the calls are not known yet")
        return [DecisionView(1.5, 1, 1, "stays at 1", (wish,), {"demand": None}, Bounds(1, 1), None)]

    def series(self, owner: str, name: str, since: float | None, step: float | None) -> SeriesView:
        self._does("series", owner, name, since, step)
        self.service(owner, name)
        return SeriesView(30.0, [30.0, 60.0], {"calls_per_second": [None, 1.5]})

    def _policy(self, owner: str, name: str) -> Autoscaling:
        view = self.service(owner, name).autoscaling
        if view is None:
            raise Conflict(f"Service {owner}/{name} is not autoscaled.")
        return Autoscaling(**{f.name: getattr(view, f.name) for f in dataclasses.fields(Autoscaling)})

    def _scaled(self, owner: str, name: str, policy: Autoscaling | None, *notices: str) -> View:
        view = None if policy is None else AutoscalingView(**vars(policy))
        self.kept[owner, name] = dataclasses.replace(self.service(owner, name), autoscaling=view)
        return dataclasses.replace(self.kept[owner, name], notices=list(notices))

    def subscribe(self) -> Subscription:
        return Subscription(self)

    def publish(self, *changes: Change | None) -> None:
        for subscription in self.subscriptions:
            for change in changes:
                subscription.queue.put_nowait(change)

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure

    def _does(self, what: str, owner: str | None, name: str | None, *rest: Any) -> View:
        self._note(what, owner, name, *rest)
        return self.service(str(owner), str(name))


class FakeTokens:
    """Endpoint tokens and the control tokens, in the clear: implements the two facades that the API uses."""

    def __init__(self) -> None:
        self.callers = {
            CONTROL: Caller("alice", manages=frozenset({"alice"})),
            BOB: Caller("bob", manages=frozenset({"bob"}), home="bob"),
            ADMIN: Caller("boss", manages_all=True, home="boss"),
            ENDPOINT: Caller("token:demo", invokes=frozenset({"alice/chat"})),
        }
        self.records: dict[str, list[TokenRecord]] = {}
        self.resolved: list[str] = []
        self.rotated: list[tuple[Any, ...]] = []
        self.hangs = False

    def known(self, token: str) -> Caller | None:
        return self.callers.get(token)

    def met(self, token: str) -> bool:
        return token in self.callers

    def over(self, token: str) -> bool:
        return False

    async def resolve(self, token: str, *, signs_in: bool = False) -> Caller | None:
        self.resolved.append(token)
        if token == "late":
            return self.callers[CONTROL]
        return None

    async def generate(
        self,
        service_id: str,
        key: str,
        name: str,
        expires_in: float | None,
        limits: Limits | None = None,
        rules: Iterable[PathRule] = (),
        by: str = "",
        shorten: bool = False,
    ) -> Any:
        expires_at = None if expires_in is None else 5.0 + expires_in
        more: dict[str, Any] = {"limits": limits, "rules": check_rules(rules), "created_by": by}
        record = TokenRecord("t1", service_id, name, "digest", 5.0, expires_at, **more)
        self.records.setdefault(service_id, []).append(record)
        return record, "jms_secret"

    def of(self, service_id: str) -> list[TokenRecord]:
        return self.records.get(service_id, [])

    def use(self, record: TokenRecord) -> Use | None:
        return None if record.limits is None else Use(calls_today=7, in_flight=2)

    async def change(
        self,
        service_id: str,
        token_id: str,
        limits: Mapping[str, Any] | None = None,
        rules: Iterable[PathRule] | None = None,
        halves: Mapping[str, Sequence[str] | None] | None = None,
    ) -> TokenRecord:
        record = self._listed(service_id, token_id)
        now = (
            record
            if limits is None
            else dataclasses.replace(record, limits=dataclasses.replace(record.limits or Limits(), **limits))
        )
        ruled = changed_half(record.rules, halves) if halves else record.rules if rules is None else rules
        now = dataclasses.replace(now, rules=check_rules(ruled))
        self.records[service_id] = [now if each is record else each for each in self.of(service_id)]
        return now

    def _listed(self, service_id: str, token_id: str) -> TokenRecord:
        for record in self.of(service_id):
            if record.id == token_id:
                return record
        raise NotFound(f"There is no token {token_id}.")

    def life_asked(self, service_id: str, token_id: str) -> float | None:
        return self._listed(service_id, token_id).life

    async def rotate(
        self, service_id: str, key: str, token_id: str, overlap: float, expires_in: Any = "as before", by: str = ""
    ) -> Any:
        former = self._listed(service_id, token_id)
        self.rotated.append((token_id, overlap, expires_in))
        record = dataclasses.replace(former, id="t2", family=former.kin, created_by=by)
        self.records[service_id].append(record)
        return record, "jms_secret2"

    async def revoke(self, service_id: str, token_id: str) -> None:
        kept = [r for r in self.of(service_id) if r.id != token_id]
        if len(kept) == len(self.of(service_id)):
            raise NotFound(f"There is no token {token_id}.")
        self.records[service_id] = kept

    def forget(self, service_id: str) -> None:
        self.records.pop(service_id, None)


class ControlSite:
    """One application on a Unix socket of its own."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.engine = FakeEngine()
        self.tokens = FakeTokens()
        self.attached: list[tuple[int, float, bool]] = []
        self.ended: list[bool] = []
        self.streams = EventStreams(heartbeat=0.1)
        self.overrides = Overrides(MemoryStore().access, SystemClock(), self.exists)
        self.open_metrics = False
        self.shared = False
        self.people = True
        self.prefix = "/"
        self.guesses: Guesses | None = None

    async def exists(self, user: str) -> bool:
        return True

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

    def application(self) -> Any:
        engine: Any = self.engine
        parts = Parts(
            engine=engine,
            tokens=self.tokens,
            callers=Callers(self.tokens, SystemClock(), guesses=self.guesses),
            metrics=lambda: b"model_service_replicas 1.0\n",
            info=self.info,
            attach=self.attach,
            shutdown=self.ended.append,
            offer=self.offer,
            overrides=self.overrides,
        )
        return make_application(
            parts, prefix=self.prefix, open_metrics=self.open_metrics, shared=self.shared, streams=self.streams
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

    def run(self, body: Callable[[httpx.AsyncClient], Any], token: str | None = CONTROL) -> Any:
        """Run the coroutine function with a client of the served application."""

        async def main() -> Any:
            async with self.serving(token) as client:
                return await asyncio.wait_for(body(client), 30)

        return asyncio.run(main())


@pytest.fixture
def site(tmp_path: Path) -> ControlSite:
    return ControlSite(tmp_path / "web.sock")


@pytest.fixture
def change() -> type[Change]:
    return Change
