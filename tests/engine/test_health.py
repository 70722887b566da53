"""Replicas that were ready and are not well any more."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from jupyter_model_service.core.definition import HealthCheck
from jupyter_model_service.core.reports import GpuSample
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.ports import ProbeResult
from jupyter_model_service.testing import FakeReplica, StartScript

from .stage import NAME, OWNER, Stage, definition, play


def test_a_replica_that_dies_is_replaced_at_once_and_the_event_names_the_signal() -> None:
    async def scene(stage: Stage) -> None:
        victim, *others = await stage.ready(3)
        stage.world.script = StartScript(0.1)
        victim.exits(signal="SIGKILL", oom=True)
        await stage.until(lambda: victim.id not in stage.takes_calls(), 0.05)
        assert {r.id for r in others} == stage.takes_calls()
        assert stage.view.state == "degraded"
        assert await stage.until(lambda: len(stage.takes_calls()) == 3) < 0.3
        (failed,) = await stage.told("replica.failed")
        assert "killed by SIGKILL (out of memory) after it had been ready" in failed.message
        assert (failed.replica, failed.details["oom"]) == (victim.id, True)
        assert (stage.view.restarts, stage.view.state) == (1, "ready")
        assert stage.meter.restarts == {("ann", "chat"): 1}
        assert {r.id for r in others} < {r.id for r in stage.there()}

    play(scene)


def test_only_replacements_of_what_had_run_are_restarts_and_they_are_remembered() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.scripts.extend([StartScript(error=LaunchError("no process", stage="spawn"))] * 3)
        (replica,) = await stage.ready()
        assert (stage.view.restarts, stage.meter.restarts) == (0, {}), "three launches that never ran"
        replica.exits(1)
        await stage.until(lambda: stage.view.restarts == 1 and stage.view.state == "ready")
        await asyncio.sleep(1)
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.view.restarts == 1

    play(scene)


def test_the_last_one_is_replaced_too() -> None:
    async def scene(stage: Stage) -> None:
        (victim,) = await stage.ready()
        stage.world.script = StartScript(0.1)
        victim.exits(139)
        await stage.until(lambda: not stage.takes_calls(), 0.05)
        assert stage.endpoint.wanted, "callers are held meanwhile"
        assert "exited with code 139" in (stage.view.reason or "")
        await stage.until(lambda: stage.view.state == "ready", 0.5)

    play(scene)


def test_replicas_killed_together_are_all_replaced_at_once() -> None:
    """One after the other within a second is one misfortune and not a crash loop."""

    async def scene(stage: Stage) -> None:
        victims = await stage.ready(3)
        for victim in victims:
            victim.exits(signal="SIGKILL")
            await asyncio.sleep(0.02)
        await stage.until(lambda: len(stage.takes_calls()) == 3, 1.5)
        assert not {r.id for r in stage.there()} & {r.id for r in victims}
        assert stage.view.restarts == 3

    play(scene)


def test_one_that_dies_again_and_again_backs_off_up_to_a_minute() -> None:
    async def scene(stage: Stage) -> None:
        starts: list[float] = []

        def dies_soon(replica: FakeReplica) -> None:
            starts.append(stage.clock.monotonic())
            replica.serves()
            asyncio.get_running_loop().call_later(1.0, replica.exits, 1)

        stage.world.on_start = dies_soon
        await stage.create()
        await stage.until(lambda: len(starts) >= 10)
        pauses = [round(b - a - 1) for a, b in itertools.pairwise(starts)]
        assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
        await asyncio.sleep(5)
        assert stage.view.state == "degraded", "it has proved that it can come up: it is tried for ever"
        stage.world.on_start = lambda replica: replica.serves()
        await stage.until(lambda: stage.view.state == "ready", 100)

    play(scene)


def test_a_killed_runner_is_noticed_and_replaced_at_once() -> None:
    async def scene(stage: Stage) -> None:
        victim, other = await stage.ready(2)
        backend = stage.backend(victim.id)
        told: list[bool] = []
        backend.on_lost = lambda: told.append(backend.doubtful)
        victim.dies()
        await stage.until(lambda: told, 0.05)
        assert (backend.serving, backend.lost) == (False, True)
        assert await stage.until(lambda: not backend.doubtful) < 0.3, "what it had begun to answer is broken off"
        assert await stage.until(lambda: stage.view.restarts == 1) < 0.3, "it need not be waited for"
        await stage.until(lambda: len(stage.takes_calls()) == 2)
        message = (await stage.told("replica.failed"))[0].message
        assert "its runner is gone" in message
        assert "SIGKILL" in message
        assert other.id in stage.takes_calls()
        assert told == [True, False], "each once"

    play(scene)


def test_a_silent_runner_takes_no_calls_and_comes_back_as_it_was() -> None:
    """Two seconds of silence: out at once, back at once, the same replica, and what it had begun to answer goes on."""

    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        backend = stage.backend(replica.id)
        told: list[bool] = []
        backend.on_lost = lambda: told.append(backend.doubtful)
        for again in (1, 2):
            replica.falls_silent()
            await stage.until(lambda: not backend.serving, 0.05)
            assert stage.shown(replica.id).phase == "unhealthy"
            assert "lost contact with its runner: nothing was heard for 3 s" in (stage.shown(replica.id).reason or "")
            await asyncio.sleep(2)
            assert (backend.lost, backend.doubtful, told) == (True, True, [True] * again)
            replica.speaks()
            await stage.until(lambda: replica.id in stage.takes_calls(), 0.6)
            assert (backend.lost, backend.doubtful) == (False, False)
        assert stage.backend(replica.id) is backend
        await asyncio.sleep(30)
        assert (stage.view.restarts, len(stage.there()), told) == (0, 2, [True, True])

    play(scene)


def test_a_runner_that_stays_silent_is_replaced_after_three_seconds() -> None:
    """Only then is broken off what it had begun to answer, and before another takes its place."""

    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        backend = stage.backend(replica.id)
        told: list[tuple[bool, int]] = []
        backend.on_lost = lambda: told.append((backend.doubtful, len(stage.there())))
        replica.falls_silent()
        await asyncio.sleep(2.9)
        assert told == [(True, 2)]
        took = await stage.until(lambda: stage.view.restarts == 1)
        assert took == pytest.approx(0.1, abs=0.1)
        assert told == [(True, 2), (False, 2)]
        assert backend.lost
        await stage.until(lambda: replica.id not in stage.world.replicas, 1)
        assert "lost contact with its runner for 3 s" in (await stage.told("replica.failed"))[0].message
        assert len(told) == 2

    play(scene)


def test_a_silent_one_that_is_to_go_is_waited_for_no_longer_than_any_other_silent_one() -> None:
    """It drains with open calls while it is doubtful; its drain may take an hour, its silence three seconds in all."""

    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        backend = stage.backend(replica.id)
        backend.in_flight = 1
        replica.falls_silent()
        await asyncio.sleep(1)
        await stage.engine.scale(OWNER, NAME, 1)
        await stage.until(lambda: stage.shown(replica.id).phase == "draining", 0.1)
        assert backend.doubtful, "it may finish its calls"
        assert await stage.until(lambda: not backend.doubtful) == pytest.approx(2, abs=0.2)
        assert backend.lost
        await stage.until(lambda: replica.id not in stage.world.replicas, 1)
        assert "lost contact with its runner for 3 s" in (await stage.told("replica.failed"))[0].message

    play(scene, Stage(definition(drain_timeout=3600)))


def test_a_runner_is_not_held_to_be_dead_while_the_gateway_has_no_descriptor_to_ask_it() -> None:
    """Its connection broke, and for a minute none can be opened: it lives, and goes on as it was."""

    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        replica.falls_silent("the connection broke")
        replica.cannot_be_asked()
        await asyncio.sleep(60)
        assert (stage.view.restarts, replica.id in stage.world.replicas) == (0, True)
        assert replica.id not in stage.takes_calls()
        replica.speaks()
        await stage.until(lambda: replica.id in stage.takes_calls(), 0.6)
        replica.falls_silent("the connection broke")
        replica.cannot_be_asked()
        await asyncio.sleep(60)
        replica.cannot_be_asked(ours=False)
        took = await stage.until(lambda: stage.view.restarts == 1)
        assert 2 < took < 4.1, "it has its three seconds from when it could be asked again"

    play(scene)


def test_a_launcher_that_cannot_tell_does_not_kill_a_silent_replica_early() -> None:
    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        stage.world.find_error = LaunchError("busy")
        replica.falls_silent()
        await asyncio.sleep(2.5)
        assert stage.view.restarts == 0
        replica.speaks()
        await stage.until(lambda: replica.id in stage.takes_calls(), 0.6)

    play(scene)


def test_a_hanging_replica_gets_no_new_calls_within_fifteen_seconds() -> None:
    """Interval 10 s, soft deadline 4 s; replaced after three failures of 15 s, the last one included."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.hangs = True
        assert await stage.until(lambda: replica.id not in stage.takes_calls()) <= 14.1
        backend = stage.backend(replica.id)
        assert (backend.serving, backend.suspect) == (True, True), "used when no other is left"
        assert stage.shown(replica.id).phase == "unhealthy"
        assert stage.view.state == "degraded"
        took = await stage.until(lambda: stage.view.restarts == 1)
        assert 40 < took < 80
        await stage.until(lambda: stage.view.state == "ready", 1)
        assert "failed its health check 3 times in a row: GET /health: no answer in 15 s" in (
            (await stage.told("replica.failed"))[0].message
        )

    play(scene)


