"""One call from the end of its head to the end of its answer: who calls, what for, when, and how it was."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from time import monotonic

from ..core.access import Caller
from ..core.forwarding import bearer_token, route
from ..core.message import Refusal
from ..core.routing import Endpoint
from . import answers
from .queued import Queued

__all__ = ["Call"]

log = logging.getLogger(__name__)

_UNAUTHENTICATED = Refusal(
    401, "unauthenticated", "This endpoint needs a valid token: send it as 'Authorization: Bearer …'."
)


class Call(Queued):
    """Ends exactly once, in :meth:`finish`; then nothing of it is counted or waits any more."""

    __slots__ = ()

    # --- who and what for ------------------------------------------------------------------------------

    def start(self) -> None:
        front = self.down.front
        front.calls.add(self)
        self.began = self.touched = monotonic()
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
            self.enter(endpoint)
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
        self.known_as = caller.name
        endpoint = self.down.front.routing.get(self.owner, self.name)
        if endpoint is None:
            self.refuse(self.not_found())
        else:
            self.enter(endpoint)

    def _believe(self, caller: Caller | None) -> None:
        if caller is not None and caller.forwards:
            self.peer = replace(self.peer, trusted=True)

    # --- time limits ---------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Called at every tick. Connecting and asking for a token are bounded where they are awaited, and the hold of
        an answer by its own timer."""
        if self.heart is not None:
            self.beat(now)
        if self.check_wait(now):
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
        """Answer by ourselves; nothing of a model's answer has gone out yet."""
        if self.done:
            return
        if self.owner and not self.counted:
            front = self.down.front
            known = front.routing.get(self.owner, self.name) is not None
            front.meter.refused(*((self.owner, self.name) if known else ("", "")), refusal.code)
        if self.heart is not None and self.heart.begun:
            self.heart.refuse(refusal)
            return
        keep = self._may_keep()
        answer = answers.error(
            refusal,
            version=self.head.version,
            keep_alive=keep,
            to_head=self.to_head,
            request_id=self.request_id,
            applied=self.applied,
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
        answer = self.answer
        delimited = self.chunked or (answer is not None and answer.length is not None)
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

    def _count(self, endpoint: Endpoint, now: float, status: int) -> None:
        """For the autoscaler."""
        if self.counted:
            first = self.first_byte
            endpoint.in_flight -= 1
            endpoint.traffic.ended(
                now, status, now - self.sent_at, now - self.began, None if first is None else first - self.began
            )
        else:
            endpoint.traffic.rejected(now)

    def finish(self, status: int, *, keep: bool) -> None:
        if self.done:
            return
        self.done = True
        self.heart = None
        down, endpoint = self.down, self.endpoint
        self.drop_connection()
        self.body.drop()
        self.leave_queue()
        now, first = monotonic(), self.first_byte
        if self.is_call and endpoint is not None:
            self._count(endpoint, now, status)
        self.release()
        if endpoint is not None and (self.counted or status == 499):
            down.front.meter.call(
                endpoint.owner,
                endpoint.name,
                self.revision,
                status,
                now - self.began,
                None if first is None else first - self.began,
            )
        down.front.call_ended(self)
        down.call_ended(self, keep=keep)
