"""What is said of who may do what is what is decided of her."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.access import Caller, at_our_pages, cap, denied, role_of
from jupyter_model_service.core.access_words import always_told, explained
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.message import RequestHead
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.core.sharing import NOBODY, Person, Role, Share, Sharing

ONE = Limits(calls_per_day=1)
HEAD = RequestHead(b"GET", 11, b"/")

made = st.sampled_from([None, "then", "later"])
roles = st.sampled_from([Role.CALLER, Role.VIEWER, Role.OPERATOR])
limits = st.none() | st.builds(Limits, calls_per_day=st.integers(1, 9))
users = st.dictionaries(st.sampled_from(["bob", "eve"]), st.tuples(roles, limits, made)).map(
    lambda found: {name: Share("user", name, *rest) for name, rest in found.items()}
)
groups = st.dictionaries(st.sampled_from(["ds", "ml"]), st.tuples(roles, limits)).map(
    lambda found: {name: Share("group", name, *rest) for name, rest in found.items()}
)
sharings = st.builds(Sharing, users, groups)


@given(st.sampled_from(["alice", "bob", "eve"]), made, sharings, st.booleans())
def test_what_is_said_of_somebody_is_what_she_may(user: str, made: str | None, sharing: Sharing, public: bool) -> None:
    """By her own name, and in all of the groups; her calls are let in where she is said to be somebody."""
    said = explained(user, made, "alice", "chat", sharing, public=public)
    endpoint = Endpoint("alice", "chat", public, Serving(), sharing=sharing)
    person = Person(user, user, made=made)
    alone = at_our_pages(person)
    in_all = at_our_pages(replace(person, groups=frozenset(sharing.groups)))
    decided, at_most = (role_of(each, "alice", "chat", sharing) for each in (alone, in_all))
    assert said.role == (decided or (Role.CALLER if public else None))
    assert max(said.role or 0, said.perhaps or 0) == max(at_most or 0, said.role or 0)
    assert said.perhaps is None or said.perhaps > (said.role or 0)
    assert (denied(alone, endpoint, False, HEAD, b"/") is None) == (said.role is not None)
    assert (denied(in_all, endpoint, False, HEAD, b"/") is None) == (said.role is not None or said.perhaps is not None)
    assert said.why
    if any("do not hold" in each for each in said.why):
        share = sharing.users[user]
        limited = cap(Caller(user, person=replace(person, groups=frozenset(sharing.groups))), endpoint)
        assert (None if limited is None else limited[1]) == share.limits, "no group limits her"


@pytest.mark.parametrize(
    ("user", "sharing", "public", "role", "perhaps", "why"),
    [
        ("alice", NOBODY, False, Role.OWNER, None, ("alice owns alice/chat.",)),
        ("bob", NOBODY, False, None, None, ("Nothing of it is shared with bob.",)),
        ("bob", NOBODY, True, Role.CALLER, None, ("It is public: anybody may call it.",)),
        (
            "bob",
            Sharing({"bob": Share("user", "bob", Role.VIEWER)}, {"ds": Share("group", "ds", Role.OPERATOR, ONE)}),
            False,
            Role.VIEWER,
            Role.OPERATOR,
            (
                "It is shared with bob as viewer.",
                "It is shared as operator, each with at most 1 call a day, with the group ds: so it is if bob is in it.",
                "What is shared with bob by name goes before, with no limits: limits of groups do not hold for bob.",
            ),
        ),
        (
            "bob",
            Sharing({"bob": Share("user", "bob", made="before")}, {"ds": Share("group", "ds", limits=ONE)}),
            False,
            None,
            Role.CALLER,
            (
                "It was shared with another user of the name bob, who was deleted: take that back, and share it again "
                "if it is for this one.",
                "It is shared as caller, each with at most 1 call a day, with the group ds: so it is if bob is in it.",
            ),
        ),
    ],
)
def test_why_is_told_share_by_share(
    user: str, sharing: Sharing, public: bool, role: Role | None, perhaps: Role | None, why: tuple[str, ...]
) -> None:
    found = explained(user, "then", "alice", "chat", sharing, public=public)
    assert (found.role, found.perhaps, found.why) == (role, perhaps, why)


def test_who_always_may_is_told_where_there_is_such_a_one() -> None:
    said = always_told("alice", "chat", people=True, tokens=True, public=True)
    owner, public, administrators, tokens, scopes = said
    assert owner == "alice owns alice/chat and may do everything with it."
    assert public == "It is public: anybody may call it."
    assert always_told("alice", "chat", people=False, tokens=False, public=False) == (owner,)
    assert always_told("alice", "chat", people=False, tokens=True, public=False) == (owner, tokens)
    assert always_told("alice", "chat", people=True, tokens=False, public=False) == (owner, administrators, scopes)
