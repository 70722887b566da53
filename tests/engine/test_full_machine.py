"""Updates where every GPU is in use: one old replica makes room, if others serve meanwhile; else the way out is said."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.adapters.lease import TcpLeases
from jupyter_model_service.adapters.probe import HttpProbe
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.routing import RoutingTable
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.engine.views import ServiceView
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.testing import (
    CountingMeter,
    Disk,
    FakeDefinitions,
    FakeReplica,
    FakeStorage,
    MemoryStore,
    Shelf,
    StartScript,
)

from .stage import FOLDER, NAME, OWNER, Stage, definition, play

AGAIN = RevisionChange()


async def update_and_watch(stage: Stage, change: RevisionChange = AGAIN) -> list[int]:
    """How many took calls, each time that this changed, until the update was over."""
    await stage.engine.update(OWNER, NAME, change=change)
    counts = [len(stage.takes_calls())]

    def over() -> bool:
        if (count := len(stage.takes_calls())) != counts[-1]:
            counts.append(count)
        return stage.view.state != "updating"

    await stage.until(over, 600)
    return counts


def test_two_replicas_on_two_gpus_are_updated_one_by_one() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.ready(2)
        stage.world.places, stage.world.script = 2, StartScript(1.0)
        assert await update_and_watch(stage) == [2, 1, 2, 1, 2]
        assert (stage.view.stable_revision, stage.view.state, stage.view.note) == (2, "ready", None)
        assert not {r.id for r in old} & set(stage.world.replicas)
        draining = [e.message for e in await stage.told("replica.draining")]
        assert [m.partition(": ")[2] for m in draining] == ["makes room for a new replica"] * 2
        assert len(await stage.told("replica.failed")) == 1, "one start has found no place, and then it was known"

    play(scene)


def test_four_replicas_never_fall_below_three() -> None:
    """One leaves at a time, and the next only when the new one serves."""

    async def scene(stage: Stage) -> None:
        await stage.ready(4)
        stage.world.places, stage.world.script = 4, StartScript(1.0)
        assert min(await update_and_watch(stage)) == 3
        assert (stage.view.stable_revision, stage.view.state) == (2, "ready")

    play(scene)


def test_an_open_call_on_the_one_that_makes_room_is_finished_first() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stage.world.places = 2
        backends = [stage.backend(r.id) for r in stage.there()]
        for backend in backends:
            backend.in_flight = 1
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await asyncio.sleep(100)
        assert len(stage.takes_calls()) == 1
        assert len(stage.world.requests) == 3, "nothing is tried while the place is taken"
        for backend in backends:
            backend.in_flight = 0
            if backend.on_idle is not None:
                backend.on_idle()
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert stage.view.stable_revision == 2

    play(scene, Stage(definition(drain_timeout=3600)))


def test_a_single_replica_serves_on_and_the_way_out_is_said_at_once() -> None:
    async def scene(stage: Stage) -> None:
        (old,) = await stage.ready(1)
        stage.world.places = 1
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        assert await stage.until(lambda: stage.view.note, 1) < 0.5
        note = stage.view.note or ""
        assert note.startswith("revision 2 was taken back, revision 1 serves on: ")
        assert "1 GPU is needed, and none is free; to make room, scale another service down, or stop this one, " in note
        assert stage.takes_calls() == {old.id}
        await asyncio.sleep(120)
        assert (stage.view.state, len(stage.world.requests)) == ("ready", 2), "nothing more is tried"
        await stage.engine.stop_service(OWNER, NAME)
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert (stage.view.stable_revision, stage.view.note) == (3, None), "the way out leads out"

    play(scene)


def test_near_an_owners_limit_no_start_is_tried_that_must_be_refused() -> None:
    """Three of four at most: with the other service's one and its own two, one more has room, and no second."""

    async def scene(stage: Stage) -> None:
        await stage.engine.create(OWNER, change=gpus(0), name="other", replicas=1, public=False)
        await stage.ready(2)
        stage.world.limit, stage.world.script = 3, StartScript(1.0)
        stage.world.places = 3  # as the Hub would say
        assert await update_and_watch(stage) == [1, 2, 1, 2]
        assert (stage.view.stable_revision, stage.view.note) == (2, None)
        assert await stage.told("replica.failed") == []
        stage.world.limit = stage.world.places = 4
        assert min(await update_and_watch(stage)) == 2, "with room for one more nobody leaves before it serves"
        assert await stage.told("replica.failed") == []

    play(scene)


