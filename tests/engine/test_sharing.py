"""With whom services are shared: from the next call on, over restarts, and with nobody who comes later by that name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.sharing import NOBODY, Person, Role, Share
from jupyter_model_service.engine.sharing import MOST_SHARES
from jupyter_model_service.errors import Conflict, InvalidRequest, NotFound, StoreError

from .stage import NAME, OWNER, Stage, play

BOB = Person("bob", "bob", made="then")
LIMITS = Limits(calls_per_day=5)


def test_a_share_holds_at_once_is_told_and_is_there_after_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        assert stage.view.visibility == "private"
        sharings = stage.engine.sharings
        share = await sharings.set(OWNER, NAME, "user", "bob", role=Role.VIEWER, limits=LIMITS, by="ann")
        assert (share.role, share.limits, share.created_by) == (Role.VIEWER, LIMITS, "ann")
        await sharings.set(OWNER, NAME, "group", "ds", limits=Limits())
        assert stage.endpoint.sharing.role(BOB) is Role.VIEWER
        assert sharings.of(OWNER, NAME) == stage.endpoint.sharing
        assert stage.view.visibility == "shared"
        told = [event.message for event in await stage.told("service.shared")]
        assert told == ["shared with bob as viewer", "shared with the group ds as caller"]
        before = list(stage.endpoint.sharing)
        assert before[1].limits is None
        await stage.kill()
        await stage.reopen()
        assert sorted(stage.endpoint.sharing, key=lambda share: share.name) == before
        assert stage.endpoint.service_id == stage.view.id

    play(scene)


def test_what_is_shared_no_more_is_over_at_once_and_after_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.sharings.set(OWNER, NAME, "user", "bob")
        assert (await stage.engine.sharings.remove(OWNER, NAME, "user", "bob")).name == "bob"
        assert stage.endpoint.sharing.role(BOB) is None
        assert [event.message for event in await stage.told("service.unshared")] == ["not shared with bob any more"]
        with pytest.raises(NotFound, match="is not shared with the group ds"):
            await stage.engine.sharings.remove(OWNER, NAME, "group", "ds")
        await stage.kill()
        await stage.reopen()
        assert not stage.endpoint.sharing

    play(scene)


def test_whose_pages_may_call_is_kept_over_a_restart() -> None:
    """What is no origin, or cannot be stored, changes nothing."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        origins = stage.engine.origins
        assert await origins.set(OWNER, NAME, ["https://a.org:443"]) == ("https://a.org",)
        assert stage.endpoint.origins == origins.of(OWNER, NAME) == ("https://a.org",)
        assert [event.message for event in await stage.told("service.origins")] == [
            "pages of https://a.org may call it"
        ]
        with pytest.raises(InvalidRequest, match="is no origin"):
            await origins.set(OWNER, NAME, ["*"])
        with pytest.raises(NotFound):
            await origins.set(OWNER, "nothing", [])
        await stage.kill()
        await stage.reopen()
        assert stage.endpoint.origins == ("https://a.org",)
        await stage.engine.origins.set(OWNER, NAME, [])
        assert stage.endpoint.origins == ()

    play(scene)


def test_the_next_service_of_a_name_is_shared_with_nobody() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.sharings.set(OWNER, NAME, "user", "bob")
        first = stage.view.id
        await stage.engine.delete(OWNER, NAME)
        await stage.until(lambda: not stage.engine.services())
        assert stage.engine.sharings.of(OWNER, NAME) is NOBODY
        await stage.create()
        assert (stage.endpoint.sharing, stage.endpoint.service_id == first) == (NOBODY, False)

    play(scene)


def test_when_it_cannot_be_stored_all_is_as_it_was() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.sharings.set(OWNER, NAME, "user", "bob")
        before = stage.endpoint.sharing
        stage.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await stage.engine.sharings.set(OWNER, NAME, "user", "carol")
        with pytest.raises(StoreError):
            await stage.engine.sharings.remove(OWNER, NAME, "user", "bob")
        assert stage.endpoint.sharing == before
        stage.store.fail_writes = None

    play(scene)


def known(**made: str) -> Callable[[str], Awaitable[str | None]]:
    async def asked(name: str) -> str | None:
        return made.get(name)

    return asked


