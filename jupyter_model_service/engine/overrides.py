"""What an administrator took away from users while the gateway ran, until she gives it back. Kept in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..core.effective import Override
from ..core.policy import changes_from_plain
from ..errors import NotFound
from ..ports import AccessStore, Clock, OverrideRecord

__all__ = ["Overrides"]


class Overrides:
    """By the Hub's names of users, of whom ``exists`` says whether there is one. Belongs to one event loop."""

    def __init__(self, store: AccessStore, clock: Clock, exists: Callable[[str], Awaitable[bool]]) -> None:
        self._store = store
        self._clock = clock
        self._exists = exists
        self._records: dict[str, OverrideRecord] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Before anything is started: what was taken away is not given back by a restart."""
        self._records = {record.user: record for record in await self._store.overrides()}

    def of(self, user: str) -> Override | None:
        record = self._records.get(user)
        return None if record is None else Override(record.changes, record.set_by)

    async def check(self, user: str) -> None:
        """``NotFound`` for a user whom the Hub does not have: nothing of a name that is misspelt would ever hold."""
        if await self._exists(user):
            return
        said = f"The Hub has no user {user}: its admin page has the names, written as they are to be written here."
        if user in self._records:
            said += " What was taken from a user of that name is kept for the next one, until all of it is given back."
        raise NotFound(said)

    @property
    def users(self) -> list[str]:
        return sorted(self._records)

    async def change(self, user: str, changes: Mapping[str, Any], by: str) -> None:
        """Fields of the policy; ``None`` takes one back, and what is left out stays. ``StoreError``: all is as it was.
        ``ValueError`` with a sentence for what is no limit."""
        async with self._changing:  # of two that come at once, neither takes the other back
            former = self._records.get(user)
            merged = {**(former.changes if former is not None else {}), **changes}
            kept = {name: value for name, value in merged.items() if value is not None}
            if not kept:
                await self._remove(user)
                return
            record = OverrideRecord(user, changes_from_plain("The limits", kept), by, self._clock.now())
            await self._store.set_override(record)
            self._records[user] = record

    async def remove(self, user: str) -> None:
        async with self._changing:
            await self._remove(user)

    async def _remove(self, user: str) -> None:
        await self._store.remove_override(user)
        self._records.pop(user, None)