def test_a_hanging_replica_that_recovers_takes_calls_again() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.hangs = True
        await stage.until(lambda: not stage.takes_calls())
        replica.hangs = False
        await stage.until(lambda: stage.takes_calls(), 25)
        await asyncio.sleep(100)
        assert stage.view.restarts == 0

    play(scene)


def test_a_replica_that_answers_calls_is_busy_and_not_dead() -> None:
    """Its health path times out for minutes while bytes of other calls flow: it stays as it is."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.hangs = True
        backend = stage.backend(replica.id)
        for _ in range(600):
            backend.answered_at = stage.clock.monotonic()
            await asyncio.sleep(0.5)
            assert backend.serving
            assert not backend.suspect
        assert stage.view.state == "ready"

    play(scene)


def test_wrong_answers_are_counted_and_a_pass_forgets_them() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        for _ in range(5):
            replica.status = 503
            await stage.until(lambda: not stage.takes_calls(), 11)
            await asyncio.sleep(11)  # the second failure
            replica.status = 200
            await stage.until(lambda: stage.takes_calls(), 11)
        assert stage.view.restarts == 0
        replica.status = 503
        await stage.until(lambda: stage.view.restarts == 1, 31)

    play(scene)


def test_a_refused_connection_leads_to_a_probe_at_once() -> None:
    """Not to hundreds of them, and hints alone do not replace a replica."""

    async def scene(stage: Stage) -> None:
        replica, _ = await stage.ready(2)
        backend = stage.backend(replica.id)
        await asyncio.sleep(1)
        replica.status = 500
        assert backend.on_refused is not None
        backend.on_refused()
        await stage.until(lambda: backend.suspect, 0.6)
        asked = len(stage.probe.asked)
        for _ in range(500):
            backend.on_refused()
            await asyncio.sleep(0.01)
        probes = [a for a, _ in stage.probe.asked[asked:] if a == replica.placement.address]
        assert 5 <= len(probes) <= 12
        assert stage.shown(replica.id).phase == "unhealthy"
        replica.status = 200
        backend.on_refused()
        await stage.until(lambda: not backend.suspect, 0.6)

    play(scene)


def test_somebody_elses_stop_is_a_failure_and_not_a_wish() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.becomes("stopping")
        await stage.until(lambda: stage.view.restarts == 1, 1)
        await stage.until(lambda: stage.view.state == "ready", 1)
        (failed,) = await stage.told("replica.failed")
        assert failed.message == (
            f"replica {replica.id} was stopped from outside, so another takes its place; to stop the service: "
            "jupyter model-service stop chat"
        )

    play(scene)


def test_the_settings_say_where_others_can_stop_a_replica() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.becomes("stopping")
        await stage.until(lambda: stage.view.restarts == 1, 1)
        assert "was stopped on the Hub's page, so another" in (await stage.told("replica.failed"))[0].message

    play(scene, Stage(settings=EngineSettings(strict=True, stopped_where="on the Hub's page")))


def test_what_the_launcher_knows_of_a_silent_end_is_the_reason() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.why = "its container ran out of memory"
        replica.dies()
        await stage.until(lambda: stage.view.restarts == 1, 1)
        (failed,) = await stage.told("replica.failed")
        assert failed.message == f"replica {replica.id} is gone: its container ran out of memory"

    play(scene)


def test_samples_are_shown() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        assert (stage.shown(replica.id).gpus, stage.shown(replica.id).rss) == (None, None)
        replica.samples([GpuSample("GPU-1", 97.0, 10, 20)], rss=1234)
        await asyncio.sleep(0.1)
        shown = stage.shown(replica.id)
        assert shown.gpus is not None
        assert (shown.gpus[0].uuid, shown.gpus[0].utilization, shown.rss) == ("GPU-1", 97.0, 1234)

    play(scene)


def test_a_short_interval_is_honoured() -> None:
    check = HealthCheck("/health", interval=0.2, max_retries=2, max_wait_time=0.2, initial_delay=5)

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.status = 500
        assert await stage.until(lambda: stage.view.restarts == 1) < 1

    play(scene, Stage(definition(health=check)))


def test_a_probe_that_could_not_ask_says_nothing_about_the_replica() -> None:
    """The gateway is out of descriptors for ten minutes: nobody is suspect, nobody is replaced, no count is lost."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        address = replica.placement.address
        stage.probe.script(address, ProbeResult(False, "too many open files", connected=False, ours=True))
        for _ in range(60):
            await asyncio.sleep(10)
            assert stage.takes_calls() == {replica.id}
        broken = ProbeResult(False, "status 500, expected 200")
        lack = ProbeResult(False, "too many open files", connected=False, ours=True)
        stage.probe.script(address, broken, lack, broken, lack, broken)
        await stage.until(lambda: replica.id not in stage.world.replicas, 60)
        (failed,) = await stage.told("replica.failed")
        assert "failed its health check 3 times in a row: GET /health: status 500, expected 200" in failed.message

    play(scene)


