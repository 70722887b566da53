"""The fakes do what their real counterparts do, as far as the engine can tell."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_model_service import ports
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.reports import LeaseClosed, LeaseEvent, LeaseOpened, LeaseSample, LeaseState
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import DefinitionError, LaunchError, Problem, StoreError
from jupyter_model_service.testing import (
    CountingMeter,
    FakeDefinitions,
    FakeLauncher,
    FakeLease,
    FakeLeases,
    FakeProbe,
    MemoryStore,
    StartScript,
    World,
    run_in_virtual_time,
)

DEFINITION = Definition("m", "/models", 8000, ("run",))
REQUEST = ports.StartRequest("chat-a", "ann", "chat", Revision(1, "/f", DEFINITION, 0.0), "s3cret")
SERVICE = ports.ServiceRecord("id", "ann", "chat", False, True, 1, 1, None, 0.0)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def kinds(events: list[LeaseEvent]) -> list[str]:
    return [e.state.phase if isinstance(e, LeaseOpened | LeaseState) else type(e).__name__ for e in events]


def test_a_lease_tells_the_story_of_its_replica() -> None:
    async def body() -> list[LeaseEvent]:
        world, events = World(), list[LeaseEvent]()
        placement = await FakeLauncher(world).start(REQUEST)
        lease = FakeLeases(world).open("chat-a", placement.control, "s3cret", events.append)
        assert events == []  # never before open() has returned
        await turns()
        replica = world.replica("chat-a")
        replica.serves()
        replica.samples(rss=7)
        replica.falls_silent()
        replica.samples(rss=8)
        await turns()
        replica.speaks()
        await turns()
        lease.stop(3)
        await turns()
        lease.collected()
        await turns()
        await lease.close()
        assert replica.stops == [3]
        assert replica.collected
        assert replica.state.exit
        assert replica.state.exit.signal == "SIGTERM"
        return events

    events = run_in_virtual_time(body())
    assert kinds(events) == [
        *("preparing", "loading", "LeaseSample", "LeaseClosed"),
        *("loading", "stopping", "exited", "LeaseClosed"),
    ]
    assert events[2] == LeaseSample(None, 7)
    assert events[3] == LeaseClosed("nothing was heard for 3 s")


@pytest.mark.parametrize("secret", ["wrong", "s3cret"])
def test_nothing_is_heard_with_a_wrong_secret_or_after_close(secret: str) -> None:
    async def body() -> list[LeaseEvent]:
        world, events = World(), list[LeaseEvent]()
        placement = await FakeLauncher(world).start(REQUEST)
        lease = FakeLeases(world).open("chat-a", placement.control, secret, events.append)
        if secret == "s3cret":
            await turns()
            events.clear()
            await lease.close()
        await turns()
        world.replica("chat-a").dies()
        await turns()
        with pytest.raises(LaunchError):
            await lease.logs()
        return events

    assert run_in_virtual_time(body()) == []


def test_a_newer_lease_replaces_the_former_and_waits_for_a_silent_replica() -> None:
    async def body() -> tuple[list[str], list[str]]:
        world, first, second = World(), list[LeaseEvent](), list[LeaseEvent]()
        placement = await FakeLauncher(world).start(REQUEST)
        leases = FakeLeases(world)
        leases.open("chat-a", placement.control, "s3cret", first.append)
        await turns()
        leases.open("chat-a", placement.control, "s3cret", second.append)
        await turns()
        world.replica("chat-a").falls_silent()
        await turns()
        third = list[LeaseEvent]()
        leases.open("chat-a", placement.control, "s3cret", third.append)
        await turns()
        assert third == []
        world.replica("chat-a").speaks()
        await turns()
        assert kinds(third) == ["preparing"]
        return kinds(first), kinds(second)

    assert run_in_virtual_time(body()) == (["preparing", "LeaseClosed"], ["preparing", "LeaseClosed"])


def test_a_killed_gateway_does_nothing_more_and_leaves_its_replicas() -> None:
    async def body() -> None:
        world, events = World(), list[LeaseEvent]()
        launcher = FakeLauncher(world)
        world.scripts.append(StartScript(seconds=10, spawned_after=1))
        start = asyncio.create_task(launcher.start(REQUEST))
        await asyncio.sleep(2)
        FakeLeases(world).open("chat-a", world.replica("chat-a").placement.control, "s3cret", events.append)
        await turns()
        events.clear()
        world.kill_gateway()
        start.cancel()
        await asyncio.wait([start])
        world.replica("chat-a").serves()
        await launcher.stop("chat-a", None)
        await turns()
        assert events == []
        assert await FakeLauncher(world).find() == [ports.Seen("chat-a", world.replica("chat-a").placement, True)]

    run_in_virtual_time(body())


def test_a_probe_sees_what_the_replica_does() -> None:
    async def body() -> None:
        world = World()
        probe = FakeProbe(world)
        address = (await FakeLauncher(world).start(REQUEST)).address
        replica = world.replica("chat-a")
        assert not (await probe.port(address, 1)).connected
        replica.serves()
        assert (await probe.http(address, "/", 200, 1)).ok
        replica.status = 500
        assert (await probe.http(address, "/", 200, 1)).reason == "status 500, expected 200"
        replica.hangs = True
        assert (await probe.http(address, "/", 200, 15)).seconds == 15
        assert (await probe.port(address, 1)).ok
        replica.dies()
        assert not (await probe.http(address, "/", 200, 1)).connected
        probe.script(address, ports.ProbeResult(True), ports.ProbeResult(False, "late"))
        assert [(await probe.http(address, "/", 200, 1)).ok for _ in range(3)] == [True, False, False]

    run_in_virtual_time(body())


def test_a_failing_disk_keeps_what_was_written_and_nothing_else() -> None:
    async def body() -> None:
        store = MemoryStore()
        await store.add_service(SERVICE, REQUEST.revision)
        store.fail_writes, store.writes_left = "disk full", 1
        await store.add_token(ports.TokenRecord("t1", "id", "a", "d1"))
        with pytest.raises(StoreError, match="disk full"):
            await store.add_token(ports.TokenRecord("t2", "id", "b", "d2"))
        again = store.reopened()
        with pytest.raises(StoreError):
            await store.remove_token("t1")
        assert [token.id for token in await again.tokens()] == ["t1"]
        assert await again.services() == [SERVICE]

    run_in_virtual_time(body())


def test_folders_can_be_put_and_broken() -> None:
    async def body() -> None:
        definitions = FakeDefinitions({"/f": DEFINITION})
        assert await definitions.load("/f") == (DEFINITION, ())
        definitions.breaks("/f", Problem("models", "is empty"))
        for folder in ("/f", "/nowhere"):
            with pytest.raises(DefinitionError):
                await definitions.load(folder)

    run_in_virtual_time(body())


def test_every_fake_is_what_its_port_asks_for() -> None:
    """For the type checker; a port that grows without its fake fails there."""
    world = World()
    parts: tuple[ports.Launcher, ports.Leases, ports.Probe, ports.Store, ports.Definitions, ports.Meter] = (
        *(FakeLauncher(world), FakeLeases(world), FakeProbe(world)),
        *(MemoryStore(), FakeDefinitions(), CountingMeter()),
    )
    lease: type[ports.Lease] = FakeLease
    assert all(parts)
    assert lease
