"""A file that is made while it is sent, by an operation or by a page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tornado.web import RequestHandler

__all__ = ["Download", "send"]

log = logging.getLogger(__name__)

STALLED = 30.0  # seconds in which whoever takes it takes nothing of a piece, after which she gets no more


@dataclass(frozen=True)
class Download:
    """A file, sent piece by piece: the next is made when the former has been taken. ``name``: under which a browser
    keeps it."""

    pieces: AsyncIterator[bytes]
    name: str
    kind: str


async def send(handler: RequestHandler, file: Download, still: Callable[[], Awaitable[object]]) -> None:
    """``still`` raises when whoever takes it may not read it any more: it may take long. What cannot be sent to its end
    is broken off, so that nobody takes a part for the whole."""
    piece = await anext(file.pieces, None)  # where that fails, it can still be said
    handler.set_header("Content-Type", file.kind)
    handler.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
    try:
        while piece is not None:
            handler.write(piece)
            await asyncio.wait_for(handler.flush(), STALLED)
            await still()
            piece = await anext(file.pieces, None)
    except Exception as error:
        log.warning("%s was not sent to its end: %s", file.name, error or type(error).__name__)
        handler.detach().close()
        return
    handler.finish()
