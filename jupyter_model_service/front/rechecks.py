"""Whether callers whose calls go on for long may still call: their tokens end, or are for other paths from now on, and
what was shared is taken back. Limits are for new calls: lowered ones end none."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..core.access import Caller, denied
from ..core.ending import Broken
from ..core.message import Refusal
from ..engine.callers import IDENTITY_UNAVAILABLE, UNKNOWN_TOKEN
from .asking import refusal

if TYPE_CHECKING:
    from .call import Call
    from .server import Front

__all__ = ["Rechecks"]

_AT_ONCE = 200  # calls in one tick: 15,000 that are open take 8 s, and none of the ticks more than a millisecond


class Rechecks:
    """All calls to services that are older than ``FrontSettings.recheck_every`` are looked at once in that time, some
    in each tick. With the 30 s for which a Hub's word is good, none outlasts its caller's right by a minute."""

    __slots__ = ("_asking", "_front", "_left", "_next")

    def __init__(self, front: Front) -> None:
        self._front = front
        self._left: list[Call] = []  # of this round
        self._next = -inf  # when the next round begins (monotonic)
        self._asking: dict[str, list[Call]] = {}  # by token, which is looked up

    def tick(self, now: float) -> None:
        if not self._left:
            if now < self._next:
                return
            every = self._front.settings.recheck_every
            self._next = now + every
            self._left = [call for call in self._front.calls if call.endpoint is not None and now - call.began >= every]
        for _ in range(min(_AT_ONCE, len(self._left))):
            self._look(self._left.pop())

    def stands(self, call: Call) -> bool:
        """Whether a call that waited may go to a replica now, by what is known from memory; else it is refused. One of
        whose token only the Hub could tell goes, and is looked at like any that is open."""
        token = self._undecided(call)
        if token is not None and self._front.callers.over(token):
            _end(call, UNKNOWN_TOKEN)
        return not call.done

    def _look(self, call: Call) -> None:
        token = self._undecided(call)
        if token is None:
            return
        if token in self._asking:
            self._asking[token].append(call)
        else:
            self._asking[token] = [call]
            self._front.spawn(self._ask(token))

    def _undecided(self, call: Call) -> str | None:
        """The token of a call of which memory does not say whose it is. ``None``: it says so, and by that the call has
        been judged, or it is one of those that need no token."""
        endpoint, token = call.endpoint, call.credential
        if call.done or endpoint is None or endpoint.public:
            return None
        caller = None if token is None else self._front.callers.known(token)
        if caller is None and token is not None:
            return token
        _judge(call, caller)  # one without a token was open to all, and is not any more
        return None

    async def _ask(self, token: str) -> None:
        callers = self._front.callers
        try:
            found = await callers.who(token, vetted=True)
        finally:
            calls = self._asking.pop(token)
        # A Hub that is away ends nothing for as long as its last word is good, and no longer.
        if found is IDENTITY_UNAVAILABLE and callers.met(token):
            return
        for call in calls:
            if isinstance(found, Refusal):
                _end(call, UNKNOWN_TOKEN)
            else:
                _judge(call, found)


def _judge(call: Call, caller: Caller | None) -> None:
    why = denied(caller, call.endpoint, call.visit is not None, call.head, call.target)
    if why is not None:
        _end(call, refusal(call, why))


def _end(call: Call, refusal: Refusal) -> None:
    if call.done:
        return
    if call.answered:
        call.cut(Broken.REVOKED)
    else:
        call.refuse(refusal)
