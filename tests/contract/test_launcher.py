"""What every launcher must do; each test runs over all of them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import InvalidRequest, LaunchError
from jupyter_model_service.ports import Launcher, Seen, StartRequest
from jupyter_model_service.testing import FakeLauncher, StartScript, World
from jupyter_model_service.testing.hub import FakeHub, hub_parts
from jupyter_model_service.testing.hub_spawner import SpawnScript

SERVE = (sys.executable, "-c", "import time; time.sleep(600)", "{port}")


class FakeBench:
    """Launchers over one world; ``broken`` ones fail in mid-start, ``slow`` ones take a minute."""

    def __init__(self, path: Path) -> None:
        self.world = World()

    def launcher(self, *, broken: bool = False, slow: bool = False) -> Launcher:
        error = LaunchError("the spawn failed") if broken else None
        self.world.script = StartScript(seconds=60.0 if slow else 0.0, error=error, spawned_after=0.0)
        return FakeLauncher(self.world)

    def traces(self, replica: str) -> bool:
        return replica in self.world.replicas


class LocalBench:
    def __init__(self, path: Path) -> None:
        self.directory = path / "replicas"
        self.path = path

    def launcher(self, *, broken: bool = False, slow: bool = False) -> Launcher:
        if not broken and not slow:
            return LocalLauncher(self.directory)
        runner = self.path / "other_runner.py"
        runner.write_text("import time\ntime.sleep(60)\n" if slow else "raise SystemExit('no memory')\n")
        return LocalLauncher(self.directory, command=lambda python, spec: [python, str(runner)], start_timeout=45)

    def traces(self, replica: str) -> bool:
        return (self.directory / replica).exists()


class HubBench:
    """Over HTTP to a fake Hub, whose servers are real runners."""

    has_images = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hub = FakeHub(users=["bob", "ann"], interrupt=0.05).__enter__()

    def launcher(self, *, broken: bool = False, slow: bool = False) -> Launcher:
        error = ("image", "There is no image x.") if broken else None
        self.hub.engine.script = SpawnScript(60.0 if slow else 0.0, error)
        return hub_parts(self.hub, self.path).launcher

    def traces(self, replica: str) -> bool:
        containers = {c.options.replica for c in self.hub.engine.containers.values()}
        return f"ms-{replica}" in self.hub.servers() or replica in containers

    def close(self) -> None:
        self.hub.__exit__()


Bench = Any


@pytest.fixture(params=[FakeBench, LocalBench, HubBench], ids=["fake", "local", "hub"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made: Callable[[Path], Bench] = request.param
    bench = made(tmp_path)
    yield bench

    async def end_all() -> None:
        launcher = bench.launcher()
        for seen in await launcher.find():
            await launcher.stop(seen.replica, seen.placement)

    try:
        asyncio.run(end_all())
    finally:
        if hasattr(bench, "close"):
            bench.close()


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], StartRequest]:
    (tmp_path / "model").mkdir()
    definition = Definition(name="m", model_path="/models", port=8000, start_command=SERVE)
    revision = Revision(1, str(tmp_path / "model"), definition, 0.0)
    return lambda replica: StartRequest(replica, "ann", "chat", revision, "5e" * 32, "0" * 32)


Ask = Callable[[str], StartRequest]


async def seen_by(launcher: Launcher) -> dict[str, Seen]:
    return {seen.replica: seen for seen in await launcher.find()}


def test_nothing_is_there_at_first(bench: Bench) -> None:
    assert asyncio.run(seen_by(bench.launcher())) == {}


def test_a_started_replica_is_found_where_it_was_placed(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        one, two = await asyncio.gather(launcher.start(ask("chat-00000a")), launcher.start(ask("chat-00000b")))
        assert await seen_by(launcher) == {
            "chat-00000a": Seen("chat-00000a", one, True),
            "chat-00000b": Seen("chat-00000b", two, True),
        }
        assert len({one.address, two.address, one.control, two.control}) == 4

    asyncio.run(body())


def test_a_placement_survives_json(bench: Bench, ask: Ask) -> None:
    placement = asyncio.run(bench.launcher().start(ask("chat-00000a")))
    assert json.loads(json.dumps(placement.handle)) == placement.handle
    assert isinstance(placement.control, tuple)
    assert isinstance(placement.address, tuple)


def test_starting_twice_is_starting_once(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        assert await launcher.start(ask("chat-00000a")) == await launcher.start(ask("chat-00000a"))
        assert len(await launcher.find()) == 1

    asyncio.run(body())


def test_another_launcher_finds_and_ends_what_the_first_one_started(bench: Bench, ask: Ask) -> None:
    placement = asyncio.run(bench.launcher().start(ask("chat-00000a")))

    async def body() -> None:
        second = bench.launcher()
        assert await seen_by(second) == {"chat-00000a": Seen("chat-00000a", placement, True)}
        assert await second.start(ask("chat-00000a")) == placement
        await second.stop("chat-00000a", None)
        assert await seen_by(second) == {}

    asyncio.run(body())
    assert not bench.traces("chat-00000a")


def test_stopping_leaves_nothing_and_may_be_repeated(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(ask("chat-00000a"))
        other = await launcher.start(ask("chat-00000b"))
        await launcher.stop("chat-00000a", placement)
        assert not bench.traces("chat-00000a")
        await launcher.stop("chat-00000a", placement)
        await launcher.stop("never-was", None)
        assert await seen_by(launcher) == {"chat-00000b": Seen("chat-00000b", other, True)}

    asyncio.run(body())


def test_a_stopped_replica_can_be_started_again(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        first = await launcher.start(ask("chat-00000a"))
        await launcher.stop("chat-00000a", first)
        second = await launcher.start(ask("chat-00000a"))
        assert second.handle != first.handle
        assert await seen_by(launcher) == {"chat-00000a": Seen("chat-00000a", second, True)}

    asyncio.run(body())


def test_a_start_that_fails_leaves_nothing(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher(broken=True)
        with pytest.raises(LaunchError) as caught:
            await launcher.start(ask("chat-00000a"))
        assert caught.value.stage
        assert await seen_by(launcher) == {}

    asyncio.run(body())
    assert not bench.traces("chat-00000a")


def test_a_start_that_is_cancelled_leaves_nothing(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher(slow=True)
        task = asyncio.create_task(launcher.start(ask("chat-00000a")))
        for _ in range(500):
            if bench.traces("chat-00000a"):
                break
            await asyncio.sleep(0.01)
        assert bench.traces("chat-00000a")
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done
        assert task.cancelled()
        assert await seen_by(launcher) == {}

    asyncio.run(body())
    assert not bench.traces("chat-00000a")


def test_nothing_is_exposed_by_a_replica_that_listens_nowhere(bench: Bench, ask: Ask) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(ask("chat-00000a"))
        assert list(await launcher.exposed("chat-00000a", placement)) == []

    asyncio.run(body())


def test_an_image_is_refused_where_there_are_none(bench: Bench, ask: Ask) -> None:
    revision = ask("chat-00000a").revision
    assert list(bench.launcher().check(revision)) == []
    if getattr(bench, "has_images", False):
        return
    with pytest.raises(InvalidRequest, match="leave"):
        bench.launcher().check(
            Revision(2, revision.folder, revision.definition, 0.0, image="cr.example.org/python:3.12")
        )
