"""A revision keeps what its folder held: through edits, updates, rollbacks, kills, full disks and deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.errors import (
    Conflict,
    DefinitionError,
    InvalidRequest,
    NoSpace,
    NotFound,
    Overloaded,
    Problem,
    StoreError,
)
from jupyter_model_service.ports import EventRecord, KeptKey
from jupyter_model_service.testing import FakeReplica

from .stage import FOLDER, NAME, OWNER, Stage, definition, play
from .test_commands import crashes_in

AGAIN = RevisionChange()


def edit(stage: Stage, content: bytes) -> None:
    stage.shelf.folders[FOLDER] = {"app.py": content}


def runs(stage: Stage) -> list[bytes]:
    """The app.py that each replica was started with."""
    found = []
    for replica in stage.there():
        revision = replica.request.revision
        assert revision.folder == FOLDER, "what the user named stays as it is"
        service_id, _, number = revision.served_folder.removeprefix("kept:").partition("/")
        found.append(stage.shelf.kept[service_id, int(number)]["app.py"])
    return found


async def update(stage: Stage) -> None:
    await stage.engine.update(OWNER, NAME, change=AGAIN)
    await stage.until(lambda: stage.view.state == "ready")


def numbers(stage: Stage) -> list[int]:
    return sorted(number for _, number in stage.shelf.kept)


def test_a_replacement_runs_what_the_folder_held_and_an_update_what_it_holds() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        edit(stage, b"2")
        stage.there()[0].dies()
        await stage.until(lambda: len(stage.world.requests) == 3 and stage.view.state == "ready")
        assert runs(stage) == [b"1", b"1"]
        await stage.engine.restart(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")
        await stage.engine.scale(OWNER, NAME, 3)
        await stage.until(lambda: stage.view.state == "ready")
        assert runs(stage) == [b"1"] * 3
        await update(stage)
        assert runs(stage) == [b"2"] * 3
        stage.shelf.folders.clear()
        await stage.engine.rollback(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")
        assert runs(stage) == [b"1"] * 3

    play(scene)


def test_an_update_of_a_folder_that_is_gone_fails_and_a_rollback_does_not() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        edit(stage, b"2")
        await update(stage)
        stage.definitions._folders.clear()
        with pytest.raises(DefinitionError, match="there is no folder"):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.engine.rollback(OWNER, NAME, 1)
        await stage.until(lambda: stage.view.state == "ready")
        assert runs(stage) == [b"1"]

    play(scene)


@pytest.mark.parametrize("error", [StoreError("The disk is full."), InvalidRequest("x cannot be read.")])
def test_files_that_cannot_be_kept_change_nothing(error: StoreError | InvalidRequest) -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.error = error
        with pytest.raises(type(error), match=str(error)):
            await stage.create()
        assert (stage.engine.services(), stage.disk.writes, stage.shelf.kept) == ([], 0, {})
        stage.shelf.error = None
        await stage.ready()
        await asyncio.sleep(1)
        stage.shelf.error = error
        before = stage.view, stage.disk.writes
        with pytest.raises(type(error)):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        assert (stage.view, stage.disk.writes) == before
        stage.shelf.error = None
        await update(stage)
        assert stage.view.revision == 2, "a number is not used up by a folder that could not be kept"

    play(scene)


@pytest.mark.parametrize("command", ["create", "update"])
def test_what_the_store_refused_is_not_kept(command: str) -> None:
    async def scene(stage: Stage) -> None:
        if command == "update":
            await stage.ready()
            await asyncio.sleep(1)
        before = dict(stage.shelf.kept)
        stage.store.fail_writes = "disk full"
        with pytest.raises(StoreError, match="disk full"):
            await (stage.create() if command == "create" else stage.engine.update(OWNER, NAME, change=AGAIN))
        await asyncio.sleep(0.1)
        stage.store.fail_writes = None
        assert stage.shelf.kept == before

    play(scene)


def test_a_slow_copy_makes_nobody_else_wait_and_tells_how_far_it_is() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.shelf.seconds = 40.0
        began = stage.clock.monotonic()
        updating = asyncio.ensure_future(stage.engine.update(OWNER, NAME, change=AGAIN))
        await asyncio.sleep(1)
        await stage.engine.scale(OWNER, NAME, 2)
        assert stage.clock.monotonic() - began < 2
        assert (stage.view.replicas.want, stage.view.revision) == (2, 1)
        await updating
        assert stage.view.revision == 2
        told = [event.message for event in await stage.told("service.copying")]
        assert told[0] == "copying the files of revision 2: 0 files, 0 bytes so far"
        assert numbers(stage) == [1, 2]
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_a_second_update_is_refused_while_one_copies() -> None:
    """It would be made from what the first one is about to replace, and undo it in silence."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.definitions.put("/other", definition())
        stage.shelf.seconds = 40.0
        there = RevisionChange(folder="/other", environment={"A": "1"})
        updating = asyncio.ensure_future(stage.engine.update(OWNER, NAME, change=there))
        await asyncio.sleep(1)
        again = "Revision 2 of service ann/chat is being copied: update again when it is there"
        with pytest.raises(Conflict, match=again):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.engine.update(OWNER, NAME, change=AGAIN, public=True)  # makes no revision
        await updating
        stage.shelf.seconds = 0.0
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        revision = stage.disk.revisions[stage.view.id][3]
        assert (revision.folder, revision.environment) == ("/other", (("A", "1"),))
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


