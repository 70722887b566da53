"""People at the pages of a private service: how they are sent to sign in, come back, and what their visit is good for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.sharing import NOBODY, Person, Share
from jupyter_model_service.core.visits import Codes, Grant, state_of
from jupyter_model_service.front.server import FrontSettings
from jupyter_model_service.front.visiting import Visiting

from .site import SLOW, TOKEN, Answer, Site, site, until, within
from .upstreams import Replica

Run = Callable[[Any], Any]
HOSTS = Hosts("https://*.models.example.org")
OWN, ORIGIN = "n--o.models.example.org", "https://n--o.models.example.org"
SIGN_IN = "https://hub.example.org/services/model-service/sign-in"
OPENS = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
FETCHES = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
SOON = FrontSettings(recheck_every=0.05)
NONCE = "n" * 43
BOB = Caller("bob", person=Person("bob", "bob"))
PAGE_OF_A_HUB = "ask your administrator"


class Here:
    """``o/n`` is private, and shared with bob, whose token of a sign-in is ``bobs``."""

    def __init__(self, here: Site, visiting: Visiting) -> None:
        self.site, self.visiting = here, visiting
        here.tokens.callers["bobs"] = BOB
        here.tokens.callers["admins"] = Caller("root", person=Person("root", "root", admin=True))
        here.tokens.callers["evas"] = Caller("eva", person=Person("eva", "eva"))
        here.endpoint.service_id = "s1"
        here.endpoint.sharing = NOBODY.with_share(Share("user", "bob"))

    def visit(self, token: str = "bobs", service: str = "s1", seconds: float = 60.0) -> str:
        sealed = self.visiting.visits.seal(service, token, self.visiting.clock.now() + seconds)
        return f"Cookie: __Host-model-service-visit={sealed}"

    def code(self, text: str = "code", **more: str) -> str:
        given = {"service_id": "s1", "state": state_of(NONCE), "token": "bobs", **more}
        self.visiting.codes.give(text, Grant(**given), self.visiting.clock.monotonic())
        return text

    async def get(self, path: str, *headers: str, host: str = OWN, method: str = "GET") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
        wire = await self.site.send("\r\n".join([*lines, "", ""]))
        try:
            return await wire.answer(method)
        finally:
            wire.close()

    async def enter(self, code: str, *headers: str, next: str = "%2F", nonce: str = NONCE, host: str = OWN) -> Answer:
        cookies = f"Cookie: __Host-model-service-nonce={nonce}" if nonce else "X-None: 1"
        path = f"/.model-service/enter?code={code}&next={next}"
        return await self.get(path, cookies, *(headers or OPENS), host=host)


@contextlib.asynccontextmanager
async def own_hosts(*, settings: FrontSettings | None = None) -> AsyncIterator[Here]:
    clock = SystemClock()
    visiting = Visiting(SealedVisits(new_key(), clock), Codes(), HOSTS, clock, SIGN_IN)
    settings = settings or FrontSettings()
    async with site(Replica(), hosts=HOSTS, visiting=visiting, settings=replace(settings, shared_origin=True)) as here:
        yield Here(here, visiting)


def test_who_opens_a_page_is_sent_to_sign_in(run: Run) -> None:
    """Also where no service is known: the same, but for its name. Whatever else comes is told that a token is needed,
    and a page that came from another window goes on with that one's name of the browser."""

    async def body() -> None:
        async with own_hosts() as here:
            for label in ("n--o", "none--o"):
                host = f"{label}.models.example.org"
                got = await here.get("/a/b?c=%2F", *OPENS, host=host)
                to = urlsplit(str(got.one("Location")))
                assert (got.status, f"{to.scheme}://{to.netloc}{to.path}") == (303, SIGN_IN)
                said = {name: values[0] for name, values in parse_qs(to.query).items()}
                nonce = str(got.one("Set-Cookie")).partition(";")[0].removeprefix("__Host-model-service-nonce=")
                assert said == {"service": label, "next": "/a/b?c=%2F", "state": state_of(nonce)}
                flags = "; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
                assert str(got.one("Set-Cookie")) == f"__Host-model-service-nonce={nonce}{flags}"
                assert (got.one("Referrer-Policy"), got.one("Cache-Control")) == ("no-referrer", "no-store")
                again = await here.get("/", *OPENS, f"Cookie: __Host-model-service-nonce={nonce}", host=host)
                assert state_of(nonce) in str(again.one("Location"))
                odd = await here.get("/", *OPENS, "Cookie: __Host-model-service-nonce=x", host=host)
                assert "nonce=x;" not in str(odd.one("Set-Cookie"))
                for headers in ((), FETCHES, (*OPENS[:2], "Sec-Fetch-Dest: iframe")):
                    got = await here.get("/", *headers, host=host)
                    assert (got.status, got.one("X-Model-Service-Error"), got.one("Location")) == (
                        401,
                        "unauthenticated",
                        None,
                    )
            assert (await here.get("/", *OPENS, method="POST")).status == 401
            assert not here.site.replicas[0].seen

    run(body())


