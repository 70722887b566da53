"""Replicas as servers of a Hub: what the contract suite does not ask. The Hub is a fake one, its replicas are real."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import hub_servers, launch_hub
from jupyter_model_service.adapters.hub_api import HubApi, HubServer
from jupyter_model_service.adapters.hub_servers import HubServers
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.lease import TcpLeases
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.effective import Override
from jupyter_model_service.core.hub_options import KEY, ReplicaOptions, ReplicaStorage, VolumeMount
from jupyter_model_service.core.names import owner_from
from jupyter_model_service.core.policy import Held, Host, Policy, VolumeRule
from jupyter_model_service.core.reports import LeaseEvent, LeaseOpened, LeaseState
from jupyter_model_service.core.revision import Kept, Mount, Resources, Revision
from jupyter_model_service.errors import HubRefused, HubUnavailable, InvalidRequest, LaunchError, NotFound
from jupyter_model_service.ports import Seen, StartRequest
from jupyter_model_service.testing import LoopClock, run_in_virtual_time
from jupyter_model_service.testing.hub import FakeHub, HubParts, Server, hub_parts

SERVE = ("python3", "-c", "import time; time.sleep(600)", "{port}")
DEFINITION = Definition(name="m", model_path="/models", port=8000, start_command=SERVE)
REVISION = Revision(3, "/home/jovyan/m", DEFINITION, 0.0)
SECRET, SERVICE_ID = "5e" * 32, "0" * 32
A, B = "chat-00000a", "chat-00000b"

Body = Callable[[HubParts], Coroutine[Any, Any, None]]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["bob", "ann"], interrupt=0.02) as hub:
        yield hub


@pytest.fixture
def play(hub: FakeHub, tmp_path: Path) -> Callable[..., None]:
    def play(body: Body, **options: Any) -> None:
        asyncio.run(body(hub_parts(hub, tmp_path, **options)))

    return play


Play = Callable[..., None]


def ask(replica: str = A, owner: str = "ann", revision: Revision = REVISION, **more: Any) -> StartRequest:
    return StartRequest(replica, owner, "chat", revision, SECRET, SERVICE_ID, **more)


def container_of(hub: FakeHub, replica: str) -> str:
    return next(id for id, c in hub.engine.containers.items() if c.options.replica == replica)


async def seen(parts: HubParts) -> dict[str, Seen]:
    return {one.replica: one for one in await parts.launcher.find()}


# --- what is asked of the Hub ------------------------------------------------------------------------


def test_all_of_a_revision_is_sealed_and_only_a_summary_can_be_read(hub: FakeHub, play: Play) -> None:
    revision = replace(
        REVISION,
        image="registry.example/nb:7",
        environment=(("KEY", "a secret value"),),
        mounts=(Mount("llamas", "/weights", read_only=True),),
        resources=Resources(cpus=1.5, memory=1 << 30, gpus=2),
        kept=Kept("copy", "ms-000000000000-r3"),
    )

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask(revision=revision))
        server = hub.server("ann", f"ms-{A}")
        assert server is not None
        assert server.options[KEY]["summary"] == {
            "service": "ann/chat", "revision": 3, "image": "registry.example/nb:7", "gpus": 2,
        }  # fmt: skip
        assert SECRET not in str(server.options)
        assert "a secret value" not in str(server.options)
        (sent,) = hub.engine.started
        assert isinstance(sent, ReplicaOptions)
        assert (sent.user, sent.server, sent.owner, sent.service, sent.service_id) == (
            "ann", f"ms-{A}", "ann", "chat", SERVICE_ID,
        )  # fmt: skip
        assert (sent.secret, sent.revision, sent.port, sent.cpus, sent.memory, sent.gpus) == (
            SECRET, 3, 8000, 1.5, 1 << 30, 2,
        )  # fmt: skip
        assert sent.storage == ReplicaStorage("snapshot", "ms-000000000000-r3")
        assert sent.mounts == (VolumeMount("llamas", "/weights", True),)
        assert sent.spec["command"] == [*SERVE[:-1], "8000"]
        assert sent.spec["environment"]["KEY"] == "a secret value"
        assert placement.handle == {
            "user": "ann", "server": f"ms-{A}", "container": container_of(hub, A),
            "gpus": [f"GPU-{A}-0", f"GPU-{A}-1"],
        }  # fmt: skip
        assert placement.address == (placement.control[0], 8000)
        await parts.launcher.stop(A, placement)

    play(body)


def test_which_gpus_a_replica_holds_is_known_from_its_start_and_after_a_restart(hub: FakeHub, play: Play) -> None:
    two = replace(REVISION, resources=Resources(gpus=2))

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask(revision=two))
        await parts.launcher.start(ask(B))
        assert parts.launcher.gpus_of(A) == (f"GPU-{A}-0", f"GPU-{A}-1")
        assert list(parts.launcher.gpus_of(B)) == list(parts.launcher.gpus_of("chat-00000c")) == []

        async def restarted(fresh: HubParts) -> None:
            assert list(fresh.launcher.gpus_of(A)) == []
            await fresh.launcher.find()
            assert fresh.launcher.gpus_of(A) == (f"GPU-{A}-0", f"GPU-{A}-1")

        await restarted(hub_parts(hub, Path(parts_folder)))
        await parts.launcher.stop(A, placement)
        assert list(parts.launcher.gpus_of(A)) == []

    with tempfile.TemporaryDirectory() as parts_folder:
        play(body)


def test_a_volume_is_mounted_as_it_is(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        kept = await parts.storage.keep(SERVICE_ID, 1, "volume:llama-70b", lambda files, size: None, owner="ann")
        assert (kept.kind, kept.path) == ("live", "llama-70b")
        await parts.launcher.start(ask(revision=replace(REVISION, kept=kept)))
        (sent,) = hub.engine.started
        assert isinstance(sent, ReplicaOptions)
        assert sent.storage == ReplicaStorage("volume", "llama-70b")

    play(body)


@pytest.mark.parametrize("name", ["ann@example.org", "앤 리", "Ann/Lee"])
def test_any_user_of_the_hub_can_be_an_owner(hub: FakeHub, play: Play, name: str) -> None:
    """What stands in URLs is not the Hub's name of the user; there and back."""
    hub.add_user(name)
    owner = owner_from(name)
    assert owner != name

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask(owner=owner))
        assert placement.handle["user"] == name
        assert hub.server(name, f"ms-{A}") is not None
        assert (await seen(parts))[A].placement == placement
        await parts.launcher.stop(A, placement)
        assert hub.servers() == {}

    play(body)


