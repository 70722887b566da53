"""The page of a hub's gateway: what it shows to whom, and what can be done at it. A whole gateway over a fake Hub, and
as much of a browser as that takes."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jupyter_model_service.core.policy import Policy, PolicyRule, VolumeRule
from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import PREFIX, HubSite, hub_site

POLICY = Policy(
    model_volumes=(VolumeRule("models"),),
    max_replicas_per_user=3,
    max_memory=8 << 30,
    rules=(PolicyRule({"max_replicas_per_user": 5}, groups=("ds",)),),
)
EVIL = "http://evil.example"
Body = Callable[[HubSite, Callable[[str], Awaitable[Browser]]], Awaitable[None]]


def at_the_pages(folder: Path, body: Body, after: Callable[[HubSite], Awaitable[None]] | None = None) -> None:
    """``body`` is given the site, and browsers in which somebody is signed in at the Hub; ``after`` the gateway's next
    life, in which everything is written down."""

    async def main() -> None:
        with FakeHub(users=["alice", "bob", "carol"], interrupt=0.02) as hub:
            hub.users["carol"].admin = True
            hub.users["alice"].groups = ("ds",)
            async with hub_site(hub, folder / "gateway", POLICY) as site:
                browsers: list[Browser] = []

                async def browser_of(user: str) -> Browser:
                    browsers.append(await Browser(site).__aenter__())
                    await browsers[-1].login(user)
                    return browsers[-1]

                try:
                    await site.deploy("chat", site.notebook("alice"))
                    await site.deploy("words", site.notebook("bob"))
                    await body(site, browser_of)
                finally:
                    for each in browsers:
                        await each.__aexit__()
            if after is not None:
                async with hub_site(hub, folder / "gateway", POLICY) as site:
                    await after(site)

    asyncio.run(main())


async def page(browser: Browser, query: str = "") -> str:
    answer = await browser.open(PREFIX + query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer.text


def proof(text: str) -> str:
    found = re.search(r'name="xsrf" value="([^"]+)"', text)
    assert found is not None
    return found[1]


async def send(browser: Browser, path: str, shown: str, **fields: str) -> Any:
    """A form of the page ``shown``."""
    return await browser.submit(PREFIX + path, {"xsrf": proof(shown), **fields})


def said(text: str) -> str:
    """What stands there, as people read it."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)))


