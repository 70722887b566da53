"""Which rule of the policy holds for whom, in which order, and that an override gives nobody more."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.effective import (
    Effective,
    Override,
    check_services,
    effective,
    life_told,
    set_here_against,
    token_life,
)
from jupyter_model_service.core.policy import Held, Policy, PolicyRule, Wish, check
from jupyter_model_service.core.policy_limits import LIMITS
from jupyter_model_service.errors import InvalidRequest

USERS, GROUPS = ("alice", "bob"), ("ds", "ops")
counts = st.integers(0, 9)
values: dict[str, st.SearchStrategy[Any]] = {
    "allowed_images": st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
    "max_cpus": st.floats(0.1, 9),
    "max_memory": counts,
    "allow_public": st.booleans(),
    "longest_token": st.none() | st.floats(1, 9),
    "idle_limit": st.none() | st.floats(1, 9),
    "longest_life": st.none() | st.floats(1, 9),
}
changes = st.fixed_dictionaries({}, optional={name: values.get(name, st.none() | counts) for name in LIMITS})
some = st.lists(st.sampled_from(USERS), max_size=2).map(tuple), st.lists(st.sampled_from(GROUPS), max_size=2).map(tuple)
rules = st.lists(st.builds(PolicyRule, changes, *some), max_size=4).map(tuple)
policies = st.builds(
    lambda base, rules: Policy(**base, rules=rules),
    st.fixed_dictionaries({}, optional={**{n: values.get(n, st.none() | counts) for n in LIMITS}}),
    rules,
)
hers = st.lists(st.sampled_from(GROUPS), unique=True)


def gives(name: str, value: Any) -> float:
    return float(value) if name == "allow_public" else math.inf if value is None else float(value)


@given(policies, hers)
def test_her_own_rule_goes_before_those_of_her_groups_and_these_before_what_holds_for_all(
    policy: Policy, groups: list[str]
) -> None:
    """A rule holds as it is written, also where it gives more; of several of a kind that which gives most."""
    found = effective(policy, "alice", groups)
    for name in LIMITS:
        own = [rule.changes[name] for rule in policy.rules if name in rule.changes and "alice" in rule.users]
        of_groups = [
            rule.changes[name] for rule in policy.rules if name in rule.changes and set(rule.groups) & set(groups)
        ]
        value = getattr(found.policy, name)
        deciding = own or of_groups
        if not deciding:
            assert value == getattr(policy, name)
            assert name not in found.set_by
        elif name == "allowed_images":
            assert set(value) == {image for each in deciding for image in each}
        else:
            assert gives(name, value) == max(gives(name, each) for each in deciding)
        if own:
            assert found.set_by[name] == "for alice"
        elif of_groups:
            assert found.set_by[name].startswith("for the group ")


@given(policies, hers, changes)
def test_an_override_only_tightens(policy: Policy, groups: list[str], said: dict[str, Any]) -> None:
    before = effective(policy, "alice", groups)
    after = effective(policy, "alice", groups, Override(said, "carol"))
    for name in LIMITS:
        was, now = getattr(before.policy, name), getattr(after.policy, name)
        if name == "allowed_images":
            assert now == was, "lists of names cannot be compared, so none is taken"
            continue
        assert gives(name, now) <= gives(name, was)
        if name in said and gives(name, said[name]) < gives(name, was):
            assert (now, after.set_by[name]) == (said[name], "by carol for alice")
            assert after.set_here(name)
            assert name not in after.idle
        else:
            assert (now, after.set_by.get(name)) == (was, before.set_by.get(name))
            assert not after.set_here(name)
            assert after.idle.get(name) == ((said[name], "by carol for alice") if name in said else None)


@given(policies, hers)
def test_what_is_no_rule_for_her_changes_nothing(policy: Policy, groups: list[str]) -> None:
    foreign = tuple(
        dataclasses.replace(rule, users=(), groups=tuple(set(rule.groups) - set(groups))) for rule in policy.rules
    )
    found = effective(dataclasses.replace(policy, rules=foreign), "alice", groups)
    assert found == Effective(dataclasses.replace(policy, rules=()), {})


def test_no_value_is_no_most_where_a_notebooks_holds_instead() -> None:
    """Then the gateway and the Hub's process would not agree which of two rules gives more."""
    assert [name for name in LIMITS if LIMITS[name].as_a_notebook] == ["allowed_images", "max_cpus", "max_memory"]
    assert effective(Policy(rules=(PolicyRule({"max_cpus": 4.0}, (), ("ds",)),)), "a", ["ds"]).policy.max_cpus == 4.0


