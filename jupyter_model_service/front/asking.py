"""Whose a token is that is not known from memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..core.access import Caller
from ..core.message import Refusal

if TYPE_CHECKING:
    from .call import Call
    from .server import Front

__all__ = ["UNAUTHENTICATED", "UNKNOWN_TOKEN", "ask"]

log = logging.getLogger(__name__)

#: No token came, or none that could be read: in the address, without "Bearer", twice.
UNAUTHENTICATED = Refusal(401, "unauthenticated", "A token is needed here: send it as 'Authorization: Bearer TOKEN'.")
#: One came. Which of the three it is would tell whoever tries tokens which of them there were.
UNKNOWN_TOKEN = Refusal(
    401, "unauthenticated", "The token is unknown, has expired or was revoked: ask the service's owner for another one."
)


def ask(call: Call, token: str, answered: Callable[[Call, Caller | None, Refusal], None]) -> None:
    """``answered`` gets the caller, and what the call is told for which nobody would do. Not if the call ends first."""
    call.asks = call.front.spawn(_ask(call, token, answered))


async def _ask(call: Call, token: str, answered: Callable[[Call, Caller | None, Refusal], None]) -> None:
    caller, otherwise = await _who(call.front, token)
    if call.asks is not asyncio.current_task():  # cancelled when it was done waiting already
        return
    call.asks = None
    call.touched = monotonic()
    answered(call, caller, otherwise)


async def _who(front: Front, token: str) -> tuple[Caller | None, Refusal]:
    try:
        return await asyncio.wait_for(front.identity.resolve(token), front.settings.identity_timeout), UNKNOWN_TOKEN
    except Exception as error:
        if not isinstance(error, asyncio.TimeoutError):
            log.warning("A token could not be checked (%s)", type(error).__name__)
    return None, Refusal(503, "identity_unavailable", "The token could not be checked now; try again later.", 1.0)
