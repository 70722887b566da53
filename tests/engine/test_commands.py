"""What owners ask for: create, update, scale, rollback, restart, stop, start, delete; and bad input."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.replica import Phase
from jupyter_model_service.core.revision import Mount, Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import Conflict, DefinitionError, InvalidRequest, LaunchError, NotFound, Problem
from jupyter_model_service.ports import NOTHING_HELD, ServiceRecord
from jupyter_model_service.testing import FakeLauncher, FakeReplica, MemoryStore

from .stage import FOLDER, NAME, OWNER, Stage, definition, play

NOTHING = RevisionChange()


def revisions(stage: Stage) -> list[int]:
    return sorted(r.request.revision.number for r in stage.there())


def crashes_in(revision: int, stage: Stage) -> None:
    """Replicas of this revision exit at once, all others come up."""

    def start(replica: FakeReplica) -> None:
        if replica.request.revision.number == revision:
            replica.becomes("loading")
            replica.exits(1, tail=("ValueError: no such weights",))
        else:
            replica.serves()

    stage.world.on_start = start


class Watch:
    """Holds that at least so many replicas take calls, every 10 ms, until it is ended."""

    def __init__(self, stage: Stage, least: int) -> None:
        self._task = asyncio.ensure_future(self._run(stage, least))

    async def _run(self, stage: Stage, least: int) -> None:
        while True:
            assert len(stage.takes_calls()) >= least
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._task.cancel()
        (outcome,) = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError), outcome


# --- validate, create ---


def test_a_folder_that_create_refuses_is_not_called_valid() -> None:
    """The definition is fine, the launcher's is the word: what it cannot enforce is a warning, what it cannot do an
    error, the same in both."""

    class Refusing(FakeLauncher):
        def check(
            self,
            revision: Revision,
            *,
            owner: str = "",
            public: bool = False,
            replicas: int = 1,
            held: Held = NOTHING_HELD,
        ) -> Sequence[str]:
            assert (revision.number, revision.image, revision.environment) == (1, None, ())
            if revision.definition.name == "no":
                raise InvalidRequest("Replicas cannot do this here.")
            return ("Memory is not limited.",)

    stage = Stage()
    stage.launcher_class = Refusing
    stage.build()

    async def scene(stage: Stage) -> None:
        known = Problem("models[0].extra", "is not used", severity="warning")
        stage.definitions.put("/yes", definition("yes"), [known])
        found, warnings = await stage.engine.validate("/yes")
        assert found.name == "yes"
        assert list(warnings) == [known, Problem("", "Memory is not limited.", severity="warning")]
        stage.definitions.put("/no", definition("no"))
        with pytest.raises(InvalidRequest, match="cannot do this here"):
            await stage.engine.validate("/no")
        with pytest.raises(InvalidRequest, match="cannot do this here"):
            await stage.engine.create(OWNER, change=RevisionChange(folder="/no"), name=None)
        with pytest.raises(DefinitionError):
            await stage.engine.validate("/nowhere")
        assert (stage.engine.services(), stage.disk.writes) == ([], 0)

    play(scene, stage)


def test_names_come_from_the_model_and_are_unique() -> None:
    async def scene(stage: Stage) -> None:
        stage.definitions.put("/other", definition("Llama 3.1 8B"))
        change = RevisionChange(folder="/other")
        created = await stage.engine.create(OWNER, change=change, name=None, replicas=0, public=True)
        assert (created.name, created.public, created.state) == ("llama-3-1-8b", True, "stopped")
        for taken in (None, "llama-3-1-8b"):
            with pytest.raises(Conflict) as caught:
                await stage.engine.create(OWNER, change=change, name=taken, replicas=0, public=True)
            assert str(caught.value) == (
                "Service ann/llama-3-1-8b exists already: update it to change it, or give another name."
            )
        other = await stage.engine.create("bob", change=change, name=None, replicas=0, public=False)
        assert [s.key for s in stage.engine.services()] == ["ann/llama-3-1-8b", other.key]
        assert [s.key for s in stage.engine.services("bob")] == ["bob/llama-3-1-8b"]

    play(scene)


def test_bad_input_changes_nothing() -> None:
    async def scene(stage: Stage) -> None:
        def create(folder: str | None = FOLDER, name: str | None = NAME, replicas: int = 1, **more: object) -> object:
            change = RevisionChange(folder=folder, **more)  # type: ignore[arg-type]
            return stage.engine.create(OWNER, change=change, name=name, replicas=replicas, public=False)

        for bad, error in (
            (create(folder="/nowhere"), DefinitionError),
            (create(folder=None), InvalidRequest),
            (create(name="x" * 300), InvalidRequest),
            (create(name="a/b"), InvalidRequest),
            (create(name=""), InvalidRequest),
            (create(replicas=-1), InvalidRequest),
            (create(replicas=101), InvalidRequest),
            (create(image="nvidia/cuda"), InvalidRequest),
        ):
            with pytest.raises(error):
                await bad  # type: ignore[misc]
        assert (stage.disk.writes, len(stage.routing), stage.engine.services()) == (0, 0, [])
        await stage.ready()
        await asyncio.sleep(1)
        writes, view = stage.disk.writes, stage.view
        for bad, error in (
            (stage.engine.update(OWNER, NAME, change=RevisionChange(folder="/nowhere")), DefinitionError),
            (stage.engine.update(OWNER, NAME, change=RevisionChange(image="x")), InvalidRequest),
            (stage.engine.scale(OWNER, NAME, 101), InvalidRequest),
            (stage.engine.rollback(OWNER, NAME), Conflict),
            (stage.engine.rollback(OWNER, NAME, 7), NotFound),
            (stage.engine.scale(OWNER, "nobody", 1), NotFound),
            (stage.engine.delete("bob", NAME), NotFound),
            (create(), Conflict),
        ):
            with pytest.raises(error):
                await bad  # type: ignore[misc]
        assert (stage.disk.writes, stage.view) == (writes, view)

    play(scene)


def test_two_creates_of_one_name_at_once_make_one_service() -> None:
    async def scene(stage: Stage) -> None:
        results = await asyncio.gather(*(stage.create() for _ in range(5)), return_exceptions=True)
        assert sorted(type(r).__name__ for r in results) == ["Conflict"] * 4 + ["ServiceView"]
        await stage.until(lambda: stage.view.state == "ready")
        assert len(stage.there()) == 1

    play(scene)


def test_a_caller_who_leaves_does_not_leave_half_a_service_behind() -> None:
    """Cancelled while its files are kept, it is given up; in the middle of the write, it is whole."""

    async def scene(stage: Stage) -> None:
        for turns in range(60):
            stage.definitions.put(f"/f{turns}", definition(f"m{turns}"))
            change = RevisionChange(folder=f"/f{turns}")
            task = asyncio.ensure_future(stage.engine.create(OWNER, change=change, name=None, replicas=0, public=False))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        await asyncio.sleep(1)
        assert {s.id for s in stage.engine.services()} == set(stage.disk.services)
        assert 60 > len(stage.routing) == len(stage.disk.services) > 0
        assert set(stage.shelf.kept) == {(id, 1) for id in stage.disk.services}
        assert stage.shelf.half == set()

    play(scene)


class SlowStore(MemoryStore):
    """Has written, and takes its time to say so."""

    async def add_service(self, record: ServiceRecord, revision: Revision) -> None:
        await super().add_service(record, revision)
        await asyncio.sleep(1)


def test_a_caller_who_leaves_between_the_write_and_its_answer() -> None:
    async def scene(stage: Stage) -> None:
        await stage.kill()
        stage.store = SlowStore(stage.disk)
        await stage.reopen()
        task = asyncio.ensure_future(stage.create())
        await asyncio.sleep(0.5)
        assert stage.disk.services
        task.cancel()
        await asyncio.sleep(2)
        assert stage.view.state == "ready"

    play(scene)


# --- update, rollback, restart ---


def test_of_updates_at_once_one_is_made_and_the_others_are_told() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        updates = (stage.engine.update(OWNER, NAME, change=RevisionChange(gpus=n)) for n in (1, 2, 3))
        first, *others = await asyncio.gather(*updates, return_exceptions=True)
        assert [type(other) for other in others] == [Conflict, Conflict]
        assert getattr(first, "revision", None) == stage.view.revision == 2
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.there()[0].request.revision.resources.gpus == 1

    play(scene)


def test_an_update_replaces_all_replicas_without_a_gap() -> None:
    async def scene(stage: Stage) -> None:
        before = {r.id for r in await stage.ready(3)}
        most: list[int] = []
        watch = Watch(stage, 3)
        stage.definitions.put(FOLDER, definition("chat", drain_timeout=7.0))
        updated = await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={"A": "1"}))
        assert (updated.state, updated.revision, updated.stable_revision) == ("updating", 2, 1)

        def done() -> bool:
            most.append(stage.view.replicas.total)
            return stage.view.state == "ready"

        await stage.until(done)
        await watch.end()
        await stage.quiet()
        assert not before & {r.id for r in stage.there()}
        assert revisions(stage) == [2, 2, 2]
        assert max(most) <= 3 + 2 + 3
        view = stage.view
        assert (view.stable_revision, view.note, view.restarts) == (2, None, 0)
        assert [(r.number, r.environment) for r in view.revisions] == [(1, []), (2, ["A"])]
        assert stage.endpoint.serving.drain_timeout == 7.0, "the definition was read anew"
        assert stage.disk.services[view.id].stable == 2

    play(scene)


@pytest.mark.parametrize("way", ["update", "restart"])
@pytest.mark.parametrize(
    ("replicas", "said"),
    [
        (1, "1 new replica is ready, waiting 2 s to see that it stays up"),
        (4, "2 new replicas are ready, waiting 2 s to see that they stay up"),
    ],
)
def test_a_roll_out_says_that_it_waits_for_new_replicas_to_stay_up(way: str, replicas: int, said: str) -> None:
    """Of four, six may live at once: two new ones prove themselves together."""

    async def scene(stage: Stage) -> None:
        await stage.ready(replicas)
        more = {"change": NOTHING} if way == "update" else {}
        await getattr(stage.engine, way)(OWNER, NAME, **more)
        await asyncio.sleep(1)
        assert (stage.view.state, stage.view.reason) == ("updating", said)
        await stage.until(lambda: stage.view.state == "ready")
        assert stage.view.reason is None

    play(scene)


def test_options_that_are_left_out_keep_their_value() -> None:
    async def scene(stage: Stage) -> None:
        mount = Mount("/data", "/data", True)
        await stage.create(0, environment={"A": "1"}, gpus=1, cpus=2.0, memory=5, mounts=[mount])
        await stage.engine.update(OWNER, NAME, change=RevisionChange(gpus=0))
        kept = stage.disk.revisions[stage.view.id][2]
        assert (kept.environment, kept.mounts) == ((("A", "1"),), (mount,))
        assert (kept.resources.cpus, kept.resources.memory, kept.resources.gpus) == (2.0, 5, 0)
        await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={}, mounts=[]))
        emptied = stage.disk.revisions[stage.view.id][3]
        assert (emptied.environment, emptied.mounts, emptied.folder) == ((), (), FOLDER)

    play(scene)


def test_public_alone_makes_no_revision() -> None:
    async def scene(stage: Stage) -> None:
        replicas = await stage.ready()
        view = await stage.engine.update(OWNER, NAME, change=NOTHING, public=True)
        assert (view.public, view.revision, stage.endpoint.public) == (True, 1, True)
        await asyncio.sleep(5)
        assert stage.there() == replicas
        view = await stage.engine.update(OWNER, NAME, change=NOTHING)
        assert (view.revision, view.public) == (2, True), "no option at all reads the folder anew"

    play(scene)


def test_an_update_that_crashes_leaves_the_old_revision_serving_and_says_why() -> None:
    async def scene(stage: Stage) -> None:
        before = await stage.ready(2)
        watch = Watch(stage, 2)
        crashes_in(2, stage)
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.note)
        await stage.quiet()
        await watch.end()
        view = stage.view
        assert (view.state, view.revision, view.stable_revision) == ("ready", 1, 1)
        assert "revision 2 was taken back, revision 1 serves on" in (view.note or "")
        assert "ValueError: no such weights" in (view.note or "")
        assert stage.there() == before
        record = stage.disk.services[view.id]
        assert (record.active, record.note) == (1, view.note)
        (deed,) = stage.disk.audit
        assert (deed.who, deed.action, deed.after) == ("gateway", "take_back_revision", {"why": view.note})
        assert len([r for r in stage.world.requests if r.revision.number == 2]) == 5
        await asyncio.sleep(1000)
        assert stage.there() == before
        crashes_in(0, stage)
        updated = await stage.engine.update(OWNER, NAME, change=NOTHING)
        assert (updated.revision, updated.note) == (3, None), "numbers are never used twice"
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_an_update_that_is_ready_for_a_moment_only_is_taken_back_too() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)

        def flickers(replica: FakeReplica) -> None:
            replica.serves()
            if replica.request.revision.number == 2:
                asyncio.get_running_loop().call_later(1.5, replica.exits, 1)

        stage.world.on_start = flickers
        watch = Watch(stage, 2)
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.note, 200)
        await stage.until(lambda: stage.view.state == "ready")
        await watch.end()
        assert revisions(stage) == [1, 1]

    play(scene)


def test_rollback_returns_to_the_one_before_or_any_kept_one() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        for number in (2, 3):
            await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={"N": str(number)}))
            await stage.until(lambda: stage.view.state == "ready")
        back = await stage.engine.rollback(OWNER, NAME)
        assert (back.revision, back.state) == (2, "updating")
        await stage.until(lambda: stage.view.state == "ready")
        await stage.quiet()
        assert [r.request.revision.environment for r in stage.there()] == [(("N", "2"),)]
        await stage.engine.rollback(OWNER, NAME, 3)
        await stage.until(lambda: stage.view.state == "ready")
        await stage.quiet()
        assert (revisions(stage), [r.number for r in stage.view.revisions]) == ([3], [1, 2, 3])

    play(scene)


def test_rollback_without_a_number_passes_over_what_never_came_up() -> None:
    """1 and 2 were up, 3 crashed, 4 is up: back to 2, also in the next life of the gateway; then to 1, and then there is
    nothing before it: 2 and 4 were left."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        for number in (2, 3, 4):
            crashes_in(3, stage)
            await stage.engine.update(OWNER, NAME, change=NOTHING)
            if number == 3:
                await stage.until(lambda: stage.view.note)
            await stage.until(lambda: stage.view.state == "ready")
        assert (stage.view.revision, [r.number for r in stage.view.revisions]) == (4, [1, 2, 3, 4])
        await asyncio.sleep(1)
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        for chosen in (2, 1):
            assert (await stage.engine.rollback(OWNER, NAME)).revision == chosen
            await stage.until(lambda: stage.view.state == "ready")
        with pytest.raises(
            Conflict, match=r"before the active one \(1\): name the one to go back to; it has 1, 2, 3, 4"
        ):
            await stage.engine.rollback(OWNER, NAME)
        assert (await stage.engine.rollback(OWNER, NAME, 3)).revision == 3, "named, it is tried"
        assert (await stage.engine.rollback(OWNER, NAME)).revision == 1, "and left again"

    play(scene)


