"""Limits of a token on real sockets: as many calls get in as are allowed, whatever comes at once, and none is counted
for longer than it lasts. The rules themselves are in tests/core/test_limits.py."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.limits import DAY, Allowance, Limits
from jupyter_model_service.core.routing import Backend
from jupyter_model_service.front.server import FrontSettings

from .conftest import Day
from .site import LIMITED, OTHER, SLOW_LIMITED, Answer, Site, site, until, within
from .upstreams import Replica

Run = Callable[[Any], Any]
SHOUT = ("Connection: Upgrade", "Upgrade: shout")


def outcome(got: Answer) -> tuple[int, str | None]:
    return got.status, got.code


@pytest.mark.parametrize("token", [LIMITED, SLOW_LIMITED])
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(in_flight=7), "too_many_in_flight"),
        (Limits(calls_per_day=7), "daily_limit"),
        # Two of 0.001 per second would be 1,000 s apart; seven at once of seven per second are the next test's.
        (Limits(calls_per_second=0.001), "rate_limited"),
    ],
)
def test_of_many_calls_at_once_exactly_those_that_are_allowed_get_in(
    run: Run, limits: Limits, code: str, token: str
) -> None:
    """60 connections; the replica answers when all have been judged, and never sees the others' calls."""
    allowed = 1 if limits.calls_per_second else 7

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(limits)
            here.tokens.answer = asyncio.Event()  # of the slow one: all of them are known in the same turn of the loop
            wires = await asyncio.gather(*(here.wire() for _ in range(60)))
            await asyncio.gather(*(wire.send(here.request("/hang", token=token)) for wire in wires))
            if token == SLOW_LIMITED:
                await until(lambda: len(here.tokens.asked) == 60)
            here.tokens.answer.set()
            answers = asyncio.gather(*(wire.answer() for wire in wires))
            await until(lambda: len(here.meter.refusals) == 60 - allowed)
            await until(lambda: len(here.replicas[0].seen) == allowed)
            assert here.tokens.limited.in_flight == here.backends[0].in_flight == allowed
            here.replicas[0].release.set()
            got = await answers
            assert Counter(map(outcome, got)) == {(200, None): allowed, (429, code): 60 - allowed}
            assert all(int(each.one("Retry-After") or 0) >= 1 for each in got if each.status == 429)
            assert len(here.replicas[0].seen) == allowed
            assert here.meter.refusals == [("o/n", code)] * (60 - allowed)
            await here.still()
            assert (here.tokens.limited.in_flight, here.tokens.limited.calls) == (0, allowed)

    run(body())


def test_a_burst_gets_in_and_then_the_rate(run: Run) -> None:
    """Twenty per second: twenty of the first ones at once, and no more than the time that it took allows."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(Limits(calls_per_second=20))
            began = time.monotonic()
            got = await asyncio.gather(*(here.call("/x", token=LIMITED) for _ in range(100)))
            seconds = time.monotonic() - began
            passed = sum(each.status == 200 for each in got)
            assert 20 <= passed <= 20 + 20 * seconds
            assert passed == len(here.replicas[0].seen)

    run(body())


def test_whoever_comes_back_after_retry_after_is_let_in(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(Limits(calls_per_second=1))
            assert (await here.call(token=LIMITED)).status == 200
            refused = await here.call(token=LIMITED)
            assert outcome(refused) == (429, "rate_limited")
            assert (
                refused.json()["error"]["message"]
                == "This token may make 1 call per second (set by the service's owner), and made them."
            )
            assert refused.one("Retry-After") == "1"
            await asyncio.sleep(1.0)
            assert (await here.call(token=LIMITED)).status == 200

    run(body())


def test_the_daily_limit_says_how_long_the_day_still_is(run: Run, day: Day) -> None:
    """And with the next day it begins anew."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(Limits(calls_per_day=1))
            assert (await here.call(token=LIMITED)).status == 200
            for left in (DAY / 2, 1.0):
                day.now += day.left - left
                refused = await here.call(token=LIMITED)
                assert (refused.status, refused.one("Retry-After")) == (429, f"{left:.0f}")
            day.now += 1.0
            assert (await here.call(token=LIMITED)).status == 200
            assert (await here.call(token=LIMITED)).status == 429

    run(body())


