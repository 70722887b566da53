"""A real JupyterHub with its proxy and DockerSpawner on this machine, for one test module or one test.

The Hub runs on the host, as root or in the group ``docker``. It, its proxy and our gateway listen on the gateway address
of a docker network made for the test session, so containers reach them and nothing outside this machine does.
Everything made is named ``jmstest-<session>…`` or labelled ``org.jupyter.model-service.test=<session>``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import docker
import httpx
import psutil

from jupyter_model_service.adapters.key_file import read_key
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROXY = ROOT / ".hub" / "node_modules" / ".bin" / "configurable-http-proxy"
PYTHONS = {6: Path(sys.executable), 5: ROOT / ".venv-hub5" / "bin" / "python"}
HUB_LABEL = "org.jupyter.model-service.hub"
TEST_LABEL = "org.jupyter.model-service.test"
PREFIX = "jmstest-"
USERS = ("alice", "bob", "carol")
ADMIN = "admin"
T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, seconds: float = 60.0, pause: float = 0.1) -> T:
    """Poll until ``look`` gives something true: for facts of the outside world, which cannot be awaited."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {seconds} s: {what}; last look gave {seen!r}")
        time.sleep(pause)


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Network:
    """The docker network of the session: where the containers are, and the host's own address in it. ``replicas`` is a
    second one, as sites should have it: a container in one does not reach those in the other, and those in it do not
    reach each other (on the machine's engine; one of a test's own leaves the packet filter alone)."""

    session: str
    name: str
    address: str
    id: str
    replicas: str


@dataclass(frozen=True)
class Setup:
    """What a Hub is set up as. Hashable, so a fixture can be parametrised with it.

    ``install``: keyword arguments for our ``install()`` besides what the deployment gives itself, as items; None for a
    Hub without us. ``config``: text for jupyterhub_config.py before ``install()``, ``after``: behind it; both see
    ``c``, ``NETWORK``, ``IMAGE``, ``FOLDER`` and ``SESSION``. ``proxy``: "hub" (the Hub starts it) or "external".
    ``apart``: the replicas are in a network of their own, not in the notebooks'.
    """

    line: int = 6
    install: tuple[tuple[str, Any], ...] | None = ()
    managed: bool = True
    config: str = ""
    after: str = ""
    proxy: str = "hub"
    apart: bool = False

    def __post_init__(self) -> None:
        assert self.line in PYTHONS
        assert self.proxy in ("hub", "external")

    def __str__(self) -> str:
        """For the names of parametrised tests."""
        words = [f"hub{self.line}", "plain" if self.install is None else "managed" if self.managed else "unmanaged"]
        return "-".join([*words, *["external-proxy"] * (self.proxy == "external"), *["apart"] * self.apart])


