"""The ground that the other tests with a real Hub stand on: plain JupyterHub, both lines, without us; and that notebooks
stay with us as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from .deployment import ADMIN, Deployment, Setup, ended, eventually

SITE = "c.DockerSpawner.mem_limit = '1G'\nc.DockerSpawner.environment = {'SITE': 'yes'}"
LINES = [Setup(install=None, config=SITE), Setup(line=5, install=None, config=SITE)]
both_lines = pytest.mark.parametrize("hub", LINES, indirect=True, ids=str)


@both_lines
def test_a_user_has_a_notebook_on_the_sessions_network_with_her_own_home(hub: Deployment) -> None:
    """alice's server runs in a container of this deployment; she may write to her home, and the package is there. It is
    of the Hub's line, so neither warns of the other, and reaches the Hub at the network's own address."""
    notebook = hub.notebook("alice")
    assert [container.id for container in hub.containers()] == [notebook.container.id]
    assert list(notebook.container.attrs["NetworkSettings"]["Networks"]) == [hub.network.name]
    notebook.write("notes/a.txt", "hello")
    assert notebook.exec("cat", "/home/jovyan/notes/a.txt").stdout == "hello"
    assert notebook.exec("id", "-un").stdout.strip() == "jovyan"
    assert "create" in notebook.cli("--help").stdout
    spawned = notebook.exec("sh", "-c", "echo $JUPYTERHUB_USER $JUPYTER_IMAGE_SPEC").stdout.split()
    assert spawned == ["alice", hub.image]
    line = f"{hub.setup.line}."
    assert hub.api("GET", "/").json()["version"].startswith(line)
    assert notebook.exec("jupyterhub-singleuser", "--version").stdout.startswith(line)
    assert notebook.exec("python3", "-c", WHO).stdout.strip() == "alice"


WHO = """
import json, os, urllib.request as u
r = u.Request(os.environ['JUPYTERHUB_API_URL'] + '/user', headers={'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']})
print(json.load(u.urlopen(r, timeout=10))['name'])
"""


@both_lines
def test_tokens_act_for_their_user_only(hub: Deployment) -> None:
    """The helpers' tokens are the user's: alice is not told about bob, an admin is."""
    alice = hub.token("alice")
    assert hub.api("GET", "/user", token=alice).json()["name"] == "alice"
    assert hub.api("GET", "/users/bob", token=alice).status_code == 404
    assert hub.api("GET", "/users/bob", token=hub.token(ADMIN)).status_code == 200


COMPARED = ("Config", "HostConfig", "Mounts")


def essence(container: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What decides how a container runs, without what differs between any two; and its environment."""
    container.reload()
    facts = json.loads(json.dumps({key: container.attrs[key] for key in COMPARED}))
    environment = dict(entry.partition("=")[::2] for entry in container.attrs["Config"]["Env"])
    del facts["Config"]["Env"], facts["Config"]["Hostname"]
    for name in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"):
        assert environment.pop(name)
    return facts, environment


@both_lines
def test_a_notebook_outlives_its_hub_and_differs_in_one_variable_when_we_are_installed(hub: Deployment) -> None:
    """The same container is known again after SIGTERM and after SIGKILL. The same Hub, before and after install():
    docker inspect says the same but for MODEL_SERVICE_URL. Nothing of the Hub is left by ``close``."""
    notebook = hub.notebook("alice").container
    before, bare = essence(notebook)
    hub.kill()
    hub.start()
    assert hub.notebook("alice").container.id == notebook.id
    hub.stop()
    hub.setup = replace(hub.setup, install=())
    hub.start()
    assert hub.notebook("alice").container.id == notebook.id
    hub.notebook("alice").stop()
    eventually(lambda: not hub.containers(all=False), "no running container", 15)
    hub.containers()[0].remove(force=True)
    after, told = essence(hub.notebook("alice").container)
    assert after == before
    assert told.pop("MODEL_SERVICE_URL") == hub.gateway_url
    assert told == bare
    eventually(hub.gateway_answers, "a gateway that answers")
    processes = hub.processes()
    assert {"jupyterhub", "node"} & {process.name() for process in processes}

    hub.close()

    assert all(ended(process.pid) for process in processes)
    assert not hub.containers()
    assert not hub.engine.volumes.list(filters={"name": hub.prefix})


def test_a_hub_that_does_not_start_says_why(deploy_hub: Callable[..., Deployment]) -> None:
    """A wrong setting ends the start; status and log are there to be judged."""
    hub = deploy_hub(Setup(install=None, config="c.JupyterHub.spawner_class = 'nonsense.Spawner'"), wait=False)
    assert hub.process is not None
    assert hub.process.wait(timeout=60) == 1
    assert "nonsense.Spawner" in hub.log_tail()
