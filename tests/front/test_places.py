"""More callers than there are descriptors for: who waits for nothing gives way, and who has no place is told so."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.crowding import at_a_time, most_callers, most_refused
from jupyter_model_service.front.places import Places
from jupyter_model_service.front.server import FrontSettings

from .site import Site, Wire, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]


async def _connected(here: Site, count: int) -> list[Wire]:
    """One after another."""
    wires = []
    for _ in range(count):
        before = set(here.front.connections)
        wires.append(await here.wire())
        await until(lambda before=before: set(here.front.connections) - before)
    return wires


def test_the_connection_that_is_idle_for_longest_gives_way(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(max_connections=4)) as here:
            first, *others = await _connected(here, 4)
            for wire in (first, *others):
                await wire.send(here.request())
                assert (await wire.answer()).status == 200
            await first.send(here.request())
            assert (await first.answer()).status == 200  # so that the second one has been idle for longest
            assert (await here.call("/new")).status == 200
            assert await others[0].closed()
            for wire in (first, *others[1:]):
                await wire.send(here.request())
                assert (await wire.answer()).status == 200
            assert here.meter.refusals == []

    run(body())


def test_who_finds_no_place_is_told_so_and_comes_in_later(run: Run) -> None:
    """Nobody's call is given up for it."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(max_connections=4)) as here:
            busy = [await here.send(here.request("/hang")) for _ in range(4)]
            await until(lambda: len(here.front.calls) == 4)
            answer = await here.call()
            assert (answer.status, answer.code, answer.one("Retry-After")) == (503, "overloaded", "1")
            assert answer.one("Connection") == "close"
            assert here.meter.refusals == [("/", "overloaded")]
            here.replicas[0].release.set()
            for wire in busy:
                assert (await wire.answer()).status == 200
            ticks = here.front._ticks
            await until(lambda: here.front._ticks > ticks)
            assert (await here.call()).status == 200

    run(body())


def test_of_those_without_a_place_only_some_are_told(run: Run) -> None:
    """Or they would take the descriptors themselves."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(max_connections=4, linger=60.0)) as here:
            busy = [await here.send(here.request("/hang")) for _ in range(4)]
            await until(lambda: len(here.front.calls) == 4)
            refused = [await here.wire() for _ in range(12)]
            await until(lambda: len(here.meter.refusals) == 12)
            await until(lambda: len(here.front.connections) == 4 + most_refused(4))
            told = [wire for wire in refused if await wire.reader.read(12)]
            assert len(told) == most_refused(4)
            here.replicas[0].release.set()
            for wire in busy:
                assert (await wire.answer()).status == 200

    run(body())


def test_idle_connections_to_replicas_give_way_too(run: Run) -> None:
    """A connection to each of many replicas is kept for some seconds, more of them than callers."""

    async def body() -> None:
        replicas = [Replica(f"r{number}") for number in range(6)]
        async with site(*replicas, settings=FrontSettings(max_connections=4)) as here:
            backends = list(here.backends)
            for backend in backends:
                here.backends[:] = [backend]
                assert (await here.call()).status == 200
                await until(lambda: here.front.places.outgoing <= 4)
            here.backends[:] = backends

    run(body())


def test_connections_are_counted_and_gone(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(pool_idle=0.5, tick=0.02)) as here:
            await asyncio.gather(*(here.call() for _ in range(5)))
            assert 1 <= here.front.places.outgoing <= 5
            await until(lambda: here.front.places.outgoing == 0)

    run(body())


@pytest.mark.parametrize("descriptors", [0, 64, 256, 1024, 65_536, 1 << 20])
def test_there_are_descriptors_left_when_every_place_is_taken(descriptors: int) -> None:
    most = most_callers(descriptors)
    assert most >= 16
    if descriptors >= 64:
        assert 2 * most + most_refused(most) + 16 <= max(descriptors, 64)
    assert 1 <= at_a_time(most) <= most


def test_the_limit_is_that_of_the_process() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Places().most == most_callers(1 << 20 if soft == resource.RLIM_INFINITY else soft)
    assert Places(7).most == 7
