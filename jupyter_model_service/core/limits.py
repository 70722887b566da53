"""How much one token may call: so many calls per second, at once, and on a day (of UTC). Pure: the time is a parameter.

An :class:`Allowance` belongs to one event loop, and nothing in it waits: a call is judged and counted in one step, so
that of any number that come at once exactly those that are allowed get in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from ..errors import InvalidRequest
from .message import Refusal

__all__ = ["DAY", "Allowance", "Limits", "check_limits", "limits_told"]

DAY = 86400  # seconds; Unix time knows no leap seconds

MOST_PER_SECOND = 1_000_000.0
LEAST_PER_SECOND = 0.001  # and the steps in which it is counted: a call each 1,000 s
MOST_IN_FLIGHT = 1_000_000
MOST_PER_DAY = 1_000_000_000_000

RETRY_AT_LEAST, RETRY_AT_MOST = 1.0, 60.0  # seconds, where nobody knows when a call in flight ends
_WEIGHT = 1 / 8  # of the last call, in how long calls take

# One call in the units in which they drain: thousandths of a call per second, times nanoseconds. Whole numbers are
# exact: with floats, the tenth of ten calls at once is refused now and then.
_CALL = 1000 * 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """``None``: as much as one likes. ``calls_per_second`` is also how many may come at once (rounded up, at least 1):
    of N per second, N + N·t at most get in within t seconds. ``in_flight`` counts a call from when it is let in,
    through the wait for a replica, until its end. ``calls_per_day`` is of the day in UTC."""

    calls_per_second: float | None = None
    in_flight: int | None = None
    calls_per_day: int | None = None

    @property
    def any(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


def check_limits(limits: Limits) -> Limits:
    """The same, as it is kept to: calls per second in thousandths. ``InvalidRequest`` for what cannot be kept to."""
    per_second = limits.calls_per_second
    if per_second is not None:
        if not (math.isfinite(per_second) and LEAST_PER_SECOND <= per_second <= MOST_PER_SECOND):
            raise InvalidRequest(
                f"Calls per second are limited to a number from {LEAST_PER_SECOND:g} to {MOST_PER_SECOND:,.0f}, "
                f"{per_second:g} is not: revoke a token that may call nothing."
            )
        per_second = round(per_second, 3)
    for what, value, most in (
        ("Calls in flight", limits.in_flight, MOST_IN_FLIGHT),
        ("Calls per day", limits.calls_per_day, MOST_PER_DAY),
    ):
        if value is not None and not 1 <= value <= most:
            raise InvalidRequest(
                f"{what} are limited to a number from 1 to {most:,}, {value} is not: revoke a token that may call "
                "nothing."
            )
    return Limits(per_second, limits.in_flight, limits.calls_per_day)


def limits_told(limits: Limits | None) -> str:
    """``at most 10 calls per second and 200 calls a day``; ``no limits``."""
    words = {"calls_per_second": "per second", "in_flight": "at once", "calls_per_day": "a day"}
    given = [(getattr(limits, name), word) for name, word in words.items() if getattr(limits, name, None) is not None]
    said = [f"{count:,.10g} call{'' if count == 1 else 's'} {word}" for count, word in given]
    return f"at most {' and '.join(said)}" if said else "no limits"


class Allowance:
    """What is left to one token or person: ``who`` it is in what a refused call is told, and who set the limits, in the
    words after "set", such as "by alice for the group ds". ``calls`` is how many were let
    in on ``day`` (days since 1970), ``in_flight`` how many of them have not ended. ``counted`` is called when ``calls``
    changes after :meth:`saved`, once."""

    __slots__ = (
        "_at",
        "_burst",
        "_counted",
        "_level",
        "_rate",
        "_seconds",
        "_told",
        "calls",
        "day",
        "in_flight",
        "limits",
        "set_by",
        "who",
    )

    def __init__(
        self,
        limits: Limits,
        *,
        day: int = 0,
        calls: int = 0,
        counted: Callable[[], None] = lambda: None,
        who: str = "This token",
        set_by: str = "by the service's owner",
    ) -> None:
        self.who, self.set_by = who, set_by
        self.day, self.calls = day, calls
        self.in_flight = 0
        self._counted = counted
        self._told = False
        self._seconds: float | None = None  # that a call takes, the last ones counting most
        self._level = self._at = 0  # how much of the burst is used up, and when (nanoseconds) that was so
        self._set(limits)

    def _set(self, limits: Limits) -> None:
        self.limits = limits
        per_second = limits.calls_per_second or 0.0
        self._rate = round(per_second * 1000)
        self._burst = max(1, math.ceil(per_second)) * _CALL

    def change(self, limits: Limits, now: int) -> None:
        """All that was counted stays counted, but for calls that were let in faster than the new limit allows: after
        100 at once, a token that may now make one per second waits for a second, not for 100. ``now`` as for
        :meth:`admit`."""
        self._level, self._at = self._left_over(now), now
        self._set(limits)
        self._level = min(self._level, self._burst)

    def _left_over(self, now: int) -> int:
        return max(0, self._level - (now - self._at) * self._rate)

    def admit(self, now: int, unix: float) -> Refusal | None:
        """``None``: the call is let in and counted, and needs a :meth:`release`. ``now`` is monotonic, in nanoseconds;
        ``unix`` is the time of day, in seconds. A call that is refused leaves no trace."""
        limits = self.limits
        day = int(unix // DAY)
        # A clock that is set back over midnight goes on with the later day, as nobody gets that one twice; one that was
        # wrong by more must not leave a token without calls until the day comes that it had shown.
        if day != self.day and day != self.day - 1:
            self.day, self.calls = day, 0
        if limits.calls_per_day is not None and self.calls >= limits.calls_per_day:
            left = (self.day + 1) * DAY - unix
            message = (
                f"{self.who} may make {_calls(limits.calls_per_day)} a day (set {self.set_by}); "
                "the next day begins at 00:00 UTC."
            )
            return Refusal(429, "daily_limit", message, left)
        if limits.in_flight is not None and self.in_flight >= limits.in_flight:
            message = (
                f"{self.who} may have {_calls(limits.in_flight)} in flight at once, no more (set {self.set_by}): "
                "wait for one to end."
            )
            return Refusal(429, "too_many_in_flight", message, self._next_end())
        if limits.calls_per_second is not None:
            level = self._left_over(now) + _CALL
            if level > self._burst:
                wait = -((self._burst - level) // self._rate)  # nanoseconds, rounded up: after it a call gets in
                message = (
                    f"{self.who} may make {_calls(limits.calls_per_second)} per second (set {self.set_by}), "
                    "and made them."
                )
                return Refusal(429, "rate_limited", message, wait / 1_000_000_000)
            self._level, self._at = level, now
        self.in_flight += 1
        self.calls += 1
        if not self._told:
            self._told = True
            self._counted()
        return None

    def release(self, seconds: float) -> None:
        """A call that was let in has ended, after so long."""
        self.in_flight -= 1
        last = self._seconds
        self._seconds = seconds if last is None else last + (seconds - last) * _WEIGHT

    def _next_end(self) -> float:
        """Seconds until one of the calls in flight ends, if they take as long as those before: an estimate."""
        if self._seconds is None:
            return RETRY_AT_LEAST
        return min(max(RETRY_AT_LEAST, self._seconds / self.in_flight), RETRY_AT_MOST)

    def today(self, unix: float) -> int:
        """How many calls were let in on the day that counts at ``unix``."""
        return self.calls if int(unix // DAY) in (self.day, self.day - 1) else 0

    def saved(self) -> tuple[int, int]:
        """``day`` and ``calls`` to be stored; what is counted from now on is told again."""
        self._told = False
        return self.day, self.calls


def _calls(count: float) -> str:
    return "1 call" if count == 1 else f"{count:,g} calls" if count < 1_000_000 else f"{count:,.0f} calls"