@pytest.mark.parametrize("reading", ["definition", "files"])
@pytest.mark.parametrize("command", ["rolled back to revision 1", "stopped", "deleted"])
def test_an_update_that_copies_is_given_up_when_something_else_becomes_of_the_service(
    command: str, reading: str
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await update(stage)
        if reading == "files":
            stage.shelf.seconds = 40.0
        else:
            stage.definitions.seconds = 20.0
        updating = asyncio.ensure_future(stage.engine.update(OWNER, NAME, change=AGAIN))
        await asyncio.sleep(1)
        key = stage.view.id
        with pytest.raises(NotFound):
            await stage.engine.rollback(OWNER, NAME, 7)
        assert not updating.done(), "what was refused gives nothing up"
        began = stage.clock.monotonic()
        if command == "deleted":
            await stage.engine.delete(OWNER, NAME)
        elif command == "stopped":
            await stage.engine.stop_service(OWNER, NAME)
        else:
            await stage.engine.rollback(OWNER, NAME, 1)
        told = f"Revision 3 of service ann/chat was not made: it was {command} meanwhile."
        with pytest.raises(Conflict, match=told):
            await updating
        assert stage.clock.monotonic() - began < 1
        await asyncio.sleep(60)
        assert 3 not in stage.disk.revisions.get(key, {})
        assert (key, 3) not in {*stage.shelf.kept, *stage.shelf.half}
        if command == "rolled back to revision 1":
            stage.shelf.seconds = stage.definitions.seconds = 0.0
            await update(stage)
            assert stage.view.revision == 3

    play(scene)


def test_reading_and_copying_share_one_limit() -> None:
    """Who asked is told within the time that it waits, and nothing comes of it later."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.definitions.seconds, stage.shelf.seconds = 4000.0, 20000.0
        stage.shelf.told_every = 20.0
        began = stage.clock.monotonic()
        with pytest.raises(StoreError, match="could not be copied: that takes longer than 6 h"):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        assert 6 * 3600 <= stage.clock.monotonic() - began < 6 * 3600 + 1
        await asyncio.sleep(10_000)
        assert (stage.view.revision, numbers(stage)) == (1, [1])

    play(scene)


@pytest.mark.parametrize("command", ["create", "update"])
def test_a_revision_has_the_definition_that_its_copy_holds(command: str) -> None:
    """The folder is edited between the first look at it and the end of the copy."""

    async def scene(stage: Stage) -> None:
        number, copied = (1, definition("copied")) if command == "create" else (2, definition("copied"))
        if command == "update":
            await stage.ready()
        stage.shelf.seconds = 10.0
        change = RevisionChange(folder=FOLDER)
        working = asyncio.ensure_future(
            stage.engine.create(OWNER, change=change, name=None)
            if command == "create"
            else stage.engine.update(OWNER, NAME, change=change)
        )
        await asyncio.sleep(5)
        (key,) = stage.shelf.half
        stage.definitions.put(f"kept:{key[0]}/{number}", copied)
        view = await working
        assert stage.disk.revisions[view.id][number].definition == copied
        assert (view.name, view.revisions[-1].model_name) == ("copied" if command == "create" else NAME, "copied")
        stage.definitions.breaks(f"kept:{view.id}/{number + 1}", Problem("", "half saved"))
        with pytest.raises(DefinitionError, match="half saved"):
            await stage.engine.update(OWNER, view.name, change=AGAIN)
        await asyncio.sleep(1)
        assert max(numbers(stage)) == number
        await stage.until(lambda: stage.engine.service(OWNER, view.name).state == "ready")

    play(scene)


def test_what_is_being_kept_survives_the_deletion_of_another_service() -> None:
    """Kept, and waiting for its turn: the store does not know it yet."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.definitions.put("/other", definition("other"))
        other = RevisionChange(folder="/other")
        await stage.engine.create(OWNER, change=other, name="other", replicas=0)
        async with stage.engine._turns.turn:
            updating = asyncio.ensure_future(stage.engine.update(OWNER, NAME, change=AGAIN))
            await stage.until(lambda: (stage.view.id, 2) in stage.shelf.kept)
            stage.engine._keeping.collect()
            await asyncio.sleep(1)
        await updating
        assert (stage.view.id, 2) in stage.shelf.kept
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_a_copy_may_take_hours_as_long_as_it_is_heard_of() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.seconds, stage.shelf.told_every = 20_000.0, 20.0
        await stage.create()
        assert stage.view.revisions[0].files.kind == "copy"

    play(scene)


def test_a_copy_that_is_not_heard_of_for_a_minute_is_given_up() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.seconds = 1000.0
        began = stage.clock.monotonic()
        with pytest.raises(StoreError, match="could not be copied: nothing was heard of the copy for 1 min"):
            await stage.create()
        assert stage.clock.monotonic() - began < 61
        assert (stage.engine.services(), stage.shelf.half, stage.shelf.kept) == ([], set(), {})

    play(scene)


def test_the_end_of_the_gateway_waits_for_no_copy() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.seconds = 40.0
        creating = asyncio.ensure_future(stage.create())
        await asyncio.sleep(1)
        began = stage.clock.monotonic()
        await stage.engine.stop(end_replicas=True)
        assert stage.clock.monotonic() - began < 1
        with pytest.raises(Overloaded, match="nothing was changed"):
            await creating
        assert (stage.disk.services, stage.shelf.half) == ({}, set())

    play(scene)


@pytest.mark.parametrize("seconds", [1.0, 39.0, 41.0])
def test_a_gateway_killed_while_it_keeps_leaves_no_garbage(seconds: float) -> None:
    """In the middle of the copy, or just before or after the store knows."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.shelf.seconds = 40.0
        updating = asyncio.ensure_future(stage.engine.update(OWNER, NAME, change=AGAIN))
        await asyncio.sleep(seconds)
        await stage.kill()
        updating.cancel()
        assert stage.shelf.half or stage.shelf.kept
        stage.shelf.seconds = 0.0
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready")
        assert numbers(stage) == ([1] if seconds < 40 else [1, 2])
        assert stage.shelf.half == set()
        await update(stage)
        assert runs(stage) == [b"1"]

    play(scene)


def test_a_deleted_service_has_its_files_until_its_last_replica_is_gone() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        edit(stage, b"2")
        await update(stage)
        stage.there()[0].stop_seconds = 5.0
        await stage.engine.delete(OWNER, NAME)
        stage.engine._keeping.collect()  # as another service's update does
        await asyncio.sleep(2)
        assert numbers(stage) == [2]
        await stage.until(lambda: not stage.engine.services())
        await asyncio.sleep(0.1)
        assert stage.shelf.kept == {}

    play(scene)


def test_old_revisions_are_dropped_with_their_files() -> None:
    """The newest stay, and the stable one whatever its age; a revision that is dropped cannot be gone back to."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        for _ in range(4):
            await update(stage)
        await asyncio.sleep(1)
        assert [r.number for r in stage.view.revisions] == [3, 4, 5]
        assert numbers(stage) == [3, 4, 5]
        assert sorted(stage.disk.revisions[stage.view.id]) == [3, 4, 5]
        stage.world.on_start = None  # nothing comes up any more
        for _ in range(4):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
        await asyncio.sleep(1)
        assert [r.number for r in stage.view.revisions] == [4, 5, 7, 8, 9], "what serves, and what did before"
        await stage.engine.stop_service(OWNER, NAME)
        await stage.until(lambda: not stage.world.replicas)
        stage.world.on_start = lambda replica: replica.serves()
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        assert [r.number for r in stage.view.revisions] == [4, 5, 8, 9, 10], "also when nothing runs it"
        await stage.engine.rollback(OWNER, NAME, 5)
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")

    play(scene, Stage(settings=EngineSettings(strict=True, revisions_kept=3)))


BESIDE = EngineSettings(strict=True, copies_beside_store=True)


@pytest.mark.parametrize("room_without", [[1], [1, 2], None])
def test_a_service_can_be_deleted_though_the_disk_is_full(room_without: list[int] | None) -> None:
    """The database needs room to forget it: first go the copies that nothing needs, then those that are in use."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        await update(stage)
        await asyncio.sleep(3)
        key = stage.view.id
        went: list[list[int]] = []

        def room() -> bool:
            went.append([number for number in (1, 2) if (key, number) not in stage.shelf.kept])
            return went[-1] == room_without

        stage.store.room = room
        if room_without is None:
            with pytest.raises(
                NoSpace, match="The copies of its files were removed to make room, and that was not enough"
            ):
                await stage.engine.delete(OWNER, NAME)
            stage.store.room = lambda: True
        await stage.engine.delete(OWNER, NAME)
        assert went == [[], [1], [1, 2]][: 2 if room_without == [1] else 3]
        stage.store.room = lambda: True
        await stage.until(lambda: not stage.engine.services())

    play(scene, Stage(settings=BESIDE))


def test_copies_on_another_disk_are_no_room_for_the_database() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await update(stage)
        await asyncio.sleep(3)
        stage.store.room = lambda: False
        with pytest.raises(NoSpace, match=r"^The disk is full\.$"):
            await stage.engine.delete(OWNER, NAME)
        stage.store.room = lambda: True
        assert numbers(stage) == [1, 2]

    play(scene)


@pytest.mark.parametrize("failed", [True, False])
def test_a_disk_without_room_for_a_copy_gets_it_from_a_revision_that_was_taken_back(failed: bool) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await update(stage)
        if failed:
            crashes_in(3, stage)
            await stage.engine.update(OWNER, NAME, change=AGAIN)
            await stage.until(lambda: stage.view.note is not None)
            await stage.quiet()
        stage.world.on_start = lambda replica: replica.serves()
        before = numbers(stage)
        stage.shelf.room = len(before)
        if failed:
            await update(stage)
            assert numbers(stage) == [1, 2, 4]
            assert [r.number for r in stage.view.revisions] == [1, 2, 4]
        else:
            with pytest.raises(NoSpace):
                await stage.engine.update(OWNER, NAME, change=AGAIN)
            assert numbers(stage) == before

    play(scene, Stage(settings=BESIDE))


def test_a_revision_that_a_replica_still_runs_from_is_not_dropped() -> None:
    """Its last replica takes its time to end, while updates come and go."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        (old,) = stage.there()
        old.ignores_stop, old.stop_seconds = True, 30.0
        for _ in range(4):
            await stage.engine.update(OWNER, NAME, change=AGAIN)
            await stage.until(lambda: stage.view.stable_revision == stage.view.revision)
        assert old.id in stage.world.replicas
        assert [r.number for r in stage.view.revisions] == [1, 3, 4, 5]
        assert numbers(stage)[0] == 1
        await stage.until(lambda: old.id not in stage.world.replicas)
        await stage.until(lambda: stage.view.state == "ready")
        await update(stage)
        assert [r.number for r in stage.view.revisions] == [4, 5, 6]

    stop = definition("chat", stop_timeout=3000.0)
    play(scene, Stage(stop, settings=EngineSettings(strict=True, revisions_kept=2)))


def test_what_becomes_unwanted_while_a_collection_runs_is_collected_after_it() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await asyncio.sleep(1)
        storage, asked = stage.engine._keeping._storage, 0
        collect = storage.collect

        async def slow(wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
            nonlocal asked
            asked += 1
            await collect(wanted)
            await asyncio.sleep(10)

        storage.collect = slow  # type: ignore[method-assign]
        stage.engine._keeping.collect()
        await asyncio.sleep(1)
        stage.shelf.kept["former", 1] = {}
        stage.engine._keeping.collect()
        stage.engine._keeping.collect()
        await asyncio.sleep(60)
        assert (asked, [key for key in stage.shelf.kept if key[0] == "former"]) == (2, [])

    play(scene)


def test_a_folder_that_is_not_kept_says_so() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.live = "the folder holds more than 5 files"
        await stage.ready()
        assert [r.request.revision.served_folder for r in stage.there()] == [FOLDER]
        (created,) = await stage.told("service.created")
        assert created.message.endswith(
            "with 1 replica; its files are read where they lie, a rollback cannot bring them back: "
            "the folder holds more than 5 files"
        )
        files = stage.view.revisions[0].files
        assert (files.kind, files.path, files.why) == ("live", None, "the folder holds more than 5 files")
        assert (await stage.engine.inspect(OWNER, NAME)).changed is None
        stage.shelf.live = None
        await update(stage)
        await stage.engine.rollback(OWNER, NAME)
        back: list[EventRecord] = await stage.told("service.rolled_back")
        assert back[-1].message == "rolled back from revision 2 to 1; its files were not kept and are as they are now"

    play(scene)


def test_what_changed_in_the_folder_is_told_as_of_now_and_for_one_service_only() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.shelf.look_seconds = 0.01
        assert (await stage.engine.inspect(OWNER, NAME)).changed == []
        edit(stage, b"2")
        assert (await stage.engine.inspect(OWNER, NAME)).changed == ["app.py"], "right after the edit"
        assert (stage.view.changed, stage.engine.services()[0].changed) == (None, None)
        assert stage.shelf.looks == 2
        await update(stage)
        assert (await stage.engine.inspect(OWNER, NAME)).changed == []

    play(scene)


def test_however_often_it_is_asked_a_fifth_of_the_time_is_spent_looking() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.shelf.look_seconds = 0.05
        asked, end = 0, stage.clock.monotonic() + 10

        async def ask() -> None:
            nonlocal asked
            while stage.clock.monotonic() < end:
                edit(stage, content := b"%d" % asked)
                view = await stage.engine.inspect(OWNER, NAME)
                assert view.changed == ["app.py"] or content == b"1"
                asked += 1

        await asyncio.gather(*(ask() for _ in range(5)))
        assert 30 <= stage.shelf.looks <= 42
        assert asked > 2 * stage.shelf.looks, "who asks at the same time shares a look"

    play(scene)


def test_a_folder_that_is_gone_is_told_as_gone() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        view = await stage.engine.inspect(OWNER, NAME)
        assert (view.changed, view.folder_gone) == ([], False)
        folder = stage.shelf.folders.pop(FOLDER)
        view = await stage.engine.inspect(OWNER, NAME)
        assert (view.changed, view.folder_gone) == ([], True)
        stage.shelf.folders[FOLDER] = folder
        assert not (await stage.engine.inspect(OWNER, NAME)).folder_gone

    play(scene)


def test_a_folder_that_answers_slowly_delays_nobody() -> None:
    """A network file system: what was found out comes with a later answer."""

    async def scene(stage: Stage) -> None:
        await stage.ready()
        edit(stage, b"2")
        stage.shelf.look_seconds = 20.0
        began = stage.clock.monotonic()
        assert (await stage.engine.inspect(OWNER, NAME)).changed is None
        assert stage.clock.monotonic() - began < 1
        await asyncio.sleep(10)
        assert (await stage.engine.inspect(OWNER, NAME)).changed is None
        assert stage.shelf.looks == 1, "one look at a time"
        await asyncio.sleep(10)
        assert (await stage.engine.inspect(OWNER, NAME)).changed == ["app.py"]

    play(scene)


def test_an_update_that_is_taken_back_goes_back_to_the_old_files() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        edit(stage, b"2")
        crashes_in(2, stage)
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.until(lambda: stage.view.note is not None)
        stage.there()[0].dies()
        await stage.until(lambda: stage.view.state == "ready" and len(stage.there()) == 1)
        assert runs(stage) == [b"1"]

    play(scene)


def test_a_pre_start_action_is_shown_as_it_is_written() -> None:
    async def scene(stage: Stage) -> None:
        def prepare(replica: FakeReplica) -> None:
            folder = replica.request.revision.served_folder
            replica.becomes("preparing", action=1, actions=1, label=f"run_command pip install -r {folder}/r.txt")

        stage.world.on_start = prepare
        await stage.create()
        await stage.until(lambda: stage.view.replica_list and stage.view.replica_list[0].phase == "preparing")
        action = stage.view.replica_list[0].action
        assert action is not None
        assert action.label == "run_command pip install -r /models/r.txt"
        stage.there()[0].exits(1, stage="prepare", action=1, tail=("no such index",))
        await stage.until(lambda: any("/models/r.txt" in (r.reason or "") for r in stage.view.replica_list))

    play(scene)


def test_another_folder_is_kept_under_the_next_number() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.definitions.put("/other", definition())
        stage.shelf.folders["/other"] = {"app.py": b"other"}
        await stage.engine.update(OWNER, NAME, change=RevisionChange(folder="/other"))
        await stage.until(lambda: stage.view.state == "ready")
        (replica,) = stage.there()
        assert replica.request.revision.folder == "/other"
        assert stage.shelf.kept[stage.view.id, 2] == {"app.py": b"other"}

    play(scene)
