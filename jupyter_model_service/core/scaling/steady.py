"""When a decision would come out as the one before, word for word: nothing calls, and what is measured stays zero. Most
services are like that most of the time, and cost next to nothing if nobody decides about them anew."""

from __future__ import annotations

import math

from .decide import Memory
from .policy import Autoscaling
from .rules import OF_CALLS, RuleState
from .signals import Bounds, Decision, Sample
from .target import STABLE, TargetState
from .windows import Mark, Mean

__all__ = ["SAID_AGAIN", "later", "steady_until"]

SAID_AGAIN = 10.0  # seconds: what is said of an idle service has seconds in it


def steady_until(
    policy: Autoscaling, sample: Sample, memory: Memory, decision: Decision, now: float, bounds: Bounds
) -> float:
    """Until when (monotonic) nothing but a change of what was given here can bring another decision: the sample may
    only become older. ``now`` where that is not certain. ``memory`` is what ``decision`` left."""
    if sample.in_flight or sample.queued or sample.starting or sample.failing or decision.changed:
        return now
    if now - memory.started < STABLE or not _quiet(memory.target, policy, now):
        return now
    if any(wish.source == "panic" for wish in decision.wishes):
        return now  # it ends by itself
    for rule in policy.rules:
        state = memory.rules.get(rule.id)
        if state is None or state.asked is not None or not _zero(rule.metric, rule.window, state, now):
            return now
    if bounds.min > 0:
        return math.inf
    idle_at = memory.busy_at + policy.idle_after
    if now < idle_at:
        return idle_at
    return now if decision.count else now + SAID_AGAIN


def _quiet(state: TargetState, policy: Autoscaling, now: float) -> bool:
    """Whether no call was seen in the whole window, and what was wanted before is forgotten."""
    if not state.marks or (policy.target and len(state.maxima) != 1):
        return False
    first, last = state.marks[0], state.marks[-1]
    whole = first.at <= now - STABLE and last.waited_at <= first.at
    calls = last.arrived - first.arrived or last.finished - first.finished or last.in_flight - first.in_flight
    return whole and not calls


def _zero(metric: str, window: float, state: RuleState, now: float) -> bool:
    """Whether the measure was zero for the whole window, or there was no call that it could be of."""
    first, last = state.mean.points[0], state.mean.points[-1]
    if first[0] > now - window:
        return False
    if state.mean.value is None:
        return metric.startswith(OF_CALLS) and last[2] == first[2]
    return state.mean.value == 0.0 and last[1] == first[1] and last[2] - first[2] >= window / 2


def later(memory: Memory, seconds: float) -> Memory:
    """What there would be in memory had it been decided all the time: the same, so many ``seconds`` later.
    When the calls wanted none, the last time, is of no account (``maxima``): any other count is larger."""
    state = memory.target
    marks = [
        Mark(at + seconds, arrived, finished, busy, in_flight, waited_at)
        for at, arrived, finished, busy, in_flight, waited_at in state.marks
    ]
    rules: dict[str, RuleState] = {}
    for id, rule in memory.rules.items():
        points = tuple([(at + seconds, integral, known) for at, integral, known in rule.mean.points])
        rules[id] = rule._replace(mean=Mean(points, rule.mean.value))
    return Memory(memory.started, memory.busy_at, state._replace(marks=tuple(marks)), rules, memory.ended_at)