def test_a_share_is_bound_to_the_user_who_was_there_or_to_the_first_who_comes() -> None:
    """Whoever gets the name after her has nothing of it, also after a restart; until taken back and shared again."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        sharings = stage.engine.sharings
        sharings.made = known(carol="first")
        assert (await sharings.set(OWNER, NAME, "user", "carol")).made == "first"
        assert (await sharings.set(OWNER, NAME, "user", "bob")).made is None
        assert (await sharings.set(OWNER, NAME, "group", "carol")).made is None
        sharings.came(replace(BOB, made=None))  # the Hub did not say
        assert stage.endpoint.sharing.users["bob"].made is None
        sharings.came(BOB)
        sharings.came(replace(BOB, made="later"))
        await stage.quiet()
        for _ in range(2):
            found = stage.endpoint.sharing
            assert found.role(BOB) is Role.CALLER
            assert found.role(replace(BOB, made="later")) is None
            assert found.role(Person("carol", "carol", made="second")) is None
            assert found.role(Person("carol", "carol", made="first")) is Role.CALLER
            await stage.kill()
            await stage.reopen()
        stage.engine.sharings.made = known(bob="later")
        await stage.engine.sharings.remove(OWNER, NAME, "user", "bob")
        await stage.engine.sharings.set(OWNER, NAME, "user", "bob")
        assert stage.endpoint.sharing.role(replace(BOB, made="later")) is Role.CALLER

    play(scene)


def test_new_limits_bind_a_share_to_nobody_else() -> None:
    """Who only turns the limits of a dead share down shares nothing with whoever has the name now; and while the Hub
    has nobody of the name, or does not answer, it stays bound to whom it was."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        sharings, later = stage.engine.sharings, replace(BOB, made="later")
        sharings.made = known(bob=BOB.made)
        share = await sharings.set(OWNER, NAME, "user", "bob", role=Role.VIEWER)
        assert not sharings.former(share)
        sharings.made = known()
        share = await sharings.set(OWNER, NAME, "user", "bob", limits=LIMITS)
        assert (share.made, share.limits) == (BOB.made, LIMITS)
        assert stage.endpoint.sharing.role(later) is None
        sharings.made, sharings.seen = known(bob="later"), {"bob": "later"}.get
        with pytest.raises(Conflict, match="another user of the name bob, who was deleted: take that back first") as no:
            await sharings.set(OWNER, NAME, "user", "bob")
        assert no.value.code == "shared_with_former"
        assert stage.endpoint.sharing.get("user", "bob") == share
        assert sharings.former(share)

    play(scene)


def test_who_is_unshared_while_her_share_is_bound_is_not_shared_with_after_a_restart() -> None:
    """What binds it comes to its turn after what took it back, and must not store it again."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.sharings.set(OWNER, NAME, "user", "bob")
        stage.engine.sharings.came(BOB)
        await stage.engine.sharings.remove(OWNER, NAME, "user", "bob")
        await stage.quiet()
        assert not stage.endpoint.sharing
        await stage.kill()
        await stage.reopen()
        assert not stage.endpoint.sharing

    play(scene)


def test_what_is_no_share_is_refused_in_a_sentence() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        share = stage.engine.sharings.set
        for name in ("", "x" * 256, "bob\n"):
            with pytest.raises(InvalidRequest, match="printable"):
                await share(OWNER, NAME, "user", name)
        with pytest.raises(InvalidRequest, match="one owner"):
            await share(OWNER, NAME, "user", "bob", role=Role.OWNER)
        with pytest.raises(InvalidRequest, match="owner of ann/chat"):
            await share(OWNER, NAME, "user", OWNER)
        with pytest.raises(InvalidRequest, match="limited to"):
            await share(OWNER, NAME, "user", "bob", limits=Limits(calls_per_day=0))
        with pytest.raises(NotFound):
            await share(OWNER, "nothing", "user", "bob")
        assert not stage.endpoint.sharing

    play(scene)


def test_one_service_is_shared_with_so_many_and_no_more() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        for number in range(MOST_SHARES):
            await stage.store.access.set_share(stage.view.id, Share("user", f"u{number}"))
        await stage.kill()
        await stage.reopen()
        share = stage.engine.sharings.set
        with pytest.raises(InvalidRequest, match="1,000 users and groups"):
            await share(OWNER, NAME, "user", "bob")
        assert (await share(OWNER, NAME, "user", "u7", role=Role.VIEWER)).role is Role.VIEWER

    play(scene)
