"""Who calls how often, as owners and administrators see it: the whole gateway over a fake Hub."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.engine import tokens
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import TOKEN_USER, HubSite, hub_site

CHAT = "services/alice/chat"
CLASS = ("bob", "carol", "dave")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["admin", "alice", "teacher", *CLASS], interrupt=0.02) as hub:
        for name in CLASS:
            hub.users[name].groups = ("class",)
        yield hub


async def calls(site: HubSite, *tokens: str | None, path: str = "") -> list[int]:
    """503 is for who is let in: the service has no replica."""
    return [(await site.call("alice/chat", token, path)).status_code for token in tokens]


async def counted(site: HubSite, token: str, query: str = "") -> dict[tuple[str, str], tuple[int, int]]:
    """Calls and refused ones, by kind and name, of all days."""
    answer = await site.api("GET", f"{CHAT}/uses{query}", token=token)
    assert answer.status_code == 200, answer.text
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for use in answer.json()["uses"]:
        before = found.get((use["kind"], use["name"]), (0, 0))
        found[use["kind"], use["name"]] = before[0] + use["calls"], before[1] + use["refused"]
    return found


def test_a_teacher_sees_what_each_student_called_and_her_cap_holds(hub: FakeHub, tmp_path: Path) -> None:
    """Own tokens, three a day each; what they called adds up, over a restart as well, and nobody else is told."""

    async def first() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            await site.deploy("chat", alice)
            share = {"limits": {"calls_per_day": 3}}
            assert (await site.api("PUT", f"{CHAT}/access/group/class", share, token=alice)).status_code == 200
            bob, again, carol = site.notebook("bob"), site.visitor("bob"), site.visitor("carol")
            assert await calls(site, bob, again, bob, again, carol) == [503, 503, 503, 429, 503]
            assert await calls(site, alice, alice) == [503, 503]
            expected = {("user", "bob"): (3, 1), ("user", "carol"): (1, 0), ("user", "alice"): (2, 0)}
            assert await counted(site, alice) == await counted(site, site.administrator()) == expected
            for token, status in ((bob, 403), (site.notebook("teacher"), 404), (None, 401)):
                assert (await site.api("GET", f"{CHAT}/uses", token=token)).status_code == status
            await site.api("PUT", f"{CHAT}/access/user/carol", {}, token=alice)
            access = (await site.api("GET", f"{CHAT}/access", token=alice)).json()["shares"]
            told = {share["name"]: (share["calls_today"], share["last_call_at"] is not None) for share in access}
            assert told == {"carol": (1, True), "class": (None, False)}, "a group's would tell who is in it"
            overview = await site.api("GET", "admin/overview", token=site.administrator())
            assert [service["calls_today"] for service in overview.json()["services"]] == [6]

    async def second() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice, dave = site.notebook("alice"), site.notebook("dave")
            assert await calls(site, site.notebook("bob"), dave) == [429, 503]
            found = await counted(site, alice)
            assert (found["user", "bob"], found["user", "dave"]) == ((3, 2), (1, 0))
            assert await counted(site, alice, "?since=2100-01-01") == {}
            for wrong in ("?since=yesterday", "?since=2026-02-30", "?limit=0"):
                assert (await site.api("GET", f"{CHAT}/uses{wrong}", token=alice)).status_code == 400
            least = (await site.api("GET", f"{CHAT}/uses?limit=1", token=alice)).json()
            assert (len(least["uses"]), least["complete"]) == (1, False)

    asyncio.run(first())
    asyncio.run(second())


def test_what_a_token_called_before_it_was_limited_counts(hub: FakeHub, tmp_path: Path) -> None:
    """As with a person's: 4 calls this morning, by it and by the one in whose place it came, are 4 of its 5; also those
    that it makes while its limits are taken away for a time, and over a restart."""

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            await site.deploy("chat", alice)
            made = (await site.api("POST", f"{CHAT}/tokens", {"name": "free"}, token=alice)).json()
            first = made["token"]
            rotated = await site.api("POST", f"{CHAT}/tokens/{made['id']}/rotate", {"overlap": 600.0}, token=alice)
            place, second = f"{CHAT}/tokens/{rotated.json()['id']}", rotated.json()["token"]
            assert await calls(site, first, second, second) == [503] * 3

        async with hub_site(hub, tmp_path / "gateway") as site:

            async def limit(most: int | None) -> int:
                limits = {"limits": {"calls_per_day": most}}
                answer = await site.api("PATCH", place, limits, token=alice)
                assert answer.status_code == 200, answer.text
                return int(answer.json()["calls_today"])

            assert await calls(site, first) == [503]
            assert await limit(5) == 4
            assert await calls(site, second, second, first) == [503, 429, 429]
            await limit(None)
            assert await calls(site, second, second) == [503, 503]
            assert await limit(8) == 7
            assert await calls(site, second, first) == [503, 429]

    asyncio.run(body())


def test_tokens_are_counted_with_and_without_limits_and_public_calls_together(hub: FakeHub, tmp_path: Path) -> None:
    """What is outside a token's paths is refused, and counted as that; nothing is kept of paths."""

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            await site.deploy("chat", alice)

            async def make(**body: Any) -> tuple[str, str]:
                made = (await site.api("POST", f"{CHAT}/tokens", body, token=alice)).json()
                return made["id"], made["token"]

            free, ruled, limited = [
                await make(name="free"),
                await make(name="ruled", rules=[{"path": "/in"}]),
                await make(name="limited", limits={"calls_per_day": 1}),
            ]
            assert await calls(site, free[1], free[1], limited[1], limited[1]) == [503, 503, 503, 429]
            assert await calls(site, ruled[1], path="in") == [503]
            assert await calls(site, ruled[1], path="secret-path") == [403]
            assert await calls(site, site.notebook("bob"), "jms_nobodys") == [404, 401]
            expected = {("token", free[0]): (2, 0), ("token", limited[0]): (1, 1), ("token", ruled[0]): (1, 1)}
            assert await counted(site, alice) == expected
            uses = (await site.api("GET", f"{CHAT}/uses", token=alice)).json()["uses"]
            assert {use["label"] for use in uses} == {"free", "ruled", "limited"}
            tokens = (await site.api("GET", f"{CHAT}/tokens", token=alice)).json()["tokens"]
            assert {t["name"]: (t["calls_today"], t["created_by"]) for t in tokens} == {
                "free": (2, "alice"),
                "limited": (1, "alice"),
                "ruled": (1, "alice"),
            }
            await site.api("DELETE", f"{CHAT}/tokens/{free[0]}", token=alice)
            assert await counted(site, alice) == expected, "what it called stays"
            await site.api("POST", f"{CHAT}/update", {"public": True}, token=alice)
            assert await calls(site, None, limited[1], "jms_nobodys") == [503] * 3
            assert (await counted(site, alice))["anyone", ""] == (3, 0)
        assert b"secret-path" not in (tmp_path / "gateway" / "state.db").read_bytes()

    asyncio.run(body())


