"""Why there is no replica, as a caller may know it, who need not be the owner.

The owner's sentence (``views.service_reason``) may hold the model's last log line, a path or who has the GPUs. A caller
is told the kind of it: what state the replica is in, and how the last start ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..core.replica import Phase
from ..core.reports import Exit
from ..core.sentences import duration, in_about, told
from .state import Service
from .views import furthest

NO_ROOM = "there is no room for a replica now"
AT_LIMIT = "its owner may have no more replicas now, which is a limit of the administrator's"  # she is told which


def reason_for_callers(service: Service, now: float) -> str:
    """One clause; ``now`` is monotonic."""
    record, retry = service.record, service.retry(service.record.active)
    if service.deleting:
        return "deleted"
    if not record.running:
        return "it was stopped"  # by whom, its owner is told
    if record.error is not None:
        return _last_start(service)
    again = f"; the next attempt is {in_about(retry.next_at - now)}" if retry.next_at > now else ""
    if record.replicas == 0:
        if is_stopped(service):
            return "it was scaled to 0 replicas"
        if again:
            return f"idle; {NO_ROOM if retry.refusals else _last_start(service)}{again}"
        return "idle: the next call starts a replica"
    parts = [NO_ROOM] if retry.refusals else [_last_start(service)] if retry.failures else []
    for on_its_way in furthest([r for r in service.replicas.values() if r.live()]):
        seconds = int(now - on_its_way.life.since)
        parts.append(f"a replica is {on_its_way.life.phase}" + (f", for {duration(seconds)}" if seconds else ""))
    return "; ".join(parts) + again if parts else "a replica is about to start"


def is_stopped(service: Service) -> bool:
    """By its owner or for her, who may start it again or not."""
    record = service.record
    if not record.running:
        return True
    return record.replicas == 0 and (record.autoscaling is None or record.autoscaling.held)


def _last_start(service: Service) -> str:
    for exit in _ends(service):
        return f"its last replica {told(replace(exit, message='', tail=()), was_ready=False)}"
    return "its last start failed"


def _ends(service: Service) -> Iterator[Exit]:
    """How replicas of the active revision have ended, the last one first."""
    here = [r for r in service.replicas.values() if r.revision.number == service.record.active]
    gone = [d for d in reversed(service.departed) if d.revision == service.record.active]
    for life in [*(r.life for r in here if r.life.phase in (Phase.FAILED, Phase.GONE)), *(d.life for d in gone)]:
        if life.exit is not None:
            yield life.exit
