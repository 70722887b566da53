"""What the client for asyncio can do about who may do what with a service: :mod:`.access_sync`, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from ..wire import AccessInfo, SharedInfo, ShareInfo
from . import access, calls
from .calls import Call, Key

T = TypeVar("T")


class HasAccess(Protocol):
    """What of the client the methods stand on."""

    async def _key(self, name: str) -> Key: ...
    async def _plain(self, call: Call[Any]) -> Any: ...


class Access:
    """Part of :class:`.aio.AsyncClient`. See :class:`.access_sync.Access` for what each does."""

    async def share(
        self: HasAccess,
        name: str,
        *,
        users: Iterable[str] = (),
        groups: Iterable[str] = (),
        role: str = "caller",
        calls_per_second: float | None = None,
        in_flight: int | None = None,
        calls_per_day: int | None = None,
    ) -> builtins.list[ShareInfo]:
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        key = await self._key(name)
        return [
            await _ask(self, access.share(key, kind, whom, role, limits))
            for kind, names in (("user", users), ("group", groups))
            for whom in names
        ]

    async def unshare(self: HasAccess, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        key = await self._key(name)
        for kind, names in (("user", users), ("group", groups)):
            for whom in names:
                await _ask(self, access.unshare(key, kind, whom))

    async def allow_origins(self: HasAccess, name: str, origins: Iterable[str]) -> AccessInfo:
        return await _ask(self, access.open_to(await self._key(name), origins))

    async def shared(self: HasAccess) -> builtins.list[SharedInfo]:
        return await _ask(self, calls.shared())

    async def access(self: HasAccess, name: str, user: str | None = None) -> AccessInfo:
        return await _ask(self, access.show(await self._key(name), user))


async def _ask(client: HasAccess, call: Call[T]) -> T:
    return call.read(await client._plain(call))
