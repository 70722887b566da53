"""Other users of the Hub who want what is alice's: her model, her volumes, the replicas' secrets, the gateway's calls."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import httpx
import pytest

from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.hub_options import Summary, enveloped, options_from_plain, sealed_in

from .deployment import ADMIN, PREFIX, TEST_LABEL, Deployment, Network, Notebook, Setup, eventually, remove_container
from .stage import Stage, under_load

CONTROL = 39777


@pytest.fixture(scope="module")
def replicas_network(docker_engine: Any, network: Network) -> Iterator[Any]:
    """As sites should have it: of its own, in which containers do not reach each other; with a known subnet, so that a
    test can have the address that it wants."""
    name, labels = f"{PREFIX}{network.session}-closed", {TEST_LABEL: network.session}
    first = docker_engine.networks.create(name, driver="bridge", labels=labels)
    first.reload()
    pool = docker.types.IPAMPool(subnet=first.attrs["IPAM"]["Config"][0]["Subnet"])
    first.remove()
    made = docker_engine.networks.create(
        name,
        driver="bridge",
        labels=labels,
        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        options={"com.docker.network.bridge.enable_icc": "false"},
    )
    yield made
    made.reload()
    for container in made.containers:
        remove_container(container)
    made.remove()


@pytest.fixture(scope="module")
def site(make_deployment: Callable[..., Deployment], replicas_network: Any) -> Iterator[Deployment]:
    from .conftest import running

    deployment = make_deployment(Setup(install=(("network", replicas_network.name), ("model_volumes", ()))))
    running.append(deployment)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()
        running.remove(deployment)


@pytest.fixture(scope="module")
def stage(site: Deployment) -> Iterator[Stage]:
    stage = Stage(site, "m", 2)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def bob(site: Deployment) -> Notebook:
    return site.notebook("bob")


def address_of(container: Any, network: Any) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"])


# --- servers with hand-made options ------------------------------------------------------------------


def test_another_user_starts_nothing_with_hand_made_options(site: Deployment, stage: Stage, bob: Notebook) -> None:
    """Our key with what he sealed himself, with what was sealed for alice, a foreign volume, privileged: refused each
    time, by his own token and by that of his notebook; no container more, and no record that would count."""
    stage.ready(2)
    replica = next(iter(stage.containers()))
    hers = site.servers("alice")[f"ms-{replica}"]["user_options"]  # he cannot read them; say that he could
    folder = site.folder / "model-service"
    sealer = Sealer((folder / "sealing.key").read_text().strip())
    plain = sealer.open(sealed_in(hers))
    options_from_plain(plain)
    his = {**plain, "user": "bob", "owner": "bob", "server": "ms-m-000000", "replica": "m-000000"}
    his["storage"] = {"kind": "volume", "volume": f"{site.prefix}-alice"}
    forged = enveloped(Summary(), Sealer(new_key()).seal(his))
    well_sealed = enveloped(Summary(), sealer.seal(his))
    bare = {"model_service": {"v": 1, "summary": {}, "sealed": "x"}, "privileged": True, "volumes": {"/": "/host"}}
    full, inside = site.token("bob"), bob.exec("sh", "-c", "echo $JUPYTERHUB_API_TOKEN").stdout.strip()
    before, records = {c.id for c in site.containers()}, set(site.servers("bob"))
    for token in (full, inside):
        for name in ("ms-m-000000", f"ms-{replica}", "ms-job-000000000000", "mine"):
            for body in (hers, forged, well_sealed, bare, {"do": "inspect"}, None):
                if name == "mine" and (body is None or "model_service" not in body):
                    continue  # that is a notebook
                answer = site.start_server("bob", name, body, token=token)
                assert answer.status_code == 403, (name, body, answer.status_code, answer.text)
        assert site.start_server("alice", f"ms-{replica}", bare, token=token).status_code in (403, 404)
    assert {c.id for c in site.containers()} == before
    assert set(site.servers("bob")) == records


def test_she_herself_starts_none_of_her_replicas_by_hand(site: Deployment, stage: Stage) -> None:
    """What the gateway asked for once is in the Hub's database: a start without options would use it again."""
    hers = site.token("alice")
    replica = next(iter(stage.containers()))
    before = {c.id for c in site.containers()}
    answer = site.start_server("alice", f"ms-{replica}", None, token=hers)
    assert answer.status_code in (400, 403)
    assert {c.id for c in site.containers()} == before


