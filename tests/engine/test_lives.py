"""Replicas that come up, and worlds in which they do not: the right state, the right sentence, no rest."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import re
from collections.abc import Sequence

import pytest

from jupyter_model_service import wire
from jupyter_model_service.core.definition import HealthCheck
from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.errors import InvalidRequest, LaunchError
from jupyter_model_service.ports import NOTHING_HELD, Placement, ReplicaRecord, Seen, StartRequest
from jupyter_model_service.testing import FakeLauncher, FakeReplica, StartScript

from .stage import CHECK, NAME, OWNER, Stage, definition, play


def test_a_service_comes_up_and_takes_calls() -> None:
    async def scene(stage: Stage) -> None:
        created = await stage.create(3)
        assert (created.state, created.endpoint) == ("starting", "http://127.0.0.1:1/endpoints/ann/chat/")
        assert stage.endpoint.wanted, "callers may be held from the first moment"
        took = await stage.until(lambda: stage.view.state == "ready")
        assert took < 0.5
        view = stage.view
        assert (view.replicas.want, view.replicas.ready, view.replicas.total) == (3, 3, 3)
        assert (view.reason, view.revision, view.stable_revision, view.restarts) == (None, 1, 1, 0)
        assert stage.takes_calls() == {r.id for r in stage.there()} == {r.id for r in view.replica_list}
        replica = view.replica_list[0]
        assert replica.pid == stage.world.replica(replica.id).state.model_pid
        assert replica.address == "{}:{}".format(*stage.world.replica(replica.id).placement.address)
        assert set(stage.disk.replicas) == set(stage.world.replicas)
        assert all(record.placement is not None for record in stage.disk.replicas.values())

    play(scene)


def test_secrets_are_long_of_their_own_and_not_in_any_text() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        secrets = {request.secret for request in stage.world.requests}
        assert len(secrets) == 2
        assert all(len(bytes.fromhex(secret)) == 32 for secret in secrets)
        text = repr(stage.view) + repr(await stage.told()) + repr(stage.disk.replicas)
        assert not any(secret in text for secret in secrets)

    play(scene)


class SlowStart:
    """Two pre-start actions of 20 s each, then 30 s until the port opens."""

    def __call__(self, replica: FakeReplica) -> None:
        self.task = asyncio.ensure_future(self.goes(replica))

    async def goes(self, replica: FakeReplica) -> None:
        for action, label in ((1, "run_command pip3 install vllm"), (2, "mkdir /models/x")):
            replica.becomes("preparing", action=action, actions=2, label=label)
            await asyncio.sleep(20)
        replica.becomes("loading", prepared_after=40.0)
        await asyncio.sleep(30)
        replica.serves()


def test_a_slow_start_says_what_it_is_doing() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = SlowStart()
        await stage.create()
        await asyncio.sleep(12)
        view = stage.view
        assert view.state == "starting"
        assert "preparing: action 1 of 2 (run_command pip3 install vllm), for 12 s" in (view.reason or "")
        action = view.replica_list[0].action
        assert action is not None
        assert (action.index, action.count, action.label) == (1, 2, "run_command pip3 install vllm")
        await asyncio.sleep(20)
        assert "action 2 of 2 (mkdir /models/x)" in (stage.view.reason or "")
        await asyncio.sleep(20)
        assert "is loading: nothing listens on its port 40001 yet" in (stage.view.reason or "")
        assert "is loading" in stage.endpoint.unavailable
        await stage.until(lambda: stage.view.state == "ready")
        phases = {phase: seconds for _, _, phase, seconds in stage.meter.phases}
        assert phases["preparing"] == pytest.approx(40, abs=0.5)
        assert phases["loading"] == pytest.approx(30, abs=2)
        assert phases["starting"] < 0.1
        kinds = [event.kind for event in await stage.told("replica.")]
        assert kinds == [
            f"replica.{p}" for p in ("requested", "starting", "preparing", "preparing", "loading", "ready")
        ]

    play(scene)


def test_readiness_is_noticed_soon_after_it_is_there() -> None:
    """Within 5 % of the time that the model took, also after minutes."""

    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.create()
        await asyncio.sleep(50)
        (replica,) = stage.there()
        replica.serves()
        assert await stage.until(lambda: stage.view.state == "ready") <= 0.55

    play(scene)


def fails_with(stage: Stage, *sentences: str) -> str:
    view = stage.view
    assert view.state == "failed"
    for sentence in sentences:
        assert sentence in (view.reason or "")
    assert view.replicas.total == 0
    assert not stage.endpoint.wanted
    assert view.reason is not None
    assert re.search("its last (replica|start) ", stage.endpoint.unavailable)
    assert view.reason not in stage.endpoint.unavailable, "it has what the model wrote, which is its owner's"
    return view.reason


def test_a_model_that_exits_is_given_up_after_five_attempts() -> None:
    """1, 2, 4 and 8 s between them; the reason is what the model said last."""

    async def scene(stage: Stage) -> None:
        starts: list[float] = []

        def exits(replica: FakeReplica) -> None:
            starts.append(stage.clock.monotonic())
            replica.becomes("loading")
            replica.exits(1, tail=("Traceback", "ModuleNotFoundError: No module named 'fastapi'", ""))

        stage.world.on_start = exits
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        assert [round(b - a) for a, b in itertools.pairwise(starts)] == [1, 2, 4, 8]
        await stage.quiet()
        fails_with(stage, "exited with code 1 while loading: ModuleNotFoundError: No module named 'fastapi'")
        await asyncio.sleep(3600)
        assert len(starts) == 5, "nothing is started any more"
        gone = [r for r in stage.view.replica_list if r.phase == "gone"]
        assert len(gone) == 5
        assert gone[0].exit is not None
        assert (gone[0].exit.code, gone[0].exit.tail[1][:8]) == (1, "ModuleNo")
        failed = await stage.told("replica.failed")
        assert failed[0].details["code"] == 1
        assert failed[0].details["tail"][0] == "Traceback"
        assert stage.disk.services[stage.view.id].error == stage.view.reason
        assert stage.world.replicas == {}

    play(scene)


def test_a_crash_loop_says_when_the_next_attempt_is() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: (replica.becomes("loading"), replica.exits(3))[0]
        await stage.create()
        await asyncio.sleep(10)
        assert "exited with code 3 while loading" in (stage.view.reason or "")
        assert "next attempt in" in (stage.view.reason or "")
        assert stage.endpoint.wanted
        said: set[str] = set()
        for _ in range(400):
            said.add(stage.view.reason or "")
            await asyncio.sleep(0.01)
        waits = {text.partition("; next attempt ")[2] for text in said if "; next attempt " in text}
        assert waits <= {"now", *(f"in about {n} s" for n in range(1, 9))}
        assert 3 <= len(waits) <= 5, "4 s of countdown are told in whole seconds"

    play(scene)


def test_the_time_that_a_replica_takes_is_told_in_whole_seconds() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.create()
        await stage.until(lambda: "nothing listens" in (stage.view.reason or ""))
        said = []
        for _ in range(190):
            said.append(stage.view.reason or "")
            await asyncio.sleep(0.01)
        assert not said[0].endswith(" s"), "not: for 0 s"
        assert sorted({text.partition(" yet")[2] for text in said}) == ["", ", for 1 s"]

    play(scene)


def test_a_failing_pre_start_action_names_itself() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda r: r.exits(1, stage="prepare", action=2, tail=("no such index",))
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        assert "exited with code 1 in pre-start action 2: no such index" in fails_with(stage)

    play(scene)


def test_a_launcher_that_fails_during_the_start() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(2.0, LaunchError("there is no python3.8", stage="spawn"), spawned_after=1.0)
        await stage.create(2)
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        assert "could not be started: there is no python3.8" in fails_with(stage)

    play(scene)


def test_a_launcher_that_never_returns_is_given_up() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(1e6)
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        assert "could not be started within 1 min" in fails_with(stage)

    play(scene)


def test_a_launcher_with_a_fault_does_not_leave_a_replica_that_starts_for_ever() -> None:
    class Faulty(Exception):
        pass

    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(0.1, Faulty("index out of range"))  # type: ignore[arg-type]
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        assert "could not be started: Faulty: index out of range" in fails_with(stage)

    play(scene)


def test_a_runner_that_never_answers_is_given_up() -> None:
    async def scene(stage: Stage) -> None:
        def mute(replica: FakeReplica) -> None:
            replica.reachable = False

        stage.world.on_start = mute
        await stage.create()
        took = await stage.until(lambda: any(r.phase == "gone" for r in stage.view.replica_list))
        assert took == pytest.approx(15, abs=0.5)
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        assert "its runner did not answer for 15 s" in fails_with(stage)

    play(scene)


def test_a_server_that_answers_500_is_given_up_when_the_grace_is_over() -> None:
    async def scene(stage: Stage) -> None:
        def sick(replica: FakeReplica) -> None:
            replica.serves()
            replica.status = 500

        stage.world.on_start = sick
        await stage.create()
        await stage.until(lambda: any(r.phase in ("failed", "gone") for r in stage.view.replica_list))
        (failed,) = await stage.told("replica.failed")
        assert failed.at - stage.view.created_at == pytest.approx(60, abs=1)
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        fails_with(
            stage, "did not become healthy within 1 min: the last probe said: GET /health: status 500, expected 200"
        )

    play(scene)


def test_a_server_that_never_opens_its_port_is_given_up_when_the_grace_is_over() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        reason = fails_with(stage, "did not become healthy within 1 min: nothing listens on its port 4000")
        assert reason.startswith("replica chat-")

    play(scene)


def test_a_server_on_another_port_is_told_where_it_listens() -> None:
    """Two seconds after its start its runner is asked, and now and then again; each change is said once."""

    async def scene(stage: Stage) -> None:
        def elsewhere(replica: FakeReplica) -> None:
            replica.ports = (("127.0.0.1", 9000),)
            replica.becomes("loading")

        stage.world.on_start = elsewhere
        await stage.create()
        said = "nothing listens on its port 40001 yet; it listens on port 9000"
        assert await stage.until(lambda: said in (stage.view.reason or "")) < 3
        (replica,) = stage.there()
        replica.ports = (("127.0.0.1", 9001),)
        assert await stage.until(lambda: "listens on port 9001" in (stage.view.reason or "")) < 6
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        fails_with(stage, "did not become healthy within 1 min: nothing listens on its port 4000")
        assert "; it listens on port 9000" in (stage.view.reason or "")

    play(scene)


def test_a_wrong_path_is_named_without_its_query() -> None:
    async def scene(stage: Stage) -> None:
        def not_there(replica: FakeReplica) -> None:
            replica.serves()
            replica.status = 404

        stage.world.on_start = not_there
        await stage.create()
        await stage.until(lambda: "is loading: GET /helth: status 404, expected 200" in (stage.view.reason or ""))
        await stage.until(lambda: stage.view.state == "failed")
        fails_with(stage, "did not become healthy within 1 min: the last probe said: GET /helth: status 404, expected")

    play(scene, Stage(definition(health=dataclasses.replace(CHECK, path="/helth?key=secret"))))


def test_the_grace_counts_from_the_end_of_the_pre_start_actions() -> None:
    """100 s of preparation do not eat up a grace of 60 s."""

    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: replica.becomes("preparing", action=1, actions=1, label="pip")
        await stage.create()
        await asyncio.sleep(100)
        (replica,) = stage.there()
        replica.becomes("loading", prepared_after=100.0)
        await asyncio.sleep(58)
        assert stage.view.state == "starting"
        replica.serves()
        await stage.until(lambda: stage.view.state == "ready", 10)

    play(scene)


def test_without_a_health_check_an_open_port_is_enough() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.status = 500
        assert {path for _, path in stage.probe.asked} == {None}
        await asyncio.sleep(300)
        assert stage.view.state == "ready"
        replica.port_open = False
        await stage.until(lambda: stage.view.state != "ready", 11)
        await stage.until(lambda: replica.id not in stage.world.replicas, 200)

    play(scene, Stage(definition(health=None)))


def test_a_server_that_listens_for_everybody_is_stopped_with_one_sentence() -> None:
    async def scene(stage: Stage) -> None:
        def exposed(replica: FakeReplica) -> None:
            replica.listens_on = ("0.0.0.0:8000",)
            replica.serves()

        stage.world.on_start = exposed
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        fails_with(
            stage,
            "listens on 0.0.0.0:8000, where others reach it without a token: give the server its address as an argument in "
            "start_command (0.0.0.0 there becomes 127.0.0.1 here)",
        )
        assert len(stage.world.requests) == 2, "it would do the same five times"
        assert stage.endpoint.backends == []
        assert "replica.ready" not in {event.kind for event in await stage.told()}, "it never took a call"

    play(scene)


def test_a_server_that_listens_for_everybody_at_another_port_is_stopped_while_it_loads() -> None:
    """Nothing listens at the given port, and the grace is half an hour: it is stopped after 2 s, or within 5 s of
    opening the other port."""
    check = HealthCheck("/health", interval=10.0, max_retries=3, max_wait_time=15.0, initial_delay=1800.0)

    async def scene(stage: Stage) -> None:
        def elsewhere(replica: FakeReplica) -> None:
            replica.listens_on = ("0.0.0.0:9999",)
            replica.becomes("loading")

        stage.world.on_start = elsewhere
        await stage.create()
        await stage.until(stage.there)
        (replica,) = stage.there()
        assert await stage.until(lambda: replica.id not in stage.world.replicas) == pytest.approx(2, abs=0.2)
        (failed,) = await stage.told("replica.failed")
        assert "listens on 0.0.0.0:9999, where others reach it without a token" in failed.message
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.until(stage.there)
        (later,) = stage.there()
        await asyncio.sleep(600)
        assert later.id in stage.world.replicas, "what listens nowhere may go on loading"
        later.listens_on = ("0.0.0.0:9999",)
        assert await stage.until(lambda: later.id not in stage.world.replicas) <= 5.2

    play(scene, Stage(definition(health=check)))


def test_reasons_name_files_as_the_definition_does_and_logs_as_they_are() -> None:
    """Where the copy of a revision lies, in 100 characters, helps nobody; and what is below /models helps who has no such
    folder to use the portable name."""

    async def scene(stage: Stage) -> None:
        def lacks(replica: FakeReplica) -> None:
            path = replica.request.revision.served_folder
            replica.becomes("loading")
            replica.exits(1, tail=(f"{path}/app.py, line 3", f"FileNotFoundError: {path}/w.bin for /models/w.bin"))

        stage.world.on_start = lacks
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        said = (
            "exited with code 1 while loading: FileNotFoundError: /models/w.bin for /models/w.bin (use a relative path)"
        )
        fails_with(stage, said)
        (failed, *_) = await stage.told("replica.failed")
        assert failed.message.endswith(said)
        exit = stage.view.replica_list[-1].exit
        assert exit is not None
        assert exit.tail[0].startswith("kept:")

    play(scene, Stage(settings=EngineSettings(strict=True, hint_models="use a relative path")))


def test_the_place_of_the_copy_alone_is_no_reason_for_a_hint() -> None:
    async def scene(stage: Stage) -> None:
        def fails(replica: FakeReplica) -> None:
            replica.becomes("loading")
            replica.exits(1, tail=(f"{replica.request.revision.served_folder}/app.py, line 3", "see /srv/models/x"))

        stage.world.on_start = fails
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        assert fails_with(stage, "exited with code 1").endswith("see /srv/models/x")

    play(scene, Stage(settings=EngineSettings(strict=True, hint_models="use a relative path")))


def test_a_server_that_opens_another_port_later_is_noticed_within_half_a_minute() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.listens_on = ("0.0.0.0:9999",)
        took = await stage.until(lambda: replica.id not in stage.world.replicas)
        assert took <= 31
        assert stage.there() == []
        assert await stage.until(stage.there) > 0.9, "that is a failed start, not a misfortune: not at once"
        assert "0.0.0.0:9999" in (await stage.told("replica.failed"))[0].message

    play(scene)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_server_that_opens_itself_to_everybody_whenever_it_is_ready_is_given_up(replicas: int) -> None:
    """Ready for half a minute each time: that is no merit, so five attempts are enough, and each waits longer."""

    async def scene(stage: Stage) -> None:
        starts: list[float] = []

        def opens_up(replica: FakeReplica) -> None:
            starts.append(stage.clock.monotonic())
            replica.serves()
            asyncio.get_running_loop().call_later(5, setattr, replica, "listens_on", ("0.0.0.0:9999",))

        stage.world.on_start = opens_up
        await stage.create(replicas)
        await stage.until(lambda: stage.view.state == "failed", 600)
        assert "0.0.0.0:9999" in (stage.view.reason or "")
        assert len(starts) <= 5 * replicas
        pauses = [b - a for a, b in itertools.pairwise(starts[::replicas])]
        assert pauses == sorted(pauses), "1 s, 2 s, 4 s … longer each time"
        begun = len(starts)
        await asyncio.sleep(300)
        assert (len(starts), stage.takes_calls()) == (begun, set())

    play(scene)


def test_what_cannot_be_enforced_is_said_and_said_again_after_an_update() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.cannot_enforce = ("memory is not limited",)
        assert (await stage.create(memory=1 << 30)).not_enforced == ["memory is not limited"]
        stage.world.cannot_enforce = ("memory is not limited", "CPUs are not limited")
        await stage.engine.update(OWNER, NAME, change=RevisionChange(cpus=2))
        assert stage.view.not_enforced == ["memory is not limited", "CPUs are not limited"]
        await stage.until(lambda: stage.view.state == "ready")
        await stage.kill()
        await stage.reopen()
        assert stage.view.not_enforced == ["memory is not limited", "CPUs are not limited"]

    play(scene)


def test_an_illegal_event_in_production_is_logged_and_the_world_looked_at_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A runner that goes back from loading to preparing: nothing breaks, and the fault is on record."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await asyncio.sleep(5)
        launcher.looks = 0
        replica.becomes("preparing")
        await asyncio.sleep(5)
        assert launcher.looks >= 1, "what it says does not fit: is it there at all?"
        assert stage.view.state == "ready", "it is, and in contact"
        assert "Preparing cannot happen to a replica that is ready" in stage.engine.faults[0]
        replica.alive = False  # gone without a word: no event would ever tell
        replica.becomes("preparing")
        await stage.until(lambda: replica.id not in stage.takes_calls(), 1)
        await stage.until(lambda: stage.view.restarts == 1, 1)
        stage.engine._controller.faults.clear()

    class Watched(FakeLauncher):
        looks = 0

        async def find(self) -> Sequence[Seen]:
            self.looks += 1
            return await super().find()

    stage = Stage()
    stage.settings = dataclasses.replace(stage.settings, strict=False)
    launcher = Watched(stage.world)
    stage.launcher_class = lambda world: launcher  # type: ignore[assignment]
    stage.build()
    play(scene, stage)
    assert "Preparing cannot happen" in caplog.text


def test_views_have_the_fields_of_the_wire() -> None:
    """The web layer validates them field by field: nothing may be missing, nothing be of another type."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.samples(rss=123)
        replica.exits(1)
        await stage.until(lambda: stage.view.restarts == 1 and stage.view.state == "ready")
        view = dataclasses.asdict(stage.view)
        info = wire.ServiceInfo.model_validate(view)
        assert set(view) - {"last_call_at"} == set(wire.ServiceInfo.model_fields), "that is for administrators alone"
        assert set(view["replica_list"][0]) == set(wire.ReplicaInfo.model_fields)
        assert set(view["revisions"][0]) == set(wire.RevisionInfo.model_fields)
        assert info.replica_list[-1].exit is not None
        assert info.revisions[0].definition["name"] == "chat"

    play(scene)


