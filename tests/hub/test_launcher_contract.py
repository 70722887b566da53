"""What every launcher must do, on a real Hub with DockerSpawner; and what only a real one can show.

The gateway is not there: the launcher of the test acts in its place, with its token and no other scopes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_api import HubApi
from jupyter_model_service.adapters.hub_policies import HubPolicies
from jupyter_model_service.adapters.hub_servers import HubServers
from jupyter_model_service.adapters.hub_storage import HubStorage
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.adapters.key_file import read_key
from jupyter_model_service.adapters.launch_hub import HubLauncher
from jupyter_model_service.adapters.lease import TcpLeases
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.hub_options import replica_of, server_name
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.core.reports import LeaseClosed, LeaseEvent, LeaseOpened, LeaseState
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.ports import Placement, Seen, StartRequest

from .deployment import HUB_LABEL, Deployment, Setup

LABEL = "org.jupyter.model-service.replica"
SECRET, SERVICE_ID = "5e" * 32, "0" * 32
OWNER, REPLICA = "alice", "chat-00000a"

contract = importlib.util.spec_from_file_location(
    "launcher_contract", Path(__file__).parents[1] / "contract" / "test_launcher.py"
)
assert contract is not None
assert contract.loader is not None
suite = importlib.util.module_from_spec(contract)
contract.loader.exec_module(suite)
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})

pytestmark = pytest.mark.parametrize(
    "hub",
    [Setup(managed=False), Setup(line=5, managed=False)],
    indirect=True,
    ids=str,
    scope="module",
)


class Broken(HubLauncher):
    """Of an image that nobody has."""

    async def start(self, request: StartRequest) -> Placement:
        return await super().start(replace(request, revision=replace(request.revision, image="localhost/none:0")))


class RealBench:
    has_images = True

    def __init__(self, hub: Deployment, path: Path) -> None:
        self.hub = hub
        self.path = path

    def parts(self, kind: type[HubLauncher] = HubLauncher) -> tuple[HubLauncher, HubStorage]:
        ours = self.hub.folder / "model-service"
        # No connection stays open, so that nothing need be closed.
        transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
        api = HubApi(self.hub.hub_api, (ours / "api-token").read_text().strip(), transport=transport)
        clock = SystemClock()
        servers = HubServers(api, Sealer(read_key(ours / "sealing.key")), clock)
        users = HubUsers(api, clock, self.path / "users.json")
        storage = HubStorage(servers, users, Policy(), self.path / "volumes.json")
        return kind(api, servers, users, HubPolicies(Policy(), users), clock), storage

    def launcher(self, *, broken: bool = False, slow: bool = False) -> HubLauncher:
        """Each start is slow enough here to be caught in its midst."""
        return self.parts(Broken if broken else HubLauncher)[0]

    def container(self, replica: str) -> Any:
        # Of this Hub: another on the same engine may run the same tests, with replicas of the same names.
        labels = [f"{LABEL}={replica}", f"{HUB_LABEL}={self.hub.hub_label()}"]
        found = self.hub.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return found[0] if found else None

    def traces(self, replica: str) -> bool:
        return server_name(replica) in self.hub.servers(OWNER) or self.container(replica) is not None


@pytest.fixture
def bench(hub: Deployment, tmp_path: Path) -> Iterator[RealBench]:
    bench = RealBench(hub, tmp_path)
    yield bench

    async def end_all() -> None:
        launcher = bench.launcher()
        for seen in await launcher.find():
            await launcher.stop(seen.replica, seen.placement)

    asyncio.run(end_all())
    assert [name for name in hub.servers(OWNER) if replica_of(name)] == []


@pytest.fixture
def ask() -> Callable[[str], StartRequest]:
    command = ("python3", "-m", "http.server", "8000")
    revision = Revision(1, "/home/jovyan/m", Definition("m", "/tmp", 8000, command), 0.0)
    return lambda replica: StartRequest(replica, OWNER, "chat", revision, SECRET, SERVICE_ID)


Ask = Callable[[str], StartRequest]


async def until(events: asyncio.Queue[LeaseEvent], phase: str) -> None:
    while True:
        event = await asyncio.wait_for(events.get(), 30)
        if isinstance(event, LeaseOpened | LeaseState) and event.state.phase == phase:
            return


def test_the_runner_in_the_container_takes_our_lease_and_runs_the_model(bench: RealBench, ask: Ask) -> None:
    async def body() -> None:
        placement = await bench.launcher().start(ask(REPLICA))
        events: asyncio.Queue[LeaseEvent] = asyncio.Queue()
        lease = TcpLeases().open(REPLICA, placement.control, SECRET, events.put_nowait)
        try:
            await until(events, "loading")
            async with httpx.AsyncClient(trust_env=False) as http:
                end = time.monotonic() + 30
                while True:
                    try:
                        answer = await http.get("http://{}:{}/".format(*placement.address))
                        break
                    except httpx.ConnectError:
                        assert time.monotonic() < end
                        await asyncio.sleep(0.05)
            assert answer.status_code == 200
        finally:
            await lease.close()

    asyncio.run(body())


def test_a_killed_container_is_seen_to_be_gone_with_its_reason_and_goes_wholly(bench: RealBench, ask: Ask) -> None:
    """At the latest when the Hub polls; the engine gives up a replica before that, which ends it here."""

    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(ask(REPLICA))
        events: asyncio.Queue[LeaseEvent] = asyncio.Queue()
        lease = TcpLeases().open(REPLICA, placement.control, SECRET, events.put_nowait)
        await until(events, "loading")
        await asyncio.to_thread(bench.container(REPLICA).kill)
        while not isinstance(await asyncio.wait_for(events.get(), 10), LeaseClosed):
            pass
        await lease.close()
        end = time.monotonic() + 30
        while (seen := (await launcher.find())[0]).alive:
            assert time.monotonic() < end
        assert seen == Seen(REPLICA, None, False, "its container ended (exit code 137)")
        await launcher.stop(REPLICA, placement)
        assert not bench.traces(REPLICA)

    asyncio.run(body())


def test_the_stop_button_of_the_hubs_page_is_heard_from_the_runner(bench: RealBench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(ask(REPLICA))
        events: asyncio.Queue[LeaseEvent] = asyncio.Queue()
        lease = TcpLeases().open(REPLICA, placement.control, SECRET, events.put_nowait)
        try:
            await until(events, "loading")
            await asyncio.to_thread(bench.hub.stop_server, OWNER, server_name(REPLICA))
            await until(events, "stopping")
        finally:
            await lease.close()
        assert [(one.replica, one.alive) for one in await launcher.find()] == [(REPLICA, False)]
        await launcher.stop(REPLICA, placement)
        assert not bench.traces(REPLICA)

    asyncio.run(body())


def test_activity_is_taken_for_what_runs(bench: RealBench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        await launcher.start(ask(REPLICA))
        before = bench.hub.servers(OWNER)[server_name(REPLICA)]["last_activity"]
        await asyncio.sleep(0.01)
        await launcher.report_once()
        assert bench.hub.servers(OWNER)[server_name(REPLICA)]["last_activity"] > (before or "")

    asyncio.run(body())


def test_the_reason_of_a_failed_start_is_the_hubs_sides_own(bench: RealBench, ask: Ask) -> None:
    async def body() -> None:
        with pytest.raises(LaunchError, match="localhost/none:0"):
            await bench.launcher(broken=True).start(ask(REPLICA))
        assert not bench.traces(REPLICA)

    asyncio.run(body())


def test_a_folder_is_kept_served_and_collected(bench: RealBench, ask: Ask) -> None:
    notebook = bench.hub.notebook(OWNER)
    notebook.write("m/index.html", "kept")
    home = notebook.exec("pwd").stdout.strip()

    async def body() -> None:
        launcher, storage = bench.parts()
        kept = await storage.keep(SERVICE_ID, 1, f"{home}/m", lambda files, size: None, owner=OWNER)
        assert (kept.kind, kept.files, kept.bytes) == ("copy", 1, 4)
        notebook.write("m/index.html", "changed")
        request = ask(REPLICA)
        served = replace(request.revision.definition, model_path="/models")
        revision = replace(request.revision, definition=served, kept=kept)
        placement = await launcher.start(replace(request, revision=revision))
        assert bench.container(REPLICA).exec_run(["cat", "/models/index.html"]).output == b"kept"
        await launcher.stop(REPLICA, placement)

        async def nothing() -> list[tuple[str, int]]:
            return []

        await storage.collect(nothing)
        assert not [v for v in bench.hub.engine.volumes.list() if v.name == kept.path]

    asyncio.run(body())


def test_a_hub_that_is_killed_and_started_again_has_lost_nothing(bench: RealBench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(ask(REPLICA))
        bench.hub.kill()
        bench.hub.start()
        assert list(await launcher.find()) == [Seen(REPLICA, placement, True)]
        await launcher.stop(REPLICA, placement)
        assert not bench.traces(REPLICA)

    asyncio.run(body())
