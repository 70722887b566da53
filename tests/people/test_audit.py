"""The audit log of a hub's gateway: who did what and from where, as the whole gateway writes it down."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service.adapters import hub_users
from jupyter_model_service.core.hub_scopes import AUDIT
from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.errors import Forbidden
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import AUDIT_KEPT, HubSite, hub_site
from jupyter_model_service.web import auth

CHAT = "services/alice/chat"
Run = Callable[..., None]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "audra", "admin"], interrupt=0.02) as hub:
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


async def exported(site: HubSite, path: str, token: str) -> list[dict[str, Any]]:
    answer = await site.api("GET", path, token=token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/jsonl"
    gathered = "Transfer-Encoding" not in answer.headers
    assert gathered == (not answer.text), "it is sent while it is read, but for nothing"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_auditor_reads_all_of_it_and_nothing_else(run: Run) -> None:
    """Who did what to services of which she may not know, by her own token; whoever else asks is told who may."""

    async def body(site: HubSite) -> None:
        alice, audra = site.notebook("alice"), site.auditor("audra")
        await site.deploy("chat", alice)
        listed = (await site.api("GET", "admin/audit?limit=1000", token=audra)).json()["entries"]
        assert [each["action"] for each in listed if each["who"] == "alice"] == ["create_service"]
        refused = await site.api("GET", "admin/overview", token=audra)
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            403,
            "This token may read the audit log, but not manage services.",
        )
        assert (await site.api("GET", CHAT, token=audra)).status_code == 404
        assert (await site.call("alice/chat", audra)).status_code == 404
        told = (await site.api("GET", "admin/audit", token=alice)).json()["error"]["message"]
        assert told.endswith("only an administrator of the hub may, or a token with the scope " + AUDIT + ".")

    run(body)


def test_all_of_it_or_of_a_service_is_exported_as_lines_of_json(run: Run, tmp_path: Path) -> None:
    """As the API tells it, a hundred entries at once; an owner what was done to the service that there is now."""

    async def body(site: HubSite) -> None:
        alice, audra = site.notebook("alice"), site.auditor("audra")
        await site.deploy("chat", alice)
        for _ in range(120):
            await site.api("PUT", f"{CHAT}/scale", {"replicas": 0}, token=alice)
        listed = (await site.api("GET", "admin/audit?limit=1000", token=audra)).json()["entries"]
        assert len(listed) > 120
        assert await exported(site, "admin/audit.jsonl", audra) == listed
        own = (await site.api("GET", f"{CHAT}/audit?limit=1000", token=alice)).json()["entries"]
        assert await exported(site, f"{CHAT}/audit.jsonl", alice) == own
        assert len(own) == 121
        found = await exported(site, f"admin/audit.jsonl?action=scale_service&after={own[5]['id']}", audra)
        assert found == own[6:]
        assert await exported(site, "admin/audit.jsonl?who=nobody", audra) == []
        assert await exported(site, "admin/audit.jsonl?service=alice/chat&until=1", audra) == []
        refused = await site.api("GET", "admin/audit.jsonl?limit=5", token=audra)
        assert refused.status_code == 400, "it is all of it"

    run(body)


def test_an_export_is_broken_off_for_whoever_may_not_read_it_any_more(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take long; what she has of it then does not look whole."""

    async def body(site: HubSite) -> None:
        alice, audra = site.notebook("alice"), site.auditor("audra")
        await site.deploy("chat", alice)
        for _ in range(120):
            await site.api("PUT", f"{CHAT}/scale", {"replicas": 0}, token=alice)
        admitted = auth.authorise

        def once(*given: Any) -> None:
            admitted(*given)
            monkeypatch.setattr(auth, "authorise", never)

        def never(*given: Any) -> None:
            raise Forbidden("not any more")

        monkeypatch.setattr(auth, "authorise", once)
        with pytest.raises(httpx.RemoteProtocolError):
            await site.api("GET", "admin/audit.jsonl", token=audra)

    run(body)


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


