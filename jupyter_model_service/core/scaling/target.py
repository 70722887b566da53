"""How many replicas the calls themselves ask for.

Demand is how many calls there are to be at once: those in flight, and those that arrive in the time that one takes
(Little's law). The second sees a rise before the first does, and sees it at all while the replicas are full. Chance
makes arrivals come in crowds, so that each counts for as much as is sure nine times in ten: 2 calls of 20 s each
within 6 s are no demand of 7.

What waits is not demand, it is work that is to be done once: it asks for the replicas that have it done in
:data:`DRAIN` seconds. Read as concurrency instead, 112 calls that waited 20 s for the first replica would ask for 40
replicas where 2 are enough. What counts is the work there will be when a replica that is begun now is ready: if those
that start already will have done it, no other is begun for it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .signals import Sample
from .windows import Calls, Mark, Maxima, add_maximum, add_point, calls_since

__all__ = ["STABLE", "UTILISATION", "Figures", "TargetState", "Wanted", "observe", "raise_at", "wanted"]

STABLE = 60.0  # seconds: the window that says what is needed
PANIC = 6.0  # seconds: the window that says that there is far from enough
PANIC_AT = 2.0  # times what there is: at once …
ALARM_AT = 1.5  # … and, held for as long as the short window, so many times: chance does not do that
DRAIN = 10.0  # seconds in which what waits is to be done (docs/autoscaling-figures.md has the curve)
UTILISATION = 0.7  # of the calls at once that a replica can have: what is aimed at while nothing waits
TOLERANCE = 0.1  # of a replica, in both directions: demand of exactly two targets is noise around two
DOUBT = 1.28  # standard deviations: sure nine times in ten
FEW = 30  # answered calls, before which the mean of what they took says too little
AGREED = 10  # answered calls within a window for which what was learnt before counts


class TargetState(NamedTuple):
    """``first``: the first mark ever. ``service_time``: seconds that a call takes, learnt; ``None`` before the first.
    ``excess_at``: when there last was reason for a panic (monotonic); ``panic_count``: the most that was wanted in this
    one; ``alarm_since``: since when there is that much to do that it will be one. ``maxima``: what was wanted within
    ``down_delay``. ``raised``: when how many replicas were asked for, within the last minute."""

    marks: tuple[Mark, ...] = ()
    first: Mark | None = None
    service_time: float | None = None
    excess_at: float = -math.inf
    panic_count: int = 0
    maxima: Maxima = ()
    raised: tuple[tuple[float, int], ...] = ()
    alarm_since: float = math.inf


class Wanted(NamedTuple):
    """``replicas`` is what the calls want now, ``most`` what they wanted at most within ``down_delay``, ``now`` what
    those of the short window need: so many are kept. ``panics_at``: calls at once that make a panic if they last."""

    replicas: int
    most: int
    now: int
    panic: bool
    panics_at: float


class Figures(NamedTuple):
    """What was measured: ``demand`` in calls at once over the long and the short window, ``rate`` in calls per second
    and ``concurrency`` over the long one, ``service_time`` in seconds; ``None``: unknown."""

    demand: float | None = None
    short_demand: float | None = None
    rate: float | None = None
    concurrency: float | None = None
    service_time: float | None = None


def observe(state: TargetState, sample: Sample) -> tuple[TargetState, Figures]:
    """The state with the sample, and what it says."""
    marks = add_point(state.marks, sample, STABLE)
    first = state.first if state.first is not None and len(marks) > 1 else marks[0]
    stable = calls_since(marks, STABLE)
    short = calls_since(marks, PANIC)
    if stable is None or short is None:
        return _seen(state, marks, first, state.service_time), Figures()
    service_time = _service_time(state.service_time, first, marks[-1], stable)
    figures = Figures(
        _demand(stable, service_time or 0.0),
        _demand(short, service_time or 0.0),
        stable.rate,
        stable.concurrency,
        service_time,
    )
    return _seen(state, marks, first, service_time), figures


def _seen(state: TargetState, marks: tuple[Mark, ...], first: Mark, service_time: float | None) -> TargetState:
    _, _, _, excess_at, panic_count, maxima, raised, alarm_since = state
    return TargetState(marks, first, service_time, excess_at, panic_count, maxima, raised, alarm_since)


def raise_at(state: TargetState, now: float, before: int, count: int) -> TargetState:
    """Remember that replicas were asked for."""
    if count <= before:
        return state
    return state._replace(raised=(*[entry for entry in state.raised if entry[0] > now - STABLE], (now, count - before)))


def wanted(
    state: TargetState,
    figures: Figures,
    sample: Sample,
    target: float,
    down_delay: float,
    concurrency: int | None = None,
) -> tuple[TargetState, Wanted]:
    """What the calls want. The demand is known. ``concurrency``: how many calls a replica can have at once, where its
    definition says so; else that is told by the target."""
    now, there = sample.at, max(1, sample.ready + sample.starting)
    capacity = concurrency or target / UTILISATION
    stable = _need(state, figures.demand or 0.0, figures.service_time, sample, target, capacity)
    short = _need(state, figures.short_demand or 0.0, figures.service_time, sample, target, capacity)
    count = max(0, math.ceil(stable - TOLERANCE))
    enough = math.ceil(stable + TOLERANCE) if stable > TOLERANCE else 0
    needed = max(0, math.ceil(short - TOLERANCE))
    alarm_since = min(state.alarm_since, now) if short >= ALARM_AT * there else math.inf
    excess = short >= PANIC_AT * there or now - alarm_since >= PANIC
    excess_at = now if excess else state.excess_at
    panic = _panics(now - excess_at, state.panic_count, sample)
    if panic:
        count = max(state.panic_count, count, needed)
    maxima = add_maximum(state.maxima, now, max(count, enough), down_delay)
    known = TargetState(
        state.marks,
        state.first,
        state.service_time,
        excess_at,
        count if panic else 0,
        maxima,
        state.raised,
        alarm_since,
    )
    return known, Wanted(count, maxima[0][1], needed, panic, ALARM_AT * there * target)


def _panics(since: float, count: int, sample: Sample) -> bool:
    """A panic holds for a minute after the last reason for it. It waits for the replicas that start for it, but not for
    ever: one may never come up, and the calls may be gone long before."""
    if since < STABLE:
        return True
    return count > 0 and sample.starting > 0 and since < 2.0 * (sample.start_seconds or 0.0)


def _service_time(before: float | None, first: Mark, last: Mark, calls: Calls) -> float | None:
    """Seconds that a call takes.

    The first answers come from the shortest calls: their mean is far too small, and while 4 calls have been worked on
    for 3 s without any answer there is none at all. What is sure of a rate of answers with ``n - 1`` answers in so many
    seconds of work is its upper bound ``(n + 1.28 √n) / seconds``; until there are enough answers, a call is taken to
    last the inverse of that. It errs on the side of too few replicas.
    """
    answers = last.finished - first.finished
    if answers < FEW:
        enough = answers + 1
        sure = (last.in_flight - first.in_flight) / (enough + DOUBT * math.sqrt(enough))
        mean = (last.busy - first.busy) / answers if answers > 0 else 0.0
        return max(before or 0.0, sure, mean) or None
    if calls.finished < AGREED and before is not None:
        return (calls.busy + before * AGREED) / (calls.finished + AGREED)
    return calls.busy / calls.finished if calls.finished > 0 else before


def _demand(calls: Calls, service_time: float) -> float:
    """Calls at once. While some wait, or have just done so, those in flight are partly work that has piled up: they
    count as far as the arrivals can explain them."""
    arrived = calls.rate * calls.seconds
    doubt = DOUBT * math.sqrt(arrived)
    demand = max(calls.concurrency, (arrived - doubt) / calls.seconds * service_time)
    return min(demand, (arrived + doubt) / calls.seconds * service_time) if calls.waited else demand


def _need(
    state: TargetState, demand: float, service_time: float | None, sample: Sample, target: float, capacity: float
) -> float:
    """Replicas: for what comes, with room to spare, or for that and what waits, without. ``capacity`` is how many calls
    at once a replica can have."""
    if not sample.queued:
        return demand / target
    horizon = min(sample.start_seconds or 0.0, STABLE)
    done = sample.ready * horizon + _worked(state.raised, sample.starting, sample.at, horizon)
    work = sample.queued * (service_time or 0.0) + demand * horizon - done * capacity
    return max(demand / target, (demand + work / DRAIN) / capacity)


def _worked(raised: tuple[tuple[float, int], ...], starting: int, now: float, horizon: float) -> float:
    """Replica-seconds that those which start will have worked when one that is begun now is ready: as many as each
    has started for. Of those that nobody here asked for (before a restart) half the time is assumed."""
    seconds = 0.0
    for at, count in reversed(raised):
        if starting <= 0:
            break
        seconds += min(count, starting) * min(now - at, horizon)
        starting -= count
    return seconds + max(0, starting) * horizon / 2.0
