"""``kill -9`` of the gateway at any instant: the next one adopts what lives, and neither orphans nor doubles."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.ports import ReplicaRecord, StartRequest
from jupyter_model_service.testing import FakeReplica, StartScript

from .stage import FOLDER, NAME, OWNER, Stage, play


def test_replicas_are_adopted_and_not_restarted() -> None:
    """Same ids, same processes, calls again within a moment; the endpoint is there before anything else."""

    async def scene(stage: Stage) -> None:
        before = await stage.ready(3)
        pids = {r.id: r.state.model_pid for r in before}
        id, requests = stage.view.id, len(stage.world.requests)
        await stage.kill()
        await asyncio.sleep(5)
        await stage.reopen()
        assert stage.endpoint.wanted, "callers can be held"
        assert await stage.until(lambda: len(stage.takes_calls()) == 3) < 0.3
        assert {r.id: r.pid for r in stage.view.replica_list} == pids
        assert len(await stage.told("replica.adopted")) == 3
        await asyncio.sleep(100)
        assert (stage.view.state, stage.view.id, stage.view.stable_revision) == ("ready", id, 1)
        assert stage.there() == before
        assert len(stage.world.requests) == requests

    play(scene)


def test_no_event_id_is_used_twice_even_when_the_newest_events_are_deleted() -> None:
    """A reader who asks for what came after the last id it saw misses nothing of the next life."""

    async def scene(stage: Stage) -> None:
        await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name="other", replicas=0)
        await stage.ready()
        last = (await stage.told())[-1].id
        await stage.engine.delete(OWNER, NAME)
        await stage.until(lambda: len(stage.engine.services()) == 1)
        await asyncio.sleep(1)
        assert max(event.id for event in stage.disk.events) < last
        await stage.kill()
        await stage.reopen()
        await stage.engine.scale(OWNER, "other", 1)
        later = await stage.engine.events(OWNER, None, after=last)
        assert [event.kind for _, event in later][:1] == ["service.scaled"]

    play(scene)


# One start takes: record written (1 turn), launcher spawns at 1 s and returns at 2 s, the record is written again,
# contact, loading at 3 s, ready at 4 s. Turns of the loop are counted where no time passes.
INSTANTS = [*[(0.0, turns) for turns in range(16)], (0.5, 0), (0.999, 0), (1.0, 0), (1.0, 2), (1.5, 0)]
INSTANTS += [(1.999, 0), *[(2.0, turns) for turns in range(16)], (2.5, 0), (3.0, 1), (3.5, 0), (4.0, 3), (4.5, 0)]


@pytest.mark.parametrize(("seconds", "turns"), INSTANTS)
def test_killed_at_any_instant_of_a_start(seconds: float, turns: int) -> None:
    async def scene(stage: Stage) -> None:
        def goes(replica: FakeReplica) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(1.0, replica.becomes, "loading")
            loop.call_later(2.0, replica.serves)

        stage.world.script = StartScript(2.0, spawned_after=1.0)
        stage.world.on_start = goes
        create = asyncio.ensure_future(stage.create(2))
        await asyncio.sleep(seconds)
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.kill()
        await asyncio.wait({create})
        for replica in stage.world:
            if not replica.started and replica.state.phase == "preparing":
                goes(replica)  # the process goes on without its gateway
        await asyncio.sleep(0.5)
        await stage.reopen()
        if not stage.engine.services():
            assert stage.disk.services == {}, "killed before it was written: as if it had never been asked for"
            return
        await stage.until(lambda: stage.view.state == "ready", 30)
        await stage.quiet()
        assert len(stage.there()) == 2
        assert {r.id for r in stage.there()} == set(stage.disk.replicas)
        if seconds >= 2.5:
            assert len(stage.world.requests) == 2, "what had been started was adopted"

    play(scene)


@pytest.mark.parametrize("turns", range(0, 24, 1))
def test_killed_at_any_instant_of_an_end(turns: int) -> None:
    async def scene(stage: Stage) -> None:
        for replica in await stage.ready(2):
            replica.stop_seconds = 0.5
        scale = asyncio.ensure_future(stage.engine.scale(OWNER, NAME, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns % 3 == 2:
            await asyncio.sleep(0.25)  # in the middle of launcher.stop()
        await stage.kill()
        await asyncio.wait({scale})
        await stage.reopen()
        want = stage.view.replicas.want
        await stage.until(lambda: stage.view.state == "ready" and len(stage.there()) == want, 30)
        await stage.quiet()
        assert {r.id for r in stage.there()} == set(stage.disk.replicas)

    play(scene)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.1, 2.05, 2.5, 3.2, 4.1, 5.0])
def test_killed_in_the_middle_of_an_update(seconds: float) -> None:
    """It goes on where it was, and ends with the new revision only."""

    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stage.world.script = StartScript(1.0, spawned_after=0.2)
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await asyncio.sleep(seconds)
        await stage.kill()
        for replica in stage.world:
            replica.serves()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready", 60)
        await stage.quiet()
        assert [r.request.revision.number for r in stage.there()] == [2, 2]
        assert stage.view.stable_revision == 2

    play(scene)


def test_killed_in_the_middle_of_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        before = {r.id for r in await stage.ready(2)}
        await asyncio.sleep(1)
        stage.world.script = StartScript(1.0)
        await stage.engine.restart(OWNER, NAME)
        await asyncio.sleep(1.1)
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: not before & {r.id for r in stage.there()}, 30)
        await stage.quiet()
        ids = {r.id for r in stage.there()}
        await asyncio.sleep(60)
        assert {r.id for r in stage.there()} == ids, "it ends"
        assert (stage.view.state, len(ids)) == ("ready", 2)

    play(scene)


def test_strays_are_ended_and_records_without_a_world_are_dropped() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        known = stage.disk.replicas[replica.id]
        await stage.kill()
        stage.world.spawn(StartRequest("stray-000001", OWNER, "x", replica.request.revision, "s" * 64))
        lost = ReplicaRecord("chat-lost01", known.service_id, 1, "s" * 64, known.placement, 0.0)
        never = ReplicaRecord("chat-never1", known.service_id, 1, "s" * 64, None, 0.0)
        foreign = ReplicaRecord("chat-gone01", "no such service", 1, "s" * 64, None, 0.0)
        stage.disk.replicas |= {r.id: r for r in (lost, never, foreign)}
        await stage.reopen()
        await stage.until(lambda: set(stage.world.replicas) == {replica.id} == set(stage.disk.replicas), 5)
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.there() == [replica], "the one that was known serves on"

    play(scene)


def test_what_died_meanwhile_is_replaced_and_its_reason_collected() -> None:
    """The runner keeps the end until somebody asks; a runner that is gone cannot."""

    async def scene(stage: Stage) -> None:
        one, two, three = await stage.ready(3)
        await stage.kill()
        one.exits(1, tail=("MemoryError",))
        two.dies()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready" and len(stage.there()) == 3, 30)
        assert three in stage.there()
        assert one.collected
        (failed,) = await stage.told("replica.failed")
        assert "exited with code 1 while loading: MemoryError" in failed.message

    play(scene)


def test_a_busy_replica_is_adopted_and_not_given_up() -> None:
    """Ready for an hour, and just now it answers nothing for half a minute: its grace is over, its patience is not."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await asyncio.sleep(3600)
        await stage.kill()
        replica.hangs = True
        await stage.reopen()
        await asyncio.sleep(30)
        assert stage.there() == [replica]
        replica.hangs = False
        await stage.until(lambda: stage.takes_calls() == {replica.id}, 20)

    play(scene)


