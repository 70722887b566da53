"""The event stream: everything that changes, as server-sent events, for as long as the client listens.

The subscription is made before ``hello`` is sent, so a client that lists the services after ``hello`` misses
nothing. A reader that is too slow gets ``resync`` from the engine's bounded queue, and is cut off when it takes
nothing at all; either way the gateway keeps a bounded amount for it. A token that is good no more ends the stream, and
what it may see no more is told as gone: it is looked at again with every heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..core.access import Caller
from ..errors import ModelServiceError, Overloaded
from .call import Call
from .seen import Seen, event_text

__all__ = ["EventStreams"]

_STILL_HERE = ": still here\n\n"


class EventStreams:
    """All open streams of one application; ``close`` ends them, so that a stop does not wait for its readers."""

    def __init__(self, *, heartbeat: float = 10.0, stalled: float = 30.0, limit: int = 200, of_one: int = 40) -> None:
        """``limit``: how many there may be; ``of_one``: of one caller, who shall not take them all."""
        self._heartbeat = heartbeat
        self._stalled = stalled
        self._limit = limit
        self._of_one = of_one
        self._open: dict[asyncio.Event, str] = {}  # and whose it is

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        for ended in self._open:
            ended.set()

    async def serve(self, handler: RequestHandler, call: Call, again: Callable[[], Awaitable[Caller]]) -> None:
        """Write events until the client goes, stalls, the engine ends its subscription, or :meth:`close`. ``again``
        looks who the caller is, as was done for ``call``: when it raises, the stream ends."""
        if len(self._open) >= self._limit:
            raise Overloaded(f"There are {self._limit} open event streams already; close one first.")
        whose = call.by
        if list(self._open.values()).count(whose) >= self._of_one:
            raise Overloaded(f"{whose} has {self._of_one} open event streams already; close one first.")
        ended = asyncio.Event()
        connection: Any = handler.request.connection
        connection.set_close_callback(ended.set)
        subscription = call.parts.engine.subscribe()
        self._open[ended] = whose
        try:
            handler.set_header("Content-Type", "text/event-stream; charset=utf-8")
            handler.set_header("X-Accel-Buffering", "no")
            seen = Seen(call)
            await self._send(handler, event_text("hello", {}))
            await self._forward(handler, seen, again, subscription, ended)
        except StreamClosedError:
            pass  # the reader has gone
        except ModelServiceError:
            pass  # the token is not good any more, or nobody can say whether it is: whoever comes again is told
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            handler.detach().close()  # it takes nothing any more: what waits for it goes, too
        finally:
            self._open.pop(ended, None)
            subscription.close()

    async def _forward(
        self,
        handler: RequestHandler,
        seen: Seen,
        again: Callable[[], Awaitable[Caller]],
        subscription: Any,
        ended: asyncio.Event,
    ) -> None:
        now = asyncio.get_running_loop().time
        look = now() + self._heartbeat
        changes = aiter(subscription)
        end = asyncio.ensure_future(ended.wait())
        change = asyncio.ensure_future(anext(changes, None))
        try:
            while not end.done():
                # Not wait_for(anext(...)): a heartbeat must not cancel the read and lose a change with it.
                await asyncio.wait({change, end}, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
                if now() >= look:  # also while one change follows another, of which the reader may be told nothing
                    await self._send(handler, "".join(seen.became(await again())) or _STILL_HERE)
                    look = now() + self._heartbeat
                elif not change.done():
                    await self._send(handler, _STILL_HERE)
                if not change.done():
                    continue
                found = change.result()
                if found is None:
                    return
                change = asyncio.ensure_future(anext(changes, None))
                await self._send(handler, "".join(seen.texts(found)))
        finally:
            for task in (change, end):
                task.cancel()
            await asyncio.gather(change, end, return_exceptions=True)

    async def _send(self, handler: RequestHandler, text: str) -> None:
        if not text:
            return
        handler.write(text)
        await asyncio.wait_for(handler.flush(), self._stalled)
