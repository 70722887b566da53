"""What is shared with people of a hub: the whole gateway over a fake Hub, with tokens as the Hub gives them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import hub_identity
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site
from jupyter_model_service.testing.site import DEFINITION

CHAT = "services/alice/chat"
Run = Callable[[Callable[[HubSite], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "carol"], interrupt=0.02) as hub:
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


async def status(site: HubSite, *tokens: str | None, service: str = "alice/chat") -> list[int]:
    """503 is for who is let in: the service has no replica."""
    return [(await site.call(service, token)).status_code for token in tokens]


def test_bob_calls_what_is_shared_with_him_and_nothing_before_or_after(run: Run) -> None:
    """By a token of his notebook and by one that may access this service; not by one that only says who he is. To all
    others the service is not there, and the answers for one that is not there are the same, byte for byte."""

    async def body(site: HubSite) -> None:
        alice, bob, visiting, carol = (
            site.notebook("alice"), site.notebook("bob"), site.visitor("bob"), site.notebook("carol"),
        )  # fmt: skip
        naming = site.hub.add_token("bob", ["read:users:name!user=bob", "access:services!service=another"])
        made = await site.deploy("chat", alice)
        assert (made["visibility"], made["role"]) == ("private", "owner")
        assert await status(site, alice, bob, visiting, carol, naming, None) == [503, 404, 404, 404, 404, 401]
        shared = await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        assert shared.status_code == 200, shared.text
        assert (await site.api("GET", CHAT, token=alice)).json()["visibility"] == "shared"
        assert await status(site, alice, bob, visiting, carol, naming, None) == [503, 503, 503, 404, 404, 401]
        there, nowhere = await site.call("alice/chat", carol), await site.call("alice/none", carol)
        assert there.content == nowhere.content.replace(b"alice/none", b"alice/chat")
        assert (await site.api("DELETE", f"{CHAT}/access/user/bob", token=alice)).status_code == 204
        assert await status(site, alice, bob, visiting, carol) == [503, 404, 404, 404]

    run(body)


def test_nobody_but_the_owner_shares_and_a_caller_manages_nothing(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob, carol = site.notebook("alice"), site.notebook("bob"), site.notebook("carol")
        await site.deploy("chat", alice)
        for token, answer in ((bob, 404), (carol, 404), (site.visitor("alice"), 403), (None, 401)):
            for method, path in (("PUT", f"{CHAT}/access/user/carol"), ("GET", f"{CHAT}/access"), ("DELETE", CHAT)):
                assert (await site.api(method, path, {}, token=token)).status_code == answer
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        for method, path in (("PUT", f"{CHAT}/access/user/carol"), ("GET", f"{CHAT}/access"), ("DELETE", CHAT)):
            assert (await site.api(method, path, {}, token=bob)).status_code == 403
        told = (await site.api("GET", f"{CHAT}/access?user=bob", token=site.administrator("carol"))).json()
        assert [(share["name"], share["created_by"]) for share in told["shares"]] == [("bob", "alice")]
        assert told["person"]["role"] == "caller"

    run(body)


def test_with_whom_else_it_is_shared_and_its_folder_are_her_owners_to_know(run: Run) -> None:
    """Events have their places all the same, so that nobody's reading on from one of them goes wrong."""

    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")
        await site.deploy("chat", alice)
        for whom in ("user/bob", "user/carol", "group/ds"):
            await site.api("PUT", f"{CHAT}/access/{whom}", {"role": "operator"}, token=alice)
        await site.api("DELETE", f"{CHAT}/access/user/carol", token=alice)
        await site.api("PUT", f"{CHAT}/access/origins", {"origins": ["https://app.example.org"]}, token=alice)
        owner, operator = [
            (await site.api("GET", f"{CHAT}/events", token=token)).json()["events"] for token in (alice, bob)
        ]
        assert [(each["id"], each["kind"]) for each in operator] == [(each["id"], each["kind"]) for each in owner]
        told = " ".join(each["message"] for each in owner)
        assert all(word in told for word in ("volume:models", "carol", "the group ds", "app.example.org"))
        assert [each["message"] for each in operator] == ["created", *["its owner changed who may call it"] * 5]
        operated = await site.api("PUT", f"{CHAT}/scale", {"replicas": 0}, token=bob)
        assert operated.status_code == 202, operated.text
        definition = {"file": "model-definition.yaml", "text": DEFINITION}
        updated = await site.api("POST", f"{CHAT}/update", {"definition": definition}, token=alice)
        assert updated.status_code == 202, updated.text
        owner, operator = [
            (await site.api("GET", f"{CHAT}/events", token=token)).json()["events"][-2:] for token in (alice, bob)
        ]
        assert [each["message"] for each in operator] == ["scaled to 0 replicas", "updated to revision 2"]
        assert [each["message"].partition(";")[0] for each in owner] == [each["message"] for each in operator]

    run(body)


