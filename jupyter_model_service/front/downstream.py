"""One connection to a caller: takes requests, starts their calls one after another, writes the answers."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import sys
from time import monotonic
from typing import TYPE_CHECKING, cast

from ..core.ending import Fin, fin_means, has_left
from ..core.message import BadMessage, Refusal, RequestHead
from ..core.peer import Peer
from . import answers
from .body import Body
from .call import Call
from .outgoing import Writing
from .reader import Reader

if TYPE_CHECKING:
    from .server import Front

__all__ = ["Downstream"]

_BODY, _NEXT = 1, 2  # why reading is paused: the replica takes no more; a request came before its turn
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Downstream(Writing):
    """``deadline`` (monotonic) is for what happens between calls: idleness, a slow head, a last answer going out."""

    __slots__ = (
        "_advancing", "_answering", "_bridged", "_early", "_fatal", "_feeding", "_half_closed", "_paused",
        "_queue", "_reader", "_reading", "_through", "deadline", "front", "peer", "stuck",
    )  # fmt: skip

    def __init__(self, front: Front) -> None:
        super().__init__(front.outgoing)
        self.front = front
        self.peer = Peer(b"unknown")
        self.stuck = False  # the caller does not take what was written
        self.deadline = math.inf
        self._reader = Reader(front.settings, self._opened, self._closed)
        self._queue: list[Call] = []  # a deque would be 570 bytes more for each idle connection
        self._answering: Call | None = None  # the call whose turn it is
        self._reading: Call | None = None  # the call whose body is being read
        self._paused = 0
        self._bridged = False
        self._early: list[bytes] | None = None  # after an upgrade request: what came before it was accepted
        self._half_closed = False
        self._fatal: Refusal | None = None  # nothing can be read after this
        self._through = False  # nothing is read any more, only discarded until the caller closes
        self._advancing = self._feeding = False

    # --- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = self.front.peer(peer[0] if isinstance(peer, tuple) and peer else "unknown")
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.deadline = monotonic() + self.front.settings.head_timeout
        self.front.connections.add(self)
        self.front.arm()

    def data_received(self, data: bytes) -> None:
        if self._bridged:
            if self._answering is not None:
                self._answering.raw_from_caller(data)
        elif self._through or self._fatal is not None:
            return
        elif self._early is not None:
            self._keep_early(data)
        else:
            self._feed(data)
            self._advance()

    def eof_received(self) -> bool:
        """``True`` leaves our side open, for a caller who has said all and still listens."""
        last = self._last
        fin = fin_means(
            open_call=last is not None and not self._through,
            bridged=self._bridged,
            keep_alive=last is not None and last.head.keep_alive,
            said_all=last is not None and last.body.done,
            answered=last is not None and last.answered,
        )
        if fin is Fin.LISTENS:
            self._half_closed = True
            return True
        if fin is not Fin.OVER:
            self._gone()
        if fin is Fin.LEFT:
            self.abort()
        else:
            self.flush()  # the loop closes next
        return False

    @property
    def _last(self) -> Call | None:
        """The call that came last, of those that are not over."""
        return self._queue[-1] if self._queue else self._answering

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.front.connections.discard(self)
        self._gone()

    def pause_writing(self) -> None:
        self.stuck = True
        self._hold_answer(True)

    def resume_writing(self) -> None:
        self.stuck = False
        self._hold_answer(False)

    def _hold_answer(self, held: bool) -> None:
        call = self._answering
        if call is not None:
            call.hold_answer(held)

    @property
    def remembers(self) -> bool:
        """Whether it holds the last head, in case that the next one is the same."""
        return self._reader.remembers

    # --- reading -----------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        between = self._answering is None and self._reading is None and not self._reader.in_head
        self._feeding = True
        try:
            self._early_rest(self._reader.feed(data))
        except BadMessage as bad:
            self._broken(bad.refusal)
        finally:
            self._feeding = False
        if between and self._reader.in_head:
            self.deadline = monotonic() + self.front.settings.head_timeout

    def _opened(self, head: RequestHead) -> Body:
        self._reading = call = Call(self, head)
        if self._through:
            call.body.drop()
        self._queue.append(call)
        return call.body

    def _closed(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and reading is self._answering:
            reading.move_body()

    def _early_rest(self, rest: bytes | None) -> None:
        if rest is not None:
            self._early = [rest] if rest else []

    def _keep_early(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            if sum(map(len, self._early)) > self.front.settings.body_buffer:
                self.let_body(False)

    def _broken(self, refusal: Refusal) -> None:
        """What comes cannot be read (any more). Earlier requests still get their answers."""
        reading, self._reading = self._reading, None
        last = self._last
        if reading is None and last is not None and not last.head.keep_alive:
            return  # bytes after "Connection: close"
        self._fatal = refusal
        if reading is not None and reading is self._answering:
            reading.bad_body(refusal)
        elif reading is not None:
            reading.body.drop()
            self._queue.remove(reading)

    # --- turns -------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Start what can be started. What ends at once is followed by the next one here, not by recursion."""
        if self._advancing or self._feeding:
            return
        self._advancing = True
        while self._queue and self._answering is None and not self._through and self.transport is not None:
            self._answering = call = self._queue.pop(0)
            self.deadline = math.inf
            call.start()
        self._advancing = False
        answering = self._answering
        if answering is not None and answering is self._reading:
            answering.move_body()
        if self._queue or self._paused & _NEXT:
            self._pause(_NEXT, bool(self._queue))
        if answering is None and self._fatal is not None and not self._through:
            if self.front.access_log is not None:
                self.front.access_log.add_unread(self.peer, self._fatal)
            self.write([answers.error(self._fatal, answers.To())])
            self._end()

    def call_ended(self, call: Call, now: float, *, keep: bool) -> None:
        if self._answering is not call:
            return
        self._answering = None
        if self._through or self.transport is None or self.transport.is_closing():
            return
        early: list[bytes] | None = None
        if call.wants_upgrade:  # refused; what followed it was not meant for us
            early, self._early = self._early, None
        if not keep or early or self._reading is call or (self._half_closed and not self._queue):
            self._end()
            return
        if self._paused:
            self.let_body(True)
        self.deadline = now + self.front.settings.keep_alive
        if self.front.stopping and not self._queue:
            self.close()
        elif self._queue or self._paused or self._fatal is not None:
            self._advance()

    # --- for the call --------------------------------------------------------------------------------------

    @property
    def body_allowed(self) -> bool:
        return not self._paused & _BODY

    def let_body(self, allowed: bool) -> None:
        """Whether the caller's body may come on."""
        if allowed is bool(self._paused & _BODY):
            self._pause(_BODY, not allowed)

    def _pause(self, why: int, on: bool) -> None:
        before = self._paused
        self._paused = before | why if on else before & ~why
        transport = self.transport
        if transport is None or transport.is_closing() or bool(before) is bool(self._paused):
            return
        if self._paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def bridge(self) -> None:
        """From here on bytes are passed on as they come."""
        self._bridged = True
        early, self._early = self._early, None
        self.let_body(True)
        for piece in early or ():
            if self._answering is not None:
                self._answering.raw_from_caller(piece)

    # --- the end -------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Close after what was written. What still comes is read and discarded for a while: closing with unread
        bytes sends a reset, which may overtake the answer."""
        transport = self.transport
        whole = self._reading is None and self._fatal is None and not self._queue
        self._through = True
        self._drop_unread()
        if transport is None or transport.is_closing():
            return
        if whole or self._half_closed or not transport.can_write_eof():
            self.close()
            return
        self._pause(_BODY | _NEXT, False)
        self.flush()
        try:
            transport.write_eof()
        except OSError:  # reset meanwhile
            transport.abort()
        self.deadline = monotonic() + self.front.settings.linger

    def close(self) -> None:
        """Close after what was written; a caller who does not take it is given up."""
        self._through = True
        if self.transport is not None:
            self.deadline = monotonic() + self.front.settings.reader_timeout
            self.flush()
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def break_off(self, *, reset: bool) -> None:
        """End an answer that is not complete. ``reset``: its end is the connection's, so a plain close would look
        like the proper one."""
        self._through = True
        self._drop_unread()
        transport = self.transport
        if transport is None:
            return
        if reset:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        else:
            self.flush()
            transport.close()
            self.deadline = monotonic() + self.front.settings.linger

    def _drop_unread(self) -> None:
        """The reader holds on to the body that it was filling, for as long as the connection lingers."""
        if self._reading is not None:
            self._reading.body.drop()
        self._reading = None
        self._queue.clear()
        self._early = None

    def _gone(self) -> None:
        """The caller is not there any more."""
        self._through = True
        self._drop_unread()
        call, self._answering = self._answering, None
        if call is not None:
            call.caller_gone()

    def check_time(self, now: float) -> None:
        """Called once a second."""
        if self._answering is None:
            self._reader.forget()
        if self._paused and self._answering is not None and self._has_left():
            self._gone()
            self.abort()
        if now < self.deadline or self.transport is None:
            return
        if self._through or self.transport.is_closing():
            self.abort()
        elif self._reader.in_head:
            self._fatal = Refusal(408, "head_timeout", "The request's head did not come in time.")
            self._advance()
        else:
            self.close()

    def _has_left(self) -> bool:
        """While reading is paused, nothing tells that the caller closed; the kernel knows (Linux only)."""
        last = self._last
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if _TCP_INFO is None or sock is None or last is None:
            return False
        try:
            state = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
        except OSError:
            return False
        return has_left(state, bridged=self._bridged, keep_alive=last.head.keep_alive)

    def shut(self) -> None:
        """The front stops: who waits for nothing is sent away."""
        if self._answering is None and not self._queue:
            self.close()
