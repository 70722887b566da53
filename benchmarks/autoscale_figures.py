"""The figures that are asked of the autoscaler, as comparisons that hold or do not; what a decision costs; and what its
constants trade."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import autoscale_tick
from autoscale_load import Load, shape, trace
from autoscale_rules import Hpa, Knative, Oracle, Ours, RayServe
from autoscale_tick import cost_of_tick
from autoscale_world import Outcome, Rule, Setting, World

from jupyter_model_service.core.scaling import target as target_module
from jupyter_model_service.core.scaling.decide import Memory, decide
from jupyter_model_service.core.scaling.policy import Autoscaling
from jupyter_model_service.core.scaling.policy import Rule as PolicyRule
from jupyter_model_service.core.scaling.signals import Bounds, Limit, Sample

Claim = tuple[str, float, float]  # what, ours, at most
SERVICES, PERIOD, SHARE = 1000, 2.0, 0.05
TRACE = Setting(45.0, most=40)


def run(load: Load, setting: Setting, rule: Rule, seed: int) -> Outcome:
    """``seed`` says where in its period the rule's first tick comes: at the same part of it for each rule."""
    return World(load, setting, rule, rule.tick * random.Random(f"phase {seed}").random()).run()


def runs(loads: list[Load], setting: Setting, make: Callable[[Setting], Rule]) -> list[Outcome]:
    return [run(load, setting, make(setting), seed) for seed, load in enumerate(loads)]


def delayed(setting: Setting) -> Rule:
    return Knative(setting, delay=300.0, name="Knative+300s")


def step(seed: int) -> Load:
    return shape("step", low=2.0, high=16.0, seconds=600.0, mean=1.0, kind="exp", seed=seed)


def steady(seed: int) -> Load:
    return shape("steady", low=0.0, high=5.6, seconds=3600.0, mean=1.0, kind="exp", seed=seed)


def first(outcomes: list[Outcome]) -> float:
    return fmean(outcome.first if outcome.first is not None else float("inf") for outcome in outcomes)


def cost_of(outcomes: list[Outcome]) -> float:
    return fmean(outcome.replica_seconds for outcome in outcomes)


def of_step(start_up: float, seeds: int) -> Iterator[Claim]:
    loads, setting = [step(seed) for seed in range(seeds)], Setting(start_up)
    ours, knative, later = (runs(loads, setting, make) for make in (Ours, Knative, delayed))
    yield "first reaction, s (Knative's + 1)", first(ours), first(knative) + 1.0
    yield "reversals, the most", max(outcome.reversals() for outcome in ours), 6.0
    yield "replica-seconds (Knative's with 300 s delay)", cost_of(ours), cost_of(later)
    pairs = zip(ours, knative, strict=True)
    yield "rejected where Knative rejects none", sum(a.rejected for a, b in pairs if not b.rejected), 0.0


def of_steady(warm: bool, seeds: int) -> Iterator[Claim]:
    """From warm: with the 2 replicas that are needed, or with one more than that."""
    loads = [steady(seed) for seed in range(seeds)]
    if not warm:
        ours = runs(loads, Setting(20.0, warm=False), Ours)
        yield "peak, the most", max(outcome.peak for outcome in ours), 6.0
        yield "reversals, the most", max(outcome.reversals() for outcome in ours), 1.0
        yield "reversals after minute 10, the most", max(outcome.reversals(600.0) for outcome in ours), 0.0
        return
    for initial in (2, 3):
        ours = runs(loads, Setting(20.0, initial=initial), Ours)
        yield f"reversals from {initial}, the most", max(outcome.reversals() for outcome in ours), 0.0
        yield f"peak from {initial}, the most (need + 1)", max(outcome.peak for outcome in ours), 3.0


def of_trace(path: Path, speed: float, seeds: int) -> Iterator[Claim]:
    loads = [trace(path, speed=speed)] * seeds
    ours = runs(loads, TRACE, Ours)
    peers = [runs(loads, TRACE, make) for make in (Knative, Hpa, RayServe)]

    def p95(outcomes: list[Outcome]) -> float:
        return fmean(outcome.wait_of_all(0.95) for outcome in outcomes)

    def served(outcomes: list[Outcome]) -> float:
        return fmean(outcome.wait(0.95) for outcome in outcomes)

    yield "p95 of waiting of all calls, s (best of three peers)", p95(ours), min(p95(peer) for peer in peers)
    yield "rejected (Knative's)", *(fmean(outcome.rejected for outcome in outcomes) for outcomes in (ours, peers[0]))
    # Also by the answered calls alone, where more peers are as quick: the harder comparison of the two.
    as_quick = [
        cost_of(peer)
        for peer in (*peers, runs(loads, TRACE, delayed))
        if p95(peer) <= p95(ours) or served(peer) <= served(ours)
    ]
    yield "replica-seconds (1.1 × the cheapest as quick)", cost_of(ours), 1.1 * min(as_quick, default=float("inf"))


