"""The event stream: everything that changes, as server-sent events, for as long as the client listens.

The subscription is made before ``hello`` is sent, so a client that lists the services after ``hello`` misses
nothing. A reader that is too slow gets ``resync`` from the engine's bounded queue, and is cut off when it takes
nothing at all; either way the gateway keeps a bounded amount for it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..core.sharing import Role
from ..errors import Overloaded
from .api import copy_info, event_info, service_info
from .call import Call

__all__ = ["EventStreams"]


class EventStreams:
    """All open streams of one application; ``close`` ends them, so that a stop does not wait for its readers."""

    def __init__(self, *, heartbeat: float = 10.0, stalled: float = 30.0, limit: int = 200) -> None:
        self._heartbeat = heartbeat
        self._stalled = stalled
        self._limit = limit
        self._open: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        for ended in self._open:
            ended.set()

    async def serve(self, handler: RequestHandler, call: Call) -> None:
        """Write events until the client goes, stalls, the engine ends its subscription, or :meth:`close`."""
        if len(self._open) >= self._limit:
            raise Overloaded(f"There are {self._limit} open event streams already; close one first.")
        ended = asyncio.Event()
        connection: Any = handler.request.connection
        connection.set_close_callback(ended.set)
        subscription = call.parts.engine.subscribe()
        self._open.add(ended)
        try:
            handler.set_header("Content-Type", "text/event-stream; charset=utf-8")
            handler.set_header("X-Accel-Buffering", "no")
            await self._send(handler, _event("hello", {}))
            await self._forward(handler, call, subscription, ended)
        except StreamClosedError:
            pass  # the reader has gone
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            handler.detach().close()  # it takes nothing any more: what waits for it goes, too
        finally:
            self._open.discard(ended)
            subscription.close()

    async def _forward(self, handler: RequestHandler, call: Call, subscription: Any, ended: asyncio.Event) -> None:
        changes = aiter(subscription)
        end = asyncio.ensure_future(ended.wait())
        change = asyncio.ensure_future(anext(changes, None))
        try:
            while not end.done():
                # Not wait_for(anext(...)): a heartbeat must not cancel the read and lose a change with it.
                await asyncio.wait({change, end}, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
                if not change.done():
                    await self._send(handler, ": still here\n\n")
                    continue
                found = change.result()
                if found is None:
                    return
                change = asyncio.ensure_future(anext(changes, None))
                text = _text(call, found)
                if text is not None:
                    await self._send(handler, text)
        finally:
            for task in (change, end):
                task.cancel()
            await asyncio.gather(change, end, return_exceptions=True)

    async def _send(self, handler: RequestHandler, text: str) -> None:
        handler.write(text)
        await asyncio.wait_for(handler.flush(), self._stalled)


def _text(call: Call, change: Any) -> str | None:
    """One change as an event; ``None`` for one of a service that the caller may not look into (any more)."""
    if change.kind == "resync":
        return _event("resync", {})
    owner, _, name = change.key.partition("/")
    role = call.role(owner, name)
    if role is None or role < Role.VIEWER:
        return None
    if change.kind == "service":
        return _event("service", service_info(change.view, role).model_dump(mode="json"))
    if change.kind == "event":
        return _event("event", event_info(change.key, change.event).model_dump(mode="json"))
    if change.kind == "copying":
        if role is not Role.OWNER:  # it names her folder
            return None
        return _event("copying", copy_info(change.copy).model_dump(mode="json"))
    return _event(change.kind, {"service": change.key})


def _event(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
