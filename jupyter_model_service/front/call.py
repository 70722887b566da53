"""One call from the end of its head to the end of its answer: who calls, what for, when, and how it was."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from ..core.access import Caller
from ..core.admission import admit, expired, no_replica
from ..core.balance import pick
from ..core.forwarding import Failure, bearer_token, route
from ..core.message import Refusal, RequestHead
from ..core.routing import Backend, Endpoint
from . import answers
from .exchange import Exchange

if TYPE_CHECKING:
    from .downstream import Downstream

__all__ = ["Call"]

log = logging.getLogger(__name__)

_UNAUTHENTICATED = Refusal(
    401, "unauthenticated", "This endpoint needs a valid token: send it as 'Authorization: Bearer …'."
)


class Call(Exchange):
    """Ends exactly once, in :meth:`finish`; then nothing of it is counted or waits any more."""

    __slots__ = ("_began", "_counted", "_failure", "_paused_until", "_waits_since", "name", "owner")

    def __init__(self, down: Downstream, head: RequestHead) -> None:
        super().__init__(down, head)
        self._began = monotonic()
        self._counted = False
        self._waits_since: float | None = None
        self._paused_until = 0.0
        self._failure: Failure | None = None
        self.owner = self.name = ""

    # --- who and what for ------------------------------------------------------------------------------

    def start(self) -> None:
        front = self.down.front
        front.calls.add(self)
        self._began = self.touched = monotonic()
        place = route(self.head.target, front.base)
        if place is None:
            self.body.limit(self.serving.replay_limit)
            self.serving = replace(self.serving, first_byte_timeout=front.settings.web_timeout)
            self.send(front.web)
            return
        if place.redirect is not None:
            self._redirect(place.redirect)
            return
        self.target, self.prefix = place.path, place.prefix
        self.owner, self.name = place.owner, place.name
        endpoint = front.routing.get(place.owner, place.name)
        token = bearer_token(self.head.authorization)
        if endpoint is not None and endpoint.public:
            if token is not None and self.head.forwarded:
                self._believe(front.identity.known(token))
            self._enter(endpoint)
            return
        if token is None:
            self.refuse(_UNAUTHENTICATED)
            return
        caller = front.identity.known(token)
        if caller is None:
            self.task = front.spawn(self._resolve(token))
        else:
            self._authorise(caller)

    async def _resolve(self, token: str) -> None:
        front = self.down.front
        refusal = _UNAUTHENTICATED
        try:
            caller = await asyncio.wait_for(front.identity.resolve(token), front.settings.identity_timeout)
        except Exception as error:
            if not isinstance(error, asyncio.TimeoutError):
                log.warning("A token could not be checked (%s)", type(error).__name__)
            caller = None
            refusal = Refusal(503, "identity_unavailable", "The token could not be checked now; try again later.", 1.0)
        if not self.is_current():
            return
        self.task = None
        if caller is None:
            self.refuse(refusal)
        else:
            self._authorise(caller)

    def _authorise(self, caller: Caller) -> None:
        if not caller.may_invoke(self.owner, self.name):  # first: who may not call learns nothing of what exists
            message = f"This token is not for service {self.owner}/{self.name}."
            self.refuse(Refusal(403, "forbidden", message))
            return
        self._believe(caller)
        endpoint = self.down.front.routing.get(self.owner, self.name)
        if endpoint is None:
            self.refuse(self._not_found())
        else:
            self._enter(endpoint)

    def _believe(self, caller: Caller | None) -> None:
        if caller is not None and caller.forwards:
            self.peer = replace(self.peer, trusted=True)

    def _not_found(self) -> Refusal:
        return Refusal(404, "not_found", f"There is no service {self.owner}/{self.name}.")

    # --- when ------------------------------------------------------------------------------------------------

    def _enter(self, endpoint: Endpoint) -> None:
        front, now = self.down.front, monotonic()
        self.endpoint, self.serving = endpoint, endpoint.serving
        self.desk = desk = front.desk(endpoint)
        desk.budget.call(now)
        self.body.limit(self.serving.replay_limit)
        if endpoint.waiting:
            desk.wake(now)
        backend = pick(endpoint.backends, now, self.serving.concurrency)
        if backend is not None:
            self._go(backend)
            return
        refusal = admit(
            serving=_serving(endpoint),
            wanted=endpoint.wanted,
            waiting=endpoint.waiting,
            queue=self.serving.queue,
            unavailable=endpoint.unavailable,
            key=endpoint.key,
        )
        if refusal is not None:
            self.refuse(refusal)
            return
        self._waits_since = now
        desk.add(self, first=False)

    def _go(self, backend: Backend) -> None:
        self._waits_since = None
        if not self._counted and self.endpoint is not None:
            self._counted = True
            self.endpoint.in_flight += 1
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
            self.refuse(self._not_found())
            return True
        if now < self._paused_until:
            return False
        backend = pick(endpoint.backends, now, self.serving.concurrency, self.tried)
        waited = now - (self._waits_since if self._waits_since is not None else now)
        if backend is None and self.tried and waited > front.settings.replay_grace:
            backend = pick(endpoint.backends, now, self.serving.concurrency)
        if backend is not None:
            self._go(backend)
            return True
        if endpoint.wanted or _serving(endpoint):
            return False
        self._waits_since = None
        self.refuse(self._in_vain(waited))
        return True

    def readmit(self, failure: Failure, *, later: bool) -> None:
        """After a replica failed it: on another at once, or first in the queue."""
        desk, now = self.desk, monotonic()
        self.release()
        if desk is None:
            return
        self._failure = failure
        self._waits_since = self.touched = now
        self._paused_until = now + 0.1 if later else 0.0
        if not self.look_again(now):
            desk.add(self, first=True)

    def _in_vain(self, waited: float) -> Refusal:
        endpoint = self.endpoint
        if self._failure in (Failure.DIED, Failure.BROKEN):
            return Refusal(502, "replica_died", "The replica died under this call, and there is no other one.")
        if endpoint is None:
            return self._not_found()
        if not endpoint.wanted and not _serving(endpoint):
            return no_replica(unavailable=endpoint.unavailable, key=endpoint.key)
        return expired(
            serving=_serving(endpoint), unavailable=endpoint.unavailable, key=endpoint.key, seconds=round(waited)
        )

    # --- time limits ---------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Called at every tick. Connecting and asking for a token are bounded where they are awaited, and the hold of
        an answer by its own timer."""
        if self._waits_since is not None:
            if now - self._waits_since > self.serving.queue_timeout:
                refusal = self._in_vain(now - self._waits_since)
                self._leave_queue()
                self.refuse(refusal)
            return
        if self.connection is None or self._hold is not None or now - self.touched <= self._limit():
            return
        self.drop_connection()
        if self.bridged or (self.answered and self.down.stuck):
            self.down.abort()
            self.finish(101 if self.bridged else 499, keep=False)
        elif self.answered:
            self.break_off()
        elif self._caller_is_slow():
            message = f"No more of the request's body came for {self.down.front.settings.body_timeout:g} s."
            self.refuse(Refusal(408, "body_timeout", message))
        else:
            self._count_failure(refused=False)
            seconds = self.serving.first_byte_timeout
            self.refuse(Refusal(504, "first_byte_timeout", f"The replica did not answer within {seconds:g} s."))

    def _caller_is_slow(self) -> bool:
        return not self.body.done and self.down.body_allowed

    def _limit(self) -> float:
        settings = self.down.front.settings
        if self.bridged:
            return settings.bridge_timeout
        if self.answered:
            return settings.reader_timeout if self.down.stuck else self.serving.idle_timeout
        return settings.body_timeout if self._caller_is_slow() else self.serving.first_byte_timeout

    # --- how it ended ----------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal) -> None:
        """Answer by ourselves; nothing of an answer has gone out yet."""
        if self.done:
            return
        if self.owner and not self._counted:
            front = self.down.front
            known = front.routing.get(self.owner, self.name) is not None
            front.meter.refused(*((self.owner, self.name) if known else ("", "")), refusal.code)
        keep = self._may_keep()
        answer = answers.error(
            refusal,
            version=self.head.version,
            keep_alive=keep,
            to_head=self.to_head,
            request_id=self.request_id,
        )
        self._reply(answer, refusal.status, keep)

    def _redirect(self, location: bytes) -> None:
        keep = self._may_keep()
        answer = answers.redirect(
            location,
            version=self.head.version,
            keep_alive=keep,
            to_head=self.to_head,
            request_id=self.request_id,
        )
        self._reply(answer, 308, keep)

    def _may_keep(self) -> bool:
        return self.head.keep_alive and self.body.done and not self.down.front.stopping

    def _reply(self, answer: bytes, status: int, keep: bool) -> None:
        self.drop_connection()
        self.down.write([answer])
        self.finish(status, keep=keep)

    def bad_body(self, refusal: Refusal) -> None:
        """What the caller sends is no valid body."""
        self.drop_connection()
        if self.answered:
            self.break_off()
        else:
            self.refuse(refusal)

    def break_off(self) -> None:
        """The answer cannot be completed: the caller must not take it for a whole one."""
        self.drop_connection()
        answer = self._answer
        delimited = self._chunked or (answer is not None and answer.length is not None)
        self.down.break_off(reset=not delimited)
        self.finish(502, keep=False)

    def caller_gone(self) -> None:
        """Nobody waits for the answer any more: the replica need not work on it."""
        if self.bridged and self.connection is not None:
            self.connection.close()  # the last bytes may say why, as a WebSocket's close frame does
            self.connection = None
        self.drop_connection()
        self.finish(101 if self.bridged else 499, keep=False)

    def shut(self) -> None:
        """The front stops, and its grace is over."""
        if self.answered:
            self.break_off()
        else:
            self.refuse(Refusal(503, "shutting_down", "The gateway is being stopped.", 5.0))

    def _leave_queue(self) -> None:
        if self._waits_since is not None and self.desk is not None:
            self._waits_since = None
            self.desk.remove(self)

    def finish(self, status: int, *, keep: bool) -> None:
        if self.done:
            return
        self.done = True
        down, endpoint = self.down, self.endpoint
        self.drop_connection()
        self.body.drop()
        self._leave_queue()
        if self._counted and endpoint is not None:
            endpoint.in_flight -= 1
        self.release()
        if endpoint is not None and (self._counted or status == 499):
            now, first = monotonic(), self.first_byte
            down.front.meter.call(
                endpoint.owner,
                endpoint.name,
                self.revision,
                status,
                now - self._began,
                None if first is None else first - self._began,
            )
        down.front.call_ended(self)
        down.call_ended(self, keep=keep)


def _serving(endpoint: Endpoint) -> int:
    return sum(1 for backend in endpoint.backends if backend.serving and not backend.lost)
