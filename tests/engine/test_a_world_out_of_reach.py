"""A gateway that starts while the Hub is away: what the store knows and a lease proves serves, and nothing is started
or ended before the Hub has been asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from jupyter_model_service.engine.settings import EngineSettings
from jupyter_model_service.errors import HubRefused, HubUnavailable, LaunchError
from jupyter_model_service.ports import Seen, StartRequest
from jupyter_model_service.testing import FakeLauncher

from .stage import NAME, OWNER, Stage, play

AWAY = HubUnavailable("The Hub does not answer.")


def stage() -> Stage:
    return Stage(settings=EngineSettings(strict=True, first_look=2.0))


def test_endpoints_serve_while_the_hub_is_away() -> None:
    """The same replicas, at once, for as long as it takes; when the Hub is back everything is as it was."""

    async def scene(stage: Stage) -> None:
        before = await stage.ready(2)
        requests = len(stage.world.requests)
        await stage.kill()
        stage.world.find_error = AWAY
        await stage.reopen()
        assert await stage.until(lambda: stage.takes_calls() == {r.id for r in before}) < 0.3
        await asyncio.sleep(1000)
        assert (stage.view.state, stage.there(), stage.takes_calls()) == ("ready", before, {r.id for r in before})
        stage.world.find_error = None
        await asyncio.sleep(100)
        assert (stage.view.state, stage.there(), len(stage.world.requests)) == ("ready", before, requests)
        await stage.engine.scale(OWNER, NAME, 3)
        await stage.until(lambda: stage.view.replicas.ready == 3, 30)

    play(scene, stage())


def test_a_hub_that_does_not_even_refuse_is_waited_for_no_longer_than_told() -> None:
    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await stage.kill()
        stage.world.find_seconds = 1000.0
        began = stage.clock.monotonic()
        await stage.reopen()
        assert stage.clock.monotonic() - began < 2.5
        assert await stage.until(lambda: stage.takes_calls() == {replica.id}) < 0.3
        stage.world.find_seconds = 0.0
        await stage.engine.scale(OWNER, NAME, 2)
        await stage.until(lambda: stage.view.replicas.ready == 2, 60)
        assert replica in stage.there()

    play(scene, stage())


def test_silence_ends_no_replica_before_the_hub_was_asked() -> None:
    """One that does not answer, and one that is lost meanwhile, keep their places; then the Hub's word counts."""

    async def scene(stage: Stage) -> None:
        silent, lost, dead, well = await stage.ready(4)
        await stage.kill()
        silent.reachable = False
        dead.dies()
        stage.world.find_error = AWAY
        await stage.reopen()
        await stage.until(lambda: stage.takes_calls() == {lost.id, well.id})
        lost.falls_silent()
        await asyncio.sleep(600)
        assert stage.there() == [silent, lost, dead, well]
        assert (len(stage.world.requests), stage.takes_calls()) == (4, {well.id})
        assert "cannot be looked for yet" in str(stage.view.reason)
        silent.speaks()
        await stage.until(lambda: stage.takes_calls() == {silent.id, well.id}, 20)
        stage.world.find_error = None
        await stage.until(lambda: stage.view.state == "ready", 60)
        await stage.quiet()
        assert {silent, well} < set(stage.there())
        assert not {lost, dead} & set(stage.there())
        assert len(stage.there()) == 4

    play(scene, stage())


def test_what_is_not_known_is_ended_only_after_the_look() -> None:
    """A stray, and one whose launch was cut off before its place was written down, which is adopted then."""

    async def scene(stage: Stage) -> None:
        known, cut_off = await stage.ready(2)
        await stage.kill()
        stage.world.spawn(StartRequest("stray-000001", OWNER, "x", known.request.revision, "s" * 64))
        stage.disk.replicas[cut_off.id] = replace(stage.disk.replicas[cut_off.id], placement=None)
        stage.world.find_error = AWAY
        await stage.reopen()
        await asyncio.sleep(100)
        assert (len(stage.world), stage.takes_calls(), len(stage.world.requests)) == (3, {known.id}, 2)
        stage.world.find_error = None
        await stage.until(lambda: stage.takes_calls() == {known.id, cut_off.id}, 20)
        await stage.until(lambda: set(stage.world.replicas) == {known.id, cut_off.id}, 20)
        assert len(stage.world.requests) == 2

    play(scene, stage())