def test_calls_by_the_models_name_are_counted_once(hub: FakeHub, tmp_path: Path) -> None:
    """At ``v1/``: where they reach their service, or are refused for their token's limits."""

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            await site.deploy("chat", alice)
            limits = {"limits": {"calls_per_day": 1}}
            made = (await site.api("POST", f"{CHAT}/tokens", limits, token=alice)).json()
            for token, status in ((made["token"], 503), (made["token"], 429), (alice, 503)):
                sent = {"model": "chat"}
                answer = await site.request("POST", "v1/chat/completions", token=token, json=sent)
                assert answer.status_code == status
            assert await counted(site, alice) == {("token", made["id"]): (1, 1), ("user", "alice"): (1, 0)}

    asyncio.run(body())


def test_a_rotated_token_is_gone_at_the_hub_when_its_time_is_over(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both open until then, and limits are of both together; the audit log says who did it."""
    monkeypatch.setattr(tokens, "FLUSH_EVERY", 0.1)  # seconds between two looks for what has expired

    def there() -> set[str]:
        return {token.id for token in hub.tokens.values() if token.owner == TOKEN_USER}

    async def body() -> None:
        async with hub_site(hub, tmp_path / "gateway") as site:
            alice = site.notebook("alice")
            await site.deploy("chat", alice)
            body = {"name": "laptop", "limits": {"calls_per_day": 3}}
            made = (await site.api("POST", f"{CHAT}/tokens", body, token=alice)).json()
            rotate = f"{CHAT}/tokens/{made['id']}/rotate"
            answer = await site.api("POST", rotate, {"overlap": 3600, "expires_in": None}, token=alice)
            assert answer.status_code == 201, answer.text
            new = answer.json()
            assert (new["name"], new["limits"], new["family"]) == ("laptop", made["limits"], made["id"])
            assert new["expires_at"] is None
            assert await calls(site, made["token"], new["token"], made["token"], new["token"]) == [503, 503, 503, 429]
            for wrong in ({"overlap": -1}, {"overlap": 31 * 86400}, {"overlap": "1d"}, {"over": 1}):
                assert (await site.api("POST", rotate, wrong, token=alice)).status_code == 400
            assert (await site.api("POST", rotate, {}, token=site.notebook("bob"))).status_code == 404
            again = await site.api("POST", f"{CHAT}/tokens/{new['id']}/rotate", {"overlap": 0}, token=alice)
            assert again.status_code == 201
            assert await calls(site, new["token"], again.json()["token"]) == [401, 429]
            log = (await site.api("GET", f"{CHAT}/audit", token=alice)).json()["entries"]
            noted = [(e["who"], e["action"], e["after"]) for e in log if e["action"] == "rotate_token"]
            assert noted[0][0] == "alice"
            assert set(noted[0][2]["tokens"]) == {made["id"], new["id"]}
            deadline = time.monotonic() + 20.0
            while len(there()) > 2 and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            assert there() == {each["id"].partition("-")[0] for each in (made, again.json())}
            assert all(text not in str(log) for text in (made["token"], new["token"], again.json()["token"]))

    asyncio.run(body())
