"""The whole way of a person to the pages of a private service, in a whole gateway: from its host to the Hub and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.visits import Codes
from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site

PAGE = "http://chat--ann.models.localhost:8000/a%20page?x=1"
HOST = "chat--ann.models.localhost"
VISIT = "__Host-model-service-visit"
FETCH = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
LET_IN = 503  # the service has no replica


def at_a_hub(folder: Path, body: Callable[[HubSite, Browser], Awaitable[None]], *, line: int = 6) -> None:
    async def main() -> None:
        with FakeHub(users=["ann", "bob", "eva", "root"], line=line, interrupt=0.02) as hub:
            hub.users["root"].admin = True
            async with hub_site(hub, folder / "gateway", hosts=Hosts("http://*.models.localhost:8000")) as site:
                await site.deploy("chat", site.notebook("ann"))
                async with Browser(site) as browser:
                    await body(site, browser)

    asyncio.run(main())


async def share(site: HubSite, place: str, method: str = "PUT") -> None:
    body = {"role": "caller"} if method == "PUT" else None
    answer = await site.api(method, f"services/ann/chat/access/{place}", body, token=site.notebook("ann"))
    assert answer.status_code in (200, 204), answer.text


@pytest.mark.parametrize("line", [5, 6])
@pytest.mark.parametrize("who", ["ann", "bob", "eva", "root"])
def test_who_may_call_a_service_gets_to_its_page_by_signing_in(tmp_path: Path, who: str, line: int) -> None:
    """Its owner, whom it is shared with, a member of a group, an administrator. No address on the way, and nothing that
    the model gets, holds what opens anything a second time."""

    async def body(site: HubSite, browser: Browser) -> None:
        site.hub.users["eva"].groups = ("class",)
        await share(site, "user/bob")
        await share(site, "group/class")
        asked = await browser.open(PAGE)
        assert "Who are you?" in asked.text
        await browser.login(who)
        answer = await browser.open(PAGE)
        assert answer.status_code == LET_IN
        assert browser.went[-1] == PAGE
        visit = browser.cookie(VISIT, HOST)
        assert visit is not None
        assert {"httponly", "secure"} <= visit.flags
        assert visit.path == "/"
        assert browser.cookie("__Host-model-service-nonce", HOST) is None
        secrets = [text for text, token in site.hub.tokens.items() if token.session]
        assert secrets
        assert not [each for each in (*browser.went, visit.value) for text in secrets if text in each]
        entries = (await site.api("GET", "admin/audit?action=sign_in", token=site.administrator("root"))).json()[
            "entries"
        ]
        assert [(each["who"], each["target"], each["status"]) for each in entries] == [(who, "ann/chat", 303)]
        again = next(url for url in browser.went if "/.model-service/enter" in url)
        browser.cookies.pop((HOST, VISIT))
        assert (await browser.open(again, follow=False)).status_code == 400

    at_a_hub(tmp_path, body, line=line)


def test_who_closes_the_window_on_the_way_leaves_no_token_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code in her address is good for half a minute, a quarter of a second here, and so long her token is kept."""
    codes = Codes(0.25)
    monkeypatch.setattr("jupyter_model_service.app.gateway.Codes", lambda: codes)
    monkeypatch.setattr("jupyter_model_service.web.sign_in._LATE", 0.05)

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        await browser.open(PAGE)
        door = next(url for url in browser.went if "/sign-in?service=" in url)
        left = await browser.open(door, follow=False)
        assert "code=" in left.headers["Location"]
        assert len(codes) == 1
        until = asyncio.get_running_loop().time() + 10
        while len(codes) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
        assert len(codes) == 0

    at_a_hub(tmp_path, body)


def test_to_whom_it_is_not_open_it_looks_like_none(tmp_path: Path) -> None:
    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("eva")
        hers = await browser.open(PAGE)
        nobodys = await browser.open(PAGE.replace("chat", "none"))
        assert (hers.status_code, hers.text) == (404, nobodys.text)
        assert nobodys.status_code == 404
        assert browser.cookie(VISIT, HOST) is None
        token = site.visitor("eva")
        program = await browser.request("GET", PAGE, {"Authorization": f"Bearer {token}"})
        assert program.json()["error"]["code"] == "not_found"

    at_a_hub(tmp_path, body)


