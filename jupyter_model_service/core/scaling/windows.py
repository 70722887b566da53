"""What the decision remembers of the past, as immutable values of bounded size: calls over a window, the mean of a
measure, the largest of what was wanted."""

from __future__ import annotations

from typing import NamedTuple

from .signals import Sample

__all__ = ["Calls", "Mark", "Mean", "add_maximum", "add_measure", "add_point", "calls_since", "mean_of"]

NEVER = float("-inf")
# Seconds between kept points: decisions at once (a call at zero, a lost replica) make no crowd of them.
LEAST_STEP = 1.0
STALE_AFTER = 10.0  # seconds that a figure counts for when no newer one comes
PARTS = 30  # points kept of a measure's window, whatever its length


class Mark(NamedTuple):
    """The growing counters of a sample, at one moment, and when a call last waited."""

    at: float
    arrived: int
    finished: int
    busy: float
    in_flight: float
    waited_at: float


class Calls(NamedTuple):
    """What calls did over ``seconds``: ``concurrency`` is the mean number in flight, ``rate`` arrivals per second,
    ``finished`` how many were answered and ``busy`` the seconds that these took in sum; ``waited``: some waited."""

    seconds: float
    concurrency: float
    rate: float
    finished: int
    busy: float
    waited: bool


def add_point(marks: tuple[Mark, ...], sample: Sample, keep: float) -> tuple[Mark, ...]:
    """``marks`` with the sample's, and without those that a window of ``keep`` seconds does not need."""
    if marks and (sample.arrived < marks[-1].arrived or sample.at < marks[-1].at):
        marks = ()  # the counters began anew
    waited_at = sample.at if sample.queued else marks[-1].waited_at if marks else NEVER
    mark = Mark(sample.at, sample.arrived, sample.finished, sample.busy_seconds, sample.in_flight_seconds, waited_at)
    if not marks:
        return (mark,)
    if len(marks) > 1 and mark.at - marks[-2].at < LEAST_STEP:
        marks = marks[:-1]
    first = 0
    while first + 1 < len(marks) and marks[first + 1].at <= mark.at - keep:
        first += 1
    return (*marks[first:], mark)


def calls_since(marks: tuple[Mark, ...], seconds: float) -> Calls | None:
    """The calls of the last ``seconds``, or of as much as is known; ``None`` before there are two points."""
    last = marks[-1]
    begin = len(marks) - 2
    if begin < 0:
        return None
    since = last.at - seconds
    if marks[1].at > since:
        begin = 0  # as where the window is all that is kept
    while begin > 0 and marks[begin].at > since:
        begin -= 1
    first = marks[begin]
    width = last.at - first.at
    if width <= 0.0:
        return None
    return Calls(
        width,
        (last.in_flight - first.in_flight) / width,
        (last.arrived - first.arrived) / width,
        last.finished - first.finished,
        last.busy - first.busy,
        last.waited_at > first.at,
    )


Maxima = tuple[tuple[float, int], ...]


def add_maximum(maxima: Maxima, at: float, count: int, keep: float) -> Maxima:
    """Falling counts with the time when each was last wanted; the first is the largest of the last ``keep`` seconds."""
    end = len(maxima)
    while end and maxima[end - 1][1] <= count:
        end -= 1
    begin = 0
    while begin < end and maxima[begin][0] < at - keep:
        begin += 1
    return (*maxima[begin:end], (at, count))


class Mean(NamedTuple):
    """Integrals of a measure over the time for which it was known: ``points`` are (at, integral, seconds known)."""

    points: tuple[tuple[float, float, float], ...] = ()
    value: float | None = None


def add_measure(mean: Mean, at: float, value: float | None, window: float) -> Mean:
    """Each value counts until the next comes, at most :data:`STALE_AFTER` seconds."""
    points = mean.points
    if not points or at < points[-1][0]:
        return Mean(((at, 0.0, 0.0),), value)
    before, integral, known = points[-1]
    if mean.value is not None:
        seconds = min(at - before, STALE_AFTER)
        integral += mean.value * seconds
        known += seconds
    if len(points) > 1 and at - points[-2][0] < window / PARTS:
        points = points[:-1]
    first = 0
    while first + 1 < len(points) and points[first + 1][0] <= at - window:
        first += 1
    return Mean((*points[first:], (at, integral, known)), value)


def mean_of(mean: Mean, window: float) -> float | None:
    """The mean over ``window`` seconds; ``None`` while the value is unknown now, was for half of the window, or
    less than a whole window has been seen."""
    if mean.value is None or len(mean.points) < 2:
        return None
    first, last = mean.points[0], mean.points[-1]
    known = last[2] - first[2]
    if last[0] - first[0] < window or known < window / 2:
        return None
    return (last[1] - first[1]) / known
