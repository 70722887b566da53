"""The history of every service: what happened, when, in words. In memory, in the store, and on the bus."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..core.happenings import audience_of
from ..core.replica import Life
from ..core.reports import Exit
from ..ports import Clock, EventRecord, Store
from .bus import Bus
from .ledger import Ledger
from .state import Replica, Service

#: What the gateway decides by itself, and is in the audit log, too: the event's kind, the action there.
DEEDS = {
    "service.closed_by_policy": "make_private",
    "service.ended_by_policy": "stop_service",
    "service.taken_back": "take_back_revision",
    "service.failed": "give_up_service",
}
KEPT = 300  # events per service in memory, for when the store cannot be read


class Journal:
    """``own`` is told what the gateway does by itself: the action, the service, and why."""

    def __init__(self, store: Store, clock: Clock, bus: Bus, ledger: Ledger) -> None:
        self.own: Callable[[str, str, str], None] = lambda action, key, why: None
        self._store = store
        self._clock = clock
        self._bus = bus
        self._ledger = ledger
        self._last = 0
        self._recent: dict[str, deque[EventRecord]] = {}

    async def load(self) -> None:
        """Ids go on above every one that was handed out, also those of events that went with a deleted service: a life
        begins at its Unix time in milliseconds, and none has as many as a thousand events a second."""
        newest = max((event.id for event in await self._store.events(limit=1)), default=0)
        self._last = max(newest, int(self._clock.now() * 1000))

    def add(
        self,
        service: Service,
        kind: str,
        message: str,
        replica: Replica | None = None,
        details: Mapping[str, Any] | None = None,
        others: str = "",
    ) -> None:
        """``others``: what whoever may look into the service is told where its owner alone is told the ``message``."""
        self._last += 1
        record = EventRecord(
            id=self._last,
            at=self._clock.now(),
            service_id=service.id,
            kind=kind,
            message=message,
            replica=replica.id if replica is not None else None,
            details=dict(details or {}),
            audience=audience_of(kind),
            others=others,
        )
        if not service.deleting:
            self._recent.setdefault(service.id, deque(maxlen=KEPT)).append(record)
            self._ledger.add_event(record)
        self._bus.event(service.key, record)
        if kind in DEEDS:
            self.own(DEEDS[kind], service.key, message)

    def forget(self, service_id: str) -> None:
        self._recent.pop(service_id, None)

    def recent(self, service_id: str, after: int = 0) -> Sequence[EventRecord]:
        return [e for e in self._recent.get(service_id, ()) if e.id > after]


def parts_of_start(life: Life) -> dict[str, float]:
    """Seconds in each phase of one that has just become ready."""
    entered = list(life.starts.items())[::-1]  # the last comes first there
    return {phase.value: round(then - at, 3) for (phase, at), (_, then) in pairwise(entered)}


def exit_details(exit: Exit) -> dict[str, Any]:
    return {
        "stage": exit.stage,
        "code": exit.code,
        "signal": exit.signal,
        "oom": exit.oom,
        "action": exit.action,
        "tail": list(exit.tail),
    }