def test_options_of_a_notebook_reach_nothing_but_the_notebook(site: Deployment, bob: Notebook) -> None:
    """Volumes and privileges that a plain server's options name are nothing to the site's own spawner."""
    wish = {"privileged": True, "volumes": {f"{site.prefix}-alice": "/hers"}, "extra_host_config": {"privileged": True}}
    assert site.start_server("bob", "odd", wish, token=site.token("bob")).status_code in (201, 202)
    try:
        (made,) = [c for c in site.containers() if c.name.endswith("--odd")]
        assert made.attrs["HostConfig"]["Privileged"] is False
        assert [mount["Name"] for mount in made.attrs["Mounts"]] == [f"{site.prefix}-bob"]
    finally:
        site.stop_server("bob", "odd", remove=True)


# --- calls of a private model ------------------------------------------------------------------------

REACH = """
import concurrent.futures, socket, sys
def look(place):
    try:
        with socket.create_connection(place, 3) as s:
            s.sendall(b"POST /work HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
            return f"answered {s.recv(1000)}"
    except OSError as error:
        return f"refused {error}"
places = [(host, int(port)) for host, port in zip(sys.argv[1::2], sys.argv[2::2])]
with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    print(*pool.map(look, places), sep="\\n")
"""
CALL = """
import os, sys, urllib.request as u, urllib.error as e
r = u.Request(sys.argv[1], data=b"hi", headers={"Authorization": "Bearer " + os.environ["JUPYTERHUB_API_TOKEN"]})
try: print(u.urlopen(r, timeout=20).status)
except e.HTTPError as x: print(x.code)
"""


