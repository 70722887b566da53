"""How many replicas the calls themselves ask for.

Demand is how many calls there are to be at once: the larger of those that are in flight and of those that arrive in
the time that one takes (Little's law: while replicas are full, the number in flight says only how many fit). What waits
is not demand, it is work that is to be done once: it asks for the replicas that drain it in :data:`DRAIN` seconds. Read
as concurrency instead, 112 calls that waited 20 s for the first replica would ask for 40 replicas where 2 are enough.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .signals import Sample
from .windows import Mark, Maxima, add_maximum, add_point, calls_since

__all__ = ["Figures", "TargetState", "observe", "wanted"]

STABLE = 60.0  # seconds: the window that says what is needed
PANIC = 6.0  # seconds: the window that says that it is far from enough
PANIC_AT = 2.0  # times what there is
DRAIN = 20.0  # seconds in which what waits is to be done
TOLERANCE = 0.1  # of a replica
PRIOR = 10  # calls that what was learnt before counts for: a window with two calls says little of the next ones


class TargetState(NamedTuple):
    """``service_time``: seconds that a call takes, learnt; ``None`` before the first. ``panic_until``: monotonic;
    ``panic_count``: the most that was wanted in this panic."""

    marks: tuple[Mark, ...] = ()
    service_time: float | None = None
    panic_until: float = -math.inf
    panic_count: int = 0
    maxima: Maxima = ()


class Figures(NamedTuple):
    """What was measured: ``demand`` in calls at once over the long and the short window, ``service_time`` in seconds;
    ``None``: unknown."""

    demand: float | None = None
    short_demand: float | None = None
    rate: float | None = None
    concurrency: float | None = None
    service_time: float | None = None


def observe(state: TargetState, sample: Sample) -> tuple[TargetState, Figures]:
    marks = add_point(state.marks, sample, STABLE)
    stable = calls_since(marks, STABLE)
    short = calls_since(marks, PANIC)
    if stable is None or short is None:
        return state._replace(marks=marks), Figures()
    service_time = _service_time(state.service_time, stable.busy, stable.finished)
    backlog = 0.0 if service_time is None else sample.queued * service_time / DRAIN
    figures = Figures(
        max(stable.concurrency, stable.rate * (service_time or 0.0)) + backlog,
        max(short.concurrency, short.rate * (service_time or 0.0)) + backlog,
        stable.rate,
        stable.concurrency,
        service_time,
    )
    return state._replace(marks=marks, service_time=service_time), figures


def _service_time(before: float | None, busy: float, finished: int) -> float | None:
    if finished <= 0:
        return before
    if before is None:
        return busy / finished
    return (busy + before * PRIOR) / (finished + PRIOR) if finished < PRIOR else busy / finished


def replicas_for(demand: float, target: float) -> int:
    return max(0, math.ceil(demand / target - TOLERANCE))


def wanted(
    state: TargetState, figures: Figures, sample: Sample, target: float, down_delay: float
) -> tuple[TargetState, int | None, int, bool]:
    """What the calls want now, what they wanted at most within ``down_delay``, and whether that is a panic."""
    if figures.demand is None or figures.short_demand is None:
        return state, None, state.maxima[0][1] if state.maxima else 0, False
    now = sample.at
    count = replicas_for(figures.demand, target)
    short = replicas_for(figures.short_demand, target)
    there = sample.ready + sample.starting
    until, most = state.panic_until, state.panic_count
    if short >= PANIC_AT * max(1, there) and short > 1:
        until = now + STABLE
    elif now >= until and not sample.starting:
        most = 0
    panic = now < until or (most > 0 and sample.starting > 0)
    if panic:
        most = max(most, count, short)
        count = most
    maxima = add_maximum(state.maxima, now, count, down_delay)
    return (
        state._replace(panic_until=until, panic_count=most if panic else 0, maxima=maxima),
        count,
        maxima[0][1],
        panic,
    )
