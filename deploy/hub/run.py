"""The tour on a real JupyterHub: proxy, DockerSpawner, a class and an administrator. alice serves `examples/tiny-chat`,
it is called, and shared with the class.

Needs a Docker engine and the images of `deploy/images/build.sh` (`make hub` sees to both). Everything that it makes is
named `jms-hub…`, labelled as this Hub's, or lies below `.hub/site/`; it goes when the tour ends, home volumes included
(after an error `.hub/site/` stays until the next tour, for the logs in it).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import httpx
from ingress import Ingress

ROOT = Path(__file__).resolve().parents[2]
PROXY = ROOT / ".hub" / "node_modules" / ".bin" / "configurable-http-proxy"
IMAGE = "jupyter-model-service/notebook:hub6"
NAME = "jms-hub"
PIP_FOLDER = "/etc/pip-of-the-host"
STAYS = """\
What was made once stays, for the next time: the Docker engine runs on, and its images are removed by
  docker image rm --force $(docker image ls --quiet 'jupyter-model-service/*' | sort -u)"""
SERVICE, REPLICAS = "tiny-chat", 2
GROUP, CALLS = "class", 200
QUESTION = "Hello! What can you do?"
SAID = {"messages": [{"role": "user", "content": QUESTION}]}
INVENTED = {"X-Forwarded-For": "203.0.113.7"}  # what a caller may say of herself, and nobody believes
ANSWER = ("Hello, and welcome!", "one word at a time.")  # it always answers the same: how that begins and ends


def say(text: str) -> None:
    print(text, flush=True)


def free_port(address: str, wish: int = 0) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, wish))
        except OSError:
            probe.bind((address, 0))
        return int(probe.getsockname()[1])


def address_seen(address: str) -> str:
    """From which address what runs here calls ``address``, as the Hub's proxy does. Mostly not from that one: between a
    machine and its networks Docker puts the machine's own, 192.0.2.2 for 172.18.0.1."""
    with socket.create_server((address, 0)) as listener, socket.create_connection(listener.getsockname(), 10):
        connection, (seen, _) = listener.accept()
        connection.close()
    return str(seen)


def packed(folder: Path, what: str = ".") -> bytes:
    """A tar archive of what is in a folder."""
    return subprocess.run(["tar", "-C", str(folder), "-c", what], stdout=subprocess.PIPE, check=True).stdout


def wait_for(look: Callable[[], Any], what: str, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} was not seen within {seconds:.0f} s.")
        time.sleep(0.2)
    return seen


