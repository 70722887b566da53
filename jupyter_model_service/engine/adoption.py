"""The first look at the world after a start: what lives and is known goes on, everything else is ended.

| in the store | in the world | what happens |
| --- | --- | --- |
| yes | alive, with its address | adopted: same id, same processes, a new lease |
| yes | dead, unusable or not there | its remains are removed, its record too; the plan replaces it |
| yes, but its secret cannot be read any more | anything | the same: nobody could prove to it who we are |
| no | anything | a stray: ended by force |

This covers a gateway that was killed at any instant: between writing the record and the launch (not there), during
the launch (there, perhaps unusable), after it (the launcher knows the address that the store does not), while
ending (dead or alive: adopted and ended again by the plan) and after the removal of a service (a stray).

Where the world is somebody else's (a Hub), it may be out of reach while all replicas are well. What the store knows is
then held to be there: leases prove which of it is, and that serves. Nothing is started, and nothing ended for not
being seen, before the world has been looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from ..core.routing import Endpoint
from ..core.sharing import NOBODY, Sharing
from ..errors import HubUnavailable, LaunchError, ModelServiceError
from ..ports import Placement, ReplicaRecord, Seen
from .controller import Controller
from .ledger import Ledger
from .state import Parts, Replica, Service
from .tasks import Tasks, within

log = logging.getLogger(__name__)

ATTEMPTS = 3  # looks at the world before the start of the gateway fails
FORCE_LIMIT = 60.0  # seconds for one launcher.stop()
LONGEST_PAUSE = 30.0


class Adoption:
    def __init__(self, parts: Parts, tasks: Tasks, ledger: Ledger, controller: Controller) -> None:
        self._parts = parts
        self._tasks = tasks
        self._ledger = ledger
        self._controller = controller

    async def run(self, then: Callable[[], None]) -> None:
        """Afterwards every service is published. ``then`` is called when every living replica is adopted and what is
        left over is being ended: before this returns, or later, as ``first_look`` allows. Raises ``LaunchError`` when
        the world cannot be seen: to start replicas then would double them."""
        await self._load()
        known = {record.id: record for record in await self._parts.store.replicas()}
        seen = await self._find() if self._parts.settings.first_look is None else await self._find_soon()
        if seen is not None:
            self._settle(seen, known)
            then()
            return
        log.warning("The replicas cannot be looked for yet: those in the store are believed, and none is started")
        self._believe(known)
        self._tasks.start("first look", self._find_later(known, then))

    def _settle(self, seen: Sequence[Seen], known: Mapping[str, ReplicaRecord]) -> None:
        known = dict(known)
        by_id = {service.id: service for service in self._controller.services.values()}
        living = {replica.replica for replica in seen if replica.alive}
        believed: dict[str, Replica] = {}
        for each in by_id.values():
            each.unseen = False
            believed |= each.replicas
        for id, one in believed.items():
            known.pop(id, None)
            if one.live() and id not in living:
                self._controller.contact.doubt(one)
        for replica in seen:
            if replica.replica in believed:
                continue
            record = known.pop(replica.replica, None)
            service = by_id.get(record.service_id) if record is not None else None
            if record is not None and service is not None and _usable(replica, record, service):
                placement = replica.placement or record.placement
                assert placement is not None  # _usable
                self._controller.adopt(service, record, placement)
            else:
                self._end(replica.replica, replica.placement, known_as=record)
        for record in known.values():
            self._end(record.id, record.placement, known_as=record)

    def _believe(self, known: Mapping[str, ReplicaRecord]) -> None:
        by_id = {service.id: service for service in self._controller.services.values()}
        for each in by_id.values():
            each.unseen = True
        for record in known.values():
            service = by_id.get(record.service_id)
            if service is None or not record.secret or record.revision not in service.revisions:
                continue
            if record.placement is not None:
                self._controller.adopt(service, record, record.placement)

    async def _load(self) -> None:
        """The services of the store, each with its endpoint in the routing table, so that callers are held."""
        shared: dict[str, Sharing] = {}
        for service_id, share in await self._parts.store.access.shares():
            shared[service_id] = shared.get(service_id, NOBODY).with_share(share)
        for record in await self._parts.store.services():
            revisions = {revision.number: revision for revision in await self._parts.store.revisions(record)}
            if record.active not in revisions:
                log.error("Service %s/%s is left out: its revision is not in the store", record.owner, record.name)
                continue
            serving = revisions[record.active].definition.serving
            endpoint = Endpoint(
                record.owner,
                record.name,
                record.public,
                serving,
                created_at=record.created_at,
                service_id=record.id,
                sharing=shared.get(record.id, NOBODY),
                origins=record.origins,
            )
            service = Service(record, revisions, endpoint)
            try:
                service.not_enforced = tuple(
                    self._parts.launcher.check(service.active, owner=record.owner, public=record.public)
                )
            except ModelServiceError as error:
                log.warning("Service %s: %s", service.key, error)
            self._controller.publish(service)

    async def _find(self) -> Sequence[Seen]:
        clock, limit = self._parts.clock, self._parts.settings.find_timeout
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await within(clock, self._parts.launcher.find(), limit)
            except (ModelServiceError, TimeoutError) as error:
                log.warning("Looking for replicas failed (attempt %d): %r", attempt, error)
                if attempt == ATTEMPTS:
                    raise LaunchError(
                        f"Replicas that may be running cannot be looked for, so none is started: {error!r}",
                        stage="find",
                    ) from error
            await clock.sleep(1.0)
        raise AssertionError("not reached")

    async def _find_soon(self) -> Sequence[Seen] | None:
        """``None`` when nobody answers within ``first_look``."""
        try:
            return await within(self._parts.clock, self._parts.launcher.find(), self._parts.settings.first_look or 0.0)
        except (HubUnavailable, TimeoutError):
            return None
        except ModelServiceError:
            return await self._find()

    async def _find_later(self, known: Mapping[str, ReplicaRecord], then: Callable[[], None]) -> None:
        clock, limit = self._parts.clock, self._parts.settings.find_timeout
        while True:
            try:
                seen = await within(clock, self._parts.launcher.find(), limit)
                break
            except Exception as error:  # whatever it is: the replicas serve on meanwhile
                log.warning("The replicas cannot be looked for yet: %s", error or type(error).__name__)
            await clock.sleep(1.0)
        log.info("The replicas have been looked for: from now on they are started and replaced")
        self._settle(seen, known)
        then()

    def _end(self, replica: str, placement: Placement | None, known_as: ReplicaRecord | None) -> None:
        log.info("Ending what is left of replica %s", replica)
        self._tasks.start(f"stray {replica}", self._force(replica, placement, known_as))

    async def _force(self, replica: str, placement: Placement | None, known_as: ReplicaRecord | None) -> None:
        pause = 1.0
        while True:
            try:
                left = await within(self._parts.clock, self._parts.launcher.stop(replica, placement), FORCE_LIMIT)
                if left is not None:
                    log.warning("Replica %s: %s", replica, left)
                break
            except Exception as error:  # a stray that cannot be ended yet is tried again, for ever
                log.warning("Replica %s cannot be ended yet: %r", replica, error)
            await self._parts.clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        if known_as is not None:
            self._ledger.remove_replica(replica)


def _usable(seen: Seen, record: ReplicaRecord, service: Service) -> bool:
    if not seen.alive or not record.secret or record.revision not in service.revisions:
        return False
    return seen.placement is not None
