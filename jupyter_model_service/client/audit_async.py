"""What the client for asyncio can do about the audit log: :mod:`.audit_sync`, awaited."""

from __future__ import annotations

import builtins
from typing import Any, Protocol

from ..wire.audit import AuditEntry
from . import audit
from .calls import Call, Key


class HasAudit(Protocol):
    """What of the client the method stands on."""

    async def _key(self, name: str) -> Key: ...
    async def _plain(self, call: Call[Any]) -> Any: ...


class Audit:
    """Part of :class:`.aio.AsyncClient`. See :class:`.audit_sync.Audit` for what it does."""

    async def audit(
        self: HasAudit,
        name: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        newest: bool = True,
        **only: str | float | None,
    ) -> builtins.list[AuditEntry]:
        key = None if name is None else await self._key(name)
        calls = audit.some(key, limit, after=after, newest=newest, **only)
        try:
            call = next(calls)
            while True:
                call = calls.send(await self._plain(call))
        except StopIteration as end:
            return audit.entries(end.value)