def test_rollback_without_a_number_never_returns_to_what_was_left() -> None:
    """5 was left for 1, 6 crashed, 7 is up: what served before it is 1, not 5. Also after a restart of the gateway, and
    although so many revisions have come and gone since that 1 is not among those that are kept for their age."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        for _ in range(4):
            await stage.engine.update(OWNER, NAME, change=NOTHING)
            await stage.until(lambda: stage.view.state == "ready")
        await stage.engine.rollback(OWNER, NAME, 1)
        await stage.until(lambda: stage.view.state == "ready")
        crashes_in(6, stage)
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.note)
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.state == "ready" and stage.view.stable_revision == 7)
        await asyncio.sleep(1)
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        for number in range(8, 20):
            crashes_in(number, stage)
            await stage.engine.update(OWNER, NAME, change=NOTHING)
            await stage.until(lambda: stage.view.note and stage.view.revision == 7)
        assert min(r.number for r in stage.view.revisions) == 1
        assert (await stage.engine.rollback(OWNER, NAME)).revision == 1

    play(scene)


def test_a_rollback_to_the_active_revision_says_that_nothing_was_done() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.state == "ready")
        writes = stage.disk.writes
        with pytest.raises(Conflict) as caught:
            await stage.engine.rollback(OWNER, NAME, 2)
        assert str(caught.value) == (
            "Revision 2 of service ann/chat is the active one already: nothing was done. It has 1, 2."
        )
        assert stage.disk.writes == writes

    play(scene)


def test_rollback_asks_for_a_number_when_no_other_revision_was_ever_up() -> None:
    async def scene(stage: Stage) -> None:
        crashes_in(1, stage)
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        with pytest.raises(Conflict, match=r"has no revision but 1 to go back to\.$"):
            await stage.engine.rollback(OWNER, NAME)
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.state == "ready")
        view = stage.view
        with pytest.raises(Conflict) as caught:
            await stage.engine.rollback(OWNER, NAME)
        assert str(caught.value) == (
            "No revision of service ann/chat is known to have been fully up before the active one (2): "
            "name the one to go back to; it has 1, 2."
        )
        assert (stage.view.revision, stage.view.state) == (view.revision, "ready")

    play(scene)


def test_a_second_update_while_the_first_rolls_out() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        watch = Watch(stage, 2)
        stage.world.on_start = lambda replica: replica.becomes("loading")
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await asyncio.sleep(5)
        stage.world.on_start = lambda replica: replica.serves()
        await stage.engine.update(OWNER, NAME, change=NOTHING)
        await stage.until(lambda: stage.view.state == "ready")
        await stage.quiet()
        await watch.end()
        assert revisions(stage) == [3, 3]

    play(scene)


def test_restart_replaces_all_without_a_gap() -> None:
    async def scene(stage: Stage) -> None:
        before = {r.id for r in await stage.ready(3)}
        watch = Watch(stage, 3)
        restarted = await stage.engine.restart(OWNER, NAME)
        assert (restarted.state, restarted.revision) == ("updating", 1)
        await stage.until(lambda: stage.view.state == "ready")
        await stage.quiet()
        await watch.end()
        assert not before & {r.id for r in stage.there()}
        assert len(stage.there()) == 3

    play(scene)


def test_a_restart_that_does_not_come_up_keeps_what_serves() -> None:
    async def scene(stage: Stage) -> None:
        before = await stage.ready(2)
        crashes_in(1, stage)
        await stage.engine.restart(OWNER, NAME)
        await stage.until(lambda: stage.view.note)
        await stage.quiet()
        assert "the restart was taken back" in (stage.view.note or "")
        assert (stage.there(), stage.view.state) == (before, "ready")

    play(scene)


@pytest.mark.parametrize("way", ["restart", "start_service", "update", "rollback"])
def test_a_failed_service_is_tried_again_when_asked(way: str) -> None:
    async def scene(stage: Stage) -> None:
        crashes_in(1, stage)
        await stage.create()
        await stage.until(lambda: stage.view.state == "failed")
        scaled = await stage.engine.scale(OWNER, NAME, 2)
        assert (scaled.state, scaled.replicas.want) == ("failed", 2)
        assert "stays failed until" in (scaled.note or "")
        await asyncio.sleep(100)
        assert stage.view.state == "failed"
        crashes_in(0, stage)
        more = {"change": NOTHING} if way == "update" else {"revision": 1} if way == "rollback" else {}
        again = await getattr(stage.engine, way)(OWNER, NAME, **more)
        assert (again.note, again.state) == (None, "starting")
        await stage.until(lambda: stage.view.state == "ready")
        assert len(stage.there()) == 2
        assert stage.disk.services[stage.view.id].error is None

    play(scene)


# --- scale, stop, start, delete ---


def test_scaling_up_and_down() -> None:
    async def scene(stage: Stage) -> None:
        (first,) = await stage.ready()
        for count in (5, 2, 0, 1):
            view = await stage.engine.scale(OWNER, NAME, count)
            assert view.replicas.want == count
            await stage.until(lambda count=count: len(stage.there()) == count == len(stage.takes_calls()))  # type: ignore[misc]
            if count == 0:
                assert (stage.view.state, stage.view.reason) == ("stopped", "scaled to 0 replicas")
                assert not stage.endpoint.wanted
                assert "it was scaled to 0 replicas" in stage.endpoint.unavailable
                assert stage.endpoint.stopped
            elif count == 2:
                assert first.id in stage.takes_calls(), "the oldest of equals stays"
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_a_service_that_is_scaled_up_is_starting_and_not_degraded() -> None:
    """Also long after a failure that was made good. When one of the new ones fails, or an old one does, it is
    degraded until a substitute is ready."""

    async def scene(stage: Stage) -> None:
        (first,) = await stage.ready()
        first.exits(1)
        await stage.until(lambda: stage.view.restarts == 1 and stage.view.state == "ready")
        await asyncio.sleep(600)
        stage.world.on_start = lambda replica: replica.becomes("loading")
        assert (await stage.engine.scale(OWNER, NAME, 3)).state == "starting"
        await stage.until(lambda: len(stage.there()) == 3)
        await asyncio.sleep(5)
        assert (stage.view.state, stage.view.replicas.ready) == ("starting", 1)
        served, one, two = stage.there()
        one.exits(1)
        await stage.until(lambda: stage.view.state == "degraded", 0.1)
        await stage.until(lambda: len({r.id for r in stage.there()} - {one.id}) == 3)
        two.serves()
        await stage.until(lambda: stage.view.replicas.ready == 2)
        assert stage.view.state == "degraded", "the substitute still loads"
        stage.there()[-1].serves()
        await stage.until(lambda: stage.view.state == "ready")
        served.dies()
        await stage.until(lambda: stage.view.state == "degraded", 0.5)

    play(scene)


def test_a_drained_replica_finishes_its_open_calls() -> None:
    """30 s at most by default; no new ones meanwhile; ended as soon as the last one is over."""

    async def scene(stage: Stage) -> None:
        one, two = await stage.ready(2)
        backends = {r.id: stage.backend(r.id) for r in (one, two)}
        backends[one.id].in_flight, backends[two.id].in_flight = 2, 1
        await stage.engine.scale(OWNER, NAME, 1)
        await stage.until(lambda: not backends[two.id].serving, 0.1)
        assert stage.shown(two.id).phase == Phase.DRAINING.value
        await asyncio.sleep(20)
        assert two.stops == []
        backends[two.id].in_flight = 0
        assert backends[two.id].on_idle is not None
        backends[two.id].on_idle()
        await stage.until(lambda: two.id not in stage.world.replicas, 0.2)
        assert (two.stops, two.collected) == ([10.0], True)
        await stage.engine.scale(OWNER, NAME, 0)
        took = await stage.until(lambda: one.id not in stage.world.replicas)
        assert took == pytest.approx(30, abs=0.2), "a call that never ends is waited for so long"

    play(scene)


def test_a_replica_that_ignores_its_end_is_ended_by_force() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        replica.ignores_stop = True
        await stage.engine.stop_service(OWNER, NAME)
        took = await stage.until(lambda: replica.id not in stage.world.replicas)
        assert took == pytest.approx(15, abs=0.2), "stop_timeout 10 s and 5 s more"
        assert "replica.failed" not in {event.kind for event in await stage.told()}

    play(scene)


def test_a_replica_whose_end_fails_is_not_forgotten() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        stage.world.stop_error = LaunchError("the process cannot be ended")
        await stage.engine.stop_service(OWNER, NAME)
        await asyncio.sleep(300)
        assert stage.shown(replica.id).phase == "stopping"
        assert replica.id in stage.disk.replicas
        assert stage.view.reason == "stopped; 1 still ending"
        stage.world.stop_error = None
        await stage.until(lambda: stage.view.replicas.total == 0, 31)

    play(scene)


def test_of_a_replica_of_which_nothing_runs_it_is_told_what_is_left_and_nothing_waits_for_it() -> None:
    """The launcher has ended it, and will try again to remove what is left of it."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        stage.world.stop_leaves = "nothing of it runs, but the Hub does not remove its record: status 500."
        replica.exits(1)
        await stage.until(lambda: stage.view.state == "ready" and stage.view.replicas.total == 1, 5)
        await stage.until(lambda: replica.id not in stage.disk.replicas, 5)
        (left,) = await stage.told("replica.left")
        assert left.message == (
            f"replica {replica.id} has ended: nothing of it runs, but the Hub does not remove its record: status 500; "
            "that is tried again, and nothing waits for it"
        )
        assert (left.replica, left.audience) == (replica.id, "viewer")
        await stage.engine.delete(OWNER, NAME)
        await stage.until(lambda: not stage.engine.services(), 30)

    play(scene)


