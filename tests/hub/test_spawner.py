"""The spawner of ours in a real Hub with a real engine: the test speaks to the Hub as the gateway does."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from jupyter_model_service.adapters.key_file import new_key, read_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.hub_options import (
    CollectOptions,
    Options,
    ReplicaOptions,
    ReplicaStorage,
    SnapshotOptions,
    Summary,
    VolumeMount,
    enveloped,
    job_server,
    server_name,
)

from .deployment import Deployment, Setup, eventually

LABEL = "org.jupyter.model-service."
SETUPS = [Setup(managed=False), Setup(line=5, managed=False)]
both_lines = pytest.mark.parametrize("hub", SETUPS, indirect=True, ids=str)
ECHO = "import http.server as s; s.ThreadingHTTPServer(('0.0.0.0', 8000), s.SimpleHTTPRequestHandler).serve_forever()"


class Gateway:
    """What our service may do, with its own token and key."""

    def __init__(self, hub: Deployment) -> None:
        self.hub = hub
        self.folder = hub.folder / "model-service"
        self.token = (self.folder / "api-token").read_text().strip()
        self.sealer = Sealer(read_key(self.folder / "sealing.key"))

    def options(self, user: str = "alice", **more: Any) -> ReplicaOptions:
        replica = f"chat-{secrets.token_hex(3)}"
        options = ReplicaOptions(
            user=user,
            server=server_name(replica),
            owner=user,
            service="chat",
            service_id=secrets.token_hex(16),
            replica=replica,
            secret=secrets.token_hex(32),
            revision=1,
            image=None,
            spec={"command": ["python3", "-c", ECHO], "cwd": "/", "stop_grace": 2.0},
            port=8000,
        )
        return replace(options, **more)

    def body(self, options: Options) -> dict[str, Any]:
        return enveloped(Summary(), self.sealer.seal(options.to_plain()))

    def post(self, user: str, server: str, body: Any, token: str | None = None) -> httpx.Response:
        return self.hub.api("POST", f"/users/{user}/servers/{server}", body, token=token or self.token)

    def start(self, options: Options) -> dict[str, Any]:
        """Ask for it and wait until the Hub says what came of it: the server's state under our key."""
        answer = self.post(options.user, options.server, self.body(options))
        assert answer.status_code in (201, 202), f"{answer.status_code} {answer.text}"
        return eventually(lambda: self.state(options), f"{options.server} told", 60)

    def server(self, user: str, name: str) -> dict[str, Any] | None:
        answer = self.hub.api("GET", f"/users/{user}?include_stopped_servers=1", token=self.token)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] | None = answer.json()["servers"].get(name)
        return found

    def state(self, options: Options) -> dict[str, Any] | None:
        server = self.server(options.user, options.server)
        if server is None or not server["ready"]:
            return None
        told: dict[str, Any] | None = (server["state"] or {}).get("model_service")
        return told

    def remove(self, options: Options) -> None:
        answer = self.hub.api(
            "DELETE", f"/users/{options.user}/servers/{options.server}", {"remove": True}, token=self.token
        )
        assert answer.status_code in (202, 204), answer.text
        eventually(lambda: self.server(options.user, options.server) is None, f"{options.server} gone", 60)

    def job(self, **more: Any) -> dict[str, Any]:
        return {"user": "alice", "server": job_server(secrets.token_hex(6)), **more}


@pytest.fixture
def gateway(hub: Deployment) -> Iterator[Gateway]:
    gateway = Gateway(hub)
    yield gateway
    for user in ("alice", "bob"):
        servers = hub.api("GET", f"/users/{user}?include_stopped_servers=1", token=gateway.token).json()["servers"]
        for name in servers:
            if name:
                hub.api("DELETE", f"/users/{user}/servers/{name}", {"remove": True})
    eventually(lambda: not replicas(hub), "no replica left", 60)


