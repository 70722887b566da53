"""People sign in to our own pages with the Hub, in a whole gateway: what a session is, and what is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.core.visits import state_of
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.errors import HubUnavailable, ModelServiceError
from jupyter_model_service.ports import Clock
from jupyter_model_service.testing import ManualClock
from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import PREFIX, HubSite, hub_site
from jupyter_model_service.testing.identity import FakeIdentity
from jupyter_model_service.web.page_session import PageSessions

HOSTS = Hosts("http://*.models.localhost:8000")
STATE = "0" * 64
DOOR = f"{PREFIX}sign-in?service=chat--ann&next=/a%3Fb&state={STATE}"


class LaterClock(SystemClock):
    """``later``: seconds that have gone by, to whoever looks at the time of day."""

    later = 0.0

    def now(self) -> float:
        return super().now() + self.later


def in_browser(
    folder: Path, body: Callable[[HubSite, Browser], Awaitable[None]], *, line: int = 6, clock: Clock | None = None
) -> None:
    async def main() -> None:
        with FakeHub(users=["ann", "bob", "root"], line=line, interrupt=0.02) as hub:
            async with hub_site(hub, folder / "gateway", hosts=HOSTS, clock=clock) as site, Browser(site) as browser:
                await site.deploy("chat", site.notebook("ann"))
                await body(site, browser)

    asyncio.run(main())


@pytest.mark.parametrize("line", [5, 6])
def test_whoever_is_signed_in_at_the_hub_gets_to_the_page_that_she_opened(tmp_path: Path, line: int) -> None:
    """And the door of a service leads on to its host, by a code that says nothing of her token."""

    async def body(site: HubSite, browser: Browser) -> None:
        asks = await browser.open(DOOR)
        assert "Who are you?" in asks.text
        await browser.login("ann")
        answer = await browser.open(DOOR, follow=False)
        assert (answer.status_code, urlsplit(answer.headers["Location"]).path) == (302, "/hub/api/oauth2/authorize")
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert query["code_challenge_method"] == ["S256"]
        callback = await browser.open(answer.headers["Location"], follow=False)
        answer = await browser.open(callback.headers["Location"], follow=False)
        assert answer.headers["Location"] == DOOR.replace("/a%3Fb", "/a%3Fb")
        answer = await browser.open(DOOR, follow=False)
        to = urlsplit(answer.headers["Location"])
        assert (answer.status_code, to.netloc, to.path) == (
            303,
            "chat--ann.models.localhost:8000",
            "/.model-service/enter",
        )
        assert parse_qs(to.query)["next"] == ["/a?b"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        session = browser.cookie("model-service-page")
        assert session is not None
        assert session.path == PREFIX
        assert {"httponly", "samesite"} <= session.flags
        tokens = [text for text in site.hub.tokens if text in session.said or text in answer.headers["Location"]]
        assert tokens == []

    in_browser(tmp_path, body, line=line)


def test_who_was_made_anew_and_signs_in_has_nothing_of_the_former_at_our_page(tmp_path: Path) -> None:
    """Though the former was here a moment ago, and the token of a sign-in manages nothing by itself."""

    async def body(site: HubSite, browser: Browser) -> None:
        before = site.hub.users.pop("ann").created
        site.hub.add_user("ann").created = before + 3600.0
        await asyncio.sleep(1.1)  # what the Hub said of her within the last second would count
        await browser.login("ann")
        first = page = await browser.open(PREFIX)
        assert "chat" not in first.text
        while page.status_code != 200:  # until what was the former's is removed, she is nobody
            assert page.status_code == 403
            assert "try again in a moment" in page.text
            page = await browser.open(PREFIX)
        assert "chat" not in page.text
        xsrf = page.text.partition('name="xsrf" value="')[2].partition('"')[0]
        assert (await browser.submit(f"{PREFIX}services/ann/chat/stop", {"xsrf": xsrf})).status_code in (403, 404)

    in_browser(tmp_path, body)


def test_to_whom_a_service_is_not_open_its_door_is_none(tmp_path: Path) -> None:
    """As that of a service that is not there, with the same words; nor without the state of a browser."""

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("bob")
        hers, nobodys = await browser.open(DOOR), await browser.open(DOOR.replace("chat--ann", "none--ann"))
        assert hers.status_code == nobodys.status_code == 404
        assert hers.text == nobodys.text
        assert "text/html" in hers.headers["Content-Type"]
        assert "script" not in hers.headers["Content-Security-Policy"]
        shared = await site.api(
            "PUT", "services/ann/chat/access/user/bob", {"role": "caller"}, token=site.notebook("ann")
        )
        assert shared.status_code == 200
        assert (await browser.open(DOOR, follow=False)).status_code == 303
        assert (await browser.open(DOOR.replace(STATE, "zz"), follow=False)).status_code == 400

    in_browser(tmp_path, body)


@pytest.mark.parametrize("line", [5, 6])
def test_each_visit_begun_leaves_one_entry_without_the_code(tmp_path: Path, line: int) -> None:
    """That of our pages, when the Hub has sent somebody back, and each of a service's. A sign-in that is none leaves no
    entry of anybody."""
    seen: list[str] = []

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        for _ in range(2):
            to = await browser.open(DOOR, follow=False)
            while to.status_code == 302:
                seen.append(to.headers["Location"])
                to = await browser.open(to.headers["Location"], follow=False)
            seen.append(to.headers["Location"])
        assert (await browser.open(seen[1], follow=False)).status_code == 400, "it was good once"
        query = "admin/audit?who=ann&limit=1000"
        whole = await site.api("GET", query, token=site.administrator("root"))
        done = [(each["action"], each["target"], each["status"]) for each in whole.json()["entries"]]
        visit = ("sign_in", "ann/chat", 303)
        assert done == [("create_service", "ann/chat", 201), ("oauth_callback", "", 302), visit, visit]
        assert {each["address"] for each in whole.json()["entries"]} == {"127.0.0.1"}
        codes = [code for url in seen for code in parse_qs(urlsplit(url).query).get("code", [])]
        assert len(codes) == 3
        assert not [code for code in codes if code in whole.text]

    in_browser(tmp_path, body, line=line)


async def _signed_in(browser: Browser) -> None:
    """Everything but the last step, to a host that is not there."""
    answer = await browser.open(DOOR, follow=False)
    while answer.status_code == 302:
        answer = await browser.open(answer.headers["Location"], follow=False)
    assert browser.cookie("model-service-page") is not None


@pytest.mark.parametrize("line", [5, 6])
def test_a_sign_in_that_began_elsewhere_is_none(tmp_path: Path, line: int) -> None:
    """Somebody else's code and state, in a browser that has begun nothing or something else: she would be signed in as
    somebody else. A Hub of line 5 does not hold to the verifier."""

    async def body(site: HubSite, browser: Browser) -> None:
        async with Browser(site) as other:
            await other.login("bob")
            begun = await other.open(DOOR, follow=False)
            back = (await other.open(begun.headers["Location"], follow=False)).headers["Location"]
        for _ in range(2):
            answer = await browser.open(back, follow=False)
            assert answer.status_code == 400
            assert browser.cookie("model-service-page") is None
            await browser.open(DOOR, follow=False)  # now it has begun one of its own

    in_browser(tmp_path, body, line=line)


def test_a_code_is_good_with_its_verifier_alone_and_once(tmp_path: Path) -> None:
    """PKCE: bob's code in a state of ann's browser, which got to know it; and her own a second time."""

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        begun = await browser.open(DOOR, follow=False)
        back = (await browser.open(begun.headers["Location"], follow=False)).headers["Location"]
        async with Browser(site) as other:
            await other.login("bob")
            others = await other.open(DOOR, follow=False)
            code = (await other.open(others.headers["Location"], follow=False)).headers["Location"]
        theirs, ours = (parse_qs(urlsplit(each).query)["code"][0] for each in (code, back))
        assert (await browser.open(back.replace(ours, theirs), follow=False)).status_code == 400
        assert browser.cookie("model-service-page") is None
        assert (await browser.open(back, follow=False)).status_code == 302
        assert (await browser.open(back, follow=False)).status_code == 400
        assert (
            await browser.open(f"{PREFIX}oauth_callback?error=access_denied&{urlsplit(back).query.replace(ours, '')}")
        ).status_code == 403

    in_browser(tmp_path, body)


def test_codes_of_a_sign_in_are_not_guessed(tmp_path: Path) -> None:
    """Not even in a browser that has begun one; and then a good one is not taken either, so that nothing is learnt."""

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        begun = await browser.open(DOOR, follow=False)
        back = (await browser.open(begun.headers["Location"], follow=False)).headers["Location"]
        good = parse_qs(urlsplit(back).query)["code"][0]
        tried = [(await browser.open(back.replace(good, f"guess{n}"), follow=False)).status_code for n in range(30)]
        assert tried == [400] * 20 + [429] * 10
        refused = await browser.open(back, follow=False)
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
        assert browser.cookie("model-service-page") is None

    in_browser(tmp_path, body)


def test_a_session_is_good_for_half_a_day(tmp_path: Path) -> None:
    """However long whoever has a copy of its cookie keeps it, and the Hub's token is good."""
    clock = LaterClock()

    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        await _signed_in(browser)
        clock.later = 12 * 3600.0 - 60.0
        assert (await browser.open(PREFIX, follow=False)).status_code == 200
        clock.later = 12 * 3600.0
        answer = await browser.open(PREFIX, follow=False)
        assert (answer.status_code, urlsplit(answer.headers["Location"]).path) == (302, "/hub/api/oauth2/authorize")

    in_browser(tmp_path, body, clock=clock)


