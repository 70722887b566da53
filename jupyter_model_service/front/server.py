"""The front: callers' connections on one side, replicas on the other, the routing table between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from ..core.admission import owner_busy, service_busy
from ..core.crowding import most_of_one
from ..core.definition import Serving
from ..core.ending import OVERLOADED
from ..core.fairness import Room
from ..core.hosts import Hosts
from ..core.message import Refusal
from ..core.openai import V1
from ..core.peer import Peer, Proxies
from ..core.routing import Backend, Endpoint, RoutingTable
from ..engine.callers import Callers
from ..ports import Meter, Uses
from .access_log import AccessLog
from .backlog import Backlog
from .call import Call
from .downstream import Downstream
from .outgoing import Outgoing
from .places import Places
from .pool import Pool
from .rechecks import Rechecks
from .settings import FrontSettings
from .visiting import Visiting
from .waiting import Desk

__all__ = ["Front", "FrontSettings"]

log = logging.getLogger(__name__)

_BACKLOG = 1024
_SLOW_TICKS = 10  # idle connections are looked at in every tenth tick …
_HELD_TICKS = 5  # … and those that are not read from more often, for their callers may leave unseen: within a second


class Front:
    """Serves ``{prefix}endpoints/{owner}/{name}/…`` and ``{prefix}v1/…`` from the routing table, everything else from
    ``web_socket``. What comes to a host that is a service's own (``hosts``) goes to that service, and nowhere else.

    Lives on one event loop, with the engine that writes the routing table.
    """

    def __init__(
        self,
        *,
        routing: RoutingTable,
        callers: Callers,
        meter: Meter,
        web_socket: str,
        prefix: str = "/",
        settings: FrontSettings | None = None,
        access_log: AccessLog | None = None,
        hosts: Hosts | None = None,
        uses: Uses | None = None,
        visiting: Visiting | None = None,
    ) -> None:
        self.routing = routing
        self.callers = callers
        self.uses = uses
        self.meter = meter
        self.access_log = access_log
        self.hosts = hosts
        self.bare = b""  # the host of the last call that came to none of them: the next one's is likely the same
        self.visiting = visiting
        self.settings = settings or FrontSettings()
        self.stopping = False
        self.connections: set[Downstream] = set()
        self.held_back: set[Downstream] = set()  # nothing is read from them for now
        self.calls: set[Call] = set()
        path = "/" + prefix.strip("/")
        self.prefix = path.rstrip("/").encode()
        self.base = self.prefix + b"/endpoints/"
        self.named = self.prefix + b"/" + V1
        self.naming: Room[str | bytes, Call] = Room(self.settings.naming_room)
        self.outgoing = Outgoing()
        self.places = Places(self.settings.max_connections)
        self.places.release = self._release
        self.most_of_one = most_of_one(self.places.most, self.settings.share_per_service)
        self.most_of_owner = most_of_one(self.places.most, self.settings.share_per_owner)
        self._crowd = min((most for most in (self.most_of_one, self.most_of_owner) if most is not None), default=None)
        self.crowded = False  # so many are connected that one service, or owner, may have more calls than it should
        self.backlog = Backlog()
        self.rechecks = Rechecks(self)
        self.web = Pool(Backend("web", 0, "", 0), self.settings, self.outgoing, web_socket, self.places)
        self.web_serving = Serving(first_byte_timeout=self.settings.web_timeout, retry=False)
        self._pools: dict[Backend, Pool] = {}
        self._desks: dict[Endpoint, Desk] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._quiet: asyncio.Event | None = None  # while stopping: set when no call is left
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._request_ids = itertools.count(1)
        self._request_id_start = os.urandom(6).hex().encode()
        self.via = b"model-service-%b" % os.urandom(4).hex().encode()  # a name that no other gateway has
        self._proxies = Proxies(self.settings.trusted_proxies)

    async def start(self, sock: socket.socket) -> None:
        """Accept callers on ``sock`` (bound; it is closed by :meth:`stop`)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Downstream(self), sock=sock, backlog=_BACKLOG)

    async def stop(self, grace: float) -> None:
        """Accept no more, let open calls finish for ``grace`` seconds, then break them off."""
        self.stopping = True
        self._quiet = asyncio.Event()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.shut()
        self.see_quiet()
        if not self._quiet.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), grace)
        for call in list(self.calls):
            call.shut()
        await self._flush(min(1.0, self.settings.linger))
        for connection in list(self.connections):
            connection.abort()
        for pool in [*self._pools.values(), self.web]:
            pool.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush(self, seconds: float) -> None:
        """Last answers go out of their buffers."""
        end = monotonic() + seconds
        while self.connections and monotonic() < end:
            await asyncio.sleep(0.01)

    # --- for connections and calls ------------------------------------------------------------------------

    def enters(self, connection: Downstream) -> None:
        """A caller has connected."""
        has_place = self.places.enters(self.connections)
        may_linger = has_place or self.places.may_linger(self.connections)
        self.connections.add(connection)
        self._see_crowd()
        self.arm()
        if not has_place:
            self.meter.refused("", "", OVERLOADED.code)
            if may_linger:
                connection.has_no_place()
            else:
                connection.abort()

    def _see_crowd(self) -> None:
        """Each call has a connection: while there are no more of these, nobody has too many of those."""
        self.crowded = self._crowd is not None and len(self.connections) > self._crowd

    def too_busy(self, endpoint: Endpoint, desk: Desk, *, comes: bool = False) -> Refusal | None:
        """Whether this service has its share of calls, those of all kinds, or, of one that just ``comes``, its owner's
        services together. Asked only while it is crowded."""
        most, of_owner = self.most_of_one, self.most_of_owner
        if most is not None and desk.held + sum(backend.in_flight for backend in endpoint.backends) >= most:
            return service_busy(endpoint.key, most)
        if comes and of_owner is not None and endpoint.owned.open >= of_owner:
            return owner_busy(endpoint.owner, of_owner)
        return None

    def _release(self) -> None:
        for pool in (*self._pools.values(), self.web):
            pool.close()

    def pool(self, backend: Backend) -> Pool:
        pool = self._pools.get(backend)
        if pool is None:
            pool = self._pools[backend] = Pool(backend, self.settings, self.outgoing, places=self.places)
        return pool

    def desk(self, endpoint: Endpoint) -> Desk:
        desk = self._desks.get(endpoint)
        if desk is None:
            desk = self._desks[endpoint] = Desk(endpoint, self.settings.kept_per_service)
            endpoint.wake = lambda: desk.wake(monotonic())
        return desk

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_ended(self, call: Call) -> None:
        self.calls.discard(call)
        if call.body.counted:
            call.body.forget()
        if self.most_of_owner is not None and call.endpoint is not None:
            call.endpoint.owned.open -= 1
        if self._quiet is not None:
            self.see_quiet()

    def see_quiet(self) -> None:
        """While stopping: whether every call that came is answered."""
        if self._quiet is not None and not self.calls and not any(each.behind for each in self.connections):
            self._quiet.set()

    def new_request_id(self) -> bytes:
        return b"%b%08x" % (self._request_id_start, next(self._request_ids))

    def peer(self, address: str) -> Peer:
        raw = address.encode("ascii", "replace")
        return Peer(raw, self._proxies.has(raw), self._proxies)

    # --- time -------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Time is looked at only while somebody is connected."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.settings.tick, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._ticks += 1
        now = monotonic()
        self.places.look_again()
        self._see_crowd()
        try:
            for call in list(self.calls):
                self._look(call.check_time, now, call.down)
            self._look(self.rechecks.tick, now)
            for desk in list(self._desks.values()):
                if desk.held:
                    self._look(desk.wake, now)
            if self._ticks % _HELD_TICKS == 0:
                for connection in list(self.held_back):
                    self._look(connection.look_for_leaving, now, connection)
            if self._ticks % _SLOW_TICKS == 0:
                self._look_at_idle(now)
        finally:
            if self.connections or any(not pool.unused for pool in (*self._pools.values(), self.web)):
                self.arm()

    @staticmethod
    def _look(at: Callable[[float], None], now: float, whose: Downstream | None = None) -> None:
        """What goes wrong with one of them is no other's harm."""
        try:
            at(now)
        except Exception:
            log.exception("A time limit could not be looked at")
            if whose is not None:
                whose.abort()

    def _look_at_idle(self, now: float) -> None:
        for connection in list(self.connections):
            self._look(connection.check_time, now, connection)
        self._look(self.web.expire, now)
        for backend, pool in list(self._pools.items()):
            self._look(pool.expire, now)
            if pool.unused and not backend.serving:
                del self._pools[backend]
        for endpoint, desk in list(self._desks.items()):
            if not desk.held and self.routing.get(endpoint.owner, endpoint.name) is not endpoint:
                del self._desks[endpoint]
                endpoint.wake = None
