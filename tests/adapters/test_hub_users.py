"""Whose an owner's services are: users who were renamed, deleted, or made anew."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_users import MAKING, MOST, HubUsers
from jupyter_model_service.errors import HubRefused, NotFound, StoreError

from .hub_setting import BOB, DOWN, Run, Setting


class Gone:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, owner: str, why: str) -> None:
        self.seen.append((owner, why))


def test_a_user_is_gone_after_two_looks_and_an_answer_about_that_one(run: Run) -> None:
    async def body(s: Setting) -> None:
        gone = Gone()
        await s.users.check({"alice", "bob"}, gone)
        alice = s.hub.users_there.pop("alice")
        await s.users.check({"alice", "bob"}, gone)
        s.hub.users_there["alice"] = alice  # the list was short for a moment
        await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == []
        del s.hub.users_there["alice"]
        await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == []
        await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == [("alice", "the Hub has no user alice any more")]

    run(body)


def test_services_of_a_user_whom_the_hub_renamed_are_kept_and_nobodys(run: Run, tmp_path: Path) -> None:
    """She was made when the gone one was. It is told once; under her former name they are hers again, and the next user
    of that name inherits none."""

    async def body(s: Setting) -> None:
        gone, told = Gone(), list[tuple[str, str]]()
        s.users._told = lambda owner, why: told.append((owner, why))
        await s.users.check({"alice", "bob"}, gone)
        alice = s.hub.users_there.pop("alice")
        s.hub.users_there["alicia"] = replace(alice, name="alicia")
        for _ in range(4):
            await s.users.check({"alice", "bob"}, gone)
        ((owner, why),) = told
        assert owner == "alice"
        assert "alicia, who was made at the same moment" in why
        assert "Name the user alice again" in why
        s.hub.by_token["new"] = replace(BOB, name="alicia", scopes=frozenset({"access:servers!server=alicia/"}))
        caller = await s.identity.resolve("new")
        assert caller is not None
        assert not caller.may_manage("alice")
        del s.hub.users_there["alicia"]
        s.hub.users_there["alice"] = alice
        await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == []
        s.hub.users_there["alicia"] = replace(s.hub.users_there.pop("alice"), name="alicia")
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == [("alice", "the user alice was deleted in the Hub and made anew")]

    run(body)


def test_another_user_who_was_made_in_the_same_second_is_not_a_renamed_one(run: Run) -> None:
    async def body(s: Setting) -> None:
        gone = Gone()
        s.hub.users_there = {name: HubUser(name, created="2026-01-01T00:00:00Z") for name in ("alice", "bob")}
        await s.users.check({"alice", "bob"}, gone)
        del s.hub.users_there["alice"]
        for _ in range(2):
            await s.users.check({"alice", "bob"}, gone)
        assert gone.seen == [("alice", "the Hub has no user alice any more")]

    run(body)


@pytest.mark.parametrize("anew", [True, False])
def test_what_could_not_be_removed_is_tried_again_and_nobody_elses_meanwhile(run: Run, anew: bool) -> None:
    """A disk that is full, say. What is another's is looked at all the same."""

    class Full(Gone):
        async def __call__(self, owner: str, why: str) -> None:
            await super().__call__(owner, why)
            if len(self.seen) < 3:
                raise StoreError("The disk is full.")

    async def body(s: Setting) -> None:
        gone = Full()
        await s.users.check({"alice", "bob"}, gone)
        for name in ("alice", "bob"):
            if anew:
                s.hub.users_there[name] = HubUser(name, created="2027-01-01")
            else:
                del s.hub.users_there[name]
        for _ in range(3 if anew else 4):  # that somebody is not there is believed at the second look
            await s.users.check({"alice", "bob"}, gone)
        assert sorted(owner for owner, _ in gone.seen) == ["alice", "alice", "bob", "bob"]

    run(body)


def test_who_an_owner_is_is_noted_before_anything_is_made_for_her(run: Run) -> None:
    """Not only at the next look: she may be deleted and made anew before that."""

    async def body(s: Setting) -> None:
        gone = Gone()
        assert await s.users.name_of("alice") == "alice"
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        await s.users.check({"alice"}, gone)
        assert gone.seen == [("alice", "the user alice was deleted in the Hub and made anew")]

    run(body)