class Site:
    """Owns the Hub's process, the networks and everything in them; ``close`` ends and removes all of it.

    ``name`` is that of the notebooks' network, and how those of containers and volumes begin."""

    def __init__(self, folder: Path, name: str, image: str) -> None:
        self.engine = docker.from_env(timeout=120)
        self.folder, self.name, self.image = folder, name, image
        self.replicas_network, self.pip_volume = f"{name}-replicas", f"{name}-pip"
        self.clear()  # what an interrupted tour left
        shutil.rmtree(folder, ignore_errors=True)  # of no use without its volumes
        folder.mkdir(mode=0o700, parents=True)
        self.log = folder / "hub.log"
        network = self.engine.networks.create(name, driver="bridge")
        network.reload()
        # Where no notebook reaches a model's port, and no replica another's; the gateway is on this machine.
        apart = {"com.docker.network.bridge.enable_icc": "false"}
        self.engine.networks.create(self.replicas_network, driver="bridge", options=apart)
        self.address = network.attrs["IPAM"]["Config"][0]["Gateway"]
        self.port = free_port("127.0.0.1", 8000)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.service_url = f"{self.url}services/model-service/"
        self.gateway_port = free_port(self.address)
        self.ingress = Ingress(free_port("127.0.0.1", 8001), self.address, self.gateway_port)
        self.token, self.password = secrets.token_hex(24), secrets.token_hex(6)
        self.process: subprocess.Popen[bytes] | None = None

    def fill_pip_volume(self) -> None:
        """This machine's pip settings as a volume: an address may hold a password, so they are in no image."""
        subprocess.run(
            [sys.executable, str(ROOT / "deploy" / "images" / "pip_settings.py"), str(self.folder / "pip")], check=True
        )
        container = self.engine.containers.create(self.image, ["true"], volumes={self.pip_volume: {"bind": PIP_FOLDER}})
        try:
            packed = subprocess.run(
                ["tar", "-C", str(self.folder / "pip"), "-c", "."], stdout=subprocess.PIPE, check=True
            )
            container.put_archive(PIP_FOLDER, packed.stdout)
        finally:
            container.remove(force=True)

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "MODEL_SERVICE_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(24),
            "DEMO_NETWORK": self.name,
            "DEMO_REPLICAS_NETWORK": self.replicas_network,
            "DEMO_ADDRESS": self.address,
            "DEMO_FOLDER": str(self.folder),
            "DEMO_IMAGE": self.image,
            "DEMO_PORT": str(self.port),
            "DEMO_HUB_PORT": str(free_port(self.address)),
            "DEMO_GATEWAY_PORT": str(self.gateway_port),
            "DEMO_PAGES": f"http://*.models.localhost:{self.ingress.port}",
            "DEMO_PROXY": str(PROXY),
            "DEMO_PROXY_ADDRESS": address_seen(self.address),
            "DEMO_PROXY_API_PORT": str(free_port("127.0.0.1")),
            "DEMO_PASSWORD": self.password,
            "DEMO_PREFIX": self.name,
            "DEMO_TOKEN": self.token,
            "DEMO_PIP_VOLUME": self.pip_volume,
        }
        command = [sys.executable, "-m", "jupyterhub", "-f", str(ROOT / "deploy" / "hub" / "jupyterhub_config.py")]
        with open(self.log, "wb") as log:
            # A job in the background of a script ignores SIGINT, by which the Hub ends what it started.
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", *command],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.ingress.start()
        began = time.monotonic()
        wait_for(self._up, f"The Hub (its log is {self.log})", 90)
        say(f"   It is up ({time.monotonic() - began:.1f} s)")

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise SystemExit(f"JupyterHub ended at once; the end of its log:\n{self.log.read_text()[-3000:]}")
        try:
            return self.api("GET", "/users").status_code == 200
        except httpx.HTTPError:
            return False

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"token {self.token}"}
        return httpx.request(
            method, f"{self.url}hub/api{path}", json=body, headers=headers, timeout=60, trust_env=False
        )

    def user_token(self, user: str, *scopes: str) -> str:
        """All that she may, or ``scopes``; for a day."""
        wish = {"note": "tour", "expires_in": 86400} | ({"scopes": [*scopes]} if scopes else {})
        answer = self.api("POST", f"/users/{user}/tokens", wish)
        answer.raise_for_status()
        return str(answer.json()["token"])

    def keep(self, name: str, token: str) -> None:
        """In a file that is its owner's alone, so that commands can name it."""
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(token + "\n")

    def kept(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    def notebook(self, user: str) -> str:
        """Start the user's notebook server; the id of its container."""

        def ready() -> Any:
            server = self.api("GET", f"/users/{user}").json()["servers"].get("", {})
            return server if server.get("ready") else None

        self.api("POST", f"/users/{user}/server").raise_for_status()
        return str(wait_for(ready, f"{user}'s notebook", 90)["state"]["object_id"])

    def clear(self) -> None:
        """Remove the containers, volumes and networks of this site, and what the service made for it; no others."""
        told = self.folder / "hub-label"
        label = {"label": f"org.jupyter.model-service.hub={told.read_text() if told.exists() else '-'}"}
        places = [{"network": self.name}, {"network": self.replicas_network}, {"name": f"^/{self.name}-"}, label]
        found = {c.id: c for wanted in places for c in self._containers(wanted)}
        volumes = {volume.name for volume in self.engine.volumes.list(filters=label)}
        volumes |= {v.name for v in self.engine.volumes.list() if v.name.startswith(f"{self.name}-")}
        for container in found.values():
            volumes |= {mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}
            container.remove(force=True)
        for volume in volumes:
            try:
                self.engine.volumes.get(volume).remove()
            except docker.errors.NotFound:
                pass
        for network in self.engine.networks.list(names=[f"^{self.name}$", f"^{self.replicas_network}$"]):
            network.remove()

    def _containers(self, wanted: dict[str, str]) -> list[Any]:
        try:
            return list(self.engine.containers.list(all=True, filters=wanted))
        except docker.errors.NotFound:  # no such network
            return []

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=45)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.clear()
        self.engine.close()


