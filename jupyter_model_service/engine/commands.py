"""What an owner may ask for. Every command checks, then writes to the store, then changes the picture in memory.

When a check or the write fails, nothing has changed. Commands take turns, so that two cannot pass the same check,
and one that has begun is finished even when its caller leaves: otherwise the store could know what we do not.
Keeping the files of a new revision may take hours and comes before the turn, so that nobody else waits for it; until
it is done, nothing is decided, and a caller that leaves gives it up.
Nothing here waits for replicas: how that goes is told by views and events.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from ..core.definition import Definition
from ..core.names import check_service_name, service_name_from
from ..core.revision import Kept, Revision
from ..core.revision_change import RevisionChange, make_revision
from ..core.routing import Endpoint
from ..core.sentences import counted
from ..errors import Conflict, InvalidRequest, NotFound, Problem
from ..ports import Definitions, GivenDefinition, ServiceRecord
from . import counts
from .bus import Bus
from .controller import Controller
from .copying import Copying
from .keeping import Keeping, as_now, unkept
from .ledger import Ledger
from .scaling import Scaling
from .state import Changed, Parts, Preparing, Service
from .turns import Still, Turns, nobody_asks, public_as

STAYS_FAILED = "scaled to {}, but the service stays failed until it is updated, rolled back, started or restarted"


def _before(service: Service) -> int | None:
    """What was fully up before the active revision."""
    record = service.record
    if record.stable is not None and record.stable != record.active:
        return record.stable
    return next((number for number in reversed(record.former) if number in service.revisions), None)


class Commands:
    def __init__(
        self,
        parts: Parts,
        definitions: Definitions,
        controller: Controller,
        ledger: Ledger,
        keeping: Keeping,
        turns: Turns,
        scaling: Scaling,
        bus: Bus,
    ) -> None:
        self._parts = parts
        self._definitions = definitions
        self._controller = controller
        self._ledger = ledger
        self._keeping = keeping
        self._turns = turns
        self._scaling = scaling
        self._bus = bus

    async def close(self) -> None:
        """Until the commands that have begun are finished; those that still copy files are given up."""
        self._keeping.close()
        await self._turns.finished()

    async def validate(self, folder: str, given: GivenDefinition | None = None) -> tuple[Definition, Sequence[Problem]]:
        """Everything that :meth:`create` would check of a folder alone."""
        definition, problems = await self._definitions.load(folder, given)
        would_be = make_revision(RevisionChange(), None, 1, folder, definition, self._parts.clock.now())
        not_enforced = self._parts.launcher.check(would_be)
        self._scaling.check(definition)
        return definition, [*problems, *(Problem("", sentence, severity="warning") for sentence in not_enforced)]

    async def create(
        self,
        owner: str,
        change: RevisionChange,
        name: str | None,
        replicas: int,
        public: bool,
        still: Still = nobody_asks,
    ) -> Changed:
        if change.folder is None:
            raise InvalidRequest("A service needs a model folder.")
        self._turns.check_replicas(replicas)
        if name is not None:
            check_service_name(name)
        folder = change.folder
        copying = Copying(f"{owner}/{name}", folder, self._parts.clock, self._bus)
        definition, _ = await self._definitions.load(folder, change.definition)
        revision = make_revision(change, None, 1, folder, definition, self._parts.clock.now())
        self._scaling.check(definition)
        self._turns.allowed(revision, owner, public, counts.first(definition, replicas, revision.created_at)[0])
        would_be = name if name is not None else service_name_from(definition.name)
        self._turns.check_free(owner, would_be)
        self._turns.check_room(owner)
        copying.key = f"{owner}/{would_be}"
        service_id = uuid.uuid4().hex
        notices: list[str] = []

        async def body(kept: Kept, definition: Definition) -> Service:
            first = replace(revision, kept=kept, definition=definition)
            count, why = counts.first(definition, replicas, self._parts.clock.now())
            not_enforced = self._turns.allowed(first, owner, public, count)
            chosen = name if name is not None else service_name_from(definition.name)
            self._turns.check_free(owner, chosen)
            self._turns.check_room(owner)
            record = ServiceRecord(
                id=service_id,
                owner=owner,
                name=chosen,
                public=public,
                running=True,
                replicas=count,
                active=1,
                stable=None,
                created_at=revision.created_at,
                began_at=revision.created_at,
                autoscaling=definition.serving.autoscaling,
            )
            await self._ledger.commit(lambda: self._parts.store.add_service(record, first))
            endpoint = Endpoint(
                owner, chosen, public, definition.serving, created_at=record.created_at, service_id=record.id
            )
            service = Service(record, {1: first}, endpoint, not_enforced=not_enforced)
            self._controller.publish(service)
            with_ = f"with {counted(count, 'replica')}{why}"
            if why and replicas != 1:
                notices.append(f"It begins {with_}, as its definition's serving.autoscaling says.")
            said = f"created from {first.folder} {with_}{unkept(kept)}"
            self._turns.told(service, "service.created", said, "created")
            return service

        async def keep() -> Service:
            async with self._keeping.kept(service_id, owner, revision, copying) as kept:
                of_copy, problems = await self._definitions.load(folder, change.definition, kept)
                notices.extend(map(_notice, problems))
                await still()
                async with self._turns.turn:
                    copying.decided = True
                    return await body(kept, of_copy)

        return Changed(await self._turns.begin(keep(), copying), tuple(notices))

    async def update(
        self, owner: str, name: str, change: RevisionChange, public: bool | None, still: Still = nobody_asks
    ) -> Changed:
        """Roll over to a new revision; ``public`` alone makes none."""
        service = self._turns.find(owner, name)
        notices: list[str] = []
        if change.empty and public is not None:
            return Changed(await self._turns.in_turn(self._set_public(service, public)))

        def history(line: str) -> None:
            if not service.deleting:
                self._turns.told(service, "service.copying", line, "its files are being copied")

        copying = Copying(service.key, "", self._parts.clock, self._bus, history)

        async def body(number: int, folder: str, kept: Kept, definition: Definition) -> Service:
            self._turns.check_there(service)
            made = make_revision(change, service.active, number, folder, definition, self._parts.clock.now())
            revision = replace(made, kept=kept)
            self._turns.allowed_for(service, revision, public)
            await self._ledger.commit(lambda: self._parts.store.add_revision(service.record, revision))
            service.last_number = number  # never used twice, even if the next write fails
            scaled = await self._activate(service, revision, public)
            notices.extend(scaled.notices)
            said = f"updated to revision {number}"
            self._turns.told(service, "service.updated", f"{said}{unkept(kept)}{scaled.said}", said)
            await self._keeping.drop_old(service)
            return service

        async def prepare(preparing: Preparing) -> Service:
            number = copying.number = preparing.number
            folder = copying.folder = change.folder if change.folder is not None else service.active.folder
            definition, _ = await self._definitions.load(folder, change.definition)
            if definition.serving.autoscaling != service.active.definition.serving.autoscaling:
                self._scaling.check(definition)
            made = make_revision(change, service.active, number, folder, definition, self._parts.clock.now())
            self._turns.allowed_for(service, made, public)
            async with self._keeping.kept(service.id, owner, made, copying) as kept:
                of_copy, problems = await self._definitions.load(folder, change.definition, kept)
                notices.extend(map(_notice, problems))
                await still()
                async with self._turns.turn:
                    copying.decided = True
                    return await body(number, folder, kept, of_copy)

        return Changed(await self._turns.begin(self._alone(service, prepare), copying), tuple(notices))

    async def _alone(self, service: Service, prepare: Callable[[Preparing], Coroutine[Any, Any, Service]]) -> Service:
        """One revision of a service is prepared at a time, and given up when something else becomes of the service."""
        self._turns.check_there(service)
        if service.preparing is not None:
            raise Conflict(
                f"Revision {service.preparing.number} of service {service.key} is being copied: update again when it "
                "is there, or give it up with a rollback or a stop."
            )
        task = asyncio.current_task()
        assert task is not None
        preparing = service.preparing = Preparing(max(service.last_number, *service.revisions) + 1, task)
        try:
            return await prepare(preparing)
        except asyncio.CancelledError:
            if preparing.given_up is None:
                raise
            raise Conflict(preparing.given_up) from None
        finally:
            if service.preparing is preparing:
                service.preparing = None

    def _give_up_preparing(self, service: Service, why: str) -> None:
        """In turn: one that has got as far as its own turn is finished."""
        preparing, service.preparing = service.preparing, None
        if preparing is not None:
            preparing.given_up = f"Revision {preparing.number} of service {service.key} was not made: {why} meanwhile."
            preparing.task.cancel()

    async def rollback(self, owner: str, name: str, number: int | None) -> Changed:
        """Make a kept revision active again; without a number the one that was fully up before the active one. One
        that never came up, or that was gone back from, is nothing to go back to unless it is named."""
        service = self._turns.find(owner, name)

        async def body() -> Changed:
            active = service.record.active
            kept = ", ".join(map(str, sorted(service.revisions)))
            chosen = number if number is not None else _before(service)
            if chosen is None and len(service.revisions) == 1:
                raise Conflict(f"Service {service.key} has no revision but {active} to go back to.")
            if chosen is None:
                raise Conflict(
                    f"No revision of service {service.key} is known to have been fully up before the active one "
                    f"({active}): name the one to go back to; it has {kept}."
                )
            if chosen not in service.revisions:
                raise NotFound(f"Service {service.key} has no revision {chosen}; it has {kept}.")
            if chosen == active and service.record.error is None and service.preparing is None:
                raise Conflict(
                    f"Revision {active} of service {service.key} is the active one already: nothing was done. "
                    f"It has {kept}."
                )
            scaled = await self._activate(service, service.revisions[chosen], None)
            self._give_up_preparing(service, f"it was rolled back to revision {chosen}")
            said = f"rolled back from revision {active} to {chosen}"
            message = f"{said}{as_now(service.active.kept)}{scaled.said}"
            self._turns.told(service, "service.rolled_back", message, said)
            return Changed(service, scaled.notices)

        return await self._turns.in_turn(body())

    async def scale(self, owner: str, name: str, replicas: int) -> Service:
        """A failed service stays failed, and its note says so: it is for its owner to try again. One that is autoscaled
        has this count until autoscaling is resumed."""
        service = self._turns.find(owner, name)
        self._turns.check_replicas(replicas)

        def change(record: ServiceRecord) -> ServiceRecord:
            note = STAYS_FAILED.format(replicas) if record.error is not None else record.note
            return replace(record, replicas=replicas, note=note, autoscaling=counts.held(record.autoscaling))

        async def body() -> Service:
            if replicas > service.record.replicas and service.record.running:
                self._turns.allowed_for(service, service.active, replicas=replicas)
            await self._turns.want(service, change)
            self._scaling.changed(service)
            until = "" if service.record.autoscaling is None else "; autoscaling is held there until it is resumed"
            self._turns.told(service, "service.scaled", f"scaled to {counted(replicas, 'replica')}{until}")
            return service

        return await self._turns.in_turn(body())

    async def restart(self, owner: str, name: str) -> Service:
        """Replace every replica, new ones ready before old ones drain; a failed service is tried again."""
        service = self._turns.find(owner, name)

        async def body() -> Service:
            if not service.record.running:
                raise Conflict(f"Service {service.key} is stopped: start it instead.")
            now = self._parts.clock.now()
            self._turns.allowed_for(service, service.active, replicas=service.record.replicas)
            await self._turns.want(service, lambda record: replace(record, error=None, note=None, restarted_at=now))
            for replica in service.replicas.values():
                replica.outdated = True
            self._turns.try_again(service, service.record.active)
            self._turns.told(service, "service.restarted", "restarted")
            return service

        return await self._turns.in_turn(body())

    async def stop(self, owner: str, name: str, by: str = "") -> Service:
        service = self._turns.find(owner, name)
        said = f"stopped by {by}" if by else "stopped"

        def change(record: ServiceRecord) -> ServiceRecord:
            note = None if not by else f"{said}; start it to go on" if record.running else record.note
            return replace(record, running=False, error=None, note=note)

        async def body() -> Service:
            await self._turns.want(service, change)
            self._scaling.changed(service)
            self._give_up_preparing(service, "it was stopped")
            self._turns.told(service, "service.stopped", said)
            return service

        return await self._turns.in_turn(body())

    async def start(self, owner: str, name: str) -> Service:
        service = self._turns.find(owner, name)

        async def body() -> Service:
            now = self._parts.clock.now()

            def change(record: ServiceRecord) -> ServiceRecord:
                count = counts.at_start(record, now)
                return replace(record, running=True, error=None, note=None, replicas=count, began_at=now)

            self._turns.allowed_for(service, service.active, replicas=change(service.record).replicas)
            await self._turns.want(service, change)
            self._scaling.changed(service)
            self._turns.try_again(service, service.record.active)
            self._turns.told(service, "service.started", "started")
            return service

        return await self._turns.in_turn(body())

    async def delete(self, owner: str, name: str) -> Service:
        """Gone from the store and from the routing table at once; the replicas end within seconds."""
        service = self._turns.find(owner, name)

        async def body() -> Service:
            self._turns.check_there(service)
            await self._keeping.removed(service)
            service.deleting = True
            self._give_up_preparing(service, "it was deleted")
            self._controller.unpublish(service)
            self._controller.hurry(service, self._parts.settings.delete_drain)
            self._controller.touch(service)
            return service

        return await self._turns.in_turn(body())

    # --- inside ---

    async def _set_public(self, service: Service, public: bool) -> Service:
        if public:
            self._turns.allowed_for(service, service.active, public)
        await self._turns.want(service, lambda record: replace(record, public=public))
        said = "made public" if public else "made private"
        self._turns.told(service, "service.updated", said, said)
        return service

    async def _activate(self, service: Service, revision: Revision, public: bool | None) -> counts.Activation:
        """What becomes of autoscaling by it."""
        scaled = counts.activation(service, revision, self._parts.clock.now())
        count = scaled.fields(service.record).get("replicas", service.record.replicas) if service.record.running else 0
        not_enforced = self._turns.allowed_for(service, revision, public, replicas=count)

        def change(record: ServiceRecord) -> ServiceRecord:
            return replace(
                record,
                active=revision.number,
                error=None,
                note=None,
                restarted_at=None,
                public=public_as(service, public),
                **scaled.fields(record),
            )

        await self._turns.ledger_accepts(service, change)
        before = service.record.replicas
        service.revisions[revision.number] = revision
        service.record = change(service.record)
        service.not_enforced = not_enforced
        self._scaling.changed(service, before, f"revision {revision.number} is to run{scaled.said}")
        self._turns.try_again(service, revision.number)
        return scaled


def _notice(problem: Problem) -> str:
    """What the definition's reader warns of."""
    return f"{str(problem).rstrip('.?')}{'?' if problem.message.endswith('?') else '.'}"
