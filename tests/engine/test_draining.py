"""Replicas that leave with open calls: they are waited for as long as they live, and no longer."""

from __future__ import annotations

import asyncio

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.testing import FakeReplica

from .stage import NAME, OWNER, Stage, definition, play

PATIENT = definition(drain_timeout=3600)


async def leaves_with_a_call(stage: Stage) -> tuple[FakeReplica, Backend, list[str]]:
    """One of two, scaled away with an open stream; what was broken off of it."""
    await stage.ready(2)
    victim, other = stage.there()
    backend = stage.backend(victim.id)
    backend.in_flight = 1
    stage.backend(other.id).in_flight = 2
    broken: list[str] = []
    backend.on_lost = lambda: broken.append(backend.replica)
    await stage.engine.scale(OWNER, NAME, 1)
    await stage.until(lambda: stage.shown(victim.id).phase == "draining", 1)
    return victim, backend, broken


def test_one_that_hangs_while_it_drains_is_not_waited_for_until_the_limit() -> None:
    """Interval 10 s, three probes of 15 s; the limit of the drain is an hour."""

    async def scene(stage: Stage) -> None:
        victim, backend, broken = await leaves_with_a_call(stage)
        victim.hangs = True
        assert 40 < await stage.until(lambda: broken, 100) < 80
        assert (backend.serving, backend.lost) == (False, True)
        assert backend not in stage.endpoint.backends
        await stage.until(lambda: victim.id not in stage.world.replicas, 60)
        (failed,) = await stage.told("replica.failed")
        assert failed.replica == victim.id
        assert (
            "failed its health check 3 times in a row while it drained, its open call is broken off: GET /health: no answer in 15 s"
        ) in failed.message
        await asyncio.sleep(100)
        assert (len(stage.there()), stage.view.restarts, stage.view.state) == (1, 0, "ready"), "it is not replaced"
        assert broken == [victim.id]

    play(scene, Stage(PATIENT))


def test_failures_before_the_drain_count_too() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        (victim,) = stage.there()
        stage.backend(victim.id).in_flight = 1
        victim.status = 500
        await stage.until(lambda: not stage.takes_calls(), 11)
        await asyncio.sleep(11)  # two failures
        await stage.engine.scale(OWNER, NAME, 0)
        await stage.until(lambda: victim.id not in stage.world.replicas, 12)
        assert "status 500, expected 200" in (await stage.told("replica.failed"))[0].message

    play(scene, Stage(PATIENT))


def test_one_that_answers_its_open_call_is_busy_and_drains_on() -> None:
    async def scene(stage: Stage) -> None:
        victim, backend, broken = await leaves_with_a_call(stage)
        victim.hangs = True
        for _ in range(600):
            backend.answered_at = stage.clock.monotonic()
            await asyncio.sleep(0.5)
        assert (broken, stage.shown(victim.id).phase) == ([], "draining")
        backend.in_flight = 0
        assert backend.on_idle is not None
        backend.on_idle()
        await stage.until(lambda: victim.id not in stage.world.replicas, 1)
        assert await stage.told("replica.failed") == []

    play(scene, Stage(PATIENT))


def test_one_that_is_well_drains_until_its_limit_and_its_reason_stays() -> None:
    """Its checks fail and pass again meanwhile: people still read why it leaves."""

    async def scene(stage: Stage) -> None:
        victim, _, _ = await leaves_with_a_call(stage)
        for status in (500, 200, 500, 200):
            victim.status = status
            await asyncio.sleep(11)
            assert (stage.shown(victim.id).phase, stage.shown(victim.id).reason) == ("draining", "scaled to 1")
        took = await stage.until(lambda: victim.id not in stage.world.replicas)
        assert 55 < took < 57
        assert await stage.told("replica.failed") == []
        asked = len(stage.probe.asked)
        await asyncio.sleep(100)
        others = {a for a, _ in stage.probe.asked[asked:]}
        assert victim.placement.address not in others, "nobody asks what is gone"

    play(scene, Stage(definition(drain_timeout=100)))


def test_one_whose_runner_is_gone_while_it_drains_is_ended_at_once_and_the_event_says_so() -> None:
    async def scene(stage: Stage) -> None:
        victim, backend, broken = await leaves_with_a_call(stage)
        victim.dies()
        await stage.until(lambda: broken, 0.05)
        await stage.until(lambda: backend.lost and not backend.doubtful, 0.1)
        await stage.until(lambda: victim.id not in stage.world.replicas, 1)
        (failed,) = await stage.told("replica.failed")
        assert "its runner is gone without a report, as after SIGKILL (while it drained)" in failed.message
        await asyncio.sleep(20)
        assert stage.view.restarts == 0

    play(scene, Stage(PATIENT))


def test_one_whose_runner_is_silent_for_a_moment_while_it_drains_finishes_its_calls() -> None:
    async def scene(stage: Stage) -> None:
        victim, backend, broken = await leaves_with_a_call(stage)
        victim.falls_silent()
        await asyncio.sleep(2.5)
        assert (backend.lost, backend.doubtful, stage.shown(victim.id).phase) == (True, True, "draining")
        victim.speaks()
        await asyncio.sleep(60)
        assert (backend.lost, stage.shown(victim.id).phase, len(broken)) == (False, "draining", 1)
        backend.in_flight = 0
        assert backend.on_idle is not None
        backend.on_idle()
        await stage.until(lambda: victim.id not in stage.world.replicas, 1)
        assert victim.stops, "it was asked to end"
        assert await stage.told("replica.failed") == []

    play(scene, Stage(PATIENT))