def test_its_owner_finds_who_was_not_let_in(tmp_path: Path) -> None:
    """By the service, where there is one; what is none has the name of the host that was asked."""

    async def main() -> None:
        hosts = Hosts("http://*.models.localhost:8000")
        with FakeHub(users=["ann", "eva", "root"], interrupt=0.02) as hub:
            hub.users["root"].admin = True
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site, Browser(site) as browser:
                await site.deploy("chat", site.notebook("ann"))
                await browser.login("eva")
                for page in (PAGE, PAGE, PAGE.replace("chat", "none")):
                    assert (await browser.open(page)).status_code == 404
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site:  # what was folded is written down
                hers = await site.api("GET", "services/ann/chat/audit?who=eva", token=site.notebook("ann"))
                all_ = await site.api("GET", "admin/audit?who=eva", token=site.administrator("root"))
        told = [
            [(each["target"], each["status"], each["count"]) for each in log.json()["entries"]] for log in (hers, all_)
        ]
        assert told[0] == [("ann/chat", 404, 2)]
        assert [each for each in told[1] if each[1] == 404] == [*told[0], ("none--ann", 404, 1)]

    asyncio.run(main())


def test_a_visit_ends_with_the_share_and_outlives_the_gateway(tmp_path: Path) -> None:
    async def main() -> None:
        hosts = Hosts("http://*.models.localhost:8000")
        with FakeHub(users=["ann", "bob"], interrupt=0.02) as hub:
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site, Browser(site) as browser:
                await site.deploy("chat", site.notebook("ann"))
                await share(site, "user/bob")
                await browser.login("bob")
                assert (await browser.open(PAGE)).status_code == LET_IN
                kept = dict(browser.cookies)
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site, Browser(site) as browser:
                browser.cookies = kept
                assert (await browser.open(PAGE, follow=False)).status_code == LET_IN
                assert (await browser.request("GET", PAGE, FETCH)).status_code == LET_IN
                await share(site, "user/bob", "DELETE")
                assert (await browser.open(PAGE, follow=False)).status_code == 404
                assert (await browser.request("GET", PAGE, FETCH)).status_code == 404

    asyncio.run(main())


def test_who_signs_out_at_the_hub_is_out_at_the_next_question(tmp_path: Path) -> None:
    """A gateway that begins anew has to ask."""

    async def main() -> None:
        hosts = Hosts("http://*.models.localhost:8000")
        with FakeHub(users=["ann"], interrupt=0.02) as hub:
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site, Browser(site) as browser:
                await site.deploy("chat", site.notebook("ann"))
                await browser.login("ann")
                assert (await browser.open(PAGE)).status_code == LET_IN
                await browser.logout()
                kept = dict(browser.cookies)
            async with hub_site(hub, tmp_path / "gateway", hosts=hosts) as site, Browser(site) as browser:
                browser.cookies = kept
                assert (await browser.request("GET", PAGE, FETCH)).status_code == 401
                assert "Who are you?" in (await browser.open(PAGE)).text

    asyncio.run(main())


def test_a_model_made_anew_knows_no_visitors_of_the_former(tmp_path: Path) -> None:
    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        assert (await browser.open(PAGE)).status_code == LET_IN
        token = site.notebook("ann")
        assert (await site.api("DELETE", "services/ann/chat", token=token)).status_code in (200, 202, 204)
        while (await site.api("GET", "services/ann/chat", token=token)).status_code != 404:
            await asyncio.sleep(0.02)
        await site.deploy("chat", token)
        assert (await browser.request("GET", PAGE, FETCH)).status_code == 401
        assert (await browser.open(PAGE)).status_code == LET_IN, "she signs in again without a word"

    at_a_hub(tmp_path, body)


def test_the_control_api_is_at_no_host_of_a_service_and_takes_no_visit(tmp_path: Path) -> None:
    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        assert (await browser.open(PAGE)).status_code == LET_IN
        visit = browser.cookie(VISIT, HOST)
        assert visit is not None
        cookie = {"Cookie": f"{VISIT}={visit.value}; model-service-page={visit.value}"}
        for path in ("api/v1/services", "endpoints/ann/chat/", "v1/models/ann/chat"):
            assert await site.status("GET", path, {**FETCH, **cookie}) == 401
        answer = await browser.open(f"{urlsplit(PAGE).scheme}://{urlsplit(PAGE).netloc}/services/model-service/sign-in")
        assert answer.status_code == LET_IN, "a path of the model's own"

    at_a_hub(tmp_path, body)
