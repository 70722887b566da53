"""The single writer: events change lives, the plan is made, its actions are carried out.

    something happened → apply(replica, event) → touch(service) → reconcile(service): plan, act, until at rest

Everything here is synchronous and runs on the event loop's thread: between reading the state and changing it nothing
else can happen. What takes time is a task (launching, contact, probing, ending) whose result is the next event.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import string
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core import plan as planning
from ..core import replica as life
from ..core.backoff import Retry, after_failure, after_ready, without_merit
from ..core.plan import Plan, SeenReplica, Want
from ..core.replica import STARTING_UP, IllegalTransition, Life, Phase
from ..ports import Placement, ReplicaRecord
from .bus import Bus
from .contact import Contact, Look
from .ending import Ending
from .holding import has_old, held_now, refusal
from .journal import Journal, exit_details, parts_of_start
from .launching import Launching
from .ledger import Ledger
from .probing import Probing
from .replica_views import depart
from .room import found, given_back, is_no_news, refused
from .routes import add_backend, update_backend, update_endpoint, wake
from .state import Parts, Replica, Service
from .tasks import Tasks

log = logging.getLogger(__name__)

ID_LETTERS = string.ascii_lowercase + string.digits
ROUNDS = 50  # plans in a row for one service; a plan that never comes to rest is a fault of ours


class Controller:
    def __init__(self, parts: Parts, tasks: Tasks, bus: Bus, ledger: Ledger, journal: Journal) -> None:
        self.services: dict[tuple[str, str], Service] = {}
        self.faults: list[str] = []  # illegal events; tests hold this to be empty
        self.acting = False  # before adoption and after the end nothing is planned
        self.on_published: Callable[[Service], None] = lambda service: None
        self.on_removed: Callable[[Service], None] = lambda service: None
        self.on_ready: Callable[[Replica], None] = lambda replica: None  # for the first time
        self.on_failed: Callable[[Replica], None] = lambda replica: None
        self._parts = parts
        self._tasks = tasks
        self._bus = bus
        self._ledger = ledger
        self._journal = journal
        self._touched: set[Service] = set()
        self.contact = Contact(parts, tasks, Look(parts), self.apply)
        self._launching = Launching(
            parts, ledger, self.contact, self.apply, partial(refusal, parts.launcher, self.services)
        )
        self._probing = Probing(parts, self.apply)
        self._ending = Ending(parts, tasks, ledger, journal, self.apply)

    # --- events ---

    def apply(self, replica: Replica, event: life.Event) -> None:
        before = replica.life
        try:
            replica.life = life.step(before, event, self._parts.clock.monotonic())
        except IllegalTransition as error:
            self._illegal(replica, error)
            return
        if replica.phase is not before.phase:
            self._entered(replica, before)
        elif isinstance(event, life.Preparing) and before.action != replica.life.action:
            self._tell(replica, event)
        elif isinstance(event, life.Waiting) and before.reason != event.reason:
            message = f"replica {replica.id} waits to be started: {event.reason}"
            self._journal.add(replica.service, "replica.waiting", message, replica)
        elif isinstance(event, life.Launched):
            found(replica)
        update_backend(replica)
        self.touch(replica.service)

    def _illegal(self, replica: Replica, error: IllegalTransition) -> None:
        self.faults.append(f"{replica.id}: {error}")
        if self._parts.settings.strict:
            raise error
        log.error("Replica %s: %s", replica.id, error)
        if replica.live():
            self.contact.doubt(replica)

    def _entered(self, replica: Replica, before: Life) -> None:
        """What a new phase brings with it."""
        now, service = self._parts.clock.monotonic(), replica.service
        replica.since_at = self._parts.clock.now()
        if before.phase in STARTING_UP:
            self._parts.meter.phase(service.record.owner, service.record.name, before.phase.value, now - before.since)
        if replica.phase is Phase.LOADING:
            self._tasks.start(f"{replica.id} probing", self._probing.run(replica))
            self._tasks.start(f"{replica.id} exposure", self._probing.watch_exposure(replica))
        elif replica.phase is Phase.READY and before.phase is Phase.LOADING:
            number = replica.revision.number
            service.retries[number] = after_ready(service.retry(number))
            add_backend(replica, replica.poke.set)
            self.on_ready(replica)
        elif replica.phase is Phase.FAILED:
            if before.phase is Phase.DRAINING:
                replica.idle.set()  # its calls are broken off: there is nothing to wait for
            elif replica.placed:
                self._count_failure(replica, before, now)
            else:
                refused(replica, sum(r.takes_room for r in self._seen(service)), now)
            self.on_failed(replica)
        elif replica.phase is Phase.GONE and replica.placed and replica.revision.resources.gpus:
            for waiting in given_back(self.services.values()):
                self.touch(waiting)
        if replica.phase in life.LEAVING and replica.phase is not Phase.DRAINING:
            for work in ("probing", "contact"):
                self._tasks.cancel(f"{replica.id} {work}")
        if replica.phase in life.LEAVING and before.phase in life.LIVE:
            for work in ("launch", "exposure"):
                self._tasks.cancel(f"{replica.id} {work}")
            self._tasks.start(f"ending {replica.id}", self._ending.run(replica))
        self._tell(replica)

    def _count_failure(self, replica: Replica, before: Life, now: float) -> None:
        service, number = replica.service, replica.revision.number
        reason = f"replica {replica.id} {replica.life.reason}"
        ready_for = None if before.ready_at is None or replica.exposed else now - before.ready_at
        certain = replica.exposed if before.ready_at is None else ""
        service.retries[number] = after_failure(
            service.retry(number),
            created_at=replica.created,
            ready_for=ready_for,
            now=now,
            reason=reason,
            finding=certain,
        )
        if replica.exposed:
            service.retries[number] = without_merit(service.retries[number])
        if number == service.record.active:
            service.holes += 1
            service.owed += replica.ran()

    def _tell(self, replica: Replica, action: life.Preparing | None = None) -> None:
        if is_no_news(replica):
            return
        details: dict[str, Any] = {"revision": replica.revision.number}
        kind, text = f"replica.{replica.phase}", f"replica {replica.id} is {replica.phase}"
        if (step := action or replica.life.action) is not None and replica.phase is Phase.PREPARING:
            text += f": action {step.action} of {step.actions} ({step.label})"
        elif replica.phase is Phase.STARTING and replica.adopted:
            how = "is held to run" if replica.service.unseen else "was found running"
            kind, text = "replica.adopted", f"replica {replica.id} {how} and goes on"
        elif replica.phase is Phase.FAILED:
            text = f"replica {replica.id} {replica.life.reason}"
        elif replica.life.reason and replica.phase is not Phase.GONE:
            text += f": {replica.life.reason}"
        if replica.life.exit is not None and replica.phase is Phase.FAILED:
            details |= exit_details(replica.life.exit)
        if replica.phase is Phase.READY and replica.life.ready_at == replica.life.since and not replica.adopted:
            parts = parts_of_start(replica.life)
            details |= {"start_seconds": round(replica.life.since - replica.created, 3), "parts": parts}
            text += f" after {details['start_seconds']:.1f} s: " + ", ".join(f"{k} {s:.1f} s" for k, s in parts.items())
        self._journal.add(replica.service, kind, text, replica, details)

    # --- planning ---

    def touch(self, service: Service) -> None:
        """Plan for it, soon and once, however often this is called meanwhile."""
        self._bus.changed(service.key)
        if not self._touched:
            asyncio.get_running_loop().call_soon(self._reconcile_touched)
        self._touched.add(service)

    def _reconcile_touched(self) -> None:
        touched, self._touched = self._touched, set()
        for service in sorted(touched, key=lambda s: s.key):
            try:
                self.reconcile(service)
            except Exception:  # one service's trouble must not stop the others
                log.exception("Planning for service %s failed", service.key)
                self.faults.append(f"{service.key}: planning failed")

    def reconcile(self, service: Service) -> None:
        if service.unseen:
            update_endpoint(service, self._parts.clock.monotonic())
        if not self.acting:
            return
        plan = self._come_to_rest(service)
        self._wake_at(service, plan.wake_at)
        if service.deleting and not service.replicas:
            self._remove(service)
            return
        update_endpoint(service, self._parts.clock.monotonic())

    def _come_to_rest(self, service: Service) -> Plan:
        for _ in range(ROUNDS):
            plan = planning.plan(self._want(service), self._seen(service), self._parts.clock.monotonic())
            if not plan.actions:
                return plan
            for action in plan.actions:
                self._act(service, action)
        self.faults.append(f"{service.key}: the plan does not come to rest")
        log.error("The plan for service %s does not come to rest", service.key)
        return plan

    def _want(self, service: Service) -> Want:
        record = service.record
        free = None
        if has_old(service):
            held = held_now(self.services.values(), record.owner, service)
            free = self._parts.launcher.room(service.active, held, owner=record.owner)
        return Want(
            running=record.running,
            replicas=record.replicas,
            active=record.active,
            stable=record.stable,
            failed=record.error is not None,
            deleting=service.deleting,
            retry=service.retry(record.active),
            free=free,
        )

    def _seen(self, service: Service) -> list[SeenReplica]:
        return [
            SeenReplica(
                id=r.id,
                revision=r.revision.number,
                phase=r.phase,
                outdated=r.outdated,
                suspect=r.health.suspect,
                in_flight=r.backend.in_flight if r.backend is not None else 0,
                created_at=r.created,
                placed=r.placed,
                spared_until=r.created + self._parts.settings.first_contact if r.adopted else 0.0,
                ready_at=r.life.ready_at if r.life.ready_at is not None else 0.0,
            )
            for r in service.replicas.values()
        ]

    def _wake_at(self, service: Service, at: float | None) -> None:
        name = f"wake {service.id}"
        if at is None:
            self._tasks.cancel(name)
        else:
            self._tasks.start(name, self._wake(service, at))

    async def _wake(self, service: Service, at: float) -> None:
        await self._parts.clock.sleep(max(0.0, at - self._parts.clock.monotonic()))
        self.touch(service)

    # --- actions ---

    def _act(self, service: Service, action: planning.Action) -> None:
        if isinstance(action, planning.Start):
            self._start(service, action.revision)
        elif isinstance(action, planning.Drain):
            self.apply(service.replicas[action.replica], life.DrainBegun(action.reason))
        elif isinstance(action, planning.Stop):
            self.apply(service.replicas[action.replica], life.StopBegun(action.reason))
        elif isinstance(action, planning.Forget):
            self._forget(service, service.replicas[action.replica])
        elif isinstance(action, planning.TakeBack):
            self._take_back(service, action)
        elif isinstance(action, planning.Fail):
            self.decide(service, error=action.reason)
            service.holes = service.owed = 0
            self._journal.add(service, "service.failed", f"given up: {action.reason}")
        else:
            former = planning.former_after(service.record.former, service.record.stable, action.revision)
            former = tuple(number for number in former if number in service.revisions)
            self.decide(service, stable=action.revision, former=former)
            details = {"revision": action.revision}
            self._journal.add(service, "service.stable", f"revision {action.revision} is fully up", details=details)

    def _start(self, service: Service, number: int) -> None:
        record = ReplicaRecord(
            id=self._new_id(service),
            service_id=service.id,
            revision=number,
            secret=secrets.token_hex(32),
            placement=None,
            created_at=self._parts.clock.now(),
        )
        replica = self.add(service, record)
        if service.holes:
            service.holes -= 1
            replica.substitute = True
        if service.owed:
            service.owed -= 1
            self.decide(service, restarts=service.record.restarts + 1)
            self._parts.meter.restarted(service.record.owner, service.record.name)
        self._tell(replica)
        self._tasks.start(f"{replica.id} launch", self._launching.run(replica))

    def _new_id(self, service: Service) -> str:
        taken = {*service.replicas, *(d.id for d in service.departed)}
        while True:
            id = f"{service.record.name}-" + "".join(secrets.choice(ID_LETTERS) for _ in range(6))
            if id not in taken:
                return id

    def _forget(self, service: Service, replica: Replica) -> None:
        del service.replicas[replica.id]
        if Phase.FAILED in replica.life.starts and replica.placed:
            service.departed.append(depart(replica))
            while len(service.departed) > self._parts.settings.departed_kept:
                service.departed.popleft()

    def _take_back(self, service: Service, action: planning.TakeBack) -> None:
        given_up = service.record.active
        if action.revision == given_up:
            note = f"the restart was taken back, the former replicas serve on: {action.reason}"
            for replica in service.replicas.values():
                # What failed to come up goes; what served before stays.
                replica.outdated = not replica.outdated and not replica.serving()
        else:
            note = f"revision {given_up} was taken back, revision {action.revision} serves on: {action.reason}"
        service.holes = service.owed = 0
        service.retries[action.revision] = Retry(ever_ready=True)
        self.decide(service, active=action.revision, note=note, restarted_at=None)
        self._journal.add(service, "service.taken_back", note)

    def _remove(self, service: Service) -> None:
        """Its last replica is gone."""
        del self.services[service.record.owner, service.record.name]
        self._tasks.cancel(f"wake {service.id}")
        self._journal.add(service, "service.deleted", "deleted")
        self._journal.forget(service.id)
        self._parts.meter.forget(service.record.owner, service.record.name)
        self._bus.removed(service.key)
        self.on_removed(service)

    # --- for the engine and the adoption ---

    def decide(self, service: Service, **fields: object) -> None:
        """Change what is wanted by a decision of the plan: kept as soon as the store can be written."""
        service.record = replace(service.record, **fields)  # type: ignore[arg-type]
        self._ledger.service_changed(service.id, lambda: service.record)
        self.touch(service)

    def add(self, service: Service, record: ReplicaRecord) -> Replica:
        now = self._parts.clock.monotonic()
        replica = Replica(
            record=record,
            service=service,
            revision=service.revisions[record.revision],
            life=Life(since=now, starts={Phase.REQUESTED: now}),
            created=now,
            since_at=self._parts.clock.now(),
        )
        service.replicas[replica.id] = replica
        return replica

    def adopt(self, service: Service, record: ReplicaRecord, placement: Placement) -> None:
        """A living replica of before our start goes on as it is."""
        replica = self.add(service, replace(record, placement=placement))
        replica.adopted = True
        restarted = service.record.restarted_at
        replica.outdated = restarted is not None and record.created_at < restarted
        self.apply(replica, life.Adopted())
        self.contact.open(replica)

    def hurry(self, service: Service, drain: float) -> None:
        """Whatever leaves, and will leave, does so within ``drain`` seconds."""
        for replica in service.replicas.values():
            replica.hurried = drain
            replica.hurry.set()

    def end_replicas(self, service: Service, drain: float) -> None:
        """All of them, for the end of the gateway; what is wanted stays as it is."""
        self.hurry(service, drain)
        why = "the gateway ends"
        for replica in list(service.replicas.values()):
            if replica.live():
                self.apply(replica, life.DrainBegun(why) if replica.serving() else life.StopBegun(why))
        service.endpoint.wanted = False
        service.endpoint.unavailable = "The gateway is ending."
        wake(service.endpoint)

    def publish(self, service: Service) -> None:
        """Its endpoint is in the routing table from now on; whether a token is needed there is another matter."""
        self.services[service.record.owner, service.record.name] = service
        self.on_published(service)
        update_endpoint(service, self._parts.clock.monotonic())
        self._parts.routing.put(service.endpoint)

    def unpublish(self, service: Service) -> None:
        self._parts.routing.remove(service.record.owner, service.record.name)
        update_endpoint(service, self._parts.clock.monotonic())
        wake(service.endpoint)
