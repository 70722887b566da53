"""What holds of the decision whatever happens."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.scaling.decide import Memory, decide
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule
from jupyter_model_service.core.scaling.signals import Bounds, Decision, Limit, Sample

from .loop import TICK, Loop, reversals, sample

RULES = (
    Rule("r1", "gpu_util", above=80.0, below=30.0, step=2, cooldown=30.0, window=10.0),
    Rule("r2", "queued", above=5.0, step=3, cooldown=0.0, window=4.0, max=7),
    Rule("r3", "latency_p95", below=0.5, cooldown=10.0, window=10.0, min=2),
)


@st.composite
def moments(draw: st.DrawFn) -> dict[str, Any]:
    """What happens in one tick, whatever it may be."""
    count = st.integers(0, 12)
    return {
        "ready": draw(count),
        "starting": draw(st.integers(0, 6)),
        "in_flight": draw(st.sampled_from([0, 0, 1, 3, 40])),
        "queued": draw(st.sampled_from([0, 0, 0, 1, 30, 400])),
        "came": draw(st.sampled_from([0, 0, 1, 5, 100])),
        "ended": draw(st.sampled_from([0, 1, 5, 100])),
        "each": draw(st.sampled_from([0.01, 1.0, 30.0])),
        "after": draw(st.sampled_from([0.0, 0.1, 2.0, 2.0, 2.0, 2.0, 30.0, 400.0])),
        "failing": draw(st.booleans()),
        "start_seconds": draw(st.sampled_from([None, 3.0, 45.0])),
        "measures": draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "gpu_util": st.sampled_from([None, 0.0, 50.0, 95.0]),
                    "queued": st.sampled_from([None, 0.0, 9.0]),
                    "latency_p95": st.sampled_from([None, 0.1, 3.0]),
                },
            )
        ),
        "min": draw(st.sampled_from([0, 0, 1, 2, 4])),
        "max": draw(st.sampled_from([1, 4, 6, 10])),
        "limit": draw(st.sampled_from([0, 3, 10, 10, 10])),
        "held": draw(st.sampled_from([False, False, False, True])),
    }


policies = st.builds(
    Autoscaling,
    target=st.booleans(),
    target_concurrency=st.just(2.8),
    idle_after=st.sampled_from([10.0, 60.0, 900.0]),
    down_delay=st.sampled_from([0.0, 30.0, 300.0]),
    rules=st.lists(st.sampled_from(RULES), unique=True).map(tuple),
)


class Story:
    """A service to which anything may happen; each ``Step`` is what was decided, with what was there."""

    def __init__(self, policy: Autoscaling, count: int = 1) -> None:
        self.policy, self.count, self.now = policy, count, 50.0
        self.memory = Memory.fresh(self.now, count)
        self.sample = sample(self.now)

    def goes_on(self, moment: dict[str, Any]) -> tuple[Decision, Bounds, Limit]:
        self.now += moment["after"]
        before = self.sample
        self.sample = Sample(
            self.now,
            moment["ready"],
            moment["starting"],
            moment["in_flight"],
            moment["queued"],
            before.arrived + moment["came"],
            before.finished + moment["ended"],
            before.busy_seconds + moment["ended"] * moment["each"],
            before.in_flight_seconds + moment["in_flight"] * moment["after"],
            self.now if moment["came"] else before.last_call,
            moment["measures"],
            moment["failing"],
            moment["start_seconds"],
        )
        bounds = Bounds(min(moment["min"], moment["max"]), moment["max"])
        limit = Limit(moment["limit"])
        self.policy = replace(self.policy, held=moment["held"])
        decision, self.memory = decide(
            self.policy, 2.8, self.sample, self.memory, self.now, current=self.count, bounds=bounds, limit=limit
        )
        self.count = decision.count
        return decision, bounds, limit


stories = st.lists(moments(), min_size=1, max_size=40)


@settings(max_examples=50)
@given(policies, stories)
def test_the_count_is_within_the_bounds_and_the_limit_or_held(policy: Autoscaling, story: list[dict[str, Any]]) -> None:
    told = Story(policy)
    for moment in story:
        decision, bounds, limit = told.goes_on(moment)
        if moment["held"]:
            assert not decision.changed
        else:
            assert min(bounds.min, limit.count) <= decision.count <= min(bounds.max, limit.count)
        assert decision.reason
        assert len(decision.wishes) >= len(policy.rules) + policy.target


@settings(max_examples=50)
@given(policies, stories)
def test_at_most_half_are_taken_away_unless_a_bound_or_the_limit_says_so(
    policy: Autoscaling, story: list[dict[str, Any]]
) -> None:
    told = Story(policy, 10)
    for moment in story:
        decision, bounds, limit = told.goes_on(moment)
        if decision.count < decision.before and decision.count not in (bounds.max, limit.count):
            assert decision.count >= math.ceil(decision.before / 2) or (decision.before, decision.count) == (1, 0)


@settings(max_examples=50)
@given(policies, stories)
def test_nothing_is_taken_away_while_a_signal_is_unknown(policy: Autoscaling, story: list[dict[str, Any]]) -> None:
    """A rule's measure that is not there says nothing, and above all not that there is nothing to do."""
    told = Story(replace(policy, rules=(Rule("r1", "gpu_util", above=80.0, below=30.0, window=10.0), *policy.rules)), 8)
    for moment in story:
        moment["measures"].pop("gpu_util", None)
        decision, bounds, limit = told.goes_on(moment)
        assert decision.count >= min(decision.before, bounds.max, limit.count)


