"""Others who end replicas: the idle culler, an administrator on the Hub's page, the end of a user; and the limits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from jupyter_model_service.errors import InvalidRequest

from .deployment import ADMIN, Deployment, Setup, eventually
from .stage import Stage, traces

IDLE = 12  # seconds: in five her notebook was ended while `create` copied on a busy machine
SETUP = Setup(
    config=f"""
import sys
culler = [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout={IDLE}", "--cull-every=1"]
c.JupyterHub.services.append({{"name": "culler", "command": culler}})
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles.append({{"name": "culler", "scopes": scopes, "services": ["culler"]}})
c.JupyterHub.named_server_limit_per_user = 1
""",
    install=(("max_replicas_per_user", 3),),
)


@pytest.fixture(scope="module")
def site(borrow_hub: Callable[[Setup], Deployment]) -> Deployment:
    return borrow_hub(SETUP)


@pytest.fixture(scope="module")
def stage(site: Deployment) -> Iterator[Stage]:
    stage = Stage(site, "m", 2)
    yield stage
    stage.client.close()


def test_the_idle_culler_leaves_replicas_alone_and_ends_what_is_idle(site: Deployment, stage: Stage) -> None:
    """Nobody calls them, for four times as long as the culler allows; an idle server of hers is ended meanwhile."""
    stage.ready(2)
    before, began = stage.ids(), time.monotonic()
    assert site.start_server("alice", "own", {}, token=site.token("alice")).status_code in (201, 202)
    eventually(
        lambda: (site.servers("alice").get("own") or {}).get("stopped", True), "her own server is culled", 120, 0.5
    )
    eventually(lambda: time.monotonic() - began > 4 * IDLE, "the time", 4 * IDLE + 5)
    assert stage.ready(2).restarts == 0
    assert stage.ids() == before


def test_the_users_limit_counts_her_own_servers_and_ours_replicas(site: Deployment, stage: Stage) -> None:
    stage.ready(2)
    hers = site.token("alice")
    assert site.start_server("alice", "own", {}, token=hers).status_code in (201, 202), "replicas are none of hers"
    refused = site.start_server("alice", "second", {}, token=hers)
    assert (refused.status_code, "maximum" in refused.text) == (400, True)
    with pytest.raises(InvalidRequest) as told:
        stage.client.scale(stage.key, 4)
    sentence = "That would be 4 replicas of alice, and 3 are the most that one user may run (set for all users)."
    assert str(told.value) == sentence
    stage.client.scale(stage.key, 3)
    stage.ready(3)
    stage.client.scale(stage.key, 2)
    stage.ready(2)
    site.stop_server("alice", "own", remove=True)
    eventually(lambda: "own" not in site.servers("alice"), "her own server is gone")


def test_what_an_administrator_stops_on_the_hubs_page_is_replaced_and_the_event_says_how_to_stop_it(
    site: Deployment, stage: Stage
) -> None:
    stage.ready(2)
    victim = next(iter(stage.containers()))
    answer = site.api("DELETE", f"/users/alice/servers/ms-{victim}", token=site.token(ADMIN))
    assert answer.status_code in (202, 204)
    eventually(lambda: victim not in stage.containers(), "it has ended")
    stage.ready(2)
    told = " ".join(event.message for event in stage.events(victim))
    assert "jupyter model-service stop m" in told, told
    assert "Hub's page" in told
    eventually(lambda: f"ms-{victim}" not in site.servers("alice"), "its record is gone, too")
    tokens = site.api("GET", "/users/alice/tokens", token=site.token(ADMIN)).text
    assert next(iter(stage.containers())) in tokens, "a server that runs has one"
    assert victim not in tokens


def test_nothing_of_a_deleted_user_is_left_and_the_next_of_that_name_inherits_nothing(
    site: Deployment, stage: Stage
) -> None:
    """While her replicas run, and so does her notebook; services, replicas and snapshots go with her. The new alice is
    given nothing of the former one at any moment, and not only after the look of the next minute."""
    stage.ready(2)
    assert [name for name in traces(site) if name.startswith("ms-")], "there are snapshots of hers"
    former = site.token("alice")
    answer = site.api("DELETE", "/users/alice")
    if answer.status_code == 400:  # her notebook takes longer than the Hub waits
        eventually(lambda: not site.api("GET", "/users/alice").json()["servers"].get(""), "her notebook has stopped")
        answer = site.api("DELETE", "/users/alice")
    assert answer.status_code == 204, answer.text
    assert site.api("POST", "/users/alice").status_code == 201
    began, hers = time.monotonic(), site.token("alice")

    def asked(path: str, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{site.gateway_url}{path}", headers=headers, timeout=20, trust_env=False)

    def over() -> bool:
        """Whether the administrator sees no service of the former alice any more. Until then the new one has none."""
        assert asked("endpoints/alice/m/pid", hers).status_code in (401, 403, 404)
        assert asked("api/v1/services/alice/m", hers).status_code in (403, 404)
        assert asked("api/v1/services/alice/m/logs", hers).status_code in (403, 404)
        listed = asked("api/v1/services", hers)
        assert listed.status_code == 403 or listed.json()["services"] == []
        everybodys = asked("api/v1/services", site.token(ADMIN)).json()["services"]
        return [service for service in everybodys if service["owner"] == "alice"] == []

    eventually(over, "no service of the former alice", 30)
    print(f"after {time.monotonic() - began:.1f} s")
    eventually(lambda: not traces(site), "no replica and no snapshot of hers", 30)
    assert asked("api/v1/services", former).status_code == 401
    assert json.loads(site.notebook("alice").cli("list", "--json").stdout) == {"services": [], "shared": []}