def test_a_single_replica_at_its_owners_limit_serves_on_after_one_attempt() -> None:
    """Of which the launcher says why; the answer to the update comes before, and those that follow see it taken back."""

    async def scene(stage: Stage) -> None:
        (old,) = await stage.ready(1)
        stage.world.limit = stage.world.places = 1
        assert (await stage.engine.update(OWNER, NAME, change=AGAIN)).revision == 2
        assert await stage.until(lambda: stage.view.note, 1) < 0.5
        assert (stage.view.note or "").startswith("revision 2 was taken back, revision 1 serves on: 1 GPU is needed")
        assert (stage.takes_calls(), len(stage.world.requests)) == ({old.id}, 2)

    play(scene)


@pytest.mark.parametrize("again", ["update", "restart"])
def test_a_limit_that_the_gateway_alone_holds_is_kept_by_what_replaces_a_single_replica(again: str) -> None:
    """The launcher would start it; it is not asked, except for one that comes instead of one that failed."""

    async def scene(stage: Stage) -> None:
        (old,) = await stage.ready(1)
        stage.world.limit, stage.world.limit_of_ours = 1, True
        if again == "update":
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        else:
            await stage.engine.restart(OWNER, NAME)
        assert await stage.until(lambda: stage.view.note, 1) < 0.5
        note = stage.view.note or ""
        assert "ann may run 1 at most; to make room, scale another service down, or stop this one" in note
        assert (stage.takes_calls(), len(stage.world.requests)) == ({old.id}, 1), "nothing was started"
        stage.world.limit = 0
        old.exits(1)
        await stage.until(lambda: stage.view.state == "ready" and stage.takes_calls() != {old.id}, 60)
        assert len(stage.world.requests) == 2, "what runs is not taken away by the limit"

    play(scene)


def test_two_replicas_at_a_limit_that_the_gateway_alone_holds_are_replaced_one_by_one() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stage.world.limit, stage.world.limit_of_ours, stage.world.script = 2, True, StartScript(1.0)
        assert await update_and_watch(stage) == [1, 2, 1, 2]
        assert (stage.view.stable_revision, stage.view.note) == (2, None)
        assert await stage.told("replica.failed") == []

    play(scene)


def test_a_replica_of_another_service_that_is_to_be_replaced_keeps_its_place() -> None:
    """It died, and its next attempt is seconds away: an update does not take its place meanwhile."""

    async def scene(stage: Stage) -> None:
        await stage.engine.create(OWNER, change=gpus(0), name="other", replicas=1, public=False)
        await stage.until(lambda: stage.engine.service(OWNER, "other").state == "ready")
        await stage.ready(2)
        stage.world.limit = 3

        def comes_up(replica: FakeReplica) -> None:
            replica.serves()
            if replica.request.service == "other":
                replica.exits(1)

        stage.world.on_start = comes_up
        stage.world.of(OWNER, "other")[0].exits(1)
        await asyncio.sleep(10)
        assert stage.world.of(OWNER, "other") == [], "its next attempt is seconds away"
        assert min(await update_and_watch(stage)) == 1

    play(scene)


def test_a_new_revision_that_crashes_after_room_was_made_for_it_gives_the_room_back() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stage.world.places = 2

        def comes_up(replica: FakeReplica) -> None:
            if replica.request.revision.number == 1:
                replica.serves()
            else:
                replica.becomes("loading")
                replica.exits(1, tail=("boom",))

        stage.world.on_start = comes_up
        assert min(await update_and_watch(stage)) == 1
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert "boom" in (stage.view.note or "")
        assert {r.request.revision.number for r in stage.there()} == {1}
        assert len(stage.takes_calls()) == 2

    play(scene)