def test_a_new_user_of_the_same_name_is_another_one_even_after_a_restart(run: Run, tmp_path: Path) -> None:
    async def body(s: Setting) -> None:
        gone = Gone()
        await s.users.check({"alice"}, gone)
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        after = HubUsers(s.hub, s.clock, tmp_path / "owners.json")
        await after.check({"alice"}, gone)
        assert [owner for owner, _ in gone.seen] == ["alice"]
        await after.check({"alice"}, gone)  # the services that the new one makes are her own
        assert len(gone.seen) == 1

    run(body)


@pytest.mark.parametrize(
    "book", [None, "{", '{"alice": {"name": "alice", "created": ""}}', '{"alice": {"name": "alice"}}']
)
def test_where_nobody_noted_when_an_owner_was_made_her_services_tell(
    run: Run, tmp_path: Path, book: str | None
) -> None:
    """The book was lost or damaged, or the Hub did not tell: she was there before her services, but for a clock that
    goes wrong; who came after them is another."""

    async def body(s: Setting) -> None:
        made = {"alice": 1_000_000.0, "bob": 1_000_000.0}
        if book is not None:
            (tmp_path / "owners.json").write_text(book)
        s.hub.users_there["alice"] = HubUser("alice", created="1970-01-12T14:20:00.000000Z")  # 2,000 s after that
        s.hub.users_there["bob"] = HubUser("bob", created="1970-01-12T13:56:00.000000Z")  # 560 s: the clocks differ
        gone, seen = Gone(), asyncio.Event()

        async def remove(owner: str, why: str) -> None:
            await seen.wait()
            await gone(owner, why)

        s.users.start(lambda: set(made), remove, oldest=made.get)
        assert not (await s.users.meet("alice")).hers
        assert (await s.users.meet("bob")).hers
        seen.set()
        file = tmp_path / "owners.json"
        while not (file.exists() and "1970-01-12T14:20" in file.read_text()):
            await asyncio.sleep(0.01)
        assert gone.seen == [("alice", "the user alice was deleted in the Hub and made anew")]
        del made["alice"]
        assert (await s.users.meet("alice")).hers, "what she makes from now on is hers"

    run(body)


def test_an_owner_without_services_is_no_longer_kept(run: Run, tmp_path: Path) -> None:
    """Otherwise the next user of that name would lose what she makes."""

    async def body(s: Setting) -> None:
        gone = Gone()
        await s.users.check({"alice"}, gone)
        await s.users.check(set(), gone)
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        await s.users.check({"alice"}, gone)
        assert gone.seen == []
        assert json.loads((tmp_path / "owners.json").read_text())["alice"]["created"] == "2027-01-01"
        assert (tmp_path / "owners.json").stat().st_mode & 0o777 == 0o600

    run(body)


def test_an_owner_for_whom_the_first_service_is_just_being_made_is_not_forgotten_by_a_look(run: Run) -> None:
    """It is noted whose it is before it is there, and copying its folder may take hours. One look between the two was
    enough for the services of a user who was renamed soon afterwards to be removed as of one who was deleted."""

    async def body(s: Setting) -> None:
        gone, told = Gone(), list[str]()
        s.users._told = lambda owner, why: told.append(owner)
        await s.users.name_of("alice")
        await s.users.check(set(), gone)  # hers is not there yet
        s.hub.users_there["alicia"] = replace(s.hub.users_there.pop("alice"), name="alicia")
        for _ in range(3):
            await s.users.check({"alice"}, gone)
        assert (told, gone.seen) == (["alice"], [])

    run(body)


