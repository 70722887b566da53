"""Signing in at a service's own host and at the page of the model service, with real Hubs of both lines and their own
sign-in: what a browser is told, step by step. A browser itself is in ``test_sign_in`` and ``test_administrators_page``."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.site import DEFINITION

from .deployment import ADMIN, Deployment, Setup
from .real_site import AUDITORS

OWN = (("endpoints_url", "http://*.models.localhost:8000"), ("model_volumes", ("models",)))
LINES = [Setup(install=OWN, after=AUDITORS), Setup(line=5, install=OWN, after=AUDITORS)]
HOST = "chat--alice.models.localhost"
PAGE = f"http://{HOST}:8000/a?b=1"
VISIT = "__Host-model-service-visit"
FETCH = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
LET_IN = 503  # it has no replica

pytestmark = pytest.mark.parametrize("hub", LINES, indirect=True, ids=str)


class AtHub(Browser):
    """The Hub's proxy is a real one; what brings the services' hosts to the gateway is not."""

    def __init__(self, hub: Deployment) -> None:
        self.hub = hub
        super().__init__(Site(hub.url.rstrip("/")))  # type: ignore[arg-type]

    def reached(self, host: str, path: str) -> str:
        if host.endswith(".models.localhost"):
            return f"http://{self.hub.network.address}:{self.hub.gateway_port}"
        return self.hub.url.rstrip("/")

    async def sign_in(self, user: str) -> None:
        """As people do, by the Hub's form."""
        form = await self.open("/hub/login")
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', form.text)
        assert xsrf is not None, form.text
        fields = {"username": user, "password": "any", "_xsrf": xsrf[1]}
        answer = await self.submit("/hub/login?next=%2Fhub%2Ftoken", fields)
        assert answer.status_code == 302, answer.text


class Site:
    """What a browser has to know of it."""

    def __init__(self, address: str) -> None:
        self.address = address


def asked(hub: Deployment, method: str, path: str, body: Any = None, *, user: str = "alice") -> httpx.Response:
    """Of the control API."""
    headers = {"Authorization": f"Bearer {hub.token(user)}"}
    return httpx.request(
        method, f"{hub.service_url}api/v1/{path}", json=body, headers=headers, timeout=30, trust_env=False
    )


@pytest.fixture
def chat(hub: Deployment) -> Any:
    """``alice/chat``, private, without a replica."""
    definition = {"file": "model-definition.yaml", "text": DEFINITION}
    wish = {"folder": "volume:models", "definition": definition, "name": "chat", "replicas": 0}
    made = asked(hub, "POST", "services", wish)
    assert made.status_code == 201, made.text
    yield made.json()
    asked(hub, "DELETE", "services/alice/chat")
    end = time.monotonic() + 30
    while asked(hub, "GET", "services/alice/chat").status_code != 404 and time.monotonic() < end:
        time.sleep(0.2)


