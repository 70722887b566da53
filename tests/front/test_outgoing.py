"""What is written in one turn of the loop: when it goes out, in which order, and in how many pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from jupyter_model_service.front.outgoing import Outgoing, Writing

Run = Callable[[Any], Any]


class _Transport:
    """Notes what is written to it, for all connections of a test in one list."""

    def __init__(self, name: str, seen: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.seen = seen
        self.closing = False

    def write(self, data: bytes) -> None:
        self.seen.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closing


def _connection(outgoing: Outgoing, name: str, seen: list[tuple[str, bytes]]) -> Writing:
    connection = Writing(outgoing)
    connection.transport = cast(Any, _Transport(name, seen))
    return connection


def test_what_is_written_in_a_turn_goes_out_at_its_end_in_one_write_per_connection(run: Run) -> None:
    async def body() -> None:
        seen: list[tuple[str, bytes]] = []
        outgoing = Outgoing()
        one, other = _connection(outgoing, "one", seen), _connection(outgoing, "other", seen)

        one.write([b"head ", b"body "])
        other.write([b"hello"])
        one.write([b"end"])
        one.write([])
        assert seen == []

        await asyncio.sleep(0)
        assert seen == [("one", b"head body end"), ("other", b"hello")]
        await asyncio.sleep(0)
        assert len(seen) == 2

        one.write([b"the next turn"])
        await asyncio.sleep(0)
        assert seen[2:] == [("one", b"the next turn")]

    run(body())


def test_a_large_piece_does_not_wait_and_overtakes_nothing(run: Run) -> None:
    async def body() -> None:
        seen: list[tuple[str, bytes]] = []
        connection = _connection(Outgoing(), "one", seen)
        large = bytes(64 << 10)
        connection.write([b"first"])
        connection.write([large])
        assert [data for _, data in seen] == [b"first", large]
        await asyncio.sleep(0)
        assert len(seen) == 2

    run(body())


def test_the_first_of_many_connections_waits_for_a_bounded_number(run: Run) -> None:
    async def body() -> None:
        seen: list[tuple[str, bytes]] = []
        outgoing = Outgoing()
        for number in range(40):
            _connection(outgoing, str(number), seen).write([b"x"])
        assert [name for name, _ in seen] == [str(number) for number in range(32)]
        await asyncio.sleep(0)
        assert len(seen) == 40

    run(body())


def test_nothing_is_written_to_a_connection_that_closes(run: Run) -> None:
    async def body() -> None:
        seen: list[tuple[str, bytes]] = []
        outgoing = Outgoing()
        closing, gone, well = (_connection(outgoing, name, seen) for name in ("closing", "gone", "well"))
        for connection in (closing, gone, well):
            connection.write([b"x"])
        cast(Any, closing.transport).closing = True
        gone.transport = None
        await asyncio.sleep(0)
        assert seen == [("well", b"x")]

    run(body())


def test_a_connection_that_cannot_be_written_to_holds_up_no_other(run: Run) -> None:
    async def body() -> None:
        seen: list[tuple[str, bytes]] = []
        outgoing = Outgoing()
        bad, well = _connection(outgoing, "bad", seen), _connection(outgoing, "well", seen)
        aborted = []

        def fail(_data: bytes) -> None:
            raise RuntimeError("it is gone")

        cast(Any, bad.transport).write = fail
        cast(Any, bad.transport).abort = lambda: aborted.append(True)
        for connection in (bad, well):
            connection.write([b"x"])
        await asyncio.sleep(0)
        assert (seen, aborted) == ([("well", b"x")], [True])

    run(body())
