"""How many replicas there shall be. Pure: the same policy, sample, memory and time give the same decision.

1. Each source says what it wants: the calls themselves (``target.py``), each rule (``rules.py``), a call that waits at
   zero, and idleness.
2. The largest wanted count wins. Where nobody wants anything the count stays.
3. It rises at once, but not while replicas crash: more of them would crash, too. It falls to the largest count that
   the calls wanted within ``down_delay`` and by half at most, and not at all in a panic, while a signal is unknown, or
   before a whole window has been seen (the gateway may have been restarted in the middle of a burst).
4. Bounds clamp the result (they never skip it), then the limit does.

An owner who scales by hand holds the count; what would be done is said all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .policy import Autoscaling
from .rules import Opinion, RuleState, after, judge
from .signals import Bounds, Decision, Limit, Sample, Wish
from .target import STABLE, Figures, TargetState, Wanted, observe, raise_at, wanted
from .windows import STALE_AFTER

__all__ = ["DEFAULT_CONCURRENCY", "UTILISATION", "Memory", "decide", "target_of"]

UTILISATION = 0.7  # of the calls at once that a replica can have
DEFAULT_CONCURRENCY = 8


@dataclass(slots=True)
class Memory:
    """What the decision keeps between two ticks; opaque, a value as those of ``signals``. Times: monotonic seconds;
    ``ended_at`` is when a call was last seen to have been answered."""

    started: float
    busy_at: float
    target: TargetState = field(default_factory=TargetState)
    rules: Mapping[str, RuleState] = field(default_factory=dict)
    ended_at: float = -math.inf

    @classmethod
    def fresh(cls, now: float, count: int) -> Memory:
        """Nothing is known of what was before, except that ``count`` were wanted until now."""
        return cls(now, now, TargetState(maxima=((now, count),)))


def target_of(policy: Autoscaling, serving_concurrency: int | None) -> float:
    """Calls at once per replica that is aimed at; ``serving_concurrency`` is the definition's."""
    if policy.target_concurrency is not None:
        return policy.target_concurrency
    return UTILISATION * (serving_concurrency or DEFAULT_CONCURRENCY)


def decide(
    policy: Autoscaling,
    target: float,
    sample: Sample,
    memory: Memory,
    now: float,
    *,
    current: int,
    bounds: Bounds,
    limit: Limit,
    concurrency: int | None = None,
) -> tuple[Decision, Memory]:
    """The decision and what to remember. ``target`` is :func:`target_of`'s, ``current`` how many there are to be,
    ``concurrency`` the definition's: how many calls a replica can have at once."""
    stale = now - sample.at > STALE_AFTER
    state, figures = observe(memory.target, sample)
    busy_at = _busy_at(memory, sample)
    idle_for = now - busy_at
    idle = bounds.min == 0 and idle_for >= policy.idle_after
    ended_at = _ended_at(memory, sample)
    waits = bool(sample.in_flight or sample.queued or _came(memory, sample))
    measured = _measured(sample, figures)

    opinions: list[Opinion] = []
    judged: list[Opinion] = []
    panic = False
    if policy.target:
        if stale or figures.demand is None:
            why = "its figures are old" if stale else "the calls are not known yet"
            opinions.append(Opinion(Wish("target", None, why), unknown=True))
        else:
            state, said = wanted(state, figures, sample, target, policy.down_delay, concurrency)
            panic = said.panic
            _target(policy, target, sample, figures, said, current, idle_for if idle else None, opinions)
    rules: dict[str, RuleState] = {}
    for rule in policy.rules:
        before = memory.rules.get(rule.id)
        rules[rule.id], opinion, mean = judge(rule, before, sample, current, ended_at)
        measured[f"rule {rule.id}: {rule.metric}"] = mean
        judged.append(opinion)
    opinions += judged
    if current == 0 and waits:
        opinions.append(Opinion(Wish("call", 1, "a call waits"), wants=1))
    if idle and current > 0:
        opinions.append(Opinion(Wish("idle", 0, f"no call for {idle_for:.0f} s"), wants=0))

    raw, leader = _largest(opinions, current)
    count, bound = raw, None
    if raw > current:
        count, bound = _raised(raw, current, sample)
    elif raw < current:
        count, bound = _lowered(raw, current, opinions, panic, stale, now - memory.started)
    if policy.held:
        count, bound = current, "it is held where it was scaled to by hand"
    else:
        count, bound = _clamped(count, bound, bounds, limit)
    for rule, opinion in zip(policy.rules, judged, strict=True):
        rules[rule.id] = after(rules[rule.id], opinion, sample, current, count)
    state = raise_at(state, sample.at, current, count)
    decision = Decision(
        now,
        current,
        count,
        _reason(current, count, raw, leader, bound, opinions),
        tuple([opinion.wish for opinion in opinions]),
        measured,
        bounds,
        bound,
    )
    return decision, Memory(memory.started, busy_at, state, rules, ended_at)


def _came(memory: Memory, sample: Sample) -> bool:
    marks = memory.target.marks
    return bool(marks) and sample.arrived > marks[-1].arrived


def _busy_at(memory: Memory, sample: Sample) -> float:
    """When there last was a call, or a replica that was loading: it is not idle, it has not had its chance yet."""
    if sample.in_flight or sample.queued or sample.starting or _came(memory, sample):
        return sample.at
    return max(memory.busy_at, sample.last_call or memory.busy_at)


