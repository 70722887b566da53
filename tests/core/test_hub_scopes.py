"""What the Hub's scopes mean here: every filter that is understood, and nothing for one that is not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.hub_scopes import AUDIT, INVOKE, MANAGE, Reach, caller_from, invoke_scope, reach_of
from jupyter_model_service.core.names import owner_from
from jupyter_model_service.core.sharing import Person, Role

SYSTEM = "model-service-endpoints"
GROUPS = {"ds": ["alice", "bob"], "odd": ["jo e"]}


def members(group: str) -> Collection[str]:
    return GROUPS.get(group, ())


def person(name: str, most: Role) -> Person:
    return Person(name, owner_from(name), frozenset({"ds"}), "then", most)


def user(name: str, *scopes: str, kind: str = "user") -> Caller:
    return caller_from(name, kind, scopes, members, SYSTEM, service_name="ours", groups=("ds",), made="then")


# --- calling -----------------------------------------------------------------------------------------


def test_an_endpoints_token_calls_that_endpoint_and_manages_nothing() -> None:
    """As the Hub describes a token of the system user that is limited to one endpoint."""
    caller = user(
        SYSTEM,
        f"{INVOKE}!server=alice/koalpaca",
        f"read:users:groups!user={SYSTEM}",
        f"read:users:name!user={SYSTEM}",
    )
    assert caller.may_invoke("alice", "koalpaca")
    assert not caller.may_invoke("alice", "other")
    assert not caller.may_invoke("bob", "koalpaca")
    assert not caller.manages_any
    assert caller.home is None


@pytest.mark.parametrize(
    ("scope", "calls", "not_calls"),
    [
        (INVOKE, [("alice", "a"), ("zoe", "b")], []),
        (f"{INVOKE}!user=alice", [("alice", "a"), ("alice", "b")], [("bob", "a")]),
        (f"{INVOKE}!group=ds", [("alice", "a"), ("bob", "b")], [("zoe", "a")]),
        (f"{INVOKE}!group=none", [], [("alice", "a")]),
        (f"{INVOKE}!server=jo e/a", [(owner_from("jo e"), "a")], [("jo e", "a")]),
    ],
)
def test_each_filter_covers_what_it_names(scope: str, calls: list[Any], not_calls: list[Any]) -> None:
    caller = user("carol", scope)
    assert all(caller.may_invoke(owner, name) for owner, name in calls)
    assert not any(caller.may_invoke(owner, name) for owner, name in not_calls)
    assert not caller.manages_any


@pytest.mark.parametrize(
    "filtered",
    [
        "!",
        "!server",
        "!user",
        "!user=",
        "!group=",
        "!server=alice",
        "!server=/a",
        "!server=alice/",
        "!service=x",
        "!team=ds",
        "!server=alice/a/b",
        "!user=alice!group=ds",
        "!User=alice",
        "! user=alice",
        "=alice",
        ":x",
        "x",
    ],
)
def test_what_is_not_understood_grants_nothing(filtered: str) -> None:
    caller = user("carol", INVOKE + filtered)
    assert not any(caller.may_invoke(owner, name) for owner in ("alice", "carol", "") for name in ("a", "", "b"))


NAMES = st.text(st.characters(blacklist_characters="/!", blacklist_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=4), st.lists(NAMES, max_size=4), st.text(max_size=12))
def test_reach_is_exactly_what_was_granted(servers: list[tuple[str, str]], users: list[str], noise: str) -> None:
    scopes = [f"{INVOKE}!server={u}/{s}" for u, s in servers] + [f"{INVOKE}!user={u}" for u in users]
    found = reach_of([*scopes, f"{INVOKE}!{noise}!", f"{MANAGE}!user=zoe", f"{INVOKE}ed"], INVOKE)
    assert found == Reach(servers=frozenset(servers), users=frozenset(users))


@given(NAMES, NAMES.filter(lambda name: "=" not in name))
def test_the_scope_that_is_asked_for_is_the_one_that_is_understood(owner: str, service: str) -> None:
    caller = user(SYSTEM, invoke_scope(owner, service))
    assert caller.invokes == {f"{owner_from(owner)}/{service}"}


@pytest.mark.parametrize("name", ["", "a/b", "a!b"])
def test_no_token_is_asked_for_that_could_be_understood_otherwise(name: str) -> None:
    with pytest.raises(ValueError):
        invoke_scope(name, "chat")


@given(st.lists(st.text(max_size=30) | st.sampled_from([f"{INVOKE}!server", f"{MANAGE}!user", "inherit", "self"])))
def test_scopes_of_others_grant_nothing(scopes: list[str]) -> None:
    """Whatever the list holds: without one of the few that count, it grants nothing."""
    caller = user("carol", *scopes)
    assert caller == Caller("carol", home="carol")


# --- managing ----------------------------------------------------------------------------------------


def test_the_token_of_a_notebook_manages_its_users_services() -> None:
    """The default scopes of a server's token, as the Hub tells them."""
    caller = user("bob", "access:servers!server=bob/", "read:users:name!user=bob", "users:activity!user=bob")
    assert caller == Caller("bob", manages=frozenset({"bob"}), home="bob", person=person("bob", Role.OPERATOR))


