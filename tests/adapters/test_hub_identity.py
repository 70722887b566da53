"""Who a token belongs to while the Hub answers, is silent, or says no."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_model_service.adapters.hub_identity import MOST
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.core.access import Caller, role_of
from jupyter_model_service.core.hub_scopes import INVOKE
from jupyter_model_service.core.sharing import NOBODY, Person, Role
from jupyter_model_service.errors import HubRefused, HubUnavailable

from .hub_setting import BOB, DOWN, Run, Setting


def test_a_confirmed_token_is_known_for_thirty_seconds(run: Run) -> None:
    async def body(s: Setting) -> None:
        assert s.identity.known("bobs") is None
        caller = await s.identity.resolve("bobs")
        person = Person("bob", "bob", frozenset({"ds"}), "2026-01-01", Role.OPERATOR)
        assert caller == Caller("bob", manages=frozenset({"bob"}), home="bob", person=person)
        s.clock.advance(29.9)
        assert s.identity.known("bobs") == caller
        s.clock.advance(0.2)
        assert s.identity.known("bobs") is None
        assert await s.identity.resolve("bobs") == caller
        assert s.hub.asked == 2

    run(body)


@pytest.mark.parametrize("error", [DOWN, HubRefused("status 500", hub_status=500)])
def test_a_silent_hub_takes_nobodys_token_away_for_five_minutes(run: Run, error: Exception) -> None:
    async def body(s: Setting) -> None:
        caller = await s.identity.resolve("bobs")
        s.hub.silent = error
        s.clock.advance(31)
        assert await s.identity.resolve("bobs") == caller
        assert s.identity.known("bobs") == caller  # not one question for each call
        s.clock.advance(268)
        assert await s.identity.resolve("bobs") == caller
        s.clock.advance(2)
        with pytest.raises(HubUnavailable):
            await s.identity.resolve("bobs")
        assert s.identity.known("bobs") is None

    run(body)


def test_a_hub_that_hangs_holds_up_one_call_for_two_seconds_and_the_next_not_at_all(run: Run) -> None:
    async def body(s: Setting) -> None:
        caller = await s.identity.resolve("bobs")
        s.clock.advance(31)
        s.hub.hold = asyncio.Event()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await s.identity.resolve("bobs") == caller
        assert 1.9 < loop.time() - began < 20
        s.hub.silent = DOWN
        s.hub.hold.set()
        s.hub.hold = None
        while s.identity.known("bobs") is None:
            await asyncio.sleep(0)
        s.clock.advance(6)
        s.hub.hold = asyncio.Event()
        began = loop.time()
        assert await s.identity.resolve("bobs") == caller
        assert loop.time() - began < 1.5

    run(body)


def test_when_the_hub_says_no_it_is_over_at_once(run: Run) -> None:
    async def body(s: Setting) -> None:
        await s.identity.resolve("bobs")
        del s.hub.by_token["bobs"]
        s.clock.advance(31)
        assert await s.identity.resolve("bobs") is None
        s.hub.silent = DOWN
        s.clock.advance(6)
        with pytest.raises(HubUnavailable):
            await s.identity.resolve("bobs")

    run(body)


def test_an_unknown_token_is_not_asked_for_again_for_five_seconds(run: Run) -> None:
    async def body(s: Setting) -> None:
        for _ in range(3):
            assert await s.identity.resolve("wrong") is None
        assert s.hub.asked == 1
        s.hub.by_token["wrong"] = BOB
        s.clock.advance(5.1)
        assert await s.identity.resolve("wrong") is not None

    run(body)


def test_many_callers_at_once_are_one_question(run: Run) -> None:
    async def body(s: Setting) -> None:
        s.hub.hold = asyncio.Event()
        calls = [asyncio.ensure_future(s.identity.resolve("bobs")) for _ in range(50)]
        calls[0].cancel()  # a caller who leaves takes the answer from nobody
        await asyncio.sleep(0)
        s.hub.hold.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [a.name for a in answers[1:] if isinstance(a, Caller)] == ["bob"] * 49
        assert s.hub.asked == 1

    run(body)


def test_a_user_is_asked_for_once_in_thirty_seconds_whatever_her_tokens(run: Run) -> None:
    async def body(s: Setting) -> None:
        visits = frozenset({"access:services!service=model-service"})
        s.hub.by_token |= {f"bobs {number}": HubUser("bob", scopes=visits) for number in range(20)}
        s.hub.hold = asyncio.Event()
        calls = [asyncio.ensure_future(s.identity.resolve(f"bobs {number}")) for number in range(10)]
        await asyncio.sleep(0)
        s.hub.hold.set()
        for each in await asyncio.gather(*calls):
            assert each is not None
            assert each.person is not None
        s.clock.advance(29)
        for number in range(10, 20):  # these come later
            assert await s.identity.resolve(f"bobs {number}") is not None
        assert (s.hub.asked, s.hub.asked_of) == (20, ["bob"])
        s.clock.advance(1.5)
        for number in range(20):
            assert s.identity.known(f"bobs {number}") is None
            assert await s.identity.resolve(f"bobs {number}") is not None
        assert s.hub.asked_of == ["bob", "bob"]
        assert s.hub.asked == 30, "those of the last second are good for 30 s themselves"

    run(body)


def test_what_is_known_of_a_token_and_of_its_user_do_not_add_up(run: Run) -> None:
    """bob is deleted and made anew just after he was asked for; the token that comes 29 s later is his, and nothing of
    the former's for longer than that."""

    async def body(s: Setting) -> None:
        visits = frozenset({"access:services!service=model-service"})
        s.hub.by_token |= {"first": HubUser("bob", scopes=visits), "later": HubUser("bob", scopes=visits)}
        await s.identity.resolve("first")
        s.hub.users_there["bob"] = HubUser("bob", created="2027-01-01")
        s.clock.advance(29)
        later = await s.identity.resolve("later")
        s.clock.advance(0.9)
        assert later is not None
        assert s.identity.known("later") == later
        s.clock.advance(0.2)
        assert s.identity.known("later") is None
        anew = await s.identity.resolve("later")
        assert anew is not None
        assert anew.person is not None
        assert anew.person.made == "2027-01-01"

    run(body)


