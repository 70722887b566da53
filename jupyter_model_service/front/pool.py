"""The front's side of one replica: idle connections to it, and the calls that are on it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..core.message import AnswerHead, Headers
from ..core.routing import Backend
from .outgoing import Outgoing
from .places import Places
from .settings import FrontSettings
from .upstream import Upstream

__all__ = ["OnReplica", "Pool"]

_BEFORE_SERVER = 1.0  # an idle connection is given up so long before the server said that it would
_PARTS = 8  # of the time for a connection; it takes about four turns of the loop


class OnReplica(Protocol):
    """A call, as far as its replica matters to it."""

    def replica_lost(self, *, drained: bool = False) -> None: ...


class Pool:
    """Connections are taken last in, first out, so that few stay warm and the others expire."""

    def __init__(
        self,
        backend: Backend,
        settings: FrontSettings,
        outgoing: Outgoing,
        socket_path: str | None = None,
        places: Places | None = None,
    ) -> None:
        self.backend = backend
        # What its calls are told of who answered; the web part says nothing of itself.
        self.replica = backend.replica.encode() if socket_path is None else None
        self.settings = settings
        self.outgoing = outgoing
        self.places = places or Places()
        self.calls: set[OnReplica] = set()
        # What the replica said last, as it came and as it was judged: many of its answers say the same for a second.
        self.last_answer: tuple[tuple[int, str, bytes, Headers, bool], AnswerHead] | None = None
        self.whole_answer: tuple[bytes, AnswerHead] | None = None  # the head of one that came in one read
        self._socket_path = socket_path
        self._idle: list[Upstream] = []
        backend.on_lost, backend.on_drained = self.lost, self.drained

    @property
    def unused(self) -> bool:
        return not self._idle and not self.calls

    def take(self, now: float) -> Upstream | None:
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                if now - connection.idle_since < connection.idle_limit:
                    connection.reused = True
                    return connection
                connection.close()
        return None

    def give(self, connection: Upstream, keep_seconds: float | None, now: float) -> None:
        """Back after an answer that left it usable. ``keep_seconds``: what the server said of its own limit."""
        connection.hold(False)
        if self.backend.lost or len(self._idle) >= self.settings.pool_size or connection.stuck:
            connection.close()
            return
        connection.sink = None
        connection.idle_since = now
        if keep_seconds is not None:
            connection.idle_limit = min(self.settings.pool_idle, max(0.0, keep_seconds - _BEFORE_SERVER))
        self._idle.append(connection)

    def drop(self, connection: Upstream) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    async def connect(self, timeout: float) -> Upstream:
        """A fresh connection; ``OSError`` or ``TimeoutError`` where there is none.

        It takes some turns of the loop, and time in which the loop stood still (the processors were busy with others,
        the machine was suspended) is none that the replica took: so the time is counted in parts, of each of which the
        loop sees the end. Of 100 callers that were let go to one replica on a busy machine, 52 were told that it had
        not taken their connection within 2 s, when the kernel had long had all of them.
        """
        loop = asyncio.get_running_loop()
        self.places.leaves()
        connection = Upstream(self)
        opening: asyncio.Task[object]
        if self._socket_path is not None:
            opening = loop.create_task(loop.create_unix_connection(lambda: connection, self._socket_path))
        else:
            host, port = self.backend.host, self.backend.port
            opening = loop.create_task(loop.create_connection(lambda: connection, host, port))
        opening.add_done_callback(_look_at)
        try:
            for _ in range(_PARTS):
                await asyncio.wait((opening,), timeout=timeout / _PARTS)
                if opening.done():
                    opening.result()
                    return connection
            raise TimeoutError
        except BaseException:
            opening.cancel()
            try:
                await asyncio.wait((opening,))
            finally:
                connection.abort()
            raise

    def expire(self, now: float) -> None:
        """Close what has been idle for long, the oldest first; all of it when the replica serves no more."""
        serving = self.backend.serving and not self.backend.lost
        while self._idle:
            oldest = self._idle[0]
            if serving and now - oldest.idle_since < oldest.idle_limit:
                return
            del self._idle[0]
            oldest.close()
        if not self.calls:
            self.last_answer = self.whole_answer = None  # 128 KiB each, as the model likes, of 10,000 replicas

    def lost(self) -> None:
        """The engine says so: nothing more will come from this replica, or perhaps nothing while it is doubtful."""
        self.close()
        for call in list(self.calls):
            call.replica_lost()

    def drained(self) -> None:
        """The engine says so: it leaves, and waits for its open calls no longer."""
        for call in list(self.calls):
            call.replica_lost(drained=True)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abort()


def _look_at(opening: asyncio.Task[object]) -> None:
    """So that an error which comes when nobody waits any more is not logged as one that was never looked at."""
    if not opening.cancelled():
        opening.exception()
