"""When a call gets a replica that it could not have at once: after a wait in the queue, after a start that it brought
about, on another one than failed it, or never."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from ..core import admission
from ..core.affinity import Affinity
from ..core.balance import pick
from ..core.ending import given_up
from ..core.message import Refusal
from ..core.patience import preferred_wait
from ..core.retrying import Failure, Retry, Verdict, died, left_out, none_is_well
from ..core.routing import Backend, Endpoint
from .home import Home
from .waiting import Desk, Waiter

if TYPE_CHECKING:
    from .call import Call

__all__ = ["Turn"]


class Turn:
    """A call among those who wait (:class:`waiting.Waiter`). ``since`` is when it began to (monotonic), while it does;
    ``waited`` is how long it has, in seconds, when it does not any more. Replicas in ``_tried`` have failed it."""

    __slots__ = (
        "_call", "_cold", "_desk", "_endpoint", "_failure", "_only_well", "_tried", "_until", "home", "since", "waited",
    )  # fmt: skip

    def __init__(self, call: Call, endpoint: Endpoint, desk: Desk) -> None:
        self.since: float | None = None
        self.waited = 0.0
        self._call = call
        self._endpoint = endpoint
        self._desk = desk
        self._until = inf
        self._cold = False  # waits for a start from zero
        self._only_well = False
        self._failure: Failure | None = None
        self._tried: list[Backend] = []
        self.home: Home | None = None  # where it has a replica of its own

    # --- to a replica at once, or into the queue ---------------------------------------------------------------

    def seek(self, wish: Affinity, now: float) -> None:
        """It has a replica of its own."""
        self.home = Home(self._call, self._endpoint, self, wish)
        self.home.seek(now)

    def go_or_wait(self, now: float) -> None:
        call, endpoint, desk = self._call, self._endpoint, self._desk
        if call.front.routing.get(endpoint.owner, endpoint.name) is not endpoint:  # removed meanwhile
            call.refuse(call.not_found())
            return
        if call.front.crowded and (refusal := call.front.too_busy(endpoint, desk)) is not None:
            call.refuse(refusal)
            return
        if desk.held:
            desk.wake(now)
        backend = self._pick(now, ())
        if backend is not None:
            call.go(backend, now)
        else:
            self.begin(now)

    def _pick(self, now: float, tried: Collection[Backend]) -> Backend | None:
        if self.home is not None:
            return self.home.pick(now, tried)
        return pick(self._endpoint.backends, now, self._call.serving.concurrency, tried)

    def begin(self, now: float) -> None:
        """No replica is free."""
        call, desk = self._call, self._desk
        refusal = self._ask_for_one(now) or self._admitted(now)
        greediest: Waiter | None = None
        if refusal is not None and admission.has_room_for_some(refusal, is_call=call.is_call):
            greediest = desk.greediest(call.who)
        if refusal is not None and greediest is None:
            call.refuse(refusal)
            return
        self._wait(now)
        if now >= self._until:
            call.refuse(self._in_vain(now, 0.0))
            return
        desk.add(self, first=False)
        if refusal is not None and greediest is not None:
            greediest.give_way(refusal)

    def again(self, failed: Backend, verdict: Verdict, now: float) -> None:
        """After a replica failed it: on another at once, or first in the queue."""
        self._tried.append(failed)
        self._failure = verdict.failure
        self._only_well = verdict.retry is Retry.WELL
        self._ask_for_one(now)
        self._wait(now)
        if not self.look_again(now):
            self._desk.add(self, first=True)

    def _ask_for_one(self, now: float) -> Refusal | None:
        """Where there is no replica: note it, and have one started if the service is asleep."""
        endpoint = self._endpoint
        if endpoint.ready:
            return None
        if not endpoint.asleep:
            if endpoint.wanted:
                self._desk.missing(now)
            return None
        if not self._call.is_call:
            return admission.asleep(endpoint.key)
        if endpoint.on_call is not None:
            endpoint.on_call()
        if endpoint.wanted:
            self._desk.missing(now)
        elif endpoint.asleep and endpoint.retry_at > now:
            return self._in_vain(now, 0.0)
        return None

    def _admitted(self, now: float) -> Refusal | None:
        endpoint, serving = self._endpoint, self._call.serving
        if not self._call.is_call:
            return admission.admit_look(
                serving=endpoint.ready,
                waiting=self._desk.looks,
                key=endpoint.key,
                unavailable=endpoint.unavailable,
                stopped=endpoint.stopped,
                free_in=self._desk.turn_in(now),
            )
        places = admission.places(serving.queue, serving.concurrency, waking=endpoint.woken_at is not None)
        return admission.admit(
            serving=endpoint.ready,
            wanted=endpoint.wanted,
            waiting=endpoint.waiting,
            queue=places,
            unavailable=endpoint.unavailable,
            key=endpoint.key,
            stopped=endpoint.stopped,
            ready_in=admission.ready_when(endpoint, now, self._desk.missing_since),
            free_in=self._desk.turn_in(now),
        )

    def _wait(self, now: float) -> None:
        """From now on, until its limit or that of its caller."""
        call, endpoint = self._call, self._endpoint
        self.since = now
        self._cold = endpoint.woken_at is not None
        self._until = now + (endpoint.cold_hold if self._cold else call.serving.queue_timeout)
        if call.head.prefers and (wait := preferred_wait(call.head.prefers)) is not None:
            self._until = min(self._until, call.began + wait)
            line = b"Preference-Applied: wait=%d\r\n" % wait
            if line not in call.applied:
                call.applied += line

    # --- in it (``waiting.Waiter``) ----------------------------------------------------------------------------

    @property
    def is_call(self) -> bool:
        return self._call.is_call

    @property
    def who(self) -> str | bytes:
        return self._call.who

    def give_way(self, refusal: Refusal) -> None:
        self.leave()
        self._call.refuse(refusal)

    def look_again(self, now: float) -> bool:
        call, endpoint, front = self._call, self._endpoint, self._call.front
        if call.done:
            return True
        if front.routing.get(endpoint.owner, endpoint.name) is not endpoint:
            self._waits_no_more(now)
            call.refuse(call.not_found())
            return True
        waited, grace = now - (self.since if self.since is not None else now), front.settings.replay_grace
        backend = None
        only_well = self._only_well
        for avoided in left_out(endpoint.backends, self._tried, only_well=only_well, waited=waited, grace=grace):
            backend = backend or self._pick(now, avoided)
        if backend is not None:
            self._waits_no_more(now)
            if front.rechecks.stands(call):  # else its token, or what was shared, was taken back while it waited
                call.go(backend, now)
            return True
        if only_well and waited > grace and none_is_well(endpoint.backends):
            self._waits_no_more(now)
            call.refuse(given_up(self._failure or Failure.CONNECT, of_web=False, late=False, replayable=True))
            return True
        if endpoint.wanted or endpoint.ready:
            return False
        self._waits_no_more(now)
        call.refuse(self._in_vain(now, waited))
        return True

    # --- out of it -----------------------------------------------------------------------------------------------

    def check(self, now: float) -> bool:
        """Whether it waits for a replica; it is refused when that took too long."""
        if self.since is None:
            return False
        if self._cold and self._endpoint.woken_at is None and not self._endpoint.ready:
            self._cold = False  # that start has failed: for the next one it waits like anybody
            self._until = min(self._until, self.since + self._call.serving.queue_timeout)
        if now >= self._until:
            refusal = self._in_vain(now, now - self.since)
            self.leave()
            self._call.refuse(refusal)
        return True

    def leave(self) -> None:
        if self.home is not None:
            self.home.leave()
            self.home = None  # it knows this turn: nothing is left to the garbage collector
        if self.since is not None:
            self._waits_no_more(monotonic())
            self._desk.remove(self)

    def _waits_no_more(self, now: float) -> None:
        if self.since is not None:
            self.waited += now - self.since
            self.since = None

    def _in_vain(self, now: float, waited: float) -> Refusal:
        if self._failure is Failure.DRAINED:
            return given_up(self._failure, of_web=False, late=False, replayable=True)
        return admission.in_vain(
            self._endpoint,
            now,
            waited,
            missing_since=self._desk.missing_since,
            died=died(self._failure),
            free_in=self._desk.turn_in(now),
        )