def test_a_replica_is_written_down_before_it_is_launched_and_again_after() -> None:
    """So that a gateway that is killed in between knows what to look for."""

    async def scene(stage: Stage) -> None:
        class Witness(FakeLauncher):
            async def start(self, request: StartRequest) -> Placement:
                records.append(stage.disk.replicas[request.replica])
                return await super().start(request)

        records: list[ReplicaRecord] = []
        stage.launcher_class = Witness
        await stage.kill()
        await stage.reopen()
        (replica,) = await stage.ready()
        assert [(r.id, r.placement, r.secret) for r in records] == [(replica.id, None, replica.request.secret)]
        assert stage.disk.replicas[replica.id].placement == replica.placement

    play(scene)


def test_a_launch_that_is_called_off_has_cleaned_up_before_force_is_used() -> None:
    """Two that end one replica at the same time would each find the other's leftovers."""

    async def scene(stage: Stage) -> None:
        class Thorough(FakeLauncher):
            async def start(self, request: StartRequest) -> Placement:
                try:
                    return await super().start(request)
                except asyncio.CancelledError:
                    story.append("cleans up")
                    await asyncio.sleep(1)
                    story.append("is clean")
                    raise

            async def stop(self, replica: str, placement: Placement | None) -> None:
                story.append("force")
                await super().stop(replica, placement)

        story: list[str] = []
        stage.launcher_class = Thorough
        await stage.kill()
        await stage.reopen()
        stage.world.script = StartScript(20.0, spawned_after=5.0)
        await stage.create()
        await asyncio.sleep(10)
        await stage.engine.scale(OWNER, NAME, 0)
        await stage.until(lambda: stage.view.replicas.total == 0)
        assert story == ["cleans up", "is clean", "force"]

    play(scene)