def test_one_that_is_silent_when_its_drain_is_over_is_ended_as_any_other() -> None:
    """Its drain may take a second, its silence three."""

    async def scene(stage: Stage) -> None:
        victim, backend, _ = await leaves_with_a_call(stage)
        victim.falls_silent()
        took = await stage.until(lambda: backend.lost and not backend.doubtful)
        assert took < 1.1
        await stage.until(lambda: victim.id not in stage.world.replicas, 1)
        assert await stage.told("replica.failed") == []
        assert "its open call was cut after 1 s" in (await stage.told("replica.stopping"))[0].message

    play(scene, Stage(definition(drain_timeout=1)))


def test_an_old_replica_that_hangs_while_it_drains_is_no_failure_of_the_update() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        (old,) = stage.there()
        stage.backend(old.id).in_flight = 1
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await stage.until(lambda: stage.shown(old.id).phase == "draining", 10)
        old.hangs = True
        await stage.until(lambda: old.id not in stage.world.replicas, 100)
        assert (stage.view.state, stage.view.stable_revision, stage.view.reason) == ("ready", 2, None)

    play(scene, Stage(PATIENT))


def front_of(stage: Stage, victim: FakeReplica, backend: Backend) -> list[tuple[str, bool]]:
    """Ends calls when it is told to, as the front does; when that was, and whether the replica still lived."""
    told: list[tuple[str, bool]] = []

    def drained() -> None:
        told.append((stage.shown(victim.id).phase, victim.id in stage.world.replicas))
        backend.in_flight = 0
        if backend.on_idle is not None:
            backend.on_idle()

    backend.on_drained = drained
    return told


def test_calls_that_outlast_the_limit_are_ended_by_the_front_before_the_replica_is() -> None:
    """4 s for calls, ten for the server to end."""

    async def scene(stage: Stage) -> None:
        victim, backend, _ = await leaves_with_a_call(stage)
        backend.in_flight = 3
        told = front_of(stage, victim, backend)
        assert 3.9 < await stage.until(lambda: told, 5) < 4.1
        assert told == [("draining", True)]
        await stage.until(lambda: victim.id not in stage.world.replicas, 11)
        (event,) = await stage.told("replica.stopping")
        assert event.message == f"replica {victim.id} is stopping: scaled to 1; its 3 open calls were cut after 4 s"
        assert await stage.told("replica.failed") == []
        assert len(told) == 1

    play(scene, Stage(definition(drain_timeout=4, stop_timeout=10)))


def test_calls_that_end_in_time_are_not_cut() -> None:
    async def scene(stage: Stage) -> None:
        victim, backend, _ = await leaves_with_a_call(stage)
        told = front_of(stage, victim, backend)
        await asyncio.sleep(2)
        backend.in_flight = 0
        assert backend.on_idle is not None
        backend.on_idle()
        await stage.until(lambda: victim.id not in stage.world.replicas, 2)
        assert told == []
        (event,) = await stage.told("replica.stopping")
        assert event.message == f"replica {victim.id} is stopping: scaled to 1"

    play(scene, Stage(definition(drain_timeout=4)))


def test_one_that_dies_while_it_drains_is_not_said_to_have_been_drained() -> None:
    """Its calls end with its connections: they were not cut, and the event does not say so."""

    async def scene(stage: Stage) -> None:
        victim, backend, _ = await leaves_with_a_call(stage)
        told = front_of(stage, victim, backend)
        await asyncio.sleep(1)
        victim.exits(signal="SIGKILL")
        await stage.until(lambda: victim.id not in stage.world.replicas, 5)
        assert told == []
        assert all("cut" not in event.message for event in await stage.told("replica."))

    play(scene, Stage(PATIENT))


def test_an_update_cuts_what_outlasts_the_limit_on_its_old_replicas() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        (old,) = stage.there()
        backend = stage.backend(old.id)
        backend.in_flight = 1
        told = front_of(stage, old, backend)
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await stage.until(lambda: stage.shown(old.id).phase == "draining", 10)
        assert 3.9 < await stage.until(lambda: told, 5) < 4.1
        await stage.until(lambda: old.id not in stage.world.replicas, 11)
        assert "its open call was cut after 4 s" in (await stage.told("replica.stopping"))[0].message
        assert stage.view.state == "ready"

    play(scene, Stage(definition(drain_timeout=4)))


def test_who_is_deleted_has_its_calls_cut_sooner() -> None:
    """``drain_timeout`` is an hour; whoever deletes a service does not wait for that."""

    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        (victim,) = stage.there()
        backend = stage.backend(victim.id)
        backend.in_flight = 1
        phase = [stage.shown(victim.id).phase]

        def drained() -> None:
            phase.append("cut")
            backend.in_flight = 0

        backend.on_drained = drained
        await stage.engine.delete(OWNER, NAME)
        await stage.until(lambda: victim.id not in stage.world.replicas, 60)
        assert phase[-1] == "cut"

    play(scene, Stage(PATIENT))
