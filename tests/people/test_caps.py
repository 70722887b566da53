"""How much each person may call whom a share limits: the whole gateway over a fake Hub."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.core.hub_scopes import MANAGE
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site

CHAT = "services/alice/chat"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "carol"], interrupt=0.02) as hub:
        for name in ("alice", "bob", "carol"):
            hub.users[name].groups = ("class",)
        yield hub


async def status(site: HubSite, *tokens: str) -> list[int]:
    """503 is for who is let in: the service has no replica."""
    return [(await site.call("alice/chat", token)).status_code for token in tokens]


def test_each_of_a_class_has_her_own_calls_whatever_her_tokens_and_over_a_restart(hub: FakeHub, tmp_path: Path) -> None:
    """A larger limit holds from the next call on, and what was called counts; her owner is not limited."""

    async def first() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice, bob, again = site.notebook("alice"), site.notebook("bob"), site.visitor("bob")
            await site.deploy("chat", alice)
            share = {"limits": {"calls_per_day": 3}}
            assert (await site.api("PUT", f"{CHAT}/access/group/class", share, token=alice)).status_code == 200
            assert await status(site, bob, again, bob, again, bob) == [503, 503, 503, 429, 429]
            refused = await site.call("alice/chat", bob)
            assert refused.json()["error"]["code"] == "daily_limit"
            assert refused.json()["error"]["message"].startswith(
                "You may make 3 calls a day (set by alice for the group class);"
            ), "whatever her token"
            assert await status(site, site.notebook("carol"), *[alice] * 5) == [503] * 6

    async def second() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice, bob, carol = site.notebook("alice"), site.notebook("bob"), site.notebook("carol")
            assert await status(site, bob, carol, carol, carol) == [429, 503, 503, 429]
            share: dict[str, Any] = {"limits": {"calls_per_day": 4}}
            await site.api("PUT", f"{CHAT}/access/group/class", share, token=alice)
            assert await status(site, bob, bob) == [503, 429]
            answer = await site.api("PUT", f"{CHAT}/access/user/bob", {"limits": {"calls_per_day": 4}}, token=alice)
            assert answer.json()["notices"] == [], "as much as the group"
            answer = await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
            assert answer.json()["notices"] == [
                "So far it was shared with bob with at most 4 calls a day; now as caller, with no limits: what is not "
                "said anew does not stay.",
                "What is shared with bob by name goes before what is shared with groups: if bob is in the group class, "
                "the limits there do not hold for bob any more.",
            ]
            assert await status(site, bob, bob) == [503, 503]

    asyncio.run(first())
    asyncio.run(second())


def test_whoever_calls_by_a_scope_has_the_calls_of_her_class_and_no_more(hub: FakeHub, tmp_path: Path) -> None:
    """A token that she made of a scope which her group holds is one more of hers: it is counted as her calls, once, and
    opens nothing of what is shared with her."""

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice, bob = site.notebook("alice"), site.notebook("bob")
            by_scope = hub.add_token("bob", ["custom:model-service:invoke!group=class"])
            elsewhere = hub.add_token("bob", ["custom:model-service:invoke!user=carol"])
            await site.deploy("chat", alice)
            assert await status(site, *[by_scope] * 3) == [503] * 3, "nothing is shared"
            share = {"limits": {"calls_per_day": 5}}
            assert (await site.api("PUT", f"{CHAT}/access/group/class", share, token=alice)).status_code == 200
            assert await status(site, by_scope, bob, by_scope, bob) == [503, 503, 429, 429]
            assert await status(site, elsewhere) == [404]
            uses = (await site.api("GET", f"{CHAT}/uses", token=alice)).json()["uses"]
            assert [(each["kind"], each["name"], each["calls"]) for each in uses] == [("user", "bob", 5)]

    asyncio.run(body())


def test_who_manages_the_service_is_limited_by_no_share(hub: FakeHub, tmp_path: Path) -> None:
    """An administrator, and whom a scope lets manage it, as the owner: though they are in the group that has limits."""

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice, bob = site.notebook("alice"), site.notebook("bob")
            manager = hub.add_token("carol", [f"{MANAGE}!user=alice"])
            await site.deploy("chat", alice)
            share = {"limits": {"calls_per_day": 1}}
            assert (await site.api("PUT", f"{CHAT}/access/group/class", share, token=alice)).status_code == 200
            assert await status(site, *[site.administrator("carol")] * 3) == [503] * 3
            assert await status(site, *[manager] * 3, *[alice] * 3) == [503] * 6
            assert await status(site, bob, bob) == [503, 429]

    asyncio.run(body())