def test_a_replica_whose_port_another_process_holds_never_takes_a_call() -> None:
    async def scene(stage: Stage) -> None:
        def squatted(replica: FakeReplica) -> None:
            replica.squatted = True
            replica.serves()

        stage.world.on_start = squatted
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        await stage.quiet()
        fails_with(stage, "cannot serve: its port 4000", "is held by another process")
        assert stage.endpoint.backends == []
        assert "replica.ready" not in {event.kind for event in await stage.told()}

    play(scene)


def test_a_port_that_another_process_took_later_is_noticed() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.squatted = True
        await stage.until(lambda: replica.id not in stage.takes_calls(), 31)
        (failed,) = await stage.told("replica.failed")
        assert f"cannot serve: its port {replica.placement.address[1]} is held by another process" in failed.message

    play(scene)


def test_a_server_that_begins_to_listen_between_two_looks_is_not_given_up() -> None:
    class LateLauncher(FakeLauncher):
        async def holds(self, replica: str, placement: Placement) -> bool:
            looks.append(replica)
            return len(looks) > 1

    looks: list[str] = []

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        assert looks[:2] == [replica.id] * 2
        assert await stage.told("replica.failed") == []

    stage = Stage()
    stage.launcher_class = LateLauncher
    stage.build()
    play(scene, stage)


