"""`deploy/compose`: Hub and proxy in containers, as docker-compose makes them from the files that are there.

Who is in which network and who has the engine's socket are facts of these files, and looked at in the running whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from .deployment import PREFIX, ROOT, Network, eventually

COMPOSE = ROOT / "deploy" / "compose"
MODEL = ROOT / "benchmarks" / "models" / "noop"
SOCKET = "/var/run/docker.sock"
REACHES = """
import concurrent.futures, socket, sys
def look(place):
    try:
        socket.create_connection(place, 3).close()
        return "reached"
    except OSError:
        return "not reached"
places = [(host, int(port)) for host, port in zip(sys.argv[1::2], sys.argv[2::2])]
with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    print(*pool.map(look, places), sep="\\n")
"""
CALL = """
import sys, urllib.error, urllib.request
asked = urllib.request.Request(sys.argv[1], b"", {"X-Forwarded-For": "203.0.113.7"})
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def compose_command() -> list[str] | None:
    """Debian's docker-compose, or the engine's plugin."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30)
    return ["docker", "compose"] if plugin.returncode == 0 else None


@dataclass
class Site:
    """A copy of `deploy/compose` with an `.env` of its own."""

    folder: Path
    name: str
    image: str
    notebook_image: str
    engine: Any
    command: list[str]
    apart: bool
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    admin_password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def __post_init__(self) -> None:
        shutil.copytree(COMPOSE, self.folder)
        self.prefix = f"10.{150 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
        self.notebooks = f"10.{200 + secrets.randbelow(50)}"
        self.bridge = f"br-{self.name[-11:]}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}/"
        self.service_url = f"{self.url}services/model-service/"
        own = {
            "HUB_NAME": self.name, "COMPOSE_PROJECT_NAME": self.name, "HUB_IMAGE": self.image,
            "NOTEBOOK_IMAGE": self.notebook_image, "PUBLIC_ADDRESS": address, "PUBLIC_URL": self.url.rstrip("/"),
            "REPLICAS_PREFIX": self.prefix, "REPLICAS_BRIDGE": self.bridge, "NOTEBOOKS_PREFIX": self.notebooks,
            "HUB_PASSWORD": self.password, "HUB_ADMIN_PASSWORD": self.admin_password, "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
        }  # fmt: skip
        lines = (self.folder / "example.env").read_text().splitlines()
        told = [
            re.sub(r"^(\w+)=.*", lambda m: f"{m[1]}={own.get(m[1], m[0].partition('=')[2])}", line) for line in lines
        ]
        (self.folder / ".env").write_text("\n".join(told) + "\n")
        config = self.folder / "jupyterhub_config.py"  # which has no access log, as that holds what is personal
        log = '    access_log="access.jsonl",\n    data_dir='
        config.write_text(config.read_text().replace("    data_dir=", log))
        # Nothing of the tester's shell goes before what is in .env.
        self.environment = {k: v for k, v in os.environ.items() if k not in own and not k.startswith("COMPOSE_")}
        if self.apart:
            self.environment["COMPOSE_FILE"] = "docker-compose.yml:gateway-apart.yml"

    def run(self, *command: str, timeout: float = 120) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        return self.run(*self.command, *arguments)

    def container(self, name: str) -> Any:
        (id_,) = self.compose("ps", "--quiet", name).split()
        return self.engine.containers.get(id_)

    def address(self, container: Any, network: str) -> str:
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][f"{self.name}-{network}"]["IPAddress"])

    def up(self) -> None:
        self.compose("up", "--detach")
        eventually(self.answers, f"a gateway behind the proxy at {self.url}", 90, 0.3)

    def answers(self) -> bool:
        try:
            return "hub: answers" in httpx.get(self.service_url + "health/ready", timeout=5, trust_env=False).text
        except httpx.HTTPError:
            return False

    def hub_answers(self) -> bool:
        return httpx.get(f"{self.url}hub/api/", timeout=5, trust_env=False).status_code == 200

    def log_in(self, user: str) -> httpx.Client:
        """A browser's session, with what the Hub's API wants of one."""
        browser = httpx.Client(base_url=self.url, timeout=60, follow_redirects=True, trust_env=False)
        browser.get("hub/login")
        password = self.admin_password if user == "admin" else self.password
        form = {"username": user, "password": password, "_xsrf": browser.cookies["_xsrf"]}
        answer = browser.post("hub/login", params={"next": "/hub/home"}, data=form)  # which starts no notebook
        browser.headers["X-XSRFToken"] = next(
            c.value or "" for c in browser.cookies.jar if c.name == "_xsrf" and c.path == "/hub/"
        )
        assert browser.get(f"hub/api/users/{user}").status_code == 200, answer.text
        return browser

    def notebook(self, user: str) -> Any:
        """The container of the user's notebook server, started by herself."""
        browser = self.log_in(user)
        assert browser.post(f"hub/api/users/{user}/server").status_code in (201, 202)

        def ready() -> bool:
            return bool(browser.get(f"hub/api/users/{user}").json()["servers"].get("", {}).get("ready"))

        eventually(ready, f"{user}'s notebook", 90, 0.3)
        return self.engine.containers.get(f"{self.name}-{user}")

    def exec(self, container: Any, *command: str, stdin: bytes | None = None) -> str:
        words = ["docker", "exec", *(["--interactive"] if stdin is not None else []), container.id, *command]
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=150)
        assert done.returncode == 0, f"{command}: {(done.stdout + done.stderr).decode()}"
        return done.stdout.decode()

    def reached(self, container: Any, *places: tuple[str, int]) -> list[str]:
        words = [str(word) for place in places for word in place]
        return self.exec(container, "python3", "-c", REACHES, *words).splitlines()

    def containers(self) -> list[Any]:
        networks = [f"{self.name}-{network}" for network in ("notebooks", "replicas", "control")]
        found = [
            self.engine.containers.list(all=True, filters={"network": network}, ignore_removed=True)
            for network in networks
        ]
        return list({container.id: container for some in found for container in some}.values())

    def left(self) -> list[str]:
        there = [
            *self.engine.containers.list(all=True, ignore_removed=True),
            *self.engine.networks.list(),
            *self.engine.volumes.list(),
        ]
        return sorted(each.name for each in there if each.name.startswith(self.name))

    def deploy(self, user: str) -> tuple[str, str]:
        """A small service of the user, by what she types in her notebook: its address and a token for it."""
        notebook = self.notebook(user)
        packed = subprocess.run(["tar", "-C", str(MODEL.parent), "-c", MODEL.name], capture_output=True, check=True)
        self.exec(notebook, "tar", "-x", "--no-same-owner", stdin=packed.stdout)
        self.exec(notebook, "jupyter", "model-service", "create", "noop", "-n", "noop")
        endpoint = self.exec(notebook, "jupyter", "model-service", "get-endpoint", "noop").strip()
        made = self.exec(notebook, "jupyter", "model-service", "generate-token", "noop", "--json")
        return endpoint, str(json.loads(made)["token"])


