"""Keeping the front's routing table in step with what the engine knows.

A replica takes calls only while its lease is open and its phase is ready (or unhealthy, as a last resort). One that is
out of contact is ``lost`` at once, and ``doubtful`` until ``contact`` knows more: the calls that it has not begun to
answer go to others. What it has begun is broken off when it is given up or stopped, once.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.replica import Phase
from ..core.routing import Backend, Endpoint
from .callers_reason import is_stopped, reason_for_callers
from .state import Replica, Service

_IN_TABLE = frozenset({Phase.READY, Phase.UNHEALTHY, Phase.DRAINING})


def add_backend(replica: Replica, on_refused: Callable[[], None]) -> None:
    """At its first pass."""
    placement = replica.record.placement
    if replica.backend is not None or placement is None:
        return
    host, port = placement.address
    replica.backend = Backend(replica.id, replica.revision.number, host, port, serving=False)
    replica.backend.on_refused = on_refused
    replica.backend.on_idle = replica.idle.set


def update_backend(replica: Replica) -> None:
    """After every change of phase, contact or health."""
    backend = replica.backend
    if backend is None:
        return
    endpoint = replica.service.endpoint
    before = (backend.serving, backend.suspect, backend.lost, backend in endpoint.backends)
    backend.serving = replica.serving() and replica.lease_open
    backend.suspect = replica.phase is Phase.UNHEALTHY or replica.health.suspect
    lost = not replica.lease_open or replica.phase in (Phase.FAILED, Phase.GONE)
    doubtful = lost and replica.has_calls()
    listed = replica.phase in _IN_TABLE
    if listed and backend not in endpoint.backends:
        endpoint.backends.append(backend)
    elif not listed and backend in endpoint.backends:
        endpoint.backends.remove(backend)
    if backend.serving:
        endpoint.woken_at = None
    newly_lost = lost and (not backend.lost or (backend.doubtful and not doubtful))
    backend.lost, backend.doubtful = lost, doubtful
    if newly_lost and backend.on_lost is not None:
        backend.on_lost()
    if before != (backend.serving, backend.suspect, backend.lost, listed):
        wake(endpoint)


def update_endpoint(service: Service, now: float) -> None:
    """``now`` is monotonic."""
    record, endpoint = service.record, service.endpoint
    endpoint.publish(record.public)
    definition = service.active.definition
    endpoint.serving = definition.serving
    endpoint.health_path = definition.health_check.path if definition.health_check is not None else ""
    wanted = record.running and record.replicas > 0 and record.error is None and not service.deleting
    unavailable = (
        "" if any(b.serving for b in endpoint.backends) else none_because(service, reason_for_callers(service, now))
    )
    if not wanted:
        endpoint.woken_at = None
        service.at_zero = record.running and record.replicas == 0
    elif service.at_zero:
        endpoint.woken_at = None if endpoint.ready else now
        service.at_zero = False
    changed = wanted != endpoint.wanted
    endpoint.wanted, endpoint.unavailable = wanted, unavailable
    endpoint.stopped = is_stopped(service)
    endpoint.asleep = service.asleep
    endpoint.retry_at = service.retry(record.active).next_at if endpoint.asleep else 0.0
    if changed:
        wake(endpoint)


def none_because(service: Service, reason: str) -> str:
    """To callers."""
    return f"Service {service.key} has no replica that could answer: {reason}."


def wake(endpoint: Endpoint) -> None:
    if endpoint.wake is not None:
        endpoint.wake()
