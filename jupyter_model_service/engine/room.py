"""Replicas for which the launcher has no room just now, since every GPU is in use.

Nothing is wrong with them or their revision: their service waits, and tries again in the pauses of ``core.backoff``, or
at once when a replica of ours has given its GPU back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.backoff import room_given_back, with_place, without_place
from ..core.replica import Phase
from .state import Replica, Service


def refused(replica: Replica, beside: int, now: float) -> None:
    """It found no place beside ``beside`` others of its service."""
    service, number = replica.service, replica.revision.number
    service.retries[number] = without_place(
        service.retry(number), created_at=replica.created, beside=beside, now=now, reason=replica.refusal
    )
    if number == service.record.active and replica.substitute:
        service.holes += 1  # what it was to replace is still missing


def found(replica: Replica) -> None:
    """It has been launched."""
    service, number = replica.service, replica.revision.number
    if service.retry(number).refusals:
        service.retries[number] = with_place(service.retry(number))


def given_back(services: Iterable[Service]) -> Iterator[Service]:
    """A replica with GPUs is gone: those of the services that wait, and may try now."""
    for service in services:
        number = service.record.active
        if service.retry(number).refusals:
            service.retries[number] = room_given_back(service.retry(number))
            yield service


def is_no_news(replica: Replica) -> bool:
    """One more attempt without room: at one a minute they would drive the rest of the history out of the store."""
    refusals = replica.service.retry(replica.revision.number).refusals
    if not replica.placed:
        return refusals > 1 or replica.phase is not Phase.FAILED
    return refusals > 0 and replica.phase in (Phase.REQUESTED, Phase.STARTING) and not replica.adopted
