"""What is shown of replicas, of those that are there and of those that failed: frozen copies with the field names of
``wire``."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.replica import Phase
from ..core.reports import Exit
from .state import Departed, Replica


@dataclass(frozen=True)
class ExitView:
    stage: str
    code: int | None
    signal: str | None
    oom: bool
    action: int | None
    message: str
    tail: list[str]


@dataclass(frozen=True)
class ActionView:
    index: int
    count: int
    label: str


@dataclass(frozen=True)
class GpuView:
    uuid: str
    utilization: float
    memory_used: int
    memory_total: int


@dataclass(frozen=True)
class ReplicaView:
    id: str
    revision: int
    phase: str
    since: float
    reason: str | None
    pid: int | None
    address: str | None
    action: ActionView | None
    in_flight: int
    suspect: bool
    exit: ExitView | None
    gpus: list[GpuView] | None
    rss: int | None
    created_at: float


def replica_view(replica: Replica) -> ReplicaView:
    life, backend, sample = replica.life, replica.backend, replica.sample
    action = life.action
    gpus = None
    if sample is not None and sample.gpus is not None:
        gpus = [GpuView(g.uuid, g.utilization, g.memory_used, g.memory_total) for g in sample.gpus]
    return ReplicaView(
        id=replica.id,
        revision=replica.revision.number,
        phase=life.phase.value,
        since=replica.since_at,
        reason=life.reason,
        pid=life.pid,
        address=_address(replica),
        action=ActionView(action.action, action.actions, action.label) if action is not None else None,
        in_flight=backend.in_flight if backend is not None else 0,
        suspect=backend.suspect if backend is not None else False,
        exit=_exit_view(life.exit),
        gpus=gpus,
        rss=sample.rss if sample is not None else None,
        created_at=replica.record.created_at,
    )


def departed_view(departed: Departed) -> ReplicaView:
    return ReplicaView(
        id=departed.id,
        revision=departed.revision,
        phase=Phase.GONE.value,
        since=departed.since_at,
        reason=departed.reason,
        pid=None,
        address=departed.address,
        action=None,
        in_flight=0,
        suspect=False,
        exit=_exit_view(departed.life.exit),
        gpus=None,
        rss=None,
        created_at=departed.created_at,
    )


def depart(replica: Replica) -> Departed:
    return Departed(
        id=replica.id,
        revision=replica.revision.number,
        reason=replica.life.reason,
        life=replica.life,
        since_at=replica.since_at,
        created_at=replica.record.created_at,
        address=_address(replica),
    )


def _address(replica: Replica) -> str | None:
    placement = replica.record.placement
    return f"{placement.address[0]}:{placement.address[1]}" if placement is not None else None


def _exit_view(exit: Exit | None) -> ExitView | None:
    if exit is None:
        return None
    return ExitView(exit.stage, exit.code, exit.signal, exit.oom, exit.action, exit.message, list(exit.tail))
