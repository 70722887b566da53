"""alice looks at a hostile page of bob's on every way of a Hub, in a real browser, and what came of it: for the Hubs of both
lines. The page and its model are ``tests/hostile.py``."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.hostile import ITS_OWN, Aims, escaped, own_leads, page, planted, succeeded, untried

from .deployment import Deployment
from .hosts import Site, report, status

#: As the page of a notebook asks it, with the proof that it is one.
TERMINALS = """async () => {
    const [, proof] = document.cookie.match(/_xsrf=([^;]+)/) ?? [];
    return await (await fetch('/user/alice/api/terminals', {headers: {'X-XSRFToken': proof ?? ''}})).json();
}"""
WHO = "async () => (await (await fetch('/hub/home')).text()).includes('alice')"
#: With an opener, as a page of the same address may open another: links of ours have ``noopener``.
OPEN = "url => { window.open(url, '_blank'); }"


def aims_at(site: Site) -> Aims:
    hub, chat = site.hub, site.address("chat--alice")
    through, stop = f"{site.url}user/alice/model-service/", "api/v1/services/alice/chat/stop"
    host = urlsplit(site.url).netloc
    return Aims(
        read={
            "Hub": f"{site.url}hub/api/user",
            "home": f"{site.url}hub/home",
            "tokens": f"{site.url}hub/token",
            "services": f"{site.service_url}api/v1/services",
            "services at the gateway": f"{hub.gateway_url}api/v1/services",
            "services through Jupyter": f"{through}api/v1/services",
            "files": f"{site.url}user/alice/api/contents",
            "terminals": f"{site.url}user/alice/api/terminals",
            "page": f"{site.service_url}",
            "chat": f"{site.service_url}endpoints/alice/chat/echo?hostile",
            "chat at the gateway": f"{hub.gateway_url}endpoints/alice/chat/echo?hostile",
            "chat through Jupyter": f"{through}endpoints/alice/chat/echo?hostile",
            "page of the chat": f"{chat}echo?hostile",
        },
        change={
            "terminals": f"{site.url}user/alice/api/terminals",
            "token": f"{site.url}hub/api/users/alice/tokens",
            "stop": f"{site.service_url}{stop}",
            "stop at the gateway": f"{hub.gateway_url}{stop}",
            "stop through Jupyter": f"{through}{stop}",
            "stop at the page": f"{site.service_url}services/alice/chat/stop",
            "notice at the page": f"{site.service_url}services/alice/chat/notice",
            "sign out of the page": f"{site.service_url}sign-out",
            "chat": f"{chat}post?hostile",
            "sign in": f"{site.service_url}sign-in?service=chat--alice&state={'0' * 64}",
            "enter": f"{chat}.model-service/enter?code=x",
        },
        sockets={
            "terminal": f"{site.url}user/alice/terminals/websocket/1".replace("http", "ws", 1),
            "chat": f"{chat}socket?hostile".replace("http", "ws", 1),
            "chat at the gateway": f"{hub.gateway_url}endpoints/alice/chat/socket?hostile".replace("http", "ws", 1),
            "chat through Jupyter": f"{through}endpoints/alice/chat/socket?hostile".replace("http", "ws", 1),
        },
        lead={
            "Hub": "/hub/home",
            "Hub above": "../../../../../../../hub/home",
            "Hub as a host": f"//{host}/hub/home",
            "Hub by backslashes": f"/\\{host}/hub/home",
            "Hub in full": f"{site.url}hub/home",
            "control API": f"{site.service_url}api/v1/services",
            "chat": f"{site.service_url}endpoints/alice/chat/echo?hostile&by=led",
            "page of the chat": f"{chat}echo?hostile&by=led",
            "script": "javascript:document.title='done'",
        },
        windows=("desk", "chat"),
        cookies=(
            "__Host-model-service-visit=tossed; Path=/; Secure",
            f"model-service-visit=tossed; Domain={site.domain}; Path=/",
            f"mine=tossed; Domain={site.domain}; Path=/",
        ),
    )


def asked_for(hub: Deployment) -> set[str]:
    """alice's tokens, but for those by which the Hub signs her in."""
    told = hub.api("GET", "/users/alice/tokens").json()
    return {
        each["id"]
        for each in told["api_tokens"]
        if not each.get("oauth_client") or "JupyterHub" in each["oauth_client"]
    }


