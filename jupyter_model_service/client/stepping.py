"""The steps of :mod:`.folders` on an event loop; apart, since asyncio alone would slow the command line down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from . import calls
from .calls import Call
from .folders import AskMode, ReadFolder, Steps

__all__ = ["drive"]


async def drive(steps: Steps, ask: Callable[[Call[Any]], Awaitable[Any]], *, embedded: bool) -> dict[str, Any]:
    """Take the steps on an event loop, folders in a thread; ``embedded``: the mode is known without asking."""
    outcome: Any = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, AskMode):
                outcome = "embedded" if embedded else (await ask(calls.info()))["mode"]
            elif isinstance(step, ReadFolder):
                outcome = await asyncio.to_thread(step.read)
            else:
                outcome = await ask(step)
    except StopIteration as end:
        return dict(end.value)