def test_a_code_becomes_a_visit_of_that_host_alone(run: Run) -> None:
    async def body() -> None:
        async with own_hosts() as here:
            got = await here.enter(here.code(), next="%2Fecho%3Fx")
            assert (got.status, got.one("Location"), got.one("Referrer-Policy")) == (303, "/echo?x", "no-referrer")
            visit, nonce = got.all("Set-Cookie")
            assert visit.endswith("; Max-Age=43200; Path=/; Secure; HttpOnly; SameSite=Lax")
            assert nonce.startswith("__Host-model-service-nonce=; Max-Age=0;")
            assert "bobs" not in visit
            assert "code" not in visit
            cookie = f"Cookie: {visit.partition(';')[0]}; theirs=1"
            for headers in (OPENS, FETCHES, ("Sec-Fetch-Site: cross-site", *OPENS[1:])):
                assert (await here.get("/echo", cookie, *headers)).status == 200
                assert here.site.replicas[0].seen[-1].one("Cookie") == "theirs=1"
            assert all("model-service" not in seen.target for seen in here.site.replicas[0].seen)

    run(body())


@pytest.mark.parametrize(
    "wrong",
    ["twice", "late", "other code", "other nonce", "no nonce", "two nonces", "other service", "re-made", "fetch", "frame"],
)  # fmt: skip
def test_what_is_no_code_for_this_browser_and_service_lets_nobody_in(run: Run, wrong: str) -> None:
    async def body() -> None:
        async with own_hosts() as here:
            more = {"service_id": "s2"} if wrong == "other service" else {}
            code = here.code(**more)
            if wrong == "twice":
                assert (await here.enter(code)).status == 303
            if wrong == "late":
                given = here.visiting.codes._given
                for key, (until_when, grant) in given.items():
                    given[key] = (until_when - 30.0, grant)
            if wrong == "re-made":
                here.site.endpoint.service_id = "s3"
            headers = {"fetch": FETCHES, "frame": (*OPENS[:2], "Sec-Fetch-Dest: iframe")}.get(wrong, OPENS)
            nonce = {"other nonce": "m" * 43, "no nonce": "", "two nonces": f"{NONCE}; __Host-model-service-nonce=x"}
            got = await here.enter(
                "another" if wrong == "other code" else code, *headers, nonce=nonce.get(wrong, NONCE)
            )
            assert (got.status, got.one("X-Model-Service-Error")) == (400, "sign_in_expired")
            assert got.all("Set-Cookie") == []
            assert (got.one("Content-Type") or "").startswith(
                "application/json" if headers is not OPENS else "text/html"
            )
            assert not here.site.replicas[0].seen

    run(body())


@pytest.mark.parametrize(
    "place", ["//evil.test", "%2F%2Fevil.test", "%2F%5Cevil.test", "https%3A%2F%2Fevil.test", "%0d%0aX:1"]
)
def test_a_code_leads_to_no_other_host(run: Run, place: str) -> None:
    async def body() -> None:
        async with own_hosts() as here:
            got = await here.enter(here.code(), next=place)
            assert (got.status, got.one("Location")) == (303, "/")

    run(body())