def test_a_server_that_begins_to_listen_just_after_the_last_look_is_not_given_up() -> None:
    """Two seconds after the start it is looked at who listens: a server that needs two seconds opens its port then."""

    class Looked(FakeLauncher):
        async def holds(self, replica: str, placement: Placement) -> bool:
            looks.append(replica)
            there = self.world.replicas[replica]
            held = there.port_open
            if len(looks) == 2:
                there.serves()
            return held

    looks: list[str] = []

    async def scene(stage: Stage) -> None:
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.create()
        await stage.until(lambda: stage.view.state == "ready")
        assert len(looks) > 2
        assert await stage.told("replica.failed") == []

    stage = Stage()
    stage.launcher_class = Looked
    stage.build()
    play(scene, stage)


def test_who_cannot_be_told_to_hold_its_port_waits_until_it_can() -> None:
    class BlindLauncher(FakeLauncher):
        blind = True

        async def holds(self, replica: str, placement: Placement) -> bool:
            if self.blind:
                raise OSError(24, "Too many open files")
            return True

    async def scene(stage: Stage) -> None:
        await stage.create()
        await asyncio.sleep(5)
        assert stage.takes_calls() == set()
        BlindLauncher.blind = False
        await stage.until(lambda: stage.view.state == "ready", 2)
        BlindLauncher.blind = True
        await asyncio.sleep(120)
        assert await stage.told("replica.failed") == []

    stage = Stage()
    stage.launcher_class = BlindLauncher
    stage.build()
    play(scene, stage)