def replicas(hub: Deployment, **labels: str) -> list[Any]:
    found = hub.engine.containers.list(all=True, filters={"label": [f"{LABEL}kind=replica"]}, ignore_removed=True)
    ours = [c for c in found if c.name.startswith(hub.prefix)]
    return [c for c in ours if all(c.labels.get(LABEL + k.replace("_", "-")) == v for k, v in labels.items())]


@both_lines
def test_a_replica_lives_from_its_start_to_its_removal(hub: Deployment, gateway: Gateway) -> None:
    """The service's token starts, finds and removes it; its model answers inside, its public route shows nothing."""
    options = gateway.options()
    state = gateway.start(options)
    assert state["error"] is None, state
    assert (state["do"], state["replica"], state["revision"], state["image"]) == (
        "replica",
        options.replica,
        1,
        hub.image,
    )
    assert state["control"][1] == 39777
    assert state["address"] == [state["control"][0], 8000]
    eventually(lambda: answers(tuple(state["address"])), "the model answers", 30)

    assert options.server in tokens_of(hub, "alice"), "the Hub makes one for each server"
    server = gateway.server("alice", options.server)
    assert server is not None
    sealed = json.dumps(server["user_options"])
    assert options.secret not in sealed
    for path in ("", "api", "models/", "x?y=z"):
        shown = httpx.get(f"{hub.url}user/alice/{options.server}/{path}", timeout=20)
        assert (shown.status_code, shown.text) == (404, "")

    gateway.remove(options)
    assert replicas(hub) == []
    assert options.server not in tokens_of(hub, "alice")
    public = httpx.get(f"{hub.url}user/alice/{options.server}/", timeout=20, follow_redirects=True)
    assert "SimpleHTTP" not in public.headers.get("server", "")


def tokens_of(hub: Deployment, user: str) -> str:
    answer = hub.api("GET", f"/users/{user}/tokens")
    assert answer.status_code == 200, answer.text
    return answer.text


def answers(address: tuple[str, int]) -> bool:
    try:
        return httpx.get(f"http://{address[0]}:{address[1]}/", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def environment_of(container: Any) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in container.attrs["Config"]["Env"])


@both_lines
def test_a_replica_gets_nothing_of_the_notebook_and_nothing_of_the_hub(hub: Deployment, gateway: Gateway) -> None:
    """No home, no token, no argument of the site; its own network and labels; no new privileges."""
    options = gateway.options(cpus=0.5, memory=256 << 20)
    assert gateway.start(options)["error"] is None
    (container,) = replicas(hub, replica=options.replica)
    told, host = environment_of(container), container.attrs["HostConfig"]
    assert [name for name in told if name.startswith(("JUPYTER", "JPY"))] == []
    assert gateway.token not in json.dumps(container.attrs)
    assert container.attrs["Mounts"] == []
    assert host["Binds"] is None
    assert (host["SecurityOpt"], host["Privileged"], host["AutoRemove"]) == (["no-new-privileges"], False, False)
    assert (host["Memory"], host["CpuQuota"], host["CpuPeriod"]) == (256 << 20, 50_000, 100_000)
    assert list(container.attrs["NetworkSettings"]["Networks"]) == [hub.network.name]
    assert not any("log_level" in word for word in container.attrs["Config"]["Cmd"])
    labels = {k.removeprefix(LABEL): v for k, v in container.labels.items() if k.startswith(LABEL)}
    hub_id = labels.pop("hub")
    assert len(hub_id) == 12
    assert labels == {
        "user": "alice",
        "server": options.server,
        "kind": "replica",
        "replica": options.replica,
        "owner": "alice",
        "service": "chat",
        "service-id": options.service_id,
        "revision": "1",
    }


# --- who may start what ------------------------------------------------------------------------------


def hand_made(key: str) -> dict[str, Any]:
    return {"model_service": {"v": 1, "summary": {}, "sealed": key}, "privileged": True, "volumes": {"/": "/host"}}