def test_what_is_no_visit_of_this_service_is_none(run: Run) -> None:
    """Of another service, of the one that had its name before, sealed by somebody else, one of two, one that is over;
    and hers, at another service's host and at the address by path."""

    async def body() -> None:
        async with own_hosts() as here:
            other = SealedVisits(new_key(), SystemClock()).seal("s1", "bobs", 1e12)
            for cookie in (
                here.visit(service="s2"),
                here.visit(seconds=-1.0),
                f"Cookie: __Host-model-service-visit={other}",
                f"{here.visit()}; __Host-model-service-visit=x",
                here.visit().replace("__Host-", ""),
            ):
                assert (await here.get("/echo", cookie, *FETCHES)).status == 401
                assert (await here.get("/echo", cookie, *OPENS)).status == 303
            assert (await here.get("/echo", here.visit(), *FETCHES)).status == 200
            for host, path in (
                ("none--o.models.example.org", "/"),
                ("front.test", "/endpoints/o/n/echo"),
                ("front.test", "/v1/models/o/n"),
            ):
                assert (await here.get(path, here.visit(), *FETCHES, host=host)).status == 401

    run(body())


def test_pages_of_other_hosts_use_nobodys_visit(run: Run) -> None:
    """A sibling's fetch, form, frame and WebSocket, which come with her cookie since it is the same site to browsers."""
    sibling = "Origin: https://evil--eve.models.example.org"
    upgrade = ("Connection: Upgrade", "Upgrade: shout")

    async def body() -> None:
        async with own_hosts() as here:
            for method, headers in (
                ("GET", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script")),
                ("GET", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", sibling)),
                ("GET", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")),
                ("POST", ("Sec-Fetch-Site: same-site", *OPENS[1:], sibling)),
                ("GET", (*upgrade, sibling)),
                ("GET", upgrade),
            ):
                assert (await here.get("/echo", here.visit(), *headers, method=method)).status == 401, headers
            assert not here.site.replicas[0].seen
            wire = await here.site.send(
                "\r\n".join(
                    ["GET /tunnel HTTP/1.1", f"Host: {OWN}", here.visit(), *upgrade, f"Origin: {ORIGIN}", "", ""]
                )
            )
            assert (await wire.head()).status == 101

    run(body())


def test_a_token_among_the_protocols_of_a_websocket_reaches_no_model_there_either(run: Run) -> None:
    """Beside the cookie of a visit, and by itself; a good one goes before the visit, and a wrong one is no visit."""
    upgrade = ("Connection: Upgrade", "Upgrade: shout", f"Origin: {ORIGIN}")

    async def body() -> None:
        async with own_hosts() as here:
            for status, headers in (
                (101, (here.visit(), "Sec-WebSocket-Protocol: chat, v1.token.websocket.jupyter.org.s3cret")),
                (101, (here.visit(), f"Sec-WebSocket-Protocol: chat, bearer.{TOKEN}")),
                (101, (f"Sec-WebSocket-Protocol: chat, bearer.{TOKEN}",)),
                (401, (here.visit(), "Sec-WebSocket-Protocol: chat, bearer.s3cret")),
            ):
                lines = ["GET /tunnel HTTP/1.1", f"Host: {OWN}", *upgrade, *headers, "", ""]
                wire = await here.site.send("\r\n".join(lines))
                assert (await wire.head()).status == status, headers
                wire.close()
            seen = [dict(each.headers) for each in here.site.replicas[0].seen]
            assert [each["Sec-WebSocket-Protocol"] for each in seen] == ["chat"] * 3
            assert not any(secret in str(seen) for secret in ("s3cret", TOKEN, "bearer"))

    run(body())


def test_a_visit_is_worth_what_its_owner_may_now(run: Run) -> None:
    """Not shared any more: there is no such service for her. Signed out: to sign in again. An administrator may look;
    who may not never could."""

    async def body() -> None:
        async with own_hosts() as here:
            assert (await here.get("/echo", here.visit("admins"), *FETCHES)).status == 200
            nowhere = await here.get("/echo", here.visit("evas"), *OPENS)
            assert (nowhere.status, nowhere.one("Content-Type")) == (404, "text/html; charset=utf-8")
            here.site.endpoint.sharing = NOBODY
            assert (await here.get("/echo", here.visit(), *FETCHES)).status == 404
            here.site.tokens.ended.add("bobs")
            assert (await here.get("/echo", here.visit(), *FETCHES)).status == 401
            assert (await here.get("/echo", here.visit(), *OPENS)).status == 303
            here.site.tokens.error = OSError("the hub is down")
            assert (await here.get("/echo", here.visit(), *OPENS)).one(
                "X-Model-Service-Error"
            ) == "identity_unavailable"
            assert len(here.site.replicas[0].seen) == 1

    run(body())


def test_a_stream_of_a_visit_ends_with_it(run: Run) -> None:
    async def body() -> None:
        for unshared in (True, False):
            async with own_hosts(settings=SOON) as here:
                wire = await here.site.send(
                    "\r\n".join(["GET /sse HTTP/1.1", f"Host: {OWN}", here.visit(), *FETCHES, "", ""])
                )
                got = await wire.head()
                assert got.status == 200
                before = here.site.front.rechecks._next
                await until(lambda here=here, before=before: here.site.front.rechecks._next > before + 0.1, "two looks")
                assert here.site.front.calls
                if unshared:
                    here.site.endpoint.sharing = NOBODY
                else:
                    here.site.tokens.ended.add("bobs")
                await wire.body(got)
                assert not got.complete
                await within(here.site.replicas[0].hung_up.wait())
                assert here.site.meter.broken_answers == ["revoked"]

    run(body())


def test_a_stream_of_an_administrators_visit_goes_on_while_she_is_one(run: Run) -> None:
    """Though nothing is shared with her; and no longer."""

    async def body() -> None:
        async with own_hosts(settings=SOON) as here:
            lines = ["GET /sse HTTP/1.1", f"Host: {OWN}", here.visit("admins"), *FETCHES, "", ""]
            wire = await here.site.send("\r\n".join(lines))
            got = await wire.head()
            assert got.status == 200
            before = here.site.front.rechecks._next
            await until(lambda: here.site.front.rechecks._next > before + 0.1, "two looks")
            assert here.site.front.calls
            here.site.tokens.callers["admins"] = Caller("root", person=Person("root", "root"))
            await wire.body(got)
            assert not got.complete
            await within(here.site.replicas[0].hung_up.wait())
            assert here.site.meter.broken_answers == ["revoked"]

    run(body())


def test_a_token_goes_before_a_visit(run: Run) -> None:
    async def body() -> None:
        async with own_hosts() as here:
            bearer = "Authorization: Bearer {}".format
            assert (await here.get("/echo", here.visit(), bearer("wrong"), *FETCHES)).status == 401
            assert (await here.get("/echo", here.visit("evas"), bearer(TOKEN))).status == 200

    run(body())


def test_a_second_window_that_comes_back_goes_on(run: Run) -> None:
    """The other one used up what the browser began with."""

    async def body() -> None:
        async with own_hosts() as here:
            path = f"/.model-service/enter?code={here.code()}&next=%2Fecho"
            got = await here.get(path, here.visit(), *OPENS)
            assert (got.status, got.one("Location"), got.all("Set-Cookie")) == (303, "/echo", [])

    run(body())


def test_codes_are_not_guessed(run: Run) -> None:
    async def body() -> None:
        async with own_hosts() as here:
            statuses = [(await here.enter(f"guess{number}")).status for number in range(30)]
            assert statuses[0] == 400
            assert statuses[-1] == 429
        async with own_hosts() as here:  # … nor is it found out by them which services there are
            nowhere = [(await here.enter(f"guess{n}", host="none--o.models.example.org")).status for n in range(30)]
            assert nowhere == statuses

    run(body())


def test_guessed_codes_do_not_tell_which_services_there_are(run: Run) -> None:
    async def body() -> None:
        statuses = []
        for host in (OWN, "none--o.models.example.org"):
            async with own_hosts() as here:
                where = "/.model-service/enter?code=guess"
                statuses.append([(await here.get(f"{where}{n}", *OPENS, host=host)).status for n in range(25)])
        assert statuses[0] == statuses[1]

    run(body())


def test_a_page_at_the_address_by_path_leads_to_its_own_host(run: Run) -> None:
    """Programs are answered as ever; and whether there is such a service is not said."""

    async def body() -> None:
        async with own_hosts() as here:
            for name in ("n", "none"):
                got = await here.get(f"/endpoints/o/{name}/a?b=1", *OPENS, host="front.test")
                assert (got.status, got.one("Location")) == (303, f"https://{name}--o.models.example.org/a?b=1")
                assert (await here.get(f"/endpoints/o/{name}/", host="front.test")).status == 401
            odd = await here.get("/endpoints/o/%0d%0aX/", *OPENS, host="front.test")
            assert (odd.status, odd.one("Location")) == (401, None)

    run(body())


def test_without_hosts_a_page_says_what_the_administrator_can_set(run: Run) -> None:
    async def body() -> None:
        settings = FrontSettings(shared_origin=True, page_help=PAGE_OF_A_HUB)
        async with site(Replica(), settings=settings) as plain:
            here = Here(plain, None)  # type: ignore[arg-type]
            got = await here.get("/endpoints/o/n/", *OPENS, host="front.test")
            assert (got.status, got.one("X-Model-Service-Error"), got.one("Content-Type")) == (
                401,
                "unauthenticated",
                "text/html; charset=utf-8",
            )
            assert PAGE_OF_A_HUB in got.body.decode()
            assert "script" not in str(got.one("Content-Security-Policy"))
            asked = await here.get("/endpoints/o/n/", host="front.test")
            assert asked.json()["error"]["code"] == "unauthenticated"
            assert PAGE_OF_A_HUB not in asked.body.decode()

    run(body())


def test_a_service_that_is_made_anew_meanwhile_is_not_the_one(run: Run) -> None:
    """While the Hub is asked who the visitor is."""

    async def body() -> None:
        async with own_hosts() as here:
            here.site.tokens.answer = asyncio.Event()
            asking = asyncio.ensure_future(here.get("/echo", here.visit(SLOW), *FETCHES))
            await until(lambda: here.site.tokens.asked == [SLOW], "asked")
            here.site.endpoint.service_id = "s2"
            here.site.tokens.answer.set()
            assert (await asking).status == 404
            assert not here.site.replicas[0].seen

    run(body())


def test_who_opens_a_page_that_cannot_be_had_now_is_told_so_on_one(run: Run) -> None:
    """Without a replica, and of an address that guessed too much, as a private service's too; a script is told as ever."""

    async def body() -> None:
        async with own_hosts() as here:
            here.site.backends.clear()
            here.site.endpoint.wanted = False
            shown, asked = [await here.get("/", here.visit(), *who) for who in (OPENS, FETCHES)]
            for number in range(30):
                guessed = await here.get("/", f"Authorization: Bearer guess{number:08}", *OPENS)
            for got, status, title in ((shown, 503, "The model cannot answer now"), (guessed, 429, "Not now")):
                assert (got.status, got.one("Content-Type")) == (status, "text/html; charset=utf-8")
                assert f"<h1>{title}</h1>" in got.body.decode()
                assert "script" not in str(got.one("Content-Security-Policy"))
            assert int(str(guessed.one("Retry-After"))) >= 1
            assert (asked.status, asked.one("Content-Type")) == (503, "application/json")

    run(body())


def test_who_guesses_beside_her_keeps_no_visitor_out(run: Run) -> None:
    """Her cookie is none that somebody could have guessed."""

    async def body() -> None:
        async with own_hosts() as here:
            statuses = [(await here.get("/echo", f"Authorization: Bearer guess{n:08}")).status for n in range(30)]
            assert statuses[-1] == 429
            assert (await here.get("/echo", f"Authorization: Bearer {SLOW}")).status == 429
            assert (await here.get("/echo", here.visit(SLOW), *FETCHES)).status == 200

    run(body())


def test_a_visitor_holds_nobody_up_while_the_hub_is_asked(run: Run) -> None:

    async def body() -> None:
        async with own_hosts() as here:
            here.site.tokens.answer = asyncio.Event()
            del here.site.tokens.callers["bobs"]
            slow = asyncio.ensure_future(here.get("/echo", here.visit("bobs"), *FETCHES))
            await until(lambda: here.site.tokens.asked == ["bobs"], "asked")
            assert (await here.get("/echo", here.visit("admins"), *FETCHES)).status == 200
            here.site.tokens.answer.set()
            assert (await slow).status == 401

    run(body())
