"""A store in memory that forgets nothing that was written and keeps nothing that was not."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_model_service.core.audit import Entry
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.sharing import Share
from jupyter_model_service.errors import Conflict, NoSpace, StoreError
from jupyter_model_service.ports import (
    EventRecord,
    OverrideRecord,
    ReplicaRecord,
    ServiceRecord,
    TokenRecord,
    UseRecord,
)

from .store_access import MemoryAccess, MemoryAudit

EVENTS_KEPT = 1000  # per service, as ports.Store says


@dataclass
class Disk:
    """What is durable. ``writes`` counts the finished ones."""

    services: dict[str, ServiceRecord] = field(default_factory=dict)
    revisions: dict[str, dict[int, Revision]] = field(default_factory=dict)
    replicas: dict[str, ReplicaRecord] = field(default_factory=dict)
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    events: list[EventRecord] = field(default_factory=list)
    shares: dict[tuple[str, str, str], Share] = field(default_factory=dict)  # by service id, kind, name
    uses: dict[tuple[str, str, str, int], UseRecord] = field(default_factory=dict)  # by service id, who, made, day
    overrides: dict[str, OverrideRecord] = field(default_factory=dict)
    audit: list[Entry] = field(default_factory=list)
    audited: int = 0  # entries that there ever were
    audit_floor: float | None = None
    writes: int = 0
    identity: str = field(default_factory=lambda: uuid.uuid4().hex[:8])


class MemoryStore:
    """Implements ``ports.Store``. Each write takes one turn of the loop and happens at its end or not at all.

    ``fail_writes = "disk full"`` makes every write raise ``StoreError`` with these words until it is ``None``
    again; ``writes_left = n`` lets n more writes through first. ``reopened()`` is the store of the next
    process: this one then refuses everything, as a killed process would write nothing more.
    """

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk if disk is not None else Disk()
        self.access = MemoryAccess(self)
        self.audit = MemoryAudit(self)
        self.fail_writes: str | None = None
        self.writes_left: int | None = None
        self.room: Callable[[], bool] = lambda: True  # on the disk, for a write
        self._closed = False

    def reopened(self) -> MemoryStore:
        self._closed = True
        return MemoryStore(self.disk)

    @property
    def identity(self) -> str:
        return self.disk.identity

    async def services(self) -> Sequence[ServiceRecord]:
        return list((await self._read()).services.values())

    async def revisions(self, service: ServiceRecord) -> Sequence[Revision]:
        kept = (await self._read()).revisions.get(service.id, {})
        return [kept[number] for number in sorted(kept)]

    async def replicas(self) -> Sequence[ReplicaRecord]:
        return copy.deepcopy(list((await self._read()).replicas.values()))

    async def tokens(self) -> Sequence[TokenRecord]:
        return list((await self._read()).tokens.values())

    async def events(self, service_id: str | None = None, after: int = 0, limit: int = 100) -> Sequence[EventRecord]:
        disk = await self._read()
        found = [e for e in disk.events if e.id > after and service_id in (None, e.service_id)]
        found.sort(key=lambda event: event.id)
        return copy.deepcopy(found[-limit:] if limit > 0 else [])

    async def add_service(self, record: ServiceRecord, revision: Revision) -> None:
        disk = await self._write()
        if any((s.owner, s.name) == (record.owner, record.name) for s in disk.services.values()):
            raise Conflict(f"There is already a service {record.owner}/{record.name}.")
        disk.services[record.id] = record
        disk.revisions[record.id] = {revision.number: revision}

    async def save_service(self, record: ServiceRecord) -> None:
        disk = await self._write()
        self._known(record.id)
        disk.services[record.id] = dataclasses.replace(record, last_call_at=disk.services[record.id].last_call_at)

    async def touch_services(self, called: Mapping[str, float]) -> None:
        disk = await self._write()
        for service_id, at in called.items():
            if service_id in disk.services:
                disk.services[service_id] = dataclasses.replace(disk.services[service_id], last_call_at=at)

    async def add_revision(self, service: ServiceRecord, revision: Revision) -> None:
        disk = await self._write()
        self._known(service.id)
        if revision.number in disk.revisions[service.id]:
            raise StoreError(f"Revision {revision.number} of service {service.id} exists already.")
        disk.revisions[service.id][revision.number] = revision

    async def remove_revision(self, service_id: str, number: int) -> None:
        (await self._write()).revisions.get(service_id, {}).pop(number, None)

    async def remove_service(self, service_id: str) -> None:
        disk = await self._write()
        disk.services.pop(service_id, None)
        disk.revisions.pop(service_id, None)
        disk.replicas = {k: r for k, r in disk.replicas.items() if r.service_id != service_id}
        disk.tokens = {k: t for k, t in disk.tokens.items() if t.service_id != service_id}
        disk.events = [e for e in disk.events if e.service_id != service_id]
        disk.shares = {k: s for k, s in disk.shares.items() if k[0] != service_id}
        disk.uses = {k: u for k, u in disk.uses.items() if k[0] != service_id}

    async def save_replica(self, record: ReplicaRecord) -> None:
        disk = await self._write()
        self._known(record.service_id)
        disk.replicas[record.id] = copy.deepcopy(record)

    async def remove_replica(self, replica_id: str) -> None:
        (await self._write()).replicas.pop(replica_id, None)

    async def add_events(self, events: Sequence[EventRecord]) -> None:
        disk = await self._write()
        there = {e.id for e in disk.events}
        disk.events.extend(copy.deepcopy(e) for e in events if e.service_id in disk.services and e.id not in there)
        for service_id in {event.service_id for event in events}:
            ids = sorted(e.id for e in disk.events if e.service_id == service_id)
            if len(ids) > EVENTS_KEPT:
                oldest = ids[-EVENTS_KEPT]
                disk.events = [e for e in disk.events if e.service_id != service_id or e.id >= oldest]

    async def add_token(self, record: TokenRecord) -> None:
        disk = await self._write()
        self._known(record.service_id)
        disk.tokens[record.id] = record

    async def remove_token(self, token_id: str) -> None:
        (await self._write()).tokens.pop(token_id, None)

    async def touch_tokens(self, used: Mapping[str, float]) -> None:
        disk = await self._write()
        for token_id, at in used.items():
            if token_id in disk.tokens:
                disk.tokens[token_id] = dataclasses.replace(disk.tokens[token_id], last_used_at=at)

    async def change_tokens(
        self, limits: Mapping[str, Limits | None], rules: Mapping[str, tuple[PathRule, ...]]
    ) -> None:
        tokens = (await self._write()).tokens
        for token_id in limits.keys() & tokens.keys():
            tokens[token_id] = dataclasses.replace(tokens[token_id], limits=limits[token_id])
        for token_id in rules.keys() & tokens.keys():
            tokens[token_id] = dataclasses.replace(tokens[token_id], rules=rules[token_id])

    async def rotate_token(self, old: str, ends: float, new: TokenRecord) -> None:
        disk = await self._write()
        self._known(new.service_id)
        if old not in disk.tokens:
            raise StoreError(f"There is no token {old} (any more).")
        disk.tokens[old] = dataclasses.replace(disk.tokens[old], expires_at=ends)
        disk.tokens[new.id] = new

    async def count_tokens(self, counted: Mapping[str, tuple[int, int]]) -> None:
        disk = await self._write()
        for token_id, (day, count) in counted.items():
            if token_id in disk.tokens:
                disk.tokens[token_id] = dataclasses.replace(disk.tokens[token_id], day=day, calls=count)

    async def close(self) -> None:
        self._closed = True

    async def _read(self) -> Disk:
        await asyncio.sleep(0)
        if self._closed:
            raise StoreError("The store is closed.")
        return self.disk

    async def _write(self) -> Disk:
        disk = await self._read()
        if not self.room():
            raise NoSpace("The disk is full.")
        if self.fail_writes is not None:
            if not self.writes_left:
                raise StoreError(f"The database cannot be written: {self.fail_writes}.")
            self.writes_left -= 1
        disk.writes += 1
        return disk

    def _known(self, service_id: str) -> None:
        if service_id not in self.disk.services:
            raise StoreError(f"There is no service with the id {service_id}.")
