"""What ``adapters.hub_api.HubApi`` says of users and tokens, without HTTP.

It is for tests with a clock of their own, in which a Hub that is away costs no time. A Hub with servers, sign-in and
HTTP is :mod:`.hub`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence

from jupyter_model_service.adapters.hub_models import HubToken, HubUser
from jupyter_model_service.errors import HubRefused

__all__ = ["LATE", "MemoryHub"]

LATE = 1e10  # Unix time at which a token was made, as far as its end is reckoned


class MemoryHub:
    """``users`` are there, and ``tokens`` are somebody's. The Hub gives ids of deleted tokens out again, and so does
    this one.

    ``silent`` is raised in place of every answer, ``lists`` in place of the list of users, and while ``hold`` is there
    no answer comes before it is set. ``longest`` is how many seconds a token may be good."""

    def __init__(
        self, users: Iterable[HubUser] = (), tokens: Mapping[str, HubUser] | None = None, *, longest: int = 1000
    ) -> None:
        self.users_there = {user.name: user for user in users}
        self.by_token = dict(tokens or {})
        self.made: dict[str, tuple[HubToken, str]] = {}  # by id, with their texts
        self.silent: Exception | None = None
        self.lists: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.longest = longest
        self.asked = 0  # questions about tokens
        self.listed = 0
        self.asked_of: list[str] = []  # users

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        await self._answer()
        return self.by_token.get(token)

    async def users(self, *, patience: float | None = None) -> Sequence[HubUser]:
        await self._answer(counted=False)
        self.listed += 1
        if self.lists is not None:
            raise self.lists
        return list(self.users_there.values())

    async def user(self, name: str, *, patience: float | None = None) -> HubUser | None:
        self.asked_of.append(name)
        await self._answer(counted=False)
        return self.users_there.get(name)

    async def create_token(
        self, user: str, *, note: str, scopes: Sequence[str], expires_in: int | None, patience: float | None = None
    ) -> tuple[HubToken, str]:
        await self._answer()
        if expires_in is not None and expires_in > self.longest:
            raise HubRefused(f"The Hub refused: expires_in must not exceed {self.longest}.", hub_status=400)
        number = next(number for number in itertools.count(1) if f"a{number}" not in self.made)
        text = f"hub-token-{number}-{len(note)}-{self.asked}"
        end = None if expires_in is None else LATE + expires_in
        made = HubToken(f"a{number}", note, frozenset(scopes), created=0.0, expires_at=end)
        self.made[made.id] = (made, text)
        self.by_token[text] = HubUser(user, scopes=frozenset(scopes))
        return made, text

    async def tokens_of(self, user: str, *, patience: float | None = None) -> Sequence[HubToken]:
        await self._answer()
        return [token for token, text in self.made.values() if self.by_token[text].name == user]

    async def delete_token(self, user: str, token_id: str, *, patience: float | None = None) -> None:
        await self._answer()
        token = self.made.get(token_id)
        if token is not None and self.by_token[token[1]].name == user:
            del self.made[token_id], self.by_token[token[1]]

    async def _answer(self, *, counted: bool = True) -> None:
        self.asked += counted
        if self.hold is not None:
            await self.hold.wait()
        if self.silent is not None:
            raise self.silent
