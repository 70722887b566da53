"""What can be asked for now, on one's own machine and on a hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from ..adapters.gpus import gpu_ids
from ..core.policy import Policy
from ..core.replica import Phase
from ..engine.engine import Engine
from ..wire.offer import GpuOffer, OfferInfo

__all__ = ["Offer", "hub_offer", "own_offer"]

Offer = Callable[[Engine], Awaitable[OfferInfo]]

_DRIVER_SECONDS = 5.0  # a driver that is just being loaded may take some; without an answer, GPUs are not known


def own_offer(max_replicas: int, gpus: Callable[[], Sequence[str]] = gpu_ids) -> Offer:
    async def offer(engine: Engine) -> OfferInfo:
        try:
            total = len(await asyncio.wait_for(asyncio.to_thread(gpus), _DRIVER_SECONDS))
        except asyncio.TimeoutError:
            total = 0
        found = _gpus(total, engine.services())
        return OfferInfo(
            containers=False, max_replicas=max_replicas, gpus=found, max_gpus_per_replica=total if found else None
        )

    return offer


def hub_offer(policy: Policy, max_replicas: int, gpus: int | None = None) -> Offer:
    """``gpus``: how many there are for replicas, where the administrator said so."""
    limits = [each for each in (policy.max_gpus_per_replica, policy.max_gpus_per_user, gpus) if each is not None]
    replicas = [max_replicas, *([] if policy.max_replicas_per_user is None else [policy.max_replicas_per_user])]

    async def offer(engine: Engine) -> OfferInfo:
        return OfferInfo(
            containers=True,
            images=None if policy.allowed_images is None else list(policy.allowed_images),
            gpus=_gpus(gpus or 0, engine.services()),
            max_gpus_per_replica=min(limits, default=None),
            max_replicas=min(replicas),
            cpus=policy.max_cpus,
            memory=policy.max_memory,
            public=policy.allow_public,
        )

    return offer


def _gpus(total: int, services: Iterable[Any]) -> GpuOffer | None:
    if not total:
        return None
    used = 0
    for service in services:
        each = {revision.number: revision.resources.gpus for revision in service.revisions}
        living = [replica for replica in service.replica_list if replica.phase != Phase.GONE.value]
        used += sum(each.get(replica.revision, 0) for replica in living)
    return GpuOffer(total=total, free=max(0, total - used))