@settings(max_examples=50)
@given(policies, stories, st.integers(1, 9))
def test_nothing_is_taken_away_in_the_first_minute(
    policy: Autoscaling, story: list[dict[str, Any]], count: int
) -> None:
    """The gateway may have been started anew in the middle of a burst."""
    told = Story(policy, count)
    for moment in story:
        decision, bounds, limit = told.goes_on(moment)
        if told.now - 50.0 >= 60.0:
            break
        assert decision.count >= min(decision.before, bounds.max, limit.count)


@settings(max_examples=50)
@given(policies, stories)
def test_zero_comes_of_idleness_alone(policy: Autoscaling, story: list[dict[str, Any]]) -> None:
    """Never while there is a call, while a replica is loading, or within ``idle_after`` of either."""
    told = Story(policy, 3)
    busy_at = told.now
    for moment in story:
        decision, bounds, limit = told.goes_on(moment)
        if moment["in_flight"] or moment["queued"] or moment["starting"] or moment["came"]:
            busy_at = told.now
        if decision.changed and decision.count == 0 and min(bounds.max, limit.count) > 0:
            assert bounds.min == 0
            assert told.now - busy_at >= policy.idle_after


@settings(max_examples=50)
@given(policies, stories)
def test_crash_loops_are_not_answered_with_more(policy: Autoscaling, story: list[dict[str, Any]]) -> None:
    """What the bounds demand is tried all the same, and one for a call at zero."""
    told = Story(policy)
    for moment in story:
        decision, bounds, _ = told.goes_on(moment | {"failing": True})
        assert decision.count <= max(decision.before, bounds.min, 1)


@settings(max_examples=30)
@given(
    st.floats(0.2, 30.0),
    st.sampled_from([0.1, 1.0, 6.0]),
    st.sampled_from([1.0, 20.0, 45.0]),
    st.integers(1, 20),
    st.booleans(),
)
def test_under_constant_demand_the_count_settles(
    concurrency: float, each: float, start_up: float, count: int, loading: bool
) -> None:
    """From any beginning: it turns once at most, and after ten minutes it moves no more and is enough."""
    loop = Loop(count=count, each=each, start_up=start_up, loading=loading)
    loop.run(1800, rate=concurrency / each)
    assert reversals(loop.counts) <= 1
    assert len(set(loop.counts[len(loop.counts) // 3 * 2 :])) == 1
    assert loop.waiting < 1.0
    assert loop.count <= math.ceil(concurrency / 2.8) + 1


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=60),
    st.integers(0, 40),
    st.integers(1, 5),
    st.sampled_from([0, 30]),
)
def test_more_calls_never_want_fewer_replicas(
    ticks: list[tuple[int, int]], extra: int, ready: int, queued: int
) -> None:
    """The same ticks with more arrivals and more in flight."""

    def decided(more: int) -> list[int]:
        memory, counts = Memory.fresh(0.0, 3), []
        now, arrived, seconds = 0.0, 0, 0.0
        for came, in_flight in ticks:
            now += TICK
            arrived += came + more
            seconds += (in_flight + more) * TICK
            seen = Sample(
                now, ready, 0, in_flight + more, queued + more * bool(queued), arrived, int(now) * 20, now * 20, seconds
            )
            decision, memory = decide(
                Autoscaling(max=99), 2.8, seen, memory, now, current=3, bounds=Bounds(1, 99), limit=Limit(99)
            )
            counts.append(decision.count)
        return counts

    assert all(more >= fewer for more, fewer in zip(decided(extra), decided(0), strict=True))