def test_who_is_not_signed_in_is_sent_to_the_hub_and_comes_back(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        async with Browser(site) as nobody:
            answer = await nobody.open(PREFIX, follow=False)
            assert (answer.status_code, urlsplit(answer.headers["Location"]).path) == (302, "/hub/api/oauth2/authorize")
            assert "chat" not in (await nobody.open(PREFIX)).text
        alice = await browser_of("alice")
        assert "alice/chat" in await page(alice)
        assert urlsplit(alice.went[-1]).path == PREFIX

    at_the_pages(tmp_path, body)


def test_a_user_sees_hers_and_what_is_shared_with_her_and_nothing_else(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        alice, bob = await browser_of("alice"), await browser_of("bob")
        for browser, hers, others in ((alice, "alice/chat", "bob/words"), (bob, "bob/words", "alice/chat")):
            text = await page(browser)
            assert hers in text
            for secret in (others, "carol", "GPUs</h2>", "Owners", 'action="limits"', "/notice"):
                assert secret not in text
            assert "replicas 0 of" in said(text), "her own limits"
        share = {"role": "caller"}
        token = site.notebook("alice")
        assert (await site.api("PUT", "services/alice/chat/access/user/bob", share, token=token)).status_code == 200
        text = await page(bob)
        assert "alice/chat shared with you: caller" in said(text)
        assert "services/alice/chat/stop" not in text
        assert "services/alice/chat/start" not in text
        (row,) = re.findall(r'<tr id="alice/chat">.*?</tr>', text, re.S)
        assert "0 of 0" not in said(row), "how it is, is for viewers"
        await site.api("PUT", "services/alice/chat/access/user/bob", {"role": "operator"}, token=token)
        text = await page(bob)
        assert "services/alice/chat/start" in text
        (row,) = re.findall(r'<tr id="alice/chat">.*?</tr>', text, re.S)
        assert "0 of 0" in said(row)

    at_the_pages(tmp_path, body)


def test_an_administrator_sees_all_services_owners_limits_and_gpus(tmp_path: Path) -> None:
    """With who set each limit, and with GPUs that notebooks hold."""
    notebook = {"kind": "notebook", "label": "a notebook of bob", "user": "bob", "server": "big"}
    notebook |= {"replica": None, "service": None}  # type: ignore[dict-item]

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        site.hub.engine.gpus = [
            {"id": "GPU-7", "name": "H200", "memory": 1 << 37, "holders": [notebook]},
            {"id": "GPU-8", "name": "H200", "memory": 1 << 37, "holders": []},
        ]
        text = said(await page(await browser_of("carol")))
        assert "Signed in as carol , an administrator" in text
        assert "alice/chat" in text
        assert "bob/words" in text
        assert "alice 1 service, 0 replicas, 0 GPUs" in text
        assert "replicas 0 of 5 for the group ds" in text
        assert "replicas 0 of 3 for all users" in text
        assert "memory of a replica 8 GiB" in text
        assert "GPU-7 H200 a notebook of bob bob big 128 GiB" in text
        assert "GPU-8 H200 free 128 GiB" in text

    at_the_pages(tmp_path, body)


def test_an_administrator_limits_a_user_and_gives_it_back(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol = await browser_of("carol")
        text = await page(carol)
        given = {
            "user": "bob",
            "max_replicas_per_user": "1",
            "max_memory": "4g",
            "idle_limit": "7d",
            "no_public": "yes",
        }
        answer = await send(carol, "limits", text, find="bob", **given)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{PREFIX}?find=bob")
        text = await page(carol)
        assert "replicas 0 of 1 by carol for bob" in said(text)
        assert "public services not allowed by carol for bob" in said(text)
        assert 'name="max_memory" value="4g"' in text
        assert 'name="idle_limit" value="7d"' in text
        refused = await site.api("PUT", "services/bob/words/scale", {"replicas": 2}, token=site.notebook("bob"))
        assert "(set by carol for bob)" in refused.text
        assert "replicas: " not in said(text)
        answer = await send(carol, "limits", text, user="bobby", max_replicas_per_user="1")
        assert (answer.status_code, "The Hub has no user bobby" in answer.text) == (404, True)
        told = (await site.api("GET", "admin/audit?who=carol", token=site.administrator("carol"))).json()["entries"]
        done = [(each["action"], each["target"], each["status"]) for each in told]
        assert done == [("oauth_callback", "", 302), ("set_limits", "user:bob", 303), ("set_limits", "user:bobby", 404)]
        assert told[1]["after"]["limits"]["max_replicas_per_user"] == 1
        assert told[2]["after"]["tried"]["user"] == "bobby"
        await send(carol, "limits", text, user="bob", max_replicas_per_user="30")
        assert "replicas: 30, set by carol for bob, takes nothing away: 3 is what holds" in said(await page(carol))
        assert (await send(carol, "limits", text, user="bob")).status_code == 303
        assert "by carol for bob" not in said(await page(carol))

    at_the_pages(tmp_path, body)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"max_cpus": "0"}, "CPUs of a replica: '0' is not a number from 0.001 to 100000"),
        ({"max_cpus": "1.2.3"}, "'1.2.3' is not a number"),
        ({"max_replicas_per_user": "-1"}, "replicas: '-1' is not a whole number from 0"),
        ({"max_gpus_per_user": "1e9"}, "GPUs: '1e9' is not a whole number from 0 to 1000000"),
        ({"max_memory": "much"}, "memory of a replica: 'much' is not a size from 1 MiB"),
        ({"idle_limit": "30"}, "idle at most: '30' is not a time from a second"),
        ({"user": ""}, "Whose limits"),
        ({"user": "a\nb"}, "Whose limits"),
    ],
)
def test_what_is_no_limit_is_said_so_and_nothing_changes(tmp_path: Path, given: dict[str, str], why: str) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol = await browser_of("carol")
        answer = await send(carol, "limits", await page(carol), **{"user": "bob", "longest_life": "9d", **given})
        assert answer.status_code == 400
        assert why in html.unescape(answer.text)
        assert "9 days" not in said(await page(carol))

    at_the_pages(tmp_path, body)