@both_lines
def test_a_user_can_start_nothing_by_hand_made_options(hub: Deployment, gateway: Gateway) -> None:
    """Her own options under our key, or a name of ours: 403, no container, and no record that would count."""
    token, own = hub.token("bob"), Sealer(new_key())
    options = gateway.options("bob")
    forged = enveloped(Summary(), own.seal(options.to_plain()))
    stolen = gateway.body(options)
    before = len(hub.containers())
    for name, body in [
        (options.server, forged),
        (options.server, stolen),
        (options.server, None),
        (options.server, {"image": "x"}),
        ("mine", forged),
        ("mine", stolen),
        ("mine", hand_made("x")),
        ("mine", {"display_name": "d", "user_options": forged}) if hub.setup.line > 5 else ("mine", forged),
    ]:
        answer = gateway.post("bob", name, body, token=token)
        assert answer.status_code == 403, (name, body, answer.status_code)
    if hub.setup.line > 5:
        for method in ("PUT", "PATCH"):
            answer = hub.api(method, f"/users/bob/servers/{options.server}", {"name": "ms-x-abc123"}, token=token)
            assert answer.status_code in (403, 404), answer.text
    assert gateway.server("bob", options.server) is None
    assert gateway.server("bob", "mine") is None
    assert len(hub.containers()) == before


@both_lines
def test_options_count_for_their_own_server_and_user_only(hub: Deployment, gateway: Gateway) -> None:
    """What the gateway sealed for one server starts none of another name or of another user, even by our service."""
    options = gateway.options()
    other = gateway.options()
    for user, server in [("alice", other.server), ("bob", options.server)]:
        answer = gateway.post(user, server, gateway.body(options))
        if hub.setup.line > 5:
            assert answer.status_code == 403
            assert "another server" in answer.text
        else:
            assert answer.status_code in (201, 202)
            stopped = eventually(lambda u=user, s=server: gateway.server(u, s), "a record")  # type: ignore[misc]
            assert stopped["state"]["model_service"]["error"]["stage"] == "refused"
    assert replicas(hub) == []


@both_lines
def test_options_that_are_no_options_are_refused(hub: Deployment, gateway: Gateway) -> None:
    """Our own service with nonsense: nothing starts, the sentence is one."""
    options = gateway.options()
    plain = {**options.to_plain(), "privileged": True}
    for body in (enveloped(Summary(), gateway.sealer.seal(plain)), enveloped(Summary(), "x"), {"model_service": []}):
        answer = gateway.post("alice", options.server, body)
        assert answer.status_code == (403 if hub.setup.line > 5 else 201), answer.text
    assert replicas(hub) == []


# --- failures ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd_images(docker_engine: Any, base_image: str, network: Any) -> Iterator[Callable[[str, str], str]]:
    """``odd_images(name, dockerfile lines after FROM)`` → an image of this session."""
    made: list[str] = []

    def build(name: str, lines: str) -> str:
        import io

        tag = f"jmstest-{network.session}/{name}"
        docker_engine.images.build(
            fileobj=io.BytesIO(f"FROM {base_image}\n{lines}\n".encode()),
            tag=tag,
            rm=True,
            forcerm=True,
            network_mode="none",
        )
        made.append(tag)
        return tag

    yield build
    for tag in made:
        docker_engine.images.remove(tag, force=True)


LENIENT = Setup(
    managed=False,
    config="c.JupyterHub.named_server_limit_per_user = 1",
    install=(
        ("allowed_images", ("*",)),
        ("model_volumes", ("jmstest-free",)),
        ("max_replicas_per_user", 2),
        ("max_memory", "300M"),
    ),
)


@pytest.fixture(scope="module")
def lenient(borrow_hub: Callable[[Setup], Deployment]) -> Deployment:
    return borrow_hub(LENIENT)


def error_of(gateway: Gateway, options: Options) -> dict[str, str]:
    state = gateway.start(options)
    assert state["error"] is not None, state
    assert state["container"] is None
    error: dict[str, str] = state["error"]
    return error


