"""Whose a token is that is not known from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..core.access import Caller, Denied
from ..core.grants import NOT_WITHIN
from ..core.message import Refusal
from ..core.peer import sender
from ..engine.callers import UNKNOWN_TOKEN

if TYPE_CHECKING:
    from .call import Call

__all__ = ["UNAUTHENTICATED", "address_of", "ask", "refusal"]

#: No token came, or none that could be read: in the address, without "Bearer", twice.
UNAUTHENTICATED = Refusal(401, "unauthenticated", "A token is needed here: send it as 'Authorization: Bearer TOKEN'.")


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
    found = await call.front.callers.who(token, address_of(call), vetted=vetted)
    if call.asks is not asyncio.current_task():  # cancelled when it was done waiting already
        return
    call.asks = None
    call.touched = monotonic()
    if isinstance(found, Refusal):
        answered(call, None, found)
    else:
        answered(call, found, UNKNOWN_TOKEN)


def address_of(call: Call) -> bytes:
    """By which what is wrong of its caller is counted."""
    return sender(call.peer, call.head.forwarded)
