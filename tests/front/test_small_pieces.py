"""Bytes are counted and pieces are kept: what comes in pieces of two bytes takes no more room, and no more writes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, cast

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.body import Body
from jupyter_model_service.front.outgoing import Outgoing, Writing
from jupyter_model_service.front.server import FrontSettings

from .site import site, until, within
from .sleeper import Sleeper
from .upstreams import Replica, Seen

Run = Callable[[Any], Any]

TINY = b"2\r\nxy\r\n"
COUNT = 20_000  # pieces of two bytes
SIZE = 2 * COUNT
ROOM = 40_000  # for whatever else a call takes


@contextlib.contextmanager
def grown() -> Iterator[Callable[[], int]]:
    """How many bytes more are held than at the beginning."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: (gc.collect(), tracemalloc.get_traced_memory()[0] - before)[1]
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def writes() -> Iterator[list[int]]:
    """The size of each write of the front's to either side."""
    sizes: list[int] = []
    flush = Writing.flush

    class Counting:
        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def write(self, data: bytes) -> None:
            sizes.append(len(data))
            self._transport.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    def counted(self: Writing) -> None:
        transport = self.transport
        if transport is not None:
            self.transport = cast(Any, Counting(transport))
        flush(self)
        self.transport = transport

    Writing.flush = counted  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        Writing.flush = flush  # type: ignore[method-assign]


