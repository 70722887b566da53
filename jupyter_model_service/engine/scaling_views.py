"""What is shown of autoscaling: the policy as it holds now, and the decisions that were taken."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.scaling.decide import target_of
from ..core.scaling.policy import Rule, Schedule
from ..core.scaling.signals import Bounds, Wish
from .state import Decided, Service


@dataclass(frozen=True)
class AutoscalingView:
    """``bounds`` hold now, ``None`` before the service was looked at; ``aim`` is calls at once per replica; ``last`` is
    the sentence of the last decision, of ``last_at``."""

    min: int
    max: int
    target: bool
    target_concurrency: float | None
    aim: float | None
    idle_after: float
    down_delay: float
    rules: list[Rule]
    schedules: list[Schedule]
    held: bool
    bounds: Bounds | None
    last: str | None
    last_at: float | None


@dataclass(frozen=True)
class DecisionView:
    """``since``: from then on each decision was the same but for its figures, and this one is the last of them."""

    at: float
    since: float
    before: int
    count: int
    changed: bool
    reason: str
    wishes: list[Wish]
    measured: dict[str, float | None]
    bounds: Bounds | None
    bound: str | None


def autoscaling_view(service: Service) -> AutoscalingView | None:
    policy, scaled = service.record.autoscaling, service.scaled
    if policy is None:
        return None
    last = scaled.decisions[-1] if scaled.decisions else None
    aim = target_of(policy, service.active.definition.serving.concurrency) if policy.target else None
    return AutoscalingView(
        min=policy.min,
        max=policy.max,
        target=policy.target,
        target_concurrency=policy.target_concurrency,
        aim=aim,
        idle_after=policy.idle_after,
        down_delay=policy.down_delay,
        rules=list(policy.rules),
        schedules=list(policy.schedules),
        held=policy.held,
        bounds=scaled.bounds,
        last=last.decision.reason if last is not None else None,
        last_at=last.at if last is not None else None,
    )


def decision_view(decided: Decided) -> DecisionView:
    decision = decided.decision
    return DecisionView(
        at=decided.at,
        since=decided.since,
        before=decision.before,
        count=decision.count,
        changed=decision.changed,
        reason=decision.reason,
        wishes=list(decision.wishes),
        measured=dict(decision.measured),
        bounds=decision.bounds,
        bound=decision.bound,
    )
