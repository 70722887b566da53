"""What is heard of a copy while somebody waits for it, and what an owner may have in sum."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.engine.bus import Change
from jupyter_model_service.errors import InvalidRequest, Unauthenticated
from jupyter_model_service.ports import NOTHING_HELD
from jupyter_model_service.testing import FakeLauncher

from .stage import FOLDER, NAME, OWNER, Stage, definition, play

AGAIN = RevisionChange()


class Listener:
    def __init__(self, stage: Stage) -> None:
        self.heard: list[Change] = []
        self._subscription = stage.engine.subscribe()
        self._task = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for change in self._subscription:
            if change.kind == "copying":
                self.heard.append(change)

    async def close(self) -> None:
        self._subscription.close()
        await self._task

    @property
    def copies(self) -> list[Any]:
        return [change.copy for change in self.heard]


def test_how_far_a_copy_is_is_heard_before_there_is_a_service() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.folders[FOLDER] = dict.fromkeys("abcd", b"12345")
        stage.shelf.seconds = 40.0
        listener = Listener(stage)
        await stage.create()
        await asyncio.sleep(0.1)
        assert {change.key for change in listener.heard} == {f"{OWNER}/{NAME}"}
        assert {(copy.service, copy.folder, copy.revision) for copy in listener.copies} == {
            (f"{OWNER}/{NAME}", FOLDER, 1)
        }
        assert [(copy.files, copy.bytes, round(copy.seconds), copy.over) for copy in listener.copies] == [
            (1, 5, 10, False),
            (2, 10, 20, False),
            (3, 15, 30, False),
            (4, 20, 40, False),
            (4, 20, 40, True),
        ]
        assert {(copy.of_files, copy.of_bytes) for copy in listener.copies} == {(4, 20)}
        await listener.close()

    play(scene)


def test_a_service_that_is_given_no_name_has_the_one_that_it_gets() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.seconds = 40.0
        listener = Listener(stage)
        view = await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER), name=None)
        assert {change.key for change in listener.heard} == {view.key}
        await listener.close()

    play(scene)


def test_whoever_may_not_any_more_when_the_copy_is_there_gets_nothing_for_it() -> None:
    """Asked once, after a copy that may have taken hours; what was copied is removed."""

    async def scene(stage: Stage) -> None:
        stage.shelf.seconds = 40.0
        asked: list[float] = []

        async def still() -> None:
            asked.append(stage.clock.now())
            raise Unauthenticated("The token is not valid: it is unknown, expired or revoked.")

        began = stage.clock.now()
        change = RevisionChange(folder=FOLDER)
        with pytest.raises(Unauthenticated):
            await stage.engine.create(OWNER, change=change, name=NAME, still=still)
        assert [at - began >= 40.0 for at in asked] == [True]
        assert stage.engine.services() == []
        await stage.until(lambda: not stage.shelf.kept)
        await stage.create()
        with pytest.raises(Unauthenticated):
            await stage.engine.update(OWNER, NAME, change=change, still=still)
        assert (len(asked), stage.view.revision) == (2, 1)
        await stage.until(lambda: len(stage.shelf.kept) == 1)

    play(scene)


def test_of_a_copy_that_takes_no_time_nothing_is_heard() -> None:
    async def scene(stage: Stage) -> None:
        listener = Listener(stage)
        stage.shelf.seconds = 0.4
        await stage.create()
        await asyncio.sleep(1)
        assert listener.heard == []
        await listener.close()

    play(scene)


def test_that_a_copy_has_failed_is_heard_too() -> None:
    async def scene(stage: Stage) -> None:
        listener = Listener(stage)
        stage.shelf.seconds, stage.shelf.error = 40.0, InvalidRequest("x cannot be read.")
        with pytest.raises(InvalidRequest):
            await stage.create()
        await asyncio.sleep(0.1)
        assert [copy.over for copy in listener.copies][-1] is True
        await listener.close()

    play(scene)


def test_the_history_of_a_service_is_not_flooded_by_a_long_copy() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        stage.shelf.seconds, stage.shelf.told_every = 20_000.0, 1.0
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        told = await stage.told("service.copying")
        assert 5 < len(told) < 20
        assert told[0].message.startswith("copying the files of revision 2: ")
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


@pytest.mark.parametrize("command", ["create", "update"])
def test_a_caller_who_leaves_gives_the_copy_up(command: str) -> None:
    async def scene(stage: Stage) -> None:
        if command == "update":
            await stage.ready()
        stage.shelf.seconds = 40.0
        working: asyncio.Task[Any] = asyncio.ensure_future(
            stage.create() if command == "create" else stage.engine.update(OWNER, NAME, change=AGAIN)
        )
        await asyncio.sleep(15)
        assert stage.shelf.half
        working.cancel()
        await asyncio.wait({working})
        await asyncio.sleep(100)
        numbers = [revision.number for view in stage.engine.services() for revision in view.revisions]
        assert numbers == ([] if command == "create" else [1])
        stage.shelf.seconds = 0.0
        if command == "update":  # and the next one is not kept out
            await stage.engine.update(OWNER, NAME, change=AGAIN)
            await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_of_a_folder_that_is_out_of_reach_nothing_is_claimed() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        seen = await stage.engine.inspect(OWNER, NAME)
        assert (seen.changed, seen.folder_changed) == ([], False)
        stage.shelf.folders[FOLDER] = {"app.py": b"2"}
        await asyncio.sleep(10)
        assert (await stage.engine.inspect(OWNER, NAME)).folder_changed is True
        stage.shelf.out_of_reach = True
        await asyncio.sleep(10)
        seen = await stage.engine.inspect(OWNER, NAME)
        assert (seen.changed, seen.folder_changed) == (None, None)

    play(scene)


# --- limits in sum ---------------------------------------------------------------------------------------


class Strict(FakeLauncher):
    """Five replicas for everybody."""

    def check(
        self, revision: Revision, *, owner: str = "", public: bool = False, replicas: int = 1, held: Held = NOTHING_HELD
    ) -> tuple[str, ...]:
        if replicas and held.replicas + replicas > 5:
            raise InvalidRequest(f"{held.replicas} and {replicas} are more than 5.")
        return ()


async def other(stage: Stage, name: str, replicas: int, owner: str = OWNER) -> None:
    stage.definitions.put(f"/{name}", definition(name))
    await stage.engine.create(owner, change=RevisionChange(folder=f"/{name}"), name=name, replicas=replicas)


def strictly() -> Stage:
    stage = Stage()
    stage.launcher_class = Strict
    stage.build()
    return stage


def test_the_services_of_an_owner_are_counted_together() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(3)
        await other(stage, "bobs", 5, owner="bob")
        with pytest.raises(InvalidRequest, match=r"^3 and 3 are more"):
            await other(stage, "second", 3)
        assert len(stage.engine.services()) == 2
        await other(stage, "second", 2)
        with pytest.raises(InvalidRequest, match=r"^2 and 4 are more"):
            await stage.engine.scale(OWNER, NAME, 4)
        assert stage.view.replicas.want == 3
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.engine.scale(OWNER, NAME, 1)
        await stage.engine.scale(OWNER, "second", 4)
        with pytest.raises(InvalidRequest, match=r"^4 and 2 are more"):
            await stage.engine.scale(OWNER, NAME, 2)
        await stage.until(lambda: all(view.state == "ready" for view in stage.engine.services()))

    play(scene, strictly())


def test_a_stopped_service_holds_nothing_and_is_looked_at_when_it_starts() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(3)
        await stage.engine.stop_service(OWNER, NAME)
        await other(stage, "second", 5)
        await stage.engine.update(OWNER, NAME, change=AGAIN)
        await stage.engine.scale(OWNER, NAME, 4)
        with pytest.raises(InvalidRequest, match=r"^5 and 4 are more"):
            await stage.engine.start_service(OWNER, NAME)
        assert stage.view.state == "stopped"
        await stage.engine.delete(OWNER, "second")
        await stage.engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready")

    play(scene, strictly())


def test_two_that_are_made_at_the_same_time_cannot_pass_the_limit_together() -> None:
    async def scene(stage: Stage) -> None:
        stage.shelf.seconds = 10.0
        made = await asyncio.gather(other(stage, "first", 3), other(stage, "second", 3), return_exceptions=True)
        assert [type(each) for each in made if each is not None] == [InvalidRequest]
        await stage.until(lambda: all(view.state == "ready" for view in stage.engine.services()))

    play(scene, strictly())
