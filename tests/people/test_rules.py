"""What an administrator's rules give users and groups: the whole gateway over a fake Hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.core.policy import Policy, PolicyRule, VolumeRule
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site

Run = Callable[[Callable[[HubSite], Coroutine[Any, Any, None]]], None]
DAY = 86400.0
POLICY = Policy(
    model_volumes=(VolumeRule("models"),),
    max_replicas_per_user=1,
    allow_public=False,
    longest_token=DAY,
    rules=(
        PolicyRule({"max_replicas_per_user": 0, "longest_token": 30 * DAY}, groups=("ds",)),
        PolicyRule({"allow_public": True}, users=("carol",)),
    ),
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "carol"], interrupt=0.02) as hub:
        hub.users["bob"].groups = ("ds",)
        yield hub


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    def whole(body: Callable[[HubSite], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with hub_site(hub, tmp_path / "gateway", POLICY) as site:
                await body(site)

        asyncio.run(main())

    return whole


async def said(site: HubSite, method: str, path: str, body: Any, token: str) -> tuple[int, str]:
    answer = await site.api(method, path, body, token=token)
    return answer.status_code, answer.json().get("error", {}).get("message", "")


def test_a_user_is_held_to_the_rule_of_her_group_and_told_whose_it_is(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")
        await site.deploy("chat", bob)
        for token, owner, count, end in (
            (bob, "bob", 1, "0 are the most that one user may run (set for the group ds)."),
            (alice, "alice", 2, "1 is the most that one user may run (set for all users)."),
        ):
            if owner == "alice":
                await site.deploy("chat", alice)
            status, message = await said(site, "PUT", f"services/{owner}/chat/scale", {"replicas": count}, token)
            assert (status, message.endswith(end)) == (400, True), message

    run(body)


def test_the_longest_life_of_a_token_holds_on_every_way_to_one(run: Run) -> None:
    """Whoever asks for none gets the longest; more is refused with the limit and whose it is."""

    async def body(site: HubSite) -> None:
        for user, days, whose in (("alice", 1, "for all users"), ("bob", 30, "for the group ds")):
            token = site.notebook(user)
            await site.deploy("chat", token)
            made = (await site.api("POST", f"services/{user}/chat/tokens", {"name": "t"}, token=token)).json()
            assert made["expires_at"] - made["created_at"] == pytest.approx(days * DAY, abs=5)
            assert made["notices"] == [
                f"The token was never to expire, and lives {days} day{'s' if days > 1 else ''}: the longest that a token "
                f"of {user}'s services may (set {whose})."
            ]
            place = f"services/{user}/chat/tokens/{made['id']}/rotate"
            made = (await site.api("POST", place, {}, token=token)).json()
            assert made["notices"] == [], "it lives as long as the former"
            made = (
                await site.api("POST", place.replace(made["id"], made["id"]), {"expires_in": None}, token=token)
            ).json()
            assert made["notices"] != []
            body = {"name": "t", "expires_in": 90 * DAY, "shorten": True}
            made = (await site.api("POST", f"services/{user}/chat/tokens", body, token=token)).json()
            assert made["expires_at"] - made["created_at"] == pytest.approx(days * DAY, abs=5)
            body = {"name": "t", "expires_in": 60.0, "shorten": True}
            made = (await site.api("POST", f"services/{user}/chat/tokens", body, token=token)).json()
            assert made["expires_at"] - made["created_at"] == pytest.approx(60.0, abs=5)
            assert made["notices"] == []
            asked = {"name": "t", "expires_in": days * DAY + 1}
            status, message = await said(site, "POST", f"services/{user}/chat/tokens", asked, token)
            assert status == 400
            assert message.endswith(f"(set {whose}).")

    run(body)


def test_who_may_open_a_service_is_said_in_the_offer_in_access_and_at_the_update(run: Run) -> None:
    async def body(site: HubSite) -> None:
        for user, may in (("alice", False), ("carol", True)):
            token = site.notebook(user)
            await site.deploy("chat", token)
            offer = (await site.api("GET", "offer", token=token)).json()
            assert (offer["public"], offer["public_set_by"]) == (may, None if may else "the administrator")
            told = (await site.api("GET", f"services/{user}/chat/access", token=token)).json()
            assert (told["public_allowed"], told["set_by"]) == (may, None if may else "the administrator")
            status, message = await said(site, "POST", f"services/{user}/chat/update", {"public": True}, token)
            assert status == (202 if may else 400), message
            assert may or message.endswith("make it private, so that callers need a token (set for all users).")

    run(body)