class Notebook:
    """A user's terminal in her running notebook server."""

    def __init__(self, container: str) -> None:
        self.container = container

    def run(self, *command: str, stdin: bytes | None = None, show: bool = False) -> str:
        words = ["docker", "exec", *(["-i"] if stdin is not None else []), self.container, *command]
        done = subprocess.run(words, input=stdin, stdout=None if show else subprocess.PIPE, timeout=600)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
        return (done.stdout or b"").decode()

    def cli(self, *arguments: str) -> str:
        return self.run("jupyter", "model-service", *arguments)


def ask(endpoint: str, token: str) -> str:
    """One streamed call, printed as it comes; returns the whole answer."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = ""
    with httpx.stream(
        "POST", endpoint + "api/chat", json=SAID, headers=headers, timeout=30, trust_env=False
    ) as response:
        if response.status_code != 200:
            response.read()
            raise SystemExit(f"The endpoint answered {response.status_code}: {response.text}")
        for piece in response.iter_text():
            print(piece, end="", flush=True)
            answer += piece
    print()
    return answer


def status(endpoint: str, token: str | None) -> int:
    headers = INVENTED | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.post(endpoint + "api/chat", json=SAID, headers=headers, timeout=30, trust_env=False).status_code


def tour(site: Site, *, once: bool) -> None:
    say(f"1. Starting JupyterHub with DockerSpawner (image {site.image}) …")
    site.fill_pip_volume()
    site.start()
    say("2. Starting alice's notebook server, and in it what she would type:")
    alice = Notebook(site.notebook("alice"))
    alice.run("tar", "-x", "--no-same-owner", stdin=packed(ROOT / "examples", SERVICE))
    create = ["create", SERVICE, "-n", SERVICE, "--replicas", str(REPLICAS)]
    create += ["--mount", f"{site.pip_volume}:{PIP_FOLDER}:ro", "--env", f"PIP_CONFIG_FILE={PIP_FOLDER}/pip.conf"]
    say("   $ jupyter model-service " + " ".join(create))
    began = time.monotonic()
    done = alice.cli(*create)
    say(f"   {done.partition(chr(10))[0]} ({time.monotonic() - began:.1f} s)")
    endpoint = alice.cli("get-endpoint", SERVICE).strip()
    path = endpoint[endpoint.index("/services/") + 1 :]
    endpoint = site.url + path  # through the Hub's proxy, as people reach it
    token = str(json.loads(alice.cli("generate-token", SERVICE, "--name", "tour", "--json"))["token"])
    say(f"3. Calling it with a token for this endpoint: {QUESTION}")
    answer = ask(endpoint, token)
    if not (answer.startswith(ANSWER[0]) and answer.rstrip().endswith(ANSWER[1])):
        raise SystemExit(f"That is not what {SERVICE} answers: {answer!r}")
    expect(endpoint, "nobody", None, 401)
    expect(endpoint, "bob", site.user_token("bob"), 404)
    say("   (without a token it answers 401; bob, with whom it is not shared, gets 404 as if it were not there)")
    share = ["share", SERVICE, "--group", GROUP, "--calls-per-day", str(CALLS)]
    say("4. Sharing it with a class:\n   $ jupyter model-service " + " ".join(share))
    alice.cli(*share)
    expect(endpoint, "carol", site.user_token("carol"), 200)
    say("   (carol, who is in that class, calls it with a token of her own)")
    site.keep("admin-token", site.user_token("admin", "admin:servers"))
    words = ["admin", "limits", "carol"]
    say("5. An administrator, who sees what carol may have by the rule for the class:")
    say("   $ jupyter model-service " + " ".join(words))
    rule = [line for line in administer(site, *words).splitlines() if line.endswith(f"for the group {GROUP}")]
    if not rule:
        raise SystemExit(f"Nothing that carol may have is set for the group {GROUP}.")
    say("\n".join(rule))
    page = str(json.loads(alice.cli("info", SERVICE, "--json"))["page"])
    if (got := opened(site, page)) != "/services/model-service/sign-in":
        raise SystemExit(f"A browser that opens {page} is sent to {got}, and not to sign in.")
    say(f"6. Its page is at {page}, where a browser signs in with the Hub.")
    check_addresses(site)
    say("   (who called is known by her own address: not the proxy's, and not what she says of herself)\n")
    site.keep("token", token)
    show(site, endpoint, page)
    if not once:
        say("\nThis stays until Ctrl-C.")
        signal.pause()
    alice.cli("delete", SERVICE, "--yes")


def expect(endpoint: str, who: str, token: str | None, wanted: int) -> None:
    if (got := status(endpoint, token)) != wanted:
        raise SystemExit(f"To {who} the endpoint answered {got}, not {wanted}.")


def administer(site: Site, *words: str) -> str:
    """What an administrator types, on this machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "MODEL_SERVICE_"))}
    environment |= {"MODEL_SERVICE_URL": site.service_url, "MODEL_SERVICE_TOKEN": site.kept("admin-token")}
    command = [sys.executable, "-m", "jupyter_model_service.cli", *words]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=60)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit status {done.returncode}")
    return done.stdout.decode()


