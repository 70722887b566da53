"""One call from the end of its head to the end of its answer, and how it was.

It owns what it needs on the way: its ``body``; a task that ``asks`` who calls (:mod:`entry`); what is ``named`` where
its body says which service it is for (:mod:`named`); a ``turn`` once it has to wait for a replica; an ``attempt`` while
it is on one; a ``heart`` where its caller wants signs of life.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from ..core.admission import is_look, opens_page, too_large
from ..core.balance import pick
from ..core.definition import Serving
from ..core.ending import Broken, looks_whole
from ..core.fairness import line_of
from ..core.forwarding import goes_round
from ..core.message import BadMessage, Refusal, RequestHead
from ..core.patience import heartbeat_seconds
from ..core.peer import Peer, sender
from ..core.retrying import UNTRIED, Retry, Verdict
from ..core.routing import Backend, Endpoint
from . import answers, cors, entry, own_host, time_limits
from .attempt import Attempt
from .body import Body
from .heart import Heart
from .pool import Pool
from .turn import Turn

if TYPE_CHECKING:
    from ..core.limits import Allowance
    from ..ports import Visit
    from .downstream import Downstream
    from .named import Named
    from .server import Front
    from .waiting import Desk

__all__ = ["Call"]

_DEFAULTS = Serving()  # of a call until its service is known


class Call:
    """Ends exactly once, in :meth:`complete` or :meth:`finish`; then nothing of it is counted or waits any more.

    ``began`` is when its turn came on its connection, ``sent_at`` when it first went to a replica, ``touched`` when
    something last moved (monotonic). The clock is looked at once in what one read sets off. ``own_host``: it came to a
    host that is its service's alone. ``counted``: a replica got it; ``is_call``: it is in the figures by which the
    service is scaled, from ``endpoint.traffic.begun`` to the end of the call. ``answered``: some of a final answer went
    out, so that it can be sent to no other replica any more; ``chunked`` and ``keep`` are how the caller gets it.
    ``applied`` is a line of the answer's head: which preference was kept to. ``allowance`` is that of its token.
    """

    __slots__ = (
        "_continued", "allowance", "answered", "applied", "asks", "attempt", "began", "body", "bridged", "chunked",
        "counted", "desk", "done", "down", "endpoint", "first_byte", "front", "head", "heart", "is_call",
        "keep", "known_as", "name", "named", "own_host", "owner", "peer", "prefix", "request_id", "revision", "sent_at",
        "serving", "target", "to_head", "touched", "tries", "turn", "visit", "wants_upgrade",
    )  # fmt: skip
    not_found = own_host.not_found

    def __init__(self, down: Downstream, head: RequestHead) -> None:
        self.down = down
        front = down.front
        self.front: Front = front
        self.head: RequestHead = head
        self.peer: Peer = down.peer
        self.body: Body = Body()
        self.to_head: bool = head.method == b"HEAD"
        self.wants_upgrade: bool = head.upgrade is not None
        self.request_id: bytes = (head.request_id if down.peer.trusted else None) or front.new_request_id()
        self.target: bytes = head.target
        self.prefix: bytes = front.prefix
        self.owner = self.name = ""
        self.known_as: str = ""
        self.serving = _DEFAULTS
        self.endpoint: Endpoint | None = None
        self.desk: Desk | None = None
        self.attempt: Attempt | None = None
        self.turn: Turn | None = None
        self.heart: Heart | None = None
        self.allowance: Allowance | None = None
        self.asks: asyncio.Task[None] | None = None  # who calls
        self.named: Named | None = None
        self.visit: Visit | None = None  # that its caller is on, if she signed in to its service's pages
        self.revision = 0
        self.tries = UNTRIED
        self.touched: float = 0.0
        self.sent_at = self.began = 0.0
        self.first_byte: float | None = None
        self.applied = b""
        self.is_call = self.counted = self.answered = self.bridged = self.done = False
        self.own_host: bool = False
        self.chunked = self.keep = self._continued = False

    # --- who and what for ------------------------------------------------------------------------------

    def start(self) -> None:
        self.front.calls.add(self)
        self.began = self.touched = monotonic()
        entry.begin(self)

    def directed(self, target: bytes) -> None:
        """Its body said which service it is for: as if it had come to this address."""
        self.target, self.known_as = target, ""
        self.touched = monotonic()
        entry.begin(self)

    def to_web(self) -> None:
        """It is for the control API, which answers by itself."""
        self.serving = self.front.web_serving
        self.body.limit(self.serving.replay_limit)
        self.body.end = b""  # Tornado takes trailers for a malformed body
        self._send(self.front.web, self.touched)

    def enter(self, endpoint: Endpoint) -> None:
        """Its caller may call this service, as is known since :attr:`touched`."""
        now = self.touched
        if self.head.heartbeat:
            try:
                seconds = heartbeat_seconds(self.head.heartbeat)
            except BadMessage as bad:
                self.refuse(bad.refusal)
                return
            if not self.to_head and not self.wants_upgrade:  # neither has a body in which a beat could go
                self.heart = Heart(self, seconds)
        if self.head.forwarded and (refusal := goes_round(self.head.forwarded, self.front.via)) is not None:
            self.refuse(refusal)
            return
        serving = endpoint.serving
        if serving.body_limit is not None and (refusal := self._too_large(serving.body_limit)) is not None:
            self.refuse(refusal)
            return
        desk = self.front.desk(endpoint)
        if self.front.crowded and (refusal := self.front.too_busy(endpoint, desk, comes=True)) is not None:
            self.refuse(refusal)
            return
        self.endpoint, self.serving, self.desk = endpoint, serving, desk
        if self.front.most_of_owner is not None:
            endpoint.owned.open += 1
        desk.budget.call(now)
        self.body.limit(self.serving.replay_limit, desk.kept)
        look = is_look(self.head.method, self.target, endpoint.health_path)
        if not look or opens_page(self.target, self.head.headers):
            self.is_call = True
            endpoint.traffic.begun(now)
        if desk.held:
            desk.wake(now)
        if serving.affinity is not None:
            self.turn = Turn(self, endpoint, desk)
            self.turn.seek(serving.affinity, now)
            return
        backend = pick(endpoint.backends, now, serving.concurrency)
        if backend is not None:
            self.go(backend, now)
        else:
            self.turn = Turn(self, endpoint, desk)
            self.turn.begin(now)

    def _too_large(self, limit: int) -> Refusal | None:
        """Before its caller is told to send a body; one that says no length is counted as it comes."""
        length = self.head.length
        return self.body.bound(limit) if length is None else too_large(limit, length)

    @property
    def credential(self) -> str | None:
        """By which it was let in, where its service is not public."""
        return self.head.token if self.visit is None else self.visit.token

    @property
    def who(self) -> str | bytes:
        return self.known_as or line_of(sender(self.peer, self.head.forwarded))

    # --- on a replica ------------------------------------------------------------------------------------

    def go(self, backend: Backend, now: float) -> None:
        """To a replica of its service."""
        endpoint = self.endpoint
        if not self.counted and endpoint is not None:
            self.counted = True
            if self.is_call:
                self.sent_at = now
                endpoint.in_flight += 1
                endpoint.traffic.sent(now)
        self.revision = backend.revision
        self._send(self.front.pool(backend), now)

    def _send(self, pool: Pool, now: float) -> None:
        self.attempt = Attempt(self, pool)
        self.attempt.send(now)

    def once_more(self, attempt: Attempt, verdict: Verdict) -> None:
        """It failed on a replica and goes to another one."""
        attempt.release()
        self.attempt = None
        self.touched = now = monotonic()
        endpoint, desk = self.endpoint, self.desk
        if endpoint is None or desk is None:
            return
        if self.turn is None:
            self.turn = Turn(self, endpoint, desk)
        if verdict.retry is Retry.OTHER:
            desk.budget.spend(now)
        self.turn.again(attempt.backend, verdict, now)

    def replica_free(self) -> None:
        """Somebody else may have the place that this call had."""
        if self.desk is not None and self.desk.held:
            self.desk.wake(monotonic())

    def answer_begins(self, now: float) -> None:
        self.answered = True
        self.first_byte = now
        self.body.forget()

    def drop(self) -> None:
        """Nothing is waited for any more; a replica's work is cancelled."""
        if self.asks is not None:
            self.asks.cancel()
            self.asks = None
        if self.attempt is not None:
            self.attempt.drop()

    # --- from the caller -----------------------------------------------------------------------------------

    def move_body(self) -> None:
        """More of the body came, or its end."""
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.move_body(attempt.connection)
            return
        if self.named is not None and self.named.reading:
            self.named.read(self)
            return
        if self.turn is not None and self.turn.home is not None:
            self.turn.home.body_came()
        if self.body.pending_size > self.front.settings.body_buffer:
            self.down.let_body(False)

    def let_come(self) -> None:
        """The body of a caller who waits for our word, once."""
        if not self._continued and not self.body.received and not self.body.done:
            self.down.write([answers.CONTINUE])
        self._continued = True

    def raw_from_caller(self, data: bytes) -> None:
        if self.attempt is not None:
            self.attempt.raw_from_caller(data)

    def hold_answer(self, held: bool) -> None:
        """The caller does not take it as fast as it comes, or does again."""
        self.touched = monotonic()
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.hold(held)

    def bad_body(self, refusal: Refusal) -> None:
        """What the caller sends is no valid body."""
        self.drop()
        if self.answered:
            self.break_off(Broken.BAD_BODY)
        else:
            self.refuse(refusal)

    def caller_gone(self) -> None:
        """Nobody waits for the answer any more: the replica need not work on it."""
        if self.bridged and self.attempt is not None:
            self.attempt.close()
        if self.bridged:
            self.finish(101, keep=False)
        else:
            self.finish(499, keep=False, broken=Broken.GONE)

    def check_time(self, now: float) -> None:
        """Called at every tick. Connecting and asking for a token are bounded where they are awaited, and the hold of
        an answer by its own timer."""
        if self.heart is not None:
            self.heart.beat(now, self.turn.since if self.turn is not None else None)
        if self.turn is None or not self.turn.check(now):
            time_limits.check(self, now)

    # --- how it ended ----------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal) -> None:
        """Answer by ourselves; nothing of a model's answer has gone out yet."""
        if self.done:
            return
        if (self.owner or self.own_host or self.named is not None) and not self.counted:
            known = self.front.routing.get(self.owner, self.name) is not None
            self.front.meter.refused(*((self.owner, self.name) if known else ("", "")), refusal.code)
        if self.heart is not None and self.heart.begun:
            self.heart.refuse(refusal)
            return
        to = self._to()
        answer = answers.error(
            refusal, to, applied=cors.of_refusal(self), openai=self.named is not None, head=self.head
        )
        self._reply(answer, refusal.status, to.keep_alive, refusal.code)

    def answer(self, body: bytes, *, allow: bytes | None = None) -> None:
        """What the front knows by itself (:func:`answers.found`)."""
        to = self._to()
        self._reply(answers.found(body, to, allow=allow, applied=self.applied), 204 if allow else 200, to.keep_alive)

    def redirect(self, location: bytes, status: int = 308, cookies: tuple[bytes, ...] = ()) -> None:
        to = self._to()
        self._reply(answers.redirect(location, to, status, cookies), status, to.keep_alive)

    def _to(self) -> answers.To:
        return answers.To(self.head.version, self.may_keep(), self.to_head, self.request_id)

    def may_keep(self) -> bool:
        """Whether the connection may serve again. Not after a refused upgrade: proxies would give it to others."""
        kept = self.head.keep_alive and not self.wants_upgrade and self.body.done
        return kept and (not self.front.stopping or self.down.behind)

    def _reply(self, answer: bytes, status: int, keep: bool, code: str = "") -> None:
        self.drop()
        self.down.write([answer])
        self.finish(status, keep=keep, code=code)

    def break_off(self, why: Broken) -> None:
        """The answer cannot be completed: the caller must not take it for a whole one."""
        self.drop()
        answer = self.attempt.answer if self.attempt is not None else None
        self.down.break_off(reset=looks_whole(answer, chunked=self.chunked))
        self.finish(502, keep=False, broken=why)

    def cut(self, why: Broken) -> None:
        """The time for an answer that has begun is over. Bytes on a bridge have no end that could be missing: those
        that are there go out, and it ends."""
        if not self.bridged:
            self.break_off(why)
            return
        if self.attempt is not None:
            self.attempt.close()
        self.down.close()
        self.finish(101, keep=False, broken=why)

    def shut(self) -> None:
        """The front stops, and its grace is over."""
        if self.answered:
            self.cut(Broken.STOPPING)
        else:
            self.refuse(Refusal(503, "shutting_down", "The gateway is being stopped.", 5.0))

    def _count(self, endpoint: Endpoint, now: float, status: int, first_byte: float | None) -> None:
        """For the autoscaler."""
        if self.counted:
            endpoint.in_flight -= 1
            endpoint.traffic.ended(now, status, now - self.sent_at, now - self.began, first_byte)
        else:
            endpoint.traffic.rejected(now)

    def complete(self, status: int, now: float) -> None:
        """Its answer has come and gone out whole: nothing is left to drop but a body that the replica did not want."""
        if self.done:
            return
        self.done = True
        whole = self.body.done
        if not whole:
            self.body.drop()
        self._end(status, now, "", None, keep=self.keep and whole)

    def finish(self, status: int, *, keep: bool, code: str = "", broken: Broken | None = None) -> None:
        """``status`` as it is counted: 499 where the caller left, 502 where its answer broke off. ``code`` is of an
        answer of our own."""
        if self.done:
            return
        self.done = True
        if self.named is not None:
            self.front.naming.leave(self)
        self.drop()
        self.body.drop()
        self._end(status, monotonic(), code, broken, keep=keep)

    def _end(self, status: int, now: float, code: str, broken: Broken | None, *, keep: bool) -> None:
        self.heart = None
        if self.turn is not None:
            self.turn.leave()
        endpoint = self.endpoint
        first_byte = None if self.first_byte is None else self.first_byte - self.began
        if self.is_call and endpoint is not None:
            self._count(endpoint, now, status, first_byte)
        log = self.front.access_log
        if log is not None:
            log.add(self, status, now, code, broken)
        attempt = self.attempt
        if attempt is not None:
            attempt.release()
        if self.allowance is not None:
            self.allowance.release(now - self.began)
        self.attempt = self.turn = None  # they know this call: nothing is left to the garbage collector
        if endpoint is not None and (self.counted or status == 499):
            seconds = now - self.began
            self.front.meter.call(endpoint.owner, endpoint.name, self.revision, status, seconds, first_byte)
            if broken is not None:
                self.front.meter.broken(endpoint.owner, endpoint.name, broken.value)
        self.down.call_ended(self, now, keep=keep)
        self.front.call_ended(self)  # after the connection's next one has begun: a front that stops serves that, too