def test_each_failure_has_one_clear_reason_and_leaves_nothing(
    lenient: Deployment, odd_images: Callable[[str, str], str]
) -> None:
    """Image missing, without python3 (with and without a start script), one that ends, a mount that cannot be."""
    gateway = Gateway(lenient)
    bare = odd_images("bare", "RUN rm -f /usr/bin/python3*")
    script = odd_images("script", 'RUN rm -f /usr/bin/python3*\nENTRYPOINT ["/bin/sh", "-c", "exec \\"$@\\"", "--"]')
    ends = odd_images("ends", 'ENTRYPOINT ["/bin/sh", "-c", "echo no licence; exit 3"]')
    lenient.engine.volumes.create(f"{lenient.prefix}-v")
    no_file = gateway.options(mounts=(VolumeMount("jmstest-free", "/etc/passwd"),))
    expected = [
        (gateway.options(image="nowhere.invalid/none:1"), "There is no image nowhere.invalid/none:1"),
        (gateway.options(image=bare), f"The image {bare} has no python3"),
        (gateway.options(image=script), f"The image {script} has no python3"),
        (gateway.options(image=ends), "(exit code 3): no licence"),
        (no_file, "has no volume jmstest-free"),
    ]
    for options, words in expected:
        error = error_of(gateway, options)
        assert words in error["message"], error
        assert "\n" not in error["message"]
        gateway.remove(options)
    assert replicas(lenient) == []
    assert set(lenient.api("GET", "/users/alice?include_stopped_servers=1").json()["servers"]) <= {""}


def test_a_container_that_cannot_start_is_one_sentence(lenient: Deployment) -> None:
    """A volume over a file: the engine makes the container and cannot start it."""
    gateway = Gateway(lenient)
    lenient.engine.volumes.create("jmstest-free")
    try:
        options = gateway.options(mounts=(VolumeMount("jmstest-free", "/etc/passwd"),))
        error = error_of(gateway, options)
        assert error["message"].startswith("The container cannot be started from the image")
        assert "not a directory" in error["message"]
        gateway.remove(options)
        assert replicas(lenient) == []
    finally:
        lenient.engine.volumes.get("jmstest-free").remove()


@both_lines
def test_the_policy_is_checked_again(hub: Deployment, gateway: Gateway) -> None:
    """A gateway that was wrong, or taken over, still gets nothing that the administrator does not allow."""
    expected = [
        (gateway.options(image="jupyter-model-service/base:dev"), "may not be used for replicas"),
        (gateway.options(mounts=(VolumeMount(f"{hub.prefix}-bob", "/data"),)), "may not be mounted by alice"),
        (gateway.options(storage=ReplicaStorage("volume", f"{hub.prefix}-bob")), "may not be mounted by alice"),
        (gateway.options(storage=ReplicaStorage("snapshot", f"{hub.prefix}-bob")), "not there any more"),
        (gateway.options(gpus=1), "GPU"),
    ]
    for options, words in expected:
        assert words in error_of(gateway, options)["message"]
        gateway.remove(options)
    assert replicas(hub) == []


def test_replicas_have_a_limit_of_their_own(lenient: Deployment) -> None:
    """The user's limit of named servers counts hers, ours counts replicas; a failed one counts for nothing."""
    gateway = Gateway(lenient)
    first, second, third = gateway.options(), gateway.options(), gateway.options()
    assert gateway.start(first)["error"] is None
    assert "300 MiB" in error_of(gateway, gateway.options(memory=301 << 20))["message"]
    assert gateway.start(second)["error"] is None
    assert "2 are the most" in error_of(gateway, third)["message"]
    token = lenient.token("alice")
    assert gateway.post("alice", "own", {}, token=token).status_code in (201, 202)
    refused = gateway.post("alice", "own2", {}, token=token)
    assert refused.status_code == 400
    assert "maximum" in refused.text
    gateway.remove(first)
    gateway.remove(third)
    assert gateway.start(third)["error"] is None


