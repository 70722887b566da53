"""What :mod:`.aio` drives on an event loop: the steps of :mod:`.folders`, the moves of a conversation, the next change.
Apart from those, since asyncio alone would slow the command line down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from . import calls
from .calls import Call
from .events import RawChange
from .exchange import Request
from .folders import AskMode, Steps

__all__ = ["drive", "end", "next_until", "one_move"]

CANCEL_AGAIN = 0.2  # seconds; before Python 3.12, ``wait_for`` loses a cancellation that comes with its result


async def drive(steps: Steps, ask: Callable[[Call[Any]], Awaitable[Any]], *, embedded: bool) -> dict[str, Any]:
    """Take the steps on an event loop, folders in a thread; ``embedded``: the mode is known without asking."""
    outcome: Any = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, AskMode):
                outcome = "embedded" if embedded else (await ask(calls.info()))["mode"]
            elif isinstance(step, Call):
                outcome = await ask(step)
            else:
                outcome = await asyncio.to_thread(step.read)
    except StopIteration as end:
        return dict(end.value)


def one_move(move: Callable[[], Request]) -> tuple[Request | None, Any]:
    """One move of a conversation, in a thread since it may read the runtime file from a slow home directory: the next
    request, or ``None`` and the result (a ``StopIteration`` cannot cross an await)."""
    try:
        return move(), None
    except StopIteration as end:
        return None, end.value


async def next_until(changes: AsyncGenerator[RawChange, None], deadline: float | None) -> RawChange | None:
    """The next change, or ``None`` at the deadline."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        return await asyncio.wait_for(anext(changes), left)
    except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
        return None
    except StopAsyncIteration:
        return None


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, until it has ended; what it raises then is nobody's."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN)
    for task in tasks:
        if not task.cancelled():
            task.exception()
