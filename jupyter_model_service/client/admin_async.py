"""What the client for asyncio can do for administrators: :mod:`.admin_sync`, awaited."""

from __future__ import annotations

from typing import Any, Protocol

from ..wire import ServiceInfo
from ..wire.admin import Overview, OwnerUse
from . import admin
from .calls import Call, Key


class HasAdmin(Protocol):
    """What of the client the methods stand on."""

    async def _key(self, name: str) -> Key: ...
    async def _plain(self, call: Call[Any]) -> Any: ...


class Admin:
    """Part of :class:`.aio.AsyncClient`. See :class:`.admin_sync.Admin` for what each method does."""

    async def overview(self: HasAdmin) -> Overview:
        call = admin.overview()
        return call.read(await self._plain(call))

    async def limits(self: HasAdmin, user: str) -> OwnerUse:
        call = admin.limits(user)
        return call.read(await self._plain(call))

    async def limit(self: HasAdmin, user: str, **changes: Any) -> OwnerUse:
        call = admin.limit(user, changes)
        return call.read(await self._plain(call))

    async def unlimit(self: HasAdmin, user: str) -> OwnerUse:
        call = admin.unlimit(user)
        return call.read(await self._plain(call))

    async def notice(self: HasAdmin, name: str, text: str | None) -> ServiceInfo:
        key = await self._key(name)
        call = admin.no_notice(key) if text is None else admin.notice(key, text)
        return call.read(await self._plain(call))