@pytest.mark.parametrize(
    ("override", "who"),
    [(None, "(set for the group ds)."), (Override({"max_gpus_per_user": 1}, "carol"), "(set by carol for alice).")],
    ids=["rule", "override"],
)
def test_whoever_is_over_a_limit_is_told_who_set_it(override: Override | None, who: str) -> None:
    policy = Policy(max_gpus_per_user=1, max_cpus=1, rules=(PolicyRule({"max_gpus_per_user": 2}, (), ("ds",)),))
    found = effective(policy, "alice", ["ds"], override)
    said = check(found.policy, "alice", ["ds"], Wish(gpus=3, cpus=2), Held(), found.set_by)
    assert len(said) == 2
    assert said[0].endswith(who)
    assert said[1].endswith("(set for all users).")


@pytest.mark.parametrize(
    ("override", "wish", "held", "said"),
    [
        (Override({"max_replicas_per_user": 1}, "carol"), Wish(), Held(1), "2 replicas of alice, and 1 is the most"),
        (Override({"max_gpus_per_user": 2}, "carol"), Wish(gpus=1), Held(2, 2), "3 GPUs for the replicas of alice"),
        (Override({"max_replicas_per_user": 2}, "carol"), Wish(), Held(1), None),
        (Override({"max_gpus_per_user": 2}, "carol"), Wish(), Held(9, 2), None),
        (Override({"allow_public": False}, "carol"), Wish(gpus=1), Held(9, 9), None),
        (Override({"max_replicas_per_user": 8}, "carol"), Wish(), Held(9), None),
        (None, Wish(gpus=1), Held(9, 9), None),
    ],
)
def test_a_start_that_the_hubs_process_would_allow_is_refused_by_what_an_override_says_of_sums(
    override: Override | None, wish: Wish, held: Held, said: str | None
) -> None:
    """Of the rules' limits, 3 replicas and 3 GPUs, the Hub's process says what it says by what it counts itself."""
    policy = Policy(max_replicas_per_user=3, max_gpus_per_user=3)
    found = set_here_against(effective(policy, "alice", (), override), "alice", wish, held)
    assert (found is None) if said is None else (said in (found or "") and "(set by carol for alice)" in (found or ""))


def test_one_service_more_is_refused_at_the_limit_with_who_set_it() -> None:
    holds = Effective(Policy(max_services_per_user=2), {"max_services_per_user": "for the group ds"})
    check_services(holds, "alice", 1)
    for there in (2, 3):  # it may have been set when there were more
        with pytest.raises(
            InvalidRequest, match=rf"^alice has {there} services, and 2 are .* \(set for the group ds\)\.$"
        ):
            check_services(holds, "alice", there)
    check_services(Effective(Policy(max_services_per_user=None)), "alice", 10_000)
    with pytest.raises(InvalidRequest, match=r"alice has 100 services, and 100 are the most .*set for all users"):
        check_services(Effective(Policy()), "alice", 100)


@pytest.mark.parametrize(
    ("longest", "asked", "lives", "told"),
    [
        (7, None, 7, "The token was never to expire, and lives 7 days: the longest that a token of alice's services "
                     "may (set for the group ds)."),
        (7, 30, 7, "The token was to live 30 days, and lives 7 days: "),
        (7, 7, 6.99, ""),  # the Hub's clock is another
        (None, None, None, ""),
        (None, None, 1, "The token was never to expire, and expires when the Hub's token_expires_in_max_seconds says."),
    ],
)  # fmt: skip
def test_a_token_that_lives_shorter_than_was_asked_for_is_said_so(
    longest: float | None, asked: float | None, lives: float | None, told: str
) -> None:
    days = [None if each is None else each * 86400.0 for each in (longest, asked, lives)]
    holds = Effective(Policy(longest_token=days[0]), {"longest_token": "for the group ds"})
    said = "".join(life_told(holds, "alice", *days[1:]))
    assert said.startswith(told)
    assert bool(said) is bool(told)


def test_a_token_lives_no_longer_than_its_owner_may_have_it() -> None:
    day = 86400.0
    holds = Effective(Policy(longest_token=30 * day), {"longest_token": "for the group ds"})
    assert token_life(holds, "alice", None) == 30 * day, "who says nothing gets the longest"
    assert token_life(holds, "alice", 30 * day) == 30 * day
    with pytest.raises(InvalidRequest, match=r"^31 days are asked for, .* at most 30 days \(set for the group ds\)\.$"):
        token_life(holds, "alice", 31 * day)
    assert token_life(Effective(Policy()), "alice", None) is None
