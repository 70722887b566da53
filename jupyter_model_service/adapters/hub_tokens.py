"""Tokens for endpoints that are real tokens of the JupyterHub, each limited to one endpoint by its scope.

They belong to a user of the Hub who exists for nothing else and holds only the scope to call endpoints; our service may
make tokens for that one user alone. So neither a stolen endpoint token nor our service's own can act as a person.

The Hub gives ids out again, so a token is known by its id and a mark in its note: ``a7-1f2e3d4c`` here stands for the
Hub's ``a7`` with ``[1f2e3d4c]`` in the note, and no other is ever deleted.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from ..core.hub_scopes import invoke_scope
from ..errors import HubRefused, HubUnavailable, InvalidRequest
from ..ports import Clock, IssuedToken
from .hub_models import HubToken

__all__ = ["HubTokens"]

SWEEP = 3600.0  # seconds between two looks for tokens that nobody has any more
RETRY = 30.0  # seconds until the next attempt when the Hub did not answer
YOUNG = 600.0  # seconds: a token may not be in our table yet

_NOTE = re.compile(r"model-service \S+ \[([0-9a-f]{8})\]")

log = logging.getLogger(__name__)


class TokenApi(Protocol):
    """The part of ``HubApi`` that is needed here."""

    async def create_token(
        self, user: str, *, note: str, scopes: Sequence[str], expires_in: int | None, patience: float | None = None
    ) -> tuple[HubToken, str]: ...

    async def tokens_of(self, user: str, *, patience: float | None = None) -> Sequence[HubToken]: ...
    async def delete_token(self, user: str, token_id: str, *, patience: float | None = None) -> None: ...


class HubTokens:
    """Implements ``ports.TokenIssuer``. ``user`` is the Hub's user that the tokens belong to; ``name_of`` gives the
    Hub's name of an owner. ``start`` and ``stop`` bracket the task that deletes what was withdrawn."""

    def __init__(self, api: TokenApi, clock: Clock, *, user: str, name_of: Callable[[str], Awaitable[str]]) -> None:
        self._api = api
        self._clock = clock
        self._user = user
        self._name_of = name_of
        self._withdrawn: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def issue(self, key: str, name: str, expires_in: float | None) -> IssuedToken:
        owner, _, service = key.partition("/")
        try:
            scope = invoke_scope(await self._name_of(owner), service)
        except ValueError as error:
            raise InvalidRequest(f"The Hub can make no token for {key}: {error}.") from error
        mark = secrets.token_hex(4)
        note = f"model-service {key} [{mark}] {name}".strip()
        try:
            made, text = await self._api.create_token(
                self._user,
                note=note,
                scopes=[scope],
                expires_in=None if expires_in is None else max(1, math.ceil(expires_in)),
            )
        except HubRefused as error:
            if error.hub_status == 400:  # such as a longer life than the site allows
                raise InvalidRequest(error.message) from error
            raise
        return IssuedToken(f"{made.id}-{mark}", text, made.expires_at)

    def withdraw(self, token_id: str) -> None:
        self._withdrawn.add(token_id)
        self._wake.set()

    def start(self, listed: Callable[[], Collection[str]]) -> None:
        """Delete at the Hub what was withdrawn, and each hour what is not ``listed``: what a crash left behind."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_tidy(listed), name="hub tokens")

    async def stop(self) -> None:
        """What could not be deleted yet is found by the next process."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_tidy(self, listed: Callable[[], Collection[str]]) -> None:
        while True:
            pause = SWEEP
            self._wake.clear()  # before the look: what is withdrawn during it needs another
            try:
                await self.sweep(listed())
            except (HubUnavailable, HubRefused) as error:
                log.warning("tokens that were revoked are still in the Hub, where they open nothing: %s", error)
                pause = RETRY
            except Exception:  # a fault of ours must not end the task
                log.exception("tokens of endpoints could not be looked through")
            wake = asyncio.ensure_future(self._wake.wait())
            sleep = asyncio.ensure_future(self._clock.sleep(pause))
            try:
                await asyncio.wait({wake, sleep} if pause == SWEEP else {sleep}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
                sleep.cancel()

    async def sweep(self, listed: Collection[str]) -> None:
        """Delete the withdrawn tokens and those that are not ``listed`` and not just made."""
        withdrawn = set(self._withdrawn)
        now = self._clock.now()
        for token in await self._api.tokens_of(self._user):
            marked = _NOTE.match(token.note)
            if marked is None:
                continue
            ours = f"{token.id}-{marked[1]}"
            old = token.created is not None and abs(now - token.created) > YOUNG
            if ours in withdrawn or (ours not in listed and old):
                await self._api.delete_token(self._user, token.id)
        self._withdrawn -= withdrawn

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._user}>"