def test_an_administrator_leaves_a_notice_and_takes_it_back(tmp_path: Path) -> None:
    """Whatever is in it is text, and so is what else others write that she or an owner is shown."""
    text = '<img src=x onerror="alert(1)"> & \'"{{ page.xsrf }}'

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol, alice = await browser_of("carol"), await browser_of("alice")
        sent = await send(carol, "services/alice/chat/notice", await page(carol), text=text)
        assert sent.status_code == 303, sent.text
        for browser in (carol, alice):
            shown = await page(browser)
            assert "<img" not in shown
            assert "&lt;img src=x onerror=" in shown
            assert text in html.unescape(shown)
            assert "says carol" in said(shown)
        found = await page(carol, "?find=%22%3E%3Cimg+src%3Dx%3E")
        assert "<img" not in found
        assert "alice/chat" not in found
        assert (await send(carol, "services/alice/chat/notice", await page(carol), text=" ")).status_code == 303
        assert "says carol" not in said(await page(alice))
        for refused in ("a\nb", "x" * 501):
            answer = await send(carol, "services/alice/chat/notice", await page(carol), text=refused)
            assert answer.status_code == 400
        told = await site.api("GET", "admin/audit?service=alice/chat&who=carol", token=site.administrator("carol"))
        done = [(each["action"], each["status"]) for each in told.json()["entries"]]
        assert done == [("set_notice", 303), ("remove_notice", 303), ("set_notice", 400), ("set_notice", 400)]

    at_the_pages(tmp_path, body)


def test_a_token_that_is_known_is_no_note_and_no_name(tmp_path: Path) -> None:
    """Neither is it shown at the page, nor in the audit log."""

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol, alice = await browser_of("carol"), site.notebook("alice")
        given = {"name": "ci"}
        token = (await site.api("POST", "services/alice/chat/tokens", given, token=alice)).json()["token"]
        for path, fields in (
            ("services/alice/chat/notice", {"text": f"call it with {token}"}),
            ("limits", {"user": token, "max_replicas_per_user": "1"}),
            (f"services/alice/{token}/stop", {}),
        ):
            answer = await send(carol, path, await page(carol), **fields)
            assert (answer.status_code, "revoke" in answer.text) == (400, True), path
        assert token not in await page(carol)
        told = await site.api("GET", "admin/audit?who=carol&limit=1000", token=site.administrator("carol"))
        assert "set_notice" in told.text
        assert [each for each in told.json()["entries"] if token in str(each)] == []

    at_the_pages(tmp_path, body)


