"""A gateway and a proxy that the Hub does not run: its restarts interrupt no call. And the older line of the Hub."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .deployment import Deployment, Setup, eventually
from .test_service import (
    FOLDER,
    Callers,
    called,
    gateway_of,
    gateways,
    info,
    put_model,
    replica_containers,
)

APART = Setup(managed=False, proxy="external")


@pytest.fixture(scope="module")
def site(make_deployment: Callable[[Setup], Deployment]) -> Iterator[Deployment]:
    made = make_deployment(APART)
    try:
        made.start()
        made.start_gateway()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def parrot(site: Deployment) -> dict[str, Any]:
    """``alice/parrot`` with two replicas, and a token for it."""
    alice = site.notebook("alice")
    put_model(alice, "hello")
    alice.cli("create", FOLDER, "-n", "parrot", "--replicas", "2")
    token = alice.cli("generate-token", "parrot", "--quiet", "--expires", "1h").stdout.strip()
    return {**info(alice, "parrot"), "token": token}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_hub_fails_no_call(site: Deployment, parrot: dict[str, Any], how: str) -> None:
    """Proxy, gateway and replicas go on; a token that is known stays good while nobody can be asked."""
    before = {c.id for c in replica_containers(site)}
    with Callers(parrot["endpoint"], parrot["token"]) as callers:
        callers.more()
        getattr(site, how)()
        callers.more(100)
        time.sleep(32)  # longer than a token is fresh for
        callers.more()
        site.start()
        callers.more(100)
    assert callers.failed == []
    assert {c.id for c in replica_containers(site)} == before


def test_a_killed_gateway_refuses_nobody(site: Deployment, parrot: dict[str, Any]) -> None:
    before = {c.id for c in replica_containers(site)}
    with Callers(parrot["endpoint"], parrot["token"]) as callers:
        callers.more()
        gateway = gateway_of(site)
        gateway.send_signal(signal.SIGKILL)
        eventually(lambda: [each for each in gateways(site) if each.pid != gateway.pid], "the next gateway")
        callers.more()
    assert len(callers.failed) <= 3, callers.failed
    assert callers.longest < 5
    assert {c.id for c in replica_containers(site)} == before


def test_a_gateway_killed_while_the_hub_is_away_serves_again_and_touches_no_replica(
    site: Deployment, parrot: dict[str, Any]
) -> None:
    """Nobody's token can be checked then, which is said; whoever needs none is served. When the Hub is back, all is as
    it was."""
    alice = site.notebook("alice")
    alice.cli("create", FOLDER, "-n", "open", "--public")
    public = info(alice, "open")["endpoint"]
    before = {c.id for c in replica_containers(site)}
    site.kill()
    gateway = gateway_of(site)
    gateway.send_signal(signal.SIGKILL)
    eventually(lambda: [each for each in gateways(site) if each.pid != gateway.pid], "the next gateway", 10)
    next_gateway = gateway_of(site)
    eventually(lambda: called(public, None).status_code == 200, "an endpoint that serves without the Hub", 15)
    refused = called(parrot["endpoint"], parrot["token"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "identity_unavailable")
    time.sleep(20)  # longer than a replica that is started or adopted may be silent
    assert called(public, None).status_code == 200
    assert gateway_of(site).pid == next_gateway.pid, "it did not have to be started again"
    site.start()
    eventually(lambda: called(parrot["endpoint"], parrot["token"]).status_code == 200, "the token is good again")
    alice.cli("scale", "parrot", "3")  # the Hub has been looked at: replicas are started again
    assert before < {c.id for c in replica_containers(site)}
    alice.cli("scale", "parrot", "2")
    alice.cli("delete", "open", "--yes")


def tokens_that_the_gateway_can_make(hub: Deployment) -> dict[str, int]:
    """What the Hub answers to the gateway's own token when it asks for tokens that it has no need of."""
    own, system = (hub.folder / "model-service" / "api-token").read_text().strip(), "model-service-tokens"
    wishes = {
        "as alice": ("alice", ["custom:model-service:invoke!server=alice/parrot"]),
        "as an administrator": ("admin", []),
        "to manage": (system, ["custom:model-service:manage!user=alice"]),
        "for her servers": (system, ["access:servers!user=alice"]),
        "to call one endpoint": (system, ["custom:model-service:invoke!server=alice/parrot"]),
    }
    return {
        what: hub.api("POST", f"/users/{user}/tokens", {"note": "test", "scopes": scopes}, token=own).status_code
        for what, (user, scopes) in wishes.items()
    }


ONLY_ENDPOINTS = {
    "as alice": 403,
    "as an administrator": 403,
    "to manage": 400,
    "for her servers": 400,
    "to call one endpoint": 201,
}


def test_the_gateways_own_token_makes_no_token_of_a_person(site: Deployment, parrot: dict[str, Any]) -> None:
    assert tokens_that_the_gateway_can_make(site) == ONLY_ENDPOINTS


def test_a_deleted_user_loses_her_services_and_the_next_of_that_name_inherits_none(
    site: Deployment, parrot: dict[str, Any]
) -> None:
    def next_gateway() -> None:
        """It looks at the users when it starts, and not only each minute."""
        former = gateway_of(site)
        former.send_signal(signal.SIGKILL)
        eventually(lambda: [each for each in gateways(site) if each.pid != former.pid], "the next gateway")
        eventually(site.gateway_answers, "a gateway that answers")

    next_gateway()
    book = site.folder / "model-service" / "owners.json"
    eventually(lambda: book.exists() and "alice" in book.read_text(), "alice is noted")
    assert replica_containers(site)
    site.stop_server("alice")
    assert site.api("DELETE", "/users/alice").status_code == 204
    assert site.api("POST", "/users/alice").status_code == 201
    next_gateway()
    hers = {"Authorization": f"Bearer {site.token('alice')}"}
    url = f"{site.service_url}api/v1/services"
    eventually(lambda: site._http.get(url, headers=hers).json() == {"services": []}, "no services of the new alice")
    eventually(lambda: replica_containers(site) == [], "no replicas of the former alice")
    assert called(parrot["endpoint"], parrot["token"]).status_code == 401


def test_the_older_line_serves_as_well(deploy_hub: Callable[..., Deployment]) -> None:
    """JupyterHub 5.5: from the notebook's terminal to an endpoint, not for others, and away again."""
    hub = deploy_hub(Setup(line=5, managed=False))
    hub.start_gateway()
    assert tokens_that_the_gateway_can_make(hub) == ONLY_ENDPOINTS
    alice = hub.notebook("alice")
    put_model(alice, "hello")
    alice.cli("create", FOLDER, "-n", "parrot")
    token = alice.cli("generate-token", "parrot", "--quiet", "--expires", "1h").stdout.strip()
    endpoint = info(alice, "parrot")["endpoint"]
    assert called(endpoint, token).json()["word"] == "hello"
    assert [called(endpoint, each).status_code for each in (None, hub.token("bob"))] == [401, 403]
    alice.cli("revoke-token", "parrot", hub_token_id(alice))
    assert called(endpoint, token).status_code == 401
    alice.cli("delete", "parrot", "--yes")
    eventually(lambda: not [name for name in hub.servers("alice") if name.startswith("ms-")], "no server of ours")
    assert replica_containers(hub) == []


def hub_token_id(notebook: Any) -> str:
    import json

    listed = json.loads(notebook.cli("tokens", "parrot", "--json").stdout)
    tokens = listed["tokens"] if isinstance(listed, dict) else listed
    return str(tokens[0]["id"])
