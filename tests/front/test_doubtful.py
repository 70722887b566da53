"""A replica whose runner is silent may be well: no new calls go there, what it has begun to answer goes on, and what it
has not begun goes to another one where there is one. When it is given up all of that ends as with any lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.server import FrontSettings

from .site import Site, Wire, site, until, within
from .test_bridge import SHOUT
from .test_held import FOR_EVER, begun, cut, lose, starts, well
from .upstreams import Replica

Run = Callable[[Any], Any]


def doubt(backend: Backend) -> None:
    """What the engine does when a lease ends."""
    backend.doubtful = True
    lose(backend)


def give_up(backend: Backend) -> None:
    """What it does when the lease does not come back."""
    backend.doubtful = False
    lose(backend)


def comes_back(backend: Backend) -> None:
    backend.serving, backend.lost, backend.doubtful = True, False, False


async def opened(here: Site, path: str) -> tuple[Wire, Replica, Backend]:
    """A stream, or a bridge, whose first bytes have come, and where it is."""
    wire = await here.send(here.request(path, *(SHOUT if path == "/tunnel" else ())))
    await wire.head()
    (at,) = (number for number, backend in enumerate(here.backends) if backend.in_flight)
    return wire, here.replicas[at], here.backends[at]


@pytest.mark.parametrize("path", ["/sse", "/tunnel"])
def test_what_has_begun_goes_on_until_its_replica_is_given_up(run: Run, path: str) -> None:
    async def more(wire: Wire, replica: Replica, number: int) -> None:
        if path == "/tunnel":
            await wire.send(b"%d shout" % number)
            await within(wire.reader.readuntil(b"%d SHOUT" % number))
        else:
            await within(wire.reader.readuntil(b"data: %d\n\n\r\n" % (number - 1)))
            replica.release.set()

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            wire, replica, backend = await opened(here, path)
            await more(wire, replica, 1)
            doubt(backend)
            await more(wire, replica, 2)
            comes_back(backend)
            await more(wire, replica, 3)
            doubt(backend)
            await more(wire, replica, 4)
            assert here.meter.broken_answers == []
            give_up(backend)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(wire.reader.readuntil(b"never"))
            assert here.meter.broken_answers == ["replica_died"]
            assert here.meter.retries == []

    run(body())


def test_what_has_not_begun_goes_to_another_one_and_nobody_is_blamed(run: Run) -> None:
    """Five calls on each of three: ejected for five failures, it would be left out for half a minute after it is back."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b"), Replica("c")) as here:
            told: list[str] = []
            here.backends[0].on_refused = lambda: told.append("refused")
            wires = [await here.send(here.request("/hang", method="POST", body=b"x")) for _ in range(15)]
            await until(lambda: sum(len(replica.seen) for replica in here.replicas) == 15)
            doubt(here.backends[0])
            assert here.backends[0].in_flight == 0
            for replica in here.replicas[1:]:
                replica.release.set()
            got = [await wire.answer() for wire in wires]
            assert {(a.status, a.body) for a in got} == {(200, b"b"), (200, b"c")}
            assert here.meter.retries == ["died"] * 5
            assert {(await here.call("/x")).json()["replica"] for _ in range(8)} == {"b", "c"}, "and no new one comes"
            assert (here.backends[0].failures, here.backends[0].ejected_until, told) == (0, 0.0, [])
            comes_back(here.backends[0])
            assert (await here.call("/x")).json()["replica"] == "a", "which had the fewest"

    run(body())


def test_a_small_answer_of_which_the_head_is_there_is_waited_for(run: Run) -> None:
    async def body() -> None:
        halting = Replica("a", {"/x": starts(cut(55, 54), b"x", how="stays")})
        async with site(halting, Replica("b", {"/x": well}), settings=FOR_EVER) as here:
            wire = await here.send(here.request("/x", method="POST", body=b"abc"))
            await until(begun(here))
            doubt(here.backends[0])
            halting.release.set()
            got = await wire.answer()
            assert (got.body, got.one("X-Model-Service-Replica"), here.meter.retries) == (b"x" * 55, "a", [])

    run(body())