def test_that_services_of_a_user_who_was_renamed_are_kept_is_told_once(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They would be looked for in vain under her new name, and nothing else says where they are. She is renamed as soon
    as her service is there, which has no replica: nothing is asked of the Hub for it, and no look comes in between."""

    async def first(site: HubSite) -> None:
        await site.deploy("chat", site.notebook("alice"))
        assert "alice" in json.loads((tmp_path / "gateway" / "owners.json").read_text()), "whose it is, is noted"
        hub.rename_user("alice", "alicia")

    async def second(site: HubSite) -> None:
        end = asyncio.get_running_loop().time() + 60
        while (deed := (await own_deeds(site))[-1])["action"] not in ("keep_services", "delete_service"):
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.05)
        assert (deed["action"], deed["target"], deed["status"]) == ("keep_services", "alice", 200)
        assert deed["before"] is None
        assert deed["after"]["why"].startswith(
            "the Hub has no user alice any more, but alicia, who was made at the same"
        )
        await asyncio.sleep(0.5)  # ten looks
        assert [each["action"] for each in await own_deeds(site)].count("keep_services") == 1
        listed = await site.api("GET", "services/alice/chat", token=site.administrator())
        assert (listed.status_code, listed.json()["state"] == "deleting") == (200, False)

    run(first)
    monkeypatch.setattr(hub_users, "INTERVAL", 0.05)  # seconds between two looks; it takes two in a row
    run(second)


def test_a_token_that_is_known_is_no_name_and_stands_nowhere(
    run: Run, hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an endpoint, whether it was ever used or not, or of the Hub: wherever a name or a note belongs. Whose value in
    an environment it is, it may be."""
    caplog.set_level(logging.DEBUG, "jupyter_model_service")
    told: list[str] = []

    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator()
        await site.deploy("chat", alice)
        made = (await site.api("POST", f"{CHAT}/tokens", {"name": "ci"}, token=alice)).json()["token"]
        bob = site.notebook("bob")
        hub.tokens["short-one"] = hub.tokens.pop(site.visitor("alice"))
        for token in (bob, "short-one"):
            assert (await site.api("GET", "services", token=token)).status_code in (200, 403)
        for number, token in enumerate((made, bob, "short-one")):
            ways = [
                ("PUT", f"{CHAT}/access/user/{token}", {"role": "caller"}),
                ("PUT", f"{CHAT}/access/group/{token}", {"role": "caller"}),
                ("DELETE", f"{CHAT}/access/user/{token}", None),
                ("DELETE", f"{CHAT}/tokens/{token}", None),
                ("GET", f"{CHAT}/access?user={token}", None),
                ("GET", f"services/alice/{token}", None),
                ("POST", f"services/{token}/chat/stop", {}),
                ("POST", f"{CHAT}/tokens", {"name": token}),
                ("PUT", f"{CHAT}/access/origins", {"origins": [token]}),
                ("POST", "services", {"name": token, "folder": "/models/m"}),
                ("POST", "services", {"name": "other", "folder": f"/models/{token}", "image": token}),
                ("POST", f"{CHAT}/update", {"environment": {token: "x"}}),
            ]
            for method, path, body in ways:
                answer = await site.api(method, path, body, token=alice)
                assert (answer.status_code, "revoke" in answer.text) == (400, True), (method, path, answer.text)
                assert answer.json()["error"]["code"] == ("token_in_address" if token in path else "token_as_name"), (
                    method,
                    path,
                )
            for method, path, body in (
                ("PUT", f"admin/users/{token}/limits", {"max_services_per_user": 3}),
                ("PUT", "admin/services/alice/chat/notice", {"text": f"call it with {made} from now on"}),
            ):
                answer = await site.api(method, path, body, token=admin)
                assert answer.status_code == 400, (path, answer.text)
            assert (await site.api("DELETE", f"services/alice/{token}", token=None)).status_code == 401
            assert (await site.deploy(f"m{number}", alice, environment={"UPSTREAM": token}))["revision"] == 1
        for path in (f"{CHAT}/audit?limit=1000", f"{CHAT}/events", f"{CHAT}/tokens", f"{CHAT}/access"):
            told.append((await site.api("GET", path, token=alice)).text)
        told.append((await site.api("GET", "admin/audit?limit=1000", token=admin)).text)
        told.extend([made, bob])

    run(body)
    *told, made, bob = told
    told += [caplog.handler.format(each) for each in caplog.records if each.name.startswith("jupyter_model_service")]
    files = [path.read_bytes() for path in (tmp_path / "gateway").rglob("*") if path.is_file()]
    assert any(b"share_service" in each for each in files)
    for token in (made, bob, "short-one"):
        assert [each for each in told if token in each] == []
        assert [each for each in files if token.encode() in each] == []