def check(path: Path | None, seeds: int) -> int:
    """Prints each comparison; 0 if all hold, 1 if one does not, 2 if the trace is missing."""
    rows: dict[str, Iterator[Claim]] = {
        "step 2 → 16, start-up 3 s": of_step(3.0, seeds),
        "step 2 → 16, start-up 45 s": of_step(45.0, seeds),
        "steady 5.6, from one cold replica": of_steady(False, seeds),
        "steady 5.6, from warm": of_steady(True, seeds),
    }
    if path is not None:
        rows |= {f"conversations at {speed:g}x": of_trace(path, speed, seeds) for speed in (1.0, 4.0)}
    print("| on | figure | ours | at most | |\n| --- | --- | ---: | ---: | --- |")
    held = True

    def say(name: str, what: str, ours: float, most: float) -> None:
        nonlocal held
        held &= ours <= most
        limit = "–" if most == float("inf") else f"{most:,.4g}" if most < 1000 else f"{most:,.0f}"
        had = f"{ours:,.3g}" if ours < 1000 else f"{ours:,.0f}"
        print(f"| {name} | {what} | {had} | {limit} | {'holds' if ours <= most else 'DOES NOT HOLD'} |", flush=True)

    for name, claims in rows.items():
        for what, ours, most in claims:
            say(name, what, ours, most)
    say("1,000 services × 10 replicas", "decisions, percent of a core", 100 * cost_of_decisions(), 100 * SHARE)
    say("1,000 services × 10 replicas", "all of the tick, percent of a core", 100 * cost_of_tick().share, 100 * SHARE)
    if path is None:
        print("\nnot checked: the conversation trace (--trace FILE)")
    return 1 if not held else 0 if path is not None else 2


def cost_of_decisions() -> float:
    """The share of a core that deciding for 1,000 services each 2 s takes: a target, two rules, full memories."""
    rules = (PolicyRule("r1", "gpu_util", above=80.0, below=20.0), PolicyRule("r2", "latency_p95", above=2.0))
    policy = Autoscaling(min=1, max=20, rules=rules)
    bounds, limit = Bounds(1, 20), Limit(20)
    memories = [Memory.fresh(0.0, 10) for _ in range(SERVICES)]
    spent, now, rng = 0.0, 0.0, random.Random(1)
    for tick in range(60):
        now += PERIOD
        rate = 40.0 + 10.0 * rng.random()
        measures = {"gpu_util": 40.0 + 30.0 * rng.random(), "latency_p95": rng.random()}
        calls = int(rate * now)
        sample = Sample(now, 10, 0, 40, 0, calls, calls, calls * 1.0, calls * 1.0, now, measures, False, 20.0)
        begun = time.process_time()
        for service in range(SERVICES):
            _, memories[service] = decide(
                policy, 5.6, sample, memories[service], now, current=10, bounds=bounds, limit=limit
            )
        if tick >= 40:
            spent += time.process_time() - begun
    return spent / (20 * PERIOD)


def cost() -> int:
    share = cost_of_decisions()
    each = share * PERIOD / SERVICES * 1e6
    print(f"{each:.1f} µs a decision; {share:.2%} of a core for {SERVICES:,} services each {PERIOD:g} s\n", flush=True)
    return autoscale_tick.cost() or (0 if share <= SHARE else 1)


def curve(path: Path | None, seeds: int) -> int:
    """What the two constants trade that trade anything: the seconds in which what waits is to be done, and the delay
    before fewer. And what starting everything at the first tick gives, which nobody can do better."""
    heads = ("step 45 s: p95", "rejected", "replica-s", "steady cold: peak", "trace 1x: replica-s", "2x: p95")
    print("| | " + " | ".join((*heads, "4x: p95", "of all", "rejected")) + " |")
    print("| --- " * 10 + "|")
    kept = target_module.DRAIN
    for drain in (5.0, 8.0, 10.0, 12.0, 20.0, 40.0):
        target_module.DRAIN = drain
        print(f"| drain in {drain:g} s | " + " | ".join(columns(path, seeds, Ours)) + " |", flush=True)
    target_module.DRAIN = kept
    for seconds in (0.0, 60.0, 120.0, 600.0):
        made = columns(path, seeds, lambda setting, delay=seconds: Ours(setting, down_delay=delay))
        print(f"| delay {seconds:g} s | " + " | ".join(made) + " |", flush=True)
    print("| all at once | " + " | ".join(columns(path, seeds, lambda setting: Oracle(setting, setting.most))) + " |")
    return 0


def columns(path: Path | None, seeds: int, make: Callable[[Setting], Rule]) -> list[str]:
    steps = runs([step(seed) for seed in range(seeds)], Setting(45.0), make)
    cold = runs([steady(seed) for seed in range(seeds)], Setting(20.0, warm=False), make)
    cells = [
        f"{fmean(outcome.wait(0.95) for outcome in steps):.1f}",
        f"{fmean(outcome.rejected for outcome in steps):,.0f}",
        f"{cost_of(steps):,.0f}",
        f"{max(outcome.peak for outcome in cold)}",
    ]
    if path is None:
        return [*cells, *["–"] * 5]
    slow, twice, fast = (runs([trace(path, speed=speed)] * seeds, TRACE, make) for speed in (1.0, 2.0, 4.0))
    return [
        *cells,
        f"{cost_of(slow):,.0f}",
        f"{fmean(outcome.wait(0.95) for outcome in twice):.1f}",
        f"{fmean(outcome.wait(0.95) for outcome in fast):.1f}",
        f"{fmean(outcome.wait_of_all(0.95) for outcome in fast):.1f}",
        f"{fmean(outcome.rejected for outcome in fast):,.0f}",
    ]
