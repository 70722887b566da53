"""A gateway and a proxy that the Hub does not run: its restarts interrupt no call. And the older line of the Hub."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from .deployment import Deployment, Setup, eventually
from .test_service import (
    FOLDER,
    called,
    gateway_of,
    gateways,
    info,
    put_model,
    replica_containers,
)

APART = Setup(managed=False, proxy="external")


@pytest.fixture(scope="module")
def site(borrow_hub: Callable[[Setup], Deployment]) -> Deployment:
    made = borrow_hub(APART)
    made.start_gateway()
    return made


@pytest.fixture(scope="module")
def parrot(site: Deployment) -> dict[str, Any]:
    """``alice/parrot`` with two replicas, and a token for it."""
    alice = site.notebook("alice")
    put_model(alice, "hello")
    alice.cli("create", FOLDER, "-n", "parrot", "--replicas", "2")
    token = alice.cli("generate-token", "parrot", "--quiet", "--expires", "1h").stdout.strip()
    return {**info(alice, "parrot"), "token": token}


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
    eventually(lambda: site._http.get(url, headers=hers).json().get("services") == [], "no services of the new alice")
    eventually(lambda: replica_containers(site) == [], "no replicas of the former alice")
    assert called(parrot["endpoint"], parrot["token"]).status_code == 401


def test_the_older_line_serves_as_well(deploy_hub: Callable[..., Deployment]) -> None:
    """JupyterHub 5.5 with a gateway that it runs: from the notebook's terminal to an endpoint, not for others, and away
    again."""
    hub = deploy_hub(Setup(line=5, apart=True))
    alice = hub.notebook("alice")
    put_model(alice, "hello")
    eventually(hub.gateway_answers, "a gateway that answers")
    alice.cli("create", FOLDER, "-n", "parrot")
    token = alice.cli("generate-token", "parrot", "--quiet", "--expires", "1h").stdout.strip()
    endpoint = info(alice, "parrot")["endpoint"]
    assert called(endpoint, token).json()["word"] == "hello"
    assert [called(endpoint, each).status_code for each in (None, hub.token("bob"))] == [401, 404]
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
