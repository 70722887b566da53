"""When a call gets its replica: at once, after a wait in the queue, after a start that it brought about, or never."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from ..core import admission
from ..core.admission import admit, is_look, opens_page
from ..core.balance import pick
from ..core.forwarding import Failure, sender
from ..core.message import BadMessage, Refusal, RequestHead
from ..core.patience import heartbeat_seconds, preferred_wait
from ..core.routing import Backend, Endpoint
from .exchange import Exchange
from .heart import Heart
from .waiting import Waiter

if TYPE_CHECKING:
    from .downstream import Downstream

__all__ = ["Queued"]


class Queued(Exchange):
    """``began`` is when it came (monotonic); ``known_as`` the name of its caller, where a token says so. ``counted``: a
    replica got it; ``is_call``: it is in the figures by which the service is scaled, from ``endpoint.traffic.begun`` to
    the end of the call."""

    __slots__ = (
        "_cold", "_failure", "_paused_until", "_wait_until", "_waits_since", "began", "counted", "is_call", "known_as",
        "name", "owner", "sent_at",
    )  # fmt: skip

    def __init__(self, down: Downstream, head: RequestHead) -> None:
        super().__init__(down, head)
        self.began = self.sent_at = monotonic()
        self.counted = False
        self.is_call = False
        self.owner = self.name = self.known_as = ""
        self._waits_since: float | None = None
        self._wait_until = inf
        self._cold = False
        self._paused_until = 0.0
        self._failure: Failure | None = None

    def enter(self, endpoint: Endpoint) -> None:
        """Its caller may call this service."""
        front, now = self.down.front, monotonic()
        if self.head.heartbeat:
            try:
                seconds = heartbeat_seconds(self.head.heartbeat)
            except BadMessage as bad:
                self.refuse(bad.refusal)
                return
            if not self.to_head and not self.wants_upgrade:  # neither has a body in which a beat could go
                self.heart = Heart(self, seconds)
        self.endpoint, self.serving = endpoint, endpoint.serving
        self.desk = desk = front.desk(endpoint)
        desk.budget.call(now)
        self.body.limit(self.serving.replay_limit)
        look = is_look(self.head.method, self.target, endpoint.health_path)
        if not look or opens_page(self.target, self.head.headers):
            self.is_call = True
            endpoint.traffic.begun(now)
        if endpoint.waiting:
            desk.wake(now)
        backend = pick(endpoint.backends, now, self.serving.concurrency)
        if backend is not None:
            self._go(backend, now)
            return
        refusal = self._ask_for_one(endpoint, now) or self._admitted(endpoint, now)
        greediest: Waiter | None = None
        if refusal is not None and refusal.code == "queue_full" and endpoint.woken_at is not None and self.is_call:
            greediest = desk.greediest(self.who)
        if refusal is not None and greediest is None:
            self.refuse(refusal)
            return
        self._wait(now)
        if now >= self._wait_until:
            self.refuse(self._in_vain(0.0))
            return
        desk.add(self, first=False)
        if refusal is not None and greediest is not None:
            greediest.give_way(refusal)

    @property
    def who(self) -> str | bytes:
        return self.known_as or sender(self.peer, self.head.forwarded)

    def give_way(self, refusal: Refusal) -> None:
        self.leave_queue()
        self.refuse(refusal)

    def _ask_for_one(self, endpoint: Endpoint, now: float) -> Refusal | None:
        """Where there is no replica: note it, and have one started if the service is asleep."""
        desk = self.desk
        if desk is None or endpoint.ready:
            return None
        if not endpoint.asleep:
            if endpoint.wanted:
                desk.missing(now)
            return None
        if not self.is_call:
            return admission.asleep(endpoint.key)
        if endpoint.on_call is not None:
            endpoint.on_call()
        if endpoint.wanted:
            desk.missing(now)
        elif endpoint.asleep and endpoint.retry_at > now:
            return self._start_failed(endpoint, now)
        return None

    def _start_failed(self, endpoint: Endpoint, now: float) -> Refusal:
        return admission.start_failed(
            unavailable=endpoint.unavailable, key=endpoint.key, retry_in=endpoint.retry_at - now
        )

    def _admitted(self, endpoint: Endpoint, now: float) -> Refusal | None:
        if not self.is_call and self.desk is not None:
            return admission.admit_look(serving=endpoint.ready, waiting=self.desk.looks, key=endpoint.key)
        places = admission.places(self.serving.queue, self.serving.concurrency, waking=endpoint.woken_at is not None)
        return admit(
            serving=endpoint.ready,
            wanted=endpoint.wanted,
            waiting=endpoint.waiting,
            queue=places,
            unavailable=endpoint.unavailable,
            key=endpoint.key,
            ready_in=self._ready_in(endpoint, now),
        )

    def _ready_in(self, endpoint: Endpoint, now: float) -> float:
        since = endpoint.woken_at
        if since is None and self.desk is not None:
            since = self.desk.missing_since
        return admission.ready_in(endpoint.start_seconds, now - since if since is not None else 0.0)

    def _wait(self, now: float) -> None:
        """From now on, until its limit or that of its caller."""
        endpoint = self.endpoint
        self._waits_since = now
        self._cold = endpoint is not None and endpoint.woken_at is not None
        self._wait_until = now + (endpoint.cold_hold if self._cold and endpoint else self.serving.queue_timeout)
        if self.head.prefers and (wait := preferred_wait(self.head.prefers)) is not None:
            self._wait_until = min(self._wait_until, self.began + wait)
            self.applied = b"Preference-Applied: wait=%d\r\n" % wait

    def _go(self, backend: Backend, now: float) -> None:
        self._waits_since = None
        endpoint = self.endpoint
        if not self.counted and endpoint is not None:
            self.counted = True
            if self.is_call:
                self.sent_at = now
                endpoint.in_flight += 1
                endpoint.traffic.sent(now)
        self.send(self.down.front.pool(backend))

    @property
    def choosy(self) -> bool:
        return bool(self.tried)

    def look_again(self, now: float) -> bool:
        endpoint, front = self.endpoint, self.down.front
        if endpoint is None or self.done:
            return True
        if front.routing.get(self.owner, self.name) is not endpoint:
            self._waits_since = None
            self.refuse(self.not_found())
            return True
        if now < self._paused_until:
            return False
        backend = pick(endpoint.backends, now, self.serving.concurrency, self.tried)
        waited = now - (self._waits_since if self._waits_since is not None else now)
        if backend is None and self.tried and waited > front.settings.replay_grace:
            backend = pick(endpoint.backends, now, self.serving.concurrency)
        if backend is not None:
            self._go(backend, now)
            return True
        if endpoint.wanted or endpoint.ready:
            return False
        self._waits_since = None
        self.refuse(self._in_vain(waited))
        return True

    def readmit(self, failure: Failure, *, later: bool) -> None:
        """After a replica failed it: on another at once, or first in the queue."""
        desk, endpoint, now = self.desk, self.endpoint, monotonic()
        self.release()
        if desk is None or endpoint is None:
            return
        self._failure = failure
        self._ask_for_one(endpoint, now)
        self._wait(now)
        self.touched = now
        self._paused_until = now + 0.1 if later else 0.0
        if not self.look_again(now):
            desk.add(self, first=True)

    def _in_vain(self, waited: float) -> Refusal:
        endpoint, now = self.endpoint, monotonic()
        if self._failure in (Failure.DIED, Failure.BROKEN):
            return Refusal(502, "replica_died", "The replica died under this call, and there is no other one.")
        if endpoint is None:
            return self.not_found()
        if not endpoint.wanted and not endpoint.ready:
            if endpoint.asleep:
                return self._start_failed(endpoint, now)
            return admission.no_replica(unavailable=endpoint.unavailable, key=endpoint.key)
        return admission.expired(
            serving=endpoint.ready,
            unavailable=endpoint.unavailable,
            key=endpoint.key,
            seconds=round(waited),
            ready_in=self._ready_in(endpoint, now),
        )

    def not_found(self) -> Refusal:
        return Refusal(404, "not_found", f"There is no service {self.owner}/{self.name}.")

    def beat(self, now: float) -> None:
        """A sign of life, if the caller wants them and it is time."""
        if self.heart is not None:
            self.heart.beat(now, self._waits_since)

    def check_wait(self, now: float) -> bool:
        """Whether it waits for a replica; it is refused when that took too long."""
        if self._waits_since is None:
            return False
        endpoint = self.endpoint
        if self._cold and endpoint is not None and endpoint.woken_at is None and not endpoint.ready:
            self._cold = False  # that start has failed: for the next one it waits like anybody
            self._wait_until = min(self._wait_until, self._waits_since + self.serving.queue_timeout)
        if now >= self._wait_until:
            refusal = self._in_vain(now - self._waits_since)
            self.leave_queue()
            self.refuse(refusal)
        return True

    def leave_queue(self) -> None:
        if self._waits_since is not None and self.desk is not None:
            self._waits_since = None
            self.desk.remove(self)