def test_room_that_somebody_else_took_meanwhile_ends_the_update_and_leaves_half_serving() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stage.world.places = 2
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.until(lambda: len(stage.there()) == 1, 10)
        stage.world.places = 1
        await stage.until(lambda: stage.view.note, 60)
        assert stage.view.revision == 1
        assert len(stage.takes_calls()) == 1
        stage.world.places = 2
        await stage.until(lambda: stage.view.state == "ready", 70)

    play(scene)


def test_restarting_on_a_full_machine_goes_one_by_one_too() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.ready(2)
        stage.world.places = 2
        await stage.engine.restart(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert not {r.id for r in old} & set(stage.world.replicas)
        await stage.engine.scale(OWNER, NAME, 1)
        await stage.until(lambda: len(stage.there()) == 1, 10)
        stage.world.places = 1
        await stage.engine.restart(OWNER, NAME)
        await stage.until(lambda: stage.view.note, 1)
        assert "the restart was taken back, the former replicas serve on: " in (stage.view.note or "")
        assert "or stop this one and start it again" in (stage.view.note or "")

    play(scene)


def gpus(count: int) -> RevisionChange:
    return RevisionChange(folder=FOLDER, gpus=count)


def test_a_service_that_waits_for_a_gpu_is_not_given_up() -> None:
    """An hour without room: it is no crash loop. It is tried at least once a minute, its history is not flooded, and it
    starts when there is room."""

    async def scene(stage: Stage) -> None:
        stage.world.places = 0
        await stage.create()
        await asyncio.sleep(20)
        assert stage.view.state == "starting"
        assert (stage.view.reason or "").startswith(
            "waits for a GPU: 1 GPU is needed, and none is free; next attempt in "
        )
        await asyncio.sleep(3600)
        assert (stage.view.state, stage.view.note) == ("starting", None)
        assert 60 < len(stage.world.requests) < 70
        assert len(await stage.told()) <= 5
        assert stage.view.replica_list == []
        stage.world.places = 1
        assert await stage.until(lambda: stage.view.state == "ready") <= 60.5
        assert (stage.view.restarts, stage.view.reason) == (0, None), "launches that never ran are no restarts"

    play(scene)


def test_a_gpu_that_another_service_gives_back_is_taken_at_once() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.places = 1
        await stage.engine.create(OWNER, change=gpus(1), name="first", replicas=1, public=False)
        await stage.until(lambda: stage.engine.service(OWNER, "first").state == "ready")
        await stage.engine.create(OWNER, change=gpus(1), name=NAME, replicas=1, public=False)
        await asyncio.sleep(200)
        assert stage.view.state == "starting"
        tried = len(stage.world.requests)
        await stage.until(lambda: len(stage.world.requests) > tried)  # the next attempt is a minute away
        await asyncio.sleep(1)
        await stage.engine.stop_service(OWNER, "first")
        assert await stage.until(lambda: stage.view.state == "ready") < 2

    play(scene)


def test_a_replica_that_lost_its_gpu_to_somebody_else_leaves_the_service_degraded() -> None:
    """One of two dies, and its GPU is taken before its replacement has it: the other one serves on for as long as that
    lasts, whatever the definition says about failures."""

    async def scene(stage: Stage) -> None:
        first, _ = await stage.ready(2)
        stage.world.places = 1
        first.exits(1)
        await stage.until(lambda: len(stage.takes_calls()) == 1)
        await asyncio.sleep(900)
        assert stage.view.state == "degraded"
        assert (stage.view.reason or "").startswith("waits for a GPU: 1 GPU is needed, and none is free")
        assert len(stage.takes_calls()) == 1
        stage.world.places = 2
        await stage.until(lambda: stage.view.state == "ready", 61)
        assert stage.view.restarts == 1, "one replica that had run was replaced"

    play(scene)


def test_a_scale_up_without_room_is_a_start_that_waits() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        stage.world.places = 1
        await stage.engine.scale(OWNER, NAME, 2)
        await asyncio.sleep(300)
        assert (stage.view.state, len(stage.takes_calls())) == ("starting", 1)
        await stage.engine.scale(OWNER, NAME, 1)
        assert stage.view.state == "ready"

    play(scene)


SERVER = """
import os, socket, sys, time
with open(f"gpu-{os.getpid()}", "w") as file:
    file.write(os.environ["CUDA_VISIBLE_DEVICES"])
server = socket.create_server((sys.argv[2], int(sys.argv[1])))
while True:
    time.sleep(60)
"""


def test_real_processes_on_two_gpus_change_places_one_by_one(tmp_path: Path) -> None:
    """Two replicas, two GPUs by their given names, a real launcher: the new ones get the GPUs of the old ones."""
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    command = (sys.executable, "/models/server.py", "8000", "0.0.0.0")
    served = Definition("chat", "/models", 8000, command)
    launcher = LocalLauncher(tmp_path / "replicas", gpus=lambda: ["0", "1"])
    clock = SystemClock()
    engine = Engine(
        store=MemoryStore(Disk()),
        launcher=launcher,
        leases=TcpLeases(),
        probe=HttpProbe(),
        definitions=FakeDefinitions({str(folder): served}),
        clock=clock,
        meter=CountingMeter(),
        routing=RoutingTable(),
        storage=FakeStorage(Shelf(live="the folder is used as it is")),
        endpoint_url=lambda owner, name: f"http://127.0.0.1:1/{owner}/{name}/",
        settings=EngineSettings(strict=True),
    )

    async def state(wanted: Callable[[ServiceView], bool]) -> ServiceView:
        deadline = clock.monotonic() + 60
        while not wanted(view := engine.service(OWNER, NAME)):
            assert clock.monotonic() < deadline, view
            await asyncio.sleep(0.02)
        return view

    def gpus_of(view: ServiceView) -> list[str]:
        return sorted((folder / f"gpu-{r.pid}").read_text() for r in view.replica_list if r.phase == "ready")

    async def body() -> None:
        await engine.start()
        try:
            change = RevisionChange(folder=str(folder), gpus=1)
            await engine.create(OWNER, change=change, name=NAME, replicas=2)
            first = await state(lambda view: view.state == "ready")
            assert gpus_of(first) == ["0", "1"]
            await engine.update(OWNER, NAME, change=RevisionChange(environment={"VERSION": "2"}))
            second = await state(lambda view: view.state == "ready" and view.stable_revision == 2)
            assert gpus_of(second) == ["0", "1"]
            assert not {r.pid for r in first.replica_list} & {r.pid for r in second.replica_list if r.phase == "ready"}
            reasons = {
                e.message.partition(": ")[2] for _, e in await engine.events(OWNER, NAME) if "draining" in e.kind
            }
            assert reasons == {"makes room for a new replica"}
            assert [e for _, e in await engine.events(OWNER, NAME) if e.kind == "replica.failed"] == []
            refused = r"^2 replicas with 2 GPUs each are asked for, and this machine has 2\.$"
            with pytest.raises(InvalidRequest, match=refused):
                await engine.update(OWNER, NAME, change=RevisionChange(gpus=2))
            await engine.scale(OWNER, NAME, 1)
            await state(lambda view: len(view.replica_list) == 1)
            await engine.update(OWNER, NAME, change=RevisionChange(gpus=2))
            third = await state(lambda view: view.note is not None and view.state == "ready")
            assert "2 GPUs are needed, and " in (third.note or "")
            assert "to make room, scale another service down" in (third.note or "")
            assert third.revision == 2
        finally:
            await engine.stop(end_replicas=True)
        assert list(await launcher.find()) == []
        assert list(engine.faults) == []

    asyncio.run(body())