def visit(site: Site) -> dict[str, Any]:
    """Whatever came of the attempts that should not have: nothing. By way, and by where it was seen; of the first way by
    which anything came."""
    hub, aims, chat = site.hub, aims_at(site), site.address("chat--alice")
    site.deploy("bob", "hostile", page(aims, "0.0.0.0"), public=True)
    site.deploy("bob", "guests", page(aims, "0.0.0.0"))
    site.share("user", "alice", "guests", "bob")
    alice = site.person()
    mine = site.open(alice, "alice", chat)
    report(mine)
    hers = alice.new_page()
    hers.goto(site.service_url)  # she is signed in to the page, too
    assert hers.locator('[id="alice/chat"]').count() == 1
    desk = alice.new_page()
    desk.goto(f"{site.url}user/alice/lab", wait_until="commit")  # where the Hub signs her in to her notebook
    desk.goto(f"{site.url}user/alice/no-such-page")
    for shown, name in ((mine, "chat"), (desk, "desk")):
        shown.evaluate("name => { window.name = name; }", name)
    assert desk.evaluate(TERMINALS) == [], "she herself may ask"
    before, place = asked_for(hub), desk.url
    hops: list[tuple[str, str]] = []

    def watch(request: Any) -> None:
        if request.redirected_from is not None:
            hops.append((request.redirected_from.url, request.url))

    alice.on("request", watch)

    found: dict[str, Any] = {}
    ways = {
        "at the Hub's address": f"{site.service_url}endpoints/bob/hostile/",
        "at the gateway's own address": f"{hub.gateway_url}endpoints/bob/hostile/",
        "through the notebook's proxy": f"{site.url}user/alice/model-service/endpoints/bob/guests/",
        "at its own host": site.address("hostile--bob"),
        "at its own host, signed in": site.address("guests--bob"),
    }
    hosts = {str(urlsplit(url).hostname) for way, url in ways.items() if "own host" in way}
    for way, address in ways.items():
        alone = urlsplit(address).hostname in hosts
        if alone:
            shown = site.open(alice, "alice", address)
        else:
            with alice.expect_page() as opening:
                desk.evaluate(OPEN, address)
            shown = opening.value
        shown.wait_for_selector("#report", timeout=240_000)
        told = json.loads(shown.inner_text("#report"))
        bad = {
            "not tried": untried(told, aims),
            "did": succeeded(told, ITS_OWN | own_leads(aims) if alone else ()),
            "led": escaped(hops, address),
            "left": planted(alice.cookies(), hosts),
            "desk": {desk.url} - {place},
            "stopped": {site.clients["alice"].get("chat").state} - {"ready"},
            "noticed": {site.clients["alice"].get("chat").notice} - {None},
        }
        found |= {f"{way}: {what}": each for what, each in bad.items() if each}
        if found:  # what is hers may not be any more what the other ways need
            return found
        for each in alice.pages:
            if each not in (mine, desk, hers):
                each.close()

    wanted = {(url, how) for url in aims.lead.values() for how in ("fetch", "frame", "window")}
    unled = {name: wanted - _led(site, name) for name in ("hostile", "guests")}
    calls = {(method, path) for method, path, _ in site.seen() if "hostile" in path}
    # A link may lead her there: her own doing, as far as a server can tell; what it answers the page cannot read.
    linked = {("GET", "/echo?hostile&by=window"), ("GET", "/echo?hostile&by=led")}
    assert ("GET", "/echo?hostile&by=window") in calls, "its windows were opened"
    after = {
        "not led": {name: missing for name, missing in unled.items() if missing},
        "reached the chat": calls - linked,
        "tokens": asked_for(hub) - before,
        "terminals": desk.evaluate(TERMINALS),
        "signed out of the chat": status(mine) != 200,
        "signed out of the Hub": not desk.evaluate(WHO),
        "signed out of the page": hers.goto(site.service_url).request.redirected_from is not None,
    }
    return {what: each for what, each in after.items() if each}


def _led(site: Site, name: str) -> set[tuple[str, str]]:
    """Where the model was asked to lead, and by what."""
    said = [parse_qs(path.partition("?")[2]) for _, path, *_ in site.seen(name, "bob") if path.startswith("/to?")]
    return {(each["where"][0], each["by"][-1]) for each in said}