def test_nobodys_services_are_started_for_nobody(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        with pytest.raises(NotFound, match="no user"):
            await parts.launcher.start(ask(owner="zoe"))
        assert hub.servers() == {}

    play(body)


def test_replicas_of_many_users_beyond_a_page_are_all_found(hub: FakeHub, play: Play) -> None:
    for number in range(230):
        hub.add_user(f"u{number:03}")

    async def body(parts: HubParts) -> None:
        one = await parts.launcher.start(ask(A, "ann"))
        two = await parts.launcher.start(ask(B, "u229"))
        assert await seen(parts) == {A: Seen(A, one, True), B: Seen(B, two, True)}

    play(body)


# --- failures ----------------------------------------------------------------------------------------


def test_the_hubs_side_says_why_it_could_not_be_started(hub: FakeHub, play: Play) -> None:
    hub.engine.script.error = ("image", "The image x has no python3.")

    async def body(parts: HubParts) -> None:
        with pytest.raises(LaunchError, match=r"^The image x has no python3\.$") as caught:
            await parts.launcher.start(ask())
        assert caught.value.stage == "image"
        assert hub.servers() == {}

    play(body)


@pytest.mark.parametrize(
    ("status", "said"), [(400, "status 400, as the test says"), (403, "status 403"), (500, "status 500, as the test")]
)
def test_what_the_hub_says_against_it_is_the_reason(hub: FakeHub, play: Play, status: int, said: str) -> None:
    hub.fail(status, method="POST")

    async def body(parts: HubParts) -> None:
        with pytest.raises(LaunchError, match=said) as caught:
            await parts.launcher.start(ask())
        assert caught.value.stage == "hub"
        assert hub.servers() == {}

    play(body)


def test_a_server_of_the_users_own_with_our_name_is_left_alone(hub: FakeHub, play: Play) -> None:
    """She can call a server as she likes. It is neither taken for a replica nor ended as a stray."""
    own = Server(f"ms-{A}", ready=True, options={KEY: {"v": 1, "summary": {}, "sealed": "x"}})
    hub.users["ann"].servers[own.name] = own

    async def body(parts: HubParts) -> None:
        assert await seen(parts) == {}
        with pytest.raises(LaunchError, match="remove it on the Hub's page"):
            await parts.launcher.start(ask())

    play(body)


def test_options_for_another_server_make_none_of_ours(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.launcher.start(ask())
        theirs = hub.server("ann", f"ms-{A}")
        assert theirs is not None
        hub.users["bob"].servers[f"ms-{B}"] = Server(f"ms-{B}", options=dict(theirs.options))
        assert set(await seen(parts)) == {A}

    play(body)


def test_a_lost_answer_is_looked_after(hub: FakeHub, play: Play) -> None:
    """The Hub did what was asked, and the connection broke: it is not asked twice, and nothing is lost."""
    hub.fail(0, method="POST", late=True)

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        assert await seen(parts) == {A: Seen(A, placement, True)}
        assert len(hub.engine.started) == 1

    play(body)


def test_a_question_that_was_lost_is_asked_again(hub: FakeHub, play: Play) -> None:
    hub.fail(0, method="POST")

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        assert await seen(parts) == {A: Seen(A, placement, True)}

    play(body)


def test_too_many_starts_wait_their_turn(tmp_path: Path) -> None:
    with FakeHub(users=["ann"], spawn_limit=1) as hub:
        hub.engine.script.seconds = 0.1

        async def body() -> None:
            parts = hub_parts(hub, tmp_path)
            one, two = await asyncio.gather(parts.launcher.start(ask(A)), parts.launcher.start(ask(B)))
            assert await seen(parts) == {A: Seen(A, one, True), B: Seen(B, two, True)}

        asyncio.run(body())


def test_no_free_gpu_is_told_at_once_and_nothing_is_left(hub: FakeHub, play: Play) -> None:
    """By the stage, the engine knows that it is no failure: it waits, or makes room."""

    async def body(parts: HubParts) -> None:
        hub.engine.script.error = ("gpus", "no GPU free: 2 in use by bob/chat")
        with pytest.raises(LaunchError, match="no GPU free: 2 in use by bob/chat") as caught:
            await parts.launcher.start(ask())
        assert caught.value.stage == "gpus"
        assert hub.servers() == {}
        hub.engine.script.error = None
        placement = await parts.launcher.start(ask())
        assert await seen(parts) == {A: Seen(A, placement, True)}

    play(body)


# --- a look that takes its time ----------------------------------------------------------------------


def held_up(parts: HubParts, name: str) -> tuple[asyncio.Event, asyncio.Event]:
    """The Hub's next answer about ``name`` is held back: when it was given, and what lets it go."""
    ask_hub, given, go = parts.api.user, asyncio.Event(), asyncio.Event()

    async def slow(user: str, **more: Any) -> Any:
        found = await ask_hub(user, **more)
        if user == name and not given.is_set():
            given.set()
            await go.wait()
        return found

    parts.api.user = slow  # type: ignore[method-assign]
    return given, go


def test_what_starts_while_a_look_is_under_way_is_not_forgotten(hub: FakeHub, play: Play) -> None:
    """Else it would be reported to no idle culler, and be taken for gone."""
    two = replace(REVISION, resources=Resources(gpus=2))

    async def body(parts: HubParts) -> None:
        await parts.launcher.start(ask(A, "ann"))
        await seen(parts)
        given, go = held_up(parts, "ann")
        looking = asyncio.ensure_future(parts.launcher.find())
        await given.wait()
        placement = await parts.launcher.start(ask(B, "bob", two))
        go.set()
        await looking
        assert parts.launcher.gpus_of(B) == (f"GPU-{B}-0", f"GPU-{B}-1")
        await parts.launcher.report_once()
        assert set(hub.activity) == {("ann", f"ms-{A}"), ("bob", f"ms-{B}")}
        assert (await seen(parts))[B] == Seen(B, placement, True)

    play(body)


def test_what_ends_while_a_look_is_under_way_does_not_come_back(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.launcher.start(ask(A, "ann"))
        placement = await parts.launcher.start(ask(B, "bob"))
        await seen(parts)
        given, go = held_up(parts, "bob")
        looking = asyncio.ensure_future(parts.launcher.find())
        await given.wait()
        await parts.launcher.stop(B, placement)
        go.set()
        await looking
        hub.calls.clear()
        assert set(await seen(parts)) == {A}
        assert "bob" not in str(hub.calls), "nothing of his is known any more"

    play(body)


# --- a Hub that is down ------------------------------------------------------------------------------


def test_a_hub_that_is_down_is_not_an_empty_world(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        await asyncio.to_thread(hub.down)
        parts.api._calls._patience = 0.1
        with pytest.raises(HubUnavailable):
            await parts.launcher.find()
        with pytest.raises(HubUnavailable):
            await parts.launcher.stop(A, placement)
        await asyncio.to_thread(hub.up)
        assert await seen(parts) == {A: Seen(A, placement, True)}
        await parts.launcher.stop(A, placement)
        assert await seen(parts) == {}

    play(body)


def test_a_start_outlasts_a_restart_of_the_hub(hub: FakeHub, play: Play) -> None:
    hub.engine.script.seconds = 0.5

    async def body(parts: HubParts) -> None:
        starting = asyncio.ensure_future(parts.launcher.start(ask()))
        while not hub.engine.started:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(hub.down)  # what it was doing goes with it
        await asyncio.sleep(0.2)
        assert not starting.done()
        await asyncio.to_thread(hub.up)
        placement = await starting
        assert await seen(parts) == {A: Seen(A, placement, True)}
        assert len(hub.engine.containers) == 1

    play(body)


def test_a_start_waits_for_a_hub_that_is_not_there_yet(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.users.look()
        await asyncio.to_thread(hub.down)
        starting = asyncio.ensure_future(parts.launcher.start(ask()))
        await asyncio.sleep(0.3)
        assert not starting.done()
        await asyncio.to_thread(hub.up)
        assert (await starting).handle["user"] == "ann"

    play(body)


# --- ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("oom", "why"),
    [(False, "its container ended with exit code 137"), (True, "its container ran out of memory (exit code 137)")],
)
def test_a_killed_container_is_known_before_the_hub_polls_and_with_its_reason(
    hub: FakeHub, play: Play, oom: bool, why: str
) -> None:
    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask(A))
        other = await parts.launcher.start(ask(B))
        await seen(parts)
        await asyncio.to_thread(hub.do, hub.engine.kill(container_of(hub, A), oom=oom))
        server = hub.server("ann", f"ms-{A}")
        assert server is not None
        assert server.ready, "the Hub polls every 5 s only"
        assert await seen(parts) == {A: Seen(A, None, False, why), B: Seen(B, other, True)}
        assert await seen(parts) == {A: Seen(A, None, False, why), B: Seen(B, other, True)}
        await parts.launcher.stop(A, placement)
        assert set(hub.servers()) == {f"ms-{B}"}
        assert len(hub.engine.containers) == 1

    play(body)


def test_what_a_person_stopped_on_the_hubs_page_is_not_alive_and_can_be_cleared(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        events: asyncio.Queue[LeaseEvent] = asyncio.Queue()
        lease = TcpLeases().open(A, placement.control, SECRET, events.put_nowait)
        assert isinstance(await asyncio.wait_for(events.get(), 20), LeaseOpened)
        await asyncio.to_thread(hub.stop_as_a_person, "ann", f"ms-{A}")
        phases = []
        while "stopping" not in phases:
            event = await asyncio.wait_for(events.get(), 20)
            phases += [event.state.phase] if isinstance(event, LeaseState) else []
        await lease.close()
        assert await seen(parts) == {A: Seen(A, None, False)}
        await parts.launcher.stop(A, placement)
        assert hub.servers() == {}

    play(body)


def test_a_record_that_the_hub_does_not_remove_holds_nothing_up_and_is_tried_again(
    hub: FakeHub, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica has ended, and the Hub missed it: it refuses to remove the record for as long as it runs."""
    monkeypatch.setattr(hub_servers, "RECORD_SECONDS", 2.0)
    monkeypatch.setattr(hub_servers, "LEFT_EVERY", 0.05)

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        await asyncio.to_thread(hub.miss_the_end, "ann", f"ms-{A}")
        assert await seen(parts) == {A: Seen(A, None, False, "its container ended with exit code 137")}
        left = await parts.launcher.stop(A, placement)
        assert left is not None
        assert left.startswith("nothing of it runs, but the Hub does not remove its record: ")
        assert "500" in left
        assert list(hub.servers()) == [f"ms-{A}"]
        await parts.launcher.start(ask(B))
        trying = asyncio.ensure_future(parts.servers.remove_left())
        await asyncio.sleep(0.2)
        assert len(hub.servers()) == 2
        hub.servers()[f"ms-{A}"].unheard = False  # the Hub has been restarted, say
        while f"ms-{A}" in hub.servers():
            await asyncio.sleep(0.02)
        trying.cancel()
        assert (await seen(parts))[B].alive

    play(body)


def test_a_hub_that_refuses_is_not_asked_twice_a_second() -> None:
    """Each refusal is an error with its traceback in the Hub's log."""

    class Refusing(HubApi):
        asked = 0

        async def stop_server(
            self, user: str, name: str, *, remove: bool = True, patience: float | None = None
        ) -> bool:
            self.asked += 1
            raise HubRefused("status 500", hub_status=500)

        async def server(self, user: str, name: str, *, patience: float | None = None) -> HubServer | None:
            return HubServer(user, name, ready=True, pending=None, stopped=False, state={}, user_options={})

    async def body() -> None:
        api = Refusing("http://127.0.0.1:1", "token")
        with pytest.raises(LaunchError, match="within 50 s: status 500"):
            await HubServers(api, Sealer(new_key()), LoopClock()).end("ann", f"ms-{A}")
        assert 10 < api.asked < 25
        await api.close()

    run_in_virtual_time(body())


def test_what_may_still_run_is_not_taken_for_a_mere_record(
    hub: FakeHub, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub refuses, and nobody says that the container has ended: it is tried for as long as it takes."""
    monkeypatch.setattr(hub_servers, "RECORD_SECONDS", 0.2)
    monkeypatch.setattr(hub_servers, "END_SECONDS", 1.0)

    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        hub.fail(500, method="DELETE", times=1000)
        with pytest.raises(LaunchError, match=r"did not end the server .* within 1 s: .* status 500"):
            await parts.launcher.stop(A, placement)
        assert (await seen(parts))[A].alive
        hub.faults.clear()
        assert await parts.launcher.stop(A, placement) is None
        assert hub.servers() == {}

    play(body)


def test_a_start_that_failed_is_told_though_the_hub_keeps_its_record(
    hub: FakeHub, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is cleaned up after, nothing is started in its place."""
    monkeypatch.setattr(launch_hub, "CLEAN_SECONDS", 1.0)
    hub.engine.script.error = ("engine", "The Docker engine does not answer.")
    hub.fail(500, method="DELETE", times=1000)

    async def body(parts: HubParts) -> None:
        began = time.monotonic()
        with pytest.raises(LaunchError, match="The Docker engine does not answer"):
            await parts.launcher.start(ask())
        assert time.monotonic() - began < 8
        hub.faults.clear()
        assert await parts.launcher.stop(A, None) is None
        assert hub.servers() == {}

    play(body)


def test_a_slow_stop_is_waited_for(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        placement = await parts.launcher.start(ask())
        server = hub.server("ann", f"ms-{A}")
        assert server is not None
        server.pending = "stop"  # it was asked for elsewhere
        stopping = asyncio.ensure_future(parts.launcher.stop(A, placement))
        await asyncio.sleep(0.3)
        assert not stopping.done()
        server.pending = None
        await stopping
        assert hub.servers() == {}
        assert hub.engine.containers == {}

    play(body)


@pytest.mark.parametrize("moment", ["before", "while", "slow"])
def test_a_cancelled_start_leaves_nothing_whenever_it_is_cancelled(tmp_path: Path, moment: str) -> None:
    with FakeHub(users=["ann"], interrupt=0.02, slow_spawn=0.05 if moment == "slow" else 10.0) as hub:
        hub.engine.script.seconds = 30.0

        async def body() -> None:
            parts = hub_parts(hub, tmp_path)
            starting = asyncio.ensure_future(parts.launcher.start(ask()))
            while moment != "before" and not hub.engine.started:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.2 if moment == "slow" else 0.0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert hub.servers() == {}
            assert hub.engine.containers == {}
            assert await seen(parts) == {}

        asyncio.run(body())


def test_a_start_that_is_cancelled_on_its_way_to_the_hub_leaves_nothing(hub: FakeHub, play: Play) -> None:
    """The Hub hears of it only after our look at what is there."""
    hub.lag = 0.3

    async def body(parts: HubParts) -> None:
        starting = asyncio.ensure_future(parts.launcher.start(ask()))
        while not any(method == "POST" for _, method, _ in hub.calls):
            await asyncio.sleep(0.005)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await asyncio.sleep(0.5)
        assert hub.servers() == {}

    play(body)


KILLED = """
import asyncio
from pathlib import Path
from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_api import HubApi
from jupyter_model_service.adapters.hub_policies import HubPolicies
from jupyter_model_service.adapters.hub_servers import HubServers
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.adapters.launch_hub import HubLauncher
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import StartRequest

async def body():
    clock, api = SystemClock(), HubApi({url!r}, {token!r})
    users = HubUsers(api, clock, Path({folder!r}) / "users.json")
    launcher = HubLauncher(api, HubServers(api, Sealer({key!r}), clock), users, HubPolicies(Policy(), users), clock)
    definition = Definition(name="m", model_path="/models", port=8000, start_command=("sleep", "600"))
    await launcher.start(StartRequest({replica!r}, "ann", "chat", Revision(1, "/m", definition, 0.0), "5e" * 32, "0" * 32))
asyncio.run(body())
"""


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_gateway_killed_in_the_midst_of_a_start_leaves_what_the_next_one_finds(
    hub: FakeHub, tmp_path: Path, play: Play, seconds: float
) -> None:
    """At the instant when the Hub has heard of it: the next gateway finds it, starting or started, and can end it."""
    hub.engine.script.seconds = seconds
    text = KILLED.format(
        url=hub.url, token=hub.token, folder=str(tmp_path), key=hub.key, replica=A
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", text])

    async def body(parts: HubParts) -> None:
        while not hub.servers():
            await asyncio.sleep(0.001)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        found = (await seen(parts))[A]
        assert found.alive
        if seconds:
            assert found.placement is None
        await parts.launcher.stop(A, None)
        assert await seen(parts) == {}
        assert hub.servers() == {}
        assert hub.engine.containers == {}

    try:
        play(body)
    finally:
        process.kill()
        process.wait(10)


# --- activity and policy -----------------------------------------------------------------------------


def test_activity_is_reported_for_all_replicas_that_run_and_for_nothing_else(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.launcher.start(ask(A, "ann"))
        await parts.launcher.start(ask(B, "bob"))
        hub.users["ann"].servers["notebook"] = Server("notebook", ready=True)
        await asyncio.to_thread(hub.stop_as_a_person, "bob", f"ms-{B}")
        await parts.launcher.report_once()
        assert set(hub.activity) == {("ann", f"ms-{A}")}

    play(body)


def test_activity_is_reported_until_after_the_next_report(hub: FakeHub, play: Play) -> None:
    """Or a culler with a short limit finds replicas idle between two."""

    async def body(parts: HubParts) -> None:
        await parts.launcher.start(ask())
        began = time.time()
        await parts.launcher.report_once()
        until = datetime.fromisoformat(hub.activity["ann", f"ms-{A}"].replace("Z", "+00:00")).timestamp()
        assert until >= began + launch_hub.ACTIVITY_EVERY
        assert until <= time.time() + 3600, "more is refused by the Hub"

    play(body)


def test_all_users_are_looked_through_again_after_ten_minutes(hub: FakeHub, tmp_path: Path, play: Play) -> None:
    """What another gateway, killed since, has started for somebody of whom this one knows nothing."""
    (tmp_path / "other").mkdir()

    async def body(parts: HubParts) -> None:
        assert await seen(parts) == {}
        await hub_parts(hub, tmp_path / "other").launcher.start(ask(B, "bob"))
        assert await seen(parts) == {}
        assert parts.launcher._swept_at is not None
        parts.launcher._swept_at -= 601.0
        assert set(await seen(parts)) == {B}

    play(body)


def test_what_the_administrator_does_not_let_a_user_have_is_refused_before(hub: FakeHub, play: Play) -> None:
    hub.add_user("cyd", groups=["ds"])
    policy = Policy(
        allowed_images=("nb:*",), max_gpus_per_replica=1, model_volumes=(VolumeRule("llamas", groups=("ds",)),),
        allow_public=False, groups=("ds",),
    )  # fmt: skip

    async def body(parts: HubParts) -> None:
        await parts.users.look()
        check = parts.launcher.check
        assert list(check(replace(REVISION, image="nb:7"), owner="cyd")) == []
        for refused, said in (
            (replace(REVISION, image="other"), "The image other may not be used"),
            (replace(REVISION, resources=Resources(gpus=2)), "at most 1 GPU"),
            (replace(REVISION, mounts=(Mount("secrets", "/s"),)), "The volume secrets may not be mounted"),
            (replace(REVISION, mounts=(Mount("llamas", "/w"),)), "read-only, not writable"),
            (replace(REVISION, kept=Kept("live", "secrets")), "The volume secrets may not be mounted"),
            (replace(REVISION, mounts=(Mount("/etc", "/e"),)), "only named volumes"),
            (replace(REVISION, definition=replace(DEFINITION, start_command=None)), "add a start_command"),
        ):
            with pytest.raises(InvalidRequest, match=said):
                check(refused, owner="cyd")
        assert list(check(replace(REVISION, mounts=(Mount("llamas", "/w", read_only=True),)), owner="cyd")) == []
        with pytest.raises(InvalidRequest, match="Public services are not allowed"):
            check(REVISION, owner="cyd", public=True)
        with pytest.raises(InvalidRequest, match="ann may not serve models here"):
            check(REVISION, owner="ann")

    play(body, policy=policy)


def test_an_owner_newer_than_the_last_look_is_held_to_the_policy(hub: FakeHub, play: Play) -> None:
    """Whoever is not known at all may have nothing; who comes with a token of the Hub is known from then on."""

    async def body(parts: HubParts) -> None:
        await parts.users.look()
        hub.add_user("zoe")
        with pytest.raises(InvalidRequest, match=r"^The Hub has no user whose services would be zoe's\.$"):
            parts.launcher.check(REVISION, owner="zoe")
        assert (await parts.users.meet("zoe")).hers
        with pytest.raises(InvalidRequest, match=r"zoe may not serve models here: .* Public services are not allowed"):
            parts.launcher.check(REVISION, owner="zoe", public=True)
        assert list(parts.launcher.check(REVISION)) == [], "nobody's yet: only whether it can be done at all"

    play(body, policy=Policy(allow_public=False, users=("ann",)))


def test_what_the_other_services_of_an_owner_hold_counts(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.users.look()
        two, check = replace(REVISION, resources=Resources(gpus=2)), parts.launcher.check
        assert list(check(two, owner="ann", replicas=2, held=Held(1, 0))) == []
        with pytest.raises(InvalidRequest, match=r"4 replicas of ann, and 3 are the most that one user may run "):
            check(REVISION, owner="ann", replicas=2, held=Held(2, 0))
        with pytest.raises(InvalidRequest, match=r"^That would be 5 GPUs for the replicas of ann, and 4 are the most"):
            check(two, owner="ann", replicas=2, held=Held(1, 1))
        assert list(check(two, owner="ann", replicas=0, held=Held(9, 9))) == [], "what does not run takes nothing"
        with pytest.raises(InvalidRequest, match="The volume weights may not be mounted"):
            check(replace(REVISION, folder="volume:weights"), owner="ann")

    play(body, policy=Policy(max_replicas_per_user=3, max_gpus_per_user=4))


def test_more_than_the_hub_has_for_replicas_is_refused_with_what_there_is(hub: FakeHub, play: Play) -> None:
    """Whoever it is for, and with no replica wanted yet."""

    async def body(parts: HubParts) -> None:
        check = parts.launcher.check
        with pytest.raises(InvalidRequest, match=r"^1 GPU is asked for, and this hub has none for replicas\.$"):
            check(replace(REVISION, resources=Resources(gpus=1)), replicas=0)
        await parts.users.look()
        with pytest.raises(
            InvalidRequest,
            match=r"^64 CPUs are asked for, and this hub has 2 for replicas\. 1024 GiB of memory are asked for, "
            r"and this hub has 4 GiB for replicas\. A replica may have at most 8 GiB of memory, and 1024 GiB are",
        ):
            check(replace(REVISION, resources=Resources(cpus=64, memory=1 << 40)), owner="ann", replicas=0)
        assert list(check(replace(REVISION, resources=Resources(cpus=2, memory=4 << 30)), owner="ann")) == []
        with pytest.raises(
            InvalidRequest, match=r"at least 0\.01 CPUs, and 0\.009 are .* at least 6 MiB of memory, and"
        ):
            check(replace(REVISION, resources=Resources(cpus=0.009, memory=(6 << 20) - 1)), replicas=0)
        assert list(check(replace(REVISION, resources=Resources(cpus=0.01, memory=6 << 20)))) == []

    play(body, host=Host(gpus=0, cpus=2.0, memory=4 << 30), policy=Policy(max_memory=8 << 30))


def test_the_room_beside_what_a_user_has_is_told_from_memory(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        assert parts.launcher.room(REVISION, Held(2)) == 1

    play(body, policy=Policy(max_replicas_per_user=3))


def test_a_limit_that_an_administrator_set_while_the_gateway_runs_is_the_launchers_own_word(play: Play) -> None:
    """The Hub's process knows the rules alone, and says what it says by what it counts itself."""
    two = replace(REVISION, resources=Resources(gpus=2))

    async def body(parts: HubParts) -> None:
        await parts.users.look()
        assert parts.launcher.refusal(two, Held(9, 9), owner="ann") is None
        changes = {"max_replicas_per_user": 1, "max_gpus_per_user": 3}
        parts.policies.overrides = lambda user: Override(changes, "carol") if user == "ann" else None
        assert parts.launcher.refusal(REVISION, Held(0, 9), owner="ann") is None
        assert parts.launcher.refusal(REVISION, Held(1), owner="ann") == (
            "That would be 2 replicas of ann, and 1 is the most that one user may run (set by carol for ann)."
        )
        assert parts.launcher.refusal(two, Held(0, 2), owner="ann") == (
            "That would be 4 GPUs for the replicas of ann, and 3 are the most that one user may have "
            "(set by carol for ann)."
        )

    play(body, policy=Policy(max_replicas_per_user=3, max_gpus_per_user=4))


def test_who_asks_for_nothing_gets_no_more_than_an_administrator_left_her(hub: FakeHub, play: Play) -> None:
    """The Hub's side knows nothing of that, and would give her what a notebook has. What somebody asks for is sent as
    it is, and what holds for all is the Hub's side's own business."""

    async def body(parts: HubParts) -> None:
        await parts.users.look()
        taken = Override({"max_cpus": 1.5, "max_memory": 1 << 30}, "carol")
        parts.policies.overrides = lambda user: taken if user == "ann" else None
        await parts.launcher.start(ask())
        await parts.launcher.start(ask(B, owner="bob"))
        asked = replace(REVISION, resources=Resources(cpus=0.5))
        await parts.launcher.start(ask("chat-ccccc3", revision=asked))
        assert [(sent.cpus, sent.memory) for sent in hub.engine.started if isinstance(sent, ReplicaOptions)] == [
            (1.5, 1 << 30),
            (None, None),
            (0.5, 1 << 30),
        ]
        with pytest.raises(InvalidRequest, match=r"at most 1\.5 CPUs, and 2 are asked for \(set by carol for ann\)\."):
            parts.launcher.check(replace(REVISION, resources=Resources(cpus=2)), owner="ann")

    play(body, policy=Policy(max_cpus=4))
