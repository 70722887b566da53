"""`docs/admin.md`: its tables are what the code does, its commands and settings work as they stand there.

Only the names of network and interface are others here, as the machine may have such already.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from traitlets.config import Config

from jupyter_model_service.hub import install
from jupyter_model_service.hub.install_steps import service_scopes

from .deployment import ADMIN, PREFIX, ROOT, TEST_LABEL, Deployment, Network, Setup, eventually
from .test_compose import MODEL, REACHES

PAGE = (ROOT / "docs" / "admin.md").read_text()
README = (ROOT / "README.md").read_text()
UNIT = ROOT / "deploy" / "systemd" / "model-service-gateway.service"
BLOCK = re.compile(r"^( *)```(\S[^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str, heading: str = "", page: str = PAGE) -> list[str]:
    """The blocks of one kind on the page, or below one heading."""
    text = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0] if heading else page
    return [textwrap.dedent(match[3]) for match in BLOCK.finditer(text) if match[2] == kind]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    text = re.split(r"\n##+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r" *\| *", line.strip("|").strip(), maxsplit=2) for line in lines[2:]]


def a_site(engine: str = "tcp://127.0.0.1:1") -> Config:
    c = Config()
    c.JupyterHub.spawner_class = "docker"
    c.JupyterHub.authenticator_class = "dummy"
    c.DockerSpawner.client_kwargs = {"base_url": engine} if engine else {}
    return c


# --- tables ------------------------------------------------------------------------------------------


def test_the_options_are_those_of_install_with_their_defaults() -> None:
    """None is missing, none is invented, and where a default is shown it is the real one."""
    real = {name: each.default for name, each in inspect.signature(install).parameters.items() if name != "c"}
    told: dict[str, str] = {}
    for names, default, _ in table("Limits"):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), default.strip("`"))
    assert told.keys() == real.keys()
    for name, default in told.items():
        if default and not default.startswith(("in ", "from ")):
            shown = repr(real[name]).replace("'", '"')
            assert default == shown, name


def test_what_install_changes_is_what_the_page_says(tmp_path: Path) -> None:
    """Of a site on the newer line that has set nothing but its spawner."""
    c = a_site()
    before = dict(c.JupyterHub)
    did = install(c, network="models", gateway_address="10.9.0.1:8910", data_dir=tmp_path)
    changed = {name for name, value in c.JupyterHub.items() if before.get(name) != value}
    assert changed == {
        row[0].removeprefix("`JupyterHub.").strip("`") for row in table("What `install` changes, and what it says")
    }
    assert set(c) == {"JupyterHub", "DockerSpawner"}
    for words in ("allow_named_servers", "cleanup_servers", "engine does not answer"):
        assert any(words in note for note in did.notes)
        assert words.replace("does", "did") in PAGE or words in PAGE


def test_the_scopes_are_the_gateways() -> None:
    assert [row[0].strip("`") for row in table("Scopes of the gateway")] == service_scopes("model-service-tokens")


def test_the_compose_commands_name_what_is_there() -> None:
    """They are run by test_compose.py; here, that the page shows those files."""
    (block,) = [block for block in blocks("sh") if "docker-compose" in block]
    named = re.findall(r"[\w./-]+\.(?:yml|sh|env)\b", block)
    assert {"example.env", "docker-compose.yml", "gateway-apart.yml", "./remove.sh"} <= set(named)
    for name in {*named} - {".env"}:
        assert (ROOT / "deploy" / "compose" / name).exists()


def test_the_unit_for_systemd_is_one(tmp_path: Path) -> None:
    """systemd has nothing to say about it; it starts what the page says, and hides the engine's socket."""
    text = UNIT.read_text()
    assert "\nExecStart=/opt/jupyterhub/bin/python -m jupyter_model_service.app --hub\n" in text
    assert re.search(r"^InaccessiblePaths=.*/run/docker\.sock", text, re.MULTILINE)
    assert "model-service-gateway.service" in PAGE
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    # Of this machine, as systemd looks for them.
    here = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/sh", re.sub(r"(?m)^User=.*", "User=daemon", text))
    (tmp_path / UNIT.name).write_text(here)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)], capture_output=True, text=True, timeout=60
    )
    about = [line for line in (told.stdout + told.stderr).splitlines() if UNIT.name in line]
    assert (told.returncode, about) == (0, [])


