"""What one rule wants. It fires when the mean of its measure over its window is beyond a threshold, and then rests.

Between its thresholds a rule with both keeps the count: that is what the lower one is for. A rule that can only add
keeps what it added for as long as one replica fewer would bring the measure above the threshold again (taken to
be inversely proportional to the count); otherwise it and a source that wants fewer would take turns for ever.
"""

from __future__ import annotations

from typing import NamedTuple

from .policy import Rule
from .signals import Sample, Wish
from .windows import Mean, add_measure, mean_of

__all__ = ["Opinion", "RuleState", "after", "judge", "rested"]

OF_CALLS = ("latency_", "first_byte_", "errors")  # measures of answered calls: nothing to judge when there are none
NEVER = float("-inf")


class RuleState(NamedTuple):
    """``asked`` is the count that the rule brought about when it last fired (``fired_at``), ``None`` if it asks for
    nothing now. ``what`` is the measure and window that ``mean`` is of: a changed rule begins anew."""

    what: tuple[str, float]
    mean: Mean = Mean()
    fired_at: float = NEVER
    asked: int | None = None


class Opinion(NamedTuple):
    """``wants``: the count that the source wants, more or fewer than there are. ``keeps``: the count below which it
    is not to fall on its account. ``unknown``: it cannot know; the count does not fall."""

    wish: Wish
    wants: int | None = None
    keeps: int | None = None
    unknown: bool = False


def judge(
    rule: Rule, state: RuleState | None, sample: Sample, current: int, ended_at: float
) -> tuple[RuleState, Opinion, float | None]:
    """The state with the sample, what the rule says, and the mean that it compares. ``ended_at``: when a call was last
    answered (monotonic)."""
    what = (rule.metric, rule.window)
    if state is None or state.what != what:
        state = RuleState(what)
    latest = sample.measures.get(rule.metric)
    state = RuleState(what, add_measure(state.mean, sample.at, latest, rule.window), state.fired_at, state.asked)
    value = mean_of(state.mean, rule.window)
    source = f"rule {rule.id}"
    if value is None:
        return state, _unknown(source, rule, sample, latest), None
    if sample.at - ended_at > rule.window and rule.metric.startswith(OF_CALLS):
        return state, _no_answer(source, rule, sample, value), value
    resting = state.fired_at + rule.cooldown - sample.at
    if resting > 0.0 and state.asked is not None:
        why = f"{rule.metric} {value:.3g}; rests for another {resting:.0f} s"
        return state, Opinion(Wish(source, None, why), keeps=min(state.asked, current)), value
    if rule.above is not None and value > rule.above:
        return state, _more(source, rule, value, current), value
    if rule.below is not None and value < rule.below:
        return _asks_nothing(state), _fewer(source, rule, value, current), value
    if rule.above is None:
        why = f"{rule.metric} {value:.3g} is not below {rule.below:g}"
        return _asks_nothing(state), Opinion(Wish(source, None, why)), value
    if rule.below is not None:
        why = f"{rule.metric} {value:.3g} is between {rule.below:g} and {rule.above:g}"
        return _asks_nothing(state), Opinion(Wish(source, current, why), keeps=current), value
    if state.asked is not None and current > 1 and value * current / (current - 1) > rule.above:
        kept = min(state.asked, current)
        why = f"{rule.metric} {value:.3g} would be above {rule.above:g} with one replica fewer"
        return state, Opinion(Wish(source, kept, why), keeps=kept), value
    why = f"{rule.metric} {value:.3g} is not above {rule.above:g}"
    return _asks_nothing(state), Opinion(Wish(source, None, why)), value


def _asks_nothing(state: RuleState) -> RuleState:
    return state if state.asked is None else RuleState(state.what, state.mean, state.fired_at)


def _no_answer(source: str, rule: Rule, sample: Sample, value: float) -> Opinion:
    """Its measure is that of calls up to a minute ago: it says nothing of how many replicas are needed now."""
    why = f"{rule.metric} {value:.3g}, but no call was answered within {rule.window:g} s"
    return Opinion(Wish(source, None, why), unknown=bool(sample.in_flight or sample.queued))


def _unknown(source: str, rule: Rule, sample: Sample, latest: float | None) -> Opinion:
    if rule.metric.startswith(OF_CALLS) and not sample.in_flight and not sample.queued and latest is None:
        return Opinion(Wish(source, None, f"{rule.metric}: no call to judge by"))
    if latest is None:
        why = sample.unknown.get(rule.metric, "")
        return Opinion(Wish(source, None, f"{rule.metric} is unknown" + (f": {why}" if why else "")), unknown=True)
    return Opinion(Wish(source, None, f"{rule.metric} is not known for {rule.window:g} s yet"), unknown=True)


def _more(source: str, rule: Rule, value: float, current: int) -> Opinion:
    count = current + rule.step
    why = f"{rule.metric} {value:.3g} is above {rule.above:g}"
    if rule.max is not None and count > rule.max:
        count = rule.max
        why += f"; it may ask for {rule.max} at most"
    if rule.min is not None:
        count = max(count, rule.min)
    if count < current:  # others wanted more than this rule may ask for: it takes none of that away
        return Opinion(Wish(source, count, why), keeps=current)
    return Opinion(Wish(source, count, why), wants=count)


def _fewer(source: str, rule: Rule, value: float, current: int) -> Opinion:
    least = max(1, rule.min or 0)  # the last one goes when the service is idle, and a call then brings it back
    count = current - rule.step
    why = f"{rule.metric} {value:.3g} is below {rule.below:g}"
    if count < least:
        count = least
        why += f"; it leaves {least}"
    if count >= current:
        return Opinion(Wish(source, current, why), keeps=current)
    return Opinion(Wish(source, count, why), wants=count)


def rested(rule: Rule, state: RuleState | None, at: float, count: int) -> RuleState:
    """The state of a rule that is known to have fired ``at`` (monotonic), when ``count`` replicas came of it."""
    if state is None:
        state = RuleState((rule.metric, rule.window))
    return state if state.fired_at >= at else RuleState(state.what, state.mean, at, count)


def after(state: RuleState, opinion: Opinion, sample: Sample, before: int, count: int) -> RuleState:
    """A rule has fired when the count went where it wanted; one that a bound cut to nothing does not rest."""
    if opinion.wants is None or (count - before) * (opinion.wants - before) <= 0:
        return state
    return RuleState(state.what, state.mean, sample.at, min(count, opinion.wants) if count > before else count)
