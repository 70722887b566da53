"""Admission: the cap per replica, the bounded queue, holding callers while a replica starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import Site, Wire, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]


async def waiting(here: Site, number: int) -> None:
    await until(lambda: here.endpoint.waiting == number, f"{number} waiting")


def test_the_cap_holds_and_waiters_are_served_in_order(run: Run) -> None:
    async def body() -> None:
        never = FrontSettings(tick=1000.0)  # it is the freed slot that wakes them
        async with site(Replica(), serving=Serving(concurrency=1), settings=never) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            wires: list[Wire] = []
            for number in range(5):
                wires.append(await here.send(here.request(f"/{number}")))
                await waiting(here, number + 1)
            assert here.backends[0].in_flight == 1
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            for number, wire in enumerate(wires):
                assert (await wire.answer()).json()["target"] == f"/{number}"
            assert here.replicas[0].paths() == ["/hang", *[f"/{n}" for n in range(5)]]

    run(body())


def test_a_full_queue_refuses(run: Run) -> None:
    """503 with Retry-After, nothing sent; the meter knows the code."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1, queue=1)) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            second = await here.send(here.request("/x"))
            await waiting(here, 1)
            got = await here.call("/y")
            assert (got.status, got.code, got.one("Retry-After")) == (503, "queue_full", "1")
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            assert (await second.answer()).status == 200
            assert here.replicas[0].paths() == ["/hang", "/x"]
            assert here.meter.refusals == [("o/n", "queue_full")]

    run(body())


def test_waiting_has_an_end(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1, queue_timeout=0.2)) as here:
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            got = await here.call("/x")
            assert (got.status, got.code) == (503, "queue_timeout")
            assert got.one("Retry-After")
            assert here.endpoint.waiting == 0
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200

    run(body())


def test_a_waiter_who_leaves_is_forgotten(run: Run) -> None:
    """Counted as 499; the one behind it is served, the replica never hears of it."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            leaver = await here.send(here.request("/leaver"))
            await waiting(here, 1)
            stayer = await here.send(here.request("/stayer"))
            await waiting(here, 2)
            leaver.close()
            await waiting(here, 1)
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            assert (await stayer.answer()).status == 200
            assert "/leaver" not in here.replicas[0].paths()
            assert 499 in here.meter.statuses()

    run(body())


@pytest.mark.parametrize("woken", [True, False])
def test_a_cold_start_holds_its_callers(run: Run, woken: bool) -> None:
    """Served when the replica comes; a wake-up that was missed costs a tick, not the call."""

    async def body() -> None:
        async with site(Replica()) as here:
            backend = here.backends.pop()
            here.endpoint.wanted = True
            wire = await here.send(here.request("/x", method="POST", body=b"b" * 300_000))
            await waiting(here, 1)
            here.backends.append(backend)
            if woken:
                assert here.endpoint.wake is not None
                here.endpoint.wake()
                assert here.endpoint.waiting == 0
            assert (await wire.answer()).status == 200

    run(body())


def test_no_replica_and_none_to_come(run: Run) -> None:
    """The reason that the engine gave, at once; also for those who waited when it gave up."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.backends.clear()
            here.endpoint.wanted = True
            held = await here.send(here.request("/x"))
            await waiting(here, 1)
            here.endpoint.wanted = False
            here.endpoint.unavailable = "Service o/n is stopped."
            assert here.endpoint.wake is not None
            here.endpoint.wake()
            got = await held.answer()
            assert (got.status, got.code) == (503, "no_replica")
            got = await here.call("/x")
            assert (got.status, got.code) == (503, "no_replica")
            assert got.json()["error"]["message"] == "Service o/n is stopped."
            assert int(got.one("Retry-After") or 0) >= 1

    run(body())


def test_a_service_removed_while_callers_wait(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.backends.clear()
            endpoint = here.endpoint
            endpoint.wanted = True
            held = await here.send(here.request("/x"))
            await waiting(here, 1)
            here.routing.remove("o", "n")
            assert (await held.answer()).status == 404
            assert endpoint.waiting == 0

    run(body())


def test_calls_go_where_the_fewest_are(run: Run) -> None:
    """And a suspect, draining or ejected replica gets none while there is a better one."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), Replica("c")) as here:
            held = [await here.send(here.request("/hang")) for _ in range(6)]
            await until(lambda: sum(len(r.seen) for r in here.replicas) == 6)
            assert [backend.in_flight for backend in here.backends] == [2, 2, 2]
            for replica in here.replicas:
                replica.release.set()
            for wire in held:
                assert (await wire.answer()).status == 200
            here.backends[0].suspect = True
            here.backends[1].serving = False
            assert {(await here.call("/x")).json()["replica"] for _ in range(5)} == {"c"}
            here.backends[2].serving = False
            assert (await here.call("/x")).json()["replica"] == "a"

    run(body())


def test_on_idle_is_called_when_the_last_call_ends(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            idle = asyncio.Event()
            here.backends[0].on_idle = idle.set
            wires = [await here.send(here.request("/hang")) for _ in range(2)]
            await until(lambda: len(here.replicas[0].seen) == 2)
            wires[0].close()
            await until(lambda: here.backends[0].in_flight == 1)
            assert not idle.is_set()
            here.replicas[0].release.set()
            await wires[1].answer()
            await asyncio.wait_for(idle.wait(), 10)

    run(body())
