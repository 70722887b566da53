"""What people and programs are shown: frozen copies with the field names of ``wire``, derived from the state.

``service_state`` is the one place that says what a service's state is called; ``service_reason`` why it is not ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..core.definition import definition_to_plain
from ..core.plan import PROVING
from ..core.replica import LIVE, Phase
from ..core.revision import Revision
from ..core.sentences import duration, in_about
from ..ports import Notice
from .replica_views import ReplicaView, departed_view, replica_view
from .scaling_views import AutoscalingView, autoscaling_view
from .state import Replica, Service


@dataclass(frozen=True)
class MountView:
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class ResourcesView:
    cpus: float | None
    memory: int | None
    gpus: int


@dataclass(frozen=True)
class FilesView:
    kind: str
    source: str
    path: str | None
    files: int
    bytes: int
    linked: int
    why: str | None
    fingerprint: str | None


@dataclass(frozen=True)
class RevisionView:
    number: int
    created_at: float
    folder: str
    model_name: str
    image: str | None
    environment: list[str]
    mounts: list[MountView]
    resources: ResourcesView
    files: FilesView
    definition: dict[str, Any]


@dataclass(frozen=True)
class ReplicaCountsView:
    want: int
    ready: int
    total: int


@dataclass(frozen=True)
class EndView:
    """``at`` is Unix time, ``why`` a clause."""

    at: float
    why: str


@dataclass(frozen=True)
class ServiceView:
    """``replica_list`` ends with the last few that failed (phase ``gone``): their reasons are what people look for;
    ``replicas.total`` does not count those."""

    id: str
    owner: str
    name: str
    state: str
    reason: str | None
    note: str | None
    endpoint: str
    public: bool
    replicas: ReplicaCountsView
    revision: int
    stable_revision: int | None
    revisions: list[RevisionView]
    replica_list: list[ReplicaView]
    not_enforced: list[str]
    restarts: int
    created_at: float
    autoscaling: AutoscalingView | None = None
    changed: list[str] | None = None
    folder_gone: bool = False
    folder_changed: bool | None = None
    notices: list[str] = field(default_factory=list)  # in the answer to a change: what it did besides
    visibility: str = "private"
    role: str = "owner"  # of who asks, which nobody here knows
    page: str | None = None
    notice: Notice | None = None
    ends: EndView | None = None
    last_call_at: float | None = None

    @property
    def key(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def gpus(self) -> int:
        """That its replicas which live were asked for, whether they are up or not. Limits count those that it is to
        have (:meth:`.engine.Engine.held`)."""
        each = {revision.number: revision.resources.gpus for revision in self.revisions}
        return sum(each.get(r.revision, 0) for r in self.replica_list if r.phase != Phase.GONE.value)


@dataclass(frozen=True)
class CopyView:
    """``service`` is ``owner/name``. ``of_files`` and ``of_bytes`` are what it will come to, as far as that is known;
    ``seconds`` since the beginning. ``over``: it has ended, well or not."""

    service: str
    folder: str
    revision: int
    files: int
    bytes: int
    of_files: int | None
    of_bytes: int | None
    seconds: float
    over: bool


def ready_count(service: Service) -> int:
    return sum(r.phase is Phase.READY for r in service.replicas.values())


def is_rolling(service: Service) -> bool:
    """Whether an update, rollback or restart is under way."""
    record = service.record
    if record.stable is not None and record.stable != record.active:
        return True
    return any(r.live() and (r.outdated or r.revision.number != record.active) for r in service.replicas.values())


def service_state(service: Service) -> str:
    record = service.record
    if service.deleting:
        return "deleting"
    if record.error is not None:
        return "failed"
    if service.asleep:
        return "idle"
    if not record.running or record.replicas == 0:
        return "stopped"
    if is_rolling(service):
        return "updating"
    if ready_count(service) >= record.replicas:
        return "ready"
    return "degraded" if record.stable is not None and _lacks_one_that_served(service) else "starting"


def _lacks_one_that_served(service: Service) -> bool:
    """Whether a replica failed, or is doubtful, and nothing took its place yet. Else those that are missing start for
    the first time, as after a scale-up; a failure that was made good long ago does not change that."""
    missing = [r for r in service.replicas.values() if r.live() and r.phase is not Phase.READY]
    return service.holes > 0 or any(r.substitute or r.phase is Phase.UNHEALTHY for r in missing)


def service_reason(service: Service, now: float) -> str | None:
    """One sentence about why not all is well; ``now`` is monotonic."""
    record = service.record
    if record.error is not None and not service.deleting:
        return record.error
    if service.deleting or not record.running or record.replicas == 0:
        leaving = sum(r.phase is not Phase.GONE for r in service.replicas.values())
        what = "deleted" if service.deleting else "stopped" if not record.running else _at_zero(service, now)
        return f"{what}; {leaving} still ending" if leaving else what
    if ready_count(service) >= record.replicas and not is_rolling(service):
        return None
    if service.unseen:
        return "the replicas that run cannot be looked for yet, and none is started before"
    current = [
        r for r in service.replicas.values() if r.live() and r.revision.number == record.active and not r.outdated
    ]
    retry = service.retry(record.active)
    if retry.refusals:  # an attempt that may find no room again is not worth a word
        current = [r for r in current if r.phase not in (Phase.REQUESTED, Phase.STARTING)]
    parts = [_progress(r, now) for r in furthest(current)]
    if retry.refusals:
        what = "a GPU" if "GPU" in retry.refusal else "room"
        parts.insert(0, f"waits for {what}: {retry.refusal}")
    elif retry.failures and retry.reason:
        parts.insert(0, retry.reason.rstrip("."))
    if (retry.refusals or retry.failures) and (wait := retry.next_at - now) > 0:
        parts.append(f"next attempt {in_about(wait)}")
    if retry.next_at <= now and not furthest(current) and is_rolling(service):
        parts += _proving(sum(r.phase is Phase.READY for r in current))
    return "; ".join(parts) or "replicas are about to start"


def _at_zero(service: Service, now: float) -> str:
    policy, scaled = service.record.autoscaling, service.scaled
    if policy is None:
        return "scaled to 0 replicas"
    if policy.held:
        return "scaled to 0 replicas by hand, and autoscaling is held until it is resumed"
    seconds = int(now - scaled.idle_since) if scaled.idle_since is not None else 0
    idle = f"idle for {duration(seconds)}" if seconds else "idle"
    retry = service.retry(service.record.active)
    if (wait := retry.next_at - now) > 0:
        why = retry.refusal if retry.refusals else retry.reason
        return f"{idle}; the last start failed: {why.rstrip('.')}; a call tries again {in_about(wait)}"
    if scaled.limit is not None and now < scaled.limit[1]:
        return f"{idle}; a call came, and starts no replica: {scaled.limit[0].why}"
    return f"{idle}: the next call starts a replica"


def _proving(ready: int) -> list[str]:
    """What a roll-out waits for when all that it has started is ready (``core.plan``, rule 4)."""
    if not ready:
        return []
    new, they = ("1 new replica is", "it stays") if ready == 1 else (f"{ready} new replicas are", "they stay")
    return [f"{new} ready, waiting {duration(PROVING)} to see that {they} up"]


def furthest(replicas: list[Replica]) -> list[Replica]:
    """The one that is next to be ready, if any is on the way."""
    order = [Phase.UNHEALTHY, Phase.LOADING, Phase.PREPARING, Phase.STARTING, Phase.REQUESTED]
    waiting = [r for r in replicas if r.phase in order]
    return sorted(waiting, key=lambda r: (order.index(r.phase), r.life.since, r.id))[:1]


def _progress(replica: Replica, now: float) -> str:
    life = replica.life
    text = f"replica {replica.id} is {life.phase}"
    if life.phase is Phase.PREPARING and life.action is not None:
        text += f": action {life.action.action} of {life.action.actions} ({life.action.label})"
    elif life.reason:
        text += f": {life.reason}"
    seconds = int(now - life.since)  # whole ones: the sentence is the same for as long as nothing changes
    return f"{text}, for {duration(seconds)}" if seconds else text


def revision_view(revision: Revision) -> RevisionView:
    return RevisionView(
        number=revision.number,
        created_at=revision.created_at,
        folder=revision.folder,
        model_name=revision.definition.name,
        image=revision.image,
        environment=[*(name for name, _ in revision.environment), *revision.unread],
        mounts=[MountView(m.source, m.target, m.read_only) for m in revision.mounts],
        resources=ResourcesView(revision.resources.cpus, revision.resources.memory, revision.resources.gpus),
        files=FilesView(source=revision.kept.source, **vars(revision.kept)),
        definition=definition_to_plain(revision.definition),
    )


def service_view(
    service: Service,
    now: float,
    endpoint_url: Callable[[str, str], str],
    page_url: Callable[[str, str, bool], str | None] = lambda *_: None,
) -> ServiceView:
    """``now`` is monotonic. ``page_url``: of owner, name and whether it is public."""
    record = service.record
    there = [r for r in service.replicas.values() if r.phase is not Phase.GONE]
    there.sort(key=lambda r: (r.phase not in LIVE, r.record.created_at, r.id))
    return ServiceView(
        id=record.id,
        owner=record.owner,
        name=record.name,
        state=service_state(service),
        reason=service_reason(service, now),
        note=record.note,
        endpoint=endpoint_url(record.owner, record.name),
        public=record.public,
        replicas=ReplicaCountsView(record.replicas, ready_count(service), len(there)),
        revision=record.active,
        stable_revision=record.stable,
        revisions=[revision_view(service.revisions[number]) for number in sorted(service.revisions)],
        replica_list=[*map(replica_view, there), *map(departed_view, service.departed)],
        not_enforced=list(service.not_enforced),
        restarts=record.restarts,
        created_at=record.created_at,
        autoscaling=autoscaling_view(service),
        visibility="public" if record.public else "shared" if service.endpoint.sharing else "private",
        page=page_url(record.owner, record.name, record.public),
        notice=record.notice,
        last_call_at=record.last_call_at,
        ends=None if service.end is None else EndView(service.end.at, service.end.why),
    )
