"""The replica that a call had best go to, by what the call says or by how its body begins."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING

from ..core import affinity, balance, prompt
from ..core.affinity import Affinity
from ..core.forwarding import seen_at
from ..core.routing import Backend, Endpoint

if TYPE_CHECKING:
    from .call import Call
    from .turn import Turn

__all__ = ["Home"]


class Home:
    """Of a call to a service with ``serving.affinity``.

    Where the prompt counts, and a replica is free, its beginning is waited for; no longer than
    ``settings.prompt_time``, and no more than ``settings.body_buffer`` bytes, which must do. A model cannot begin
    before it has the prompt either, and until then the call is on no replica. A call that has to wait for a replica
    anyway does not wait for its body: what there is of it when its turn comes must do.
    """

    __slots__ = ("_call", "_cookie", "_endpoint", "_key", "_next", "_timer", "_turn", "_unread", "_wish")

    def __init__(self, call: Call, endpoint: Endpoint, turn: Turn, wish: Affinity) -> None:
        self._call = call
        self._endpoint = endpoint
        self._turn = turn
        self._wish = wish
        self._key = b""  # empty: any replica will do
        self._unread = False  # how the body begins would matter
        self._next = 0  # bytes of the body at which it is looked at again; 0: it is not waited for
        self._timer: asyncio.TimerHandle | None = None
        self._cookie = b""  # the line that the answer has of it

    def seek(self, now: float) -> None:
        """Its service has it; it goes to a replica, or into the queue, at once or when its beginning is known."""
        call, wish = self._call, self._wish
        if wish.characters is None:
            said = affinity.said(wish, call.head)
            self._key = said if wish.by == "cookie" else affinity.digest(said)
        elif call.head.has_body:
            self._unread = True
            if balance.pick(self._endpoint.backends, now, call.serving.concurrency) is not None:
                self._wait()
                return
        self._turn.go_or_wait(now)

    # --- for its beginning -------------------------------------------------------------------------------------

    def _wait(self) -> None:
        call = self._call
        if call.head.expects:
            call.let_come()
        self._next = 1
        self.body_came()
        if self._next:
            self._timer = asyncio.get_running_loop().call_later(call.front.settings.prompt_time, self._over)

    def body_came(self) -> None:
        """More of it, or its end."""
        body = self._call.body
        if not self._next or (body.pending_size < self._next and not body.done):
            return
        if self._read():
            self._over()
        else:  # who sends byte by byte has it looked at a few times only
            self._next = min(self._call.front.settings.body_buffer, 2 * body.pending_size)

    def _read(self) -> bool:
        """Whether what came of the body tells."""
        body, most = self._call.body, self._call.front.settings.body_buffer
        whole = body.done or body.pending_size >= most
        found = prompt.beginning(body.beginning(most), self._wish.characters or 0, whole=whole)
        if found is None:
            return False
        self._unread = False
        self._key = affinity.digest(found)
        return True

    def _over(self) -> None:
        """It is known, or not waited for any more."""
        self.leave()
        self._turn.go_or_wait(monotonic())

    def leave(self) -> None:
        """Nothing is waited for any more."""
        self._next = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- which one ---------------------------------------------------------------------------------------------

    def pick(self, now: float, tried: Collection[Backend]) -> Backend | None:
        """Its own replica, or the next best one that is free; the call goes there now."""
        backends, cap = self._endpoint.backends, self._call.serving.concurrency
        if self._unread:
            if balance.pick(backends, now, cap, tried) is None:
                return None
            self._read()
            self._unread = False
        backend = affinity.pick(self._wish, self._key, backends, now, cap, tried)
        if backend is not None and self._wish.by == "cookie":
            self._give_cookie(backend)
        return backend

    def _give_cookie(self, backend: Backend) -> None:
        """None where the address is somebody else's, such as a Hub's. None at ``v1/``, which is many services'
        address."""
        call = self._call
        if not (call.front.settings.own_cookie or call.own_host) or call.named is not None:
            return
        path, secure = seen_at(call.head, call.peer, call.prefix)
        line = affinity.sticky_cookie(self._key, backend, self._endpoint.backends, path=path, secure=secure)
        call.applied = call.applied.replace(self._cookie, b"") + line
        self._cookie = line
