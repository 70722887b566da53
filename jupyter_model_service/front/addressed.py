"""A call with something like a token in its address: it goes on only where that is nobody's, and a model's own word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..core.message import Refusal
from ..core.token_in_address import TOKEN_IN_ADDRESS, tokens_in
from ..engine.callers import UNKNOWN_TOKEN
from .asking import address_of

if TYPE_CHECKING:
    from .call import Call

__all__ = ["held"]


def held(call: Call, go_on: Callable[[Call], None]) -> bool:
    """Whether ``call`` was refused, or waits to be; ``go_on`` is called if it was not. Where nobody can say now whose
    the token is, the model does not get to see it."""
    tokens = tokens_in(call.target)
    if not tokens:
        return False
    callers = call.front.callers
    if any(callers.met(token) for token in tokens):
        call.refuse(TOKEN_IN_ADDRESS)
    else:
        call.asks = call.front.spawn(_look_up(call, tokens, go_on))
    return True


async def _look_up(call: Call, tokens: tuple[str, ...], go_on: Callable[[Call], None]) -> None:
    refusal = None
    for token in tokens:
        found = await call.front.callers.who(token, address_of(call))
        if found is not UNKNOWN_TOKEN:
            refusal = found if isinstance(found, Refusal) else TOKEN_IN_ADDRESS
            break
    if call.asks is not asyncio.current_task():  # cancelled when it was done waiting already
        return
    call.asks = None
    call.touched = monotonic()
    if refusal is not None:
        call.refuse(refusal)
    else:
        go_on(call)