def test_stopped_services_keep_everything_and_start_again() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        stopped = await stage.engine.stop_service(OWNER, NAME)
        assert stopped.state == "stopped"
        await stage.until(lambda: not stage.there())
        assert (stage.view.reason, stage.view.replicas.want) == ("stopped", 2)
        with pytest.raises(Conflict, match="stopped: start it"):
            await stage.engine.restart(OWNER, NAME)
        assert (await stage.engine.update(OWNER, NAME, change=NOTHING)).state == "stopped"
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")
        assert revisions(stage) == [2, 2]

    play(scene)


def test_stopping_while_it_starts_leaves_nothing() -> None:
    async def scene(stage: Stage) -> None:
        stage.world.script = replace(stage.world.script, seconds=20.0, spawned_after=5.0)
        await stage.create(2)
        await asyncio.sleep(10)
        await stage.engine.stop_service(OWNER, NAME)
        await stage.until(lambda: not stage.world.replicas and stage.view.replicas.total == 0, 1)
        assert stage.view.state == "stopped"
        assert stage.disk.replicas == {}

    play(scene)


def test_a_deleted_service_is_gone_from_everywhere() -> None:
    async def scene(stage: Stage) -> None:
        one, _ = await stage.ready(2)
        stage.backend(one.id).in_flight = 1
        endpoint, id = stage.endpoint, stage.view.id
        woken: list[int] = []
        endpoint.wake = lambda: woken.append(1)
        deleted = await stage.engine.delete(OWNER, NAME)
        assert deleted.state == "deleting"
        assert stage.routing.get(OWNER, NAME) is None
        assert woken
        assert not endpoint.wanted
        assert (stage.disk.services, stage.disk.replicas, stage.disk.events) == ({}, {}, [])
        with pytest.raises(Conflict, match="being deleted"):
            await stage.engine.scale(OWNER, NAME, 3)
        with pytest.raises(Conflict, match="being deleted"):
            await stage.create()
        took = await stage.until(lambda: not stage.engine.services())
        assert took == pytest.approx(5, abs=0.2), "an open call has five seconds"
        assert stage.world.replicas == {}
        assert stage.meter.forgotten == [(OWNER, NAME)]
        await asyncio.sleep(10)
        assert (stage.disk.replicas, stage.disk.events, stage.engine.store_error) == ({}, [], None)
        again = await stage.create()
        assert again.id != id
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_deleting_while_it_drains_hurries() -> None:
    async def scene(stage: Stage) -> None:
        (one,) = await stage.ready()
        stage.backend(one.id).in_flight = 1
        await stage.engine.stop_service(OWNER, NAME)
        await asyncio.sleep(3)
        await stage.engine.delete(OWNER, NAME)
        assert await stage.until(lambda: not stage.engine.services()) < 5.5

    play(scene)


