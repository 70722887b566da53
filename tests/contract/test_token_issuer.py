"""Tokens for endpoints as they are made: by the gateway itself, by a Hub, and as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_tokens import HubTokens
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.engine.own_tokens import OwnTokens
from jupyter_model_service.ports import TokenIssuer
from jupyter_model_service.testing import ManualClock
from jupyter_model_service.testing.hub_in_memory import LATE, MemoryHub
from jupyter_model_service.testing.identity import FakeIssuer


def of_the_gateway(folder: Path) -> tuple[TokenIssuer, float]:
    clock = ManualClock()
    return OwnTokens(clock), clock.now()


def of_a_hub(folder: Path) -> tuple[TokenIssuer, float]:
    hub, clock = MemoryHub([HubUser("ann", created="2026")]), ManualClock()
    users = HubUsers(hub, clock, folder / "owners.json")
    return HubTokens(hub, clock, user="endpoints", name_of=users.name_of), LATE


def as_a_test_says(folder: Path) -> tuple[TokenIssuer, float]:
    return FakeIssuer(made_at=5.0), 5.0


@pytest.fixture(params=[of_the_gateway, of_a_hub, as_a_test_says])
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TokenIssuer, float]:
    """With the Unix time at which it makes tokens."""
    return request.param(tmp_path)  # type: ignore[no-any-return]


def played(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(body(), 30)

    asyncio.run(main())


def test_each_token_is_another_with_an_id_that_says_nothing_of_it(issuer: tuple[TokenIssuer, float]) -> None:
    async def body() -> None:
        made = [await issuer[0].issue("ann/chat", "laptop", None) for _ in range(5)]
        assert len({each.id for each in made}) == len({each.text for each in made}) == 5
        assert not [each for each in made for other in made if other.text in each.id or each.text in repr(other)]
        assert {each.expires_at for each in made} == {None}

    played(body)


def test_one_for_so_many_seconds_ends_that_long_after_it_is_made(issuer: tuple[TokenIssuer, float]) -> None:
    async def body() -> None:
        made = await issuer[0].issue("ann/chat", "", 600.0)
        assert made.expires_at == issuer[1] + 600.0

    played(body)


def test_what_is_withdrawn_is_so_without_a_word_and_twice_is_fine(issuer: tuple[TokenIssuer, float]) -> None:
    async def body() -> None:
        made = await issuer[0].issue("ann/chat", "", None)
        for token in (made.id, made.id, "none-such"):
            issuer[0].withdraw(token)
        again = await issuer[0].issue("ann/chat", "", None)
        assert again.id != made.id
        assert again.text != made.text

    played(body)
