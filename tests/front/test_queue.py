"""Admission: the cap per replica, the bounded queue, holding callers while a replica starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, OWNER, TOKEN, Site, Wire, site, until
from .upstreams import Replica, Seen, answer

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


def test_one_call_does_not_wait_for_the_500_of_another_caller(run: Run) -> None:
    """It is the next but one: the other caller's turn comes first, then its own."""

    async def body() -> None:
        never = FrontSettings(tick=1000.0)
        async with site(Replica(), serving=Serving(concurrency=1, queue=1000), settings=never) as here:
            wires = [await here.send(here.request("/hang"))]
            await until(lambda: here.replicas[0].seen)
            wires += [await here.send(here.request("/many")) for _ in range(500)]
            await waiting(here, 500)
            one = await here.send(here.request("/one", token=OWNER))
            await waiting(here, 501)
            here.replicas[0].release.set()
            assert (await one.answer()).status == 200
            for wire in wires:
                assert (await wire.answer()).status == 200
            assert here.replicas[0].paths()[:3] == ["/hang", "/many", "/one"]

    run(body())


def test_callers_of_a_public_service_take_turns_by_their_addresses(run: Run) -> None:
    """As a proxy that is believed saw them; what others say of theirs is not believed."""

    async def body() -> None:
        for trusted, order in ((("127.0.0.1",), ["/a1", "/b", "/a2", "/a3"]), ((), ["/a1", "/a2", "/a3", "/b"])):
            settings = FrontSettings(tick=1000.0, trusted_proxies=trusted)
            async with site(Replica(), serving=Serving(concurrency=1), public=True, settings=settings) as here:
                wires = [await here.send(here.request("/hang", token=None))]
                await until(lambda here=here: here.replicas[0].seen)
                for number, (path, address) in enumerate(
                    (("/a1", "1.1.1.1"), ("/a2", "1.1.1.1"), ("/a3", "1.1.1.1"), ("/b", "2.2.2.2"))
                ):
                    wires.append(await here.send(here.request(path, f"X-Forwarded-For: {address}", token=None)))
                    await waiting(here, number + 1)
                here.replicas[0].release.set()
                for wire in wires:
                    assert (await wire.answer()).status == 200
                assert here.replicas[0].paths() == ["/hang", *order]

    run(body())


def test_nobody_is_many_callers(run: Run) -> None:
    """Whoever has a whole IPv6 network of its own, and whoever may say for whom it calls."""
    networks = ("2001:db8::1", "2001:db8::2", "[2001:db8:0:0:ffff::3]:443", "2001:db8:0:1::1")

    async def body() -> None:
        for token, trusted, said, order in (
            (None, ("127.0.0.1",), networks, ["/0", "/3", "/1", "/2"]),
            (FORWARDER, (), ("1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"), ["/0", "/1", "/2", "/3"]),
        ):
            settings = FrontSettings(tick=1000.0, trusted_proxies=trusted)
            async with site(Replica(), serving=Serving(concurrency=1), public=True, settings=settings) as here:
                wires = [await here.send(here.request("/hang", token=None))]
                await until(lambda here=here: here.replicas[0].seen)
                for number, address in enumerate(said):
                    forwarded = f"X-Forwarded-For: {address}"
                    wires.append(await here.send(here.request(f"/{number}", forwarded, token=token)))
                    await waiting(here, number + 1)
                wires.append(await here.send(here.request("/other", token=TOKEN)))
                await waiting(here, 5)
                here.replicas[0].release.set()
                for wire in wires:
                    assert (await wire.answer()).status == 200
                order.insert(2 if token is None else 1, "/other")
                assert here.replicas[0].paths() == ["/hang", *order]

    run(body())


def test_a_call_that_its_replica_failed_goes_before_all_others(run: Run) -> None:
    """And does not have to wait behind them once more."""

    async def body() -> None:
        a, b = Replica("a", {"/x": drops_when_released}), Replica("b")
        never = FrontSettings(tick=1000.0)
        async with site(a, b, serving=Serving(concurrency=1), settings=never) as here:
            here.backends[1].started = 1000
            failing = await here.send(here.request("/x"))
            await until(lambda: a.seen)
            busy = await here.send(here.request("/hang"))
            await until(lambda: b.seen)
            wires = []
            for number in range(3):
                wires.append(await here.send(here.request(f"/{number}")))
                await waiting(here, number + 1)
            here.backends[0].serving = False
            a.release.set()
            await waiting(here, 4)
            b.release.set()
            for wire in (failing, busy, *wires):
                assert (await wire.answer()).status == 200
            assert b.paths() == ["/hang", "/x", "/0", "/1", "/2"]

    run(body())


async def drops_when_released(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await replica.release.wait()
    return False


def test_in_a_full_queue_the_greediest_gives_way(run: Run) -> None:
    """Of any service, not only of one that wakes: its last call has 503, and the other caller its place."""

    async def body() -> None:
        never = FrontSettings(tick=1000.0)
        async with site(Replica(), serving=Serving(concurrency=1, queue=4), settings=never) as here:
            hang = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            many = []
            for number in range(4):
                many.append(await here.send(here.request(f"/{number}")))
                await waiting(here, number + 1)
            assert (await here.call("/more")).code == "queue_full"
            others = []
            for last in (3, 2):
                others.append(await here.send(here.request("/other", token=OWNER)))
                got = await many[last].answer()
                assert (got.status, got.code) == (503, "queue_full")
                assert got.one("Retry-After")
                assert here.endpoint.waiting == 4
            assert (await here.call("/other", token=OWNER)).code == "queue_full", "two each"
            here.replicas[0].release.set()
            for wire in (hang, *many[:2], *others):
                assert (await wire.answer()).status == 200
            assert here.replicas[0].paths() == ["/hang", "/0", "/other", "/1", "/other"]

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
            assert (got.status, got.code) == (503, "queue_full")
            assert int(got.one("Retry-After") or 0) >= 1
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            assert (await second.answer()).status == 200
            assert here.replicas[0].paths() == ["/hang", "/x"]
            assert here.meter.refusals == [("o/n", "queue_full")]

    run(body())


async def takes_200_ms(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(0.2)
    writer.write(answer(b"done"))
    return True


@pytest.mark.parametrize(("queue", "code"), [(9, "queue_full"), (100, "queue_timeout")])
def test_who_comes_back_when_told_to_finds_a_place(run: Run, queue: int, code: str) -> None:
    """Calls of 0.2 s each are before it, one after another; then it need not wait at all (``Prefer: wait=0``)."""

    async def body() -> None:
        serving = Serving(concurrency=1, queue=queue)
        async with site(Replica("a", {"/slow": takes_200_ms}), serving=serving) as here:
            assert (await here.call("/slow")).status == 200
            wires = [await here.send(here.request("/slow")) for _ in range(10)]
            await waiting(here, 9)
            got = await here.call("/more", "Prefer: wait=0")
            assert (got.status, got.code) == (503, code)
            seconds = int(got.one("Retry-After") or 0)
            assert 2 <= seconds <= 6
            await asyncio.sleep(seconds)
            assert (await here.call("/back", "Prefer: wait=0")).status == 200
            for wire in wires:
                assert (await wire.answer()).status == 200

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
