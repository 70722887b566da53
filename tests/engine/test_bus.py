"""Telling listeners what changed."""

from __future__ import annotations

import asyncio

from jupyter_model_service.engine.bus import QUEUE, Bus, Change, Subscription
from jupyter_model_service.ports import EventRecord

from .stage import NAME, OWNER, Stage, play

KEY = f"{OWNER}/{NAME}"


async def drain(subscription: Subscription) -> list[Change]:
    """All that is queued now."""
    changes = []
    while True:
        try:
            changes.append(await asyncio.wait_for(subscription.__anext__(), 0.05))
        except asyncio.TimeoutError:
            return changes


def test_changes_come_coalesced_with_the_view_of_now() -> None:
    async def scene(stage: Stage) -> None:
        subscription = stage.engine.subscribe()
        await stage.ready(3)
        changes = await drain(subscription)
        services = [c for c in changes if c.kind == "service"]
        assert len(services) == 1, "of many changes that nobody read, the last counts"
        assert services[0].view is not None
        assert (services[0].key, services[0].view.state) == (KEY, "ready")
        kinds = [c.event.kind for c in changes if c.event is not None]
        assert kinds[0] == "service.created"
        assert kinds.count("replica.ready") == 3
        stage.there()[0].exits(1)
        assert any(c.event is not None and c.event.kind == "replica.failed" for c in await drain(subscription))
        subscription.close()

    play(scene)


def test_every_step_is_seen_by_one_who_reads() -> None:
    async def scene(stage: Stage) -> None:
        subscription = stage.engine.subscribe()
        states: list[str] = []

        async def read() -> None:
            async for change in subscription:
                if change.view is not None:
                    states.append(change.view.state)
                elif change.kind == "removed":
                    states.append("removed")

        reader = asyncio.ensure_future(read())
        await stage.ready()
        await stage.engine.stop_service(OWNER, NAME)
        await stage.until(lambda: not stage.there())
        await stage.engine.delete(OWNER, NAME)
        await stage.until(lambda: "removed" in states, 1)
        subscription.close()
        await asyncio.wait_for(reader, 1)
        order = [s for s, former in zip(states, [None, *states], strict=False) if s != former]
        assert order == ["starting", "ready", "stopped", "deleting", "removed"] or order == [
            "starting",
            "ready",
            "stopped",
            "removed",
        ]

    play(scene)


def event(number: int) -> EventRecord:
    return EventRecord(number, 0.0, "s", "k", "m")


def test_a_reader_who_is_too_slow_is_told_to_read_everything_again() -> None:
    async def body() -> None:
        bus = Bus(lambda key: None)
        slow = bus.subscribe()
        for number in range(QUEUE * 3 + 10):
            bus.event(KEY, event(number))
        changes = await drain(slow)
        assert len(changes) <= QUEUE
        assert changes[0].kind == "resync"
        assert changes[-1].event == event(QUEUE * 3 + 9), "and what came after it"
        assert [c.kind for c in changes].count("resync") == 1

    asyncio.run(body())


def test_closing_ends_the_reader_and_the_bus_ends_all() -> None:
    async def body() -> None:
        bus = Bus(lambda key: None)
        one, two = bus.subscribe(), bus.subscribe()
        readers = [asyncio.ensure_future(drain_all(s)) for s in (one, two)]
        await asyncio.sleep(0)
        one.close()
        assert await asyncio.wait_for(readers[0], 1) == []
        bus.event(KEY, event(1))
        bus.close()
        await asyncio.wait_for(readers[1], 1)
        assert bus._listeners == set()

    async def drain_all(subscription: Subscription) -> list[Change]:
        return [change async for change in subscription]

    asyncio.run(body())


def test_a_service_made_anew_after_its_removal_is_told_in_order() -> None:
    """Otherwise a listener would drop the new one."""

    async def scene(stage: Stage) -> None:
        await stage.create(0)
        view = stage.view
        bus = Bus(lambda key: view)
        subscription = bus.subscribe()
        bus.changed(KEY)
        bus.removed(KEY)
        assert [c.kind for c in await drain(subscription)] == ["removed"]
        bus.changed(KEY)
        bus.removed(KEY)
        bus.changed(KEY)
        assert [c.kind for c in await drain(subscription)] == ["removed", "service"]

    play(scene)