def test_a_replica_that_could_not_be_asked_while_it_loaded_gets_the_time_to_answer() -> None:
    async def scene(stage: Stage) -> None:
        def unasked(replica: FakeReplica) -> None:
            lack = ProbeResult(False, "too many open files", connected=False, ours=True)
            stage.probe.script(replica.placement.address, lack)
            replica.serves()

        stage.world.on_start = unasked
        await stage.create()
        await asyncio.sleep(300)  # its grace is 60 s
        (replica,) = stage.there()
        assert await stage.told("replica.failed") == []
        stage.probe.script(replica.placement.address)
        await stage.until(lambda: stage.takes_calls() == {replica.id}, 11)

    play(scene)


def test_a_replica_whose_probing_breaks_is_replaced_and_not_left_alone() -> None:
    async def scene(stage: Stage) -> None:
        (first,) = await stage.ready()
        sound = stage.probe.http

        async def broken(*_: object) -> ProbeResult:
            raise RuntimeError("a fault of ours")

        stage.probe.http = broken  # type: ignore[assignment]
        await stage.until(lambda: first.id not in stage.takes_calls(), 15)
        stage.probe.http = sound  # type: ignore[method-assign]
        await stage.until(lambda: len(stage.takes_calls()) == 1, 15)
        failed, *_ = await stage.told("replica.failed")
        assert "internal error" in failed.message

    play(scene)
