"""What the client for asyncio can do about who may do what with a service: :mod:`.access_sync`, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from ..errors import ModelServiceError
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
        whom = access.each(users, groups)
        made = await _one_by_one(self, whom, lambda kind, name: access.share(key, kind, name, role, limits))
        access.warn_of(made)
        return made

    async def unshare(self: HasAccess, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        key, whom = await self._key(name), access.each(users, groups)
        if len(whom) > 1:
            shares = (await _ask(self, access.show(key))).shares
            access.check_shared(key, whom, [(share.kind, share.name) for share in shares])
        await _one_by_one(self, whom, lambda kind, name: access.unshare(key, kind, name))

    async def allow_origins(self: HasAccess, name: str, origins: Iterable[str]) -> AccessInfo:
        return await _ask(self, access.open_to(await self._key(name), origins))

    async def shared(self: HasAccess) -> builtins.list[SharedInfo]:
        return await _ask(self, calls.shared())

    async def access(self: HasAccess, name: str, user: str | None = None) -> AccessInfo:
        return await _ask(self, access.show(await self._key(name), user))


async def _one_by_one(
    client: HasAccess, whom: builtins.list[access.Whom], call: Callable[[str, str], Call[T]]
) -> builtins.list[T]:
    made: builtins.list[T] = []
    for each in whom:
        try:
            made.append(await _ask(client, call(*each)))
        except ModelServiceError as error:
            access.tell_how_far(error, whom, len(made))
            raise
    return made


async def _ask(client: HasAccess, call: Call[T]) -> T:
    return call.read(await client._plain(call))
