"""What a Hub says of users and tokens: over HTTP, from a stand-in of its REST API, and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import pytest

from jupyter_model_service.adapters.hub_api import HubApi
from jupyter_model_service.adapters.hub_identity import Asked
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_tokens import TokenApi
from jupyter_model_service.adapters.hub_users import UserApi
from jupyter_model_service.errors import HubRefused, HubUnavailable
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_in_memory import MemoryHub

VISIT = "access:services!service=model-service"


class Api(Asked, UserApi, TokenApi, Protocol):
    """The parts of ``HubApi`` that identity, users and tokens need."""


class Bench(Protocol):
    """A Hub with ann, who is in the group ``ds``, and bob."""

    def api(self) -> Api: ...
    async def close(self) -> None: ...
    def token(self, user: str, *scopes: str) -> str: ...
    def made_anew(self, user: str) -> None: ...
    def gone(self, user: str) -> None: ...
    def away(self) -> None: ...
    def broken(self) -> None:
        """It answers, with an error of its own."""


class OverHttp:
    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        hub.add_user("ann", groups=["ds"])
        hub.add_user("bob")

    def api(self) -> Api:
        self._api = HubApi(self.hub.url, self.hub.token)
        return self._api

    async def close(self) -> None:
        await self._api.close()

    def token(self, user: str, *scopes: str) -> str:
        return self.hub.add_token(user, [*scopes, f"read:users:groups!user={user}"])

    def made_anew(self, user: str) -> None:
        before = self.hub.users[user].created
        self.hub.add_user(user).created = before + 3600.0

    def gone(self, user: str) -> None:
        del self.hub.users[user]

    def away(self) -> None:
        self.hub.down()

    def broken(self) -> None:
        self.hub.fail(500, times=100)


class InMemory:
    def __init__(self) -> None:
        self.hub = MemoryHub([HubUser("ann", groups=("ds",), created="2026"), HubUser("bob", created="2026")])

    def api(self) -> Api:
        return self.hub

    async def close(self) -> None:
        pass

    def token(self, user: str, *scopes: str) -> str:
        self.hub.by_token[f"of {user}"] = HubUser(
            user, groups=self.hub.users_there[user].groups, scopes=frozenset(scopes)
        )
        return f"of {user}"

    def made_anew(self, user: str) -> None:
        self.hub.users_there[user] = HubUser(user, created="2027")

    def gone(self, user: str) -> None:
        del self.hub.users_there[user]

    def away(self) -> None:
        self.hub.silent = HubUnavailable("The Hub is away.")

    def broken(self) -> None:
        self.hub.silent = HubRefused("The Hub answered 500.", hub_status=500)


@pytest.fixture(params=["http", "memory"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield InMemory()
        return
    with FakeHub(users=[], interrupt=0.01) as hub:
        yield OverHttp(hub)


def asked(bench: Bench, body: Callable[[Api], Awaitable[None]]) -> None:
    async def main() -> None:
        api = bench.api()
        try:
            await asyncio.wait_for(body(api), 30)
        finally:
            await bench.close()

    asyncio.run(main())


def test_a_token_says_whose_it_is_and_what_it_may(bench: Bench) -> None:
    token = bench.token("ann", VISIT)

    async def body(api: Api) -> None:
        ann = await api.user_of(token)
        assert ann is not None
        assert (ann.name, ann.kind, ann.admin, ann.groups) == ("ann", "user", False, ("ds",))
        assert VISIT in ann.scopes
        assert await api.user_of("nobodys") is None

    asked(bench, body)


def test_a_user_is_told_from_a_later_one_of_her_name(bench: Bench) -> None:
    async def body(api: Api) -> None:
        first = await api.user("ann")
        assert first is not None
        assert (first.name, first.groups) == ("ann", ("ds",))
        bench.made_anew("ann")
        second = await api.user("ann")
        assert second is not None
        assert None not in (first.created, second.created)
        assert first.created != second.created
        assert {user.name: user.created for user in await api.users()}["ann"] == second.created
        assert await api.user("nobody") is None
        bench.gone("bob")
        assert await api.user("bob") is None
        assert [user.name for user in await api.users()] == ["ann"]

    asked(bench, body)


def test_tokens_are_made_listed_and_removed_and_their_ids_given_out_again(bench: Bench) -> None:
    scopes = ["custom:model-service:invoke!server=ann/chat"]

    async def body(api: Api) -> None:
        made, text = await api.create_token("ann", note="one", scopes=scopes, expires_in=600)
        forever, _ = await api.create_token("ann", note="two", scopes=scopes, expires_in=None)
        assert (made.note, made.scopes, made.created is not None) == ("one", frozenset(scopes), True)
        assert made.expires_at is not None
        assert forever.expires_at is None
        assert {made.id, forever.id} <= {token.id for token in await api.tokens_of("ann")}
        assert await api.tokens_of("bob") == []
        owner = await api.user_of(text)
        assert owner is not None
        assert (owner.name, owner.scopes) == ("ann", frozenset(scopes))
        await api.delete_token("bob", made.id)  # not his
        assert await api.user_of(text) is not None
        for _ in range(2):  # one that is not there is fine
            await api.delete_token("ann", made.id)
        assert await api.user_of(text) is None
        assert [token.id for token in await api.tokens_of("ann")] == [forever.id]
        again, other = await api.create_token("ann", note="three", scopes=scopes, expires_in=None)
        assert (again.id, other == text) == (made.id, False)

    asked(bench, body)


@pytest.mark.parametrize("away", [True, False])
def test_a_hub_that_says_nothing_says_so_of_everything(bench: Bench, away: bool) -> None:
    """``HubUnavailable`` while it is away, ``HubRefused`` for an error of its own; and it knows nobody less than
    before."""
    token, kind = bench.token("ann", VISIT), HubUnavailable if away else HubRefused

    async def body(api: Api) -> None:
        assert await api.user_of(token) is not None
        (bench.away if away else bench.broken)()
        questions: list[Callable[[], Awaitable[object]]] = [
            lambda: api.user_of(token),
            lambda: api.user("ann", patience=0.0),
            lambda: api.users(patience=0.0),
            lambda: api.tokens_of("ann", patience=0.0),
            lambda: api.delete_token("ann", "a1", patience=0.0),
            lambda: api.create_token("ann", note="", scopes=[], expires_in=None, patience=0.0),
        ]
        for ask in questions:
            with pytest.raises(kind):
                await ask()

    asked(bench, body)
