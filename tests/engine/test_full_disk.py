"""A store that cannot be written: serving and healing go on, commands fail and change nothing, all is caught up."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import StoreError

from .stage import NAME, OWNER, Stage, play


def test_serving_and_healing_go_on_and_everything_is_caught_up() -> None:
    async def scene(stage: Stage) -> None:
        victim, _ = await stage.ready(2)
        await asyncio.sleep(1)
        assert stage.engine.store_error is None
        stage.store.fail_writes = "disk full"
        victim.exits(signal="SIGKILL")
        await stage.until(lambda: stage.view.restarts == 1 and len(stage.takes_calls()) == 2, 2)
        assert "disk full" in (stage.engine.store_error or "")
        assert "replica.failed" in {e.kind for e in await stage.told()}, "what is not written yet is told as well"
        await asyncio.sleep(60)
        assert len(stage.takes_calls()) == 2
        stage.store.fail_writes = None
        await stage.until(lambda: stage.engine.store_error is None, 6)
        await asyncio.sleep(0.1)
        assert set(stage.disk.replicas) == set(stage.world.replicas)
        assert "replica.failed" in {e.kind for e in stage.disk.events}
        ids = [e.id for e in stage.disk.events]
        assert ids == [ids[0] + n for n in range(len(ids))], "none lost, none twice"

    play(scene)


@pytest.mark.parametrize(
    "command", ["create", "update", "public", "scale", "restart", "stop_service", "delete", "rollback"]
)
def test_a_command_that_cannot_be_kept_changes_nothing(command: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await stage.engine.update(OWNER, NAME, change=RevisionChange())
        await stage.until(lambda: stage.view.state == "ready")
        await stage.quiet()
        await asyncio.sleep(1)
        view, there = stage.view, stage.there()
        stage.store.fail_writes = "disk full"
        engine = stage.engine
        calls = {
            "create": lambda: engine.create(
                OWNER, change=RevisionChange(folder="/models/chat"), name="other", replicas=1, public=False
            ),
            "update": lambda: engine.update(OWNER, NAME, change=RevisionChange()),
            "public": lambda: engine.update(OWNER, NAME, change=RevisionChange(), public=True),
            "scale": lambda: engine.scale(OWNER, NAME, 5),
            "restart": lambda: engine.restart(OWNER, NAME),
            "stop_service": lambda: engine.stop_service(OWNER, NAME),
            "delete": lambda: engine.delete(OWNER, NAME),
            "rollback": lambda: engine.rollback(OWNER, NAME),
        }
        with pytest.raises(StoreError, match="disk full"):
            await calls[command]()
        await asyncio.sleep(10)
        assert (stage.view, stage.there(), len(stage.routing)) == (view, there, 1)
        stage.store.fail_writes = None
        await calls[command]()
        await asyncio.sleep(10)
        assert engine.store_error is None

    play(scene)


def test_a_write_that_fails_half_way_through_an_update_burns_its_number_only() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready()
        await asyncio.sleep(1)
        stage.store.fail_writes, stage.store.writes_left = "disk full", 1
        with pytest.raises(StoreError):
            await stage.engine.update(OWNER, NAME, change=RevisionChange())
        assert (stage.view.revision, [r.number for r in stage.view.revisions]) == (1, [1])
        stage.store.fail_writes = None
        assert (await stage.engine.update(OWNER, NAME, change=RevisionChange())).revision == 3
        await stage.until(lambda: stage.view.state == "ready")

    play(scene)


def test_a_gateway_killed_while_the_disk_is_full_leaves_no_orphan() -> None:
    """The replacement was never written down: the next gateway ends it as a stray and starts one that it knows."""

    async def scene(stage: Stage) -> None:
        (victim,) = await stage.ready()
        stage.store.fail_writes = "disk full"
        victim.exits(1)
        await stage.until(lambda: stage.view.restarts == 1 and stage.takes_calls())
        await stage.kill()
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready" and len(stage.there()) == 1)
        await stage.quiet()
        assert set(stage.world.replicas) == set(stage.disk.replicas)

    play(scene)


def test_what_the_plan_decides_is_kept_later() -> None:
    """A revision is given up while nothing can be written."""

    async def scene(stage: Stage) -> None:
        await stage.create()
        await asyncio.sleep(1)
        stage.world.on_start = lambda r: r.exits(1)
        stage.store.fail_writes = "disk full"
        for replica in stage.there():
            replica.exits(1)
        await asyncio.sleep(10)
        assert stage.disk.services[stage.view.id].error is None
        stage.store.fail_writes = None
        await stage.until(lambda: stage.engine.store_error is None, 6)
        assert stage.disk.services[stage.view.id].stable == 1

    play(scene)


def test_what_comes_too_late_for_a_removed_service_is_dropped() -> None:
    """A launch that waited for its turn while the service was removed: no record, and no trouble."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await asyncio.sleep(1)
        ledger, record = stage.engine._ledger, stage.disk.replicas[replica.id]
        removal = asyncio.ensure_future(ledger.remove_service(stage.view.id))
        await asyncio.sleep(0)
        await ledger.save_replica(record)
        await removal
        assert (stage.disk.replicas, stage.engine.store_error) == ({}, None)
        assert await ledger.flush()
        await stage.engine._turns.in_turn(_deleted(stage))

    async def _deleted(stage: Stage) -> None:
        service = stage.engine._turns.find(OWNER, NAME)
        service.deleting = True
        stage.engine._controller.unpublish(service)
        stage.engine._controller.touch(service)

    play(scene)
