"""What can be asked for now, on one's own machine and on a hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from ..adapters.gpus import gpu_ids
from ..core.effective import who_says
from ..core.policy import Host
from ..engine.engine import Engine
from ..engine.views import ServiceView
from ..ports import NOTHING_HELD, Rules
from ..wire.offer import GpuOffer, OfferInfo

__all__ = ["Offer", "hub_offer", "own_offer"]

T = TypeVar("T", int, float)
Offer = Callable[[Engine, str | None], Awaitable[OfferInfo]]
"""To an owner; ``None``: to nobody in particular."""

_DRIVER_SECONDS = 5.0  # a driver that is just being loaded may take some; without an answer, GPUs are not known


def own_offer(max_replicas: int, gpus: Callable[[], Sequence[str]] = gpu_ids) -> Offer:
    async def offer(engine: Engine, owner: str | None) -> OfferInfo:
        try:
            total = len(await asyncio.wait_for(asyncio.to_thread(gpus), _DRIVER_SECONDS))
        except asyncio.TimeoutError:
            total = 0
        found = _gpus(total, engine.services())
        return OfferInfo(
            containers=False, max_replicas=max_replicas, gpus=found, max_gpus_per_replica=total if found else None
        )

    return offer


def hub_offer(policies: Rules, max_replicas: int, host: Host, site_images: Sequence[str] = ()) -> Offer:
    def least(*limits: T | None) -> T | None:
        return min((limit for limit in limits if limit is not None), default=None)

    async def offer(engine: Engine, owner: str | None) -> OfferInfo:
        holds = policies.of(owner)
        policy = holds.policy
        most = policy.max_services_per_user
        there = 0 if owner is None or most is None else engine.held().get(owner, NOTHING_HELD).services
        images = site_images or None if policy.allowed_images is None else policy.allowed_images
        return OfferInfo(
            containers=True,
            images=None if images is None else list(images),
            gpus=_gpus(host.gpus or 0, engine.services()),
            max_gpus_per_replica=least(policy.max_gpus_per_replica, policy.max_gpus_per_user, host.gpus),
            max_replicas=least(max_replicas, policy.max_replicas_per_user) or 0,
            services_left=None if most is None else max(0, most - there),
            cpus=least(policy.max_cpus, host.cpus),
            memory=least(policy.max_memory, host.memory),
            public=policy.allow_public,
            public_set_by=None
            if policy.allow_public
            else who_says(holds, "allow_public", "" if owner is None else policies.user(owner)),
            longest_token=policy.longest_token,
        )

    return offer


def _gpus(total: int, services: Iterable[ServiceView]) -> GpuOffer | None:
    if not total:
        return None
    used = sum(service.gpus for service in services)
    return GpuOffer(total=total, free=max(0, total - used))