def test_a_replica_that_the_hub_does_not_have_is_replaced_once_the_hub_has_said_so() -> None:
    """Removed on the Hub's page by an administrator while the gateway could not see it."""

    async def scene(stage: Stage) -> None:
        gone, stays = await stage.ready(2)
        await stage.kill()
        stage.world.remove(gone.id)
        stage.world.find_error = AWAY
        await stage.reopen()
        await asyncio.sleep(100)
        assert stage.there() == [stays]
        stage.world.find_error = None
        await stage.until(lambda: stage.view.state == "ready", 60)
        assert len(stage.there()) == 2
        assert stays in stage.there()

    play(scene, stage())


def test_a_replica_that_lives_without_a_record_of_the_hub_is_ended_and_replaced() -> None:
    """As after a Hub whose database was lost: nobody but its own lease knows of it, so that nobody could end it."""

    class Forgetful(FakeLauncher):
        forgotten: ClassVar[set[str]] = set()

        async def find(self) -> Sequence[Seen]:
            return [seen for seen in await super().find() if seen.replica not in self.forgotten]

    async def scene(stage: Stage) -> None:
        lost, kept = await stage.ready(2)
        await stage.kill()
        stage.launcher_class = Forgetful
        stage.world.find_error = AWAY
        await stage.reopen()
        await stage.until(lambda: len(stage.takes_calls()) == 2)
        Forgetful.forgotten.add(lost.id)
        stage.world.find_error = None
        await stage.until(lambda: lost not in stage.there() and stage.view.state == "ready", 60)
        assert lost.stops, "it was asked to end"
        assert kept in stage.there()

    play(scene, stage())


def test_a_service_deleted_meanwhile_is_gone_when_the_hub_is_back() -> None:
    async def scene(stage: Stage) -> None:
        await stage.ready(2)
        await stage.kill()
        stage.world.find_error = AWAY
        await stage.reopen()
        await stage.until(lambda: len(stage.takes_calls()) == 2)
        await stage.engine.delete(OWNER, NAME)
        await asyncio.sleep(10)
        assert (stage.routing.get(OWNER, NAME), len(stage.world)) == (None, 2)
        stage.world.find_error = None
        await stage.until(lambda: len(stage.world) == 0 and not stage.engine.services(), 60)

    play(scene, stage())


def test_killed_again_before_the_hub_is_back() -> None:
    async def scene(stage: Stage) -> None:
        before = await stage.ready(2)
        stage.world.find_error = AWAY
        for _ in range(3):
            await stage.kill()
            await stage.reopen()
            await stage.until(lambda: stage.takes_calls() == {r.id for r in before}, 5)
        stage.world.find_error = None
        await asyncio.sleep(60)
        assert stage.there() == before

    play(scene, stage())


@pytest.mark.parametrize("error", [HubRefused("The Hub says no.", hub_status=403), LaunchError("no directory")])
def test_a_look_that_is_refused_fails_the_start(error: HubRefused | LaunchError) -> None:
    """A wrong token is no Hub that is away: whoever runs the gateway has to hear of it."""

    async def scene(stage: Stage) -> None:
        (replica,) = await stage.ready()
        await stage.kill()
        stage.world.find_error = error
        with pytest.raises(LaunchError, match="cannot be looked for, so none is started"):
            await stage.reopen()
        await stage.engine.stop(end_replicas=False)
        stage.world.find_error = None
        await stage.reopen()
        await stage.until(lambda: stage.takes_calls() == {replica.id})

    play(scene, stage())
