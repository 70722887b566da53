"""With whom a service is shared, and what a caller may do with it by that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.access import Caller, may_call, role_of
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.core.sharing import NOBODY, Person, Role, Share, Sharing, role_from

BOB = Person("bob", "bob", frozenset({"ds", "ml"}), "then", Role.OPERATOR)


def shared(*shares: Share) -> Sharing:
    sharing = NOBODY
    for share in shares:
        sharing = sharing.with_share(share)
    return sharing


# --- roles -------------------------------------------------------------------------------------------


def test_each_role_may_all_that_those_before_it_may() -> None:
    assert sorted(Role) == [Role.CALLER, Role.VIEWER, Role.OPERATOR, Role.OWNER]
    assert [role_from(role.word) for role in Role] == list(Role)
    with pytest.raises(ValueError, match="'boss' is no role: there are caller, viewer, operator, owner"):
        role_from("boss")


@pytest.mark.parametrize(
    ("shares", "role"),
    [
        ([], None),
        ([Share("user", "bob")], Role.CALLER),
        ([Share("user", "bob", Role.OPERATOR, made="then")], Role.OPERATOR),
        ([Share("user", "bob", Role.OPERATOR, made="before")], None),  # another user, whom the Hub has deleted
        ([Share("user", "Bob")], None),
        ([Share("group", "bob")], None),
        ([Share("user", "ds")], None),
        ([Share("group", "ds")], Role.CALLER),
        ([Share("group", "ds"), Share("group", "ml", Role.VIEWER)], Role.VIEWER),
        ([Share("group", "hr", Role.OPERATOR)], None),
        ([Share("user", "bob"), Share("group", "ds", Role.VIEWER)], Role.VIEWER),
        ([Share("user", "bob", Role.OPERATOR), Share("group", "ds", Role.VIEWER)], Role.OPERATOR),
        ([Share("user", "bob", Role.OPERATOR, made="before"), Share("group", "ds")], Role.CALLER),
    ],
)
def test_the_highest_share_that_is_for_a_person_counts(shares: list[Share], role: Role | None) -> None:
    assert shared(*shares).role(BOB) == role


def test_a_share_with_somebody_who_was_there_is_not_for_one_of_whom_the_hub_says_nothing() -> None:
    assert shared(Share("user", "bob", made="then")).role(replace(BOB, made=None)) is None


def test_a_share_replaces_the_one_before_and_goes_without_a_trace() -> None:
    one = shared(Share("user", "bob"), Share("group", "bob", Role.VIEWER))
    both = one.with_share(Share("user", "bob", Role.OPERATOR))
    assert [(share.kind, share.role) for share in both] == [("user", Role.OPERATOR), ("group", Role.VIEWER)]
    assert both.get("user", "bob") == Share("user", "bob", Role.OPERATOR)
    assert both.get("group", "ds") is None
    left = both.without("user", "bob").without("user", "nobody")
    assert (bool(left), list(left)) == (True, [Share("group", "bob", Role.VIEWER)])
    assert not left.without("group", "bob")
    assert one.get("user", "bob") == Share("user", "bob")  # a value: who has it keeps it


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "whose"),
    [
        ([], None),
        ([Share("user", "bob", limits=Limits(calls_per_day=1)), Share("group", "ds")], ("user", "bob")),
        ([Share("user", "bob", made="before"), Share("group", "ds", limits=Limits(1.0))], ("group", "ds")),
        ([Share("group", "ds", limits=Limits(calls_per_day=5)), Share("group", "ml")], ("group", "ml")),
        (
            [Share("group", "ds", limits=Limits(9.0, 9, 5)), Share("group", "ml", limits=Limits(1.0, 1, 6))],
            ("group", "ml"),
        ),
        ([Share("group", "ds", limits=Limits(2.0, 1)), Share("group", "ml", limits=Limits(1.0, 9))], ("group", "ds")),
        ([Share("group", "hr")], None),
    ],
)
def test_her_own_limits_go_before_those_of_her_groups_and_of_these_the_widest(
    shares: list[Share], whose: tuple[str, str] | None
) -> None:
    found = shared(*shares).share_for(BOB)
    assert (None if found is None else (found.kind, found.name)) == whose


def test_why_somebody_may_is_told_share_by_share() -> None:
    sharing = shared(Share("user", "bob", Role.VIEWER, made="then"), Share("group", "ds"), Share("group", "hr"))
    assert sharing.why(BOB) == (
        "It is shared with bob as viewer.",
        "It is shared as caller with the group ds, which bob is in.",
    )
    assert "another user of the name bob" in sharing.why(replace(BOB, made="later"))[0]
    assert NOBODY.why(BOB) == ()


# --- what a caller may -------------------------------------------------------------------------------

NAMES = ("alice", "bob")
GROUPS = ("ds", "ml")
limits = st.none() | st.builds(Limits, calls_per_day=st.integers(1, 9))
made = st.sampled_from([None, "then", "later"])
roles = st.sampled_from([Role.CALLER, Role.VIEWER, Role.OPERATOR])
some_shares = st.lists(
    st.builds(Share, st.just("user"), st.sampled_from(NAMES), roles, limits, made)
    | st.builds(Share, st.just("group"), st.sampled_from(GROUPS), roles, limits),
    max_size=4,
)
persons = st.builds(
    lambda name, groups, made, most: Person(name, name, frozenset(groups), made, most),
    st.sampled_from(NAMES),
    st.sets(st.sampled_from(GROUPS)),
    made,
    st.sampled_from([Role.CALLER, Role.OPERATOR]),
)
callers = st.none() | st.builds(
    Caller,
    st.sampled_from(NAMES),
    manages=st.frozensets(st.sampled_from(NAMES), max_size=1),
    invokes=st.frozensets(st.sampled_from(["alice/chat", "bob/chat", "alice/other"]), max_size=1),
    manages_all=st.sampled_from([False, False, False, True]),
    person=st.none() | persons,
)


@given(callers, some_shares)
def test_nobody_is_more_than_scopes_and_shares_make_of_her(caller: Caller | None, shares: list[Share]) -> None:
    """Said once more, the long way: an owner manages; all else is at most what one of the shares says, and what the
    token can be worth."""
    role = role_of(caller, "alice", "chat", shared(*shares))
    if caller is None:
        assert role is None
        return
    if role is Role.OWNER:
        assert caller.manages_all or "alice" in caller.manages
        return
    assert not caller.manages_all
    assert "alice" not in caller.manages
    person = caller.person
    latest = {(share.kind, share.name): share for share in shares}.values()
    hers = [
        share.role
        for share in latest
        if person is not None
        if (share.kind == "user" and share.name == person.name and share.made in (None, person.made))
        or (share.kind == "group" and share.name in person.groups)
    ]
    scoped = "alice/chat" in caller.invokes or (person is not None and person.owner == "alice")
    expected = max(
        [*([Role.CALLER] if scoped else []), *(min(each, person.most) for each in hers if person)], default=None
    )
    assert role == expected


@given(callers, some_shares, st.booleans())
def test_who_has_a_role_may_call_and_nobody_else_but_for_what_is_public(
    caller: Caller | None, shares: list[Share], public: bool
) -> None:
    endpoint = Endpoint("alice", "chat", public, Serving(), sharing=shared(*shares))
    assert may_call(caller, endpoint) == (public or role_of(caller, "alice", "chat", endpoint.sharing) is not None)


def test_a_token_that_was_made_for_calling_manages_nothing_of_what_is_shared_or_ones_own() -> None:
    visitor = Caller("bob", person=replace(BOB, most=Role.CALLER), home="bob")
    assert role_of(visitor, "alice", "chat", shared(Share("user", "bob", Role.OPERATOR))) is Role.CALLER
    assert role_of(visitor, "bob", "own", NOBODY) is Role.CALLER
    assert role_of(visitor, "alice", "chat", NOBODY) is None
    assert may_call(visitor, Endpoint("bob", "own", False, Serving()))
    assert not may_call(visitor, Endpoint("alice", "chat", False, Serving()))
