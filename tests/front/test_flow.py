"""Streams in both directions: at once, bounded, and ended when either side has gone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import statistics
import sys
import tracemalloc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import psutil
import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import OTHER, Site, Wire, site, until, within
from .upstreams import HANDLERS, Replica, Seen, reset

Run = Callable[[Any], Any]

MANY = 100 << 20  # bytes
FLAT = 40 << 20  # kernel buffers are not ours, but Python's pieces on both sides and in the replica are in here


class Memory:
    """The most that this process (front, replica and caller in one) grew by."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._now()
        self.grown = 0

    def _now(self) -> int:
        return int(self._process.memory_info().rss)

    def look(self) -> None:
        self.grown = max(self.grown, self._now() - self._before)


async def stalls(count: Callable[[], int], pause: float = 0.15) -> int:
    """Wait until a counter stands still."""
    before = -1
    while count() != before:
        before = count()
        await asyncio.sleep(pause)
    return before


def test_a_large_upload_to_a_slow_replica_is_held_back(run: Run) -> None:
    """100 MB arrive as they were sent; memory stays flat and the caller cannot send ahead."""

    async def body() -> None:
        async with site(Replica()) as here:
            memory = Memory()
            piece = bytes(range(256)) * 256
            sent = 0
            expected = hashlib.sha256()
            wire = await here.send(here.request("/swallow", f"Content-Length: {MANY}", method="PUT"))

            async def upload() -> None:
                nonlocal sent
                while sent < MANY:
                    wire.writer.write(piece)
                    expected.update(piece)
                    sent += len(piece)
                    await wire.writer.drain()
                    memory.look()

            uploading = asyncio.ensure_future(upload())
            await until(lambda: here.replicas[0].seen)
            assert await stalls(lambda: sent) < MANY // 2
            here.replicas[0].release.set()
            await within(uploading, 60)
            got = await wire.answer()
            assert got.body == str(MANY).encode()
            assert here.replicas[0].digest.digest() == expected.digest()
            assert memory.grown < FLAT, memory.grown

    run(body())


def test_a_slow_reader_of_a_large_answer_holds_the_replica_back(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            memory = Memory()
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1 << 16)
            writer.write(here.request(f"/huge?{MANY}"))
            replica = here.replicas[0]
            await until(lambda: replica.read_bytes)
            assert await stalls(lambda: replica.read_bytes) < MANY // 2
            memory.look()
            await reader.readuntil(b"\r\n\r\n")
            left = MANY
            while left:
                data = await within(reader.read(1 << 16))
                assert data
                left -= len(data)
                memory.look()
            writer.write(here.request("/next"))
            assert (await Wire(reader, writer).answer()).json()["target"] == "/next"
            assert memory.grown < FLAT, memory.grown
            writer.close()

    run(body())


def test_pipelined_answers_are_held_back_too(run: Run) -> None:
    """3,000 answers of 30 KB: one that starts while its caller is behind already is not read ahead of it."""

    async def body() -> None:
        async with site(Replica()) as here:
            _reader, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1 << 12)
            replica = here.replicas[0]
            writer.write(here.request("/huge?30000") * 3000)
            await until(lambda: replica.read_bytes)
            assert await stalls(lambda: replica.read_bytes) < 40 << 20
            writer.close()

    run(body())


def test_pipelined_requests_are_not_read_ahead(run: Run) -> None:
    """While one call is on its way, only what came in one read waits behind it."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            sent, many = 0, here.request("/x") * 500

            async def flood() -> None:
                nonlocal sent
                while sent < MANY:
                    wire.writer.write(many)
                    sent += len(many)
                    await wire.writer.drain()

            flooding = asyncio.ensure_future(flood())
            assert await stalls(lambda: sent, 0.5) < 16 << 20
            flooding.cancel()
            reset(wire.writer)

    run(body())


def test_a_body_that_waits_for_a_replica_is_bounded(run: Run) -> None:
    """The caller is held back while it is queued."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            wire = await here.send(here.request("/swallow", f"Content-Length: {MANY}", method="PUT"))
            await until(lambda: here.endpoint.waiting == 1)
            sent = 0

            async def upload() -> None:
                nonlocal sent
                while sent < MANY:
                    wire.writer.write(b"x" * 65536)
                    sent += 65536
                    await wire.writer.drain()

            uploading = asyncio.ensure_future(upload())
            assert await stalls(lambda: sent) < MANY // 4
            held = [call.body.pending_size for call in here.front.calls if call.body.pending_size]
            assert len(held) == 1
            assert held[0] < 1 << 20
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            await within(uploading, 60)
            assert (await wire.answer()).body == str(MANY).encode()

    run(body())