@pytest.fixture
def deploy_site(
    docker_engine: Any, network: Network, notebook_image: Callable[[int], str], site_image: str, tmp_path: Path
) -> Iterator[Callable[[bool], Site]]:
    command = compose_command()
    if command is None:
        pytest.skip("there is no docker-compose here (Debian's docker-compose)")
    sites: list[Site] = []

    def deploy(apart: bool) -> Site:
        name = f"{PREFIX}{network.session}-{secrets.token_hex(2)}"
        site = Site(tmp_path / "compose", name, site_image, notebook_image(6), docker_engine, command, apart)
        sites.append(site)
        site.up()
        return site

    yield deploy
    for site in sites:
        if site.left():
            print(site.compose("logs", "--no-color"))
            site.run("./remove.sh", "--volumes")


@contextlib.contextmanager
def rules(site: Site) -> Iterator[None]:
    """Those of docs/admin.md for compose, for this site's bridge and addresses."""
    (block,) = re.findall(r"^```bash compose\n(.*?)^```$", (ROOT / "docs" / "admin.md").read_text(), re.M | re.S)
    lines = block.replace("br-models", site.bridge).replace("10.213.77", site.prefix).splitlines()
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    try:
        for line in lines:
            subprocess.run(line, shell=True, env=environment, check=True, timeout=30)
        yield
    finally:
        for line in lines:
            subprocess.run(line.replace(" -I ", " -D "), shell=True, env=environment, check=False, timeout=30)