def test_a_failed_service_stays_failed() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda r: r.exits(1)
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        reason, requests = stage.view.reason, len(stage.world.requests)
        await stage.kill()
        await stage.reopen()
        await asyncio.sleep(100)
        assert (stage.view.state, stage.view.reason, len(stage.world.requests)) == ("failed", reason, requests)

    play(scene)


def test_a_world_that_cannot_be_seen_starts_nothing() -> None:
    """To start replicas without knowing what lives would double them."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await stage.kill()
        stage.world.find_error = LaunchError("the directory cannot be read")
        with pytest.raises(LaunchError, match=r"cannot be looked for, so none is started.*cannot be read"):
            await stage.reopen()
        await stage.engine.stop(end_replicas=False)
        assert stage.there() == [replica]
        stage.world.find_error = None
        await stage.reopen()
        await stage.until(lambda: stage.takes_calls() == {replica.id})

    play(scene)


def test_event_ids_go_on_where_they_ended() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await asyncio.sleep(1)
        last = (await stage.told())[-1].id
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        ids = [e.id for e in await stage.told()]
        assert ids == sorted(set(ids))
        assert ids[-1] > last

    play(scene)


def test_a_gateway_that_ends_politely_leaves_the_replicas_running() -> None:
    async def scene(stage: Stage) -> None:
        before = await stage.ready(2)
        await stage.engine.stop(end_replicas=False)
        stage.world.kill_gateway()
        stage.store = stage.store.reopened()
        assert stage.there() == before
        assert all(r.stops == [] for r in before)
        await stage.reopen()
        await stage.until(lambda: len(stage.takes_calls()) == 2)
        assert stage.there() == before

    play(scene)


def test_a_gateway_that_takes_its_replicas_along() -> None:
    """Open calls get two seconds, obstinate replicas force; services stay known and come up the next time."""

    async def scene(stage: Stage) -> None:
        busy, obstinate, _ = await stage.ready(3)
        stage.backend(busy.id).in_flight = 1
        obstinate.ignores_stop = True
        began = stage.clock.monotonic()
        await stage.engine.stop(end_replicas=True)
        assert stage.clock.monotonic() - began < 8
        assert stage.world.replicas == {}
        assert stage.disk.replicas == {}
        assert (stage.endpoint.wanted, stage.endpoint.unavailable) == (False, "The gateway is ending.")
        stage.store = stage.store.reopened()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.view.replicas.ready == 3

    play(scene)


def test_the_end_is_bounded_even_when_nothing_obeys() -> None:
    async def scene(stage: Stage) -> None:
        for replica in await stage.ready(2):
            replica.ignores_stop = True
            replica.stop_seconds = 1000.0
        began = stage.clock.monotonic()
        await stage.engine.stop(end_replicas=True)
        assert stage.clock.monotonic() - began < 25
        for replica in stage.there():
            replica.stop_seconds = 0.0
        stage.store = stage.store.reopened()
        stage.world.kill_gateway()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)