def _ended_at(memory: Memory, sample: Sample) -> float:
    marks = memory.target.marks
    return sample.at if marks and sample.finished > marks[-1].finished else memory.ended_at


def _measured(sample: Sample, figures: Figures) -> dict[str, float | None]:
    return {
        "demand": figures.demand,
        "demand_6s": figures.short_demand,
        "calls_per_second": figures.rate,
        "concurrency": figures.concurrency,
        "service_time": figures.service_time,
        "in_flight": sample.in_flight,
        "queued": sample.queued,
        "ready": sample.ready,
        "starting": sample.starting,
    }


def _target(
    policy: Autoscaling,
    target: float,
    sample: Sample,
    figures: Figures,
    said: Wanted,
    current: int,
    idle_for: float | None,
    opinions: list[Opinion],
) -> None:
    """What the calls say. ``idle_for``: seconds without any, if that is long enough for none to be needed."""
    count, most = said.replicas, said.most
    why = f"{figures.short_demand if said.panic else figures.demand:.1f} calls at once, {target:g} per replica"
    if sample.queued:
        why += f", {sample.queued} wait"
    if idle_for is not None:
        count, most, why = 0, 0, f"no call for {idle_for:.0f} s"
    elif not count and current:
        count, why = 1, _one(sample)
    elif said.now > count:
        why += f"; {figures.short_demand:.1f} in the last 6 s, {said.panics_at:.1f} for 6 s are a panic"
    opinions.append(Opinion(Wish("panic" if said.panic else "target", count, why), wants=count))
    if count >= current or idle_for is not None:
        return
    if said.now > max(count, most):
        least = min(said.now, current)
        why = f"{figures.short_demand:.1f} calls at once in the last 6 s need {said.now}"
        why += f", {said.panics_at:.1f} for 6 s are a panic"
        opinions.append(Opinion(Wish("burst", least, why), keeps=least))
    elif most > count:
        most = min(most, current)
        opinions.append(Opinion(Wish("delay", most, f"{most} were wanted within {policy.down_delay:g} s"), keeps=most))


def _one(sample: Sample) -> str:
    """Why there is to be one although the calls of the last minute need none."""
    if sample.queued:
        return "a call waits" if sample.queued == 1 else f"{sample.queued} calls wait"
    if sample.in_flight:
        return "a call is worked on" if sample.in_flight == 1 else f"{sample.in_flight} calls are worked on"
    return "no calls, but it is not idle yet" if sample.ready else "no calls, but it is not ready yet"


def _largest(opinions: list[Opinion], current: int) -> tuple[int, Opinion | None]:
    """The largest wish, and whose it is: ``None`` if nobody has one, so that the count stays."""
    leader: Opinion | None = None
    best = -1
    for opinion in opinions:
        if opinion.wants is not None and (opinion.wants > best or opinion.wants == best == 0):
            best, leader = opinion.wants, opinion
    if leader is None:
        return current, None
    if leader.wish.source == "idle":  # what is kept is kept for calls
        return best, leader
    for opinion in opinions:
        if opinion.keeps is not None and opinion.keeps > best:
            best, leader = opinion.keeps, opinion
    return best, leader


def _raised(raw: int, current: int, sample: Sample) -> tuple[int, str | None]:
    if sample.failing and current > 0:
        return current, "replicas fail to start: more would fail, too"
    if sample.failing:
        return 1, "replicas fail to start: one is tried"
    return raw, None


def _lowered(
    raw: int, current: int, opinions: list[Opinion], panic: bool, stale: bool, seen: float
) -> tuple[int, str | None]:
    if panic:
        return current, "none is taken away within 60 s of far too many calls, or while replicas start for them"
    if stale:
        return current, "the figures are old"
    if seen < STABLE:
        return current, f"nothing is taken away before {STABLE:g} s have been seen"
    for opinion in opinions:
        if opinion.unknown:
            return current, opinion.wish.why
    half = current // 2 if current == 1 else (current + 1) // 2
    if raw < half:
        return half, "at most half are taken away at once"
    return raw, None


def _clamped(count: int, bound: str | None, bounds: Bounds, limit: Limit) -> tuple[int, str | None]:
    if count < bounds.min:
        count, bound = bounds.min, f"{bounds.why_min} is {bounds.min}"
    elif count > bounds.max:
        count, bound = bounds.max, f"{bounds.why_max} is {bounds.max}"
    if count > limit.count:
        count, bound = limit.count, limit.why or f"there is room for {limit.count}"
    return count, bound


def _reason(
    current: int, count: int, raw: int, leader: Opinion | None, bound: str | None, opinions: list[Opinion]
) -> str:
    change = f"stays at {current}" if count == current else f"from {current} to {count}"
    if leader is None:
        said = "; ".join([f"{opinion.wish.source}: {opinion.wish.why}" for opinion in opinions])
        why = f"nothing asks for another count ({said})" if said else "there is neither a target nor a rule"
    else:
        why = f"{leader.wish.source} wants {raw} ({leader.wish.why})"
    return f"{change}: {why}, but {bound}" if bound is not None else f"{change}: {why}"