@pytest.mark.parametrize(
    ("scopes", "manages"),
    [
        ([f"{MANAGE}!user=bob", f"{INVOKE}!user=bob"], {"bob"}),
        (["access:servers!user=bob"], {"bob"}),
        (["access:servers!server=bob/lab-2"], {"bob"}),
        (["access:servers!server=alice/"], set()),  # a server that alice shares
        (["access:servers!server=alice/", "access:servers!user=alice"], set()),
        (["access:servers!server=bob/ms-chat-abc123"], set()),
        (["access:servers!server=bob/ms-chat-abc123", f"{MANAGE}!user=bob", MANAGE, "servers"], set()),
        ([f"{MANAGE}!user=alice"], {"alice"}),
        ([f"{MANAGE}!group=odd"], {owner_from("jo e")}),
        ([f"{MANAGE}!server=bob/chat"], set()),
        (["servers!user=bob", "admin:servers!group=ds", "tokens!user=bob"], set()),
        (["read:users:name!user=bob"], set()),
    ],
)
def test_who_manages_what(scopes: list[str], manages: set[str]) -> None:
    caller = user("bob", *scopes)
    assert (caller.manages, caller.manages_all) == (manages, False)
    assert caller.home == "bob"


@pytest.mark.parametrize("scope", ["admin:servers", "servers", MANAGE])
def test_administrators_manage_everybodys_services(scope: str) -> None:
    caller = user("boss", scope)
    assert caller.may_manage("alice")
    assert caller.may_invoke("alice", "chat")


def test_a_service_manages_only_by_the_unfiltered_scope() -> None:
    """An idle culler may stop every server; that does not make it a manager of model services."""
    scopes = ["servers", "admin:servers", f"{MANAGE}!user=alice", "access:servers!user=alice"]
    assert not user("culler", *scopes, kind="service").manages_any
    assert user("robot", MANAGE, kind="service").may_manage("alice")
    assert user("robot", MANAGE, kind="service").home is None
    assert user("alice", "access:servers!server=alice/", kind="service").manages == frozenset()


def test_the_system_user_owns_nothing_whatever_its_tokens_hold() -> None:
    caller = user(SYSTEM, f"access:servers!user={SYSTEM}", f"servers!user={SYSTEM}", "servers", MANAGE)
    assert not caller.manages_any
    assert caller.home is None


# --- what is shared with a person ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "most"),
    [
        (["access:services!service=ours"], Role.CALLER),
        (["access:services"], Role.CALLER),
        (["access:services!service=ours", "access:servers!server=bob/"], Role.OPERATOR),
        (["access:servers!server=bob/lab"], Role.OPERATOR),
        (["access:servers!user=bob"], Role.OPERATOR),
        (["access:servers"], Role.OPERATOR),
        ([f"{MANAGE}!user=bob"], Role.OPERATOR),
        ([f"{MANAGE}!group=ds"], Role.OPERATOR),
        (["admin:servers"], Role.OPERATOR),
        (["access:services!service=another"], None),
        (["access:services!server=ours", "access:services!service=", "access:services!service=ours!x"], None),
        (["access:servers!server=alice/"], None),
        (["read:users:name!user=bob", "read:users:groups!user=bob"], None),  # it only says who she is
        ([f"{INVOKE}!server=alice/chat"], None),
        (["access:servers!server=bob/ms-chat-abc123", "access:services", MANAGE], None),  # a replica's, whatever it has
    ],
)
def test_what_is_shared_with_a_user_is_for_tokens_that_are_made_for_it(scopes: list[str], most: Role | None) -> None:
    assert user("bob", *scopes).person == (None if most is None else person("bob", most))


def test_nothing_is_shared_with_services_and_with_the_system_user() -> None:
    for name, kind in (("robot", "service"), (SYSTEM, "user")):
        assert user(name, "access:services", "access:servers", MANAGE, kind=kind).person is None


def test_a_persons_name_in_addresses_is_not_the_hubs() -> None:
    assert user("jo e", "access:services").person == person("jo e", Role.CALLER)


def test_an_administrators_token_is_worth_its_scopes_and_no_more() -> None:
    """She is one at our pages, where she has signed in; what she signed in with administers nothing."""
    caller = caller_from(
        "root",
        "user",
        ["access:services!service=model-service"],
        lambda group: (),
        service_name="model-service",
        admin=True,
    )
    assert caller.person is not None
    assert caller.person.admin
    assert (caller.manages_any, caller.invokes_all, caller.person.most) == (False, False, Role.CALLER)


# --- reading the audit log ---------------------------------------------------------------------------


def test_an_auditor_reads_the_audit_log_of_everything_and_does_nothing() -> None:
    """A person or a service of the Hub, as one that collects logs; a filter makes nothing of it, since it is of all."""
    for auditor in (user("audra", AUDIT), user("collector", AUDIT, kind="service")):
        assert auditor.audits
        assert not auditor.manages_any
        assert not auditor.may_invoke("alice", "chat")
        assert auditor.person is None
    for filtered in ("!user=audra", "!group=ds", "!server=audra/x", "!", "!service=ours"):
        assert not user("audra", AUDIT + filtered).audits
    assert not user("alice", AUDIT, "access:servers!server=alice/ms-chat-abc123").audits, "a replica's"
    assert not user(SYSTEM, AUDIT).audits, "who holds the endpoints' tokens"
    assert not user("audra", f"{AUDIT}s", INVOKE, MANAGE + "!user=audra").audits