def test_what_a_launcher_waits_for_is_shown_and_told_once() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = StartScript(seconds=20.0, waits=("no GPU free", "no GPU free", "no GPU free: 2 in use"))
        await stage.create()
        await asyncio.sleep(5)
        (shown,) = stage.view.replica_list
        assert (shown.phase, shown.reason) == ("starting", "no GPU free: 2 in use")
        assert [e.message for e in await stage.told("replica.waiting")] == [
            f"replica {shown.id} waits to be started: no GPU free",
            f"replica {shown.id} waits to be started: no GPU free: 2 in use",
        ]
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.shown(shown.id).reason is None

    play(scene)


def test_the_launcher_is_told_whose_a_revision_is_and_whether_it_is_public() -> None:
    asked: list[tuple[int, str, bool]] = []

    class Asking(FakeLauncher):
        def check(
            self,
            revision: Revision,
            *,
            owner: str = "",
            public: bool = False,
            replicas: int = 1,
            held: Held = NOTHING_HELD,
        ) -> Sequence[str]:
            asked.append((revision.number, owner, public))
            if public and revision.number == 1:
                raise InvalidRequest("Public services are not allowed here.")
            return ()

    async def scene(stage: Stage) -> None:
        await stage.ready()
        with pytest.raises(InvalidRequest, match="not allowed here"):
            await stage.engine.update(OWNER, NAME, change=RevisionChange(), public=True)
        assert not stage.view.public
        await stage.engine.update(OWNER, NAME, change=RevisionChange(cpus=1.0), public=True)
        assert set(asked) == {(1, OWNER, False), (1, OWNER, True), (2, OWNER, True)}
        await stage.quiet()

    stage = Stage()
    stage.launcher_class = Asking
    stage.build()
    play(scene, stage)