def test_who_may_not_do_something_is_told_who_may(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")
        await site.deploy("chat", alice)
        await site.api("PUT", f"{CHAT}/access/user/bob", {"role": "viewer"}, token=alice)
        for method, path, who in (("POST", "stop", "its owner or its operators"), ("GET", "access", "its owner")):
            refused = await site.api(method, f"{CHAT}/{path}", token=bob)
            sentence = f"This is for {who} alone, and of alice/chat you are its viewer: ask alice."
            assert (refused.status_code, refused.json()["error"]["message"]) == (403, sentence)
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        told = [(await site.api("GET", CHAT, token=token)).json()["error"] for token in (bob, site.visitor("bob"))]
        assert [each["message"] for each in told] == [
            "This is for its owner or its viewers alone, and of alice/chat you are its caller: ask alice.",
            "This token may call endpoints, but not manage services.",
        ]

    run(body)


def test_what_somebody_is_by_a_group_is_told_apart_from_what_she_is_by_name(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice = site.notebook("alice")
        await site.deploy("chat", alice)
        await site.api("PUT", f"{CHAT}/access/user/bob", {"role": "viewer"}, token=alice)
        for group, role in (("ds", "viewer"), ("class", "caller")):
            await site.api("PUT", f"{CHAT}/access/group/{group}", {"role": role}, token=alice)
        people: list[tuple[str, str | None, str | None]] = [
            ("bob", "viewer", None),
            ("carol", None, "viewer"),
            ("alice", "owner", None),
        ]
        for user, by_name, perhaps in people:
            person = (await site.api("GET", f"{CHAT}/access?user={user}", token=alice)).json()["person"]
            assert (person["role"], person["perhaps"]) == (by_name, perhaps)

    run(body)


def test_who_shares_again_is_told_what_does_not_stay_by_that(run: Run) -> None:
    """A role that was higher, and limits that there are no more."""

    async def body(site: HubSite) -> None:
        alice = site.notebook("alice")
        await site.deploy("chat", alice)
        five = {"calls_per_day": 5, "in_flight": 2}
        was = "So far it was shared with bob "
        rest = "what is not said anew does not stay."
        for share, told in (
            ({"role": "operator", "limits": five}, []),
            ({"role": "operator", "limits": {**five, "calls_per_day": 4}}, []),
            (
                {},
                [
                    f"{was}as operator with at most 2 calls at once and 4 calls a day; now as caller, with no limits: {rest}"
                ],
            ),
            ({"role": "viewer"}, []),
            ({"role": "viewer", "limits": five}, []),
            (
                {"limits": five},
                [f"{was}as viewer; now as caller, with at most 2 calls at once and 5 calls a day: {rest}"],
            ),
            (
                {"limits": {"in_flight": 1}},
                [
                    f"{was}with at most 2 calls at once and 5 calls a day; now as caller, with at most 1 call at once: {rest}"
                ],
            ),
        ):
            answer = (await site.api("PUT", f"{CHAT}/access/user/bob", share, token=alice)).json()
            assert answer["notices"] == told
        await site.api("PUT", f"{CHAT}/access/group/ds", {"role": "viewer"}, token=alice)
        answer = (await site.api("PUT", f"{CHAT}/access/group/ds", {}, token=alice)).json()
        assert answer["notices"] == [
            f"So far it was shared with the group ds as viewer; now as caller, with no limits: {rest}"
        ]

    run(body)


def test_a_group_is_whoever_is_in_it_when_the_hub_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves has left within the time for which an answer of the Hub is good, here none."""
    monkeypatch.setattr(hub_identity, "FRESH", 0.0)

    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.visitor("bob")
        await site.deploy("chat", alice)
        await site.api("PUT", f"{CHAT}/access/group/ds", {}, token=alice)
        assert await status(site, bob) == [404]
        site.hub.users["bob"].groups = ("ds",)
        assert await status(site, bob) == [503]
        site.hub.users["bob"].groups = ()
        assert await status(site, bob) == [404]

    run(body)


@pytest.mark.parametrize("came", [False, True], ids=["never-came", "called-before"])
def test_a_user_who_was_made_anew_has_nothing_of_what_was_shared_with_the_former(
    run: Run, hub: FakeHub, came: bool
) -> None:
    """Also in the next life of the gateway, and also where the former one never came; until it is shared again."""
    tokens: dict[str, str] = {}

    async def first(site: HubSite) -> None:
        tokens["alice"] = site.notebook("alice")
        await site.deploy("chat", tokens["alice"])
        await asyncio.sleep(0)
        assert (await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=tokens["alice"])).status_code == 200
        if came:
            assert await status(site, site.notebook("bob")) == [503]
        remade(site.hub)
        end = time.monotonic() + hub_identity.NEWLY + 5.0
        while await status(site, site.notebook("bob")) == [503] and time.monotonic() < end:
            await asyncio.sleep(0.1)
        assert await status(site, site.notebook("bob")) == [404]
        if came:  # whom it was shared with is known: as soon as the other one comes, long before the next list of all
            assert [each["former"] for each in await shares(site)] == [True]

    async def second(site: HubSite) -> None:
        bob = site.notebook("bob")
        assert await status(site, bob) == [404]
        told = (await site.api("GET", f"{CHAT}/access?user=bob", token=tokens["alice"])).json()["person"]
        assert told["role"] is None
        assert "another user of the name bob, who was deleted: take that back, and share it again" in told["why"][0]
        refused = await site.api("PUT", f"{CHAT}/access/user/bob", {"role": "operator"}, token=tokens["alice"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "shared_with_former")
        assert await status(site, bob) == [404]
        assert [each["former"] for each in await shares(site)] == [True]
        await site.api("DELETE", f"{CHAT}/access/user/bob", token=tokens["alice"])
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=tokens["alice"])
        assert [each["former"] for each in await shares(site)] == [False]
        assert await status(site, bob) == [503]
        told = (await site.api("GET", f"{CHAT}/access?user=bob", token=tokens["alice"])).json()["person"]
        assert (told["role"], told["why"]) == ("caller", ["It is shared with bob as caller."])

    async def shares(site: HubSite) -> Any:
        return (await site.api("GET", f"{CHAT}/access", token=tokens["alice"])).json()["shares"]

    def remade(hub: FakeHub) -> None:
        before = hub.users.pop("bob").created
        hub.add_user("bob").created = before + 100.0

    run(first)
    run(second)


def test_one_word_says_who_may_call(run: Run) -> None:
    """Private takes back all that was shared, and nothing less does; nothing is done where two words differ, or for
    anybody but the owner."""

    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")

        async def become(word: str, status: int = 200, token: str = alice, **more: Any) -> Any:
            answer = await site.api("POST", f"{CHAT}/update", {"visibility": word, **more}, token=token)
            assert answer.status_code == status, answer.text
            return answer.json()

        async def now() -> tuple[str, list[int]]:
            """What it says of itself, and how bob and everybody are answered."""
            told = (await site.api("GET", CHAT, token=alice)).json()
            return told["visibility"], await status(site, bob, None)

        made = await site.deploy("chat", alice, visibility="public")
        assert (made["public"], made["visibility"]) == (True, "public")
        refused = await become("shared", 409)
        assert refused["error"]["code"] == "shared_with_nobody"
        assert await now() == ("public", [503, 503])
        for name in ("user/bob", "group/ds"):
            await site.api("PUT", f"{CHAT}/access/{name}", {"role": "operator"}, token=alice)
        told = await become("shared", status=202)
        assert (told["visibility"], told["revision"]) == ("shared", made["revision"])
        assert await now() == ("shared", [503, 401])
        assert (await become("private", 400, public=True))["error"]["code"] == "invalid_request"
        await become("private", 403, bob)
        await become("public", 403, bob)
        assert await now() == ("shared", [503, 401])
        await become("public", status=202)
        assert await now() == ("public", [503, 503])
        told = await become("private", status=202)
        assert (told["visibility"], told["state"]) == ("private", "stopped")
        assert told["notices"] == ["It is not shared any more with bob, the group ds."]
        assert await now() == ("private", [404, 401])
        assert (await site.api("GET", f"{CHAT}/access", token=alice)).json()["shares"] == []
        entries = (await site.api("GET", f"{CHAT}/audit?newest=true&limit=1", token=alice)).json()["entries"]
        assert sorted(entries[0]["before"]["shares"]) == ["group:ds", "user:bob"]
        assert (await become("private", status=202))["notices"] == [], "nothing was taken back"

    run(body)


def test_an_update_that_only_ends_being_public_leaves_what_is_shared(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.notebook("bob")
        await site.deploy("chat", alice, public=True)
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        assert (await site.api("POST", f"{CHAT}/update", {"public": False}, token=alice)).status_code == 202
        assert await status(site, bob, None) == [503, 401]

    run(body)


def test_v1_knows_what_is_shared(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob = site.notebook("alice"), site.visitor("bob")
        await site.deploy("chat", alice)
        await site.deploy("own", alice)

        async def models() -> list[str]:
            answer = await site.request("GET", "v1/models", token=bob)
            return [model["id"] for model in answer.json()["data"]]

        async def named(model: str) -> int:
            answer = await site.request("POST", "v1/chat/completions", token=bob, json={"model": model})
            return answer.status_code

        assert (await models(), await named("alice/chat")) == ([], 404)
        await site.api("PUT", f"{CHAT}/access/user/bob", {}, token=alice)
        assert await models() == ["alice/chat"]
        assert [await named(model) for model in ("alice/chat", "chat", "alice/own", "own")] == [503, 503, 404, 404]

    run(body)
