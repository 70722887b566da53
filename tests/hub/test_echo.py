"""A model that tells all that it is told, called with every credential there is, on every way to it, on a real Hub."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from .deployment import Deployment, Setup
from .mirror import Mirror

VALUE = "a-password-of-the-models-own"  # which it is given as an environment variable
OWN_HOST = "mirror--alice.models.localhost"
JUPYTERS = "v1.token.websocket.jupyter.org"
SITE = Setup(
    config='c.JupyterHub.log_level = "DEBUG"\n',
    install=(("access_log", "access.log"), ("endpoints_url", f"http://*.{OWN_HOST.partition('.')[2]}")),
)
pytestmark = pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str)


@pytest.fixture(scope="module")
def mirror(hub: Deployment) -> Iterator[Mirror]:
    made = Mirror(hub, {"PASSWORD": VALUE})
    made.owner.share(made.key, users=["bob"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(hub: Deployment) -> dict[str, str]:
    """The cookies of bob's browser, who has signed in and opened his notebook, in the words of a header."""
    hub.notebook("bob")
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=30) as page:
        form = page.get(f"{hub.url}hub/login")
        xsrf = re.search(r'name="_xsrf"[^>]*value="([^"]+)"', form.text)
        assert xsrf is not None, form.text[:500]
        told = {"username": "bob", "password": "any", "_xsrf": xsrf[1]}
        assert page.post(f"{hub.url}hub/login", data=told).status_code == 200
        assert page.get(f"{hub.url}user/bob/lab").status_code == 200
        found = {f"{each.name} of {each.path}": each for each in page.cookies.jar}
    assert len(found) >= 3, found
    return {name: f"{each.name}={each.value}" for name, each in found.items()}


@pytest.fixture(scope="module")
def tokens(hub: Deployment, mirror: Mirror) -> dict[str, str]:
    inside = hub.notebook("bob").exec("sh", "-c", "echo $JUPYTERHUB_API_TOKEN").stdout.strip()
    return {
        "alice's own": hub.token("alice"),
        "bob's": hub.token("bob"),
        "bob's, for calling": mirror.visitor("bob"),
        "of bob's notebook": inside,
        "of the endpoint": mirror.owner.generate_token(mirror.key, "echo").token,
        "of an administrator": hub.token("admin"),
    }


def in_what_it_saw(text: str, secrets: dict[str, str]) -> list[str]:
    """Also the values of cookies, by themselves."""
    parts = {(name, part.strip('"')) for name, secret in secrets.items() for part in (secret, secret.split("=", 1)[-1])}
    return sorted({name for name, part in parts if len(part) > 7 and part in text})


WAYS = ("address", "direct", "named", "named, straight")


def places(mirror: Mirror) -> dict[str, str]:
    return {
        "address": f"{mirror.url}who",
        "direct": f"{mirror.direct}who",
        "named": f"{mirror.hub.service_url}v1/chat/completions",
        "named, straight": f"{mirror.hub.gateway_url}v1/chat/completions",
    }


def test_no_credential_reaches_it_by_a_call(
    hub: Deployment, mirror: Mirror, tokens: dict[str, str], browser: dict[str, str]
) -> None:
    """As a bearer token or Jupyter's kind of one, in headers that other servers read, beside all cookies of a browser;
    at its address and by its name, through the Hub's proxy and past it."""
    secrets, found, answered = {**tokens, **browser}, [], 0
    cookies = "; ".join(browser.values())
    for way, url in places(mirror).items():
        for name, token in tokens.items():
            for scheme in ("Bearer", "bearer", "token"):
                headers = {
                    "Authorization": f"{scheme} {token}", "Cookie": cookies, "X-XSRFToken": token, "Origin": hub.url,
                    "Proxy-Authorization": f"Bearer {token}", "Referer": f"{hub.url}hub/home",
                }  # fmt: skip
                body = {"model": mirror.key, "messages": []}
                answer = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)
                if answer.status_code != 200:
                    assert (scheme, answer.status_code) != ("Bearer", 401), (way, name, answer.text)
                    assert "environment" not in answer.text, (way, name)
                    continue
                answered += 1
                assert answer.json()["method"] == "POST"
                found += [f"{each} by {way} of {name}" for each in in_what_it_saw(answer.text, secrets)]
    assert answered >= len(WAYS) * len(tokens)
    assert found == []


def test_no_credential_reaches_it_through_the_jupyter_server_of_a_notebook(
    hub: Deployment, mirror: Mirror, tokens: dict[str, str], browser: dict[str, str]
) -> None:
    """bob's own, by his cookies and by his token: his server calls in his place with a token that the model never
    sees."""
    secrets, his = {**tokens, **browser}, tokens["bob's"]
    url = f"{hub.url}user/bob/model-service/endpoints/{mirror.key}/who"
    for headers in (
        {"Authorization": f"token {his}"},
        {"Cookie": "; ".join(browser.values()), "Sec-Fetch-Site": "same-origin"},
    ):
        answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert answer.json()["method"] == "GET"
        assert in_what_it_saw(answer.text, secrets) == []
    for place in (f"{url}?token={his}", f"{mirror.url}who?token={his}"):
        answer = httpx.get(place, headers={"Authorization": f"token {his}"}, timeout=30, trust_env=False)
        assert his not in answer.text
        assert answer.status_code in (200, 400), answer.text


def test_no_credential_reaches_it_by_a_websocket(
    hub: Deployment, mirror: Mirror, tokens: dict[str, str], browser: dict[str, str]
) -> None:
    """In the header, or where browsers can put one: among the protocols. Each of them opens it, at the service's address
    through the Hub's proxy and past it, and at a host of its own; the model is offered what is left of the protocols."""
    secrets = {**tokens, **browser}
    cookies = "; ".join(browser.values())
    own = f"http://{OWN_HOST}/"

    async def opened(url: str, headers: dict[str, str], protocols: list[Any]) -> dict[str, Any]:
        address, more = f"ws{url.removeprefix('http')}socket", {}
        if url == own:
            gateway = urlsplit(hub.gateway_url)
            more = {"host": gateway.hostname, "port": gateway.port}
        async with connect(
            address, additional_headers=headers, subprotocols=protocols or None, origin=None, proxy=None, **more
        ) as ws:
            seen = str(await asyncio.wait_for(ws.recv(), 20))
            await ws.send("and back")
            assert await asyncio.wait_for(ws.recv(), 20) == "and back"
            assert ws.subprotocol == ("chat" if protocols else None)
            return {"text": seen, **json.loads(seen)}

    async def main() -> list[str]:
        found = []
        for url in (mirror.url, mirror.direct, own):
            for name, token in tokens.items():
                for headers, protocols, offered in (
                    ({"Authorization": f"Bearer {token}", "Cookie": cookies}, [], []),
                    ({"Cookie": cookies}, ["chat", f"bearer.{token}"], ["chat"]),
                    (
                        {"Authorization": f"Bearer {token}"},
                        [f"bearer.{token}", "chat", f"{JUPYTERS}.{token}"],
                        ["chat"],
                    ),
                ):
                    seen = await opened(url, headers, protocols)
                    said = {key.lower(): value for key, value in seen["headers"]}
                    assert said.get("sec-websocket-protocol", "") == ", ".join(offered), (url, name)
                    found += [f"{each} by {name}, {protocols}" for each in in_what_it_saw(seen["text"], secrets)]
            with pytest.raises(InvalidStatus) as refused:
                await opened(url, {"Cookie": cookies}, ["chat", "bearer.nobodys"])
            assert refused.value.response.status_code == 401
        return found

    assert asyncio.run(main()) == []