# --- reading ---


def test_logs_come_from_the_replica_or_from_what_it_left() -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(NotFound):
            await stage.engine.logs(OWNER, NAME)
        (replica,) = await stage.ready()
        replica.lines += [f"line {n}" for n in range(10)]
        assert await stage.engine.logs(OWNER, NAME) == (replica.id, replica.lines, 10, 0)
        assert await stage.engine.logs(OWNER, NAME, replica.id, 8, 1) == (replica.id, ["line 8"], 9, 0)
        with pytest.raises(NotFound, match="has no replica chat-nobody"):
            await stage.engine.logs(OWNER, NAME, "chat-nobody")
        replica.exits(1, tail=("first", "last"))
        await stage.until(lambda: replica.id not in stage.world.replicas)
        assert await stage.engine.logs(OWNER, NAME, replica.id) == (replica.id, ("first", "last"), 2, 0)
        assert await stage.engine.logs(OWNER, NAME, replica.id, 2) == (replica.id, (), 2, 0)

    play(scene)


def test_events_are_a_story_with_rising_ids() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        events = await stage.told()
        assert [e.id for e in events] == [events[0].id + n for n in range(len(events))]
        assert [e.kind for e in events][:2] == ["service.created", "replica.requested"]
        assert events[0].message == "created from /models/chat with 1 replica"
        later = await stage.engine.events(OWNER, None, after=events[3].id, limit=2)
        assert [e.id for _, e in later] == [events[-2].id, events[-1].id]
        assert later[0][0] == "ann/chat"
        assert await stage.engine.events("bob", None) == []
        story = [e.kind for e in events if e.replica == stage.there()[0].id]
        assert story == ["replica.requested", "replica.starting", "replica.loading", "replica.ready"]

    play(scene)