def test_a_call_beyond_the_limit_is_not_asked_for_its_body(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(Limits(in_flight=1))
            head = here.request("/hang", "Content-Length: 3", "Expect: 100-continue", method="PUT", token=LIMITED)
            first = await here.send(head)
            assert (await first.head()).status == 100
            refused = await here.send(head)
            got = await refused.head()  # not an informational one before it
            assert (got.status, got.one("X-Model-Service-Error")) == (429, "too_many_in_flight")
            assert got.one("Connection") == "close"
            await first.send(b"abc")
            await until(lambda: here.replicas[0].seen)
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200

    run(body())


def test_a_refused_call_leaves_its_connection_for_the_next(run: Run) -> None:
    """And calls that are pipelined come one after another: they never are two in flight."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = Allowance(Limits(in_flight=1))
            held = await here.send(here.request("/hang", token=LIMITED))
            await until(lambda: here.replicas[0].seen)
            wire = await here.send(here.request("/a", token=LIMITED))
            assert outcome(await wire.answer()) == (429, "too_many_in_flight")
            here.replicas[0].release.set()
            assert (await held.answer()).status == 200
            await wire.send(here.request("/b", token=LIMITED) + here.request("/c", token=LIMITED))
            assert [(await wire.answer()).status for _ in range(2)] == [200, 200]

    run(body())


def test_who_may_not_call_is_told_so_and_not_counted(run: Run) -> None:
    """404 comes first; a token without limits knows of none."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.limited = allowance = Allowance(Limits(calls_per_day=1))
            gone = here.request(token=LIMITED).replace(b"/o/n/", b"/o/gone/")
            assert (await (await here.send(gone)).answer()).status == 404
            foreign = here.request(token=LIMITED).replace(b"/o/n/", b"/o/other/")
            assert (await (await here.send(foreign)).answer()).status == 404
            assert (await here.call(token=OTHER)).status == 404
            assert allowance.calls == 0
            assert [(await here.call(token=LIMITED)).status for _ in range(2)] == [200, 429]
            assert (await here.call()).status == 200

    run(body())


def test_a_public_service_looks_at_nobodys_limits(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), public=True) as here:
            here.tokens.limited = Allowance(Limits(calls_per_day=1))
            assert [(await here.call(token=LIMITED)).status for _ in range(3)] == [200, 200, 200]

    run(body())