# --- commands and settings ---------------------------------------------------------------------------


class Machine:
    """The page's commands with names of this test, and what they made."""

    def __init__(self, session: str) -> None:
        self.network = f"{PREFIX}{session}-{secrets.token_hex(2)}"
        self.bridge = f"br-{secrets.token_hex(4)}"
        self.environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def own(self, text: str) -> str:
        text = re.sub(r'((?:create|rm) |network=")model-service\b', rf"\1{self.network}", text)
        return text.replace("br-models", self.bridge)

    def run(self, block: str, **more: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.own(block)],
            env={**self.environment, **more}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"

    def rules(self) -> list[str]:
        command = ["iptables-save", "-t", "filter"]
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=30)
        return [
            line
            for line in told.stdout.splitlines()
            if line.startswith(("-A INPUT", "-A DOCKER-USER")) and self.bridge in line
        ]

    def clear(self) -> None:
        for rule in self.rules():
            words = ["iptables", *rule.replace("-A", "-D", 1).split()]
            subprocess.run(words, env=self.environment, check=False, timeout=30)


@pytest.fixture
def machine(docker_engine: Any, network: Network) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("only root can make the rules of the guide")
    made = Machine(network.session)
    yield made
    made.clear()
    for left in docker_engine.networks.list(names=[f"^{made.network}$"]):
        for container in docker_engine.containers.list(
            all=True, filters={"network": made.network}, ignore_removed=True
        ):
            container.remove(force=True)
        left.remove()


