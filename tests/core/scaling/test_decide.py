"""What is decided in which situation, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jupyter_model_service.core.scaling.decide import Memory, decide, target_of
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule
from jupyter_model_service.core.scaling.signals import Bounds, Decision, Limit

from .loop import TICK, Loop, reversals, sample

RULES_ONLY = Autoscaling(min=1, max=9, target=False)
GPU = Rule("r1", "gpu_util", above=80.0, step=1, cooldown=100.0, window=20.0)


def wishes(decision: Decision) -> dict[str, int | None]:
    return {wish.source: wish.count for wish in decision.wishes}


# --- the calls ---


def test_the_target_is_seventy_percent_of_what_a_replica_can_have() -> None:
    assert target_of(Autoscaling(target_concurrency=3.0), 100) == 3.0
    assert target_of(Autoscaling(), 10) == pytest.approx(7.0)
    assert target_of(Autoscaling(), None) == pytest.approx(5.6)


def test_a_step_is_answered_within_four_seconds_with_what_it_needs() -> None:
    loop = Loop().run(120, rate=2.0)
    assert loop.count == 1
    loop.run(4, rate=16.0)
    assert loop.count >= 2
    loop.run(8, rate=16.0)
    assert loop.count >= 6
    assert loop.decisions[-1].changed or "panic" in wishes(loop.decisions[-1])


def test_calls_that_wait_for_the_first_replica_are_no_demand() -> None:
    """112 calls wait when it is ready. Two replicas are enough, and as concurrency they would ask for 40."""
    loop = Loop(loading=True).run(18, rate=5.6)
    assert loop.counts == [1] * 9, "nobody knows yet how long a call takes"
    loop.run(1800, rate=5.6)
    assert 2 <= max(loop.counts) <= 6
    assert loop.count == 3
    assert reversals(loop.counts) <= 1


def test_what_those_that_start_will_have_done_asks_for_no_others() -> None:
    """One more is begun each time when what waits is compared with those that are ready only."""
    loop = Loop(start_up=45.0).run(60, rate=2.0).run(14, rate=8.0)
    asked = loop.count
    assert loop.waiting > 0
    loop.run(30, rate=8.0)
    assert loop.ready == 1
    assert loop.count <= asked + 1


def test_the_count_falls_to_the_largest_that_was_wanted_within_the_delay() -> None:
    loop = Loop(start_up=2.0).run(700, rate=16.0)
    high = loop.count
    loop.run(240, rate=2.0)
    assert loop.count == high
    assert "were wanted within 300 s" in loop.decisions[-1].reason
    loop.run(240, rate=2.0)
    assert loop.count == 1


def test_in_a_panic_none_is_taken_away() -> None:
    policy = Autoscaling(min=1, max=20, target_concurrency=2.8, down_delay=0.0)
    loop = Loop(policy, start_up=2.0).run(120, rate=1.0).run(10, rate=16.0)
    high = loop.count
    assert high >= 4
    loop.run(50, rate=0.5)
    assert loop.count == high
    assert "panic" in wishes(loop.decisions[-1])
    loop.run(30, rate=0.5)
    assert loop.count < high


def test_starting_replicas_count_against_the_panic() -> None:
    """Otherwise each tick of a slow start would find that there is far from enough."""
    loop = Loop(start_up=45.0).run(120, rate=2.0).run(6, rate=16.0)
    asked = loop.count
    loop.run(60, rate=16.0)
    assert loop.count <= 2 * asked


def test_figures_that_are_old_hold_the_count() -> None:
    loop = Loop(Autoscaling(min=1, max=20, target_concurrency=2.8, down_delay=0.0), count=4).run(120, rate=8.0)
    before = loop.count
    seen = replace(loop.sample(), in_flight=0)
    decision, _ = decide(
        loop.policy, 2.8, seen, loop.memory, loop.now + 11.0, current=before, bounds=loop.bounds, limit=Limit(20)
    )
    assert decision.count == before
    assert "figures are old" in decision.reason


def test_counters_that_began_anew_are_no_calls() -> None:
    loop = Loop().run(120, rate=2.0)
    loop.arrived = loop.finished = loop.in_flight_seconds = 0.0
    assert not loop.tick(2.0).changed
    assert loop.run(60, rate=2.0).count == 1


# --- to zero and back ---

TO_ZERO = Autoscaling(min=0, max=8, target_concurrency=2.8, idle_after=120.0)


def test_an_idle_service_goes_to_zero_by_halves_and_a_call_brings_it_back_at_once() -> None:
    loop = Loop(TO_ZERO, count=4, start_up=2.0).run(60, rate=6.0)
    loop.run(120)
    assert loop.count > 0
    assert loop.run(20).counts[-10:-1].count(0) > 0
    assert "idle wants 0" in next(d for d in loop.decisions if d.count == 0).reason
    assert loop.run(600).count == 0
    loop.waiting = 1.0
    decision = loop.decide()
    assert (decision.before, decision.count) == (0, 1)
    assert "a call waits" in decision.reason


def test_a_replica_that_is_loading_is_not_idle() -> None:
    loop = Loop(TO_ZERO, loading=True, start_up=600.0).run(500)
    assert loop.count == 1
    loop.run(200)
    assert loop.ready == 1
    assert loop.count == 1
    assert loop.run(60).count == 0


def test_a_call_that_was_refused_at_zero_brings_a_replica_too() -> None:
    """It waits no more, but it came."""
    loop = Loop(TO_ZERO, count=0).run(200)
    assert loop.count == 0
    loop.arrived += 1
    assert loop.decide().count == 1


def test_a_service_that_is_at_zero_stays_there_over_a_restart() -> None:
    loop = Loop(TO_ZERO, count=0)
    loop.decide()
    assert loop.run(30).count == 0


def test_what_keeps_replicas_for_calls_does_not_keep_them_for_none() -> None:
    """A rule whose measure is between its thresholds is content; without calls there is nothing to be content with."""
    loop = Loop(replace(TO_ZERO, rules=(replace(GPU, below=10.0),)))
    loop.measures = {"gpu_util": 40.0}
    assert loop.run(200).count == 0


# --- rules ---


def test_a_rule_adds_its_step_and_rests() -> None:
    loop = Loop(replace(RULES_ONLY, rules=(replace(GPU, step=2),)))
    loop.measures = {"gpu_util": 90.0}
    loop.run(18)
    assert loop.count == 1
    assert "not known for 20 s yet" in loop.decisions[-1].reason
    loop.run(10)
    assert loop.count == 3
    loop.run(80)
    assert loop.count == 3
    assert "rests for another" in loop.decisions[-1].reason
    loop.run(20)
    assert loop.count == 5


def test_a_rule_compares_the_mean_of_its_window() -> None:
    loop = Loop(replace(RULES_ONLY, rules=(GPU,)))
    for _ in range(30):
        loop.measures = {"gpu_util": 100.0}
        loop.tick()
        loop.measures = {"gpu_util": 40.0}
        loop.tick()
    assert loop.count == 1
    assert loop.decisions[-1].measured["rule r1: gpu_util"] == pytest.approx(70.0, abs=4.0)


def test_a_rule_takes_away_as_well_and_leaves_the_last_one_to_idleness() -> None:
    loop = Loop(replace(RULES_ONLY, min=0, rules=(replace(GPU, above=None, below=20.0),)), count=3)
    loop.measures = {"gpu_util": 5.0}
    loop.run(120, rate=1.0)
    assert loop.count == 2
    loop.run(300, rate=1.0)
    assert loop.count == 1
    assert "it leaves 1" in loop.decisions[-1].reason


def test_a_rule_is_clamped_and_never_skipped() -> None:
    """4 replicas, step 3, at most 5: that is 5, and not 4 for ever."""
    loop = Loop(replace(RULES_ONLY, max=5, rules=(replace(GPU, step=3),)), count=4)
    loop.measures = {"gpu_util": 90.0}
    decision = next(d for d in loop.run(30).decisions if d.changed)
    assert decision.count == 5
    assert decision.bound == "max is 5"
    own = Loop(replace(RULES_ONLY, rules=(replace(GPU, step=3, max=5),)), count=4)
    own.measures = {"gpu_util": 90.0}
    assert own.run(30).count == 5
    own.count = 7
    assert own.run(200).count == 7, "what others wanted is not taken away by a rule that wants more"


def test_an_unknown_measure_holds_the_count_and_another_source_may_raise_it() -> None:
    loop = Loop(Autoscaling(1, 20, target_concurrency=2.8, down_delay=0.0, rules=(GPU,)), count=5).run(200, rate=2.0)
    assert loop.count == 5
    assert "gpu_util is unknown" in loop.decisions[-1].reason
    assert wishes(loop.decisions[-1])["rule r1"] is None
    loop.measures = {"gpu_util": 50.0}
    assert loop.run(60, rate=2.0).count == 1
    loop.measures = {}
    assert loop.run(60, rate=20.0).count > 5


def test_without_calls_there_is_no_latency_and_nothing_to_hold_for() -> None:
    rule = Rule("r1", "latency_p95", above=2.0, window=20.0)
    loop = Loop(Autoscaling(1, 20, target_concurrency=2.8, down_delay=0.0, rules=(rule,)), count=5).run(200)
    assert loop.count == 1


def test_of_a_target_and_rules_the_largest_wins() -> None:
    loop = Loop(Autoscaling(1, 20, target_concurrency=2.8, rules=(replace(GPU, step=4),)))
    loop.measures = {"gpu_util": 90.0}
    loop.run(30, rate=5.0)
    assert wishes(next(d for d in loop.decisions if d.count >= 5))["rule r1"] is not None
    assert loop.count >= 5


def test_a_rule_that_can_only_add_and_the_target_do_not_take_turns() -> None:
    """The GPUs need 3 replicas where the calls need 1."""
    loop = Loop(Autoscaling(1, 20, target_concurrency=2.8, down_delay=60.0, rules=(GPU,)), start_up=2.0)
    for _ in range(900):
        loop.measures = {"gpu_util": 200.0 / max(1, loop.ready)}
        loop.tick(1.0)
    assert loop.count == 3
    assert reversals(loop.counts) == 0
    loop.measures = {"gpu_util": 10.0}
    assert loop.run(200, rate=1.0).count == 1


# --- bounds, the limit, and what an owner holds ---


def test_bounds_clamp_and_then_the_limit_does_and_each_is_named() -> None:
    memory = Memory.fresh(0.0, 1)
    bounds = Bounds(4, 8, why_min="min of schedule s1")
    decision, memory = decide(
        Autoscaling(1, 8), 2.8, sample(2.0), memory, 2.0, current=1, bounds=bounds, limit=Limit(9)
    )
    assert (decision.count, decision.bound) == (4, "min of schedule s1 is 4")
    decision, _ = decide(
        Autoscaling(1, 8), 2.8, sample(4.0), memory, 4.0, current=4, bounds=bounds, limit=Limit(2, "2 GPUs are free")
    )
    assert (decision.count, decision.bound) == (2, "2 GPUs are free")
    assert decision.reason.endswith("but 2 GPUs are free")


def test_what_is_held_stays_and_what_would_be_done_is_said() -> None:
    loop = Loop(Autoscaling(1, 20, target_concurrency=2.8, held=True), count=2).run(60, rate=20.0)
    assert loop.count == 2
    assert wishes(loop.decisions[-1]).get("panic", wishes(loop.decisions[-1]).get("target"))
    assert "held" in loop.decisions[-1].reason


def test_a_crash_loop_is_not_answered_with_more_replicas() -> None:
    loop = Loop(start_up=9999.0).run(30, rate=2.0)
    loop.failing = True
    assert loop.run(200, rate=16.0).count == 1
    assert "replicas fail to start" in loop.decisions[-1].reason
    loop.failing = False
    assert loop.run(10, rate=16.0).count > 1


def test_after_a_restart_in_the_middle_of_a_burst_nothing_is_taken_away_for_a_minute() -> None:
    policy = Autoscaling(min=1, max=20, target_concurrency=2.8, down_delay=0.0)
    loop = Loop(policy, count=8, start_up=2.0).run(200, rate=20.0)
    before = loop.count
    loop.memory = Memory.fresh(loop.now, before)
    loop.run(58)
    assert loop.count == before
    assert "before 60 s have been seen" in loop.decisions[-1].reason
    assert loop.run(30).count < before


def test_each_decision_says_why_also_when_nothing_happens() -> None:
    loop = Loop().run(120, rate=2.0)
    decision = loop.decisions[-1]
    assert decision.reason == "stays at 1: target wants 1 (2.0 calls at once, 2.8 per replica)"
    assert decision.measured["calls_per_second"] == pytest.approx(2.0, rel=0.1)
    assert decision.bounds == Bounds(1, 20)
    assert Loop(RULES_ONLY).tick().reason == "stays at 1: there is neither a target nor a rule"


# --- what holds the count, each alone ---


def test_half_are_taken_away_at_a_time() -> None:
    policy = Autoscaling(min=1, max=20, target_concurrency=2.8, down_delay=0.0)
    loop = Loop(policy, count=9, start_up=2.0).run(80)
    falling = list(dict.fromkeys(loop.counts))
    assert falling == [9, 5, 3, 2, 1]


def test_a_service_that_is_never_at_zero_is_never_idle() -> None:
    """It falls by what its calls want, after the delay, and not by halves as soon as none came for so long."""
    policy = Autoscaling(min=1, max=20, target_concurrency=2.8, idle_after=60.0)
    assert Loop(policy, count=8).run(200).count == 8


def test_replicas_that_died_in_a_panic_are_kept_wanted() -> None:
    """One of 8 is left: it is far from enough, and what the calls ask for now is still fewer than 8."""
    memory, current = Memory.fresh(0.0, 8), 8
    policy = Autoscaling(min=1, max=20, target_concurrency=2.8, down_delay=0.0)
    for tick in range(1, 60):
        at, calls = tick * 2.0, int(tick * 18)
        seen = sample(at, ready=1, in_flight=9, arrived=calls, finished=calls, busy_seconds=calls * 1.0)
        seen = replace(seen, in_flight_seconds=at * 9.0)
        decision, memory = decide(policy, 2.8, seen, memory, at, current=current, bounds=Bounds(1, 20), limit=Limit(20))
        assert decision.count == 8
    assert "panic wants 4" in decision.reason


def test_a_rule_takes_nothing_away_by_figures_that_are_old() -> None:
    policy = replace(RULES_ONLY, rules=(replace(GPU, above=None, below=20.0),))
    memory = Memory.fresh(0.0, 3)

    def at(moment: float, now: float) -> Decision:
        nonlocal memory
        seen = sample(moment, measures={"gpu_util": 50.0 if moment < 70.0 else 0.0})
        decision, memory = decide(policy, 2.8, seen, memory, now, current=3, bounds=Bounds(1, 9), limit=Limit(9))
        return decision

    for tick in range(45):
        at(tick * 2.0, tick * 2.0 if tick < 35 else tick * 2.0 + 11.0)
    assert at(90.0, 101.0).count == 3
    assert at(92.0, 92.0).count == 2


def test_before_any_answer_the_work_that_went_into_calls_says_how_long_they_take_at_least() -> None:
    """4 calls have been worked on for 12 s without an answer: with 4 new ones each second, 2 replicas are not enough."""
    memory, count = Memory.fresh(0.0, 1), 1
    for tick in range(1, 7):
        at = tick * 2.0
        seen = sample(at, in_flight=4, queued=tick * 8 - 4, arrived=tick * 8, in_flight_seconds=at * 4.0)
        decision, memory = decide(
            Autoscaling(1, 40), 2.8, seen, memory, at, current=count, bounds=Bounds(1, 40), limit=Limit(40)
        )
        count = decision.count
    assert decision.measured["service_time"] == pytest.approx(40.0 / 2.28, rel=0.01)
    assert count >= 15


def test_what_starts_already_makes_no_panic() -> None:
    """8 calls at once are far too many for the one that is ready, and few for six."""
    memory = Memory.fresh(0.0, 6)
    for tick in range(1, 5):
        at, calls = tick * 2.0, tick * 16
        seen = sample(at, starting=5, in_flight=8, arrived=calls, finished=calls, busy_seconds=calls * 1.0)
        seen = replace(seen, in_flight_seconds=at * 8.0)
        decision, memory = decide(
            Autoscaling(1, 20), 2.8, seen, memory, at, current=6, bounds=Bounds(1, 20), limit=Limit(20)
        )
    assert "target" in wishes(decision)


# --- bursts, panics, and what a figure of the past says ---


class Seconds:
    """Calls that never end, so many at once, on a service that is looked at every two seconds."""

    def __init__(self, policy: Autoscaling, count: int, **more: Any) -> None:
        self.policy, self.count, self.more = policy, count, more
        self.target = policy.target_concurrency or 2.8
        self.now, self.in_flight_seconds = 1000.0, 0.0
        self.finished = 0
        self.memory = Memory.fresh(self.now, count)

    def go(self, seconds: float, at_once: float, *, concurrency: int | None = None, **figures: Any) -> Decision:
        """``figures`` of the sample as they are meanwhile."""
        for _ in range(int(seconds / TICK)):
            self.now += TICK
            self.in_flight_seconds += at_once * TICK
            given = {"ready": self.count, "in_flight": int(at_once), **self.more, **figures}
            seen = sample(self.now, in_flight_seconds=self.in_flight_seconds, finished=self.finished, **given)
            if at_once:
                seen.last_call = self.now
            decision, self.memory = decide(
                self.policy,
                self.target,
                seen,
                self.memory,
                self.now,
                current=self.count,
                bounds=Bounds(self.policy.min, self.policy.max),
                limit=Limit(self.policy.max),
                concurrency=concurrency,
            )
            self.count = decision.count
        return decision


TEN = Autoscaling(min=1, max=20, target_concurrency=10.0, down_delay=0.0)


def test_none_is_taken_away_that_the_calls_of_the_last_seconds_need() -> None:
    """5 calls at once for a minute and then 35, on 3 replicas: the mean of the minute still wants 2."""
    service = Seconds(TEN, 3)
    service.go(50, 5.0)
    decision = service.go(16, 35.0)
    assert decision.count == 3
    assert wishes(decision)["burst"] == 3
    assert "35.0 calls at once in the last 6 s need 4" in decision.reason


def test_half_as_much_again_as_there_is_room_for_is_a_panic_when_it_lasts() -> None:
    """5 calls at once, then 35, on 2 replicas for 10 each: the mean of a minute would take half a minute to say so."""
    service = Seconds(TEN, 2)
    service.policy = replace(TEN, min=2)
    service.go(120, 5.0)
    first = service.go(6, 35.0)
    assert first.count == 2
    assert "35.0 calls at once in the last 6 s need 4, 30.0 for 6 s are a panic" in first.reason
    assert service.go(8, 35.0).count == 4


def test_half_as_much_again_for_a_moment_is_chance() -> None:
    service = Seconds(replace(TEN, min=2), 2)
    service.go(120, 15.0)
    service.go(6, 35.0)
    assert service.go(60, 15.0).count == 2


def test_a_panic_does_not_outlast_its_calls_because_a_replica_never_comes_up() -> None:
    """A start takes 45 s as a rule; after an hour without a call twelve replicas are kept by nothing."""
    service = Seconds(TEN, 2)
    service.go(60, 5.0)
    service.go(20, 150.0)
    high = service.count
    assert high >= 12
    waits: dict[str, Any] = {"ready": 2, "starting": high - 2, "start_seconds": 45.0}
    assert service.go(66, 0.0, **waits).count == high, "within twice what a start takes"
    assert service.go(300, 0.0, **waits).count == 1


def test_what_a_replica_can_have_is_what_its_definition_says() -> None:
    """24 calls wait. Aimed at 2 at once, it could have 2.9 as far as anybody knows, and has 16 where that is known."""

    def wanted(concurrency: int | None) -> int:
        service = Seconds(replace(TEN, target_concurrency=2.0), 1)
        for _ in range(10):
            service.finished += 20
            decision = service.go(2, 1.0, concurrency=concurrency, busy_seconds=service.finished * 2.0, queued=24)
        return decision.count

    assert wanted(16) < wanted(None)


def test_latency_says_nothing_when_no_call_was_answered_within_the_window() -> None:
    """The quantile is of the last minute: it stays what it was for a minute after the last call."""
    rule = Rule("r1", "latency_p95", above=0.1, cooldown=0.0, window=5.0)
    service = Seconds(Autoscaling(1, 9, target=False, rules=(rule,)), 1)
    slow: dict[str, Any] = {"measures": {"latency_p95": 0.3}}
    for _ in range(8):
        service.finished += 3
        service.go(2, 1.0, **slow)
    high = service.count
    assert high > 1
    service.go(6, 0.0, **slow)
    high = service.count
    decision = service.go(50, 0.0, **slow)
    assert decision.count == high
    assert "no call was answered within 5 s" in decision.reason
    assert wishes(decision)["rule r1"] is None


def test_while_calls_hang_a_latency_holds_the_count() -> None:
    rule = Rule("r1", "latency_p95", above=5.0, cooldown=0.0, window=5.0)
    service = Seconds(replace(TEN, rules=(rule,)), 4)
    service.go(120, 1.0, measures={"latency_p95": 0.3})
    assert service.count == 4


def test_why_one_is_kept_is_what_is_there_to_do() -> None:
    """And not that there is nothing."""
    waiting = Seconds(replace(TEN, min=0), 1).go(4, 0.0, ready=0, starting=1, queued=2)
    assert "target wants 1 (2 calls wait)" in waiting.reason
    assert "target wants 1 (a call is worked on)" in Seconds(replace(TEN, min=0), 1).go(4, 0.0, in_flight=1).reason
    idle = Seconds(replace(TEN, min=0, idle_after=20.0), 4)
    idle.go(60, 14.5)
    target = next(wish for wish in idle.go(22, 0.0).wishes if wish.source in ("target", "panic"))
    assert target.why == "no call for 22 s"


def test_figures_of_rules_have_names_of_their_own() -> None:
    """Two on one metric, and the service's own figure of that name, which is known when theirs is not."""
    rules = (Rule("r1", "concurrency", above=5.0, window=4.0), Rule("r2", "concurrency", above=9.0, window=600.0))
    measured = Seconds(replace(TEN, rules=rules), 2).go(20, 8.0, measures={"concurrency": 4.0}).measured
    assert measured["concurrency"] == pytest.approx(8.0)
    assert measured["rule r1: concurrency"] == pytest.approx(4.0)
    assert measured["rule r2: concurrency"] is None


def test_it_is_idle_when_the_time_for_that_has_passed_and_not_before() -> None:
    service = Seconds(replace(TEN, min=0, idle_after=120.0), 1)
    service.go(60, 1.0)
    assert service.go(118, 0.0).count == 1
    assert service.go(2, 0.0).count == 0
