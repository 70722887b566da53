"""Anything at any time, by seed; then all goes well, and everything must be in order again."""

from __future__ import annotations

import asyncio
import random

import pytest

from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import Conflict, LaunchError, StoreError
from jupyter_model_service.testing import FakeReplica, StartScript

from .stage import NAME, OWNER, Stage, play

STEPS = 120


class Chaos:
    """The things that people and the world do to one service."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.timers: list[asyncio.TimerHandle] = []

    async def step(self) -> None:
        people, world = self.dice.random() < 0.3, self.dice.random() < 0.9
        act = self.command if people else self.mishap if world else self.gateway_dies
        await act()
        await asyncio.sleep(self.dice.choice([0.0, 0.001, 0.01, 0.2, 1.0, 3.0, 12.0]))

    async def command(self) -> None:
        engine, dice = self.stage.engine, self.dice
        command = dice.choice(
            [
                lambda: engine.scale(OWNER, NAME, dice.randrange(5)),
                lambda: engine.scale(OWNER, NAME, dice.randrange(1, 5)),
                lambda: engine.update(OWNER, NAME, change=RevisionChange()),
                lambda: engine.rollback(OWNER, NAME),
                lambda: engine.restart(OWNER, NAME),
                lambda: engine.stop_service(OWNER, NAME),
                lambda: engine.start_service(OWNER, NAME),
            ]
        )
        try:
            await command()
        except (Conflict, StoreError):
            pass

    async def mishap(self) -> None:
        world, dice = self.stage.world, self.dice
        there = list(world)
        kind = dice.randrange(10)
        if kind == 0:
            world.script = StartScript(dice.choice([0, 0.5, 5]), spawned_after=dice.choice([None, 0.1]))
        elif kind == 1:
            world.scripts.append(StartScript(1.0, LaunchError("no"), spawned_after=dice.choice([None, 0.5])))
        elif kind == 2:
            self.stage.store.fail_writes = dice.choice([None, "disk full"])
        elif kind == 3:
            world.find_error = dice.choice([None, None, LaunchError("busy")])
            world.stop_error = dice.choice([None, None, LaunchError("busy")])
            world.places = dice.choice([None, None, 1, 2, 3])
        elif there:
            self.hurt(dice.choice(there), kind)

    def hurt(self, replica: FakeReplica, kind: int) -> None:
        if kind == 4 and replica.state.phase in ("preparing", "loading"):
            replica.exits(1, stage="prepare" if replica.state.phase == "preparing" else "serve")
        elif kind == 5:
            replica.dies()
        elif kind == 6 and replica.alive:
            replica.falls_silent()
            self.timers.append(asyncio.get_running_loop().call_later(self.dice.choice([1, 5]), self.speaks, replica))
        elif kind == 7:
            replica.hangs = not replica.hangs
        elif kind == 8:
            replica.status = self.dice.choice([200, 500])
        elif kind == 9:
            replica.ignores_stop = True

    def speaks(self, replica: FakeReplica) -> None:
        if replica.alive:
            replica.speaks()

    async def gateway_dies(self) -> None:
        self.stage.world.find_error = None
        await self.stage.kill()
        await self.stage.reopen()

    def comes_up(self, replica: FakeReplica) -> None:
        way = self.dice.randrange(4)
        loop = asyncio.get_running_loop()
        if way == 0:
            replica.becomes("loading")
            replica.exits(1, tail=("boom",))
        elif way == 1:
            replica.becomes("preparing", action=1, actions=1, label="pip")
            self.timers.append(loop.call_later(2.0, self.serves, replica))
        elif way == 2:
            replica.becomes("loading")
            self.timers.append(loop.call_later(1.0, self.serves, replica))
        else:
            replica.serves()

    def serves(self, replica: FakeReplica) -> None:
        if replica.alive and replica.state.phase in ("preparing", "loading"):
            replica.serves()

    async def calm(self) -> None:
        """The world is good again, to all that live and all that come."""
        stage, world = self.stage, self.stage.world
        world.on_start = lambda replica: replica.serves()
        world.script, world.find_error, world.stop_error, world.places = StartScript(), None, None, None
        world.scripts.clear()
        stage.store.fail_writes = None
        for timer in self.timers:
            timer.cancel()
        for replica in world:
            replica.hangs, replica.status, replica.ignores_stop = False, 200, False
            if replica.alive:
                replica.speaks()
                self.serves(replica)
        await asyncio.sleep(70)  # the longest back-off, and whatever is still being written
        if stage.view.state in ("failed", "stopped") or stage.view.replicas.want == 0:
            await stage.engine.scale(OWNER, NAME, 2)
            await stage.engine.start_service(OWNER, NAME)


@pytest.mark.parametrize("seed", range(25))
def test_after_any_chaos_everything_is_in_order_again(seed: int) -> None:
    async def scene(stage: Stage) -> None:
        chaos = Chaos(stage, random.Random(seed))
        await stage.create(3)
        stage.world.on_start = chaos.comes_up
        for _ in range(STEPS):
            await chaos.step()
        await chaos.calm()
        await stage.until(lambda: stage.view.state == "ready", 600)
        await stage.quiet()
        view = stage.view
        assert view.replicas.ready == view.replicas.want == len(stage.there())
        assert {r.request.revision.number for r in stage.there()} == {view.revision}
        assert view.stable_revision == view.revision
        assert stage.takes_calls() == set(stage.world.replicas) == set(stage.disk.replicas)
        assert stage.engine.store_error is None
        assert stage.disk.services[view.id].active == view.revision
        replicas = [r.id for r in stage.there()]
        await asyncio.sleep(300)
        assert [r.id for r in stage.there()] == replicas, "and it stays so"

    play(scene)
