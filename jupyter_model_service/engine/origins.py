"""Whose pages may call a service from a browser: what its owner lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..core.cors import check_origins
from ..core.happenings import CHANGED
from ..core.routing import RoutingTable
from .turns import Turns

__all__ = ["Origins"]


class Origins:
    """Belongs to the engine."""

    def __init__(self, routing: RoutingTable, turns: Turns) -> None:
        self._routing = routing
        self._turns = turns

    def of(self, owner: str, name: str) -> tuple[str, ...]:
        endpoint = self._routing.get(owner, name)
        return () if endpoint is None else endpoint.origins

    async def set(self, owner: str, name: str, origins: Iterable[str]) -> tuple[str, ...]:
        """In the place of the former ones; holds from the next call on. ``InvalidRequest``, ``NotFound``, or
        ``StoreError``: then all is as it was."""
        wanted = check_origins(origins)
        service = self._turns.find(owner, name)

        async def body() -> tuple[str, ...]:
            await self._turns.want(service, lambda record: replace(record, origins=wanted))
            service.endpoint.origins = wanted
            said = f"pages of {', '.join(wanted)} may call it" if wanted else "pages of no other origin may call it"
            self._turns.told(service, "service.origins", said, CHANGED)
            return wanted

        return await self._turns.in_turn(body())
