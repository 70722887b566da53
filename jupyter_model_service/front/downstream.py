"""One connection to a caller: takes requests, starts their calls one after another, writes the answers."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from time import monotonic
from typing import TYPE_CHECKING, cast

from ..core.ending import OVERLOADED, Fin, fin_means, may_say_all
from ..core.message import BadMessage, Refusal, RequestHead
from ..core.peer import Peer
from . import answers
from .backlog import IN_A_ROW
from .body import Body, gather
from .call import Call
from .leaving import left_unread, reset_by_us, unsent
from .outgoing import Writing
from .reader import Reader, Unread

if TYPE_CHECKING:
    from .server import Front

__all__ = ["Downstream"]

log = logging.getLogger(__name__)

_BODY, _NEXT = 1, 2  # why reading is paused: the replica takes no more; a request came before its turn


class Downstream(Writing):
    """``deadline`` (monotonic) is for what happens between calls: idleness, a slow head, a last answer going out."""

    __slots__ = (
        "_advancing", "_answering", "_behind", "_bridged", "_early", "_fatal", "_feeding", "_half_closed", "_lingers",
        "_paused", "_queue", "_reader", "_reading", "_through", "deadline", "front", "peer", "stuck",
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
        self._behind = False  # more requests came, which the reader has left
        self._paused = 0
        self._bridged = False
        self._early: list[bytes] | None = None  # after an upgrade request: what came before it was accepted
        self._half_closed = False
        self._fatal: Unread | None = None  # nothing can be read after this
        self._through = False  # nothing is read any more, only discarded until the caller closes …
        self._lingers = False  # … for a while, which begins when what was written is out
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
        self.front.enters(self)

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
            self.advance()

    def eof_received(self) -> bool:
        """``True`` leaves our side open, for a caller who has said all and still listens."""
        last = self._last
        fin = fin_means(
            open_call=last is not None and not self._through,
            bridged=self._bridged,
            keep_alive=last is not None and last.head.keep_alive,
            said_all=last is not None and last.body.done,
        )
        if fin is Fin.LISTENS:
            self._half_closed = True
            return True
        if fin is not Fin.OVER:
            self._gone()
        if fin is Fin.LEFT and self.transport is not None:
            reset_by_us(self.transport)  # who is there after all must not take what came for the whole
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
        self.front.held_back.discard(self)
        self._gone()
        self.front.see_quiet()

    def pause_writing(self) -> None:
        self.stuck = True
        if self._answering is not None:
            self._answering.hold_answer(True)

    def resume_writing(self) -> None:
        self.stuck = False
        if self._answering is not None:
            self._answering.hold_answer(False)
        else:
            self.advance()

    # --- reading -----------------------------------------------------------------------------------------

    def _feed(self, data: bytes | None) -> None:
        """``None``: what is left of the bytes before."""
        between = self._answering is None and self._reading is None and not self._reader.in_head
        self._feeding = True
        try:
            if self._reader.go_on() if data is None else self._reader.feed(data):
                rest = self._reader.switched
                self._behind = rest is None
                if rest is not None:
                    self._early = [rest] if rest else []
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

    def _keep_early(self, data: bytes) -> None:
        if self._early is not None:
            gather(self._early, data)
            if sum(map(len, self._early)) > self.front.settings.body_buffer:
                self.let_body(False)

    def _broken(self, refusal: Refusal) -> None:
        """What comes cannot be read (any more). Earlier requests still get their answers."""
        reading, self._reading = self._reading, None
        last = self._last
        if reading is None and last is not None and not last.head.keep_alive:
            return  # bytes after "Connection: close"
        self._fatal = self._reader.unread(refusal, self.front.new_request_id())
        if reading is not None and reading is self._answering:
            reading.bad_body(refusal)
        elif reading is not None:
            reading.body.drop()
            self._queue.remove(reading)

    # --- turns -------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Start what can be started. What ends at once is followed by the next one here, not by recursion."""
        if self._advancing or self._feeding:
            return
        self._advancing = True
        begun = 0
        try:
            while self._answering is None and (self._queue or self._behind) and not self._through:
                if self.stuck:  # it goes on when its caller takes the answers before
                    self.deadline = monotonic() + self.front.settings.reader_timeout
                    break
                if begun == IN_A_ROW:
                    self.front.backlog.add(self)
                    break
                if self._behind and (not self._queue or self._queue[0] is self._reading):
                    self._behind = False  # the body of one that has begun to come is taken first
                    self._feed(None)
                    continue
                begun += 1
                self._answering = call = self._queue.pop(0)
                self.deadline = math.inf
                call.start()
        except Exception:
            log.exception("A call could not be begun")
            self.abort()
        finally:
            self._advancing = False
        answering = self._answering
        if answering is not None and answering is self._reading:
            answering.move_body()
        if self._queue or self._behind or self._paused & _NEXT:
            self._pause(_NEXT, self.behind)
            if self.front.stopping:
                self.shut()
        if answering is None and self._fatal is not None and not self.behind and not self._through:
            if self.front.access_log is not None:
                self.front.access_log.add_unread(self.peer, self._fatal)
            self.write([answers.error(self._fatal.refusal, answers.To(request_id=self._fatal.request_id))])
            self._end()

    def has_no_place(self) -> None:
        """Say so, and read no request."""
        self._broken(OVERLOADED)
        self.advance()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything on it."""
        return self._answering is None and not self.behind and not self._through and self._fatal is None

    @property
    def behind(self) -> bool:
        """Whether requests came whose turn has not."""
        return (bool(self._queue) or self._behind) and not self._through

    def call_ended(self, call: Call, now: float, *, keep: bool) -> None:
        if self._answering is not call:
            return
        self._answering = None
        if self._through or self.transport is None or self.transport.is_closing():
            return
        early: list[bytes] | None = None
        if call.wants_upgrade:  # refused; what followed it was not meant for us
            early, self._early = self._early, None
        if not keep or early or self._reading is call or (self._half_closed and not self.behind):
            self._end()
            return
        if self._paused:
            self.let_body(True)
        self.deadline = now + self.front.settings.keep_alive
        if self.front.stopping and not self.behind:
            self.close()
        elif self._queue or self._paused or self._fatal is not None:
            self.advance()

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
        if self._paused:
            self.front.held_back.add(self)
        else:
            self.front.held_back.discard(self)
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
        whole = self._reading is None and self._fatal is None and not self.behind
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
        self._lingers = True
        self.deadline = monotonic() + self.front.settings.reader_timeout
        self._linger(monotonic())

    def _linger(self, now: float) -> None:
        """Once nothing is left to go out: a caller who is slow to take the end of its answer gets it whole."""
        if self.transport is not None and not unsent(self.transport):
            self._lingers = False
            self.deadline = now + self.front.settings.linger

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
            reset_by_us(transport)
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
        self._reader.drop()
        self._behind = False
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
            if self._lingers:
                self._linger(now)
            elif self._reader.in_head:  # it may have come behind a call
                self.deadline = min(self.deadline, now + self.front.settings.head_timeout)
        if now < self.deadline or self.transport is None:
            return
        if self.stuck:
            reset_by_us(self.transport)  # the same of who reads on at last
        elif self._through or self.transport.is_closing():
            self.abort()
        elif self._reader.in_head:
            self._broken(Refusal(408, "head_timeout", "The request's head did not come in time."))
            self.advance()
        else:
            self.close()

    def look_for_leaving(self, _now: float) -> None:
        """Called more often than once a second while reading is paused."""
        last = self._last
        if self._answering is None or last is None or self.transport is None:
            return
        keep_alive = last.head.keep_alive and not (self._behind and may_say_all(self._reader.left))
        if left_unread(self.transport, bridged=self._bridged, keep_alive=keep_alive):
            self._gone()
            self.abort()

    def shut(self) -> None:
        """The front stops: who waits for nothing is sent away."""
        if self._answering is None and not self.behind and not self._through:
            self.close()