def call(endpoint: str, token: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{endpoint}noop", headers=headers, timeout=60, trust_env=False).status_code


def check_addresses(site: Site) -> None:
    """Of two who call through the proxy the log has two addresses, and neither is the proxy's. What a caller says of
    herself is not believed, be it through the proxy or past it; and no notebook may get the proxy's address."""
    notebook = site.engine.containers.get(f"{site.name}-alice")
    hers, proxys = (site.address(each, "notebooks") for each in (notebook, site.container("proxy")))
    assert proxys == f"{site.notebooks}.0.2"
    assert hers.startswith(f"{site.notebooks}.")
    assert int(hers.split(".")[2]) >= 128
    gateway = site.container("gateway" if site.apart else "hub")
    at = "model-gateway" if site.apart else "model-service"
    path = "/services/model-service/endpoints/alice/noop/"
    for way, to in (("proxy", "proxy:8000"), ("past", f"{at}:8910")):
        assert site.exec(notebook, "python3", "-c", CALL, f"http://{to}{path}{way}") == "401\n"
    assert call(f"{site.url}{path[1:]}outside/", None) == 401

    def addresses() -> dict[str, str]:
        lines = site.exec(gateway, "cat", "/srv/model-service/access.jsonl").splitlines()
        ways = {line["path"].removeprefix(path): line["address"] for line in map(json.loads, lines)}
        return {way: ways[way] for way in ("proxy", "past", "outside/noop") if way in ways}

    eventually(lambda: len(addresses()) == 3, "the three calls in the access log", 30, 0.3)
    seen = addresses()
    assert (seen["proxy"], seen["past"]) == (hers, hers)
    assert seen["outside/noop"] not in (hers, proxys)


def check_administrator(site: Site) -> None:
    """She logs in with the password of administrators, and sees everybody's services and limits on the page."""
    browser = site.log_in("admin")
    assert browser.get("hub/api/users/admin").json()["admin"] is True
    page = browser.get("services/model-service/")
    assert (page.status_code, page.url.path) == (200, "/services/model-service/")
    assert "alice/noop" in page.text


def check_rules(site: Site, replica: Any) -> None:
    """With the rules of the guide another replica reaches neither the model nor the proxy; the Hub's container does."""
    model, proxy = ((site.address(each, "replicas"), 8000) for each in (replica, site.container("proxy")))
    other = site.engine.containers.run(
        replica.image, ["sleep", "99"], name=f"{site.name}-other", network=f"{site.name}-replicas", detach=True
    )
    assert site.reached(other, model, proxy) == ["reached"] * 2
    with rules(site):
        assert site.reached(other, model, proxy) == ["not reached"] * 2
        assert site.reached(site.container("hub"), model) == ["reached"]


def test_a_deployment_without_addresses_for_notebooks_is_told_before_anything_changes(tmp_path: Path) -> None:
    """Its network is there, and full: an engine gives it no others. The file that the error names says what to do."""
    command = compose_command()
    if command is None:
        pytest.skip("there is no docker-compose here (Debian's docker-compose)")
    site = shutil.copytree(COMPOSE, tmp_path / "compose")
    told = (site / "example.env").read_text().replace("HUB_PASSWORD=", "HUB_PASSWORD=12345678")
    told = told.replace("CONFIGPROXY_AUTH_TOKEN=", "CONFIGPROXY_AUTH_TOKEN=1234")
    environment = {k: v for k, v in os.environ.items() if k != "NOTEBOOKS_PREFIX" and not k.startswith("COMPOSE_")}

    def config(env: str) -> subprocess.CompletedProcess[str]:
        (site / ".env").write_text(env)
        return subprocess.run(
            [*command, "config"], cwd=site, env=environment, capture_output=True, text=True, timeout=60
        )

    assert config(told).returncode == 0
    before = config(told.replace("NOTEBOOKS_PREFIX=", "# "))
    assert before.returncode != 0
    assert "NOTEBOOKS_PREFIX" in before.stderr
    assert "see example.env" in before.stderr
    assert re.search(r"^# The notebooks' network: .*\n#.*remove\.sh.*\nNOTEBOOKS_PREFIX=", told, re.M)


def test_a_service_is_deployed_and_called_and_nothing_is_left(deploy_site: Callable[[bool], Site]) -> None:
    """alice's notebook deploys it, the proxy leads to it; only the Hub has the engine; all goes with remove.sh."""
    site = deploy_site(False)
    endpoint, token = site.deploy("alice")
    assert endpoint == f"{site.service_url}endpoints/alice/noop/"
    check_addresses(site)
    check_administrator(site)
    assert (call(endpoint, token), call(endpoint, None)) == (200, 401)
    hub = site.container("hub")
    found = site.containers()
    (replica,) = [each for each in found if "ms-2dnoop" in each.name]
    assert len(found) == 4  # and the proxy, and the notebook
    holders = [each.name for each in found if any(mount["Source"] == SOCKET for mount in each.attrs["Mounts"])]
    assert holders == [hub.name]

    notebook = site.engine.containers.get(f"{site.name}-alice")
    model, runner = (site.address(replica, "replicas"), 8000), (site.address(replica, "replicas"), 39777)
    assert site.reached(notebook, ("hub-api", 8081), ("model-service", 8910), model, runner) == [
        "reached", "reached", "not reached", "not reached",
    ]  # fmt: skip
    ports = [(site.address(hub, network), port) for network in ("replicas", "notebooks") for port in (8081, 8910)]
    proxy = site.address(site.container("proxy"), "replicas")
    assert site.reached(replica, *ports, (proxy, 8001), model) == ["not reached"] * 5 + ["reached"]

    if os.geteuid() == 0:  # else nobody can make rules
        check_rules(site, replica)

    site.run("./remove.sh")
    assert site.left() == [f"{site.name}-{each}" for each in ("home-alice", "hub", "model-service")]
    assert site.engine.volumes.list(filters={"label": "org.jupyter.model-service.user=alice"})
    site.up()
    assert eventually(lambda: call(endpoint, token) == 200, "the service again", 60)
    site.run("./remove.sh", "--volumes")
    assert site.left() == []


def test_calls_go_on_while_the_hub_restarts_when_the_gateway_is_apart(deploy_site: Callable[[bool], Site]) -> None:
    """Neither an ordered nor a killed Hub fails a call; the gateway's container has no socket of the engine."""
    site = deploy_site(True)
    endpoint, token = site.deploy("alice")
    check_addresses(site)
    gateway = site.container("gateway")
    assert SOCKET not in [mount["Source"] for mount in gateway.attrs["Mounts"]]
    answers: list[int] = []
    over = threading.Event()

    def caller() -> None:
        while not over.wait(0.02):
            answers.append(call(endpoint, token))

    thread = threading.Thread(target=caller)
    thread.start()
    try:
        site.compose("restart", "hub")
        eventually(site.hub_answers, "the Hub again", 60)
        site.container("hub").kill()
        before = len(answers)
        eventually(lambda: len(answers) > before + 20, "calls without a Hub", 60)
        assert not site.hub_answers()
        site.compose("start", "hub")
        eventually(site.hub_answers, "the Hub once more", 60)
    finally:
        over.set()
        thread.join()
    assert set(answers) == {200}
    site.run("./remove.sh", "--volumes")
    assert site.left() == []
