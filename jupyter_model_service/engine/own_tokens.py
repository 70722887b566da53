"""Tokens of endpoints where nobody else has to know of them."""

from __future__ import annotations

import secrets

from jupyter_model_service.ports import Clock, IssuedToken

PREFIX = "jms_"


class OwnTokens:
    """Implements ``ports.TokenIssuer`` where nobody else has to know: a token is good as long as the table has it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def issue(self, key: str, name: str, expires_in: float | None) -> IssuedToken:
        expires_at = None if expires_in is None else self._clock.now() + expires_in
        return IssuedToken(secrets.token_hex(8), PREFIX + secrets.token_urlsafe(32), expires_at)

    def withdraw(self, token_id: str) -> None:
        pass