def test_where_a_token_of_hers_is_good_no_more_a_user_is_asked_for_anew(run: Run) -> None:
    """She was deleted, and her tokens with her."""

    async def body(s: Setting) -> None:
        visits = frozenset({"access:services!service=model-service"})
        s.hub.by_token |= {"first": HubUser("bob", scopes=visits), "second": HubUser("bob", scopes=visits)}
        await s.identity.resolve("first")
        s.clock.advance(29)
        await s.users.meet("bob", within=1.0)
        s.clock.advance(1.5)
        s.hub.by_token.pop("first")
        s.hub.users_there["bob"] = HubUser("bob", created="2027-01-01")
        assert await s.identity.resolve("first") is None
        second = await s.identity.resolve("second")
        assert second is not None
        assert second.person is not None
        assert second.person.made == "2027-01-01"

    run(body)


def test_while_the_hub_is_down_the_older_of_both_counts(run: Run) -> None:
    async def body(s: Setting) -> None:
        visits = frozenset({"access:services!service=model-service"})
        s.hub.by_token |= {"first": HubUser("bob", scopes=visits), "later": HubUser("bob", scopes=visits)}
        await s.identity.resolve("first")
        s.clock.advance(29)
        await s.identity.resolve("later")
        s.hub.silent = DOWN
        s.clock.advance(270.5)  # 299.5 s after bob was asked for
        assert await s.identity.resolve("later") is not None
        assert s.identity.met("later")
        s.clock.advance(1)
        assert not s.identity.met("later")
        with pytest.raises(HubUnavailable):
            await s.identity.resolve("later")

    run(body)


