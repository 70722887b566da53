"""The engine as the rest of the program sees it: start and stop, views, events, logs, commands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.definition import Definition
from ..core.policy import Held
from ..core.replica import Phase
from ..core.revision_change import RevisionChange
from ..core.routing import RoutingTable
from ..core.scaling.policy import Autoscaling
from ..errors import NotFound, Overloaded, Problem
from ..ports import (
    Begun,
    Clock,
    Definitions,
    EventRecord,
    GivenDefinition,
    Launcher,
    Leases,
    Meter,
    NoQueries,
    NoRules,
    Probe,
    Queries,
    Rules,
    Storage,
    Store,
)
from .adoption import Adoption
from .audit import Audit
from .bus import Bus, Subscription
from .commands import Commands
from .controller import Controller
from .history import Histories, SeriesView
from .holding import held_by_owner
from .journal import Journal
from .keeping import Keeping
from .ledger import Ledger
from .lives import Lives
from .notices import Notices
from .origins import Origins
from .policies import Policies
from .scaling import Scaling
from .scaling_views import DecisionView, decision_view
from .settings import EngineSettings
from .sharing import Sharings
from .state import DECISIONS_KEPT, Changed, Parts, Replica, Service
from .tasks import Tasks, within
from .turns import Still, Turns, nobody_asks
from .views import ServiceView, service_view

log = logging.getLogger(__name__)


class Engine:
    def __init__(
        self,
        *,
        store: Store,
        launcher: Launcher,
        leases: Leases,
        probe: Probe,
        definitions: Definitions,
        clock: Clock,
        meter: Meter,
        routing: RoutingTable,
        storage: Storage,
        endpoint_url: Callable[[str, str], str],
        page_url: Callable[[str, str, bool], str | None] = lambda *_: None,
        settings: EngineSettings | None = None,
        queries: Queries | None = None,
        rules: Rules | None = None,
        begun: Begun | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        self._parts = Parts(store, launcher, leases, probe, clock, meter, routing, self._settings)
        self._clock = clock
        self._endpoint_url = endpoint_url
        self._page_url = page_url
        self.histories = Histories()  # figures of each service over a day
        self._tasks = Tasks()
        self._bus = Bus(self._view_of)
        self._ledger = Ledger(store, clock, self._settings.store_retry, self._all_changed)
        kept, retry = self._settings.audit_kept, self._settings.store_retry
        self.audit = Audit(store, clock, self._ledger, kept=kept, retry=retry, begun=begun)
        self._journal = Journal(store, clock, self._bus, self._ledger)
        self._journal.own = lambda action, key, why: self.audit.own(action, key, after={"why": why})
        self._controller = Controller(self._parts, self._tasks, self._bus, self._ledger, self._journal)
        self._keeping = Keeping(self._parts, storage, self._tasks, self._ledger, self._services)
        self._controller.on_removed = self._removed
        rules = rules or NoRules()
        self._turns = Turns(self._parts, self._controller, self._ledger, self._journal, self._keeping.turn, rules)
        self._queries: Queries = queries if queries is not None else NoQueries()
        self._scaling = Scaling(
            self._parts, self._tasks, self._controller, self._journal, self._turns, self._queries, self.histories
        )
        self.sharings = Sharings(self._parts, self._tasks, self._ledger, self._turns, self._services)
        self.notices = Notices(self._turns, clock)
        self.lives = Lives(self._parts, self._tasks, self._ledger, self._turns, self._scaling, self._services, rules)
        self.origins = Origins(routing, self._turns)
        self._policies = Policies(clock, self._turns, self._scaling, self._queries)
        self._commands = Commands(
            self._parts,
            definitions,
            self._controller,
            self._ledger,
            self._keeping,
            self._turns,
            self._scaling,
            self._bus,
        )

    # --- life ---

    async def start(self) -> None:
        """Publish what the store knows, adopt what lives, end what is left over, then plan. Where the world is out of
        reach and ``first_look`` is set, that goes on when it is in reach again."""
        await self._journal.load()
        self._ledger.start(self._tasks)
        self.audit.start(self._tasks)
        await Adoption(self._parts, self._tasks, self._ledger, self._controller).run(self._begin)

    def _begin(self) -> None:
        """The world is known from here on."""
        self._controller.acting = True
        self._keeping.collect()
        for service in self._services():
            self._controller.touch(service)
        self._scaling.start()
        self.lives.start()

    async def stop(self, *, end_replicas: bool) -> None:
        """Give every lease back; the replicas run on, unless they are to end: then within ``shutdown_limit``."""
        await self._commands.close()
        self._controller.acting = False
        if end_replicas:
            await self._end_all()
        with contextlib.suppress(TimeoutError):  # a write that is broken off may have been done, and is done again
            await within(self._clock, self.audit.flush(), self._settings.store_retry)
        await self._tasks.close()
        leases = [r.lease for s in self._services() for r in s.replicas.values() if r.lease is not None]
        await asyncio.gather(
            *(within(self._clock, lease.close(), self._settings.shutdown_drain) for lease in leases),
            return_exceptions=True,
        )
        try:
            await within(self._clock, self._ledger.flush(), self._settings.store_retry)
            await within(self._clock, self.audit.flush(), self._settings.store_retry)
        except TimeoutError:
            log.warning("The last events, or entries of the audit log, could not be written in time")
        self._bus.close()

    async def _end_all(self) -> None:
        settings = self._settings
        endings = []
        for service in self._services():
            self._controller.end_replicas(service, settings.shutdown_drain)
            endings += [f"ending {replica.id}" for replica in service.replicas.values()]
        try:
            await within(self._clock, self._tasks.finished(endings), settings.shutdown_limit)
        except TimeoutError:
            left = [r for s in self._services() for r in s.replicas.values() if r.phase is not Phase.GONE]
            log.warning("%d replicas are ended by force", len(left))
            for replica in left:
                self._tasks.cancel(f"ending {replica.id}")
            await asyncio.gather(*(self._force(replica) for replica in left), return_exceptions=True)

    async def _force(self, replica: Replica) -> None:
        stop = self._parts.launcher.stop(replica.id, replica.record.placement)
        await within(self._clock, stop, self._settings.exit_patience)
        self._ledger.remove_replica(replica.id)

    # --- reading ---

    @property
    def store_error(self) -> str | None:
        """Why nothing can be written to the store just now; serving goes on meanwhile."""
        return self._ledger.error

    @property
    def faults(self) -> Sequence[str]:
        """Events that were illegal in their phase: faults of ours, empty in a healthy program."""
        return tuple(self._controller.faults)

    def services(self, owner: str | None = None) -> list[ServiceView]:
        found = [self._view(s) for s in self._services() if owner in (None, s.record.owner)]
        return sorted(found, key=lambda view: view.key)

    def held(self) -> Mapping[str, Held]:
        """What the services of each owner who has some take up, as her limits count it."""
        return held_by_owner(self._services())

    def service(self, owner: str, name: str) -> ServiceView:
        return self._view(self._turns.find(owner, name))

    async def inspect(self, owner: str, name: str) -> ServiceView:
        """Like :meth:`service`, and what changed in its folder since, if that is found out within half a second."""
        changed = await self._keeping.changed(self._turns.find(owner, name))
        view = self._view(self._turns.find(owner, name))
        if changed is None:
            return view
        told = list(changed.names)
        return replace(view, changed=told, folder_gone=changed.gone, folder_changed=bool(told) or changed.gone)

    def subscribe(self) -> Subscription:
        return self._bus.subscribe()

    async def events(
        self, owner: str | None, name: str | None, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[str, EventRecord]]:
        """The newest ``limit`` events after id ``after``, oldest first, with their ``owner/name``."""
        if owner is not None and name is not None:
            chosen = [self._turns.find(owner, name)]
        else:
            chosen = [s for s in self._services() if owner in (None, s.record.owner)]
        found: dict[int, tuple[str, EventRecord]] = {}
        for service in chosen:
            kept = await self._parts.store.events(service.id, after, limit)
            unwritten = [e for e in self._ledger.waiting(service.id) if e.id > after]
            found |= {event.id: (service.key, event) for event in (*kept, *unwritten)}
        return [found[number] for number in sorted(found)][-limit:] if limit > 0 else []

    async def logs(
        self, owner: str, name: str, replica: str | None = None, after: int = 0, limit: int = 1000
    ) -> tuple[str, Sequence[str], int, int]:
        """``(replica, lines, next cursor, lines lost)``; without ``replica`` of the one that tells most."""
        service = self._turns.find(owner, name)
        there = service.replicas.get(replica) if replica is not None else _most_telling(service)
        if there is not None and there.lease is not None and there.lease_open:
            asked = there.lease.logs(after, limit)
            try:
                lines, cursor, lost = await within(self._clock, asked, self._settings.log_timeout)
            except Exception as error:
                raise Overloaded(f"Replica {there.id} cannot be asked for its log just now: {error!r}.") from error
            return there.id, lines, cursor, lost
        for departed in reversed(service.departed):
            if replica in (None, departed.id):
                tail = departed.life.exit.tail if departed.life.exit is not None else ()
                return departed.id, tail[after : after + limit], min(len(tail), after + limit), 0
        if there is not None:
            tail = there.life.exit.tail if there.life.exit is not None else ()
            return there.id, tail[after : after + limit], min(len(tail), after + limit), 0
        if replica is None:
            raise NotFound(f"Service {service.key} has no replica that has a log.")
        raise NotFound(f"Service {service.key} has no replica {replica}.")

    async def validate(self, folder: str, given: GivenDefinition | None = None) -> tuple[Definition, Sequence[Problem]]:
        """What ``create`` would find: the definition and the warnings, among them what the launcher cannot enforce.

        Raises as ``create`` does: ``DefinitionError``, and ``InvalidRequest`` for what the launcher cannot do."""
        return await self._commands.validate(folder, given)

    def decisions(self, owner: str, name: str, limit: int = DECISIONS_KEPT) -> list[DecisionView]:
        """The last ``limit`` of the autoscaler, oldest first; those in a row that differ in their figures only are one.
        Empty where nothing was decided since the start of the gateway."""
        kept = self._turns.find(owner, name).scaled.decisions
        return [decision_view(decided) for decided in list(kept)[max(0, len(kept) - limit) :]]

    def series(self, owner: str, name: str, since: float | None = None, step: float | None = None) -> SeriesView:
        """Figures over the last day: ``since`` (Unix time), at a resolution no finer than ``step`` seconds."""
        return self.histories.of(self._turns.find(owner, name).id).read(self._clock.now(), since, step)

    # --- commands ---

    async def create(
        self,
        owner: str,
        *,
        change: RevisionChange,
        name: str | None,
        replicas: int = 1,
        public: bool = False,
        still: Still = nobody_asks,
    ) -> ServiceView:
        """Revision 1 of a new service; ``name`` is made from the model's when it is ``None``. ``still`` raises where
        whoever asked may not any more, once the files are copied, which may take hours: then there is none."""
        return self._changed(await self._commands.create(owner, change, name, replicas, public, still))

    async def update(
        self,
        owner: str,
        name: str,
        *,
        change: RevisionChange,
        public: bool | None = None,
        still: Still = nobody_asks,
    ) -> ServiceView:
        """The next revision, and roll over to it; ``public`` alone makes none. ``still`` as in :meth:`create`."""
        return self._changed(await self._commands.update(owner, name, change, public, still))

    async def rollback(self, owner: str, name: str, revision: int | None = None) -> ServiceView:
        """Back to a kept revision; by default the one that was fully up before the active one."""
        return self._changed(await self._commands.rollback(owner, name, revision))

    async def scale(self, owner: str, name: str, replicas: int) -> ServiceView:
        return self._view(await self._commands.scale(owner, name, replicas))

    async def restart(self, owner: str, name: str) -> ServiceView:
        """Replace every replica without a gap; a failed service is tried again."""
        return self._view(await self._commands.restart(owner, name))

    async def stop_service(self, owner: str, name: str, by: str = "") -> ServiceView:
        """Drain and end all replicas, keep everything else. ``by``: who stops it, where that is not its owner, such as
        ``the administrator carol``: events and its note say so until it is started."""
        return self._view(await self._commands.stop(owner, name, by))

    async def start_service(self, owner: str, name: str) -> ServiceView:
        return self._view(await self._commands.start(owner, name))

    async def delete(self, owner: str, name: str) -> ServiceView:
        return self._view(await self._commands.delete(owner, name))

    async def autoscale(self, owner: str, name: str, policy: Autoscaling | Mapping[str, Any] | None) -> ServiceView:
        """Set the policy, in the place of a former one (JSON data as ``core.scaling.reading`` takes it, or a policy);
        ``None`` ends autoscaling. A count that it does not allow is changed at once."""
        return self._changed(await self._policies.set(owner, name, policy))

    async def adjust(self, owner: str, name: str, changes: Mapping[str, Any]) -> ServiceView:
        """Change what is given of the policy (JSON data, ``None`` for a default), and leave all else as it is."""
        return self._changed(await self._policies.adjust(owner, name, changes))

    async def resume(self, owner: str, name: str) -> ServiceView:
        """Let autoscaling go on after a scale by hand."""
        return self._changed(await self._policies.resume(owner, name))

    async def add_rule(self, owner: str, name: str, plain: Mapping[str, Any]) -> ServiceView:
        return self._changed(await self._policies.add_rule(owner, name, plain))

    async def remove_rule(self, owner: str, name: str, id: str) -> ServiceView:
        return self._changed(await self._policies.remove_rule(owner, name, id))

    async def add_schedule(self, owner: str, name: str, plain: Mapping[str, Any]) -> ServiceView:
        return self._changed(await self._policies.add_schedule(owner, name, plain))

    async def remove_schedule(self, owner: str, name: str, id: str) -> ServiceView:
        return self._changed(await self._policies.remove_schedule(owner, name, id))

    # --- inside ---

    def _removed(self, service: Service) -> None:
        self._keeping.forget(service)
        self.histories.forget(service.id)

    def _services(self) -> list[Service]:
        return list(self._controller.services.values())

    def _view(self, service: Service) -> ServiceView:
        return service_view(service, self._clock.monotonic(), self._endpoint_url, self._page_url)

    def _changed(self, changed: Changed) -> ServiceView:
        return replace(self._view(changed.service), notices=list(changed.notices))

    def _view_of(self, key: str) -> ServiceView | None:
        owner, _, name = key.partition("/")
        service = self._controller.services.get((owner, name))
        return self._view(service) if service is not None else None

    def _all_changed(self) -> None:
        for service in self._services():
            self._bus.changed(service.key)


def _most_telling(service: Service) -> Replica | None:
    """A replica that serves, else the newest that can be asked."""
    open_ones = [r for r in service.replicas.values() if r.lease_open]
    return max(open_ones, key=lambda r: (r.serving(), r.record.created_at, r.id), default=None)
