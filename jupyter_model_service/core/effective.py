"""What of the policy holds for one user, and who set it.

In this order: what holds for everybody; in its place what a rule for a group of hers says, of several the widest; in
its place what a rule for her alone says; at last what an administrator said for her while the gateway ran. Rules hold
as they are written and may give more than everybody has. Such an override only takes away: the Hub's process, which
checks each start again, knows the rules and not the override. How many replicas an owner is to have the gateway alone
decides, so that it alone holds an override: it would have to be believed about it by the Hub's process, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidRequest
from .policy import Held, Policy, PolicyRule, Wish, check, whose
from .policy_limits import LIMITS
from .sentences import counted, lasting

__all__ = [
    "Effective",
    "Override",
    "check_services",
    "effective",
    "life_told",
    "set_here_against",
    "token_life",
    "who_says",
]


@dataclass(frozen=True)
class Override:
    """``changes`` are values of ``policy_limits.LIMITS``; ``by`` is the administrator's name."""

    changes: Mapping[str, Any]
    by: str


@dataclass(frozen=True)
class Effective:
    """``set_by`` has the fields that somebody set for her: "for the group ds", "for alice", "by carol for alice".
    ``idle`` has what an override says and takes nothing away: the value, and "by carol for alice"."""

    policy: Policy
    set_by: Mapping[str, str] = field(default_factory=dict)
    idle: Mapping[str, tuple[Any, str]] = field(default_factory=dict)

    def set_here(self, name: str) -> bool:
        """Whether an override says so, which nobody but the gateway knows."""
        return self.set_by.get(name, "").startswith("by ")


def effective(policy: Policy, user: str, groups: Collection[str], override: Override | None = None) -> Effective:
    """What holds for ``user``, who is in ``groups``. The policy in it has no rules any more."""
    changes: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for name in LIMITS:
        found = [*_of_user(policy.rules, name, user)] or [*_of_groups(policy.rules, name, groups)]
        if found:
            changes[name], set_by[name] = _widest(name, found)
    idle: dict[str, tuple[Any, str]] = {}
    for name, value in (override.changes if override is not None else {}).items():
        assert override is not None
        by = f"by {override.by} for {user}"
        if name in LIMITS and tighter(name, value, changes.get(name, getattr(policy, name))):
            changes[name], set_by[name] = value, by
        elif name in LIMITS:
            idle[name] = value, by
    return Effective(dataclasses.replace(policy, **changes, rules=()), set_by, idle)


def set_here_against(holds: Effective, user: str, wish: Wish, held: Held) -> str | None:
    """Why ``wish`` is too much beside ``held``, in one or two sentences, by what an override says of sums: the Hub's
    process, which counts the others, knows nothing of it. ``None``: it is not."""
    here = Policy(
        max_replicas_per_user=holds.policy.max_replicas_per_user if holds.set_here("max_replicas_per_user") else None,
        max_gpus_per_user=holds.policy.max_gpus_per_user if holds.set_here("max_gpus_per_user") else None,
    )
    return " ".join(check(here, user, (), wish, held, holds.set_by)) or None


def tighter(name: str, value: Any, than: Any) -> bool:
    """Whether ``value`` gives less of the field ``name``. Lists of images cannot be told apart so."""
    kind = LIMITS[name].kind
    if kind == "flag":
        return bool(than) and not value
    return kind != "patterns" and _size(value) < _size(than)


def token_life(holds: Effective, owner: str, asked: float | None) -> float | None:
    """Seconds that a new token of the owner's services lives: the longest that she may where she asks for none.
    ``InvalidRequest`` for more."""
    longest = holds.policy.longest_token
    if longest is None:
        return asked
    if asked is not None and asked > longest:
        raise InvalidRequest(
            f"{lasting(asked)} are asked for, and a token of {owner}'s services lives for at most {lasting(longest)} "
            f"({whose(holds.set_by, 'longest_token')})."
        )
    return longest if asked is None else asked


def life_told(holds: Effective, owner: str, asked: float | None, lives: float | None) -> list[str]:
    """What to say of a new token that lives so many seconds where ``asked`` were asked for; ``None``: for ever. A Hub
    whose clock goes wrong by seconds is no reason to say something: 86,390 s are a day."""
    if lives is None or (asked is not None and lives > 0.9 * asked):
        return []
    was = "never to expire" if asked is None else f"to live {lasting(round(asked))}"
    longest = holds.policy.longest_token
    if longest is None:
        return [f"The token was {was}, and expires when the Hub's token_expires_in_max_seconds says."]
    return [
        f"The token was {was}, and lives {lasting(longest)}: the longest that a token of {owner}'s services may "
        f"({whose(holds.set_by, 'longest_token')})."
    ]


def who_says(holds: Effective, name: str, user: str) -> str:
    """Who set the field ``name`` for ``user``, as the subject of a sentence."""
    set_by = holds.set_by.get(name)
    if set_by is None:
        return "the administrator"
    if holds.set_here(name):
        return f"the administrator {set_by.removeprefix('by ').removesuffix(f' for {user}')}, for {user}"
    return f"the administrator, {set_by}"


def check_services(holds: Effective, user: str, there: int) -> None:
    """Before one more is made beside those that are ``there``. ``InvalidRequest`` where that is beyond the limit."""
    most = holds.policy.max_services_per_user
    if most is not None and there >= most:
        raise InvalidRequest(
            f"{user} has {counted(there, 'service')}, and {most} {'is' if most == 1 else 'are'} the most that one user "
            f"may have, with those that are stopped ({whose(holds.set_by, 'max_services_per_user')})."
        )


def _of_user(rules: Sequence[PolicyRule], name: str, user: str) -> Iterator[tuple[Any, str]]:
    for rule in rules:
        if name in rule.changes and user in rule.users:
            yield rule.changes[name], f"for {user}"


def _of_groups(rules: Sequence[PolicyRule], name: str, groups: Collection[str]) -> Iterator[tuple[Any, str]]:
    for rule in rules:
        if name in rule.changes:
            for group in rule.groups:
                if group in groups:
                    yield rule.changes[name], f"for the group {group}"


def _widest(name: str, found: Sequence[tuple[Any, str]]) -> tuple[Any, str]:
    """Of images what any of them allows; else the first of those that give most."""
    kind = LIMITS[name].kind
    if kind == "patterns":
        images = dict.fromkeys(image for allowed, _ in found for image in allowed or ())
        return tuple(images), " and ".join(dict.fromkeys(by for _, by in found))
    return max(found, key=lambda each: each[0] if kind == "flag" else _size(each[0]))


def _size(value: Any) -> float:
    return math.inf if value is None else float(value)
