"""Rules that have fired and rest, over a restart of the gateway: each of them would add its step again otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.scaling.decide import Memory
from ..core.scaling.rules import rested
from ..core.scaling.signals import Decision
from ..ports import EventRecord
from .state import Service


def fired(service: Service, decision: Decision) -> list[str]:
    """The ids of the rules by which it came to ``decision``; they stand in its event."""
    memory = service.scaled.memory
    return [] if memory is None else [id for id, state in memory.rules.items() if state.fired_at == decision.at]


def remember(service: Service, events: Sequence[EventRecord], unix_now: float, now: float) -> None:
    """From its last ``events``. A rule of the same id that looks at another metric by now is another rule."""
    policy = service.record.autoscaling
    if policy is None or not policy.rules:
        return
    memory = service.scaled.memory or Memory.fresh(now, service.record.replicas)
    rules = dict(memory.rules)
    for event in events:
        age = max(0.0, unix_now - event.at)
        for rule in policy.rules:
            looked = f"rule {rule.id}: {rule.metric}" in event.details.get("measured", ())
            if age < rule.cooldown and looked and rule.id in event.details.get("fired", ()):
                rules[rule.id] = rested(rule, rules.get(rule.id), now - age, event.details["replicas"])
    service.scaled.memory = replace(memory, rules=rules)