def test_pages_are_for_windows_of_their_own(tmp_path: Path) -> None:
    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        await _signed_in(browser)
        for said in ({"Sec_Fetch_Dest": "iframe"}, {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}):
            assert (await browser.open(DOOR, follow=False, **said)).status_code == 403
        assert (await browser.submit(DOOR, {})).status_code == 405
        answer = await browser.open(f"{DOOR}&token=abcdefgh", follow=False)
        assert answer.status_code == 400

    in_browser(tmp_path, body)


def test_the_control_api_takes_no_cookie(tmp_path: Path) -> None:
    async def body(site: HubSite, browser: Browser) -> None:
        await browser.login("ann")
        await _signed_in(browser)
        assert (await browser.open(f"{PREFIX}api/v1/services")).status_code == 401

    in_browser(tmp_path, body)


def test_a_session_is_good_for_as_long_as_the_hub_says_whose_token_it_is() -> None:
    """It is asked each time; a token that is no person's is nobody's, and no session says what it is."""
    clock, asked = ManualClock(), FakeIdentity()
    pages = SealedVisits(new_key(), clock, "page")
    sessions = PageSessions(_NONE, Callers(asked, clock), pages, clock, prefix="/s/", secure=False)
    request = _request(f"model-service-page={pages.seal(state_of(BROWSER), 't', 1e12)}; {BROWSER_IS}")
    assert asyncio.run(sessions.visitor(request)) is None
    asked.elsewhere["t"] = Caller("ann")
    assert asyncio.run(sessions.visitor(request)) is None
    asked.elsewhere["t"] = Caller("ann", person=Person("ann", "ann", admin=True))
    visitor = asyncio.run(sessions.visitor(request))
    assert visitor is not None
    assert (visitor.caller.name, visitor.administrator, visitor.caller.manages_any) == ("ann", True, False)
    assert visitor.token == "t"
    assert visitor.sent(visitor.xsrf)
    assert not visitor.sent("")
    assert visitor.xsrf not in repr(visitor)
    del asked.elsewhere["t"]
    assert asyncio.run(sessions.visitor(request)) is None
    assert asked.asked == ["t"] * 4


