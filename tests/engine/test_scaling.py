"""The autoscaler at work: up with the calls, down after a while, to zero and back, never by what it does not know."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.reports import GpuSample
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.engine.state import Service
from jupyter_model_service.engine.views import AutoscalingView
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.ports import NOTHING_HELD, AskedQuery
from jupyter_model_service.testing import FakeLauncher, FakeReplica, StartScript

from .callers import Callers
from .stage import FOLDER, NAME, OWNER, Stage, definition, play

BY_CALLS = Autoscaling(1, 8, target_concurrency=4, down_delay=60.0)
TO_ZERO = Autoscaling(0, 4, target_concurrency=4, idle_after=60.0)


def by_rule(rule: Rule, least: int = 1, most: int = 8) -> Autoscaling:
    return Autoscaling(least, most, target=False, rules=(rule,))


async def autoscaled(stage: Stage, policy: Autoscaling, replicas: int = 1) -> Callers:
    await stage.ready(replicas)
    await stage.engine.autoscale(OWNER, NAME, policy)
    return Callers(stage)


def shown(stage: Stage) -> AutoscalingView:
    view = stage.view.autoscaling
    assert view is not None
    return view


def wanted(stage: Stage) -> int:
    return stage.engine._turns.find(OWNER, NAME).record.replicas  # views take a millisecond


async def asleep(stage: Stage, callers: Callers | None = None) -> Callers:
    callers = callers or await autoscaled(stage, TO_ZERO)
    await asyncio.sleep(60)
    await stage.until(lambda: stage.view.state == "idle", 600)
    await stage.until(lambda: not stage.there(), 60)
    return callers


def test_calls_before_the_first_look_at_a_service_are_in_its_pictures() -> None:
    """Whoever calls it as soon as it is ready comes before that, on a machine that is quick."""

    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        stage.engine._turns.find(OWNER, NAME).scaled.tick = None  # as of one that was made since the last tick
        callers = Callers(stage)
        for _ in range(5):
            callers.begin(0.1)
        await asyncio.sleep(6)
        told = stage.engine.series(OWNER, NAME)
        assert sum(each or 0.0 for each in told.values["calls_per_second"]) * told.step == pytest.approx(5)
        assert any(told.values["latency_p50"])

    play(scene)


# --- up and down ---------------------------------------------------------------------------------------


def test_calls_bring_replicas_and_their_absence_takes_them_away_after_a_while() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, BY_CALLS)
        await asyncio.sleep(70)
        assert wanted(stage) == 1, "without calls there is nothing to do"
        load = asyncio.ensure_future(callers.come(rate=12, seconds=120))
        assert await stage.until(lambda: wanted(stage) >= 3, 30) < 20
        await load
        most = wanted(stage)
        assert 3 <= most <= 5, "12 calls at once, 4 for each"
        assert stage.view.replicas.ready == most
        ended = stage.clock.monotonic()
        await stage.until(lambda: wanted(stage) < most, 600)
        assert stage.clock.monotonic() - ended > 50, "not before its delay"
        await stage.until(lambda: wanted(stage) == 1, 1200)
        up, *_, down = await stage.told("service.autoscaled")
        assert up.message.startswith("scaled from 1 to ")
        assert down.message.startswith("scaled from 2 to 1: ")
        assert up.details["before"] == 1
        assert up.details["wishes"][0]["source"] in ("target", "panic")
        assert "demand" in up.details["measured"]

    play(scene)


def test_a_steady_count_is_one_entry_in_the_explanation_and_changes_are_never_merged() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, BY_CALLS)
        began = stage.clock.now()
        await asyncio.sleep(120)
        quiet = stage.engine.decisions(OWNER, NAME)[-1]
        assert (quiet.before, quiet.count, quiet.changed) == (1, 1, False)
        assert quiet.at > stage.clock.now() - 3
        assert quiet.since < began + 70
        assert quiet.reason == shown(stage).last
        assert len(stage.engine.decisions(OWNER, NAME)) < 10
        await callers.come(rate=12, seconds=30)
        changed = [d for d in stage.engine.decisions(OWNER, NAME) if d.changed]
        assert changed
        assert next(d.before for d in changed) == 1
        assert changed[-1].count == wanted(stage)
        assert len(stage.engine.decisions(OWNER, NAME, 1)) == 1
        assert stage.engine.decisions(OWNER, NAME, 0) == []

    play(scene)


def test_the_last_hundred_decisions_are_kept() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        for number in range(130):
            least = 1 + number % 2
            await stage.engine.autoscale(OWNER, NAME, replace(BY_CALLS, min=least, max=least))
        decisions = stage.engine.decisions(OWNER, NAME, 1000)
        assert len(decisions) == 100
        assert (decisions[-1].before, decisions[-1].count) == (1, 2)

    play(scene)


def test_a_restart_of_the_gateway_in_a_burst_takes_nothing_away_before_a_whole_window() -> None:
    """The new gateway knows of no call: that is no reason to believe that there are none."""

    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, replace(BY_CALLS, down_delay=0.0))
        await callers.come(rate=16, seconds=60)
        before = wanted(stage)
        assert before >= 3
        for task in list(callers.tasks):
            task.cancel()
        await stage.kill()
        await stage.reopen()
        assert wanted(stage) == before
        began = stage.clock.monotonic()
        await stage.until(lambda: wanted(stage) < before, 600)
        assert stage.clock.monotonic() - began >= 60

    play(scene)


def test_a_rule_rests_over_a_restart_of_the_gateway() -> None:
    """Else each restart within its cooldown adds its step once more."""

    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        rule = Rule("r1", "gpu_util", above=80, step=1, cooldown=600, window=10)
        await stage.engine.autoscale(OWNER, NAME, by_rule(rule, most=8))
        began = stage.clock.monotonic()

        async def samples(seconds: float) -> None:
            for _ in range(int(seconds)):
                for replica in stage.there():
                    replica.samples(gpus=[gpu(90)])
                await asyncio.sleep(1)

        for _ in range(3):
            await samples(60)
            assert wanted(stage) == 2
            assert (await stage.told("service.autoscaled"))[-1].details["fired"] == ["r1"]
            await stage.kill()
            await stage.reopen()
        await samples(60)
        assert "rests for another" in shown(stage).last
        await samples(620 - (stage.clock.monotonic() - began))
        assert wanted(stage) == 3, "and it does not rest for longer than it would have"

    play(scene)


# --- measures ------------------------------------------------------------------------------------------


def gpu(utilization: float, used: int = 1) -> GpuSample:
    return GpuSample("GPU-1", utilization, used, 4)


def test_busy_gpus_bring_a_replica_and_idle_ones_take_it_away() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        rule = Rule("r1", "gpu_util", above=80, below=20, step=1, cooldown=30, window=10)
        await stage.engine.autoscale(OWNER, NAME, by_rule(rule, most=3))

        async def samples(seconds: int, *figures: float) -> None:
            for _ in range(seconds):
                for replica in stage.there():
                    replica.samples(gpus=[gpu(figure) for figure in figures])
                await asyncio.sleep(1)

        await samples(20, 90, 80)
        assert wanted(stage) == 2
        measured = stage.engine.decisions(OWNER, NAME)[-1].measured
        assert measured["rule r1: gpu_util"] == pytest.approx(85, abs=0.1), "the mean over the devices"
        await samples(120, 50, 60)
        assert wanted(stage) == 2, "between its thresholds"
        await samples(60, 10, 5)
        assert wanted(stage) == 1

    play(scene)


@pytest.mark.parametrize("silent", ["one has none", "they are old"])
def test_figures_that_are_not_known_hold_the_count(silent: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        rule = Rule("r1", "gpu_util", above=80, below=20, step=1, cooldown=10, window=10)
        await stage.engine.autoscale(OWNER, NAME, by_rule(rule))
        for second in range(180):
            first, second_one = stage.there()
            if silent == "one has none" or second < 5:
                first.samples(gpus=[gpu(1)])
            if silent != "one has none" and second < 5:
                second_one.samples(gpus=[gpu(1)])
            await asyncio.sleep(1)
        assert wanted(stage) == 2
        assert stage.engine.decisions(OWNER, NAME)[-1].measured["rule r1: gpu_util"] is None
        names = [replica.request.replica for replica in stage.there()]
        why = f"gpu_util is unknown: replica {names[1]} has told no figures yet"
        if silent == "they are old":
            why = f"gpu_util is unknown: the figures of replica {names[0]} are 17"
        assert why in (shown(stage).last or "")

    play(scene)


@pytest.mark.parametrize(
    ("metric", "told", "why"),
    [
        ("gpu_util", {}, "replica {} has told no figures yet"),
        ("gpu_util", {"rss": 1}, "replica {} was given no GPU, and sees none"),
        ("gpu_memory", {"gpus": []}, "replica {} sees no GPU, or only parts of one (MIG), which tell nothing"),
        ("gpu_memory", {"gpus": [GpuSample("GPU-1", 1.0, 0, 0)]}, "a GPU of replica {} does not tell its memory"),
        ("cpu_util", {"rss": 1}, "replica {} has told its CPU time less than twice"),
        ("memory", {"cpu_seconds": 1.0}, "replica {} does not tell how much memory it has"),
    ],
)
def test_why_a_figure_is_unknown_is_said(metric: str, told: dict[str, Any], why: str) -> None:
    """By the rule that looks at it, and by the decision which it holds up."""

    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, by_rule(Rule("r1", metric, above=80)))
        for _ in range(5):
            if told:
                stage.there()[0].samples(**told)
            await asyncio.sleep(1)
        (replica,) = stage.there()
        decision = stage.engine.decisions(OWNER, NAME)[-1]
        said = f"{metric} is unknown: {why.format(replica.request.replica)}"
        assert decision.wishes[0].why == said
        assert said in decision.reason

    play(scene)


@pytest.mark.parametrize("metric", ["gpu_util", "concurrency", "calls_per_second"])
def test_without_a_replica_that_is_ready_that_is_why(metric: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(1000.0)
        await stage.create(1)
        await stage.engine.autoscale(OWNER, NAME, by_rule(Rule("r1", metric, above=80)))
        await asyncio.sleep(5)
        assert stage.engine.decisions(OWNER, NAME)[-1].wishes[0].why == f"{metric} is unknown: no replica is ready"

    play(scene)


@pytest.mark.parametrize(
    ("metric", "above", "each"),
    [("cpu_util", 150.0, {"cpu": 2.0}), ("memory", 1000.0, {"rss": 2000}), ("gpu_memory", 70.0, {"gpu": 3})],
)
def test_what_runners_measure_brings_replicas(metric: str, above: float, each: dict[str, float]) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(1)
        await stage.engine.autoscale(OWNER, NAME, by_rule(Rule("r1", metric, above=above, window=10, cooldown=600)))
        for second in range(30):
            for replica in stage.there():
                gpus = [gpu(0, used=int(each["gpu"]))] if "gpu" in each else None
                cpu = second * each["cpu"] if "cpu" in each else None
                replica.samples(gpus=gpus, rss=int(each.get("rss", 1)), cpu_seconds=cpu, cpu_at=float(second))
            await asyncio.sleep(1)
        assert wanted(stage) == 2
        assert (await stage.told("service.autoscaled"))[0].details["wishes"][0]["source"] == "rule r1"

    play(scene)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("r1", "latency_p95", above=0.5, window=10, cooldown=600),
        Rule("r1", "first_byte_p50", above=0.5, window=10, cooldown=600),
        Rule("r1", "calls_per_second", above=1.5, window=10, cooldown=600),
        Rule("r1", "concurrency", above=1.5, window=10, cooldown=600),
    ],
)
def test_what_the_front_measures_brings_replicas(rule: Rule) -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, by_rule(rule, most=2))
        await callers.come(rate=0.4, seconds=60, each=0.1)
        assert wanted(stage) == 1
        await callers.come(rate=2, seconds=90, each=1.0)
        assert wanted(stage) == 2
        await asyncio.sleep(5)

    play(scene)


def test_calls_that_wait_bring_replicas() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, by_rule(Rule("r1", "queued", above=2, window=6, cooldown=600), most=2))
        callers.each = 1
        for _ in range(6):
            callers.begin(60)
        await stage.until(lambda: wanted(stage) == 2, 30)
        await asyncio.sleep(400)

    play(scene)


def test_failed_answers_bring_replicas() -> None:
    async def scene(stage: Stage) -> None:
        await autoscaled(stage, by_rule(Rule("r1", "errors", above=0.2, window=10, cooldown=600), most=2))
        for n in range(30):
            now = stage.clock.monotonic()
            stage.endpoint.traffic.begun(now)
            stage.endpoint.traffic.sent(now)
            stage.endpoint.traffic.ended(now, 500 if n % 2 else 200, 0.1, 0.1, None)
            await asyncio.sleep(1)
        assert wanted(stage) == 2

    play(scene)


class Measured:
    """``ports.Queries`` with one answer."""

    names = ("depth",)

    def __init__(self) -> None:
        self.answer: float | None = None
        self.asked: Sequence[AskedQuery] = ()

    def want(self, asked: Sequence[AskedQuery]) -> None:
        self.asked = tuple(asked)

    def value(self, name: str, owner: str, service: str) -> float | None:
        return self.answer if (name, owner, service) == ("depth", OWNER, NAME) else None

    def reason(self, name: str, owner: str, service: str) -> str:
        return "" if self.answer is not None else f"Prometheus has no such series as {name} of {owner}/{service} now"


def test_a_query_of_the_administrator_brings_replicas_and_others_are_refused() -> None:
    stage = Stage()
    stage.queries = queries = Measured()
    stage.build()

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready(1)
        await asyncio.sleep(3)
        assert queries.asked == ()
        with pytest.raises(InvalidRequest, match="depht"):
            await stage.engine.autoscale(OWNER, NAME, by_rule(Rule("r1", "prometheus:depht", above=5)))
        await stage.engine.autoscale(
            OWNER, NAME, by_rule(Rule("r1", "prometheus:depth", above=5, window=10, cooldown=600))
        )
        await asyncio.sleep(30)
        assert queries.asked == (AskedQuery("depth", OWNER, NAME, (replica.id,)),)
        assert wanted(stage) == 1
        why = f"prometheus:depth is unknown: Prometheus has no such series as depth of {OWNER}/{NAME} now"
        assert stage.engine.decisions(OWNER, NAME)[-1].wishes[0].why == why
        queries.answer = 9.0
        await stage.until(lambda: wanted(stage) == 2, 30)

    play(scene, stage)


# --- to zero and back ----------------------------------------------------------------------------------


def test_an_idle_service_gives_its_replica_back_and_the_next_call_brings_one() -> None:
    """At once: the call is not answered later than the replica is ready."""

    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        assert (stage.endpoint.asleep, stage.endpoint.wanted) == (True, False)
        assert await stage.until(lambda: "idle for 1 min" in (stage.view.reason or ""), 100) < 70
        stage.world.script = StartScript(3.0)
        answered = await callers.begin(0.5)
        assert 3.0 <= answered.waited < 3.2
        assert not answered.why
        woken = (await stage.told("service.autoscaled"))[-1]
        assert woken.message == "scaled from 0 to 1: call wants 1 (a call waits)"
        assert stage.meter.cold_starts == {(OWNER, NAME): 1}
        assert stage.view.state == "ready"
        await asyncio.sleep(50)
        assert stage.view.state == "ready", "it has not been idle for long enough again"
        await asleep(stage, callers)

    play(scene)


def test_starting_replicas_are_not_idle() -> None:
    """It takes longer to start than it may be idle."""

    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.on_start = lambda replica: asyncio.get_running_loop().call_later(50, replica.serves) and None
        stage.world.script = StartScript(0.5)
        await stage.engine.autoscale(OWNER, NAME, replace(TO_ZERO, idle_after=20.0))
        answered = await callers.begin(0.5)
        assert 50 < answered.waited < 52

    play(scene, Stage())


def test_several_calls_at_zero_bring_one_replica_at_first_and_min_is_at_least_one() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.script = StartScript(1.0)
        calls = [callers.begin(0.1) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert wanted(stage) == 1
        assert [(await call).why for call in calls] == ["", "", ""]
        assert stage.meter.cold_starts == {(OWNER, NAME): 1}

    play(scene)


def test_a_call_wakes_while_the_last_replica_still_leaves() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, TO_ZERO)
        (replica,) = stage.there()
        replica.stop_seconds = 30.0
        await stage.until(lambda: stage.view.state == "idle", 600)
        assert "1 still ending" in (stage.view.reason or "")
        answered = await callers.begin(0.1)
        assert answered.waited < 1
        assert not answered.why

    play(scene)


def test_an_idle_service_stays_idle_over_a_restart_of_the_gateway_and_a_call_wakes_it() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        await stage.kill()
        await stage.reopen()
        await asyncio.sleep(30)
        assert (stage.view.state, len(stage.there())) == ("idle", 0)
        assert stage.view.reason == "idle: the next call starts a replica"
        assert not (await callers.begin(0.1)).why

    play(scene)


def fails(replica: FakeReplica) -> None:
    replica.becomes("loading")
    replica.exits(1, tail=("no such model",))


def test_a_start_that_fails_tells_those_who_wait_at_once_and_the_next_call_tries_again_after_the_pause() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.on_start = fails
        stage.world.script = StartScript(2.0)
        first = [callers.begin() for _ in range(3)]
        told = [await call for call in first]
        assert all(2.0 <= answer.waited < 2.2 for answer in told)
        assert all("its last replica exited with code 1 while loading" in answer.why for answer in told)
        wait = told[0].retry_at - stage.clock.monotonic()
        assert 0.5 < wait <= 1.0, "what is told as Retry-After"
        assert (stage.view.state, wanted(stage)) == ("idle", 0)
        assert "the last start failed: " in (stage.view.reason or "")
        tried = len(stage.world.requests)
        at_once = await callers.begin()
        assert at_once.waited == 0
        assert "its last replica exited with code 1 while loading; the next attempt is" in at_once.why
        assert "no such model" not in at_once.why, "what the model writes is its owner's"
        await asyncio.sleep(wait + 3)
        assert len(stage.world.requests) == tried, "nothing is tried without a call"
        stage.world.on_start = lambda replica: replica.serves()
        assert not (await callers.begin(0.1)).why
        assert stage.view.state == "ready"
        back = [e for e in await stage.told("service.autoscaled") if "to 0" in e.message][-1]
        assert back.message.startswith("scaled from 1 to 0: the last start failed: ")
        assert back.message.endswith("the next call tries again")

    play(scene)


def test_pauses_grow_while_starts_fail() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.on_start = fails
        pauses = []
        for _ in range(8):
            told = await callers.begin()
            assert told.why
            pauses.append(round(told.retry_at - stage.clock.monotonic()))
            await asyncio.sleep(told.retry_at - stage.clock.monotonic() + 0.01)
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60], "it has proved itself once: it is tried for ever"

    play(scene)


def fails_after_a_second(replica: FakeReplica) -> None:
    replica.becomes("loading")
    asyncio.get_running_loop().call_later(1.0, replica.exits, 1)


@pytest.mark.parametrize("how", [fails, fails_after_a_second])
def test_a_service_that_never_came_up_fails_after_five_attempts_by_calls(how: Callable[[FakeReplica], None]) -> None:
    async def scene(stage: Stage) -> None:
        policy = Autoscaling(0, 2)
        stage.definitions.put(FOLDER, definition(autoscaling=policy))
        stage.world.on_start = how
        await stage.create(0)
        callers = Callers(stage)
        assert stage.view.state == "idle"
        for _ in range(5):
            told = await callers.begin()
            assert "exited with code 1" in told.why
            await asyncio.sleep(40)
        assert stage.view.state == "failed"
        assert "exited with code 1" in (await callers.begin()).why
        assert len(stage.world.requests) == 5

    play(scene)


def test_no_room_at_a_wake_is_told_at_once_and_tried_again_by_a_call() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.places = 0
        told = await callers.begin()
        assert "no room for a replica now" in told.why
        assert "none is free" not in told.why, "who has what is the owners' to know"
        assert told.waited < 1
        assert stage.view.state == "idle"
        stage.world.places = 1
        await asyncio.sleep(1.5)
        assert not (await callers.begin(0.1)).why

    play(scene)


def test_an_hour_without_room_does_not_fill_the_history() -> None:
    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        stage.world.places = 0
        before = len(await stage.told())
        for _ in range(60):
            assert "no room for a replica now" in (await callers.begin()).why
            await asyncio.sleep(60)
        assert len(stage.world.requests) > 50
        assert len(await stage.told()) - before < 10

    play(scene)


def test_who_calls_in_vain_at_an_owners_limit_is_told_so() -> None:
    stage = Stage()
    stage.launcher_class = Limited
    stage.build()

    async def scene(stage: Stage) -> None:
        callers = await asleep(stage)
        await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name="other", replicas=5)
        answered = await callers.begin()
        assert answered.why == (
            "Service ann/chat has no replica that could answer: its owner may have no more replicas now, which is a "
            "limit of the administrator's."
        )
        assert stage.view.reason is not None
        assert "a call came, and starts no replica: " in stage.view.reason
        await stage.engine.scale(OWNER, "other", 4)
        await asyncio.sleep(11)
        assert not (await callers.begin(0.1)).why

    play(scene, stage)


def test_nobody_is_woken_by_a_gateway_that_does_not_know_the_world_yet() -> None:
    async def scene(stage: Stage) -> None:
        await asleep(stage)
        await stage.kill()
        stage.build()
        stage.world.find_seconds = 2.0
        starting = asyncio.ensure_future(stage.engine.start())
        await asyncio.sleep(1)
        told = await Callers(stage).begin()
        assert "it cannot be woken while the gateway starts or ends" in told.why
        await starting
        assert not (await Callers(stage).begin(0.1)).why

    play(scene)


def test_the_front_knows_what_is_no_call() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        assert stage.endpoint.health_path == "/health"
        stage.definitions.put(FOLDER, definition(health=None))
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await asyncio.sleep(0.01)
        assert stage.endpoint.health_path == ""

    play(scene)


def test_a_wake_waits_for_the_gpu_that_another_service_is_just_giving_back() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.places = 1
        await stage.create(1, gpus=1)
        await stage.until(lambda: stage.view.state == "ready")
        await stage.engine.autoscale(OWNER, NAME, TO_ZERO)
        callers = await asleep(stage, Callers(stage))
        await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER, gpus=1), name="other", replicas=1)
        await stage.until(lambda: stage.engine.service(OWNER, "other").state == "ready")
        endpoint = stage.routing.get(OWNER, "other")
        assert endpoint is not None
        (backend,) = endpoint.backends
        backend.in_flight = 1
        await stage.engine.stop_service(OWNER, "other")
        call = callers.begin(0.1)
        await asyncio.sleep(5)
        backend.in_flight = 0
        assert backend.on_idle is not None
        backend.on_idle()
        answered = await call
        assert not answered.why
        assert 5 <= answered.waited < 7

    play(scene)


@pytest.mark.parametrize("cause", ["call", "schedule", "rule", "policy", "scale"])
def test_whatever_wakes_it_callers_are_told_to_wait_for_a_start_from_zero(cause: str) -> None:
    """From the decision on until the replica is ready, and not for the one that follows one that was lost."""
    stage = Stage()
    stage.queries = queries = Measured()
    stage.build()

    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(20.0)
        rules = (Rule("r1", "prometheus:depth", above=5, window=2, cooldown=10),)
        schedules = (Schedule("s1", "daily 22:40-23:50", min=1),)  # in ten minutes
        queries.answer = 0.0
        policy = replace(TO_ZERO, rules=rules, schedules=schedules if cause == "schedule" else ())
        callers = await asleep(stage, await autoscaled(stage, policy))
        assert stage.endpoint.woken_at is None
        if cause == "call":
            callers.begin(0.1)
        elif cause == "rule":
            queries.answer = 9.0
        elif cause == "policy":
            await stage.engine.autoscale(OWNER, NAME, BY_CALLS)
        elif cause == "scale":
            await stage.engine.scale(OWNER, NAME, 1)
        await stage.until(lambda: stage.endpoint.wanted, 600)
        queries.answer = 0.0
        woken_at = stage.endpoint.woken_at
        assert woken_at == pytest.approx(stage.clock.monotonic(), abs=2.5)
        await asyncio.sleep(10)
        assert stage.endpoint.woken_at == woken_at
        await stage.until(lambda: bool(stage.takes_calls()), 60)
        assert stage.endpoint.woken_at is None
        stage.there()[0].exits(1)
        await asyncio.sleep(5)
        assert (stage.endpoint.wanted, stage.endpoint.ready, stage.endpoint.woken_at) == (True, 0, None)
        await stage.until(lambda: bool(stage.takes_calls()), 60)

    play(scene, stage)


def test_a_start_from_zero_that_fails_and_is_tried_again_holds_callers_like_any_other() -> None:
    """There is a minimum, so that the plan goes on by itself: nobody is held for 300 s by a crash loop."""

    async def scene(stage: Stage) -> None:
        await asleep(stage)
        stage.world.on_start = fails
        await stage.engine.autoscale(OWNER, NAME, BY_CALLS)
        assert stage.endpoint.woken_at is not None
        await stage.until(lambda: stage.endpoint.woken_at is None, 30)
        assert stage.endpoint.wanted
        stage.world.on_start = lambda replica: replica.serves()
        await stage.until(lambda: bool(stage.takes_calls()), 120)

    play(scene)


def test_what_starts_took_is_known_again_for_a_service_that_sleeps_at_some_times_only() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(4.0)
        night = Schedule("s1", "Mon 03:00-04:00", min=0)
        await autoscaled(stage, replace(TO_ZERO, min=1, schedules=(night,)))
        await asyncio.sleep(1)
        await stage.kill()
        await stage.reopen()
        await asyncio.sleep(1)
        assert stage.endpoint.start_seconds == pytest.approx(4.0, abs=0.3)

    play(scene)


def test_how_long_starts_take_is_learnt_and_known_again_after_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(4.0)
        callers = await autoscaled(stage, TO_ZERO)
        assert stage.endpoint.start_seconds == pytest.approx(4.0, abs=0.3)
        await asleep(stage, callers)
        stage.world.script = StartScript(14.0)
        await callers.begin(0.1)
        assert stage.endpoint.start_seconds == pytest.approx(7.0, abs=0.3)
        ready = (await stage.told("replica.ready"))[-1]
        parts = ready.details["parts"]
        assert sum(parts.values()) == pytest.approx(ready.details["start_seconds"], abs=0.01)
        assert list(parts) == ["requested", "starting", "loading"]
        assert parts["starting"] == pytest.approx(14.0, abs=0.1)
        assert "is ready after 14." in ready.message
        assert ", starting 14." in ready.message
        await asyncio.sleep(1)
        await stage.kill()
        await stage.reopen()
        await asyncio.sleep(1)
        assert stage.endpoint.start_seconds == pytest.approx(7.0, abs=0.3)

    play(scene)


# --- what keeps it from growing --------------------------------------------------------------------------


def test_room_for_three_of_five_is_said_and_nothing_flaps() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.places = 3
        callers = await autoscaled(stage, Autoscaling(5, 8, target_concurrency=4))
        assert wanted(stage) == 5
        await callers.come(rate=30, seconds=120)
        assert wanted(stage) == 5
        last = stage.engine.decisions(OWNER, NAME)[-1]
        assert "there is room for 3 just now: 1 GPU is needed, and none is free" in last.reason
        assert len(stage.there()) == 3
        assert await stage.told("service.autoscaled") == []
        stage.world.places = 8
        await stage.until(lambda: len(stage.there()) == 5, 120)

    play(scene)


def test_a_full_machine_is_updated_with_what_has_a_place() -> None:
    """Five are wanted and three have a place: the update is of three, one after the other."""

    async def scene(stage: Stage) -> None:
        stage.world.places = 3
        await autoscaled(stage, Autoscaling(1, 5, target=False, rules=(Rule("r1", "queued", above=1),)))
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(5, 5))
        await stage.until(lambda: len(stage.takes_calls()) == 3)
        await stage.engine.autoscale(OWNER, NAME, Autoscaling(1, 5))
        assert wanted(stage) == 5
        await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={"A": "2"}))
        assert wanted(stage) == 3
        told = (await stage.told("service.updated"))[-1]
        assert "scaled from 5 to 3, for which there is room" in told.message
        await stage.until(lambda: stage.view.state == "ready", 120)
        assert {r.request.revision.number for r in stage.there()} == {2}
        assert stage.view.note is None

    play(scene)


def test_replicas_that_die_soon_after_they_are_ready_get_no_company_before_one_has_proved_itself() -> None:
    """Each is ready in between, so that nothing is missing: more of them would die, too."""

    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, BY_CALLS)
        for _ in range(2):
            (former,) = stage.takes_calls()
            stage.there()[0].exits(1)
            await stage.until(lambda gone=former: stage.takes_calls() not in ({gone}, set()), 30)
        died = stage.clock.monotonic()
        load = asyncio.ensure_future(callers.come(rate=30, seconds=200, each=0.5))
        await asyncio.sleep(50)
        assert wanted(stage) == 1
        assert "replicas fail to start" in stage.engine.decisions(OWNER, NAME)[-1].reason
        await stage.until(lambda: wanted(stage) > 1, 60)
        assert stage.clock.monotonic() - died >= 55
        load.cancel()

    play(scene)


def test_a_crash_loop_is_not_answered_with_more_replicas() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, replace(BY_CALLS, min=2), 2)
        await asyncio.sleep(70)
        stage.world.on_start = fails
        stage.there()[0].exits(1)
        load = asyncio.ensure_future(callers.come(rate=30, seconds=100, each=0.5))
        await asyncio.sleep(100)
        assert wanted(stage) == 2
        assert any("replicas fail to start" in d.reason for d in stage.engine.decisions(OWNER, NAME))
        stage.world.on_start = lambda replica: replica.serves()
        await load
        again = asyncio.ensure_future(callers.come(rate=30, seconds=200, each=0.5))
        await stage.until(lambda: wanted(stage) > 2, 200)
        again.cancel()

    play(scene)


class Limited(FakeLauncher):
    """An owner may have five replicas in all."""

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> Sequence[str]:
        if replicas + held.replicas > 5:
            raise InvalidRequest("5 replicas are the most that one user may run.")
        return ()


def test_the_owners_limit_cuts_and_is_said_and_another_service_that_stops_makes_room() -> None:
    stage = Stage()
    stage.launcher_class = Limited
    stage.build()

    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, replace(BY_CALLS, down_delay=600.0))
        await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name="other", replicas=2)
        load = asyncio.ensure_future(callers.come(rate=40, seconds=150))
        await stage.until(lambda: wanted(stage) == 3, 60)
        await asyncio.sleep(30)
        assert wanted(stage) == 3
        assert (shown(stage).last or "").endswith("but 5 replicas are the most that one user may run")
        await stage.engine.stop_service(OWNER, "other")
        await stage.until(lambda: wanted(stage) == 5, 60)
        load.cancel()

    play(scene, stage)


def test_no_service_has_more_replicas_than_the_gateway_allows() -> None:
    stage = Stage(settings=replace(Stage().settings, max_replicas=3))

    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, BY_CALLS)
        await callers.come(rate=40, seconds=60)
        assert wanted(stage) == 3
        assert "a service can have 3 replicas at most" in (shown(stage).last or "")

    play(scene, stage)


def test_what_waits_for_room_without_any_call_is_idle_after_a_while() -> None:
    """Each attempt takes seconds, and none of them makes it busy."""

    async def scene(stage: Stage) -> None:
        stage.world.places, stage.world.script = 0, StartScript(10.0)
        await stage.create(1)
        await stage.engine.autoscale(OWNER, NAME, TO_ZERO)
        await asyncio.sleep(150)
        assert stage.view.state == "idle"

    play(scene)


def test_one_that_was_stopped_is_not_idle_when_it_is_started() -> None:
    async def scene(stage: Stage) -> None:
        await autoscaled(stage, TO_ZERO)
        await asyncio.sleep(10)
        await stage.engine.stop_service(OWNER, NAME)
        await asyncio.sleep(600)
        await stage.engine.start_service(OWNER, NAME)
        await asyncio.sleep(50)
        assert wanted(stage) == 1
        await asyncio.sleep(30)
        assert wanted(stage) == 0

    play(scene)


# --- what is not decided about -----------------------------------------------------------------------------


def test_a_stopped_and_a_failed_service_are_left_alone() -> None:
    async def scene(stage: Stage) -> None:
        await autoscaled(stage, replace(TO_ZERO, idle_after=20.0))
        await stage.engine.stop_service(OWNER, NAME)
        told = len(stage.engine.decisions(OWNER, NAME))
        await asyncio.sleep(300)
        assert (stage.view.state, wanted(stage)) == ("stopped", 1)
        assert len(stage.engine.decisions(OWNER, NAME)) == told
        assert stage.endpoint.asleep is False
        stage.world.on_start = fails
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.note or stage.view.state == "failed", 300)
        assert "revision 2 was taken back" in (stage.view.note or ""), "its owner started it, and is told how that went"

    play(scene)


def test_scaling_in_the_middle_of_an_update_ends_with_the_new_count_of_the_new_revision() -> None:
    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, replace(BY_CALLS, down_delay=600.0), 2)
        stage.world.script = StartScript(5.0)
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        load = asyncio.ensure_future(callers.come(rate=20, seconds=60))
        lowest = 9

        async def watch() -> None:
            nonlocal lowest
            while not load.done():
                lowest = min(lowest, len(stage.takes_calls()))
                await asyncio.sleep(0.05)

        watching = asyncio.ensure_future(watch())
        await stage.until(lambda: wanted(stage) >= 4, 60)
        await load
        await watching
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert {r.request.revision.number for r in stage.there()} == {2}
        assert lowest >= 2, "none is missing meanwhile"

    play(scene)


# --- cost ------------------------------------------------------------------------------------------------


def is_steady(stage: Stage) -> bool:
    return stage.engine._turns.find(OWNER, NAME).scaled.steady is not None


def test_nothing_is_decided_about_a_quiet_service_and_its_last_decision_stays_up_to_date() -> None:
    """After 10 minutes without a call; the first call, and a change of the policy, end it at once."""

    async def scene(stage: Stage) -> None:
        callers = await autoscaled(stage, BY_CALLS)
        await callers.come(rate=2, seconds=20)
        assert not is_steady(stage)
        await stage.until(lambda: is_steady(stage), 300)
        kept = stage.engine._turns.find(OWNER, NAME).scaled
        decision = kept.decisions[-1].decision
        before = stage.engine.decisions(OWNER, NAME)
        await asyncio.sleep(600)
        assert kept.decisions[-1].decision is decision, "it was decided once"
        after = stage.engine.decisions(OWNER, NAME)
        assert stage.clock.now() - after[-1].at < 2.1
        assert (after[-1].since, len(after)) == (before[-1].since, len(before))
        load = asyncio.ensure_future(callers.come(rate=12, seconds=60))
        assert await stage.until(lambda: wanted(stage) >= 3, 30) < 20, "as quick as ever"
        await load
        await stage.until(lambda: is_steady(stage), 900)
        await stage.engine.autoscale(OWNER, NAME, replace(BY_CALLS, rules=(Rule("r1", "queued", above=5.0),)))
        await asyncio.sleep(3)
        assert "rule r1" in [wish.source for wish in stage.engine.decisions(OWNER, NAME)[-1].wishes]

    play(scene)


def test_a_quiet_service_is_decided_about_when_what_a_rule_looks_at_changes() -> None:
    """GPUs that were at rest for minutes are busy, without a call; later, nothing is known of them."""

    async def scene(stage: Stage) -> None:
        await autoscaled(stage, by_rule(Rule("r1", "gpu_util", above=80.0, window=20.0)))

        async def samples(seconds: int, use: float) -> None:
            for _ in range(seconds):
                for replica in stage.there():
                    replica.samples(gpus=[gpu(use)])
                await asyncio.sleep(1)

        await samples(120, 0.0)
        assert is_steady(stage)
        await samples(16, 100.0)
        assert wanted(stage) == 1, "the mean of 20 s is at 80 % after 16"
        await samples(4, 100.0)
        assert wanted(stage) == 2
        await samples(400, 0.0)
        assert is_steady(stage)
        await asyncio.sleep(15)
        assert "gpu_util is unknown: the figures of replica" in (shown(stage).last or "")

    play(scene)


def test_a_thousand_services_are_looked_at_in_small_steps_over_the_tick() -> None:
    """Calls have their turn between two steps, and each service its look every two seconds."""

    async def scene(stage: Stage) -> None:
        stage.definitions.put(FOLDER, definition(autoscaling=Autoscaling(0, 4, idle_after=3600)))
        for number in range(1000):
            await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name=f"s{number}", replicas=0)
        await asyncio.sleep(5)
        steps: Counter[float] = Counter()
        looks: defaultdict[str, list[float]] = defaultdict(list)
        look = stage.engine._scaling._tick

        def counted(service: Service) -> None:
            steps[stage.clock.monotonic()] += 1
            looks[service.key].append(stage.clock.monotonic())
            look(service)

        stage.engine._scaling._tick = counted  # type: ignore[method-assign]
        began = stage.clock.monotonic()
        await asyncio.sleep(9)
        assert len(looks) == 1000
        assert max(steps.values()) <= 25
        for times in looks.values():
            assert times[0] < began + 2.1
            assert [later - at for at, later in pairwise(times)] == [pytest.approx(2.0, abs=0.1)] * (len(times) - 1)
            assert len(times) >= 4

    play(scene)
