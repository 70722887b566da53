"""Nothing is decided about a service without news, and nobody can tell from what is decided."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.scaling.policy import Autoscaling, Rule
from jupyter_model_service.core.scaling.signals import Decision, Sample
from jupyter_model_service.core.scaling.steady import later, steady_until

from .loop import Loop

RULES = (
    Rule("r1", "gpu_util", above=80.0, below=20.0, cooldown=30.0),
    Rule("r2", "latency_p95", above=2.0, window=10.0),
    Rule("r3", "queued", above=1.0),
)


class Saving(Loop):
    """Decides only when there is something to decide, as ``engine.steady`` does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.saved = 0
        self.seen: Sample | None = None  # of the last decision, if it is steady
        self.since = self.at = self.until = 0.0

    def decide(self) -> Decision:
        sample = self.sample()
        if self.seen is not None:
            if self.now < self.until and replace(sample, at=self.seen.at) == self.seen:
                self.saved += 1
                self.at = self.now
                self.decisions.append(self.decisions[-1])
                return self.decisions[-1]
            self.memory = later(self.memory, self.at - self.since)
            self.seen = None
        decision = super().decide()
        self.until = steady_until(self.policy, sample, self.memory, decision, self.now, self.bounds)
        if self.until > self.now:
            self.seen, self.since, self.at = sample, self.now, self.now
        return decision


def said(why: str) -> str:
    """For how long an idle service has been idle is told every ten seconds only."""
    return re.sub(r"no call for \d+ s", "no call", why)


TIMES = st.tuples(
    st.sampled_from([0.0, 0.0, 3.0, 40.0]),  # calls per second
    st.sampled_from([10.0, 90.0, 400.0]),  # for so many seconds
    st.sampled_from([0.0, 0.0, 50.0, 90.0, None]),  # use of the GPUs
)


@settings(max_examples=25)
@given(
    st.builds(
        Autoscaling,
        min=st.sampled_from([0, 1, 3]),
        max=st.just(6),
        target=st.booleans(),
        target_concurrency=st.just(2.8),
        idle_after=st.sampled_from([30.0, 200.0]),
        down_delay=st.sampled_from([0.0, 100.0]),
        rules=st.lists(st.sampled_from(RULES), unique=True).map(tuple),
        held=st.sampled_from([False, False, True]),
    ),
    st.lists(TIMES, min_size=2, max_size=5),
)
@example(Autoscaling(1, 6, target_concurrency=2.8, rules=RULES), [(0.0, 400.0, 0.0), (40.0, 10.0, 90.0)])
@example(Autoscaling(0, 6, target_concurrency=2.8, idle_after=200.0), [(3.0, 90.0, 0.0), (0.0, 400.0, 0.0)] * 2)
def test_what_is_decided_is_the_same_as_if_it_were_decided_each_time(
    policy: Autoscaling, times: list[tuple[float, float, float | None]]
) -> None:
    always, saving = Loop(policy, count=3, each=0.1), Saving(policy, count=3, each=0.1)
    for rate, seconds, use in times:
        for loop in (always, saving):
            unknown = None if not rate else 0.1
            loop.measures = {"gpu_util": use, "latency_p95": unknown, "queued": float(int(loop.waiting))}
            loop.run(seconds, rate)
    for each, other in zip(always.decisions, saving.decisions, strict=True):
        assert (other.count, said(other.reason), other.bound) == (each.count, said(each.reason), each.bound)
        assert [(w.source, w.count, said(w.why)) for w in other.wishes] == [
            (w.source, w.count, said(w.why)) for w in each.wishes
        ]
        assert other.measured == {
            name: value if value is None else pytest.approx(value, abs=1e-9) for name, value in each.measured.items()
        }


@pytest.mark.parametrize(
    "policy", [Autoscaling(1, 6), Autoscaling(0, 6, idle_after=100.0), Autoscaling(2, 6, rules=RULES)]
)
def test_a_service_without_calls_is_decided_about_a_few_times_only(policy: Autoscaling) -> None:
    """In an hour, of 1,800 looks; without it the test above would hold by doing nothing."""
    saving = Saving(policy, count=3, each=0.1)
    saving.measures = {"gpu_util": 0.0, "latency_p95": None, "queued": 0.0}
    saving.run(3600)
    assert saving.count == policy.min
    assert len(saving.decisions) - saving.saved < 500
