"""A Hub whose services have hosts of their own, in a real browser: for the tests of signing in and of hostile pages."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from deploy.hub.ingress import Ingress
from jupyter_model_service.client import Client
from tests.ports import free_port
from tests.ui.browser import open_browser

from .deployment import Deployment, Setup, eventually

DEFINITION = """\
models:
- name: chat
  model_path: /models
  service:
    start_command: [python3, /models/page_model.py, "{port}"]
    port: 8000
    health_check: {path: /health, interval: 1}
"""


class Site:
    """A Hub whose services have hosts of their own below ``domain``, and alice's ``chat``. ``url`` is the Hub's for
    browsers."""

    def __init__(self, hub: Deployment, port: int, browser: Any, *, domain: str, url: str) -> None:
        self.hub, self.port, self.browser, self.domain, self.url = hub, port, browser, domain, url
        self.service_url = f"{url}services/model-service/"
        self.clients = {user: Client(hub.gateway_url, hub.token(user)) for user in ("alice", "bob")}
        eventually(hub.gateway_answers, "a gateway that answers")
        self.contexts: list[Any] = []
        model = (Path(__file__).parent / "page_model.py").read_text()
        self.deploy("alice", "chat", {"page_model.py": model, "model-definition.yaml": DEFINITION})

    def address(self, label: str, path: str = "") -> str:
        return f"http://{label}.{self.domain}:{self.port}/{path}"

    def deploy(self, user: str, name: str, files: dict[str, str], *, public: bool = False) -> Any:
        notebook = self.hub.notebook(user)
        for file, text in files.items():
            notebook.write(f"{name}/{file}", text)
        notebook.cli("create", name, "-n", name, *(["--public"] if public else []))
        return self.clients[user].get(name)

    def share(self, kind: str, whom: str, name: str = "chat", owner: str = "alice") -> None:
        self.clients[owner].share(name, **{f"{kind}s": [whom]})

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

    def seen(self, name: str = "chat", owner: str = "alice") -> list[list[Any]]:
        """The calls that came to a model: method, path, headers first."""
        client, label = self.clients[owner], f"{name}--{owner}"
        token = client.generate_token(name, token_name="look", expires_in=3600).token
        found: list[list[Any]] = self.call("seen", {"Authorization": f"Bearer {token}"}, label).json()
        return found

    def call(self, path: str, headers: dict[str, str], label: str = "chat--alice") -> httpx.Response:
        """As a program does, which may know nothing of names below ``localhost``."""
        host = {"Host": f"{label}.{self.domain}:{self.port}"}
        return httpx.get(f"http://127.0.0.1:{self.port}/{path}", headers={**host, **headers}, trust_env=False)

    def close(self) -> None:
        for user, client in self.clients.items():
            for service in client.list():
                with contextlib.suppress(Exception):
                    client.delete(f"{user}/{service.name}")
            client.close()


@contextlib.contextmanager
def opened(make: Callable[..., Deployment], folder: Path, line: int = 6, *, as_tls: bool = False) -> Iterator[Site]:
    """``make``: the fixture ``make_deployment``; ``folder``: of the browser, which takes plain HTTP for what it is, or
    the Hub's address and the gateway's ``as_tls``: with service workers, ``Secure`` cookies and ``Sec-Fetch-…`` there."""
    from .conftest import running

    port, domain = free_port(), "models.localhost"
    hub = make(Setup(line=line, install=(("endpoints_url", f"http://*.{domain}:{port}"),)))
    running.append(hub)
    try:
        hub.start()
        Ingress(port, hub.network.address, hub.gateway_port).start()
        trusted = (f"--unsafely-treat-insecure-origin-as-secure={hub.url},{hub.gateway_url}",) if as_tls else ()
        with open_browser(folder, *trusted) as browser:
            made = Site(hub, port, browser, domain=domain, url=hub.url)
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