def test_services_are_started_and_stopped_by_whom_they_are_open_to(tmp_path: Path) -> None:
    async def state(site: HubSite) -> str:
        found: str = (await site.api("GET", "services/alice/chat", token=site.notebook("alice"))).json()["state"]
        return found

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        alice, bob, carol = await browser_of("alice"), await browser_of("bob"), await browser_of("carol")
        text = await page(bob)
        hers = await send(bob, "services/alice/chat/start", text)
        nobodys = await send(bob, "services/alice/none/start", text)
        assert (hers.status_code, hers.text.replace("chat", "none")) == (404, nobodys.text)
        for path in ("services/bob/words/notice", "limits"):
            assert (await send(bob, path, text, user="bob", text="x")).status_code == 404
        assert await state(site) == "stopped"
        await site.api("PUT", "services/alice/chat/scale", {"replicas": 1}, token=site.notebook("alice"))
        assert (await send(alice, "services/alice/chat/stop", await page(alice))).status_code == 303
        assert await state(site) == "stopped"
        assert (await send(carol, "services/alice/chat/start", await page(carol))).status_code == 303
        assert await state(site) != "stopped"
        assert (await send(carol, "services/alice/chat/stop", await page(carol))).status_code == 303
        told = await site.api("GET", "services/alice/chat/audit", token=site.notebook("alice"))
        done = [(each["who"], each["action"], each["status"]) for each in told.json()["entries"]]
        assert done[-4:] == [
            ("alice", "scale_service", 202),
            ("alice", "stop_service", 303),
            ("carol", "start_service", 303),
            ("carol", "stop_service", 303),
        ]

    async def after(site: HubSite) -> None:
        denied = (await site.api("GET", "admin/audit?who=bob", token=site.administrator("carol"))).json()["entries"]
        assert sorted((each["action"], each["target"], each["status"], each["count"]) for each in denied) == [
            ("create_service", "bob/words", 201, 1),
            ("oauth_callback", "", 302, 1),
            ("set_limits", "", 404, 1),
            ("set_notice", "bob/words", 404, 1),
            ("start_service", "alice/chat", 404, 1),
            ("start_service", "alice/none", 404, 1),
        ]
        tried = {each["action"]: each["after"] for each in denied if each["status"] == 404}
        assert tried["set_notice"] == {"tried": {"text": "x", "user": "bob"}}, "and not the proof of the form"

    at_the_pages(tmp_path, body, after)


