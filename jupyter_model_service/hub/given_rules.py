"""``rules`` of ``install()``: what holds for some users and groups instead of what holds for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.policy import AS_A_NOTEBOOK, RULED, PolicyRule
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
        if name not in RULED:
            raise WrongSetting(f"{where} has {name!r}, and a rule may have: {', '.join(RULED)}, users and groups.")
        if value is None and name in AS_A_NOTEBOOK:
            raise WrongSetting(f"{where}: {name} is None, and a rule needs a value there; leave it out instead.")
        changes[name] = _READ[name](f"{where}: {name}", value)
    if not changes:
        raise WrongSetting(f"{where} changes nothing.")
    return PolicyRule(changes, who.get("users", ()), who.get("groups", ()))


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongSetting(f"{what} is {value!r}, and must be True or False.")
    return value


_READ: dict[str, Callable[[str, Any], Any]] = {
    "allowed_images": given.names_of,
    "max_services_per_user": given.count_of,
    "max_replicas_per_user": given.count_of,
    "max_gpus_per_user": given.count_of,
    "max_gpus_per_replica": given.count_of,
    "max_cpus": lambda what, value: given.cpus_of(value, what),
    "max_memory": given.setting_size_of,
    "allow_public": _flag,
    "longest_token": given.time_of,
    "idle_limit": given.time_of,
    "longest_life": given.time_of,
}
