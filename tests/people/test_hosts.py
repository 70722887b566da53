"""A host of its own for each service of a hub: where its page is said to be, and who may call it there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site


async def status(site: HubSite, host: str, token: str) -> int:
    headers = {"Host": host, "Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{site.address}/", headers=headers)).status_code


def test_a_page_is_at_the_services_host_and_open_to_those_who_may_call(tmp_path: Path) -> None:
    """503: let in, and there is no replica. Also for who only may call, and not after the service is gone."""

    async def main(hub: FakeHub) -> None:
        async with hub_site(hub, tmp_path / "gateway", hosts=Hosts("https://*.models.example.org")) as site:
            alice, bob, host = site.notebook("alice"), site.visitor("bob"), "chat--alice.models.example.org"
            assert (await site.api("GET", "", token=alice)).json()["own_hosts"] is True
            made = await site.deploy("chat", alice)
            assert made["page"] == f"https://{host}/"
            assert made["endpoint"].startswith(site.address)
            assert [await status(site, host, token) for token in (alice, bob)] == [503, 404]
            await site.api("PUT", "services/alice/chat/access/user/bob", {}, token=alice)
            assert await status(site, host, bob) == 503
            shared = (await site.api("GET", "services", token=bob)).json()["shared"]
            assert [each["page"] for each in shared] == [f"https://{host}/"]
            await site.api("DELETE", "services/alice/chat", token=alice)
            assert [await status(site, host, token) for token in (alice, bob)] == [404, 404]

    with FakeHub(users=["alice", "bob"], interrupt=0.02) as hub:
        asyncio.run(main(hub))


def test_without_them_no_page_is_said(tmp_path: Path) -> None:
    async def main(hub: FakeHub) -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            assert (await site.deploy("chat", alice))["page"] is None
            assert (await site.api("GET", "", token=alice)).json()["own_hosts"] is False

    with FakeHub(users=["alice"], interrupt=0.02) as hub:
        asyncio.run(main(hub))
