"""Who a token belongs to, as a test says it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from jupyter_model_service.core.access import Caller
from jupyter_model_service.ports import IssuedToken

__all__ = ["FakeIdentity", "FakeIssuer"]


class FakeIdentity:
    """Implements ``ports.Identity``: ``callers`` are known from memory, ``elsewhere`` are those whom only ``resolve``
    finds, each time, and ``ended`` are tokens that were good.

    ``asked`` lists what ``resolve`` was asked for, ``signed_in`` those of a sign-in. It waits for ``answer``,
    and raises ``error``, where there is one. ``lately``: tokens that were good within the last five minutes, besides
    those in ``callers``; what ``resolve`` finds is added, and what it does not is taken out.
    """

    def __init__(self, callers: Mapping[str, Caller] | None = None, elsewhere: Mapping[str, Caller] | None = None):
        self.callers = dict(callers or {})
        self.elsewhere = dict(elsewhere or {})
        self.ended: set[str] = set()
        self.asked: list[str] = []
        self.signed_in: list[str] = []
        self.answer: asyncio.Event | None = None
        self.error: Exception | None = None
        self.lately: set[str] = set()

    def known(self, token: str) -> Caller | None:
        return None if token in self.ended else self.callers.get(token)

    async def resolve(self, token: str, *, signs_in: bool = False) -> Caller | None:
        self.asked.append(token)
        if signs_in:
            self.signed_in.append(token)
        if self.answer is not None:
            await self.answer.wait()
        if self.error is not None:
            raise self.error
        self.lately.discard(token)
        if token in self.ended:
            return None
        found = self.callers.get(token) or self.elsewhere.get(token)
        if found is not None:
            self.lately.add(token)
        return found

    def met(self, token: str) -> bool:
        return token not in self.ended and (token in self.callers or token in self.lately)

    def over(self, token: str) -> bool:
        return token in self.ended


class FakeIssuer:
    """Implements ``ports.TokenIssuer``: the tokens are ``t1``, ``t2``, …, their texts ``jms_secret1``, …; where they
    are made for so many seconds, they end that long after ``made_at`` (Unix time). ``withdrawn`` lists those that are
    in no table any more."""

    def __init__(self, made_at: float = 0.0) -> None:
        self.made_at = made_at
        self.withdrawn: list[str] = []
        self._count = 0

    async def issue(self, key: str, name: str, expires_in: float | None) -> IssuedToken:
        self._count += 1
        end = None if expires_in is None else self.made_at + expires_in
        return IssuedToken(f"t{self._count}", f"jms_secret{self._count}", end)

    def withdraw(self, token_id: str) -> None:
        self.withdrawn.append(token_id)