@pytest.mark.parametrize("how", ["no token", "another's token"])
def test_a_refused_upload_costs_no_memory(run: Run, how: str) -> None:
    """What had come of it goes at once, not when its connection ends, and what still comes is not kept either."""
    callers, size = 40, 60_000

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(linger=60.0)) as here:
            token = OTHER if how == "another's token" else None
            request = here.request("/x", "Content-Length: 100000000", method="PUT", token=token) + b"x" * size
            await (await here.send(request)).answer()  # whatever is allocated once
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(callers):
                    wire = await here.send(request)
                    assert (await wire.answer()).status in (401, 404)
                    await wire.send(b"x" * size)
                    assert await wire.closed()
                assert len(here.front.connections) == callers + 1
                assert tracemalloc.get_traced_memory()[0] - before < callers * size // 3
            finally:
                tracemalloc.stop()

    run(body())


def test_events_leave_in_the_turn_in_which_they_came(run: Run) -> None:
    """Each is seen before the next is sent, far sooner than any timer or Nagle's algorithm would let it."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/sse"))
            await wire.head()
            delays, begun = [], 0.0
            for number in range(50):
                line = await within(wire.reader.readuntil(b"\n\n\r\n"))
                if number:
                    delays.append(perf_counter() - begun)
                assert b"data: %d\n" % number in line
                begun = perf_counter()
                here.replicas[0].release.set()
            assert statistics.median(delays) < 0.02
            wire.close()

    run(body())


@pytest.mark.parametrize("path", ["/sse", "/hang"])
def test_a_caller_who_leaves_cancels_the_replicas_work(run: Run, path: str) -> None:
    """At once, before or in mid-stream; counted as 499; the slot is free."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            wire = await here.send(here.request(path))
            await until(lambda: here.replicas[0].seen)
            if path == "/sse":
                await wire.head()
            wire.close()
            await within(here.replicas[0].hung_up.wait())
            await here.still()
            assert here.meter.statuses() == [499]
            assert (await here.call("/x")).status == 200

    run(body())


def test_a_caller_who_leaves_in_mid_upload(run: Run) -> None:
    """The replica sees a broken body, never an end of it."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", "Content-Length: 1000000", method="PUT") + b"x" * 1000)
            await until(lambda: here.replicas[0].seen)
            wire.writer.write_eof()
            await within(here.replicas[0].hung_up.wait())
            await here.still()
            assert here.meter.statuses() == [499]

    run(body())


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked by TCP_INFO")
def test_a_caller_who_leaves_while_it_is_held_back(run: Run, how: str) -> None:
    """It waits for a replica, with more of its body than is buffered for it: nothing is read from it then."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(concurrency=1)) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            wire = await here.send(here.request("/x", f"Content-Length: {MANY}", method="PUT") + b"x" * 100_000)
            await until(lambda: any(not connection.body_allowed for connection in here.front.connections))
            if how == "reset":
                reset(wire.writer)
            else:
                wire.close()
            await until(lambda: here.endpoint.waiting == 0)
            assert here.meter.statuses() == [499]
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200

    run(body())


def test_an_aborting_caller(run: Run) -> None:
    """A reset in the middle of a large answer."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request(f"/huge?{MANY}"))
            await wire.head()
            wire.writer.transport.abort()
            await within(here.replicas[0].hung_up.wait())
            await here.still()
            assert here.meter.statuses() == [499]

    run(body())


def test_the_first_byte_has_a_limit(run: Run) -> None:
    """504 with its own code; the replica's work is cancelled; not tried again."""

    async def body() -> None:
        serving = Serving(first_byte_timeout=0.2)
        async with site(Replica("a"), Replica("b"), serving=serving) as here:
            wire = await here.send(here.request("/hang", method="POST", body=b"x"))
            got = await wire.answer()
            assert (got.status, got.code) == (504, "first_byte_timeout")
            assert "0.2 s (serving.first_byte_timeout)" in got.json()["error"]["message"]
            assert sum(len(replica.seen) for replica in here.replicas) == 1
            await within(here.replicas[0].hung_up.wait())
            await wire.send(here.request("/x"))
            assert (await wire.answer()).status == 200

    run(body())


@pytest.mark.parametrize("others_hang", [False, True])
def test_a_call_on_a_hung_replica_goes_to_another_one(run: Run, others_hang: bool) -> None:
    """Its health check is late, too, so it is not the call that takes so long. Once: from the second it is a 504."""

    async def body() -> None:
        serving = Serving(first_byte_timeout=0.2)
        async with site(*(Replica(name) for name in "abc"), serving=serving) as here:
            hung = here.replicas if others_hang else here.replicas[:1]
            for replica in here.replicas:
                replica.handlers["/x"] = HANDLERS["/hang" if replica in hung else "*"]
            wire = await here.send(here.request("/x", method="POST", body=b"abc"))
            await until(lambda: any(replica.seen for replica in here.replicas))
            for backend in here.backends if others_hang else here.backends[:1]:
                backend.suspect = True
            got = await wire.answer()
            if others_hang:
                assert (got.status, got.code) == (504, "first_byte_timeout")
            else:
                assert (got.status, got.json()["body"]) == (200, "abc")
            assert here.meter.retries == ["hung"]
            assert sum(len(replica.seen) for replica in here.replicas) == 2
            await within(here.replicas[0].hung_up.wait())

    run(body())