SHORT_LIVED = """
def refuse_carol(spawner):
    if spawner.user.name == "carol":
        raise RuntimeError("no home for carol")
c.Spawner.pre_spawn_hook = refuse_carol
c.Spawner.consecutive_failure_limit = 3
"""
BY_MIXIN = "c.JupyterHub.named_server_limit_per_user = 0"


@pytest.mark.parametrize("line", [6, 5])
def test_refusals_and_failing_replicas_are_no_failed_spawns(
    deploy_hub: Callable[[Setup], Deployment], line: int
) -> None:
    """Where the site has set the limit again after us, the spawner refuses by itself. With a limit of three failures:
    seven refusals, two failing replicas, then one failing notebook, and the Hub lives. Three failing notebooks end it,
    as they did without us, whatever replicas do meanwhile; which is the proof that the limit is on."""
    hub = deploy_hub(Setup(line=line, managed=False, config=SHORT_LIVED, after=BY_MIXIN))
    gateway = Gateway(hub)
    token = hub.token("bob")
    for _ in range(6):
        options = gateway.options("bob")
        answer = gateway.post("bob", options.server, gateway.body(options), token=token)
        assert answer.status_code == (403 if line > 5 else 201)
    answer = hub.api("POST", "/users/bob/server", hand_made("x"), token=token)
    assert answer.status_code == (403 if line > 5 else 201)
    assert hub.containers() == []
    for _ in range(2):
        error_of(gateway, gateway.options(image="nowhere.invalid/none:1"))
    assert hub.start_server("carol").status_code == 500
    time.sleep(2.5)  # a Hub that gives up does so after two seconds
    assert hub.api("GET", "/users/carol").status_code == 200
    for _ in range(2):
        assert gateway.start(gateway.options())["error"] is None
        error_of(gateway, gateway.options(image="nowhere.invalid/none:1"))
        assert hub.start_server("carol").status_code == 500
    assert hub.process is not None
    assert hub.process.wait(timeout=20) == 1


# --- ends and restarts -------------------------------------------------------------------------------


@both_lines
def test_a_killed_container_is_noticed_and_cleared(hub: Deployment, gateway: Gateway) -> None:
    options = gateway.options()
    state = gateway.start(options)
    hub.engine.containers.get(state["container"]).kill()
    eventually(lambda: (gateway.server("alice", options.server) or {}).get("stopped"), "stopped", 30)
    eventually(lambda: not replicas(hub), "its container gone", 10)
    eventually(lambda: options.server not in tokens_of(hub, "alice"), "no token of it is left", 10)
    assert gateway.start(replace(options, secret=secrets.token_hex(32)))["container"] != state["container"]


@both_lines
def test_a_user_may_stop_her_replica(hub: Deployment, gateway: Gateway) -> None:
    """From the Hub's page, without removing the server: its container is gone all the same."""
    options = gateway.options()
    gateway.start(options)
    answer = hub.api("DELETE", f"/users/alice/servers/{options.server}", token=hub.token("alice"))
    assert answer.status_code in (202, 204)
    eventually(lambda: not replicas(hub), "its container gone", 30)


@pytest.fixture
def erin(hub: Deployment, gateway: Gateway) -> Iterator[list[ReplicaOptions]]:
    """A user with two replicas that run."""
    assert hub.api("POST", "/users/erin").status_code == 201
    hers = [gateway.options("erin") for _ in range(2)]
    for options in hers:
        assert gateway.start(options)["error"] is None
    yield hers
    for name in hub.servers("erin") if hub.api("GET", "/users/erin").status_code == 200 else ():
        hub.stop_server("erin", name, remove=bool(name))
    hub.api("DELETE", "/users/erin")


