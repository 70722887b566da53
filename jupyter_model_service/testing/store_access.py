"""Shares, uses, overrides and the audit log in memory: the parts of ``MemoryStore`` that are about people."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jupyter_model_service.core.audit import AuditPage, AuditQuery, Entry, json_line
from jupyter_model_service.core.sharing import Share, ShareKind
from jupyter_model_service.ports import OverrideRecord, UseRecord

if TYPE_CHECKING:
    from .store import MemoryStore


class MemoryAccess:
    """Implements ``ports.AccessStore``."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def shares(self) -> Sequence[tuple[str, Share]]:
        kept = (await self._store._read()).shares
        found = [(service_id, share) for (service_id, _, _), share in kept.items()]
        return sorted(found, key=lambda each: (each[1].created_at, each[1].name))

    async def set_share(self, service_id: str, share: Share) -> None:
        disk = await self._store._write()
        self._store._known(service_id)
        disk.shares[service_id, share.kind, share.name] = share

    async def remove_share(self, service_id: str, kind: ShareKind, name: str) -> None:
        (await self._store._write()).shares.pop((service_id, kind, name), None)

    async def uses(
        self, service_id: str | None = None, since_day: int = 0, limit: int | None = None
    ) -> Sequence[UseRecord]:
        kept = (await self._store._read()).uses.values()
        found = [use for use in kept if use.day >= since_day and service_id in (None, use.service_id)]
        found.sort(key=lambda use: (use.day, use.who, use.made))
        return found if limit is None else found[max(0, len(found) - limit) :]

    async def add_uses(self, uses: Sequence[UseRecord]) -> None:
        disk = await self._store._write()
        for use in uses:
            if use.service_id not in disk.services:
                continue
            key = (use.service_id, use.who, use.made, use.day)
            there = disk.uses.get(key)
            if there is not None:
                times = [at for at in (there.last_at, use.last_at) if at is not None]
                use = dataclasses.replace(
                    there,
                    calls=there.calls + use.calls,
                    refused=there.refused + use.refused,
                    last_at=max(times, default=None),
                )
            disk.uses[key] = use

    async def forget_uses(self, before_day: int) -> None:
        disk = await self._store._write()
        disk.uses = {key: use for key, use in disk.uses.items() if use.day >= before_day}

    async def overrides(self) -> Sequence[OverrideRecord]:
        kept = (await self._store._read()).overrides
        return copy.deepcopy([kept[user] for user in sorted(kept)])

    async def set_override(self, override: OverrideRecord) -> None:
        (await self._store._write()).overrides[override.user] = copy.deepcopy(override)

    async def remove_override(self, user: str) -> None:
        (await self._store._write()).overrides.pop(user, None)


class MemoryAudit:
    """Implements ``ports.AuditStore``."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def add(self, entries: Sequence[Entry]) -> None:
        disk = await self._store._write()
        for entry in entries:
            disk.audited += 1
            disk.audit.append(dataclasses.replace(copy.deepcopy(entry), id=disk.audited))

    async def find(self, query: AuditQuery) -> Sequence[Entry]:
        kept = (await self._store._read()).audit
        found = [entry for entry in kept if _is_wanted(entry, query)]
        first = max(0, len(found) - query.limit) if query.newest else 0
        return copy.deepcopy(found[first : first + max(query.limit, 0)])

    async def page(self, query: AuditQuery, most: int) -> AuditPage:
        found = await self.find(dataclasses.replace(query, limit=query.limit + 1))
        fit, size = list[Entry](), 0
        for entry in reversed(found) if query.newest else found:
            size += len(json_line(entry))
            if len(fit) == query.limit or (fit and size > most):
                break
            fit.append(entry)
        return AuditPage(fit[::-1] if query.newest else fit, len(fit) < len(found))

    async def forget_before(self, at: float) -> int:
        disk = await self._store._write()
        if disk.audit_floor is not None and at <= disk.audit_floor:
            return 0
        disk.audit_floor = at
        before = len(disk.audit)
        disk.audit = [entry for entry in disk.audit if entry.at >= at]
        return before - len(disk.audit)


def _is_wanted(entry: Entry, query: AuditQuery) -> bool:
    asked = ((query.who, entry.who), (query.action, entry.action), (query.target, entry.target))
    if entry.id <= query.after or any(wanted not in (None, found) for wanted, found in asked):
        return False
    if query.before is not None and entry.id >= query.before:
        return False
    if query.owner is not None and not entry.target.startswith(f"{query.owner}/"):
        return False
    return (query.since is None or entry.at >= query.since) and (query.until is None or entry.at < query.until)
