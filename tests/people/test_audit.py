"""The audit log of a hub's gateway: who did what and from where, as the whole gateway writes it down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site

CHAT = "services/alice/chat"
Run = Callable[[Callable[[HubSite], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "admin"], interrupt=0.02) as hub:
        yield hub


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    """May be called again: that is the next life of the gateway."""

    def whole(body: Callable[[HubSite], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with hub_site(hub, tmp_path / "gateway") as site:
                await body(site)

        asyncio.run(main())

    return whole


def test_what_owners_do_and_what_others_may_not_is_there_after_a_restart(run: Run) -> None:
    """The address is what the front saw, not what somebody says it is. An owner reads what was done to her services, an
    administrator everything; nobody's token is in it."""
    tokens: list[str] = []

    async def first(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")
        tokens.extend([alice, bob])
        await site.deploy("chat", alice, environment={"KEY": "s3cret-value"})
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        made = await site.api("POST", f"{CHAT}/tokens", {"name": "ci"}, token=alice)
        tokens.append(made.json()["token"])
        lied = {"Authorization": f"Bearer {alice}", "X-Model-Service-Address": "8.8.8.8", "X-Forwarded-For": "9.9.9.9"}
        answer = await site._http.put(f"api/v1/{CHAT}/scale", json={"replicas": 0}, headers=lied)
        assert answer.status_code == 202, answer.text
        assert (await site.api("DELETE", CHAT, token=bob)).status_code == 403
        assert (await site.api("GET", "admin/audit", token=alice)).status_code == 403

    async def second(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator()
        own = (await site.api("GET", f"{CHAT}/audit", token=alice)).json()["entries"]
        assert [(each["action"], each["who"], each["status"]) for each in own] == [
            ("create_service", "alice", 201),
            ("share_service", "alice", 200),
            ("create_token", "alice", 201),
            ("scale_service", "alice", 202),
            ("delete_service", "bob", 403),
        ]
        assert {each["address"] for each in own} == {"127.0.0.1"}
        assert own[0]["after"]["environment"] == ["KEY"]
        assert own[1]["after"] == {"shares": {"user:bob": {"role": "caller", "limits": None}}}
        whole = await site.api("GET", "admin/audit", token=admin)
        assert [each["action"] for each in whole.json()["entries"]][-2:] == ["delete_service", "list_audit"]
        for secret in ("s3cret-value", *tokens):
            assert secret not in whole.text

    run(first)
    run(second)
