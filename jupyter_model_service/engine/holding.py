"""What an owner's services take up together, for limits that hold for all of them in sum."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.policy import Held
from .state import Service


def replicas_of(service: Service) -> int:
    """As many as it is to have; of one that was given up, those that still live."""
    if service.deleting or not service.record.running:
        return 0
    if service.record.error is not None:
        return sum(replica.live() for replica in service.replicas.values())
    return service.record.replicas


def held_beside(services: Iterable[Service], owner: str, besides: Service | None) -> Held:
    """By all services of the owner but this one."""
    others = [each for each in services if each.record.owner == owner and each is not besides]
    gpus = sum(replicas_of(each) * each.active.resources.gpus for each in others)
    return Held(sum(map(replicas_of, others)), gpus)
