"""The ground that the other tests with a real Hub stand on: plain JupyterHub, both lines, without us."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from .deployment import ADMIN, PLAIN, Deployment, Setup, ended, eventually
from .own_engine import OwnEngine

LINES = [PLAIN, Setup(line=5, install=None)]
both_lines = pytest.mark.parametrize("hub", LINES, indirect=True, ids=str)


@both_lines
def test_a_user_has_a_notebook_on_the_sessions_network_with_her_own_home(hub: Deployment) -> None:
    """alice's server runs in a container of this deployment; she may write to her home, and the package is there."""
    notebook = hub.notebook("alice")
    assert [container.id for container in hub.containers()] == [notebook.container.id]
    assert list(notebook.container.attrs["NetworkSettings"]["Networks"]) == [hub.network.name]
    notebook.write("notes/a.txt", "hello")
    assert notebook.exec("cat", "/home/jovyan/notes/a.txt").stdout == "hello"
    assert notebook.exec("id", "-un").stdout.strip() == "jovyan"
    assert "create" in notebook.cli("--help").stdout
    spawned = notebook.exec("sh", "-c", "echo $JUPYTERHUB_USER $JUPYTER_IMAGE_SPEC").stdout.split()
    assert spawned == ["alice", hub.image]

    notebook.stop()

    eventually(lambda: not hub.containers(all=False), "no running container", 15)


@both_lines
def test_the_hub_in_the_notebook_is_of_the_line_asked_for(hub: Deployment) -> None:
    """Hub and single-user server are of one line, so neither warns of the other."""
    inside = hub.notebook("bob").exec("jupyterhub-singleuser", "--version").stdout
    wanted = f"{hub.setup.line}."
    assert hub.api("GET", "/").json()["version"].startswith(wanted)
    assert inside.startswith(wanted)


@both_lines
def test_tokens_act_for_their_user_only(hub: Deployment) -> None:
    """The helpers' tokens are the user's: alice is not told about bob, an admin is."""
    alice = hub.token("alice")
    assert hub.api("GET", "/user", token=alice).json()["name"] == "alice"
    assert hub.api("GET", "/users/bob", token=alice).status_code == 404
    assert hub.api("GET", "/users/bob", token=hub.token(ADMIN)).status_code == 200


@both_lines
def test_a_notebook_reaches_the_hub_by_its_token(hub: Deployment) -> None:
    """A container reaches the Hub at the network's gateway address, with what the spawner gave it."""
    script = (
        "import json, os, urllib.request as u; "
        "r = u.Request(os.environ['JUPYTERHUB_API_URL'] + '/user', headers={'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}); "
        "print(json.load(u.urlopen(r, timeout=10))['name'])"
    )
    assert hub.notebook("carol").exec("python3", "-c", script).stdout.strip() == "carol"


def test_servers_stay_over_an_ordered_and_a_killed_hub(deploy_hub: Callable[..., Deployment]) -> None:
    """The same container is known again after SIGTERM and after SIGKILL; nothing of the Hub is left by ``close``."""
    hub = deploy_hub(PLAIN)
    before = hub.notebook("alice").container.id
    hub.stop()
    hub.start()
    assert hub.notebook("alice").container.id == before
    hub.kill()
    hub.start()
    assert hub.notebook("alice").container.id == before
    processes = hub.processes()
    assert {"jupyterhub", "node"} & {process.name() for process in processes}

    hub.close()

    assert all(ended(process.pid) for process in processes)
    assert not hub.containers()
    assert not hub.engine.volumes.list(filters={"name": hub.prefix})


SHAPES = [
    Setup(apart=True),
    Setup(line=5, apart=True),
    Setup(managed=False, proxy="external"),
    Setup(line=5, managed=False, proxy="external"),
]


@pytest.mark.parametrize("setup", SHAPES, ids=str)
def test_a_gateway_answers_a_users_notebook_however_it_is_run(
    setup: Setup, deploy_hub: Callable[..., Deployment]
) -> None:
    """By the Hub or beside it, in the notebooks' network or another: alice's CLI reaches it and is known there."""
    hub = deploy_hub(setup)
    if not setup.managed:
        hub.start_gateway()
    alice = hub.notebook("alice")
    told = eventually(lambda: hub.gateway_answers() and alice.cli("list", "--json"), "a gateway that answers", 30)
    assert json.loads(told.stdout)["services"] == []
    through_the_proxy = hub.service_url + "api/v1/services"
    answer = httpx.get(through_the_proxy, headers={"Authorization": f"Bearer {hub.token('bob')}"}, timeout=30)
    assert (answer.status_code, answer.json()["services"]) == (200, [])
    assert httpx.get(through_the_proxy, timeout=30).status_code == 401

    processes = hub.processes()
    hub.close()

    assert all(ended(process.pid) for process in processes)


def test_a_hub_that_does_not_start_says_why(deploy_hub: Callable[..., Deployment]) -> None:
    """A wrong setting ends the start; status and log are there to be judged."""
    hub = deploy_hub(Setup(install=None, config="c.JupyterHub.spawner_class = 'nonsense.Spawner'"), wait=False)
    assert hub.process is not None
    assert hub.process.wait(timeout=60) == 1
    assert "nonsense.Spawner" in hub.log_tail()


def test_an_engine_of_ones_own_ends_and_starts_while_the_machines_stays(
    own_engine: OwnEngine, deploy_hub: Callable[..., Deployment], docker_engine: Any
) -> None:
    """Its containers end with it when it is killed, and the Hub starts them again; the machine's has none of them."""
    hub = deploy_hub(Setup(install=None, config="c.Spawner.poll_interval = 2"), on=own_engine)
    assert hub.notebook("alice").container.name not in [c.name for c in docker_engine.containers.list(all=True)]

    own_engine.kill()
    own_engine.start()
    eventually(lambda: not hub.servers("alice")[""]["ready"], "the Hub sees the end of the notebook", 45, 0.5)
    assert hub.notebook("alice").exec("id", "-un").stdout == "jovyan\n"
    assert docker_engine.ping()
    assert "docker0" in psutil.net_if_addrs()  # the machine's, which another engine may remove at its start
    links = [name for name in psutil.net_if_addrs() if name.startswith("br-")]
    processes = own_engine.processes()
    own_engine.kill()

    own_engine.close()

    assert processes
    assert all(ended(process.pid) for process in processes)
    assert not own_engine.folder.exists()
    assert f"br-{hub.network.id[:12]}" in links
    assert f"br-{hub.network.id[:12]}" not in psutil.net_if_addrs()