async def reads_all(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """And answers nothing until it is let go."""
    while True:
        data = await seen.reader.read(1 << 16)
        replica.read_bytes += len(data)
        if b"0\r\n\r\n" in data[-5:]:
            break
    await replica.release.wait()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    return True


async def answers_tiny(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """A body in pieces of two bytes, of which the last waits."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(TINY * COUNT)
    await replica.release.wait()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def test_a_body_that_may_be_sent_again_takes_what_it_counts(run: Run) -> None:
    """A replica works on it; it would go to another one if that died."""

    async def body() -> None:
        async with site(Replica(handlers={"/all": reads_all})) as here:
            assert (await here.call()).status == 200  # whatever is allocated once
            with grown() as more:
                wire = await here.send(here.request("/all", "Transfer-Encoding: chunked", method="PUT"))
                for _ in range(10):
                    await wire.send(TINY * (COUNT // 10))
                await until(lambda: any(call.body.size == SIZE for call in here.front.calls))
                await until(lambda: here.replicas[0].read_bytes >= SIZE)
                assert more() < 2 * SIZE + ROOM
            await wire.send(b"0\r\n\r\n")
            here.replicas[0].release.set()
            assert (await wire.answer()).body == b"ok"

    run(body())


def test_a_body_that_waits_for_a_replica_takes_what_it_counts(run: Run) -> None:
    async def body() -> None:
        async with site(
            Replica(), serving=Serving(concurrency=1), settings=FrontSettings(body_buffer=SIZE * 2)
        ) as here:
            first = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            with grown() as more:
                wire = await here.send(here.request("/x", "Transfer-Encoding: chunked", method="PUT"))
                await wire.send(TINY * COUNT)
                await until(lambda: any(call.body.pending_size == SIZE for call in here.front.calls))
                assert more() < 2 * SIZE + ROOM
            here.replicas[0].release.set()
            assert (await first.answer()).status == 200
            await wire.send(b"0\r\n\r\n")
            assert (await wire.answer()).json()["body"] == sha256(b"xy" * COUNT).hexdigest()

    run(body())


def test_a_body_that_is_searched_for_its_model_takes_what_it_counts(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), public=True) as here:
            assert (await here.call()).status == 200
            with grown() as more:
                head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                wire = await here.send(head + b'Transfer-Encoding: chunked\r\n\r\n6\r\n{"a":"\r\n')
                await wire.send(TINY * COUNT)
                await until(lambda: any(call.body.size == SIZE + 6 for call in here.front.calls))
                assert more() < 2 * SIZE + ROOM
            await wire.send(b'f\r\n", "model":"o/n\r\n2\r\n"}\r\n0\r\n\r\n')
            assert (await wire.answer()).json()["body"] == sha256(
                b'{"a":"' + b"xy" * COUNT + b'", "model":"o/n"}'
            ).hexdigest()

    run(body())


def test_an_answer_that_becomes_one_event_takes_what_it_counts(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(handlers={"/tiny": answers_tiny})) as here:
            sleeper, replica = Sleeper(here), here.replicas[0]
            with grown() as more:
                wire = await here.send(here.request("/tiny", "X-Model-Service-Heartbeat: 1"))
                await wire.head()
                sleeper.ready()
                await until(lambda: any(_gathered(call) == SIZE for call in here.front.calls))
                assert more() < 2 * SIZE + ROOM
            replica.release.set()
            rest = b""
            while not rest.endswith(b"0\r\n\r\n"):
                rest += await within(wire.reader.read(1 << 16))
            assert b"xy" * COUNT in rest

    run(body())


def _gathered(call: Any) -> int:
    """Bytes of an answer that is no event stream, in the place of one."""
    connection = call.attempt and call.attempt.connection
    return getattr(connection and connection.sink, "_size", 0)


# --- writes -----------------------------------------------------------------------------------------------


class _Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("way", ["an answer", "an upload"])
def test_a_read_of_tiny_chunks_is_a_handful_of_writes(run: Run, way: str) -> None:
    """Each write of the front's is counted, while 20,000 chunks pass through it."""

    async def body() -> None:
        async with site(Replica(handlers={"/all": reads_all, "/tiny": answers_tiny})) as here:
            here.replicas[0].release.set()
            with writes() as counted:
                if way == "an answer":
                    answer = await here.call("/tiny")
                    assert answer.body == b"xy" * COUNT
                else:
                    wire = await here.send(here.request("/all", "Transfer-Encoding: chunked", method="PUT"))
                    await wire.send(TINY * COUNT + b"0\r\n\r\n")
                    await wire.answer()
            # They come in reads of some size, of which each may be a few writes.
            assert sum(counted) > SIZE
            assert len(counted) < 60

    run(body())


def test_small_pieces_are_joined_and_large_ones_are_not_copied() -> None:
    outgoing = Outgoing()
    connection, transport = Writing(outgoing), _Transport()
    connection.transport = cast(Any, transport)
    large = [b"L" * 8193, b"M" * (256 << 10)]
    small = [b"s" * 7] * 20_000
    connection._gathered = [b"head", large[0], *small, large[1], b"end"]
    connection.flush()
    assert b"".join(transport.writes) == b"".join([b"head", large[0], *small, large[1], b"end"])
    assert sum(written is piece for written in transport.writes for piece in large) == 2
    assert [len(written) for written in transport.writes] == [4, 8193, 65534, 65534, 8932, 256 << 10, 3]


def test_many_pieces_do_not_wait_for_the_end_of_the_turn(run: Run) -> None:
    async def body() -> None:
        connection, transport = Writing(Outgoing()), _Transport()
        connection.transport = cast(Any, transport)
        connection.write([b"x"] * 64)
        assert transport.writes == []
        connection.write([b"y"] * 65)
        assert transport.writes == [b"x" * 64 + b"y" * 65]

    run(body())


# --- bodies -----------------------------------------------------------------------------------------------


def test_small_pieces_of_a_body_become_blocks_and_large_ones_stay_what_they_are() -> None:
    body = Body()
    large = b"L" * 1025
    for piece in [b"a" * 600, b"b" * 424, b"c", large, b"d"]:
        body.add(piece)
    taken = body.take(chunked=False)
    assert taken == [b"a" * 600 + b"b" * 424, b"c", large, b"d"]
    assert taken[2] is large
    body.add(b"e")
    assert body.take(chunked=True) == [b"1\r\ne\r\n"]
    body.rewind()
    assert body.take(chunked=False) == [b"a" * 600 + b"b" * 424, b"c", large, b"de"]


def test_what_waits_and_what_is_kept_of_a_body_are_the_same_bytes() -> None:
    body = Body()
    for _ in range(COUNT):
        body.add(b"xy")
    assert all(one is other for one, other in zip(body._pending, body._kept or [], strict=True))
    assert body.pending_size == body.size == SIZE


def test_a_body_is_looked_at_from_any_byte_on() -> None:
    body = Body()
    for piece in [b"a" * 1000, b"b" * 1000, b"c", b"d"]:
        body.add(piece)
    whole = b"a" * 1000 + b"b" * 1000 + b"cd"
    for after in (0, 1, 999, 1000, 1001, 2000, 2001, 2002):
        assert b"".join(body.come(after)) == whole[after:]
