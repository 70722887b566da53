"""A hostile model's page in a real browser, on each way that a user's own gateway and her Jupyter server have to it.

She is signed in to Jupyter, and another model has what is none of the page's business. Needs Chromium and playwright.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hostile import ITS_OWN, Aims, escaped, own_leads, page, planted, succeeded, untried
from tests.ui.browser import CHROMIUM, open_browser

from .conftest import eventually
from .test_jupyter_server import Jupyter, jupyters  # noqa: F401 - the fixture

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),  # 78 s on two cores that others use, too
]


class Desk:
    """A Jupyter server, and by it the hostile model, as a public service and as a private one (``guests``); and of others
    one that is open to everybody, and one that is private."""

    def __init__(self, server: Jupyter) -> None:
        self.server = server
        self.hostile = self._deploy("hostile", public=True)
        self.guests = self._deploy("guests", public=False)
        self.victim = self._deploy("victim", public=True)
        self.secret = self._deploy("secret", public=False)
        self.gateway = self.hostile.endpoint.split("endpoints/")[0]
        self.through = f"{server.base}model-service/"

    def _deploy(self, name: str, *, public: bool) -> Any:
        folder = self.server.folder / name
        folder.mkdir()
        self._write(folder, Aims())
        with self.server.client() as client:
            client.create(str(folder), name=name, public=public)
            return client.wait_ready(name, timeout=60)

    def _write(self, folder: Path, aims: Aims) -> None:
        for name, text in page(aims).items():
            (folder / name).write_text(text)

    def arm(self) -> Aims:
        """The model reads its page from the folder of its revision, so a revision it is."""
        owner, port = self.hostile.owner, urlsplit(self.gateway).port
        label = re.escape(f"hostile--{owner}")
        assert re.match(rf"http://({label}|h--hostile--\w+)\.localhost:{port}/", self.hostile.page)
        hidden = f"http://secret--{owner}.localhost:{port}/"
        stop = f"api/v1/services/{owner}/victim/stop"
        jupyter, gateway = urlsplit(self.server.base).netloc, urlsplit(self.gateway).netloc
        aims = Aims(
            read={
                "terminals": f"{self.server.base}api/terminals",
                "files": f"{self.server.base}api/contents",
                "services of Jupyter": f"{self.through}api/v1/services",
                "services": f"{self.gateway}api/v1/services",
                "metrics": f"{self.gateway}metrics",
                "victim": f"{self.victim.endpoint}seen",
                "page of the victim": f"{self.victim.page}seen",
                "secret": f"{self.secret.endpoint}echo?hostile",
                "secret through Jupyter": f"{self.through}endpoints/{owner}/secret/echo?hostile",
                "page of the secret": f"{hidden}echo?hostile",
            },
            change={
                "terminals": f"{self.server.base}api/terminals",
                "stop": f"{self.gateway}{stop}",
                "stop through Jupyter": f"{self.through}{stop}",
                "secret": f"{hidden}x",
            },
            sockets={
                "terminal": f"{self.server.base}terminals/websocket/1".replace("http", "ws", 1),
                "secret": f"{self.secret.endpoint}x".replace("http", "ws", 1),
                "secret through Jupyter": f"{self.through}endpoints/{owner}/secret/x".replace("http", "ws", 1),
            },
            lead={
                "terminals": "/api/terminals",
                "files above": "../../../../../api/contents",
                "terminals in full": f"{self.server.base}api/terminals",
                "terminals as of a host": f"//{jupyter}/api/terminals",
                "terminals by backslashes": f"/\\{jupyter}/api/terminals",
                "services": f"//{gateway}/api/v1/services",
                "services of Jupyter": f"{self.through}api/v1/services",
                "victim": f"{self.victim.endpoint}echo?led",
                "victim through Jupyter": f"{self.through}endpoints/{owner}/victim/echo?led",
                "script": "javascript:document.title='done'",
            },
            windows=("jupyter",),
            cookies=("tossed=1; Domain=localhost; Path=/", "_xsrf=tossed; Path=/", "username-127-0-0-1-8888=x; Path=/"),
        )
        with self.server.client() as client:
            for name in ("hostile", "guests"):
                self._write(self.server.folder / name, aims)
                client.update(name, str(self.server.folder / name))
            self.hostile, self.guests = (client.wait_ready(name, timeout=60) for name in ("hostile", "guests"))
        return aims

    def seen(self, service: Any) -> list[tuple[str, str, dict[str, str], str]]:
        path = f"model-service/endpoints/{service.owner}/{service.name}/seen"
        return [tuple(each) for each in json.loads(self.server.fetch(path)[2])]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    folder = tmp_path / "chromium"
    folder.mkdir()
    with open_browser(folder) as browser:
        yield browser


#: What reaches a model that is private: a link may lead its owner there, which is her own doing as far as a server can
#: tell; what it answers the page cannot read.
LINKED = ("GET", "/echo?hostile&by=window")

#: With an opener, as a page of the same address may open another: links of ours have ``noopener``.
OPEN = "url => { window.open(url, '_blank'); }"


def report_of(mine: Any, address: str, *, alone: bool) -> dict[str, str]:
    """``mine`` opens it, as a page of its own address may; or, at a host of its own, nobody that it could ask."""
    context = mine.context
    if alone:
        shown = context.new_page()
        shown.goto(address)
    else:
        with context.expect_page() as opening:
            mine.evaluate(OPEN, address)
        shown = opening.value
    shown.wait_for_selector("#report", timeout=240_000)
    told: dict[str, str] = json.loads(shown.inner_text("#report"))
    for each in context.pages:
        if each is not mine:
            with contextlib.suppress(Exception):  # it closes by itself
                each.close()
    return told


def test_a_hostile_page_acts_with_nobodys_rights_on_any_way(
    jupyters: Callable[..., Jupyter],  # noqa: F811
    browser: Any,
) -> None:
    """Through the Jupyter server, public and private, at the address that all models share, and at its own host."""
    desk = Desk(jupyters())
    aims = desk.arm()
    server, owner = desk.server, desk.hostile.owner
    context = browser.new_context()
    hops: list[tuple[str, str]] = []

    def watch(request: Any) -> None:
        if request.redirected_from is not None:
            hops.append((request.redirected_from.url, request.url))

    context.on("request", watch)
    mine = context.new_page()
    mine.goto(f"{server.base}no-such-page?token={server.token}")  # signs in; API answers forbid all scripts
    mine.evaluate("window.name = 'jupyter'")
    signed_in = "async () => (await fetch('/api/terminals', {credentials: 'include'})).status"
    assert mine.evaluate(signed_in) == 200, "the visitor herself may"
    place = mine.url

    own = {str(urlsplit(each.page).hostname) for each in (desk.hostile, desk.victim)}  # they are of one kind
    ways = {
        "through Jupyter": f"{desk.through}endpoints/{owner}/hostile/",
        "through Jupyter, private": f"{desk.through}endpoints/{owner}/guests/",
        "at the shared address": desk.hostile.endpoint,
        "at its own host": desk.hostile.page,
    }
    for way, address in ways.items():
        alone = address == desk.hostile.page
        report = report_of(mine, address, alone=alone)
        bad = {
            "not tried": untried(report, aims),
            "did": succeeded(report, ITS_OWN | own_leads(aims) if alone else ()),
            "led": escaped(hops, address),
            "left": planted(context.cookies(), own),
            "hers": {mine.url} - {place},
            "reached": {(method, path) for method, path, *_ in desk.seen(desk.secret)} - {LINKED},
        }
        assert {f"{way}: {what}": each for what, each in bad.items() if each} == {}
    assert {name: report[name] for name in ITS_OWN - {"own cookies"}} == {
        "own storage": "1", "own worker": "registered", "own worker for all": "registered", "own model": "200",
        "own root": "200",
    }  # fmt: skip
    assert "mine=1" in report["own cookies"]
    assert "username" not in report["own cookies"]

    assert mine.evaluate(signed_in) == 200, "she is signed in as before"
    assert json.loads(server.fetch("api/terminals")[2]) == [], "no terminal came to be, by a form neither"
    assert LINKED in {(method, path) for method, path, *_ in desk.seen(desk.secret)}, "its windows were opened"
    assert all("/to?" in str(desk.seen(each)) for each in (desk.hostile, desk.guests)), "it was asked to lead"
    for service in (desk.victim, desk.hostile, desk.guests):
        for method, path, headers, _ in eventually(lambda s=service: desk.seen(s), "calls"):
            names = {name.lower() for name in headers}
            assert "authorization" not in names, (method, path)
            cookies = set(re.findall(r"([^=; ]+)=", headers.get("Cookie", "")))
            assert cookies <= ({"planted", "mine"} if service is desk.hostile else {"planted"}), (method, path)
    with server.client() as client:
        assert [each.state for each in client.list()] == ["ready"] * 4, "nothing was stopped"
    hosts = {each["domain"] for each in context.cookies() if each["value"] in ("planted", "tossed", "1", "x")}
    assert hosts <= own, "each for its own host alone"
