"""What an owner's services take up together, for limits that hold for all of them in sum."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.policy import Held
from ..core.replica import Phase
from ..ports import Launcher
from .state import Replica, Service, Services

_NOTHING = Held()


def replicas_of(service: Service) -> int:
    """As many as it is to have; of one that was given up, those that still live."""
    if service.deleting or not service.record.running:
        return 0
    if service.record.error is not None:
        return sum(replica.live() for replica in service.replicas.values())
    return service.record.replicas


def held_by_owner(services: Iterable[Service]) -> dict[str, Held]:
    """As limits count it, for whoever is refused by them, is shown them, or is offered what is left."""
    found: dict[str, Held] = {}
    for each in services:
        owner, replicas = each.record.owner, replicas_of(each)
        was, gpus = found.get(owner, _NOTHING), replicas * each.active.resources.gpus
        found[owner] = Held(was.replicas + replicas, was.gpus + gpus, was.services + (not each.deleting))
    return found


def held_beside(services: Iterable[Service], owner: str, besides: Service | None) -> Held:
    """By all services of the owner but this one."""
    others = (each for each in services if each.record.owner == owner and each is not besides)
    return held_by_owner(others).get(owner, _NOTHING)


def held_now(services: Iterable[Service], owner: str, rolling: Service, but: Replica | None = None) -> Held:
    """By all services of the owner, ``rolling`` included: whatever takes up room just now (without ``but``), and what
    the other services are still to have."""
    replicas = gpus = 0
    for service in (each for each in services if each.record.owner == owner):
        there = [replica for replica in service.replicas.values() if replica is not but and _takes_room(replica)]
        to_come = 0 if service is rolling else max(0, replicas_of(service) - len(there))
        replicas += len(there) + to_come
        gpus += sum(replica.revision.resources.gpus for replica in there) + to_come * service.active.resources.gpus
    return Held(replicas, gpus)


def has_old(service: Service) -> bool:
    """Whether replicas are there that those of the active revision are to replace, or have just replaced."""
    active = service.record.active
    return any(replica.outdated or replica.revision.number != active for replica in service.replicas.values())


def refusal(launcher: Launcher, services: Services, replica: Replica) -> str | None:
    """Why it may not be started beside all that is there, where the launcher's ``start`` would not say so. Only of one
    that is to replace another: no limit that was set later takes away what runs, nor what comes for it when it fails.
    """
    if not has_old(replica.service):
        return None
    owner = replica.service.record.owner
    held = held_now(services.values(), owner, replica.service, but=replica)
    return launcher.refusal(replica.revision, held, owner=owner)


def _takes_room(replica: Replica) -> bool:
    return replica.phase is not Phase.GONE and (replica.placed or replica.phase is not Phase.FAILED)
