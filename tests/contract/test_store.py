"""What every store does: the real one on a disk, and the one in memory that tests use.

``reopen`` is the next process: what was written must be there, whether or not the store before was closed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck as Unhealthy
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.definition import Action, Definition, HealthCheck, Serving
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Kept, Mount, Resources, Revision, revision_from_plain, revision_to_plain
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.errors import Conflict, StoreError
from jupyter_model_service.ports import EventRecord, Placement, ReplicaRecord, ServiceRecord, Store, TokenRecord

from .stores import (
    KINDS,
    Opener,
    addresses,
    event,
    integers,
    numbers,
    plain_maps,
    replica,
    revision,
    service,
    texts,
    token,
    with_store,
)


def test_a_removed_revision_is_gone_and_no_other(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_service(service("s2", "other"), revision())
        await store.add_revision(service(), revision(2))
        await store.remove_revision("s1", 1)
        await store.remove_revision("s1", 7)
        assert [r.number for r in await store.revisions(service())] == [2]
        assert [r.number for r in await store.revisions(service("s2"))] == [1]
        again = await opener.reopen(store)
        assert [r.number for r in await again.revisions(service())] == [2]
        await again.close()

    with_store(opener, body)


# --- services and revisions --------------------------------------------------------------------------


def test_a_store_is_told_from_one_that_was_made_anew(opener: Opener, tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        known = store.identity
        assert known.isalnum()
        again = await opener.reopen(store)
        assert again.identity == known
        await again.close()
        for path in tmp_path.glob("state.db*"):
            path.rename(path.with_name(f"away-{path.name}"))
        anew = await opener.open()
        assert anew.identity != known
        await anew.close()

    with_store(opener, body)


def test_a_new_store_is_empty(opener: Opener) -> None:
    async def body(store: Store) -> None:
        assert [await store.services(), await store.replicas(), await store.tokens(), await store.events()] == [
            [],
            [],
            [],
            [],
        ]
        assert await store.revisions(service()) == []

    with_store(opener, body)


def test_a_service_comes_with_its_first_revision(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        assert await store.services() == [service()]
        assert await store.revisions(service()) == [revision()]

    with_store(opener, body)


def test_a_taken_name_is_a_conflict_and_leaves_nothing_of_the_second(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        with pytest.raises(Conflict, match="u/chat"):
            await store.add_service(service("s2", replicas=3), revision())
        assert await store.services() == [service()]
        assert await store.revisions(service("s2")) == []

    with_store(opener, body)


def test_the_same_name_of_another_owner_is_free(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_service(service("s2", owner="v"), revision())
        assert {(s.owner, s.name) for s in await store.services()} == {("u", "chat"), ("v", "chat")}

    with_store(opener, body)


def test_a_saved_service_replaces_the_former_one(opener: Opener) -> None:
    changed = service(
        public=True, running=False, replicas=4, active=2, stable=1, error="no", note="back", restarted_at=8.5
    )

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.save_service(changed)
        assert await store.services() == [changed]

    with_store(opener, body)


POLICY = Autoscaling(
    min=0,
    max=8,
    target=False,
    target_concurrency=2.5,
    idle_after=60.0,
    down_delay=120.0,
    rules=(Rule("r1", "gpu_util", above=80.0, below=20.0, step=2, cooldown=30.0, window=10.0, min=1, max=4),),
    schedules=(
        Schedule("s1", "Mon-Fri 08:00-19:00", "Asia/Seoul", min=2),
        Schedule("s2", "0 8 * * 1-5", duration=60.0),
    ),
    held=True,
)


@pytest.mark.parametrize("policy", [Autoscaling(), POLICY])
def test_an_autoscaling_policy_comes_back_as_it_was(opener: Opener, policy: Autoscaling) -> None:
    """With a service that is made with it, when it is changed, and when it is taken away."""

    async def body(store: Store) -> None:
        await store.add_service(service(autoscaling=policy), revision())
        await store.add_service(service("s2", "plain"), revision())
        again = await opener.reopen(store)
        assert [s.autoscaling for s in await again.services()] == [policy, None]
        await again.save_service(service(autoscaling=None))
        await again.save_service(service("s2", "plain", autoscaling=policy))
        once_more = await opener.reopen(again)
        assert [s.autoscaling for s in await once_more.services()] == [None, policy]
        await once_more.close()

    with_store(opener, body)


def test_an_unknown_service_is_refused(opener: Opener) -> None:
    async def body(store: Store) -> None:
        for write in (
            store.save_service(service()),
            store.add_revision(service(), revision()),
            store.save_replica(replica()),
            store.add_token(token()),
        ):
            with pytest.raises(StoreError):
                await write
        assert [*await store.services(), *await store.replicas(), *await store.tokens()] == []
        assert await store.revisions(service()) == []

    with_store(opener, body)


def test_revisions_come_in_the_order_of_their_numbers_and_are_never_replaced(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision(1))
        for number in (3, 2, 10):
            await store.add_revision(service(), revision(number))
        with pytest.raises(StoreError):
            await store.add_revision(service(), dataclasses.replace(revision(2), folder="/other"))
        assert await store.revisions(service()) == [revision(n) for n in (1, 2, 3, 10)]

    with_store(opener, body)


def test_a_removed_service_takes_all_that_belongs_to_it_and_nothing_else(opener: Opener) -> None:
    async def body(store: Store) -> None:
        for n, id in enumerate(("s1", "s2")):
            await store.add_service(service(id, name=f"chat-{id}"), revision())
            await store.save_replica(replica(f"chat-{id}", id))
            await store.add_token(token(f"t-{id}", id))
            await store.add_events([event(n + 1, id)])
        await store.remove_service("s1")
        assert [s.id for s in await store.services()] == ["s2"]
        assert await store.revisions(service()) == []
        assert [r.service_id for r in await store.replicas()] == ["s2"]
        assert [t.service_id for t in await store.tokens()] == ["s2"]
        assert [e.service_id for e in await store.events()] == ["s2"]
        assert await store.revisions(service("s2")) == [revision()]
        await store.add_service(service("s3", name="chat-s1"), revision())  # the name is free again

    with_store(opener, body)


def test_removing_what_is_not_there_is_no_error(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.remove_service("s1")
        await store.remove_replica("r")
        await store.remove_token("t")
        await store.touch_tokens({"t": 1.0})
        assert await store.services() == []

    with_store(opener, body)


# --- replicas and tokens -----------------------------------------------------------------------------


def test_a_replica_is_saved_before_and_after_its_launch(opener: Opener) -> None:
    placement = Placement({"pid": 7, "started": 1.25, "argv": ["a"]}, ("127.0.0.1", 4001), ("::1", 4002))

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.save_replica(replica())
        assert await store.replicas() == [replica()]
        await store.save_replica(replica(placement=placement))
        assert await store.replicas() == [replica(placement=placement)]
        await store.remove_replica(replica().id)
        assert await store.replicas() == []

    with_store(opener, body)


def test_last_uses_are_noted_for_the_tokens_that_are_there(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_token(token("t1"))
        await store.add_token(token("t2"))
        await store.touch_tokens({"t1": 77.5, "gone": 78.0})
        await store.touch_tokens({})
        assert {t.id: t.last_used_at for t in await store.tokens()} == {"t1": 77.5, "t2": None}
        await store.remove_token("t1")
        assert await store.tokens() == [token("t2")]

    with_store(opener, body)


@pytest.mark.parametrize("limits", [Limits(), Limits(0.25, 3, 10**12), Limits(calls_per_second=10.0)])
def test_limits_and_counts_of_a_token_come_back_as_they_were(opener: Opener, limits: Limits) -> None:
    """Of a token that is made with limits, of one that gets them later, and of one from which they are taken."""

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        limited = dataclasses.replace(token("t1"), limits=limits)
        await store.add_token(limited)
        await store.add_token(token("t2"))
        again = await opener.reopen(store)
        assert await again.tokens() == [limited, token("t2")]
        await again.change_tokens({"t2": limits, "t1": None, "gone": limits}, {})
        await again.count_tokens({"t2": (20_000, 7), "gone": (20_000, 8)})
        await again.count_tokens({})
        counted = dataclasses.replace(token("t2"), limits=limits, day=20_000, calls=7)
        once_more = await opener.reopen(again)
        assert await once_more.tokens() == [token("t1"), counted]
        await once_more.count_tokens({"t1": (20_001, 1), "t2": (20_001, 2)})
        assert [(t.id, t.day, t.calls) for t in await once_more.tokens()] == [("t1", 20_001, 1), ("t2", 20_001, 2)]
        await once_more.remove_token("t2")
        await once_more.count_tokens({"t2": (20_001, 3)})  # it is not made again
        assert [t.id for t in await once_more.tokens()] == ["t1"]
        await once_more.close()

    with_store(opener, body)


# --- events ------------------------------------------------------------------------------------------


def test_for_whom_an_event_is_comes_back_as_it_was(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        found = [
            dataclasses.replace(event(1), audience="viewer"),
            dataclasses.replace(event(2), audience="owner", others="something happened"),
            event(3),
        ]
        await store.add_events(found)
        again = await opener.reopen(store)
        assert await again.events() == found
        assert [each.audience for each in found] == ["viewer", "owner", "owner"], "where nothing is said the stricter"
        await again.close()

    with_store(opener, body)


def test_events_are_the_newest_after_the_cursor_oldest_first(opener: Opener) -> None:
    async def body(store: Store) -> None:
        for id in ("s1", "s2"):
            await store.add_service(service(id, name=f"chat-{id}"), revision())
        await store.add_events([event(n, "s1" if n % 2 else "s2") for n in range(1, 11)])

        async def ids(*args: Any) -> list[int]:
            return [e.id for e in await store.events(*args)]

        assert await ids() == list(range(1, 11))
        assert await ids(None, 0, 3) == [8, 9, 10]
        assert await ids("s1") == [1, 3, 5, 7, 9]
        assert await ids("s1", 5, 100) == [7, 9]
        assert await ids("s2", 2, 2) == [8, 10]
        assert await ids(None, 10, 5) == []
        assert await ids(None, 0, 0) == []
        assert await ids("nobody") == []
        assert await ids(None, 0, 1) == [10]  # where the engine goes on after a restart

    with_store(opener, body)


def test_the_newest_thousand_events_of_each_service_are_kept(opener: Opener) -> None:
    async def body(store: Store) -> None:
        for id in ("s1", "s2"):
            await store.add_service(service(id, name=f"chat-{id}"), revision())
        await store.add_events([event(1, "s2"), *(event(n) for n in range(2, 1001))])
        await store.add_events([event(n) for n in range(1001, 1500)])
        await store.add_events([event(1500)])
        assert [e.id for e in await store.events("s1", 0, 5000)] == list(range(501, 1501))
        assert [e.id for e in await store.events("s2")] == [1]

    with_store(opener, body)


def test_events_of_a_service_that_is_gone_are_dropped(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_events([event(1), event(2, "gone"), event(3)])
        await store.add_events([event(4, "gone")])
        assert [e.id for e in await store.events()] == [1, 3]

    with_store(opener, body)


def test_events_that_are_there_already_stay_and_hinder_no_new_ones(opener: Opener) -> None:
    """A write that was given up while it was committed is done again, with what has come since."""

    async def body(store: Store) -> None:
        await store.add_service(service(), revision())
        await store.add_events([event(1), event(2)])
        await store.add_events([event(1), event(2), event(3)])
        assert [e.id for e in await store.events()] == [1, 2, 3]

    with_store(opener, body)


# --- over time ---------------------------------------------------------------------------------------


def test_everything_is_there_in_the_next_process(opener: Opener) -> None:
    placement = Placement({"pid": 7}, ("127.0.0.1", 1), ("127.0.0.1", 2))

    async def body() -> None:
        store = await opener.open()
        await store.add_service(service(stable=1), revision())
        await store.add_revision(service(), revision(2))
        await store.save_replica(replica(placement=placement))
        await store.add_token(token())
        await store.add_events([event(1), event(2)])
        store = await opener.reopen(store)
        try:
            assert await store.services() == [service(stable=1)]
            assert await store.revisions(service()) == [revision(1), revision(2)]
            assert await store.replicas() == [replica(placement=placement)]
            assert await store.tokens() == [token()]
            assert await store.events() == [event(1), event(2)]
        finally:
            await store.close()

    asyncio.run(body())


def test_a_closed_store_says_so_and_may_be_closed_again(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.services()

    with_store(opener, body)


def test_many_calls_at_once_do_not_disturb_each_other(opener: Opener) -> None:
    async def body(store: Store) -> None:
        await store.add_service(service(), revision())

        async def write(n: int) -> None:
            await store.save_replica(replica(f"chat-{n:06}"))
            await store.add_events([event(n + 1)])

        async def read() -> None:
            found = await store.events(limit=1000)
            assert [e.id for e in found] == sorted({e.id for e in found})

        await asyncio.gather(*(job for n in range(25) for job in (write(n), read())))
        assert len(await store.replicas()) == 25
        assert len(await store.events()) == 25

    with_store(opener, body)


# --- any record --------------------------------------------------------------------------------------

services = st.builds(
    ServiceRecord,
    id=texts,
    owner=texts,
    name=texts,
    public=st.booleans(),
    running=st.booleans(),
    replicas=integers,
    active=integers,
    stable=st.none() | integers,
    created_at=numbers,
    error=st.none() | texts,
    note=st.none() | texts,
    restarted_at=st.none() | numbers,
)
replicas = st.builds(
    ReplicaRecord,
    id=texts,
    service_id=st.just("s1"),
    revision=integers,
    secret=texts,
    placement=st.none() | st.builds(Placement, handle=plain_maps, control=addresses, address=addresses),
    created_at=numbers,
)
tokens = st.builds(
    TokenRecord,
    id=texts,
    service_id=st.just("s1"),
    name=texts,
    digest=texts,
    created_at=numbers,
    expires_at=st.none() | numbers,
    last_used_at=st.none() | numbers,
)
events = st.builds(
    EventRecord,
    id=st.integers(1, 2**63 - 1),
    at=numbers,
    service_id=st.just("s1"),
    kind=texts,
    message=texts,
    replica=st.none() | texts,
    details=plain_maps,
)
definitions = st.builds(
    Definition,
    name=texts,
    model_path=texts,
    port=st.integers(2, 65535),
    start_command=st.none() | texts | st.lists(texts, min_size=1, max_size=3).map(tuple),
    shell=st.none() | texts,
    pre_start_actions=st.lists(
        st.builds(Action, kind=st.just("log"), args=plain_maps, ref=st.none() | texts), max_size=2
    ).map(tuple),
    health_check=st.none()
    | st.builds(
        HealthCheck,
        path=texts,
        interval=numbers,
        max_retries=st.integers(0, 99),
        max_wait_time=numbers,
        expected_status_code=st.integers(100, 599),
        initial_delay=numbers,
    ),
    serving=st.builds(Serving, concurrency=st.none() | st.integers(1, 9), queue=st.integers(0, 9), retry=st.booleans()),
)
revisions = st.builds(
    Revision,
    number=st.integers(1, 2**31),
    folder=texts,
    definition=definitions,
    created_at=numbers,
    image=st.none() | texts,
    environment=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    mounts=st.lists(st.builds(Mount, source=texts, target=texts, read_only=st.booleans()), max_size=2).map(tuple),
    resources=st.builds(
        Resources, cpus=st.none() | numbers, memory=st.none() | st.integers(0, 2**50), gpus=st.integers(0, 8)
    ),
    kept=st.builds(
        Kept,
        kind=st.sampled_from(["copy", "live"]),
        path=st.none() | texts,
        files=st.integers(0, 2**31),
        bytes=st.integers(0, 2**50),
        linked=st.integers(0, 9),
        why=st.none() | texts,
    ),
)


@given(revisions)
def test_a_revision_survives_being_plain_data(one: Revision) -> None:
    assert revision_from_plain(revision_to_plain(one)) == one


def test_a_revision_stored_before_a_field_came_has_its_default() -> None:
    old = revision_to_plain(revision())
    for late in ("image", "environment", "mounts", "resources"):
        del old[late]
    assert revision_from_plain(old) == revision()
    del old["kept"]
    before = revision_from_plain(old)
    assert (before.kept.kind, before.kept.why) == ("live", "it was made before files were kept")
    assert before.served_folder == before.folder == "/home/u/chat"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(Unhealthy))
@given(services, revisions, replicas, tokens, st.lists(events, max_size=3, unique_by=lambda e: e.id))
def test_every_record_comes_back_as_it_went_in(
    kind: Callable[[Path], Opener],
    a_service: ServiceRecord,
    a_revision: Revision,
    a_replica: ReplicaRecord,
    a_token: TokenRecord,
    some_events: list[EventRecord],
) -> None:
    a_service = dataclasses.replace(a_service, id="s1")

    async def body() -> None:
        opener = kind(Path(folder))
        store = await opener.open()
        await store.add_service(a_service, a_revision)
        await store.save_replica(a_replica)
        await store.add_token(a_token)
        await store.add_events(some_events)
        store = await opener.reopen(store)
        try:
            assert await store.services() == [a_service]
            assert await store.revisions(a_service) == [a_revision]
            assert await store.replicas() == [a_replica]
            assert await store.tokens() == [a_token]
            assert await store.events("s1") == sorted(some_events, key=lambda e: e.id)
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(body())