@pytest.mark.parametrize("why", ["nobody else serves", "it must not be repeated"])
@pytest.mark.parametrize("back", [True, False])
def test_what_can_go_nowhere_stays_where_it_is(run: Run, why: str, back: bool) -> None:
    """With one replica it would wait for that same one; one that must not be repeated would fail for nothing."""

    async def body() -> None:
        alone = why == "nobody else serves"
        replicas = [Replica("a")] if alone else [Replica("a"), Replica("b")]
        async with site(*replicas, serving=Serving(retry=alone)) as here:
            here.endpoint.wanted = True
            wire = await here.send(here.request("/hang", method="POST", body=b"x"))
            await until(lambda: replicas[0].seen)
            doubt(here.backends[0])
            if back:
                replicas[0].release.set()
                got = await wire.answer()
                assert (got.body, here.meter.retries) == (b"a", [])
            elif alone:
                give_up(here.backends[0])
                assert here.meter.retries == ["died"], "it waits for the next one"
                comes_back(here.backends[0])
                replicas[0].release.set()
                assert here.endpoint.wake is not None
                here.endpoint.wake()
                assert (await wire.answer()).body == b"a"
            else:
                give_up(here.backends[0])
                assert (await wire.answer()).code == "replica_died"

    run(body())


def test_no_connection_comes_about_without_a_lease(run: Run) -> None:
    """By then another container may have its address. The call waits, although nobody else serves, and is not lost."""

    async def body() -> None:
        async with site(Replica("a")) as here:
            here.endpoint.wanted = True
            backend, loop = here.backends[0], asyncio.get_running_loop()

            def doubt_once_sent() -> None:
                if not backend.started:
                    loop.call_soon(doubt_once_sent)
                    return
                assert [call.attempt.connection for call in here.front.calls if call.attempt] == [None]
                doubt(backend)

            doubt_once_sent()
            wire = await here.send(here.request("/x", method="POST", body=b"secret"))
            await until(lambda: here.endpoint.waiting)
            assert (here.replicas[0].seen, backend.in_flight, here.meter.retries) == ([], 0, ["connect"])
            comes_back(backend)
            assert here.endpoint.wake is not None
            here.endpoint.wake()
            assert (await wire.answer()).json()["body"] == "secret"
            assert len(here.replicas[0].seen) == 1

    run(body())


async def ends_in_doubt(here: Site) -> Wire:
    """An answer without a length, whose connection ended while its replica was doubtful."""
    wire = await here.send(here.request("/x"))
    await wire.head()
    doubt(here.backends[0])
    here.replicas[0].release.set()
    (call,) = here.front.calls
    await until(lambda: call.attempt.connection._complete)
    return wire


UNFRAMED = b"HTTP/1.0 200 OK\r\n\r\nto the end"


@pytest.mark.parametrize("back", [True, False])
def test_an_end_without_a_length_counts_only_when_it_is_known_how_its_replica_is(run: Run, back: bool) -> None:
    """It may have been killed, which only its silent runner could tell."""

    async def body() -> None:
        async with site(Replica("a", {"/x": starts(UNFRAMED)}), settings=FrontSettings(end_proof=0.02)) as here:
            wire = await ends_in_doubt(here)
            await asyncio.sleep(0.1)
            assert here.front.calls, "it is not over"
            (comes_back if back else give_up)(here.backends[0])
            rest = wire.reader.readuntil(b"to the end\r\n0\r\n\r\n")
            if back:
                await within(rest)
            else:
                with pytest.raises(asyncio.IncompleteReadError):
                    await within(rest)
            await here.still()
            assert here.meter.broken_answers == ([] if back else ["replica_died"])

    run(body())


def test_a_runner_that_is_back_has_the_usual_time_to_tell_of_a_death(run: Run) -> None:
    """The lease opens in the midst of a wait for the proof; the report follows after that wait would have been over."""

    async def body() -> None:
        proof = 0.6
        async with site(Replica("a", {"/x": starts(UNFRAMED)}), settings=FrontSettings(end_proof=proof)) as here:
            wire = await ends_in_doubt(here)
            await asyncio.sleep(proof * 1.5)
            comes_back(here.backends[0])
            await asyncio.sleep(proof * 0.7)
            give_up(here.backends[0])
            with pytest.raises(asyncio.IncompleteReadError):
                await within(wire.reader.readuntil(b"0\r\n\r\n"))
            assert here.meter.broken_answers == ["replica_died"]

    run(body())


@pytest.mark.parametrize("path", ["/sse", "/hang"])
def test_a_doubtful_one_whose_time_to_drain_is_over_is_waited_for_no_longer(run: Run, path: str) -> None:
    async def body() -> None:
        async with site(Replica("a")) as here:
            wire = await here.send(here.request(path))
            await until(lambda: here.replicas[0].seen)
            backend = here.backends[0]
            if path == "/sse":
                await wire.head()
            doubt(backend)
            assert backend.in_flight == 1
            assert backend.on_drained is not None
            backend.on_drained()
            assert backend.in_flight == 0

    run(body())
