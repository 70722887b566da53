"""Whether a call is let in, and may go on: one decision of who calls, whether the service is public, with whom it is
shared, whether she came by its pages, and what her token is for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.access import Caller, cap, denied, may_call, may_visit, role_of
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.message import RequestHead
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.core.sharing import NOBODY, Person, Role, Share, Sharing

ALICE, BOB = Person("alice", "alice"), Person("bob", "bob", frozenset({"ds"}), "then")
CAROL = Person("carol", "carol", admin=True)
ONE = Limits(calls_per_day=1)

WHO = {
    "nobody": None,
    "a token of the endpoint": Caller("token:ci", invokes=frozenset({"alice/chat"})),
    "a token of another endpoint of alice's": Caller("token:ci", invokes=frozenset({"alice/other"})),
    "a token of bob's endpoint of that name": Caller("token:ci", invokes=frozenset({"bob/chat"})),
    "a token for all of alice's": Caller("dave", invokes_of=frozenset({"alice"})),
    "a token for everything": Caller("dave", invokes_all=True),
    "alice": Caller("alice", manages=frozenset({"alice"}), person=ALICE),
    "alice, with a token for calling": Caller("alice", person=ALICE),
    "bob": Caller("bob", manages=frozenset({"bob"}), person=BOB),
    "whose calls are bob's, and no more": Caller("bob", counted_as=BOB),
    "who runs the place": Caller("root", manages_all=True),
    "carol, signed in, an administrator of the Hub": Caller("carol", manages=frozenset({"carol"}), person=CAROL),
    "who reads the audit log": Caller("eve", audits=True),
}
SHARES = {
    "nobody": NOBODY,
    "bob": Sharing({"bob": Share("user", "bob", made="then")}),
    "a bob who is not there yet": Sharing({"bob": Share("user", "bob")}),
    "a former bob": Sharing({"bob": Share("user", "bob", made="before")}),
    "his group": Sharing({}, {"ds": Share("group", "ds", Role.VIEWER)}),
    "a group named bob": Sharing({}, {"bob": Share("group", "bob")}),
}
RULES = {"all": (), "this path": (PathRule("/v1/*", ("POST",)),), "another path": (PathRule("/v2/*"),)}
#: Everything that lets somebody in to alice's private service.
ALWAYS = {
    "a token of the endpoint",
    "a token for all of alice's",
    "a token for everything",
    "alice",
    "alice, with a token for calling",
    "who runs the place",
}
BY_SHARE = {("bob", "bob"), ("bob", "a bob who is not there yet"), ("bob", "his group")}
BY_VISIT = {"carol, signed in, an administrator of the Hub"}

HEAD, TARGET = RequestHead(b"POST", 11, b"/endpoints/alice/chat/v1/ask?x"), b"/v1/ask?x"


def chat(sharing: Sharing = NOBODY, *, public: bool = False) -> Endpoint:
    return Endpoint("alice", "chat", public, Serving(), sharing=sharing)


@pytest.mark.parametrize("who", WHO)
def test_a_call_is_let_in_by_what_the_table_says_and_by_nothing_else(who: str) -> None:
    for public, shared, visiting, rules in itertools.product((False, True), SHARES, (False, True), RULES):
        known = WHO[who]
        caller = None if known is None else replace(known, rules=RULES[rules])
        right = who in ALWAYS or (who, shared) in BY_SHARE or (visiting and who in BY_VISIT)
        wanted: str | None = None
        if not public:
            if caller is None:
                wanted = "unauthenticated"
            elif not right:
                wanted = "not_found"
            elif rules == "another path":
                wanted = "path_not_allowed"
        endpoint = chat(SHARES[shared], public=public)
        assert denied(caller, endpoint, visiting, HEAD, TARGET) == wanted, (public, shared, visiting, rules)


@pytest.mark.parametrize("who", WHO)
def test_where_there_is_no_service_it_looks_as_where_she_may_not_call_it(who: str) -> None:
    for visiting, rules in itertools.product((False, True), RULES):
        known = WHO[who]
        caller = None if known is None else replace(known, rules=RULES[rules])
        assert denied(caller, None, visiting, HEAD, TARGET) == ("unauthenticated" if known is None else "not_found")


def test_her_rules_are_about_the_method_and_the_headers_as_well() -> None:
    caller = replace(WHO["a token of the endpoint"] or Caller(""), rules=RULES["this path"])
    assert denied(caller, chat(), False, HEAD, TARGET) is None
    assert denied(caller, chat(), False, RequestHead(b"GET", 11, TARGET), TARGET) == "path_not_allowed"
    turned = RequestHead(b"POST", 11, TARGET, headers=[(b"X-HTTP-Method-Override", b"DELETE")])
    assert denied(caller, chat(), False, turned, TARGET) == "path_not_allowed"


# --- whatever there is --------------------------------------------------------------------------------

NAMES, GROUPS = ("alice", "bob"), ("ds", "ml")
made = st.sampled_from([None, "then", "later"])
persons = st.builds(
    lambda name, groups, made, admin: Person(name, name, frozenset(groups), made, admin=admin),
    st.sampled_from(NAMES),
    st.sets(st.sampled_from(GROUPS)),
    made,
    st.booleans(),
)
callers = st.builds(
    Caller,
    st.sampled_from(NAMES),
    manages=st.frozensets(st.sampled_from(NAMES), max_size=1),
    invokes=st.frozensets(st.sampled_from(["alice/chat", "bob/chat", "alice/other"]), max_size=1),
    invokes_of=st.frozensets(st.sampled_from(NAMES), max_size=1),
    invokes_all=st.sampled_from([False, False, False, True]),
    manages_all=st.sampled_from([False, False, False, True]),
    person=st.none() | persons,
    counted_as=st.none() | persons,
    rules=st.sampled_from(list(RULES.values())),
)
limits = st.none() | st.builds(Limits, calls_per_day=st.integers(1, 9))
sharings = st.lists(
    st.builds(Share, st.just("user"), st.sampled_from(NAMES), limits=limits, made=made)
    | st.builds(Share, st.just("group"), st.sampled_from(GROUPS), limits=limits),
    max_size=4,
).map(
    lambda shares: Sharing(
        {s.name: s for s in shares if s.kind == "user"}, {s.name: s for s in shares if s.kind == "group"}
    )
)
endpoints = st.builds(
    lambda owner, name, public, sharing: Endpoint(owner, name, public, Serving(), sharing=sharing),
    st.sampled_from(NAMES),
    st.sampled_from(["chat", "other"]),
    st.booleans(),
    sharings,
)


@given(callers, endpoints, st.booleans())
def test_who_has_a_role_is_let_in_and_nobody_else_but_an_administrator_who_visits(
    caller: Caller, endpoint: Endpoint, visiting: bool
) -> None:
    """Endpoints, lists of models and the control API know whoever it is, or none of them does."""
    why = denied(caller, endpoint, visiting, HEAD, TARGET)
    role = role_of(caller, endpoint.owner, endpoint.name, endpoint.sharing)
    assert may_call(caller, endpoint) == (endpoint.public or role is not None)
    comes_in = role is not None or (visiting and caller.person is not None and caller.person.admin)
    assert may_visit(caller, endpoint) == (role is not None or (caller.person is not None and caller.person.admin))
    assert (why != "not_found") == (endpoint.public or comes_in)
    assert why != "unauthenticated"


@given(callers, endpoints, st.booleans())
def test_what_a_token_is_for_only_takes_away_and_a_visit_only_gives(
    caller: Caller, endpoint: Endpoint, visiting: bool
) -> None:
    why = denied(caller, endpoint, visiting, HEAD, TARGET)
    unbounded = denied(replace(caller, rules=()), endpoint, visiting, HEAD, TARGET)
    assert unbounded in (None, "not_found")
    assert why is not None or unbounded is None
    assert (why == "path_not_allowed") == (
        unbounded is None and caller.rules == RULES["another path"] and not endpoint.public
    )
    if not visiting and why is None:
        assert denied(caller, endpoint, True, HEAD, TARGET) is None


# --- whose calls a share limits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "sharing", "limited"),
    [
        (WHO["bob"], SHARES["bob"], False),
        (WHO["bob"], Sharing({"bob": Share("user", "bob", limits=ONE, made="before")}), False),
        (WHO["bob"], Sharing({"bob": Share("user", "bob", limits=ONE, made="then")}), True),
        (WHO["bob"], Sharing({}, {"ds": Share("group", "ds", limits=ONE)}), True),
        (WHO["bob"], Sharing({"bob": Share("user", "bob")}, {"ds": Share("group", "ds", limits=ONE)}), False),
        (WHO["whose calls are bob's, and no more"], Sharing({}, {"ds": Share("group", "ds", limits=ONE)}), True),
        (WHO["a token of the endpoint"], Sharing({"token:ci": Share("user", "token:ci", limits=ONE)}), False),
        (WHO["alice"], Sharing({"alice": Share("user", "alice", limits=ONE)}), False),
        (WHO["alice, with a token for calling"], Sharing({"alice": Share("user", "alice", limits=ONE)}), False),
        (Caller("bob", manages_all=True, person=BOB), Sharing({"bob": Share("user", "bob", limits=ONE)}), False),
        (Caller("bob", invokes_all=True, counted_as=BOB), Sharing({"bob": Share("user", "bob", limits=ONE)}), True),
    ],
)
def test_a_share_limits_whoever_it_lets_in_with_whatever_token_and_no_owner_or_administrator(
    caller: Caller, sharing: Sharing, limited: bool
) -> None:
    found = cap(caller, chat(sharing))
    assert (found is not None) == limited
    if found is not None:
        person, limits, _ = found
        assert (person, limits) == (BOB, ONE)


@given(callers, endpoints)
def test_nobody_is_limited_who_has_or_runs_the_service(caller: Caller, endpoint: Endpoint) -> None:
    found, person = cap(caller, endpoint), caller.counted_as or caller.person
    if person is None or person.owner == endpoint.owner or caller.may_manage(endpoint.owner):
        assert found is None
    else:
        share = endpoint.sharing.share_for(person)
        wanted = None if share is None or share.limits is None else (person, share.limits, share.set_by)
        assert found == wanted
