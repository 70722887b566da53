"""Everything that is written to the store, one write at a time.

A command's write comes first and may fail: then the command fails and changes nothing (:meth:`Ledger.commit`).
What the engine itself notices (events, replicas, what the plan decided) has happened already: it is written as soon
as that is possible, and a full disk stops no replica. ``error`` says meanwhile what is wrong, once.

A replica is launched even when its record could not be written: should the gateway be killed then, the next one
finds a replica that the store does not know, and ends it. Nothing leaks, only the adoption is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..ports import Clock, EventRecord, ReplicaRecord, ServiceRecord, Store
from .tasks import Tasks, until

log = logging.getLogger(__name__)

EVENTS_WAITING = 5000  # kept for the store while it cannot be written; older ones are lost


class Ledger:
    def __init__(self, store: Store, clock: Clock, retry: float, on_error: Callable[[], None]) -> None:
        self.error: str | None = None
        self._store = store
        self._clock = clock
        self._retry = retry
        self._on_error = on_error
        self._turn = asyncio.Lock()
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._dropped: set[str] = set()  # ids of removed services
        self._events: list[EventRecord] = []
        self._services: dict[str, Callable[[], ServiceRecord]] = {}
        self._replicas: dict[str, ReplicaRecord] = {}
        self._removed: set[str] = set()

    def start(self, tasks: Tasks) -> None:
        tasks.start("ledger", self._run())

    # --- commands: written before anything changes ---

    async def commit(self, *writes: Callable[[], Awaitable[None]]) -> None:
        """The writes in order; raises ``StoreError`` (or ``Conflict``) at the first that fails. Who asked is told so,
        ``error`` stays as it is: nothing waits to be written that could find out when it is over."""
        async with self._turn:
            for write in writes:
                await write()
            self._worked()

    async def remove_service(self, service_id: str) -> None:
        async def remove() -> None:
            await self._store.remove_service(service_id)
            self._dropped.add(service_id)

        await self.commit(remove)
        self._services.pop(service_id, None)
        self._replicas = {k: r for k, r in self._replicas.items() if r.service_id != service_id}
        self._events = [e for e in self._events if e.service_id != service_id]

    # --- what has happened: written as soon as possible ---

    async def save_replica(self, record: ReplicaRecord) -> None:
        """On disk when this returns, or in line to be."""
        self._replicas[record.id] = record
        self._removed.discard(record.id)
        if self.error is None:
            async with self._turn:
                await self._write_replica(record)
        self._work.set()

    def remove_replica(self, replica_id: str) -> None:
        self._replicas.pop(replica_id, None)
        self._removed.add(replica_id)
        self._work.set()

    def service_changed(self, service_id: str, record: Callable[[], ServiceRecord]) -> None:
        self._services[service_id] = record
        self._work.set()

    def add_event(self, event: EventRecord) -> None:
        if event.service_id in self._dropped:
            return
        self._events.append(event)
        del self._events[:-EVENTS_WAITING]
        self._work.set()

    def waiting(self, service_id: str | None = None) -> list[EventRecord]:
        """Events that are not in the store yet, oldest first."""
        return [e for e in self._events if service_id in (None, e.service_id)]

    async def flush(self) -> bool:
        """Write all that waits; False when something could not be written."""
        async with self._turn:
            return await self._write_all()

    # --- inside ---

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if not await self.flush():
                await until(self._clock, self._retry, self._settled)
                self._settled.clear()
                self._work.set()

    async def _write_all(self) -> bool:
        for service_id in list(self._services):
            record = self._services.pop(service_id)
            if not await self._try(self._store.save_service, record(), service_id):
                self._services.setdefault(service_id, record)
                return False
        for replica in list(self._replicas.values()):
            if not await self._write_replica(replica):
                return False
        for replica_id in list(self._removed):
            if not await self._try(self._store.remove_replica, replica_id, ""):
                return False
            self._removed.discard(replica_id)
        if batch := [e for e in self._events if e.service_id not in self._dropped]:
            if not await self._try(self._store.add_events, batch, ""):
                return False
            written = {event.id for event in batch}
            self._events = [e for e in self._events if e.id not in written]
        return True

    async def _write_replica(self, record: ReplicaRecord) -> bool:
        done = await self._try(self._store.save_replica, record, record.service_id)
        if done and self._replicas.get(record.id) is record:
            del self._replicas[record.id]
        return done

    async def _try(self, write: Callable[..., Awaitable[None]], what: object, service_id: str) -> bool:
        if service_id in self._dropped:
            return True
        try:
            await write(what)
        except Exception as error:  # whatever it is: this must go on for everything else that is to be kept
            self._failed(error)
            return False
        self._worked()
        return True

    def _failed(self, error: Exception) -> None:
        if self.error is None:
            log.error("The store cannot be written, serving goes on: %s", error)
            self.error = str(error)
            self._on_error()

    def _worked(self) -> None:
        if self.error is not None:
            log.info("The store can be written again")
            self.error = None
            self._settled.set()
            self._on_error()
