"""A call with something like a token in its address: it goes on only where that is nobody's, and a model's own word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..core.token_in_address import TOKEN_IN_ADDRESS, tokens_in
from .asking import UNKNOWN_TOKEN, who_is

if TYPE_CHECKING:
    from .call import Call

__all__ = ["held"]


def held(call: Call, go_on: Callable[[Call], None]) -> bool:
    """Whether ``call`` was refused, or waits to be; ``go_on`` is called if it was not. Where nobody can say now whose
    the token is, the model does not get to see it."""
    tokens = tokens_in(call.target)
    if not tokens:
        return False
    identity = call.front.identity
    if any(identity.met(token) for token in tokens):
        call.refuse(TOKEN_IN_ADDRESS)
    else:
        call.asks = call.front.spawn(_look_up(call, tokens, go_on))
    return True


async def _look_up(call: Call, tokens: tuple[str, ...], go_on: Callable[[Call], None]) -> None:
    refusal = None
    for token in tokens:
        caller, otherwise = await who_is(call, token)
        if caller is not None:
            refusal = TOKEN_IN_ADDRESS
        elif otherwise is not UNKNOWN_TOKEN:
            refusal = otherwise
        if refusal is not None:
            break
    if call.asks is not asyncio.current_task():  # cancelled when it was done waiting already
        return
    call.asks = None
    call.touched = monotonic()
    if refusal is not None:
        call.refuse(refusal)
    else:
        go_on(call)