def test_what_the_hub_said_of_a_token_counts_also_where_it_says_nothing_of_its_user(run: Run) -> None:
    """It answers one question and not the other: who has left a group is out of it."""

    async def body(s: Setting) -> None:
        visits = frozenset({"access:services!service=model-service"})
        s.hub.by_token["bobs"] = HubUser("bob", scopes=visits, groups=("ds",))
        before = await s.identity.resolve("bobs")
        s.hub.by_token["bobs"] = HubUser("bob", scopes=visits)
        s.clock.advance(31)

        async def user(name: str, *, patience: float | None = None) -> HubUser | None:
            raise DOWN

        s.hub.user = user  # type: ignore[method-assign]
        after = await s.identity.resolve("bobs")
        assert before is not None
        assert after is not None
        assert before.person is not None
        assert after.person is not None
        assert (before.person.groups, after.person.groups) == (frozenset({"ds"}), frozenset())

    run(body)


def test_what_was_known_of_a_user_is_not_known_of_the_one_whom_her_token_is_of_now(run: Run) -> None:
    """The Hub has renamed her, and says nothing of the one of that name: she manages nothing, and is nobody with whom
    something is shared, as she may not be whom the services of the new name were made for."""

    async def body(s: Setting) -> None:
        before = await s.identity.resolve("bobs")
        assert before is not None
        assert before.person is not None
        assert before.manages == {"bob"}
        s.hub.by_token["bobs"] = HubUser("alice", scopes=frozenset({"access:servers!server=alice/"}))
        s.clock.advance(31)

        async def user(name: str, *, patience: float | None = None) -> HubUser | None:
            raise DOWN

        s.hub.user = user  # type: ignore[method-assign]
        after = await s.identity.resolve("bobs")
        assert after is not None
        assert (after.name, after.person, after.manages) == ("alice", None, frozenset())

    run(body)


def test_what_is_remembered_is_bounded(run: Run) -> None:
    async def body(s: Setting) -> None:
        for number in range(MOST + 50):
            await s.identity.resolve(f"wrong {number}")
        assert len(s.identity._refused) == MOST

    run(body)


def test_who_is_in_a_group_is_asked_of_the_users(run: Run) -> None:
    async def body(s: Setting) -> None:
        await s.users.look()
        s.hub.by_token["carols"] = HubUser("carol", scopes=frozenset({f"{INVOKE}!group=ds"}))
        caller = await s.identity.resolve("carols")
        assert caller is not None
        assert caller.may_invoke("bob", "chat")
        assert not caller.may_invoke("alice", "chat")

    run(body)


def test_a_new_user_manages_nothing_until_the_former_ones_services_are_gone(run: Run, tmp_path: Path) -> None:
    """They are removed as soon as she comes, not at the look of the next minute. Her token's model tells no time."""

    async def body(s: Setting) -> None:
        there, gone = {"alice"}, asyncio.Event()

        async def remove(owner: str, why: str) -> None:
            await gone.wait()
            there.clear()

        s.hub.by_token["first"] = HubUser("alice", scopes=frozenset({"access:servers!server=alice/"}))
        first = await s.identity.resolve("first")
        assert first is not None
        assert (first.home, first.may_manage("alice")) == ("alice", True)
        assert await s.users.name_of("alice") == "alice"
        s.users.start(lambda: set(there), remove)
        for _ in range(20):  # the first look
            await asyncio.sleep(0.01)
        del s.hub.by_token["first"]
        s.hub.users_there["alice"] = HubUser("alice", created="2027-01-01")
        s.hub.by_token["second"] = HubUser("alice", scopes=frozenset({"access:servers!server=alice/"}))
        s.clock.advance(1.1)
        for _ in range(2):
            second = await s.identity.resolve("second")
            assert second is not None
            assert (second.name, second.home, second.may_manage("alice")) == ("alice", None, False)
            assert role_of(second, "alice", "chat", NOBODY) is None
            s.clock.advance(1.1)
        gone.set()
        while "2026" in (tmp_path / "owners.json").read_text():
            await asyncio.sleep(0.01)
        assert not there
        s.clock.advance(1.1)
        second = await s.identity.resolve("second")
        assert second is not None
        assert second.may_manage("alice")
        assert second.person is not None
        assert second.person.made == "2027-01-01"

    run(body)