@both_lines
def test_a_user_is_deleted_with_her_running_replicas(hub: Deployment, erin: list[ReplicaOptions]) -> None:
    """The Hub refuses that for any other server. The next of that name has none of them."""
    before = len(hub.log.read_text())
    answer = hub.api("DELETE", "/users/erin")
    assert answer.status_code == 204, answer.text
    assert hub.api("POST", "/users/erin").status_code == 201
    eventually(lambda: not replicas(hub), "their containers are gone", 20)
    assert [name for name in hub.servers("erin") if name] == []
    time.sleep(7)  # longer than between two polls of a server
    assert "Traceback" not in hub.log.read_text()[before:]


@both_lines
def test_a_deletion_that_the_hub_gives_up_leaves_the_replicas_as_they_are(
    hub: Deployment, gateway: Gateway, erin: list[ReplicaOptions]
) -> None:
    """A server of her own runs, too: that is the Hub's own rule."""
    assert hub.start_server("erin", "own").status_code in (201, 202)
    eventually(lambda: hub.servers("erin")["own"]["ready"], "her own server")
    there = {container.id for container in replicas(hub)}
    assert hub.api("DELETE", "/users/erin").status_code == 500
    time.sleep(3)  # longer than a deletion is followed
    assert {container.id for container in replicas(hub)} == there
    assert all(hub.servers("erin")[options.server]["ready"] for options in erin)
    gateway.remove(erin[0])
    assert len(replicas(hub)) == 1
    assert hub.api("DELETE", "/users/erin").status_code == 500
    hub.stop_server("erin", "own", remove=True)
    assert hub.api("DELETE", "/users/erin").status_code == 204
    eventually(lambda: not replicas(hub), "their containers are gone", 20)


@both_lines
def test_an_interrupted_start_leaves_nothing(
    hub: Deployment, gateway: Gateway, odd_images: Callable[[str, str], str]
) -> None:
    """A container that never listens: taken away while the Hub waits for it."""
    name = f"{hub.image}-slow".replace(":", "-")
    lines = 'USER root\nENTRYPOINT ["sleep", "300", "--"]'
    hub.engine.images.build(fileobj=_dockerfile(hub.image, lines), tag=name, rm=True, network_mode="none")
    del odd_images
    try:
        options = gateway.options(image=name)
        thread = threading.Thread(target=gateway.post, args=("alice", options.server, gateway.body(options)))
        thread.start()
        state = eventually(lambda: gateway.server("alice", options.server), "a record", 20)
        assert state["pending"] == "spawn" or state["ready"]
        gateway.remove(options)
        thread.join(30)
        assert replicas(hub) == []
    finally:
        hub.engine.images.remove(name, force=True)


def _dockerfile(base: str, lines: str) -> Any:
    import io

    return io.BytesIO(f"FROM {base}\n{lines}\n".encode())


@both_lines
def test_replicas_outlive_the_hub(hub: Deployment, gateway: Gateway) -> None:
    """An ordered and a killed Hub: the same container, the same state, and its removal still takes everything."""
    options = gateway.options()
    before = gateway.start(options)
    failed = gateway.options(image="nowhere.invalid/none:1")
    error_of(gateway, failed)
    for end in (hub.stop, hub.kill):
        end()
        assert answers(tuple(before["address"]))
        hub.start()
        after = eventually(lambda: gateway.state(options), "the replica again", 60)
        assert after == before
        assert httpx.get(f"{hub.url}user/alice/{options.server}/x", timeout=20).status_code == 404
        old = gateway.server("alice", failed.server)
        assert old is not None
        assert old["stopped"]
    assert Gateway(hub).token == gateway.token
    again = gateway.options()
    assert gateway.start(again)["error"] is None
    gateway.remove(options)
    gateway.remove(again)
    assert replicas(hub) == []