def test_a_stream_may_be_silent_only_for_so_long(run: Run) -> None:
    """Each byte starts the limit anew; then the answer is broken off, not ended."""

    async def body() -> None:
        async with site(Replica(), serving=Serving(idle_timeout=0.5)) as here:
            wire = await here.send(here.request("/sse"))
            await wire.head()
            for _ in range(8):
                await within(wire.reader.readuntil(b"\n\n\r\n"))
                await asyncio.sleep(0.1)
                here.replicas[0].release.set()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(wire.reader.readuntil(b"0\r\n\r\n"))
            await here.still()
            assert here.meter.statuses() == [502]

    run(body())


def test_a_caller_who_stops_sending(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(body_timeout=0.2)) as here:
            wire = await here.send(here.request("/x", "Content-Length: 10", method="PUT") + b"abc")
            got = await wire.answer()
            assert (got.status, got.code, got.one("Connection")) == (408, "body_timeout", "close")
            await within(here.replicas[0].hung_up.wait())

    run(body())


def test_a_caller_who_stops_reading(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(reader_timeout=0.3)) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1 << 12)
            writer.write(here.request(f"/huge?{MANY}"))
            await within(here.replicas[0].hung_up.wait())
            await here.still()
            assert here.meter.statuses() == [499]
            got = 0
            with contextlib.suppress(ConnectionError):
                while data := await within(reader.read(1 << 20)):
                    got += len(data)
            assert got < MANY
            writer.close()

    run(body())


def test_idle_connections_cost_no_task(run: Run) -> None:
    """500 of them, after a call each."""

    async def body() -> None:
        async with site(Replica()) as here:
            before = len(asyncio.all_tasks())
            wires = []
            for _ in range(500):
                reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
                wires.append(Wire(reader, writer))
            for wire in wires[:50]:
                await wire.send(here.request("/x"))
                assert (await wire.answer()).status == 200
            await until(lambda: len(here.front.connections) == 500)
            ours = len(asyncio.all_tasks()) - before - here.replicas[0].connections
            assert ours <= 0, ours
            for wire in wires:
                wire.close()
            await until(lambda: not here.front.connections)

    run(body())


def test_idle_connections_to_a_replica_expire(run: Run) -> None:
    """Sooner than the replica's own limit, where it tells it."""

    async def body() -> None:
        settings = FrontSettings(pool_idle=0.2, tick=0.02)
        async with site(Replica(), settings=settings) as here:
            await here.call("/x")
            await within(here.replicas[0].hung_up.wait())
            assert here.replicas[0].connections == 1
            await here.call("/x")
            assert here.replicas[0].connections == 2
            assert here.meter.retries == []

    run(body())


async def keep_alive_1(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1, max=5\r\n\r\n")
    return True


def test_a_replicas_keep_alive_limit_is_believed(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(handlers={"/k": keep_alive_1})) as here:
            await here.call("/k")
            await here.call("/k")
            assert here.replicas[0].connections == 2

    run(body())


async def stop(here: Site, grace: float) -> None:
    await within(here.front.stop(grace))


def test_stopping_lets_open_calls_finish(run: Run) -> None:
    """No new connection; an idle one is closed; the last answer says Connection: close."""

    async def body() -> None:
        async with site(Replica()) as here:
            idle = await here.send(here.request("/x"))
            assert (await idle.answer()).status == 200
            busy = await here.send(here.request("/hang"))
            await until(lambda: here.backends[0].in_flight == 1)
            stopping = asyncio.ensure_future(stop(here, 20.0))
            assert await idle.closed()
            with pytest.raises(ConnectionError):
                await here.wire()
            here.replicas[0].release.set()
            got = await busy.answer()
            assert (got.status, got.complete, got.one("Connection")) == (200, True, "close")
            assert await busy.closed()
            await stopping

    run(body())


def test_stopping_ends_after_the_grace(run: Run) -> None:
    """A stream is broken off; a call without an answer gets 503."""

    async def body() -> None:
        async with site(Replica("a"), Replica("b")) as here:
            stream = await here.send(here.request("/sse"))
            await stream.head()
            held = await here.send(here.request("/hang"))
            await until(lambda: len(here.front.calls) == 2)
            await stop(here, 0.1)
            got = await held.answer()
            assert (got.status, got.code) == (503, "shutting_down")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(stream.reader.readuntil(b"0\r\n\r\n"))
            assert not here.front.connections

    run(body())