def test_a_visitors_token_says_who_she_is_and_since_when(run: Run) -> None:
    """Also of somebody who manages nothing with it: what is shared with her depends on when she was made. Who has left
    a group has left it when the Hub is asked again, and a user that the Hub has just deleted is nobody."""

    async def body(s: Setting) -> None:
        scopes = frozenset({"access:services!service=model-service"})
        s.hub.by_token["visit"] = HubUser("bob", groups=("ds",), scopes=scopes)
        caller = await s.identity.resolve("visit")
        person = Person("bob", "bob", frozenset({"ds"}), "2026-01-01", Role.CALLER)
        assert caller == Caller("bob", home="bob", person=person)
        s.hub.by_token["visit"] = HubUser("bob", scopes=scopes)
        s.clock.advance(30.1)
        caller = await s.identity.resolve("visit")
        assert caller is not None
        assert caller.person == replace(person, groups=frozenset())
        del s.hub.users_there["bob"]
        s.clock.advance(30.1)
        caller = await s.identity.resolve("visit")
        assert caller is not None
        assert (caller.person, caller.home) == (None, None)

    run(body)


GROUPS = frozenset({"custom:model-service:invoke!group=ds", "custom:model-service:manage!group=ds"})


def test_who_leaves_a_group_is_out_of_the_scopes_by_it_within_thirty_seconds(run: Run) -> None:
    """Owners whose services a token may call and manage by a group. For all such tokens it is one look in that time."""

    async def body(s: Setting) -> None:
        s.hub.users_there["alice"] = replace(s.hub.users_there["alice"], groups=("ds",))
        s.hub.by_token |= {f"t{number}": HubUser("bob", scopes=GROUPS) for number in range(20)}
        for number in range(20):
            caller = await s.identity.resolve(f"t{number}")
            assert caller is not None
            assert (caller.may_invoke("alice", "chat"), caller.may_manage("alice")) == (True, True)
        assert s.hub.listed == 1
        s.hub.users_there["alice"] = HubUser("alice", created="2026-01-02")
        s.clock.advance(15)
        s.hub.by_token["later"] = HubUser("bob", scopes=GROUPS)
        assert await s.identity.resolve("later") is not None
        s.clock.advance(15.1)
        for token in ("later", "t0"):
            assert s.identity.known(token) is None
            caller = await s.identity.resolve(token)
            assert caller is not None
            assert (caller.may_invoke("alice", "chat"), caller.may_manage("alice")) == (False, False)
        assert s.hub.listed == 2

    run(body)


def test_who_was_in_a_group_five_minutes_ago_is_not_while_the_hub_lists_nobody(run: Run) -> None:
    """Though it says whose a token is; what the token may do besides, it may."""

    async def body(s: Setting) -> None:
        s.hub.users_there["alice"] = replace(s.hub.users_there["alice"], groups=("ds",))
        s.hub.by_token["bobs"] = HubUser("bob", scopes=GROUPS | BOB.scopes)
        assert await s.identity.resolve("bobs") is not None
        s.hub.lists = HubRefused("It breaks at one of its users.", hub_status=500)
        for expected in [True] * 9 + [False] * 3:
            s.clock.advance(30)
            caller = s.identity.known("bobs") or await s.identity.resolve("bobs")
            assert caller is not None
            assert (caller.may_invoke("alice", "chat"), caller.may_manage("bob")) == (expected, True)
        assert s.hub.listed <= 14
        s.hub.lists = None
        s.clock.advance(5.1)
        caller = await s.identity.resolve("bobs")
        assert caller is not None
        assert caller.may_invoke("alice", "chat")

    run(body)


def test_a_token_was_met_for_as_long_as_it_stays_good_while_the_hub_is_silent(run: Run) -> None:
    """Whoever guesses tokens never has one of these, also not one that the Hub has refused since."""

    async def body(s: Setting) -> None:
        assert not s.identity.met("bobs")
        await s.identity.resolve("bobs")
        s.clock.advance(299)
        assert s.identity.met("bobs")
        assert not s.identity.met("guessed")
        s.clock.advance(2)
        assert not s.identity.met("bobs")
        await s.identity.resolve("bobs")
        del s.hub.by_token["bobs"]
        s.clock.advance(31)
        await s.identity.resolve("bobs")
        assert not s.identity.met("bobs")

    run(body)