@pytest.mark.parametrize("hub", SETUPS[:1], indirect=True, ids=str)
def test_a_hub_killed_in_the_middle_of_a_start_leaks_nothing(hub: Deployment, gateway: Gateway) -> None:
    """The container is there and the Hub's database does not know it yet; the removal of the server takes it."""
    options = gateway.options()
    thread = threading.Thread(target=_post_quietly, args=(gateway, options))
    thread.start()
    eventually(lambda: replicas(hub), "a container", 30, 0.01)
    hub.kill()
    thread.join(30)
    hub.start()
    if gateway.server("alice", options.server) is not None:
        gateway.remove(options)
    eventually(lambda: not replicas(hub), "no container", 60)


def _post_quietly(gateway: Gateway, options: Options) -> None:
    try:
        gateway.post(options.user, options.server, gateway.body(options))
    except httpx.HTTPError:
        pass


# --- the service's own token and gateway ---------------------------------------------------------------


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


@both_lines
def test_the_gateways_own_token_makes_no_token_of_a_person(hub: Deployment, gateway: Gateway) -> None:
    assert tokens_that_the_gateway_can_make(hub) == ONLY_ENDPOINTS


@both_lines
def test_a_gateway_beside_the_hub_knows_its_users(hub: Deployment, gateway: Gateway) -> None:
    hub.start_gateway()
    try:
        services = f"{hub.service_url}api/v1/services"
        answer = httpx.get(services, headers={"Authorization": f"Bearer {hub.token('bob')}"}, timeout=30)
        assert (answer.status_code, answer.json()["services"]) == (200, [])
        assert httpx.get(services, timeout=30).status_code == 401
    finally:
        assert hub.gateway is not None
        hub.gateway.terminate()
        assert hub.gateway.wait(30) == 0


# --- jobs --------------------------------------------------------------------------------------------


@both_lines
def test_a_snapshot_is_served_and_collected(hub: Deployment, gateway: Gateway) -> None:
    """From her notebook's folder into a volume, from there into a replica's /models, and away."""
    notebook = hub.notebook("alice")
    notebook.write("model/weights.txt", "42")
    notebook.write("secret.txt", "not this")
    wish = SnapshotOptions(
        **gateway.job(),
        service_id=secrets.token_hex(16),
        revision=1,
        folder="/home/jovyan/model",
        image=None,
        exclude=(".git",),
        limit_bytes=1 << 20,
        limit_files=100,
    )
    kept = gateway.start(wish)
    assert kept["error"] is None, kept
    assert kept["result"]["files"] == 1
    gateway.remove(wish)
    options = gateway.options(
        storage=ReplicaStorage("snapshot", wish.volume),
        spec={"command": ["python3", "-c", ECHO], "cwd": "/models", "stop_grace": 2.0},
    )
    state = gateway.start(options)
    assert state["error"] is None, state
    eventually(lambda: answers(tuple(state["address"])), "the model answers", 30)
    served = httpx.get(f"http://{state['address'][0]}:8000/weights.txt", timeout=10)
    assert served.text == "42"
    (container,) = replicas(hub, replica=options.replica)
    assert [(m["Destination"], m["RW"]) for m in container.attrs["Mounts"]] == [("/models", False)]
    stranger = gateway.options("bob", storage=ReplicaStorage("snapshot", wish.volume))
    assert "not there any more" in error_of(gateway, stranger)["message"]
    gateway.remove(options)
    collect = CollectOptions(**gateway.job(), keep=())
    assert gateway.start(collect)["result"]["removed"] == [wish.volume]
    gateway.remove(collect)


@both_lines
def test_a_job_that_fails_says_why(hub: Deployment, gateway: Gateway) -> None:
    hub.notebook("alice")
    wish = SnapshotOptions(
        **gateway.job(),
        service_id=secrets.token_hex(16),
        revision=1,
        folder="/home/jovyan/nothing-here",
        image=None,
        exclude=(),
        limit_bytes=1 << 20,
        limit_files=100,
    )
    error = error_of(gateway, wish)
    assert "/home/jovyan/nothing-here" in error["message"]
    gateway.remove(wish)