def test_nor_where_she_is_noted_already_and_her_last_service_just_goes(run: Run) -> None:
    """Its look does not find a service of hers, the next one finds the new one; in between she is renamed, after which
    the Hub says nothing of her under the former name."""

    async def body(s: Setting) -> None:
        gone, told = Gone(), list[str]()
        s.users._told = lambda owner, why: told.append(owner)
        await s.users.check({"alice"}, gone)  # of her former service
        s.clock.advance(MAKING)
        await s.users.name_of("alice")
        await s.users.check(set(), gone)
        s.hub.users_there["alicia"] = replace(s.hub.users_there.pop("alice"), name="alicia")
        await s.users.check(set(), gone)  # its files are still being copied
        for _ in range(3):
            await s.users.check({"alice"}, gone)
        assert (told, gone.seen) == (["alice"], [])

    run(body)


def test_whose_a_service_is_that_is_made_while_the_hub_is_away_is_noted_as_it_last_said(
    run: Run, tmp_path: Path
) -> None:
    """One of a volume and without replicas needs nothing of the Hub."""

    async def body(s: Setting) -> None:
        await s.users.look()
        s.hub.silent = DOWN
        await s.users.name_of("alice")
        assert json.loads((tmp_path / "owners.json").read_text())["alice"]["created"] == "2026-01-02"

    run(body)


def test_an_owner_who_cannot_be_noted_gets_nothing_made(run: Run, tmp_path: Path) -> None:
    async def body(s: Setting) -> None:
        (tmp_path / ".owners.json.part").mkdir()  # where it is written first
        with pytest.raises(StoreError, match=r"owners\.json cannot be written: Is a directory\."):
            await s.users.name_of("alice")
        (tmp_path / ".owners.json.part").rmdir()
        await s.users.name_of("alice")
        assert (tmp_path / "owners.json").exists()

    run(body)


def test_nor_for_ever_or_for_another_user(run: Run, tmp_path: Path) -> None:
    """What was begun for her came to nothing; the next user of that name loses nothing by it."""

    async def body(s: Setting) -> None:
        def kept() -> list[str]:
            return list(json.loads((tmp_path / "owners.json").read_text()))

        gone = Gone()
        await s.users.name_of("alice")
        await s.users.check(set(), gone)
        assert kept() == ["alice"]
        before = s.hub.users_there["alice"]
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        await s.users.check(set(), gone)
        assert kept() == []
        s.hub.users_there["alice"] = before
        await s.users.name_of("alice")
        s.clock.advance(MAKING)
        await s.users.check(set(), gone)
        assert kept() == []
        await s.users.name_of("alice")
        assert kept() == ["alice"]
        next_life = HubUsers(s.hub, s.clock, tmp_path / "owners.json")  # what was begun ended with the last
        await next_life.check(set(), gone)
        assert (kept(), gone.seen) == ([], [])

    run(body)


def test_a_silent_hub_and_a_missing_scope_remove_nobody(run: Run) -> None:
    async def body(s: Setting) -> None:
        gone = Gone()
        for error in (DOWN, HubRefused("status 403", hub_status=403)):
            s.hub.silent = error
            for _ in range(3):
                with pytest.raises(type(error)):
                    await s.users.check({"alice"}, gone)
        s.hub.silent = None
        s.hub.users_there["alice"] = HubUser("alice", created=None)  # without the scope read:users
        await s.users.check({"alice"}, gone)
        assert gone.seen == []

    run(body)


def test_the_hubs_name_of_an_owner(run: Run) -> None:
    async def body(s: Setting) -> None:
        s.hub.users_there["Jo É"] = HubUser("Jo É")
        names = await s.users.look()
        (owner,) = set(names) - {"alice", "bob"}
        assert await s.users.name_of(owner) == "Jo É"
        with pytest.raises(NotFound):
            await s.users.name_of("nobody")
        s.hub.users_there["nobody"] = HubUser("nobody")
        with pytest.raises(NotFound):  # one look in five seconds
            await s.users.name_of("nobody")
        s.clock.advance(6)
        assert await s.users.name_of("nobody") == "nobody"

    run(body)


def test_users_that_are_remembered_are_bounded(run: Run) -> None:
    async def body(s: Setting) -> None:
        for number in range(MOST + 50):
            await s.users.meet(f"user {number}")
        assert len(s.users._met) == MOST

    run(body)
