"""What the client for asyncio can do about the tokens of an endpoint: :mod:`.tokens_sync`, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from ..wire import NewToken, TokenInfo, UseList
from . import tokens
from .calls import Call, Key
from .tokens import DEFAULT, DEFAULT_OVERLAP, KEEP

T = TypeVar("T")


class HasTokens(Protocol):
    """What of the client the methods stand on."""

    async def _key(self, name: str) -> Key: ...
    async def _plain(self, call: Call[Any]) -> Any: ...


class Tokens:
    """Part of :class:`.aio.AsyncClient`. See :class:`.tokens_sync.Tokens` for what each does."""

    async def generate_token(
        self: HasTokens,
        name: str,
        token_name: str = "",
        *,
        expires_in: float | str | None = DEFAULT,
        calls_per_second: float | None = None,
        in_flight: int | None = None,
        calls_per_day: int | None = None,
        paths: Sequence[str] = (),
        methods: Sequence[str] = (),
    ) -> NewToken:
        tokens.warn_of(methods)
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        return await _ask(self, tokens.generate(await self._key(name), token_name, expires_in, limits, paths, methods))

    async def limit_token(
        self: HasTokens,
        name: str,
        token_id: str,
        *,
        calls_per_second: float | None = KEEP,
        in_flight: int | None = KEEP,
        calls_per_day: int | None = KEEP,
        paths: Sequence[str] | None = KEEP,
        methods: Sequence[str] | None = KEEP,
    ) -> TokenInfo:
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        changed = await _ask(self, tokens.limit(await self._key(name), token_id, limits, paths, methods))
        tokens.warn_of(methods, changed.notices)
        return changed

    async def rotate_token(
        self: HasTokens,
        name: str,
        token_id: str,
        *,
        overlap: float | str = DEFAULT_OVERLAP,
        expires_in: float | str | None = KEEP,
    ) -> NewToken:
        return await _ask(self, tokens.rotate(await self._key(name), token_id, overlap, expires_in))

    async def uses(self: HasTokens, name: str, since: str | None = None) -> UseList:
        return await _ask(self, tokens.uses(await self._key(name), since))

    async def tokens(self: HasTokens, name: str) -> builtins.list[TokenInfo]:
        return await _ask(self, tokens.listing(await self._key(name)))

    async def revoke_token(self: HasTokens, name: str, token_id: str) -> None:
        await _ask(self, tokens.revoke(await self._key(name), token_id))


async def _ask(client: HasTokens, call: Call[T]) -> T:
    return call.read(await client._plain(call))
