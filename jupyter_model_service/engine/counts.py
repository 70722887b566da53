"""How many replicas a command leaves an autoscaled service with: never a number that its policy does not allow now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..core.definition import Definition
from ..core.revision import Revision
from ..core.scaling import schedules
from ..core.scaling.policy import Autoscaling
from ..core.sentences import counted
from ..ports import ServiceRecord
from .state import Service


def settled(policy: Autoscaling | None, replicas: int, now: float) -> tuple[int, str]:
    """``replicas`` within what ``policy`` allows ``now`` (Unix time), and in one clause what changed it."""
    if policy is None or policy.held:
        return replicas, ""
    bounds = schedules.bounds(policy, now)
    if replicas < bounds.min:
        return bounds.min, f"{bounds.why_min} is {bounds.min}"
    if replicas > bounds.max:
        return bounds.max, f"{bounds.why_max} is {bounds.max}"
    return replicas, ""


def first(definition: Definition, replicas: int, now: float) -> tuple[int, str]:
    """Of a new service that is to have ``replicas``; with a clause to add to a sentence."""
    count, why = settled(definition.serving.autoscaling, replicas, now)
    return count, f", not {replicas}: {why}" if why else ""


def at_start(record: ServiceRecord, now: float) -> int:
    """When its owner starts it. One that was stopped begins with the fewest, nobody knows what calls will come; one
    that runs, be it without a replica, has at least one."""
    policy = record.autoscaling
    if policy is None or policy.held:
        return record.replicas
    return settled(policy, max(1, record.replicas) if record.running else 1, now)[0]


def held(policy: Autoscaling | None) -> Autoscaling | None:
    """After a scale by hand."""
    return None if policy is None else replace(policy, held=True)


@dataclass(frozen=True)
class Activation:
    """What another active revision changes: ``fields`` of the record, and a clause to add to a sentence."""

    fields: Callable[[ServiceRecord], dict[str, Any]]
    said: str = ""
    notices: tuple[str, ...] = ()


def _lost(own: Autoscaling | None, former: Autoscaling | None, policy: Autoscaling | None) -> str:
    """What had been set by command and is not in the block that takes its place, as a clause."""
    if own is None or replace(own, held=False) == former:
        return ""
    kept = policy or Autoscaling()
    parts = [
        f"{name[:-1]} {each.id}"
        for name, entries, there in (
            ("rules", own.rules, kept.rules),
            ("schedules", own.schedules, kept.schedules),
        )
        for each in entries
        if each not in there
    ]
    return "; what had been set by command is gone" + (f", with {', '.join(parts)}" if parts else "")


def activation(service: Service, revision: Revision, now: float) -> Activation:
    """A block of its definition that differs from the former revision's replaces the policy; else the service's own
    stays. A count that was set by hand is held as before. Where there was no room for all that were wanted, the
    roll-out is of those that have a place: it would have to be taken back for want of room otherwise."""
    former = service.active.definition.serving.autoscaling
    policy = revision.definition.serving.autoscaling
    record = service.record
    if policy != former:
        own = record.autoscaling
        if policy is not None and own is not None and own.held:
            policy = replace(policy, held=True)
        count, why = settled(policy, record.replicas, now)
        said = "; autoscaled no more" if policy is None else "; autoscaled as its definition says"
        if policy is not None and policy.held:
            said += f", held at {counted(count, 'replica')} as scaled by hand"
        elif why:
            said += f", scaled to {counted(count, 'replica')}: {why}"
        lost = _lost(own, former, policy)
        return Activation(
            lambda r: {"autoscaling": policy, "replicas": settled(policy, r.replicas, now)[0]},
            said,
            (f"The definition's block serving.autoscaling is another than before{said}{lost}.",),
        )
    placed = sum(r.live() and r.record.placement is not None for r in service.replicas.values())
    autoscaled = record.autoscaling is not None and not record.autoscaling.held
    if autoscaled and service.retry(record.active).refusals and 0 < placed < record.replicas:
        said = f"; scaled from {record.replicas} to {placed}, for which there is room"
        return Activation(lambda r: {"replicas": min(placed, r.replicas)}, said)
    return Activation(lambda r: {})