def opened(site: Site, page: str) -> str:
    """Where a browser without a cookie is sent from there: the path."""
    headers = {"Host": httpx.URL(page).netloc.decode(), "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    # Only browsers take every name below localhost for this machine.
    address = f"http://127.0.0.1:{site.ingress.port}/"
    answer = httpx.get(address, headers=headers | INVENTED, timeout=30, trust_env=False)
    return httpx.URL(answer.headers.get("Location", "")).path


def check_addresses(site: Site) -> None:
    """Of the calls through the Hub's proxy and of the one at the service's own host: all came from this machine."""
    log = site.folder / "model-service" / "access.jsonl"

    def calls() -> dict[bool, set[str]]:
        """Whether at the Hub → the addresses from which it was called there."""
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        found: dict[bool, set[str]] = {}
        for line in lines:
            if line["service"] == f"alice/{SERVICE}":
                found.setdefault(line["path"].startswith("/services/"), set()).add(line["address"])
        return found if len(found) == 2 else {}

    seen = wait_for(calls, f"A call of each kind in {log}", 30)
    if seen[True] | seen[False] != {"127.0.0.1"}:
        raise SystemExit(f"All was called from 127.0.0.1, and {log} has {seen[True]} (the Hub's proxy), {seen[False]}.")


def show(site: Site, endpoint: str, page: str) -> None:
    def shown(name: str) -> Path:
        file = site.folder / name
        return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file

    say(f"Endpoint  {endpoint}")
    say(
        f'Call it   curl -N {endpoint}api/chat -H "Authorization: Bearer $(cat {shown("token")})" \\\n'
        "               -H 'Content-Type: application/json' \\\n"
        f"               -d '{json.dumps(SAID)}'"
    )
    say(f"""\
Open it   {page}  (sign in as alice, or as carol, with whom it is shared)
Hub       {site.url}hub/home  The password of all is {site.password}
            alice        {SERVICE} is hers, and shared with the group {GROUP}
            carol, dave  are in it: each may call it {CALLS} times a day, and have 1 replica of her own, not public
            bob          finds nothing until alice types: jupyter model-service share {SERVICE} --user bob
            admin        sees, limits and stops everything, also by mouse: {site.service_url}
Type      in a terminal of alice's JupyterLab: jupyter model-service uses {SERVICE}
          here, as the administrator:
            export MODEL_SERVICE_URL={site.service_url} MODEL_SERVICE_TOKEN="$(cat {shown("admin-token")})"
            {jupyter()} model-service admin limits alice --max-replicas 1""")


def jupyter() -> str:
    """The command as it is typed where the tour was started."""
    found = Path(sys.executable).parent / "jupyter"
    return str(found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="end after the calls; exit status 0 only if all was right")
    parser.add_argument("--folder", type=Path, default=ROOT / ".hub" / "site", help="where everything is kept")
    parser.add_argument("--name", default=NAME, help="how the names of networks, containers and volumes begin")
    parser.add_argument("--image", default=IMAGE, help="of the notebooks, and so of the replicas")
    options = parser.parse_args()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, signal.default_int_handler)  # whatever ends it, it takes along what it started
    site = Site(options.folder.resolve(), options.name, options.image)
    well = False
    try:
        tour(site, once=options.once)
        well = True
    except KeyboardInterrupt:
        say("")
        well = True
    finally:
        site.close()
        if well:
            shutil.rmtree(site.folder)
        what = f"and {site.folder} are removed" if well else f"are removed, but not the logs in {site.folder}"
        say(f"Stopped: the Hub, its proxy, the notebooks and the replicas; their networks, volumes {what}.")
        say(STAYS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
