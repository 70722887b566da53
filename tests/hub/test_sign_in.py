"""Signing in to the pages of a service, on a real Hub in a real browser: who comes in and how, what works there, what ends
it; and a hostile model's page on every way to it."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ui.browser import missing

from .deployment import Deployment, eventually
from .hostile_visit import visit
from .hosts import Site, opened, report, status
from .test_service import gateway_of

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

NOT_THERE = "There is no service at this address that you may use."


@pytest.fixture(scope="module")
def site(make_deployment: Callable[..., Deployment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(make_deployment, tmp_path_factory.mktemp("chromium")) as made:
        yield made


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
    alice.new_page().goto(f"{site.url}hub/logout")
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


# --- a hostile page ----------------------------------------------------------------------------------


@pytest.mark.timeout(900)  # 90 s on two cores, and some five times that where others use them too
def test_a_hostile_page_acts_with_nobodys_rights_on_any_way(site: Site) -> None:
    """alice, signed in to the Hub, to the page of the model service, to her notebook and to her chat, looks at bob's page:
    at the Hub's address, at the gateway's own, at its own host, beside her chat's, and, with whom it is shared, through
    the proxy of her notebook and signed in to it."""
    assert visit(site) == {}