def test_a_form_that_is_none_of_ours_does_nothing(tmp_path: Path) -> None:
    """Without the proof, with somebody else's, from another site or another window's script, or with a token."""

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol, bob = await browser_of("carol"), await browser_of("bob")
        good, bobs = proof(await page(carol)), proof(await page(bob))
        where, fields = f"{PREFIX}services/alice/chat/notice", {"text": "Pay here"}
        sent = [
            await carol.submit(where, fields),
            await carol.submit(where, {**fields, "xsrf": bobs}),
            await carol.submit(where, {**fields, "xsrf": good}, Sec_Fetch_Site="cross-site"),
            await carol.submit(where, {**fields, "xsrf": good}, Sec_Fetch_Site="same-site"),
            await carol.submit(where, {**fields, "xsrf": good}, Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty"),
            await carol.submit(where, {**fields, "xsrf": good}, Sec_Fetch_Dest="iframe"),
            await carol.submit(where, {**fields, "xsrf": good}, Origin="null"),
            # An address without TLS is told no more than this.
            await carol.request("POST", f"{site.address}{where}", {"Origin": EVIL}, data={**fields, "xsrf": good}),
        ]
        assert {answer.status_code for answer in sent} == {403}
        token = site.administrator("carol")
        bearer = {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "same-origin"}
        answer = await site.request("POST", where.removeprefix(PREFIX), token=token, data={**fields, "xsrf": good})
        assert answer.status_code == 401
        assert bearer
        assert "Pay here" not in await page(carol)
        read = await carol.open(PREFIX, Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty", Sec_Fetch_Site="same-origin")
        assert read.status_code == 403
        assert "xsrf" not in read.text
        assert (await carol.request("GET", f"{site.address}{PREFIX}", {"Origin": EVIL})).status_code == 403

    at_the_pages(tmp_path, body)


def test_who_was_an_administrator_is_none_when_the_hub_says_so(tmp_path: Path) -> None:
    """And a token of hers that may only access this service administers nothing, with or without the page."""

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol = await browser_of("carol")
        text = await page(carol)
        visitor = site.visitor("carol")
        assert (await site.api("GET", "admin/overview", token=visitor)).status_code == 403
        assert (await site.api("POST", "services/alice/chat/stop", {}, token=visitor)).status_code == 404
        site.hub.users["carol"].admin = False
        another = await browser_of("carol")
        assert "alice/chat" not in await page(another)
        assert (await send(another, "services/alice/chat/notice", await page(another), text="x")).status_code == 404
        assert proof(text) != proof(await page(another))

    at_the_pages(tmp_path, body)


def test_who_signs_out_is_out(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        alice = await browser_of("alice")
        text = await page(alice)
        answer = await send(alice, "sign-out", text)
        assert "You are signed out of this page" in answer.text
        assert alice.cookie("model-service-page") is None
        assert (await send(alice, "services/alice/chat/start", text)).status_code == 401

    at_the_pages(tmp_path, body)


def test_no_page_holds_a_script_or_a_token_or_may_be_framed(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        carol = await browser_of("carol")
        answer = await carol.open(PREFIX)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script|\son\w+=|style=|javascript:", answer.text)
        assert not [text for text in site.hub.tokens if text in answer.text]
        styles = await site.request("GET", "page.css", token=None)
        assert (styles.status_code, styles.headers["Content-Type"]) == (200, "text/css; charset=utf-8")

    at_the_pages(tmp_path, body)


def test_many_services_are_found_by_their_names(tmp_path: Path) -> None:
    """A page of thousands would take seconds to make and to read."""

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        import jupyter_model_service.web.page_index as module

        token = site.notebook("alice")
        for number in range(3):
            await site.deploy(f"more-{number}", token)
        carol, former = await browser_of("carol"), module.MOST
        module.MOST = 2
        try:
            text = await page(carol)
            assert "And 3 more" in text
            assert "bob/words" not in text
            assert "bob/words" in await page(carol, "?find=words")
        finally:
            module.MOST = former

    at_the_pages(tmp_path, body)


async def state_of(site: HubSite) -> str:
    found: str = (await site.api("GET", "services/alice/chat", token=site.notebook("alice"))).json()["state"]
    return found


def test_nothing_is_done_that_could_not_be_noted_beforehand(tmp_path: Path) -> None:
    """Neither by a form nor by the control API: a gateway that was killed in the midst of it could not tell of it."""

    async def body(site: HubSite, browser_of: Callable[[str], Awaitable[Browser]]) -> None:
        alice, token = await browser_of("alice"), site.notebook("alice")
        await site.api("PUT", "services/alice/chat/scale", {"replicas": 1}, token=token)
        text, before = await page(alice), await state_of(site)
        begun = tmp_path / "gateway" / "begun"
        begun.rmdir()
        begun.touch()
        by_form = await send(alice, "services/alice/chat/stop", text)
        assert (by_form.status_code, "Nothing is changed while" in by_form.text) == (503, True)
        by_api = await site.api("POST", "services/alice/chat/stop", {}, token=token)
        assert (by_api.status_code, by_api.json()["error"]["code"]) == (503, "store")
        assert await state_of(site) == before
        begun.unlink()
        assert (await send(alice, "services/alice/chat/stop", text)).status_code == 303

    at_the_pages(tmp_path, body)


def test_where_people_come_by_https_a_browser_has_to_say_who_asks(tmp_path: Path) -> None:
    """There every one does, so that a script of the same address could only be let by where it is said."""

    async def main() -> None:
        with FakeHub(users=["alice"], interrupt=0.02) as hub:
            async with (
                hub_site(hub, tmp_path / "gateway", POLICY, base="https://hub.example.org") as site,
                Browser(site) as browser,
            ):
                await browser.login("alice")
                assert (await browser.open(PREFIX)).status_code == 200
                silent = {"Cookie": "; ".join(f"{name}={kept.value}" for (_, name), kept in browser.cookies.items())}
                for said, status in (({}, 403), ({"Sec-Fetch-Mode": "navigate"}, 200)):
                    assert await site.status("GET", "", {**silent, **said}) == status

    asyncio.run(main())