def test_a_call_that_waits_for_a_replica_is_in_flight(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            here.tokens.limited = Allowance(Limits(in_flight=2))
            wires = [await here.send(here.request("/hang", token=LIMITED))]
            await until(lambda: here.replicas[0].seen)
            wires.append(await here.send(here.request("/hang", token=LIMITED)))
            await until(lambda: here.endpoint.waiting == 1)
            assert outcome(await here.call(token=LIMITED)) == (429, "too_many_in_flight")
            wires.pop().close()  # it waits no longer
            await until(lambda: here.endpoint.waiting == 0)
            wires.append(await here.send(here.request("/hang", token=LIMITED)))
            await until(lambda: here.endpoint.waiting == 1)
            here.replicas[0].release.set()
            assert [(await wire.answer()).status for wire in wires] == [200, 200]

    run(body())


def test_a_websocket_is_in_flight_until_it_is_closed(run: Run) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def body() -> None:
        async with serve(echo, "127.0.0.1", 0) as server, site() as here:
            here.tokens.limited = allowance = Allowance(Limits(in_flight=1))
            here.backends.append(Backend("ws", 1, "127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
            address = f"ws://127.0.0.1:{here.port}/endpoints/o/n/ws"
            headers = {"Authorization": f"Bearer {LIMITED}"}
            async with connect(address, additional_headers=headers) as socket:
                await socket.send("one")
                assert await within(socket.recv()) == "one"
                assert allowance.in_flight == 1
                assert outcome(await here.call(token=LIMITED)) == (429, "too_many_in_flight")
                await socket.send("two")
                assert await within(socket.recv()) == "two"
            await here.still()
            assert allowance.in_flight == 0

    run(body())


# --- given back once, whatever ends the call ---------------------------------------------------------


async def answered(here: Site) -> None:
    assert (await here.call("/x", token=LIMITED)).status == 200


async def failed_by_the_model(here: Site) -> None:
    assert (await here.call("/status?500", token=LIMITED)).status == 500


async def not_http(here: Site) -> None:
    assert (await here.call("/bad", token=LIMITED)).status == 502


async def a_stream_that_its_caller_leaves(here: Site) -> None:
    wire = await here.send(here.request("/sse", token=LIMITED))
    assert (await wire.head()).status == 200
    assert here.tokens.limited.in_flight == 1
    wire.close()


async def a_caller_who_resets(here: Site) -> None:
    wire = await here.send(here.request("/hang", token=LIMITED))
    await until(lambda: here.replicas[0].seen)
    wire.writer.transport.abort()


async def a_caller_who_leaves_before_its_token_is_known(here: Site) -> None:
    """It was never let in: there is nothing to give back."""
    here.tokens.answer = asyncio.Event()
    wire = await here.send(here.request("/x", token=SLOW_LIMITED))
    await until(lambda: here.tokens.asked)
    wire.close()
    await until(lambda: not here.front.calls)
    here.tokens.answer.set()
    assert here.tokens.limited.calls == 0


async def a_broken_answer(here: Site) -> None:
    assert not (await here.call("/half-chunked", token=LIMITED)).complete


async def a_replica_that_dies_under_it_twice(here: Site) -> None:
    """Repeated on another one, and counted as one call."""
    assert outcome(await here.call("/drop", token=LIMITED)) == (502, "replica_died")
    assert len(here.replicas[0].seen) + len(here.replicas[1].seen) == 2
    assert here.tokens.limited.calls == 1


async def repeated_and_answered(here: Site) -> None:
    wire = await here.send(here.request("/hang", token=LIMITED))
    await until(lambda: sum(len(replica.seen) for replica in here.replicas) == 1)
    first, other = sorted(here.replicas, key=lambda replica: -len(replica.seen))
    first.kill()
    await until(lambda: other.seen)
    assert here.tokens.limited.in_flight == 1
    other.release.set()
    assert (await wire.answer()).status == 200
    assert here.tokens.limited.calls == 1


async def nobody_there(here: Site) -> None:
    here.backends.clear()
    assert outcome(await here.call("/x", token=LIMITED)) == (503, "no_replica")


async def a_wrong_wish(here: Site) -> None:
    got = await here.call("/x", "X-Model-Service-Heartbeat: soon", token=LIMITED)
    assert outcome(got) == (400, "bad_request")


async def a_first_byte_that_does_not_come(here: Site) -> None:
    assert outcome(await here.call("/hang", token=LIMITED)) == (504, "first_byte_timeout")


async def a_bridge_that_its_caller_leaves(here: Site) -> None:
    wire = await here.send(here.request("/tunnel", *SHOUT, token=LIMITED))
    assert (await wire.head()).status == 101
    assert here.tokens.limited.in_flight == 1
    wire.close()


async def a_bridge_whose_replica_dies(here: Site) -> None:
    wire = await here.send(here.request("/tunnel", *SHOUT, token=LIMITED))
    assert (await wire.head()).status == 101
    await within(wire.reader.readexactly(6))
    for replica in here.replicas:
        replica.kill()
    assert await wire.closed()


async def a_body_that_is_malformed(here: Site) -> None:
    wire = await here.send(here.request("/x", "Transfer-Encoding: chunked", method="PUT", token=LIMITED) + b"zz\r\n")
    assert (await wire.answer()).status == 400


async def a_front_that_stops(here: Site) -> None:
    wires = [await here.send(here.request(path, token=LIMITED)) for path in ("/sse", "/hang")]
    await wires[0].head()
    await until(lambda: len(here.front.calls) == 2)
    assert here.tokens.limited.in_flight == 2
    await within(here.front.stop(0.05))


@pytest.mark.parametrize(
    "ending",
    [
        answered,
        failed_by_the_model,
        not_http,
        a_stream_that_its_caller_leaves,
        a_caller_who_resets,
        a_caller_who_leaves_before_its_token_is_known,
        a_broken_answer,
        a_replica_that_dies_under_it_twice,
        repeated_and_answered,
        nobody_there,
        a_wrong_wish,
        a_first_byte_that_does_not_come,
        a_bridge_that_its_caller_leaves,
        a_bridge_whose_replica_dies,
        a_body_that_is_malformed,
        a_front_that_stops,
    ],
)
def test_a_place_is_given_back_once_whatever_ends_the_call(run: Run, ending: Callable[[Site], Awaitable[None]]) -> None:
    """Not never, and not twice: that would let one call more in than is allowed."""
    serving = Serving(first_byte_timeout=0.3 if ending is a_first_byte_that_does_not_come else 60.0)

    async def body() -> None:
        settings = FrontSettings(tick=0.05)
        async with site(Replica("a"), Replica("b"), serving=serving, settings=settings) as here:
            here.tokens.limited = allowance = Allowance(Limits(in_flight=3, calls_per_day=1000))
            await ending(here)
            await here.still()
            assert allowance.in_flight == 0

    run(body())
