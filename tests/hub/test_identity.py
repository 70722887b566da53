"""Who a token belongs to while the Hub answers, is silent, or says no; and the tokens that it makes for endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.hub_identity import MOST, HubIdentity
from jupyter_model_service.adapters.hub_models import HubToken, HubUser
from jupyter_model_service.adapters.hub_tokens import HubTokens
from jupyter_model_service.adapters.hub_users import MAKING, HubUsers
from jupyter_model_service.adapters.hub_users import MOST as USERS
from jupyter_model_service.core.access import Caller, role_of
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.hub_scopes import INVOKE
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.sharing import NOBODY, Person, Role
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.errors import HubRefused, HubUnavailable, InvalidRequest, NotFound, StoreError
from jupyter_model_service.ports import ServiceRecord
from jupyter_model_service.testing import ManualClock, MemoryStore

SYSTEM = "model-service-endpoints"
FAR = 1e10  # Unix time
BOB = HubUser("bob", groups=("ds",), scopes=frozenset({"access:servers!server=bob/"}), created="2026-01-01")


class SmallHub:
    """The part of a Hub that knows tokens and users. Ids of deleted tokens are given out again."""

    def __init__(self) -> None:
        self.users_there: dict[str, HubUser] = {"bob": BOB, "alice": HubUser("alice", created="2026-01-02")}
        self.by_token: dict[str, HubUser] = {"bobs": BOB}
        self.endpoint_tokens: dict[str, tuple[HubToken, str]] = {}
        self.silent: Exception | None = None
        self.lists: Exception | None = None  # of its users it tells no list
        self.listed = 0
        self.asked = 0
        self.asked_of: list[str] = []  # users
        self.hold: asyncio.Event | None = None

    async def _answer(self, counted: bool = True) -> None:
        self.asked += counted
        if self.hold is not None:
            await self.hold.wait()
        if self.silent is not None:
            raise self.silent

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        await self._answer()
        return self.by_token.get(token)

    async def users(self, *, patience: float | None = None) -> Sequence[HubUser]:
        await self._answer(counted=False)
        self.listed += 1
        if self.lists is not None:
            raise self.lists
        return list(self.users_there.values())

    async def user(self, name: str, *, patience: float | None = None) -> HubUser | None:
        self.asked_of.append(name)
        await self._answer(counted=False)
        return self.users_there.get(name)

    async def create_token(
        self, user: str, *, note: str, scopes: Sequence[str], expires_in: int | None, patience: float | None = None
    ) -> tuple[HubToken, str]:
        await self._answer()
        if expires_in is not None and expires_in > 1000:
            raise HubRefused("The Hub refused: expires_in must not exceed 1000.", hub_status=400)
        number = next(n for n in range(1, 100) if f"a{n}" not in self.endpoint_tokens)
        text = f"hub-token-{number}-{len(note)}-{self.asked}"
        made = HubToken(
            f"a{number}", note, frozenset(scopes), created=0.0, expires_at=FAR + expires_in if expires_in else None
        )
        self.endpoint_tokens[made.id] = (made, text)
        self.by_token[text] = HubUser(user, scopes=frozenset(scopes))
        return made, text

    async def tokens_of(self, user: str, *, patience: float | None = None) -> Sequence[HubToken]:
        await self._answer()
        return [token for token, _ in self.endpoint_tokens.values()]

    async def delete_token(self, user: str, token_id: str, *, patience: float | None = None) -> None:
        await self._answer()
        _, text = self.endpoint_tokens.pop(token_id)
        self.by_token.pop(text)


class Setting:
    """A Hub, a service ``alice/chat``, and all that decides who may call it."""

    def __init__(self, folder: Path) -> None:
        self.hub, self.clock, self.store = SmallHub(), ManualClock(), MemoryStore()
        self.users = HubUsers(self.hub, self.clock, folder / "owners.json")
        self.issuer = HubTokens(self.hub, self.clock, user=SYSTEM, name_of=self.users.name_of)
        self.tokens = EndpointTokens(self.store, self.clock, {}, self.issuer)
        self.identity = HubIdentity(
            self.hub,
            self.clock,
            endpoints=self.tokens,
            system_user=SYSTEM,
            meet=self.users.meet,
            doubt=self.users.doubt,
            members=self.users.members,
            looked=self.users.looked_within,
        )

    async def begin(self) -> None:
        record = ServiceRecord("s1", "alice", "chat", False, True, 1, 1, None, 5.0)
        await self.store.add_service(record, Revision(1, "/f", Definition("Tiny", "/models", 8000), 5.0))

    async def generate(self, expires_in: float | None = None) -> tuple[str, str]:
        record, text = await self.tokens.generate("s1", "alice/chat", "laptop", expires_in)
        return record.id, text


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Setting], Coroutine[Any, Any, None]]], None]:
    def whole(body: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            setting = Setting(tmp_path)
            await setting.begin()
            try:
                await asyncio.wait_for(body(setting), 30)
            finally:
                await setting.issuer.stop()
                await setting.users.stop()
                await setting.identity.close()

        asyncio.run(main())

    return whole


Run = Callable[[Callable[[Setting], Coroutine[Any, Any, None]]], None]
DOWN = HubUnavailable("The Hub is down.")


# --- who somebody is ---------------------------------------------------------------------------------


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


def test_users_that_are_remembered_are_bounded(run: Run) -> None:
    async def body(s: Setting) -> None:
        for number in range(USERS + 50):
            await s.users.meet(f"user {number}")
        assert len(s.users._met) == USERS

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


# --- tokens of endpoints -----------------------------------------------------------------------------


def test_a_token_of_an_endpoint_is_the_hubs_and_opens_that_endpoint(run: Run) -> None:
    async def body(s: Setting) -> None:
        token_id, text = await s.generate(expires_in=600.2)
        ((made, _),) = s.hub.endpoint_tokens.values()
        assert made.scopes == {f"{INVOKE}!server=alice/chat"}
        assert made.expires_at == FAR + 601
        assert "alice/chat" in made.note
        assert "laptop" in made.note
        caller = await s.identity.resolve(text)
        assert caller is not None
        assert caller.may_invoke("alice", "chat")
        assert not caller.may_invoke("alice", "other")
        assert not caller.manages_any
        assert s.identity.known(text) == caller
        assert [t.id for t in s.tokens.of("s1")] == [token_id]
        assert s.tokens.of("s1")[0].last_used_at is not None

    run(body)


def test_limits_of_an_endpoints_token_hold_for_all_its_calls_also_while_the_hub_is_silent(run: Run) -> None:
    """They are in our own table: a change holds for the next call, without a question to the Hub."""

    async def body(s: Setting) -> None:
        record, text = await s.tokens.generate("s1", "alice/chat", "laptop", None, Limits(in_flight=1))
        first = await s.identity.resolve(text)
        s.hub.silent, asked = DOWN, s.hub.asked
        again = s.identity.known(text)
        assert first is not None
        assert again is not None
        assert first.allowance is again.allowance is not None
        assert first.allowance.admit(0, 1e9) is None
        assert again.allowance is not None
        assert again.allowance.admit(0, 1e9) is not None
        await s.tokens.change("s1", record.id, {"in_flight": 2})
        assert first.allowance.admit(0, 1e9) is None
        await s.tokens.change("s1", record.id, {"in_flight": None})
        free = s.identity.known(text)
        assert free is not None
        assert free.allowance is None
        assert s.hub.asked == asked

    run(body)


def test_revoking_is_immediate_even_while_the_hub_is_silent_and_is_made_good_there(run: Run) -> None:
    async def body(s: Setting) -> None:
        token_id, text = await s.generate()
        assert not s.identity.over(text)  # nothing is known of it yet
        assert await s.identity.resolve(text) is not None
        assert not s.identity.over(text)
        s.issuer.start(s.tokens.ids)
        s.hub.silent = DOWN
        await s.tokens.revoke("s1", token_id)
        assert s.identity.known(text) is None
        assert s.identity.over(text)
        assert await s.identity.resolve(text) is None
        assert len(s.hub.endpoint_tokens) == 1
        asked = s.hub.asked
        s.hub.silent = None

        def gone() -> bool:
            s.clock.advance(1)
            return not s.hub.endpoint_tokens

        await _until(gone)
        assert s.hub.asked > asked
        assert await s.identity.resolve(text) is None

    run(body)


def test_what_is_revoked_while_another_is_made_good_is_made_good_too(run: Run) -> None:
    async def body(s: Setting) -> None:
        (one, _), (two, _) = await s.generate(), await s.generate()
        s.issuer.start(s.tokens.ids)
        for _ in range(50):
            await asyncio.sleep(0)
        s.hub.hold, asked = asyncio.Event(), s.hub.asked
        await s.tokens.revoke("s1", one)
        await _until(lambda: s.hub.asked > asked)
        await s.tokens.revoke("s1", two)
        s.hub.hold.set()
        await _until(lambda: not s.hub.endpoint_tokens)  # and not at the next look, an hour later

    run(body)


def test_the_tokens_of_a_deleted_service_open_no_later_one_of_that_name(run: Run) -> None:
    async def body(s: Setting) -> None:
        _, text = await s.generate()
        assert await s.identity.resolve(text) is not None
        s.tokens.forget("s1")
        assert s.identity.known(text) is None
        s.clock.advance(31)
        assert await s.identity.resolve(text) is None  # though the Hub still knows it

    run(body)


def test_a_token_of_the_system_user_that_was_not_made_here_opens_nothing(run: Run) -> None:
    """Whoever could make one in the Hub: all scopes of the system user are of no use without our table."""

    async def body(s: Setting) -> None:
        s.hub.by_token["stray"] = HubUser(SYSTEM, scopes=frozenset({INVOKE, f"access:servers!user={SYSTEM}"}))
        assert await s.identity.resolve("stray") is None
        assert s.identity.known("stray") is None

    run(body)


def test_an_id_that_the_hub_gave_out_again_is_somebody_elses(run: Run) -> None:
    """``a1`` was deleted behind our back and is now another token: revoking the old one leaves it alone."""

    async def body(s: Setting) -> None:
        old, _ = await s.generate()
        await s.hub.delete_token(SYSTEM, "a1")
        new, text = await s.generate()
        assert old.partition("-")[0] == new.partition("-")[0] == "a1"
        await s.tokens.revoke("s1", old)
        await s.issuer.sweep(s.tokens.ids())
        assert await s.identity.resolve(text) is not None

    run(body)


def test_what_a_crash_left_in_the_hub_is_removed_and_nothing_else(run: Run) -> None:
    async def body(s: Setting) -> None:
        kept, _ = await s.generate()
        left = HubToken("a7", "model-service alice/gone [0123abcd] x", created=0.0)
        young = HubToken("a8", "model-service alice/new [0123abcd] x", created=s.clock.now())
        strange = HubToken("a9", "made by hand", created=0.0)
        for token in (left, young, strange):
            s.hub.endpoint_tokens[token.id] = (token, token.id)
            s.hub.by_token[token.id] = BOB
        await s.issuer.sweep(s.tokens.ids())
        assert set(s.hub.endpoint_tokens) == {kept.partition("-")[0], "a8", "a9"}

    run(body)


def test_what_the_hub_does_not_allow_is_told_in_its_words(run: Run) -> None:
    async def body(s: Setting) -> None:
        with pytest.raises(InvalidRequest, match="must not exceed 1000"):
            await s.generate(expires_in=5000)
        s.hub.silent = DOWN
        with pytest.raises(HubUnavailable):
            await s.generate()
        assert s.tokens.of("s1") == []

    run(body)


# --- users -------------------------------------------------------------------------------------------


async def _until(check: Callable[[], Any]) -> None:
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come true")


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