def running(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_people_sign_in_and_are_out_again_when_the_hub_says_so(hub: Deployment, chat: dict[str, Any]) -> None:
    """The owner, and bob by his group, without a word to agree to on the way; for carol there is nothing. He is out within
    30 s of leaving the group, and she of signing out."""
    assert chat["page"] == f"http://{HOST}:8000/"
    hub.api("POST", "/groups/class")
    hub.api("POST", "/groups/class/users", {"users": ["bob"]})
    assert asked(hub, "PUT", "services/alice/chat/access/group/class", {"role": "caller"}).status_code == 200

    async def body() -> None:
        async with AtHub(hub) as alice, AtHub(hub) as bob, AtHub(hub) as carol:
            assert "/hub/login" in (await alice.open(PAGE)).url.path
            for browser, user in ((alice, "alice"), (bob, "bob")):
                await browser.sign_in(user)
                answer = await browser.open(PAGE)
                assert (answer.status_code, browser.went[-1]) == (LET_IN, PAGE), answer.text
                assert "/hub/api/oauth2/authorize" in [urlsplit(url).path for url in browser.went]
                assert (await browser.request("GET", PAGE, FETCH)).status_code == LET_IN
            again = next(url for url in alice.went if "/.model-service/enter" in url)
            assert (await carol.open(again, follow=False)).status_code == 400
            await carol.sign_in("carol")
            hers, nobodys = await carol.open(PAGE), await carol.open(PAGE.replace("chat", "none"))
            assert (hers.status_code, hers.text) == (404, nobodys.text)

            hub.api("DELETE", "/groups/class/users", {"users": ["bob"]})
            await alice.open("/hub/logout")
            await asyncio.gather(_until(bob, 404), _until(alice, 401))
            assert "/hub/login" in (await alice.open(PAGE)).url.path

    running(body)


def test_an_auditor_reads_the_page_of_the_audit_log_and_others_do_not(hub: Deployment, chat: dict[str, Any]) -> None:
    """By her role at the Hub, which is asked about it there alone; without a word to agree to."""
    place = f"{hub.service_url}audit"

    async def body() -> None:
        async with AtHub(hub) as audra, AtHub(hub) as alice:
            for browser, user in ((audra, "audra"), (alice, "alice")):
                await browser.sign_in(user)
                assert (await browser.open(hub.service_url)).status_code == 200
            answer = await audra.open(place)
            assert (answer.status_code, audra.went[-1]) == (200, place), answer.text
            assert "create_service" in answer.text
            lines = (await audra.open(f"{place}.jsonl")).text.splitlines()
            assert "alice/chat" in {json.loads(line)["target"] for line in lines}
            assert "Owners" not in (await audra.open(hub.service_url)).text
            for _ in range(2):
                assert (await alice.open(place)).status_code == 404
            assert (await alice.open(hub.service_url)).status_code == 200

    running(body)


async def _until(browser: Browser, status: int) -> None:
    """Within 30 s, and a little for the machine."""
    end = time.monotonic() + 36
    while True:
        answer = await browser.request("GET", PAGE, FETCH)
        if answer.status_code == status:
            return
        assert time.monotonic() < end, f"{answer.status_code}, not {status}"
        await asyncio.sleep(0.5)


def test_a_code_of_the_hub_is_good_with_its_verifier_and_once(hub: Deployment, chat: dict[str, Any]) -> None:
    """Line 5 does not hold to the verifier (PKCE): there it is the state that is of one browser alone."""

    async def body() -> None:
        async with AtHub(hub) as alice, AtHub(hub) as bob:
            backs = []
            for browser, user in ((alice, "alice"), (bob, "bob")):
                await browser.sign_in(user)
                begun = await browser.open(f"{hub.service_url}sign-in?service=chat--alice", follow=False)
                back = await browser.open(begun.headers["Location"], follow=False)
                assert back.status_code == 302, back.text
                backs.append(back.headers["Location"])
            assert (await alice.open(backs[1], follow=False)).status_code == 400, "bob's, in her browser"
            code = re.search(r"code=([^&]+)", backs[1])
            assert code is not None
            if hub.setup.line == 6:
                mixed = re.sub(r"code=[^&]+", code[0], backs[0])
                assert (await alice.open(mixed, follow=False)).status_code == 400, "his code, in what she has begun"
            assert alice.cookie("model-service-page", hub.network.address) is None
            assert (await alice.open(backs[0], follow=False)).status_code == 302
            assert alice.cookie("model-service-page", hub.network.address) is not None
            assert (await alice.open(backs[0], follow=False)).status_code == 400

    running(body)


def test_the_page_is_signed_in_to_and_its_forms_do_what_they_say(hub: Deployment, chat: dict[str, Any]) -> None:
    """An administrator's: a limit, one that takes nothing away, a name that nobody has, a notice, a start and a stop;
    alice sees what concerns her, and does none of it. Who has signed out is out."""
    place = hub.service_url

    async def body() -> None:
        async with AtHub(hub) as admin, AtHub(hub) as alice:
            assert "/hub/login" in (await admin.open(place)).url.path
            for browser, user in ((admin, ADMIN), (alice, "alice")):
                await browser.sign_in(user)
                answer = await browser.open(place)
                assert (answer.status_code, browser.went[-1]) == (200, place), answer.text

            async def send(browser: AtHub, path: str, **fields: str) -> int:
                proof = re.search(r'name="xsrf" value="([^"]+)"', (await browser.open(place)).text)
                assert proof is not None
                return (await browser.submit(f"{place}{path}", {"xsrf": proof[1], **fields})).status_code

            async def shown(browser: AtHub) -> str:
                return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (await browser.open(place)).text))

            assert "Signed in as admin , an administrator" in await shown(admin)
            assert (
                await send(admin, "limits", user="alice", max_replicas_per_user="1", max_services_per_user="900") == 303
            )
            for browser in (admin, alice):
                text = await shown(browser)
                assert "replicas 0 of 1 by admin for alice" in text
                assert "services: 900, set by admin for alice, takes nothing away: 100 is what holds" in text
            assert await send(admin, "limits", user="alicia", max_replicas_per_user="1") == 404
            assert await send(admin, "services/alice/chat/notice", text="Down on Friday.") == 303
            assert "Down on Friday. says admin" in await shown(alice)
            assert await send(alice, "services/alice/chat/notice", text="No.") == 404
            assert await send(alice, "limits", user="alice") == 404
            assert await send(admin, "services/alice/chat/stop") == 303
            assert asked(hub, "GET", "services/alice/chat").json()["state"] == "stopped"
            assert await send(alice, "services/alice/chat/start") == 303
            assert (await admin.submit(f"{place}limits", {"user": "alice", "xsrf": "x"})).status_code == 403
            assert await send(admin, "limits", user="alice") == 303
            assert "by admin for" not in await shown(alice)
            assert await send(admin, "sign-out") == 200
            assert admin.cookie("model-service-page", hub.network.address) is None

    running(body)
