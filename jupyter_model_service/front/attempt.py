"""One try of a call on one replica: a connection, the request out, the answer back.

All of it runs in callbacks, in the turn of the loop in which bytes came; only a connection that is not there yet is
awaited, in a task that ends with the try.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from ..core.balance import begins_trial, ejection, proven
from ..core.ending import Broken, ended_by, given_up, lost_by
from ..core.forwarding import answer_head, held_bytes, informational_head, request_head, settled_for
from ..core.lack import OUR_LACK
from ..core.message import AnswerHead, Headers, Refusal
from ..core.retrying import TROUBLE, Blame, Failure, Retry, Verdict, after, may_move, only_once
from ..core.trailers import answer_end
from .body import END_OF_CHUNKS, chunk
from .pool import Pool
from .upstream import Sink, Upstream

if TYPE_CHECKING:
    from .call import Call

__all__ = ["Attempt"]

log = logging.getLogger(__name__)


class Attempt:
    """Hears its connection (``upstream.Sink``) and tells the call. It counts on its replica from :meth:`send` until
    :meth:`release`. ``answer`` is what the replica began to say, ``size`` how much of a body it sent so far;
    ``holding``: some of it waits for the rest."""

    __slots__ = (
        "_began", "_due", "_end", "_framed", "_hold", "_out", "_over", "_start", "_task", "answer", "backend", "call",
        "connection", "pool", "size", "to_head", "wants_upgrade",
    )  # fmt: skip

    def __init__(self, call: Call, pool: Pool) -> None:
        self.call = call
        self.pool = pool
        self.backend = pool.backend
        self.to_head = call.to_head
        self.wants_upgrade = call.wants_upgrade
        self.connection: Upstream | None = None
        self.answer: AnswerHead | None = None
        self._task: asyncio.Task[None] | None = None  # connects
        self._over = False
        self._out: list[bytes] = []
        self.size = 0
        self._due = 0  # bytes of the body without which nothing of the answer goes out yet
        self._end = END_OF_CHUNKS  # of a chunked answer
        self._hold: asyncio.TimerHandle | None = None  # ends the wait for them

    @property
    def spoke(self) -> bool:
        return self.connection is not None and self.connection.spoke

    @property
    def holding(self) -> bool:
        return self._hold is not None

    # --- to the replica --------------------------------------------------------------------------------

    def send(self, now: float) -> None:
        backend, pool = self.backend, self.pool
        backend.in_flight += 1
        backend.started += 1
        if backend.ejected_until and begins_trial(backend, now):
            backend.trial = self
        pool.calls.add(self)
        connection = pool.take(now)
        if connection is None:
            self._task = self.call.front.spawn(self._connect())
        else:
            self._attach(connection, now)

    async def _connect(self) -> None:
        try:
            connection = await self.pool.connect(self.call.serving.connect_timeout)
        except (OSError, UnicodeError) as error:  # TimeoutError is the former; a host name may be the latter
            if self._is_current():
                self._task = None
                failure = Failure.LACK if getattr(error, "errno", None) in OUR_LACK else Failure.CONNECT
                if failure is Failure.CONNECT and not self.backend.failures:  # the first in a row
                    where = f"{self.backend.host}:{self.backend.port}"
                    log.info("Replica %s took no connection at %s: %r", self.backend.replica, where, error)
                self._failed(failure, late=isinstance(error, TimeoutError))
            return
        if not self._is_current():
            connection.abort()
            return
        self._task = None
        if connection.transport is None:  # accepted and closed in one turn: nothing was written to it
            self._failed(Failure.CONNECT)
        else:
            self._attach(connection, monotonic())

    def _is_current(self) -> bool:
        """Whether the running task is still this try's, and the call not on another replica already."""
        return self._task is not None and self._task is asyncio.current_task()

    def _attach(self, connection: Upstream, now: float) -> None:
        self.connection = connection
        call, head = self.call, self.call.head
        sink: Sink = self
        if call.heart is not None and call.heart.begun:
            sink = call.heart.in_place_of(self)
        connection.begin(sink)
        if head.expects:
            call.let_come()
        self._start = request_head(
            head,
            target=call.target,
            prefix=call.prefix,
            peer=call.peer,
            request_id=call.request_id,
            via=None if call.endpoint is None else call.front.via,
            shared_origin=call.front.settings.shared_origin and not call.own_host,
        )
        self._began = call.touched = now
        pieces = call.body.take(chunked=head.chunked)
        if head.chunked:
            self._framed = sum(map(len, pieces))
        connection.write([self._start, *pieces])
        if call.down.stuck:
            connection.hold(True)
        if not connection.stuck:
            call.down.let_body(True)

    def move_body(self, connection: Upstream) -> None:
        """More of the caller's body came, or its end."""
        pieces = self.call.body.take(chunked=self.call.head.chunked)
        if pieces:
            self.call.touched = monotonic()
            if self.call.head.chunked:
                self._framed += sum(map(len, pieces))
            connection.write(pieces)

    def raw_from_caller(self, data: bytes) -> None:
        call = self.call
        call.touched = monotonic()
        if self.connection is not None and data:
            call.body.size += len(data)
            self.connection.write([data])

    # --- the end of it ---------------------------------------------------------------------------------

    def release(self) -> None:
        """The replica is done with this call, one way or another."""
        if self._over:
            return
        self._over = True
        backend = self.backend
        self.pool.calls.discard(self)
        backend.in_flight -= 1
        if backend.trial is self:
            backend.trial = None
        if backend.in_flight == 0 and backend.on_idle is not None:
            backend.on_idle()
        self.call.replica_free()

    def drop(self) -> None:
        """Close its connection at once: that cancels the replica's work."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        self._drop_answer()

    def close(self) -> None:
        """Close it when what was written has gone out: the last bytes may say why, as a WebSocket's close frame."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    # --- from the replica ------------------------------------------------------------------------------

    def on_informational(self, answer: AnswerHead) -> None:
        call = self.call
        if call.head.version == 11 and answer.status != 100:  # our own 100 went out before the body came
            shared = call.endpoint is not None and call.front.settings.shared_origin
            self._out.append(informational_head(answer, shared_origin=shared, own_host=call.own_host))

    def on_answer(self, answer: AnswerHead) -> None:
        call = self.call
        settings = call.front.settings
        if call.endpoint is not None:
            self._due = held_bytes(answer, most=settings.held_answer)
            if answer.leads and settings.shared_origin:
                answer = settled_for(answer, call.head, target=call.target, prefix=call.prefix, peer=call.peer)
        start, call.chunked, call.keep = answer_head(
            answer,
            version=call.head.version,
            keep_alive=call.may_keep(),
            request_id=call.request_id,
            replica=self.pool.replica,
            via=call.front.via,
            applied=call.applied,
            shared_origin=settings.shared_origin,
            trailers=call.head.takes_trailers,
            own_host=call.own_host,
        )
        self.answer = answer
        self._out.append(start)

    def on_body(self, piece: bytes) -> None:
        self._out.append(chunk(piece) if self.call.chunked else piece)
        self.size += len(piece)

    def on_trailers(self, fields: Headers) -> None:
        if self.call.head.takes_trailers and self.answer is not None:
            self._end = answer_end(fields, self.answer.named)

    def on_flush(self) -> None:
        if self.size >= self._due:
            self._pass_on(self.backend.answered_at)
        elif self._hold is None:
            self._hold = asyncio.get_running_loop().call_later(self.call.front.settings.held_time, self._held_long)

    def _held_long(self) -> None:
        self._due = 0
        self._pass_on(monotonic())

    def _pass_on(self, now: float) -> None:
        self._end_hold()
        if not self._out:
            return
        call = self.call
        restored = False
        if self.answer is not None:  # informational ones go on, but are no sign that the final one will come
            call.touched = now
        if self.answer is not None and not call.answered:
            call.answer_begins(now)
            if self.answer.status in TROUBLE and call.endpoint is not None:
                self._blame(Blame.FAILED)
            elif self.backend.ejected_until:
                restored = proven(self.backend, now)
            else:
                self.backend.failures = 0
        out, self._out = self._out, []
        call.down.write(out)
        if restored:
            call.replica_free()

    def _end_hold(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def _drop_answer(self) -> None:
        """What did not go out will not."""
        self._end_hold()
        if not self.call.answered:
            self.answer = None
            self.size = 0
        self._due = 0
        self._out = []

    def on_end(self, reusable: bool) -> None:
        call, connection, answer = self.call, self.connection, self.answer
        if connection is None or answer is None:
            return
        if call.chunked:
            self._out.append(self._end)
        now = self.backend.answered_at
        self._pass_on(now)
        self.connection = None
        if reusable and call.body.done:
            self.pool.give(connection, answer.keep_seconds, now)
        else:
            connection.close()
        call.complete(answer.status, now)

    def on_bad(self, message: str) -> None:
        self.drop()
        if self.call.answered:
            self.call.break_off(Broken.BAD_ANSWER)
        else:
            self._failed(Failure.BAD, Refusal(502, "bad_answer", message))

    def on_gone(self, *, spoke: bool) -> None:
        connection, self.connection = self.connection, None
        call = self.call
        if call.bridged:
            call.down.close()
            call.finish(101, keep=False)
        elif call.answered:
            call.break_off(Broken.DIED)
        elif connection is not None:
            waited, unused = monotonic() - self._began, self._unused(connection)
            self._failed(ended_by(spoke=spoke, reused=connection.reused, unused=unused, waited=waited))

    def on_stuck(self, stuck: bool) -> None:
        self.call.down.let_body(not stuck)
        if not stuck:
            self.call.touched = monotonic()

    def on_switched(self, answer: AnswerHead, rest: bytes) -> None:
        self.on_answer(answer)
        self.call.bridged = True
        self._out.append(rest)
        self.size += len(rest)
        self.call.down.bridge()
        self.on_flush()

    def on_raw(self, data: bytes) -> None:
        self.size += len(data)
        self.call.touched = monotonic()
        self.call.down.write([data])

    # --- failures ----------------------------------------------------------------------------------------

    def replica_lost(self, *, drained: bool = False) -> None:
        """The engine knows: no byte will come any more, or, while the replica is doubtful, perhaps none, or
        (``drained``) none is waited for."""
        if self._over:
            return
        call, connected, begun = self.call, self.connection is not None, self.answer is not None
        failure = lost_by(connected=connected, spoke=self.spoke, drained=drained)
        # Without a lease no connection is made: who has the address by now is not known.
        may_stay = connected and self.backend.doubtful and not drained
        if may_stay and (begun or not may_move(self._judged(failure), call.endpoint)):
            return
        if not call.answered:
            self.drop()
            self._failed(failure)
        elif drained:
            call.cut(Broken.DRAINED)
        else:
            call.break_off(Broken.DIED)

    def _unused(self, connection: Upstream) -> bool | None:
        """Whether the other side of a connection that ended was closed before any of the request came there."""
        if connection.spoke or connection.not_taken is None:
            return None
        call = self.call
        body = self._framed if call.head.chunked else call.body.size
        return connection.not_taken >= len(self._start) + body

    def _failed(self, failure: Failure, refusal: Refusal | None = None, *, late: bool = False) -> None:
        """Nothing of a final answer went out. ``refusal``: what its caller is told if the call is not sent again;
        ``late``: the connection took too long."""
        self._drop_answer()
        call = self.call
        if self._over or call.done:
            return
        verdict = self._judged(failure)
        self._blame(verdict.blame)
        if verdict.retry is Retry.NO:
            of_web, replayable = call.endpoint is None, call.body.replayable
            once = only_once(call.head.method, any_method=call.serving.retry)
            told = given_up(verdict.failure, of_web=of_web, late=late, replayable=replayable, once=once)
            call.refuse(refusal or told)
        else:
            self._goes_on(verdict)

    def too_late(self, refusal: Refusal) -> None:
        """It did not begin to answer in time. Where its health check is late, too, the call is not what takes so long:
        the replica hangs, and another one gets it. Of 78,000 calls under which a dozen replicas hung, twelve were on
        one that was not found out within their limit of 5 s."""
        self._failed(Failure.LATE, refusal)

    def _judged(self, failure: Failure) -> Verdict:
        call, backend = self.call, self.backend
        return after(
            failure,
            call.tries,
            method=call.head.method,
            any_method=call.serving.retry,
            replayable=call.body.replayable,
            suspect=backend.suspect,
            lost=backend.lost,
            others=call.endpoint is not None,
            within_budget=call.desk is None or call.desk.budget.left(monotonic()),
        )

    def _goes_on(self, verdict: Verdict) -> None:
        """The call is sent again, here or elsewhere."""
        call, endpoint = self.call, self.call.endpoint
        if endpoint is not None:
            call.front.meter.retried(endpoint.owner, endpoint.name, verdict.failure.value)
        call.tries = verdict.tries
        call.body.rewind()
        if verdict.retry is Retry.SAME:
            self._task = call.front.spawn(self._connect())
        else:
            call.once_more(self, verdict)

    def _blame(self, blame: Blame) -> None:
        """A failure of the replica."""
        backend, endpoint, now = self.backend, self.call.endpoint, monotonic()
        if endpoint is None or blame is Blame.NO or backend.doubtful:  # the engine looks at that one already
            return
        refused = blame is Blame.REFUSED
        backend.failures += 1
        seconds = ejection(backend, endpoint.backends, now, refused=refused)
        if seconds:
            backend.ejected_until = now + seconds
        if refused and backend.on_refused is not None:
            backend.on_refused()
