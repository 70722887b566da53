"""Whose a token is that is not known from memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..core.access import Caller, Denied
from ..core.grants import NOT_WITHIN
from ..core.guessing import too_many
from ..core.message import Refusal
from ..core.peer import sender

if TYPE_CHECKING:
    from .call import Call

__all__ = ["UNAUTHENTICATED", "UNKNOWN_TOKEN", "ask", "refusal", "who_is"]

log = logging.getLogger(__name__)

#: No token came, or none that could be read: in the address, without "Bearer", twice.
UNAUTHENTICATED = Refusal(401, "unauthenticated", "A token is needed here: send it as 'Authorization: Bearer TOKEN'.")
#: One came. Which of the three it is would tell whoever tries tokens which of them there were.
UNKNOWN_TOKEN = Refusal(
    401, "unauthenticated", "The token is unknown, has expired or was revoked: ask the service's owner for another one."
)


def refusal(call: Call, why: Denied) -> Refusal:
    """What ``call`` is told, which is not let in, or may not go on."""
    if why == "path_not_allowed":
        return NOT_WITHIN
    return UNAUTHENTICATED if why == "unauthenticated" else call.not_found()


_Answered = Callable[["Call", "Caller | None", Refusal], None]


def ask(call: Call, token: str, answered: _Answered, *, vetted: bool = False) -> None:
    """``answered`` gets the caller, and what the call is told for which nobody would do. Not if the call ends first.
    ``vetted``: it was good before, and nobody guesses it."""
    call.asks = call.front.spawn(_ask(call, token, answered, vetted))


async def _ask(call: Call, token: str, answered: _Answered, vetted: bool) -> None:
    caller, otherwise = await who_is(call, token, vetted=vetted)
    if call.asks is not asyncio.current_task():  # cancelled when it was done waiting already
        return
    call.asks = None
    call.touched = monotonic()
    answered(call, caller, otherwise)


async def who_is(call: Call, token: str, *, vetted: bool = False) -> tuple[Caller | None, Refusal]:
    """Whose it is, or why that is not said: nobody's, or it was not looked up."""
    front = call.front
    met = vetted or front.identity.met(token)
    address = b"" if met else sender(call.peer, call.head.forwarded)
    if not met and (wait := front.guesses.may_ask(address, token, monotonic())) is not None:
        return None, too_many(wait)
    try:
        caller = await asyncio.wait_for(front.identity.resolve(token), front.settings.identity_timeout)
    except Exception as error:
        if not isinstance(error, asyncio.TimeoutError):
            log.warning("A token could not be checked (%s)", type(error).__name__)
        return None, Refusal(503, "identity_unavailable", "The token could not be checked now; try again later.", 1.0)
    if caller is None and not met:
        front.guesses.failed(address, token, monotonic())
    return caller, UNKNOWN_TOKEN