def test_another_user_reaches_a_private_model_on_no_way(
    site: Deployment, stage: Stage, bob: Notebook, replicas_network: Any
) -> None:
    """Its endpoint (404), its replica's route at the Hub (an empty 404), its replica's address from a notebook."""
    stage.ready(2)
    own, admin = site.token("bob"), site.token(ADMIN)

    def post(url: str, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(url, content=b"hi", headers=headers, timeout=20, trust_env=False)

    refused = bob.cli("info", "alice/m", check=False)
    assert (refused.returncode, "There is no service alice/m" in refused.stderr) == (1, True), refused
    assert json.loads(bob.cli("list", "--json").stdout) == {"services": [], "shared": []}
    for endpoint in (stage.direct, stage.proxied):
        assert [post(endpoint + "work", token).status_code for token in (own, None)] == [404, 401]
        assert bob.exec("python3", "-c", CALL, endpoint + "work").stdout.strip() == "404"
    for endpoint in (stage.direct, stage.proxied):
        served = post(endpoint + "work", stage.token)
        assert served.status_code == 200, "so that the others are refused for a reason"
        assert served.headers["Content-Security-Policy"].startswith("sandbox "), "at the Hub's own address"
    for replica in stage.containers():
        for token in (own, admin, None):
            for path in ("work", "api", "", "models/server.py"):
                answer = post(f"{site.url}user/alice/ms-{replica}/{path}", token)
                assert (answer.status_code, answer.text) == (404, ""), path
    places = [
        word
        for container in stage.containers().values()
        for port in (8000, CONTROL)
        for word in (address_of(container, replicas_network), str(port))
    ]
    for notebook in (bob, stage.alice):
        said = notebook.exec("python3", "-c", REACH, *places, timeout=30).stdout.splitlines()
        assert [line.split()[0] for line in said] == ["refused"] * 4, said


def test_another_users_replica_does_not_reach_hers(site: Deployment, stage: Stage, replicas_network: Any) -> None:
    """He may serve what he likes, in a container of the same network."""
    hers = address_of(next(iter(stage.containers().values())), replicas_network)
    made = site.engine.containers.run(
        site.image,
        ["sleep", "60"],
        network=replicas_network.name,
        detach=True,
        labels={TEST_LABEL: site.network.session},
    )
    try:
        status, said = made.exec_run(["python3", "-c", REACH, hers, "8000", hers, str(CONTROL)])
        assert status == 0
        assert [line.split()[0] for line in said.splitlines()] == [b"refused"] * 2, said
    finally:
        remove_container(made)


# --- the address of a dead replica -------------------------------------------------------------------

IMPOSTOR = """
import hashlib, hmac, http.server, json, os, socketserver, sys, threading

def tell(**what): print(json.dumps(what), flush=True)

class Control(socketserver.StreamRequestHandler):
    def handle(self):
        self.request.settimeout(8)
        try:
            hello = self.rfile.readline(5000).decode()
            tell(control=hello)
            told = json.loads(hello)
            nonce = told["nonce"]  # given back: what the gateway would have to sign is what it has chosen itself
            proof = hmac.new(b"", f"runner|{told['replica']}|{nonce}|{nonce}".encode(), hashlib.sha256).hexdigest()
            self.wfile.write(json.dumps({"t": "challenge", "nonce": nonce, "proof": proof}).encode() + b"\\n")
            self.wfile.write(b'{"t": "state", "phase": "loading", "action": 0, "actions": 0, "label": "", "model_pid": 7}\\n')
            while line := self.rfile.readline(100000).decode():
                tell(control=line)
        except (OSError, ValueError) as error:
            tell(error=repr(error))

class Model(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        tell(model=self.requestline, headers=dict(self.headers), body=body.decode("latin-1"))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    do_GET = do_POST = do_HEAD = answer
    def log_message(self, *arguments): pass

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

threading.Thread(target=http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Model).serve_forever).start()
tell(up=True)
Server(("0.0.0.0", 39777), Control).serve_forever()
"""


def test_who_takes_over_the_address_of_a_dead_replica_gets_no_call_and_learns_no_secret(
    site: Deployment, stage: Stage, replicas_network: Any
) -> None:
    """Under load, and in the moment that suits him best: the Hub does not answer, so nobody can be told that the
    replica is dead, and its address is his before the gateway has given it up."""
    stage.ready(2)
    victim, container = next(iter(stage.containers().items()))
    options = site.servers("alice")[f"ms-{victim}"]["user_options"]
    sealer = Sealer((site.folder / "model-service" / "sealing.key").read_text().strip())
    secret = str(sealer.open(sealed_in(options))["secret"])
    address = address_of(container, replicas_network)
    api = site.engine.api
    made = api.create_container(
        site.image,
        ["python3", "-c", IMPOSTOR],
        labels={TEST_LABEL: site.network.session},
        host_config=api.create_host_config(network_mode=replicas_network.name),
        networking_config=api.create_networking_config(
            {replicas_network.name: api.create_endpoint_config(ipv4_address=address)}
        ),
    )
    impostor = site.engine.containers.get(made["Id"])
    assert site.process is not None
    hub = site.process.pid

    def take_over() -> None:
        os.kill(hub, signal.SIGSTOP)
        try:
            container.kill()
            impostor.start()
            eventually(lambda: b'"control"' in impostor.logs(), "the gateway at the impostor's door", 30)
            time.sleep(2.0)  # for whatever else would come
        finally:
            os.kill(hub, signal.SIGCONT)
        stage.ready(2)

    try:
        tally = under_load(stage, take_over).tally
        heard = [json.loads(line) for line in impostor.logs().splitlines()]
        assert address_of(impostor, replicas_network) == address
    finally:
        remove_container(impostor)
    print(f"{len(heard)} lines: {[line.get('control', line)[:60] for line in heard if 'control' in line][:4]}")
    assert tally.failures == []
    assert [line for line in heard if "model" in line] == [], "no call, and no health check either"
    said = [json.loads(line["control"]) for line in heard if "control" in line]
    assert said
    for message in said:
        assert message.keys() == {"t", "protocol", "replica", "nonce"}, "a greeting, and nothing after his answer"
        assert (message["t"], message["replica"]) == ("hello", victim)
    text = json.dumps(heard)
    for private in (secret, stage.token):
        assert private not in text
    assert victim not in stage.containers()
