"""``rules`` of ``install()``: what holds for some users and groups instead of what holds for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.policy import PolicyRule
from ..core.policy_limits import LIMITS
from . import given
from .site_config import WrongSetting

__all__ = ["rules_of"]


def rules_of(rules: Iterable[Mapping[str, Any]]) -> tuple[PolicyRule, ...]:
    if isinstance(rules, Mapping | str):
        raise WrongSetting('rules is no list such as [{"groups": ["ds"], "max_gpus_per_user": 4}].')
    return tuple(_rule(f"rules[{place}]", rule) for place, rule in enumerate(rules))


def _rule(where: str, rule: Mapping[str, Any]) -> PolicyRule:
    if not isinstance(rule, Mapping):
        raise WrongSetting(f'{where} is {rule!r}, and must be like {{"groups": ["ds"], "max_gpus_per_user": 4}}.')
    who = {key: given.names_of(f"{where}: {key}", rule[key]) for key in ("users", "groups") if key in rule}
    if not any(who.values()):
        raise WrongSetting(f'{where} is for nobody: say for whom with "users" or "groups".')
    changes: dict[str, Any] = {}
    for name, value in rule.items():
        if name in who:
            continue
        if name not in LIMITS:
            raise WrongSetting(f"{where} has {name!r}, and a rule may have: {', '.join(LIMITS)}, users and groups.")
        if value is None and LIMITS[name].as_a_notebook:
            raise WrongSetting(f"{where}: {name} is None, and a rule needs a value there; leave it out instead.")
        changes[name] = given.limit_of(name, value, f"{where}: ")
    if not changes:
        raise WrongSetting(f"{where} changes nothing.")
    return PolicyRule(changes, who.get("users", ()), who.get("groups", ()))
