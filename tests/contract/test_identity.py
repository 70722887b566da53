"""Who a token belongs to: of the table of endpoint tokens, of what a Hub says, and as a test says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest

from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_tokens import HubTokens
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.errors import HubUnavailable
from jupyter_model_service.ports import Identity, ServiceRecord, TokenIssuer
from jupyter_model_service.testing import ManualClock, MemoryStore
from jupyter_model_service.testing.hub_in_memory import MemoryHub
from jupyter_model_service.testing.identity import FakeIdentity

WRONG = "nobodys"


class Bench(Protocol):
    @property
    def identity(self) -> Identity: ...

    async def good(self) -> str:
        """A token that lets somebody call ``ann/chat``, and of which nothing was asked yet."""

    async def end(self, token: str) -> None:
        """It is good no more, and that is known."""

    async def close(self) -> None: ...


class InTheTable:
    def __init__(self, folder: Path, issuer: TokenIssuer | None = None) -> None:
        self.store = MemoryStore()
        self.identity = self.tokens = EndpointTokens(self.store, ManualClock(), {}, issuer)
        self.ids: dict[str, str] = {}

    async def good(self) -> str:
        record = ServiceRecord("s1", "ann", "chat", False, True, 1, 1, None, 5.0)
        await self.store.add_service(record, Revision(1, "/f", Definition("Tiny", "/models", 8000), 5.0))
        made, text = await self.tokens.generate("s1", "ann/chat", "laptop", None)
        self.ids[text] = made.id
        return text

    async def end(self, token: str) -> None:
        await self.tokens.revoke("s1", self.ids[token])

    async def close(self) -> None:
        pass


class OfAHub:
    def __init__(self, folder: Path) -> None:
        self.hub, self.clock = MemoryHub([HubUser("ann", created="2026")]), ManualClock()
        self.users = HubUsers(self.hub, self.clock, folder / "owners.json")
        self.identity = HubIdentity(
            self.hub,
            self.clock,
            endpoints=EndpointTokens(MemoryStore(), self.clock, {}),
            system_user="nobody",
            meet=self.users.meet,
        )

    async def good(self) -> str:
        self.hub.by_token["anns"] = HubUser("ann", scopes=frozenset({"access:servers!user=ann"}))
        return "anns"

    async def end(self, token: str) -> None:
        del self.hub.by_token[token]
        self.clock.advance(31)  # what the Hub said is asked again
        assert await self.identity.resolve(token) is None

    def silent(self) -> None:
        self.hub.silent = HubUnavailable("The Hub is down.")

    async def close(self) -> None:
        await self.identity.close()
        await self.users.stop()


class OfAHubsEndpoint(OfAHub):
    """The Hub made it, and it is revoked in our own table."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.issuer = HubTokens(self.hub, self.clock, user="nobody", name_of=self.users.name_of)
        self.table = InTheTable(folder, self.issuer)
        self.identity = HubIdentity(
            self.hub, self.clock, endpoints=self.table.tokens, system_user="nobody", meet=self.users.meet
        )

    async def good(self) -> str:
        return await self.table.good()

    async def end(self, token: str) -> None:
        await self.table.end(token)

    async def close(self) -> None:
        await self.issuer.stop()
        await super().close()


class AsATestSays:
    def __init__(self, folder: Path) -> None:
        self.identity = FakeIdentity({"anns": Caller("ann", manages=frozenset({"ann"}))})

    async def good(self) -> str:
        return "anns"

    async def end(self, token: str) -> None:
        self.identity.ended.add(token)

    def silent(self) -> None:
        self.identity.error = HubUnavailable("The Hub is down.")

    async def close(self) -> None:
        pass


class Elsewhere(AsATestSays):
    """Of those whom only ``resolve`` finds."""

    def __init__(self, folder: Path) -> None:
        self.identity = FakeIdentity(elsewhere={"anns": Caller("ann", manages=frozenset({"ann"}))})


KINDS = [InTheTable, OfAHub, OfAHubsEndpoint, AsATestSays, Elsewhere]


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return request.param(tmp_path)  # type: ignore[no-any-return]


def played(bench: Bench, body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await asyncio.wait_for(body(), 30)
        finally:
            await bench.close()

    asyncio.run(main())


def test_what_is_nobodys_is_nobodys_however_often_it_is_asked(bench: Bench) -> None:
    async def body() -> None:
        await bench.good()
        for _ in range(3):
            assert bench.identity.known(WRONG) is None
            assert not bench.identity.met(WRONG)
            assert await bench.identity.resolve(WRONG) is None
            assert await bench.identity.resolve(WRONG, signs_in=True) is None

    played(bench, body)


def test_a_good_one_is_the_same_persons_by_every_way(bench: Bench) -> None:
    """Where it is not known from memory, ``known`` says so, and never that it is another's."""

    async def body() -> None:
        token = await bench.good()
        assert not bench.identity.over(token)
        found = await bench.identity.resolve(token)
        assert found is not None
        assert found.may_invoke("ann", "chat")
        assert not found.may_invoke("bob", "chat")
        assert bench.identity.known(token) in (found, None)
        assert await bench.identity.resolve(token, signs_in=True) == found
        assert await asyncio.gather(*(bench.identity.resolve(token) for _ in range(5))) == [found] * 5
        assert bench.identity.met(token)
        assert not bench.identity.over(token)
        assert not bench.identity.met(WRONG), "met is asked of each token by itself"

    played(bench, body)


def test_one_that_was_good_is_over_on_every_way(bench: Bench) -> None:
    """``met`` may still say that it was good: nobody guesses such a one."""

    async def body() -> None:
        token = await bench.good()
        assert await bench.identity.resolve(token) is not None
        await bench.end(token)
        for _ in range(2):
            assert bench.identity.known(token) is None
            assert bench.identity.over(token)
            assert await bench.identity.resolve(token) is None

    played(bench, body)


@pytest.mark.parametrize("kind", [OfAHub, OfAHubsEndpoint, AsATestSays, Elsewhere])
def test_while_nothing_can_be_found_out_nobody_new_comes_and_what_was_good_was_met(
    kind: type[OfAHub | AsATestSays], tmp_path: Path
) -> None:
    """That cannot be found out is no answer about a token: it is not over."""
    bench = kind(tmp_path)

    async def body() -> None:
        token = await bench.good()
        assert await bench.identity.resolve(token) is not None
        bench.silent()
        with pytest.raises(HubUnavailable):
            await bench.identity.resolve(WRONG)
        assert bench.identity.met(token)
        assert not bench.identity.over(token)
        assert not bench.identity.met(WRONG)

    played(bench, body)