@contextmanager
def listening() -> Iterator[int]:
    """A port that something on this machine listens on, on all addresses."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def reached(container: Any, *places: tuple[str, int]) -> list[str]:
    words = [str(word) for place in places for word in place]
    status, told = container.exec_run(["python3", "-c", REACHES, *words])
    assert status == 0, told
    return list(told.decode().splitlines())


def accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 2).close()
    except OSError:
        return False
    return True


def test_the_commands_of_the_page_work_as_written(
    machine: Machine, base_image: str, network: Network, docker_engine: Any, deploy_hub: Callable[..., Deployment],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """From the network to the uninstall: rules that keep replicas apart and in, settings that are accepted, a service
    that is called meanwhile, and nothing left in the end."""
    (create,) = blocks("bash", "Install")
    machine.run(create)
    address = docker_engine.networks.get(machine.network).attrs["IPAM"]["Config"][0]["Gateway"]

    def container(where: str) -> Any:
        serve = ["python3", "-m", "http.server", "8000"]
        labels = {TEST_LABEL: network.session}
        made = docker_engine.containers.run(base_image, serve, network=where, detach=True, labels=labels)
        made.reload()
        return made

    one, other, notebook = container(machine.network), container(machine.network), container(network.name)
    model = (one.attrs["NetworkSettings"]["Networks"][machine.network]["IPAddress"], 8000)
    eventually(lambda: accepts(model), "a model that this machine reaches", 30)
    with listening() as port:
        assert reached(other, model, (address, port)) == ["not reached", "reached"]
        for block in blocks("bash", "Networks and firewall"):
            machine.run(block)
        assert reached(other, model, (address, port)) == ["not reached"] * 2
        assert reached(notebook, model, (address, port)) == ["not reached", "reached"]
        assert accepts(model)
    assert len(machine.rules()) == 2

    monkeypatch.chdir(tmp_path)  # where a Hub would be started
    settings = blocks("python config")
    settings += blocks("python config", page=README)
    assert len(settings) == 6
    for block in settings:
        c = a_site(engine="")
        c.JupyterHub.load_roles = []
        exec(machine.own(block), {"c": c, "install": install})
        assert c.JupyterHub.load_roles

    hub = deploy_hub(Setup(install=(("network", machine.network),)))
    alice = hub.notebook("alice")
    alice.copy(MODEL, "noop")
    alice.cli("create", "noop", "-n", "noop")
    token = json.loads(alice.cli("generate-token", "noop", "--json").stdout)["token"]
    endpoint = alice.cli("get-endpoint", "noop").stdout.strip()
    answer = httpx.post(f"{endpoint}noop", headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
    assert answer.status_code == 200
    (replica,) = [each for each in hub.containers() if "ms-2dnoop" in each.name]
    labelled = {"label": f"org.jupyter.model-service.hub={replica.labels['org.jupyter.model-service.hub']}"}
    assert machine.network in replica.attrs["NetworkSettings"]["Networks"]

    clean, remove = blocks("bash", "Uninstall")
    machine.environment["PATH"] = f"{Path(sys.executable).parent}:{machine.environment['PATH']}"
    machine.run(clean, HUB_URL=hub.url.rstrip("/"), MODEL_SERVICE_TOKEN=hub.token(ADMIN))

    def left() -> list[Any]:
        return [
            *docker_engine.containers.list(all=True, filters=labelled, ignore_removed=True),
            *docker_engine.volumes.list(filters=labelled),
        ]

    eventually(lambda: not left(), "the engine without anything of ours", 60, 0.5)
    for each in (one, other):
        each.remove(force=True)
    machine.run(remove)
    assert machine.rules() == []
    assert docker_engine.networks.list(names=[f"^{machine.network}$"]) == []


HOUSE = "169.254.213"  # where clouds have what they tell their machines; a network that this machine leads to


@contextmanager
def a_house(engine: Any, image: str, session: str) -> Iterator[tuple[str, int]]:
    """A listener behind this machine, on a network that is none of Docker's."""
    serve, labels = ["python3", "-m", "http.server", "8000"], {TEST_LABEL: session}
    there = engine.containers.run(image, serve, network_mode="none", detach=True, labels=labels)
    here = f"jms{secrets.token_hex(4)}"
    try:
        there.reload()
        pid = str(there.attrs["State"]["Pid"])
        inside = ["nsenter", "-t", pid, "-n"]
        for command in (
            ["ip", "link", "add", here, "type", "veth", "peer", "name", "house", "netns", pid],
            ["ip", "address", "add", f"{HOUSE}.1/30", "dev", here],
            ["ip", "link", "set", here, "up"],
            [*inside, "ip", "address", "add", f"{HOUSE}.2/30", "dev", "house"],
            [*inside, "ip", "link", "set", "house", "up"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{command}: {done.stderr}"
        eventually(lambda: accepts((f"{HOUSE}.2", 8000)), "a listener behind this machine", 30)
        yield f"{HOUSE}.2", 8000
    finally:
        there.remove(force=True)  # and with it the pair


def test_a_replica_with_the_rules_reaches_nothing_that_lies_behind_the_machine(
    machine: Machine, base_image: str, network: Network, docker_engine: Any
) -> None:
    """Without them Docker leads it there, as it goes on to do for notebooks."""
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        pytest.skip("needs ip (iproute2) and nsenter (util-linux)")
    (create,) = blocks("bash", "Install")
    machine.run(create)
    labels = {TEST_LABEL: network.session}
    replica, notebook = (
        docker_engine.containers.run(base_image, ["sleep", "600"], network=where, detach=True, labels=labels)
        for where in (machine.network, network.name)
    )
    with a_house(docker_engine, base_image, network.session) as house, listening() as port:
        address = docker_engine.networks.get(machine.network).attrs["IPAM"]["Config"][0]["Gateway"]
        assert reached(replica, house, (address, port)) == ["reached"] * 2
        for block in blocks("bash", "Networks and firewall"):
            machine.run(block)
        assert reached(replica, house, (address, port)) == ["not reached"] * 2
        assert reached(notebook, house, (address, port)) == ["reached"] * 2
