"""Which GPU is held by whom: what the Hub's process sees, with what replicas and the gateway's machine say of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..core.gpu_looks import GpuLook, SeenGpu, SeenHolder
from ..core.replica import Phase
from ..core.reports import GpuSample
from ..engine.replica_views import GpuView, ReplicaView
from ..engine.views import ServiceView
from ..wire.admin import GpuHolder
from .call import Call

__all__ = ["gpu_holders"]


def gpu_holders(call: Call, views: Sequence[ServiceView], seen: GpuLook) -> list[GpuHolder]:
    """In the order in which they are seen. Where only replicas say which they have, these."""
    if seen.gpus is None:
        return list(_of_replicas(call, views))
    figures = {gpu.uuid: gpu for _, replica in _living(views) for gpu in replica.gpus or ()}
    return [_held(call, gpu, holder, figures.get(gpu.id)) for gpu in seen.gpus for holder in gpu.holders or (None,)]


def _held(call: Call, gpu: SeenGpu, holder: SeenHolder | None, figures: GpuView | GpuSample | None) -> GpuHolder:
    looks = call.parts.looks
    if figures is None and looks is not None:
        figures = looks.figure(gpu.id)
    found = GpuHolder(
        id=gpu.id,
        name=gpu.name,
        utilization=None if figures is None else figures.utilization,
        memory_used=None if figures is None else figures.memory_used,
        memory_total=gpu.memory or (None if figures is None else figures.memory_total),
    )
    if holder is None:
        return found
    return found.model_copy(
        update={
            "holder": holder.kind,
            "label": holder.label,
            "user": holder.user,
            "server": holder.server,
            "service": holder.service,
        }
    )


def _of_replicas(call: Call, views: Iterable[ServiceView]) -> Iterator[GpuHolder]:
    for view, replica in _living(views):
        for gpu in replica.gpus or ():
            yield GpuHolder(
                id=gpu.uuid,
                holder="replica",
                label=view.key,
                user=call.parts.rules.user(view.owner),
                server=replica.id,
                service=view.key,
                utilization=gpu.utilization,
                memory_used=gpu.memory_used,
                memory_total=gpu.memory_total,
            )


def _living(views: Iterable[ServiceView]) -> Iterator[tuple[ServiceView, ReplicaView]]:
    for view in views:
        for replica in view.replica_list:
            if replica.phase != Phase.GONE.value:
                yield view, replica
