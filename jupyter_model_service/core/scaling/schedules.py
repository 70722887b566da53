"""When schedules are active, and what they make of a policy's bounds. The time is a parameter.

A schedule's windows are local time; ``local_time`` says which moments they are where a clock is put forward or back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

from ...errors import InvalidRequest
from . import local_time
from .policy import Autoscaling, Schedule
from .schedule_forms import Windows, WrongSchedule, windows_of
from .signals import Bounds

__all__ = ["State", "bounds", "check", "state_of"]

_AHEAD = 40 * 366  # days; what is written rarely happens for as long does not happen
_LOOKED_AHEAD = 50  # beginnings and ends without a difference; then the next one is told, at which one looks again
_ON_FOR = 400  # days; what has no end by then has none that is told: looking on for four years took 35 ms for each


class State(NamedTuple):
    """``changes_at`` (Unix time) is when the schedule next begins, or ends if it is ``active``; ``None``: never, or not
    within 400 days in which it is active (who keeps what is said here looks again earlier)."""

    active: bool
    changes_at: float | None


def check(schedule: Schedule) -> None:
    """Raises ``InvalidRequest`` with one sentence if the schedule has no form that is known, or never happens."""
    try:
        windows_of(schedule.when, schedule.duration)
    except WrongSchedule as error:
        raise InvalidRequest(f"Schedule {schedule.id}: {error.field} {error}.") from None
    try:
        local_time.zone_named(schedule.timezone)
    except ValueError:
        raise InvalidRequest(f"Schedule {schedule.id}: there is no time zone {schedule.timezone!r} here.") from None


def bounds(policy: Autoscaling, unix_now: float) -> Bounds:
    """What holds now: of the active schedules that set it the largest ``min`` and the largest ``max``, else the
    service's own; ``min`` wins over a smaller ``max``. The same until ``changes_at``: a schedule that begins or ends
    without making a difference, as beside one that asks for as many, is no change.

    A schedule that cannot be read any more (its time zone is gone from this machine) counts as not active, and
    ``why_min`` says so.
    """
    unread = ""
    states: dict[Schedule, State] = {}
    for schedule in policy.schedules:
        try:
            states[schedule] = state_of(schedule, unix_now)
        except InvalidRequest as error:
            unread = f" ({error.message.rstrip('.')}; it is left out)"
    found = _combined(policy, states)
    changes_at = _next(states)
    for _ in range(_LOOKED_AHEAD):
        if changes_at is None:
            break
        for schedule, state in states.items():
            if state.changes_at is not None and state.changes_at <= changes_at:
                states[schedule] = state_of(schedule, changes_at)
        if _combined(policy, states) != found:
            break
        changes_at = _next(states)
    return Bounds(found.min, found.max, found.why_min + unread, found.why_max, changes_at)


def _next(states: Mapping[Schedule, State]) -> float | None:
    return min((state.changes_at for state in states.values() if state.changes_at is not None), default=None)


def _combined(policy: Autoscaling, states: Mapping[Schedule, State]) -> Bounds:
    low = high = None
    for schedule, state in states.items():
        if state.active and schedule.min is not None and (low is None or schedule.min > low[0]):
            low = schedule.min, f"schedule {schedule.id}: {schedule.when}"
        if state.active and schedule.max is not None and (high is None or schedule.max > high[0]):
            high = schedule.max, f"schedule {schedule.id}: {schedule.when}"
    least, why_min = low or (policy.min, "min")
    most, why_max = high or (policy.max, "max")
    if least > most:
        most, why_max = least, f"{why_min}, above the {most} of {why_max}"
    return Bounds(least, most, why_min, why_max)


def state_of(schedule: Schedule, unix_now: float) -> State:
    """Whether it is active now, and until when that is so. Raises ``InvalidRequest`` as :func:`check` does."""
    try:
        windows = windows_of(schedule.when, schedule.duration)
        zone = local_time.zone_named(schedule.timezone)
    except ValueError:
        check(schedule)
        raise
    if windows.always:
        return State(True, None)
    now = local_time.local(zone, unix_now)
    limit = now + timedelta(days=_ON_FOR)
    until: datetime | None = None  # local end of the windows that follow each other without a break and include now
    # An end that the clock shows already is not over where the clock was put back since, or will show it once more.
    for start, end in _windows(windows, now, now - local_time.shift_around(zone, unix_now)):
        if start > limit and until is not None:
            return State(True, None)
        # What is without a break by the clock is without one (its zone need not be asked, which is 30 µs for each of
        # 1,250 windows of six days a week): when the clock first shows the one, it has shown times before the other.
        if until is None or start > until:
            begins, ends = local_time.begin(zone, start), local_time.end(zone, end)
            if ends <= begins or ends <= unix_now:  # left out by a clock that was put forward; or over
                continue
            if until is None and begins > unix_now:
                return State(False, begins)
            if until is not None and begins > local_time.end(zone, until):
                break
        until = end if until is None else max(until, end)
    return State(until is not None, None if until is None else local_time.end(zone, until))


def _windows(windows: Windows, now: datetime, over: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Local windows by their beginning. What ended at ``over`` or before is over."""
    day, last = over.date() - timedelta(days=windows.reach), now.date() + timedelta(days=_AHEAD)
    while (found := windows.next_day(day, last)) is not None:
        midnight = datetime.combine(found, time())
        for start, end in windows.runs:
            until = midnight + timedelta(seconds=end)
            if until > over:
                yield midnight + timedelta(seconds=start), until
        day = found + timedelta(days=1)
