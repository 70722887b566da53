"""The audit log of a hub's gateway: who did what and from where, as the whole gateway writes it down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import AUDIT_KEPT, HubSite, hub_site

CHAT = "services/alice/chat"
Run = Callable[..., None]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "admin"], interrupt=0.02) as hub:
        yield hub


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    """May be called again: that is the next life of the gateway."""

    def whole(body: Callable[[HubSite], Coroutine[Any, Any, None]], policy: Policy | None = None) -> None:
        async def main() -> None:
            async with hub_site(hub, tmp_path / "gateway", policy) as site:
                await body(site)

        asyncio.run(main())

    return whole


def test_what_owners_do_and_what_others_may_not_is_there_after_a_restart(run: Run, tmp_path: Path) -> None:
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
        assert whole.json()["kept"] == AUDIT_KEPT
        done = [each["action"] for each in whole.json()["entries"] if each["who"] != "gateway"]
        assert done[-2:] == ["delete_service", "list_audit"]
        for secret in ("s3cret-value", *tokens):
            assert secret not in whole.text

    run(first)
    run(second)
    copied = (tmp_path / "gateway" / "audit.jsonl").read_text()
    assert [json.loads(line)["id"] for line in copied.splitlines()] == list(range(1, copied.count("\n") + 1))
    assert not [secret for secret in ("s3cret-value", *tokens) if secret in copied]


async def own_deeds(site: HubSite) -> list[dict[str, Any]]:
    whole = await site.api("GET", "admin/audit?who=gateway", token=site.administrator())
    found: list[dict[str, Any]] = whole.json()["entries"]
    return found


def test_the_gateway_says_when_it_began_and_ended_and_how_its_policy_changed(run: Run) -> None:
    async def nothing(site: HubSite) -> None:
        pass

    async def look(site: HubSite) -> None:
        first, end, second = await own_deeds(site)
        assert [each["action"] for each in (first, end, second)] == ["start_gateway", "stop_gateway", "start_gateway"]
        assert end["after"] == {"why": "the test is over", "replicas_end": False}
        assert first["before"] is None
        assert first["after"]["policy"]["max_replicas_per_user"] == 10
        assert second["before"]["policy"] == {"max_replicas_per_user": 10}
        assert second["after"]["policy"]["max_replicas_per_user"] == 3

    volumes = (VolumeRule("models"),)
    run(nothing, Policy(model_volumes=volumes, max_replicas_per_user=10))
    run(look, Policy(model_volumes=volumes, max_replicas_per_user=3))


def test_services_of_a_user_who_is_gone_are_removed_by_the_gateway(run: Run, hub: FakeHub) -> None:
    async def first(site: HubSite) -> None:
        await site.deploy("chat", site.notebook("alice"))

    async def second(site: HubSite) -> None:
        end = asyncio.get_running_loop().time() + 60
        while (deed := (await own_deeds(site))[-1])["action"] != "delete_service":
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.05)
        assert (deed["target"], deed["status"]) == ("alice/chat", 200)
        assert deed["before"]["revision"] == 1
        assert deed["after"] == {"why": "the user alice was deleted in the Hub and made anew"}

    run(first)
    before = hub.users.pop("alice").created
    hub.add_user("alice").created = before + 3600.0
    run(second)
