"""What every store does with shares, uses, overrides and the audit log: the real one on a disk, and the one in memory."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck as Unhealthy
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.audit import AuditQuery, Entry
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.sharing import Role, Share
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import Notice, OverrideRecord, Store, UseRecord

from .stores import KINDS, Opener, numbers, plain_maps, revision, service, texts, token, with_store

BOB = Share("user", "bob", Role.OPERATOR, Limits(calls_per_day=5), "2026-01-01T00:00:00Z", 10.0, "alice")
CLASS = Share("group", "bob", Role.CALLER, created_at=11.0, created_by="alice")


# --- shares ------------------------------------------------------------------------------------------


def test_a_share_comes_back_as_it_was_and_another_for_the_same_replaces_it(opener: Opener) -> None:
    """A user and a group of one name are two; so are two services."""

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_service(service("s2", "other"), revision())
        await store.access.set_share("s1", BOB)
        await store.access.set_share("s1", CLASS)
        await store.access.set_share("s2", BOB)
        lesser = dataclasses.replace(BOB, role=Role.VIEWER, limits=None, made=None)
        await store.access.set_share("s1", lesser)
        again = await opener.reopen(store)
        found = list(await again.access.shares())
        assert sorted(found, key=lambda each: (each[0], each[1].kind)) == [
            ("s1", CLASS),
            ("s1", lesser),
            ("s2", BOB),
        ]
        assert [share.created_at for _, share in found] == [10.0, 10.0, 11.0]
        await again.access.remove_share("s1", "user", "bob")
        await again.access.remove_share("s1", "user", "bob")
        assert await again.access.shares() == [("s2", BOB), ("s1", CLASS)]
        await again.close()

    with_store(opener, body)


def test_a_service_that_is_not_there_cannot_be_shared(opener: Opener) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(StoreError):
            await store.access.set_share("s1", BOB)
        assert await store.access.shares() == []

    with_store(opener, body)


def test_shares_and_uses_go_with_their_service_and_the_audit_log_stays(opener: Opener) -> None:
    entry = Entry(1.0, "alice", "::1", "delete_service", "u/chat")

    async def body(store: Store) -> None:
        for id in ("s1", "s2"):
            await store.add_service(service(id, f"chat-{id}"), revision())
            await store.access.set_share(id, BOB)
            await store.access.add_uses([UseRecord(id, "user:bob", 7, 1)])
        await store.audit.add([entry])
        await store.remove_service("s1")
        assert await store.access.shares() == [("s2", BOB)]
        assert [use.service_id for use in await store.access.uses()] == ["s2"]
        assert await store.audit.find(AuditQuery()) == [dataclasses.replace(entry, id=1)]

    with_store(opener, body)


# --- uses --------------------------------------------------------------------------------------------


def test_uses_add_up_by_service_person_and_day(opener: Opener) -> None:
    """A user who was made anew is another; the latest call counts, whichever comes first."""
    first, anew = UseRecord("s1", "user:bob", 7, 3, 1, "then", 70.0), UseRecord("s1", "user:bob", 7, 1, 0, "now")

    async def body(store: Store) -> None:
        for id in ("s1", "s2"):
            await store.add_service(service(id, f"chat-{id}"), revision())
        await store.access.add_uses([first, anew])
        await store.access.add_uses([UseRecord("s1", "user:bob", 7, 2, 5, "then", 65.0), UseRecord("gone", "x", 7, 1)])
        await store.access.add_uses([UseRecord("s1", "user:bob", 7, 1, 0, "now", 66.0)])
        await store.access.add_uses([UseRecord("s1", "user:bob", 7, 1, 0, "now", None)])
        await store.access.add_uses([UseRecord("s1", "token:t1", 8, 1), UseRecord("s2", "anyone", 6, 1)])
        await store.access.add_uses([])
        again = await opener.reopen(store)
        assert await again.access.uses("s1") == [
            dataclasses.replace(anew, calls=3, last_at=66.0),
            dataclasses.replace(first, calls=5, refused=6),
            UseRecord("s1", "token:t1", 8, 1),
        ]
        assert [use.day for use in await again.access.uses(since_day=7)] == [7, 7, 8]
        assert [use.day for use in await again.access.uses()] == [6, 7, 7, 8]
        assert [use.day for use in await again.access.uses(limit=2)] == [7, 8], "the newest"
        assert [use.day for use in await again.access.uses("s1", 8, 5)] == [8]
        await again.access.forget_uses(7)
        assert [use.day for use in await again.access.uses()] == [7, 7, 8]
        await again.close()

    with_store(opener, body)


# --- overrides ---------------------------------------------------------------------------------------


def test_an_override_is_kept_until_it_is_replaced_or_removed(opener: Opener) -> None:
    one = OverrideRecord("bob", {"max_replicas_per_user": 2, "allowed_images": ["a", "b"]}, "root", 5.0)

    async def body(store: Store) -> None:
        await store.access.set_override(one)
        await store.access.set_override(dataclasses.replace(one, user="alice"))
        await store.access.set_override(dataclasses.replace(one, changes={}, set_by="admin"))
        again = await opener.reopen(store)
        assert await again.access.overrides() == [
            dataclasses.replace(one, user="alice"),
            dataclasses.replace(one, changes={}, set_by="admin"),
        ]
        await again.access.remove_override("alice")
        await again.access.remove_override("nobody")
        assert [override.user for override in await again.access.overrides()] == ["bob"]
        await again.close()

    with_store(opener, body)


# --- what came to services and tokens ----------------------------------------------------------------


def test_what_an_administrator_and_callers_leave_at_a_service_comes_back(opener: Opener) -> None:
    """The time of the last call is kept apart: a record that is saved does not take it back."""
    changed = service(notice=Notice("Costs 3 GPUs", "root", 5.0), origins=("https://a.example.org",), began_at=4.0)

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.touch_services({"s1": 90.0, "gone": 91.0})
        await store.touch_services({})
        await store.save_service(changed)
        again = await opener.reopen(store)
        assert await again.services() == [dataclasses.replace(changed, last_call_at=90.0)]
        await again.close()

    with_store(opener, body)


RULES = (PathRule("/v1/chat/*", ("POST",)), PathRule("/health"))


def test_rules_of_a_token_come_back_as_they_were(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_token(dataclasses.replace(token(), rules=RULES, created_by="alice"))
        await store.add_token(token("t2"))
        await store.change_tokens({}, {"t2": RULES, "t1": (), "gone": RULES})
        again = await opener.reopen(store)
        found = {each.id: (each.rules, each.created_by) for each in await again.tokens()}
        assert found == {"t1": ((), "alice"), "t2": (RULES, "")}
        await again.close()

    with_store(opener, body)


def test_a_rotated_token_ends_when_the_new_one_is_there_or_not_at_all(opener: Opener) -> None:
    new = dataclasses.replace(token("t2"), family="t1")

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_token(token("t1"))
        with pytest.raises(StoreError):
            await store.rotate_token("gone", 99.0, new)
        assert await store.tokens() == [token("t1")]
        await store.rotate_token("t1", 99.0, new)
        again = await opener.reopen(store)
        assert await again.tokens() == [dataclasses.replace(token("t1"), expires_at=99.0), new]
        assert {each.kin for each in await again.tokens()} == {"t1"}
        await again.close()

    with_store(opener, body)


# --- the audit log -----------------------------------------------------------------------------------


def entries(count: int) -> list[Entry]:
    who, action = ("alice", "bob"), ("create_service", "share", "delete_service")
    return [Entry(float(n), who[n % 2], "::1", action[n % 3], f"u/{n % 5}") for n in range(1, count + 1)]


def test_entries_are_found_by_what_they_are_about_and_read_on(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.audit.add([dataclasses.replace(entry, id=77) for entry in entries(20)])
        await store.audit.add([])

        async def ids(**query: object) -> list[int]:
            return [entry.id for entry in await store.audit.find(AuditQuery(**query))]  # type: ignore[arg-type]

        assert await ids() == list(range(1, 21))
        assert await ids(limit=3) == [1, 2, 3]
        assert await ids(limit=3, newest=True) == [18, 19, 20]
        assert await ids(limit=3, after=18, newest=True) == [19, 20]
        assert await ids(after=17) == [18, 19, 20]
        assert await ids(limit=0) == await ids(limit=0, newest=True) == []
        assert await ids(who="alice", limit=2) == [2, 4]
        assert await ids(action="share", target="u/1") == [1, 16]
        assert await ids(since=5.0, until=8.0) == [5, 6, 7]
        assert await ids(before=4) == [1, 2, 3]
        assert await ids(before=18, limit=2, newest=True) == [16, 17]
        assert await ids(owner="u", limit=2) == [1, 2]
        for other in ("U", "u/1", "v", ""):
            assert await ids(owner=other) == []
        assert await store.audit.find(AuditQuery(limit=1)) == [dataclasses.replace(entries(1)[0], id=1)]

    with_store(opener, body)


def test_a_page_has_so_many_entries_or_bytes_and_says_whether_there_are_more(opener: Opener) -> None:
    """Of entries of 10 KB three are about 30 KB, and one is there however long it is."""
    long = {"was": "x" * 10_000}

    async def body(store: Store) -> None:
        await store.audit.add([dataclasses.replace(each, before=long, after=None) for each in entries(10)])

        async def ids(most: int, **query: object) -> tuple[list[int], bool]:
            page = await store.audit.page(AuditQuery(**query), most)  # type: ignore[arg-type]
            return [entry.id for entry in page.entries], page.more

        assert await ids(1 << 20) == (list(range(1, 11)), False)
        assert await ids(1 << 20, limit=10) == (list(range(1, 11)), False)
        assert await ids(1 << 20, limit=9) == (list(range(1, 10)), True)
        assert await ids(35_000) == ([1, 2, 3], True)
        assert await ids(35_000, after=3, limit=2) == ([4, 5], True)
        assert await ids(35_000, after=7) == ([8, 9, 10], False)
        assert await ids(35_000, newest=True) == ([8, 9, 10], True)
        assert await ids(35_000, newest=True, before=4) == ([1, 2, 3], False)
        assert await ids(100) == ([1], True)
        assert await ids(100, after=9) == ([10], False)
        assert await ids(100, target="u/0") == ([5], True)
        assert await ids(100, who="nobody") == ([], False)
        page = await store.audit.page(AuditQuery(limit=1), 100)
        assert page.entries == [dataclasses.replace(entries(1)[0], id=1, before=long)]

    with_store(opener, body)


def test_what_is_old_may_be_forgotten_and_its_ids_are_never_used_again(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.audit.add(entries(5))
        assert await store.audit.forget_before(3.0) == 2
        assert await store.audit.forget_before(2.0) == 0
        assert [entry.id for entry in await store.audit.find(AuditQuery())] == [3, 4, 5]
        assert await store.audit.forget_before(6.0) == 3
        again = await opener.reopen(store)
        await again.audit.add(entries(1))
        assert [entry.id for entry in await again.audit.find(AuditQuery())] == [6]
        await again.close()

    with_store(opener, body)


# --- any record --------------------------------------------------------------------------------------

counts = st.integers(0, 2**40)
limits = st.builds(
    Limits, st.none() | st.floats(0.001, 1e6), st.none() | st.integers(1, 10**6), st.none() | st.integers(1, 10**12)
)
shares = st.builds(
    Share, st.sampled_from(["user", "group"]), texts, st.sampled_from(Role), st.none() | limits, st.none() | texts,
    numbers, texts,
)  # fmt: skip
uses = st.builds(UseRecord, st.just("s1"), texts, st.integers(0, 10**6), counts, counts, texts, st.none() | numbers)
overrides = st.builds(OverrideRecord, texts, plain_maps, texts, numbers)
audited = st.builds(
    Entry, numbers, texts, texts, texts, texts, st.integers(100, 599), texts, st.none() | plain_maps,
    st.none() | plain_maps, texts, st.integers(1, 10**6),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(Unhealthy))
@given(shares, uses, overrides, audited)
def test_every_record_of_people_comes_back_as_it_went_in(
    kind: type[Opener], tmp_path_factory: pytest.TempPathFactory, share: Share, use: UseRecord,
    override: OverrideRecord, entry: Entry,
) -> None:  # fmt: skip
    opener = kind(tmp_path_factory.mktemp("store"))  # type: ignore[call-arg]

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.access.set_share("s1", share)
        await store.access.add_uses([use])
        await store.access.set_override(override)
        await store.audit.add([entry])
        again = await opener.reopen(store)
        assert await again.access.shares() == [("s1", share)]
        assert await again.access.uses() == [use]
        assert await again.access.overrides() == [override]
        assert await again.audit.find(AuditQuery()) == [dataclasses.replace(entry, id=1)]
        await again.close()

    with_store(opener, body)
