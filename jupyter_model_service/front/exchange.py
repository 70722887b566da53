"""One call on its replicas: a connection, the request out, the answer back, and once more where that is allowed.

All of it runs in callbacks, in the turn of the loop in which bytes came; only a connection that is not there yet is
awaited, in a task that ends with the call.
"""

from __future__ import annotations

import abc
import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from ..core.balance import ejection
from ..core.definition import Serving
from ..core.forwarding import Failure, Retry, answer_head, held_bytes, informational_head, may_retry, request_head
from ..core.message import AnswerHead, Refusal, RequestHead
from ..core.routing import Backend, Endpoint
from . import answers
from .body import END_OF_CHUNKS, Body, chunk
from .heart import Heart
from .pool import Pool
from .upstream import Upstream
from .waiting import Desk

if TYPE_CHECKING:
    from .downstream import Downstream

__all__ = ["Exchange"]

_NO_BODY = frozenset({204, 304})
_REPLICA_TROUBLE = frozenset({502, 503, 504})


class Exchange(abc.ABC):
    """``touched`` is when something last moved; the front compares it with :meth:`Call.limit` at every tick.

    ``answered``: some of a final answer went out, so that the call can be sent to no other replica any more.
    ``answer`` is what the replica began to say; ``chunked`` and ``keep`` are how the caller gets it.
    """

    __slots__ = (
        "_connects", "_continued", "_deaths", "_due", "_fresh", "_hold", "_out", "answer", "answered", "applied",
        "backend", "body", "bridged", "chunked", "connection", "desk", "done", "down", "endpoint", "first_byte", "head",
        "heart", "keep", "peer", "pool", "prefix", "request_id", "revision", "serving", "target", "task", "to_head",
        "touched", "tried", "wants_upgrade",
    )  # fmt: skip

    def __init__(self, down: Downstream, head: RequestHead) -> None:
        self.down = down
        self.head = head
        self.peer = down.peer
        self.body = Body()
        self.to_head = head.method == b"HEAD"
        self.wants_upgrade = head.upgrade is not None
        self.request_id = head.request_id or down.front.new_request_id()
        self.target, self.prefix = head.target, down.front.prefix
        self.endpoint: Endpoint | None = None
        self.desk: Desk | None = None
        self.serving = Serving()
        self.pool: Pool | None = None
        self.backend: Backend | None = None
        self.connection: Upstream | None = None
        self.task: asyncio.Task[None] | None = None
        self.tried: list[Backend] = []
        self.revision = 0
        self.touched = 0.0
        self.first_byte: float | None = None
        self.heart: Heart | None = None  # beats while the call waits, where its caller wants that
        self.applied = b""  # a line of the answer's head: which preference of the caller's was kept to
        self.answered = self.bridged = self.done = False
        self.answer: AnswerHead | None = None
        self.chunked = self.keep = self._continued = self._fresh = False
        self._connects = self._deaths = 0
        self._out: list[bytes] = []
        self._due = 0  # bytes of the body without which nothing of the answer goes out yet
        self._hold: asyncio.TimerHandle | None = None  # ends the wait for them

    # --- given by Call -------------------------------------------------------------------------------

    @abc.abstractmethod
    def refuse(self, refusal: Refusal) -> None: ...
    @abc.abstractmethod
    def finish(self, status: int, *, keep: bool) -> None: ...
    @abc.abstractmethod
    def break_off(self) -> None: ...
    @abc.abstractmethod
    def readmit(self, failure: Failure, *, later: bool) -> None: ...

    # --- to the replica --------------------------------------------------------------------------------

    def send(self, pool: Pool) -> None:
        backend = pool.backend
        backend.in_flight += 1
        backend.started += 1
        pool.calls.add(self)
        self.pool, self.backend = pool, backend
        self.revision = backend.revision
        self._fresh = False
        connection = pool.take()
        if connection is None:
            self.task = self.down.front.spawn(self._connect(pool))
        else:
            self._attach(connection)

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await pool.connect(self.serving.connect_timeout)
        except (OSError, UnicodeError) as error:  # TimeoutError is the former; a host name may be the latter
            if self.is_current():
                self.task = None
                self._failed(Failure.CONNECT, late=isinstance(error, TimeoutError))
            return
        if not self.is_current():
            connection.abort()
            return
        self.task = None
        if connection.transport is None:  # accepted and closed in one turn
            self._failed(Failure.DIED)
        else:
            self._attach(connection)

    def is_current(self) -> bool:
        """Whether the running task is still this call's. A task that was done waiting when it was cancelled goes on
        (``wait_for`` before Python 3.12 says so), while the call is on another replica already."""
        return self.task is not None and self.task is asyncio.current_task()

    def _attach(self, connection: Upstream) -> None:
        self.connection = connection
        heart = self.heart
        connection.begin(self if heart is None or not heart.begun else heart)
        head, body = self.head, self.body
        if head.expects:
            self.let_come()
        start = request_head(
            head,
            target=self.target,
            prefix=self.prefix,
            peer=self.peer,
            request_id=self.request_id,
            to_replica=self.endpoint is not None,
        )
        self.touched = monotonic()
        connection.write([start, *body.take(chunked=head.chunked)])
        if self.down.stuck:
            connection.hold(True)
        if not connection.stuck:
            self.down.let_body(True)

    def let_come(self) -> None:
        """The body of a caller who waits for our word, once."""
        if not self._continued and not self.body.received and not self.body.done:
            self.down.write([answers.CONTINUE])
        self._continued = True

    def move_body(self) -> None:
        """More of the caller's body came, or its end."""
        connection = self.connection
        if connection is None:
            if self.body.pending_size > self.down.front.settings.body_buffer:
                self.down.let_body(False)
            return
        pieces = self.body.take(chunked=self.head.chunked)
        if pieces:
            self.touched = monotonic()
            connection.write(pieces)

    def release(self) -> None:
        """The replica is done with this call, one way or another."""
        pool, backend = self.pool, self.backend
        if pool is None or backend is None:
            return
        self.pool = self.backend = None
        pool.calls.discard(self)
        backend.in_flight -= 1
        if backend.in_flight == 0 and backend.on_idle is not None:
            backend.on_idle()
        if self.endpoint is not None and self.endpoint.waiting and self.desk is not None:
            self.desk.wake(monotonic())

    def drop_connection(self) -> None:
        """Close it at once: that cancels the replica's work."""
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        self._drop_answer()

    # --- from the replica ------------------------------------------------------------------------------

    def on_informational(self, answer: AnswerHead) -> None:
        if self.head.version == 11 and answer.status != 100:  # our own 100 went out before the body came
            shared = self.endpoint is not None and self.down.front.settings.shared_origin
            self._out.append(informational_head(answer, shared_origin=shared))

    def on_answer(self, answer: AnswerHead) -> None:
        if self.backend is None:
            return
        keep = self.head.keep_alive and self.body.done and not self.down.front.stopping
        replica = None
        if self.endpoint is not None:
            replica = self.backend.replica.encode()
            self._due = held_bytes(answer, to_head=self.to_head, most=self.down.front.settings.held_answer)
        start, self.chunked, self.keep = answer_head(
            answer,
            version=self.head.version,
            keep_alive=keep,
            request_id=self.request_id,
            replica=replica,
            applied=self.applied,
            shared_origin=self.down.front.settings.shared_origin,
        )
        if self.to_head or answer.status in _NO_BODY:
            self.chunked = False
        self.answer = answer
        self._out.append(start)

    def on_body(self, piece: bytes) -> None:
        self._out.append(chunk(piece) if self.chunked else piece)
        if self._due:
            self._due -= len(piece)

    def on_flush(self) -> None:
        if not self._due:
            self._pass_on()
        elif self._hold is None:
            self._hold = asyncio.get_running_loop().call_later(self.down.front.settings.held_time, self._held_long)

    def _held_long(self) -> None:
        self._due = 0
        self._pass_on()

    def _pass_on(self) -> None:
        self._end_hold()
        if not self._out:
            return
        self.touched = now = monotonic()
        answer, backend = self.answer, self.backend
        if answer is not None and backend is not None and not self.answered:
            self.answered = True
            self.first_byte = now
            self.body.forget()
            if answer.status in _REPLICA_TROUBLE and self.endpoint is not None:
                self._count_failure(refused=False)
            else:
                backend.failures = 0
        out, self._out = self._out, []
        self.down.write(out)

    def _end_hold(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def _drop_answer(self) -> None:
        """What did not go out will not."""
        self._end_hold()
        if not self.answered:
            self.answer = None
        self._due = 0
        self._out = []

    def on_end(self, reusable: bool) -> None:
        connection, answer, pool = self.connection, self.answer, self.pool
        if connection is None or answer is None or pool is None:
            return
        if self.chunked:
            self.down.write([END_OF_CHUNKS])
        self.connection = None
        if reusable and self.body.done:
            pool.give(connection, answer.keep_seconds)
        else:
            connection.close()
        self.finish(answer.status, keep=self.keep and self.body.done)

    def on_bad(self, message: str) -> None:
        self.drop_connection()
        if self.answered:
            self.break_off()
        else:
            self.refuse(Refusal(502, "bad_answer", message))

    def on_gone(self, *, spoke: bool) -> None:
        connection, self.connection = self.connection, None
        if self.bridged:
            self.down.close()
            self.finish(101, keep=False)
        elif self.answered:
            self.break_off()
        elif spoke:
            self._failed(Failure.BROKEN)
        else:
            reused = connection is not None and connection.reused
            lost = self.backend is not None and self.backend.lost
            self._failed(Failure.STALE if reused and not lost else Failure.DIED)

    def on_stuck(self, stuck: bool) -> None:
        self.down.let_body(not stuck)
        if not stuck:
            self.touched = monotonic()

    def replica_lost(self) -> None:
        """The engine knows: no byte will come any more."""
        unsent = self.connection is None and not self._fresh
        spoke = self.connection is not None and self.connection.spoke
        self.drop_connection()
        if self.answered:
            self.break_off()
        elif spoke:
            self._failed(Failure.BROKEN)
        else:
            self._failed(Failure.CONNECT if unsent else Failure.DIED)

    # --- upgrades ----------------------------------------------------------------------------------------

    def on_switched(self, answer: AnswerHead, rest: bytes) -> None:
        self.on_answer(answer)
        self.bridged = True
        self._out.append(rest)
        self.down.bridge()
        self.on_flush()

    def on_raw(self, data: bytes) -> None:
        self.touched = monotonic()
        self.down.write([data])

    def raw_from_caller(self, data: bytes) -> None:
        self.touched = monotonic()
        if self.connection is not None and data:
            self.connection.write([data])

    # --- once more -----------------------------------------------------------------------------------------

    def _failed(self, failure: Failure, *, late: bool = False) -> None:
        """Nothing of a final answer went out. ``late``: the connection took too long."""
        self._drop_answer()
        backend, now = self.backend, monotonic()
        if backend is None or self.done:
            return
        blamed = failure is not Failure.STALE
        if failure is Failure.CONNECT and self._fresh:
            failure = Failure.DIED  # it took the call on a kept-alive connection, and now it is not there any more
        if blamed and self.endpoint is not None:
            self._count_failure(refused=failure is not Failure.BROKEN)
        decision = may_retry(
            failure,
            method=self.head.method,
            replayable=self.body.replayable,
            any_method=self.serving.retry,
            fresh_tried=self._fresh,
            connects=self._connects,
            deaths=self._deaths,
            within_budget=failure is not Failure.CONNECT or self.desk is None or self.desk.budget.spend(now),
        )
        if decision is Retry.NO or (decision is not Retry.SAME and self.endpoint is None):
            self._give_up(failure, late)
            return
        if self.endpoint is not None:
            self.down.front.meter.retried(self.endpoint.owner, self.endpoint.name, failure.value)
        self.body.rewind()
        if decision is Retry.SAME and self.pool is not None:
            self._fresh = True
            self.task = self.down.front.spawn(self._connect(self.pool))
            return
        if failure is Failure.CONNECT:
            self._connects += 1
        else:
            self._deaths += 1
        self.tried.append(backend)
        self.readmit(failure, later=decision is Retry.LATER)

    def _count_failure(self, *, refused: bool) -> None:
        """Against the replica; ``refused``: it did not answer at all."""
        backend, endpoint, now = self.backend, self.endpoint, monotonic()
        if backend is None or endpoint is None:
            return
        backend.failures += 1
        seconds = ejection(backend, endpoint.backends, now, refused=refused)
        if seconds:
            backend.ejected_until = now + seconds
        if refused and backend.on_refused is not None:
            backend.on_refused()

    def _give_up(self, failure: Failure, late: bool) -> None:
        if self.endpoint is None:
            refusal = Refusal(503, "web_unavailable", "The control API does not answer; try again later.", 1.0)
        elif late:
            refusal = Refusal(504, "connect_timeout", "The replica did not accept a connection in time.")
        elif failure is Failure.CONNECT:
            refusal = Refusal(502, "connect_failed", "No replica accepted a connection.")
        else:
            message = "The replica died under this call."
            if not self.body.replayable:
                message = f"{message[:-1]}, whose body is too long to be sent again (serving.replay_limit)."
            elif failure is Failure.BROKEN:
                message = "The replica died before it had sent the whole answer."
            refusal = Refusal(502, "replica_died", message)
        self.refuse(refusal)
