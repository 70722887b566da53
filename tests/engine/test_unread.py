"""What was sealed with a key that is gone: replicas that cannot be spoken to are replaced, and no model is started
without the environment that its owner gave it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import InvalidRequest

from .stage import FOLDER, NAME, OWNER, Stage, play

GIVEN = {"HF_TOKEN": "hf_1", "NOTE": "x"}


def lost(stage: Stage) -> None:
    """As the store tells it, when the key is another one than that which it was sealed with."""
    disk = stage.disk
    disk.replicas = {id: replace(each, secret="") for id, each in disk.replicas.items()}
    for revisions in disk.revisions.values():
        for number, each in revisions.items():
            unread = tuple(name for name, _ in each.environment)
            revisions[number] = replace(each, environment=(), unread=unread)


def test_replicas_whose_secrets_are_lost_are_ended_and_others_take_their_places() -> None:
    async def scene(stage: Stage) -> None:
        before = {each.id for each in await stage.ready(2)}
        await stage.kill()
        lost(stage)
        await stage.reopen()
        await stage.until(lambda: stage.view.state == "ready", 30)
        await stage.quiet()
        after = {each.id for each in stage.there()}
        assert len(after) == 2
        assert not after & before, "nobody adopts what she cannot prove herself to"
        assert set(stage.disk.replicas) == after

    play(scene)


def test_they_are_not_believed_to_be_there_either_while_the_world_is_out_of_reach() -> None:
    async def scene(stage: Stage) -> None:
        before = {each.id for each in await stage.ready(2)}
        await stage.kill()
        lost(stage)
        stage.settings = replace(stage.settings, first_look=1.0)
        stage.world.find_seconds = 5.0
        await stage.reopen()
        await asyncio.sleep(1)
        assert stage.takes_calls() == set()
        await stage.until(lambda: stage.view.state == "ready", 30)
        await stage.quiet()
        assert not {each.id for each in stage.there()} & before

    play(scene)


async def without_its_values(stage: Stage) -> None:
    await stage.engine.create(OWNER, change=RevisionChange(folder=FOLDER, environment=GIVEN), name=NAME, replicas=1)
    await stage.until(lambda: stage.view.state == "ready")
    await stage.quiet()
    await stage.kill()
    lost(stage)
    await stage.reopen()


def test_a_model_is_not_started_without_what_it_was_given_and_says_so() -> None:
    async def scene(stage: Stage) -> None:
        await without_its_values(stage)
        requests = len(stage.world.requests)
        await asyncio.sleep(30)
        assert len(stage.world.requests) == requests
        assert stage.there() == []
        reason = stage.view.reason
        assert reason is not None
        assert "The values of the environment variables HF_TOKEN, NOTE cannot be read any more" in reason
        assert "--env NAME=VALUE" in reason
        (revision,) = stage.view.revisions
        assert revision.environment == ["HF_TOKEN", "NOTE"], "which they are is still known"

    play(scene)


def test_nothing_that_would_start_it_is_taken_until_they_are_given_again() -> None:
    async def scene(stage: Stage) -> None:
        await without_its_values(stage)
        engine = stage.engine
        for command in (
            engine.restart(OWNER, NAME),
            engine.scale(OWNER, NAME, 2),
            engine.update(OWNER, NAME, change=RevisionChange(cpus=1.0)),
        ):
            with pytest.raises(InvalidRequest, match="HF_TOKEN, NOTE cannot be read any more"):
                await command
        await engine.stop_service(OWNER, NAME)
        with pytest.raises(InvalidRequest, match="HF_TOKEN"):
            await engine.start_service(OWNER, NAME)
        await engine.update(OWNER, NAME, change=RevisionChange(environment=GIVEN))
        await engine.start_service(OWNER, NAME)
        await stage.until(lambda: stage.view.state == "ready", 30)
        (there,) = stage.there()
        assert there.request.revision.environment == (("HF_TOKEN", "hf_1"), ("NOTE", "x"))
        with pytest.raises(InvalidRequest, match="HF_TOKEN"):
            await engine.rollback(OWNER, NAME, 1)
        assert stage.view.revision == 2

    play(scene)


def test_with_an_environment_that_is_taken_away_it_runs_as_well() -> None:
    async def scene(stage: Stage) -> None:
        await without_its_values(stage)
        await stage.engine.update(OWNER, NAME, change=RevisionChange(environment={}))
        await stage.until(lambda: stage.view.state == "ready", 30)
        (there,) = stage.there()
        assert there.request.revision.environment == ()

    play(scene)