@dataclass
class Notebook:
    """A user's running notebook server, seen as she sees it: commands in her container, in her home folder."""

    hub: Deployment
    user: str
    container: Any  # docker's

    def exec(
        self, *command: str, timeout: float = 90.0, check: bool = True, stdin: bytes | None = None, environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run ``command`` (no shell) as the user; ``check`` raises AssertionError with what it said."""
        words = ["docker", "exec", *(["-i"] if stdin is not None else [])]
        for name, value in environment.items():
            words += ["-e", f"{name}={value}"]
        words += [self.container.id, *command]
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=timeout, env=self.hub.environment)
        told = subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and told.returncode:
            raise AssertionError(
                f"{' '.join(command)} in {self.user}'s notebook: {told.returncode}\n{told.stdout}{told.stderr}"
            )
        return told

    def cli(self, *arguments: str, timeout: float = 150.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``jupyter model-service …`` as she types it."""
        return self.exec("jupyter", "model-service", *arguments, timeout=timeout, check=check)

    def copy(self, folder: Path, target: str) -> None:
        """A folder of this machine into hers, belonging to her. ``target`` relative to her home folder, or absolute."""
        self.exec("mkdir", "-p", target)
        packed = subprocess.run(["tar", "-C", str(folder), "-c", "."], capture_output=True, check=True)
        self.exec("tar", "-x", "--no-same-owner", "-C", target, stdin=packed.stdout)

    def write(self, path: str, text: str) -> None:
        self.exec("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path, stdin=text.encode())

    def stop(self) -> None:
        self.hub.stop_server(self.user)


@dataclass
class Deployment:
    """One Hub: ``start``, ``stop``, ``kill``, ``start`` again on the same database and ports; ``close`` removes all."""

    setup: Setup
    folder: Path
    network: Network
    engine: Any  # docker.DockerClient
    image: str
    docker_host: str | None = None  # where the engine is not the one that everybody's client finds
    process: subprocess.Popen[bytes] | None = None
    proxy: subprocess.Popen[bytes] | None = None
    gateway: subprocess.Popen[bytes] | None = None  # the supervisor of an unmanaged one
    trusted: bool = True  # no test failed meanwhile
    admin_token: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    proxy_token: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)

    def __post_init__(self) -> None:
        self.public_port, self.hub_port, self.proxy_api_port, self.gateway_port = (free_port() for _ in range(4))
        self.url = f"http://{self.network.address}:{self.public_port}/"
        self.hub_api = f"http://{self.network.address}:{self.hub_port}/hub/api"
        self.service_url = f"{self.url}services/model-service/"
        self.gateway_url = f"http://{self.network.address}:{self.gateway_port}/services/model-service/"
        self.log = self.folder / "hub.log"
        self._log_from = 0  # where what the present process says begins
        self.prefix = f"{PREFIX}{self.network.session}-{secrets.token_hex(2)}"
        # The Hub's own clients must not be sent elsewhere by what the tester's shell has.
        dropped = ("JUPYTERHUB_", "MODEL_SERVICE_", "JPY_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.environment |= {
            "CONFIGPROXY_AUTH_TOKEN": self.proxy_token,
            "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
            "PATH": f"{PYTHONS[self.setup.line].parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.folder}:{ROOT}",  # this tree, whichever one is installed
        }
        # Half of what a Hub's interpreter has to do at its start (1.5 s of 3.5) is this grammar for one format of its
        # event log; without it the log is as it is.
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rfc3987_syntax.py").write_text("raise ImportError\n")
        if self.docker_host is not None:
            self.environment["DOCKER_HOST"] = self.docker_host
        self._http = httpx.Client(timeout=60.0, trust_env=False)

    # -- the Hub's process ---------------------------------------------------------------------------------------------

    def configuration(self) -> str:
        """The text of jupyterhub_config.py."""
        address, scopes = (
            self.network.address,
            "admin:users admin:servers admin:groups admin:server_state tokens proxy shares",
        )
        known = {
            "NETWORK": self.network.name, "IMAGE": self.image, "FOLDER": str(self.folder), "SESSION": self.network.session,
        }  # fmt: skip
        lines = ["# Written by the tests.", *(f"{name} = {value!r}" for name, value in known.items())]
        settings: dict[str, Any] = {
            "JupyterHub.bind_url": self.url,
            "JupyterHub.hub_bind_url": f"http://{address}:{self.hub_port}",
            "JupyterHub.hub_connect_url": f"http://{address}:{self.hub_port}",
            "JupyterHub.db_url": f"sqlite:///{self.folder}/jupyterhub.sqlite",
            "JupyterHub.cookie_secret_file": str(self.folder / "cookie-secret"),
            "JupyterHub.cleanup_servers": False,
            "JupyterHub.allow_named_servers": True,
            "JupyterHub.authenticator_class": "dummy",
            "Authenticator.allowed_users": {*USERS},
            "Authenticator.admin_users": {ADMIN},
            "ConfigurableHTTPProxy.command": [str(PROXY)],
            "ConfigurableHTTPProxy.api_url": f"http://127.0.0.1:{self.proxy_api_port}",
            "ConfigurableHTTPProxy.should_start": self.setup.proxy == "hub",
            "JupyterHub.spawner_class": "dockerspawner.DockerSpawner",
            "DockerSpawner.image": self.image,
            "DockerSpawner.network_name": self.network.name,
            "DockerSpawner.prefix": self.prefix,
            "DockerSpawner.volumes": {f"{self.prefix}-{{username}}": "/home/jovyan"},
            "DockerSpawner.extra_create_kwargs": {"labels": {TEST_LABEL: self.network.session}},
            # A notebook in a test is asked for commands only, and must not wait for a name server to be asked about ::1.
            "Spawner.args": ["--ServerApp.log_level=WARN"],
            "JupyterHub.services": [{"name": "test", "api_token": self.admin_token}],
            "JupyterHub.load_roles": [{"name": "test", "services": ["test"], "scopes": scopes.split()}],
        }
        lines += [f"c.{name} = {value!r}" for name, value in settings.items()]
        lines.append(self.setup.config)
        if self.setup.install is not None:
            given: dict[str, Any] = {
                "network": self.network.replicas if self.setup.apart else self.network.name,
                "managed": self.setup.managed,
                "gateway_address": f"{address}:{self.gateway_port}",
                "data_dir": str(self.folder / "model-service"),
            }
            given |= dict(self.setup.install)
            words = ", ".join(f"{name}={value!r}" for name, value in given.items())
            lines += ["from jupyter_model_service.hub import install", f"install(c, {words})"]
        return "\n".join([*lines, self.setup.after, ""])

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "jupyterhub_config.py"
        path.write_text(self.configuration())
        path.chmod(0o600)
        if self.setup.proxy == "external" and self.proxy is None:
            self.start_proxy()
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        self.process = self._run([str(PYTHONS[self.setup.line]), "-m", "jupyterhub", "-f", str(path)], self.log)
        if wait:
            self.wait_up()

    def _run(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with open(log, "ab") as out:
            # What a shell starts in the background ignores SIGINT, and so would all that the Hub starts and ends by it.
            return subprocess.Popen(
                ["env", "--default-signal=INT", *command],
                cwd=self.folder, env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def start_proxy(self) -> None:
        address = self.network.address
        words = [
            "--ip",
            address,
            "--port",
            self.public_port,
            "--api-ip",
            "127.0.0.1",
            "--api-port",
            self.proxy_api_port,
        ]
        words += [
            "--default-target",
            f"http://{address}:{self.hub_port}",
            "--error-target",
            f"http://{address}:{self.hub_port}/hub/error",
        ]
        self.proxy = self._run([str(PROXY), *map(str, words)], self.folder / "proxy.log")

    def start_gateway(self, *, wait: bool = True) -> None:
        """An unmanaged gateway, as a service manager runs it: with the file that ``install()`` wrote; unless it runs."""
        if self.gateway is not None and self.gateway.poll() is None:
            return
        script = 'set -a; . "$1"; exec "$2" -m jupyter_model_service.app --hub'
        file, python = self.folder / "model-service" / "gateway.env", PYTHONS[self.setup.line]
        self.gateway = self._run(["sh", "-c", script, "sh", str(file), str(python)], self.folder / "gateway.log")
        if wait:
            eventually(self.gateway_answers, "a gateway that answers", 60)

    def gateway_answers(self) -> bool:
        assert self.gateway is None or self.gateway.poll() is None, (
            f"the gateway ended: {self.logs().get('gateway.log')}"
        )
        try:
            return self._http.get(f"{self.gateway_url}health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_up(self, seconds: float = 90.0) -> None:
        """Until the Hub answers through its proxy, knows which of its servers run, and obeys signals: from when it says
        that it runs. SIGTERM before that ends it as SIGKILL does."""

        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the Hub ended ({self.process.returncode}):\n{self.log_tail()}"
            if b"JupyterHub is now running" not in self.log.read_bytes()[self._log_from :]:
                return False
            try:
                # The Hub first: its proxy complains at length of each call that it cannot pass on.
                for url in (self.hub_api, f"{self.url}hub/api"):
                    if self._http.get(f"{url}/users", headers=self._authorization(None), timeout=5).status_code != 200:
                        return False
            except httpx.HTTPError:
                return False
            return True

        eventually(up, "a Hub that answers", seconds)

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM, and wait for its end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL for the Hub alone: its proxy and its services stay behind, as they do when it is killed for memory."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def as_it_was(self) -> bool:
        """Whether the next module can have it: it runs, and there is nothing of ours."""

        def nothing() -> bool:
            users = [user["name"] for user in self.api("GET", "/users").json()]
            return not [name for user in users for name in self.servers(user) if name.startswith("ms-")]

        if not self.trusted or self.process is None or self.process.poll() is not None:
            return False
        try:
            return eventually(nothing, "a Hub without servers of ours", 20)
        except (AssertionError, httpx.HTTPError):
            return False

    def log_tail(self, characters: int = 6000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else "(no log)"

    def logs(self) -> dict[str, str]:
        """The end of every log below the folder of this deployment."""
        found = sorted(self.folder.rglob("*.log"))
        return {str(path.relative_to(self.folder)): path.read_text(errors="replace")[-6000:] for path in found}

    # -- the Hub's API -------------------------------------------------------------------------------------------------

    def _authorization(self, token: str | None) -> dict[str, str]:
        return {"Authorization": f"token {token or self.admin_token}"}

    def api(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, timeout: float = 60.0
    ) -> httpx.Response:
        """One call of the Hub's REST API, straight at the Hub; by the tests' own service where no ``token`` is given."""
        return self._http.request(
            method, self.hub_api + path, json=body, headers=self._authorization(token), timeout=timeout
        )

    def token(self, user: str, *, scopes: Sequence[str] | None = None, expires_in: int | None = None) -> str:
        """A new token of a user: all that she may do, or ``scopes``."""
        wish = {"note": "test", "scopes": scopes, "expires_in": expires_in}
        answer = self.api("POST", f"/users/{user}/tokens", {k: v for k, v in wish.items() if v is not None})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def servers(self, user: str) -> dict[str, dict[str, Any]]:
        """All server records of a user by name, stopped ones included; the notebook's name is ""."""
        answer = self.api("GET", f"/users/{user}?include_stopped_servers=1")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["servers"])

    def start_server(
        self, user: str, name: str = "", options: Any = None, *, token: str | None = None
    ) -> httpx.Response:
        return self.api(
            "POST", f"/users/{user}/servers/{name}" if name else f"/users/{user}/server", options, token=token
        )

    def stop_server(self, user: str, name: str = "", *, remove: bool = False, seconds: float = 60.0) -> None:
        """Ask for the end of a server, and wait until the Hub says so."""
        path = f"/users/{user}/servers/{name}" if name else f"/users/{user}/server"
        answer = self.api("DELETE", path, {"remove": True} if remove and name else None)
        assert answer.status_code in (202, 204), answer.text

        def gone() -> bool:
            server = self.servers(user).get(name)
            return server is None or (server["stopped"] and not server["pending"])

        eventually(gone, f"server {name!r} of {user} stopped", seconds, 0.3)

    def notebook(self, user: str, seconds: float = 90.0) -> Notebook:
        """The user's notebook server, started if it does not run."""
        server = self.servers(user).get("")
        if server is None or not server["ready"]:
            answer = self.start_server(user)
            assert answer.status_code in (201, 202), f"{answer.status_code} {answer.text}"
            server = eventually(lambda: self._ready(user, ""), f"{user}'s notebook ready", seconds, 0.3)
            assert server is not None
        return Notebook(self, user, self.engine.containers.get(server["state"]["object_id"]))

    def _ready(self, user: str, name: str) -> dict[str, Any] | None:
        server = self.servers(user).get(name)
        assert server is not None, f"there is no server {name!r} of {user}"
        assert server["pending"] or not server["stopped"], f"server {name!r} of {user} failed to start"
        return server if server["ready"] else None

    def containers(self, *, all: bool = True) -> list[Any]:
        """Every container of this deployment, replicas and jobs included; ``all``: ended ones too."""
        return [
            c
            for c in self.engine.containers.list(all=all, filters={"name": f"^/{self.prefix}"}, ignore_removed=True)
            if c.name.startswith(self.prefix)
        ]

    # -- the end -------------------------------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this deployment: it runs in its folder, or was told of it."""
        signs = (str(self.folder), f"{self.network.address}:{self.hub_port}/", self.proxy_token)
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                told = " ".join([process.cwd(), *process.cmdline(), *process.environ().values()])
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if any(sign in told for sign in signs) and not _in_container(process.pid):
                found.append(process)
        return found

    def close(self) -> None:
        """End the Hub and all that it started, by process id; remove this deployment's containers and volumes."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.processes():
            process.kill()
        for started in (self.proxy, self.gateway):
            if started is not None:
                started.wait(timeout=10)
        self._http.close()
        if self.docker_host is not None:
            return  # its containers and volumes go with that engine, which may not answer now
        ours = {"label": f"{HUB_LABEL}={self.hub_label()}"}
        for container in [
            *self.containers(),
            *self.engine.containers.list(all=True, filters=ours, ignore_removed=True),
        ]:
            remove_container(container)
        remove_volumes(self.engine, self.prefix)
        for volume in self.engine.volumes.list(filters=ours):
            volume.remove(force=True)

    def hub_label(self) -> str:
        """What tells the containers and volumes that we made for this Hub from those of another on the same engine."""
        key = self.folder / "model-service" / "sealing.key"
        return hashlib.sha256(f"hub|{read_key(key)}".encode()).hexdigest()[:12] if key.exists() else "-"


def _in_container(pid: int) -> bool:
    """Whether a process belongs to a container (and ends with it): its control group names docker, and is not ours."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        return "docker" in groups and groups != Path("/proc/self/cgroup").read_text()
    except OSError:
        return False


def remove_container(container: Any) -> None:
    try:
        container.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:  # "removal of container … is already in progress"
        if error.status_code != 409:
            raise


def remove_volumes(engine: Any, prefix: str) -> None:
    """Volumes by name, or by the test's label."""
    for volume in engine.volumes.list(filters={"name": prefix}):
        if volume.name.startswith(prefix):
            volume.remove(force=True)


def make_network(engine: Any, next_subnet: Callable[[], str] | None = None) -> Network:
    """``next_subnet`` gives the first three numbers of a network's addresses; else the engine chooses them."""
    session = secrets.token_hex(3)

    def create(name: str, options: dict[str, str] | None = None) -> Any:
        ipam = None
        if next_subnet is not None:
            subnet = next_subnet()
            pool = docker.types.IPAMPool(subnet=f"{subnet}.0/24", gateway=f"{subnet}.1")
            ipam = docker.types.IPAMConfig(pool_configs=[pool])
        made = engine.networks.create(name, driver="bridge", labels={TEST_LABEL: session}, ipam=ipam, options=options)
        made.reload()
        return made

    apart = {"com.docker.network.bridge.enable_icc": "false"} if next_subnet is None else None
    made, second = create(f"{PREFIX}{session}"), create(f"{PREFIX}{session}-replicas", apart)
    return Network(session, made.name, made.attrs["IPAM"]["Config"][0]["Gateway"], made.id, second.name)


def remove_session(engine: Any, network: Network) -> None:
    """Whatever of a session is still there: containers in its network or with its label, volumes, the network."""
    filters: tuple[dict[str, str], ...] = (
        {"network": network.name},
        {"network": network.replicas},
        {"label": f"{TEST_LABEL}={network.session}"},
        {"name": f"^/{PREFIX}{network.session}"},
    )
    for wanted in filters:
        for container in engine.containers.list(all=True, filters=wanted, ignore_removed=True):
            remove_container(container)
    for volume in engine.volumes.list(filters={"label": f"{TEST_LABEL}={network.session}"}):
        volume.remove(force=True)
    remove_volumes(engine, f"{PREFIX}{network.session}")
    for name in (network.name, network.replicas):
        engine.networks.get(name).remove()
