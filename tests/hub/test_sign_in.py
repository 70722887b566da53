"""Signing in to the pages of a service, on a real Hub in a real browser: who comes in and how, what works there, what ends
it; and a hostile model's page on every way to it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.hub.run import Ingress
from jupyter_model_service.client import Client
from tests.hostile import Aims, page, succeeded
from tests.ports import free_port
from tests.ui.browser import missing, open_browser

from .deployment import Deployment, Setup, eventually
from .test_service import gateway_of

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

DEFINITION = """\
models:
- name: chat
  model_path: /models
  service:
    start_command: [python3, /models/page_model.py, "{port}"]
    port: 8000
    health_check: {path: /health, interval: 1}
"""
NOT_THERE = "There is no service at this address that you may use."


class Site:
    """A Hub whose services have hosts of their own; alice's ``chat``, and bob's ``hostile``."""

    def __init__(self, hub: Deployment, port: int, browser: Any) -> None:
        self.hub, self.port, self.browser = hub, port, browser
        self.clients = {user: Client(hub.gateway_url, hub.token(user)) for user in ("alice", "bob")}
        eventually(hub.gateway_answers, "a gateway that answers")
        self.contexts: list[Any] = []
        model = (Path(__file__).parent / "page_model.py").read_text()
        self.deploy("alice", "chat", {"page_model.py": model, "model-definition.yaml": DEFINITION})

    def address(self, label: str, path: str = "") -> str:
        return f"http://{label}.models.localhost:{self.port}/{path}"

    def deploy(self, user: str, name: str, files: dict[str, str], *, public: bool = False) -> Any:
        notebook = self.hub.notebook(user)
        for file, text in files.items():
            notebook.write(f"{name}/{file}", text)
        notebook.cli("create", name, "-n", name, *(["--public"] if public else []))
        return self.clients[user].get(name)

    def share(self, kind: str, whom: str) -> None:
        self.clients["alice"].share("chat", **{f"{kind}s": [whom]})

    def person(self) -> Any:
        """A browser of somebody's own."""
        context = self.browser.new_context()
        context.set_default_timeout(30_000)
        self.contexts.append(context)
        return context

    def open(self, context: Any, user: str, address: str) -> Any:
        """Types the address, and who she is if the Hub asks; where that led."""
        shown = context.new_page()
        shown.answer = shown.goto(address)
        if "/hub/login" in shown.url:
            shown.get_by_label("Username").fill(user)
            shown.get_by_label("Password").fill("any")
            with shown.expect_navigation(url=lambda url: "/hub/" not in url) as went:
                shown.locator("#login_submit").click()
            shown.answer = went.value
        return shown

    def seen(self) -> list[list[Any]]:
        client = self.clients["alice"]
        token = client.generate_token("chat", token_name="look", expires_in=3600).token
        found: list[list[Any]] = self.call("seen", {"Authorization": f"Bearer {token}"}).json()
        return found

    def call(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """As a program does, which may know nothing of names below ``localhost``."""
        host = {"Host": f"chat--alice.models.localhost:{self.port}"}
        return httpx.get(f"http://127.0.0.1:{self.port}/{path}", headers={**host, **headers}, trust_env=False)

    def close(self) -> None:
        for user, client in self.clients.items():
            for service in client.list():
                with contextlib.suppress(Exception):
                    client.delete(f"{user}/{service.name}")
            client.close()


@pytest.fixture(scope="module")
def site(make_deployment: Callable[..., Deployment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from .conftest import running

    port = free_port()
    hub = make_deployment(Setup(install=(("endpoints_url", f"http://*.models.localhost:{port}"),)))
    running.append(hub)
    try:
        hub.start()
        Ingress(port, hub.network.address, hub.gateway_port).start()
        with open_browser(tmp_path_factory.mktemp("chromium")) as browser:
            made = Site(hub, port, browser)
            yield made
            made.close()
    finally:
        hub.close()
        running.remove(hub)


def report(shown: Any) -> dict[str, Any]:
    shown.wait_for_selector("#report")
    told: dict[str, Any] = json.loads(shown.inner_text("#report"))
    return told


def status(shown: Any, path: str = "echo") -> int:
    """What the page itself gets from its own model, now."""
    found: int = shown.evaluate("async path => (await fetch(path)).status", path)
    return found


# --- who comes in ------------------------------------------------------------------------------------


def test_whom_it_is_not_shared_with_sees_nothing_that_is_there(site: Site) -> None:
    """The same for a service that is not there at all; and nothing of it reached the model."""
    bob, told = site.person(), []
    for label in ("chat--alice", "none--alice"):
        shown = site.open(bob, "bob", site.address(label))
        assert shown.answer.status == 404
        told.append(re.sub(label, "LABEL", shown.content()))
        assert NOT_THERE in shown.content()
    assert told[0] == told[1]
    assert site.seen() == []
    assert not [each for each in bob.cookies() if "visit" in each["name"]]


@pytest.mark.parametrize(
    ("user", "kind", "whom"), [("alice", "", ""), ("bob", "user", "bob"), ("carol", "group", "class")]
)
def test_who_may_call_comes_in_with_all_that_a_page_needs(site: Site, user: str, kind: str, whom: str) -> None:
    """The owner, whom it is shared with, and a member of a group that it is shared with: to the very address that she
    typed; the page's fetches, streams, sockets, modules and service workers work; nothing of hers reaches the model."""
    if kind == "group":
        site.hub.api("POST", f"/groups/{whom}")
        site.hub.api("POST", f"/groups/{whom}/users", {"users": [user]})
    if kind:
        site.share(kind, whom)
    person = site.person()
    address = site.address("chat--alice", "?deep=1&x=%2F")
    shown = site.open(person, user, address)
    told = report(shown)
    assert (shown.answer.status, told["address"], told["referrer"]) == (200, address, "")
    works = {"post": 200, "events": "begun", "socket": "opened", "module": "imported", "worker": "registered"}
    assert {name: told[name] for name in works} == works
    assert (told["storage"], told["cookies"]) == ("1", "mine=1")
    headers = {name.lower(): value for name, value in told["fetch"].items()}
    assert "authorization" not in headers
    assert headers.get("cookie") == "mine=1"
    (visit,) = [each for each in person.cookies() if "visit" in each["name"]]
    assert (visit["name"], visit["domain"]) == ("__Host-model-service-visit", "chat--alice.models.localhost")
    assert (visit["httpOnly"], visit["secure"], visit["sameSite"]) == (True, True, "Lax")
    again = site.open(person, user, site.address("chat--alice"))  # without the Hub
    assert again.answer.request.redirected_from is None
    assert "code=" not in json.dumps(site.seen())
    assert "model-service" not in json.dumps([each[2].get("Cookie") for each in site.seen()])


def test_what_is_no_page_is_told_so_and_sent_nowhere(site: Site) -> None:
    """Programs without a token, and what another site's page has the browser send."""
    for headers in ({}, {"Accept": "text/html", "Origin": "http://x.example"}, {"Sec-Fetch-Mode": "cors"}):
        answer = site.call("", headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")


# --- what ends it ------------------------------------------------------------------------------------


def ended(shown: Any, seconds: float) -> None:
    """The page's stream and its socket, which were open."""

    def both() -> bool:
        return set(shown.evaluate("Object.keys(window.ended)")) == {"socket", "events"}

    eventually(both, "an end of what was open", seconds)


def test_a_gateway_that_is_killed_leaves_everybody_signed_in(site: Site) -> None:
    alice = site.person()
    shown = site.open(alice, "alice", site.address("chat--alice"))
    report(shown)
    gateway = gateway_of(site.hub)
    gateway.send_signal(signal.SIGKILL)
    eventually(lambda: gateway_of(site.hub).pid != gateway.pid, "the next gateway")
    eventually(site.hub.gateway_answers, "a gateway that answers")
    eventually(lambda: status(shown) == 200, "an answer", 30)


def test_unsharing_ends_a_visit_at_once_and_what_is_open_within_a_minute(site: Site) -> None:
    bob = site.person()
    site.share("user", "bob")
    shown = site.open(bob, "bob", site.address("chat--alice"))
    report(shown)
    site.clients["alice"].unshare("chat", users=["bob"])
    assert status(shown) == 404
    ended(shown, 60)
    assert site.open(bob, "bob", site.address("chat--alice")).answer.status == 404


def test_signing_out_at_the_hub_ends_a_visit_within_half_a_minute(site: Site) -> None:
    alice = site.person()
    shown = site.open(alice, "alice", site.address("chat--alice"))
    report(shown)
    alice.new_page().goto(f"{site.hub.url}hub/logout")
    began = time.monotonic()
    eventually(lambda: status(shown) == 401, "a refusal", 35)
    assert time.monotonic() - began < 35
    ended(shown, 60)
    anew = alice.new_page()
    anew.goto(site.address("chat--alice"))
    assert "/hub/login" in anew.url


def test_who_leaves_the_group_is_out_within_half_a_minute(site: Site) -> None:
    carol = site.person()
    shown = site.open(carol, "carol", site.address("chat--alice"))
    report(shown)
    site.hub.api("DELETE", "/groups/class/users", {"users": ["carol"]})
    eventually(lambda: status(shown) == 404, "a refusal", 35)


def asked_for(hub: Deployment) -> set[str]:
    """alice's tokens, but for those by which the Hub signs her in."""
    told = hub.api("GET", "/users/alice/tokens").json()
    return {
        each["id"]
        for each in told["api_tokens"]
        if not each.get("oauth_client") or "JupyterHub" in each["oauth_client"]
    }


# --- a hostile page ----------------------------------------------------------------------------------


def test_a_hostile_page_acts_with_nobodys_rights_on_any_way(site: Site) -> None:
    """alice, signed in to the Hub, to her notebook and to her chat, looks at bob's page: at the Hub's address, at its own
    host, beside her chat's, and through the proxy of her notebook."""
    hub = site.hub
    through = f"{hub.url}user/alice/model-service/"
    chat = site.address("chat--alice")
    stop = "api/v1/services/alice/chat/stop"
    aims = Aims(
        read={
            "Hub": f"{hub.url}hub/api/user",
            "home": f"{hub.url}hub/home",
            "services": f"{hub.service_url}api/v1/services",
            "services through Jupyter": f"{through}api/v1/services",
            "files": f"{hub.url}user/alice/api/contents",
            "terminals": f"{hub.url}user/alice/api/terminals",
            "page": f"{hub.service_url}",
            "chat": f"{hub.service_url}endpoints/alice/chat/echo?hostile",
            "chat through Jupyter": f"{through}endpoints/alice/chat/echo?hostile",
            "page of the chat": f"{chat}echo?hostile",
        },
        change={
            "terminals": f"{hub.url}user/alice/api/terminals",
            "token": f"{hub.url}hub/api/users/alice/tokens",
            "stop": f"{hub.service_url}{stop}",
            "stop through Jupyter": f"{through}{stop}",
            "chat": f"{chat}post?hostile",
            "sign in": f"{hub.service_url}sign-in?service=chat--alice&state={'0' * 64}",
            "enter": f"{chat}.model-service/enter?code=x",
        },
        sockets={
            "terminal": f"{hub.url}user/alice/terminals/websocket/1".replace("http", "ws", 1),
            "chat": f"{chat}socket?hostile".replace("http", "ws", 1),
            "chat through Jupyter": f"{through}endpoints/alice/chat/socket?hostile".replace("http", "ws", 1),
        },
        cookies=(
            "__Host-model-service-visit=tossed; Path=/; Secure",
            "model-service-visit=tossed; Domain=models.localhost; Path=/",
            "mine=tossed; Domain=models.localhost; Path=/",
        ),
    )
    site.deploy("bob", "hostile", page(aims, "0.0.0.0"), public=True)
    alice = site.person()
    mine = site.open(alice, "alice", chat)
    report(mine)
    desk = alice.new_page()
    desk.goto(f"{hub.url}user/alice/lab", wait_until="commit")  # where the Hub signs her in to her notebook
    desk.goto(f"{hub.url}user/alice/no-such-page")
    terminals = "async () => { const told = await fetch('/user/alice/api/terminals'); return await told.json(); }"
    assert desk.evaluate(terminals) == [], "she herself may ask"
    before = asked_for(hub)

    own = site.address("hostile--bob")
    ways = {
        "at the Hub's address": f"{hub.service_url}endpoints/bob/hostile/",
        "through the notebook's proxy": f"{through}endpoints/bob/hostile/",
        "at its own host": own,
    }
    may = {"own cookies", "own storage", "own worker", "own model", "own root"}
    for way, address in ways.items():
        shown = alice.new_page()
        shown.goto(address)
        shown.wait_for_selector("#report", timeout=90_000)
        told = json.loads(shown.inner_text("#report"))
        assert len(told) > 40, (way, told)
        assert succeeded(told, may if address == own else set()) == {}, way
        for each in alice.pages:
            if each not in (mine, desk):
                each.close()

    assert site.clients["alice"].get("chat").state == "ready", "nothing was stopped"
    calls = {(method, path) for method, path, _ in site.seen() if "hostile" in path}
    # A link may lead her there: her own doing, as far as a server can tell; what it answers the page cannot read.
    assert calls <= {("GET", "/echo?hostile&by=window")}
    assert status(mine) == 200, "and she is as signed in as before"
    assert desk.evaluate(terminals) == []
    assert asked_for(hub) == before, "no token of hers came to be"