def test_where_the_hub_does_not_say_who_she_is_the_code_is_that_of_an_endpoint() -> None:
    clock, asked = ManualClock(), FakeIdentity()
    asked.error = HubUnavailable("The Hub is away.")
    pages = SealedVisits(new_key(), clock, "page")
    sessions = PageSessions(_NONE, Callers(asked, clock), pages, clock, prefix="/s/", secure=False)
    request = _request(f"model-service-page={pages.seal(state_of(BROWSER), 't', 1e12)}; {BROWSER_IS}")
    with pytest.raises(ModelServiceError) as refused:
        asyncio.run(sessions.visitor(request))
    assert (refused.value.status, refused.value.code) == (503, "identity_unavailable")


def test_what_is_no_session_of_this_browser_is_none() -> None:
    """One that somebody put there (of another browser), a visit of a service, one of two, one that has run out: nobody
    is asked whose it is."""
    key, clock, asked = new_key(), ManualClock(), FakeIdentity()
    pages = SealedVisits(key, clock, "page")
    sessions = PageSessions(_NONE, Callers(asked, clock), pages, clock, prefix="/s/", secure=False)
    old = pages.seal(state_of(BROWSER), "token", clock.now() + 10)
    clock.advance(11)
    fresh = pages.seal(state_of(BROWSER), "token", clock.now() + 10)
    visit = SealedVisits(key, clock).seal(state_of(BROWSER), "token", clock.now() + 10)
    for cookies in (
        f"model-service-page={old}; {BROWSER_IS}",
        f"model-service-page={visit}; {BROWSER_IS}",
        f"model-service-page={fresh}; model-service-browser={'c' * 43}",
        f"model-service-page={fresh}",
        f"model-service-page={fresh}; model-service-page={fresh}; {BROWSER_IS}",
        f"model-service-page={fresh}; {BROWSER_IS}; {BROWSER_IS}",
    ):
        assert asyncio.run(sessions.visitor(_request(cookies))) is None, cookies
    assert asked.asked == []
    asyncio.run(sessions.visitor(_request(f"model-service-page={fresh}; {BROWSER_IS}")))
    assert asked.asked == ["token"]


_NONE: Any = None  # nobody signs in
_CONNECTION: Any = object()
BROWSER = "b" * 43
BROWSER_IS = f"model-service-browser={BROWSER}"


def _request(cookies: str) -> HTTPServerRequest:
    line, headers = RequestStartLine("GET", "/s/", "HTTP/1.1"), HTTPHeaders({"Host": "hub", "Cookie": cookies})
    return HTTPServerRequest(start_line=line, headers=headers, connection=_CONNECTION)
