"""Many requests of one caller at once: served some few at a time, and none of them takes more than its bytes before."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.call import Call
from jupyter_model_service.front.server import FrontSettings

from .site import TOKEN, Site, Wire, site, until, within
from .upstreams import Replica, Seen, reset

Run = Callable[[Any], Any]

SHORT = b"GET /endpoints/a/b/ HTTP/1.1\r\nHost:\r\n\r\n"  # refused at once: it has no token
POST = b"POST /endpoints/a/b/ HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\nhi"
CHUNKS = b"POST /endpoints/a/b/ HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
LONG = 8 << 20  # bytes: more than the kernel keeps
KINDS = {"short": SHORT, "with a body": POST, "in chunks": CHUNKS, "in turn": SHORT + POST + CHUNKS}


class Turns:
    """How many refusals were given in each turn of the loop."""

    def __init__(self, here: Site) -> None:
        self.most = self.turns = 0
        self._here = here
        self._before = len(here.meter.refusals)
        self._goes_on = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now = len(self._here.meter.refusals)
        self.most = max(self.most, now - self._before)
        self.turns += now > self._before
        self._before = now
        if self._goes_on:
            asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._goes_on = False


def calls_held() -> int:
    # By its type: asked by isinstance, a proxy says what the thing behind it is, and fails where that is gone.
    return sum(type(thing) is Call for thing in gc.get_objects())


async def _statuses(wire: Wire, count: int) -> list[int]:
    return [(await wire.answer()).status for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_is_served_some_few_requests_at_a_turn_of_the_loop(run: Run, kind: str) -> None:
    """All are answered, in any case; one connection has four in a row."""
    many = 1500 if kind == "in turn" else 3000

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            turns = Turns(here)
            writing = asyncio.ensure_future(wire.send(KINDS[kind] * (many // (3 if kind == "in turn" else 1))))
            assert await _statuses(wire, many) == [401] * many
            await writing
            turns.stop()
            assert turns.most <= 8  # what its bytes began, and what went on
            assert turns.turns > many / 10

    run(body())


def test_bursts_of_many_callers_take_turns(run: Run) -> None:
    """Four connections go on in one turn of the loop, and the first to come is not the first to end."""

    async def body() -> None:
        async with site(Replica()) as here:
            wires = [await here.wire() for _ in range(12)]
            for wire in wires:
                wire.writer.write(SHORT * 300)
            await asyncio.gather(*(wire.writer.drain() for wire in wires))
            await asyncio.gather(*(_statuses(wire, 1) for wire in wires))
            turns = Turns(here)
            assert await asyncio.gather(*(_statuses(wire, 299) for wire in wires)) == [[401] * 299] * 12
            turns.stop()
            assert turns.most <= 4 * (4 + 1)

    run(body())


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_behind_a_call_is_bytes(run: Run, kind: str) -> None:
    """Each of some thousand requests was a call, of a thousand bytes and more."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang"))
            await until(lambda: here.replicas[0].seen)
            before = calls_held()
            writing = asyncio.ensure_future(wire.send(KINDS[kind] * 3000))
            connection = next(iter(here.front.connections))
            await until(lambda: connection.behind)
            assert calls_held() - before <= 20
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200
            many = 9000 if kind == "in turn" else 3000
            assert await _statuses(wire, many) == [401] * many
            await writing

    run(body())


def test_a_burst_of_who_takes_no_answers_is_not_answered(run: Run) -> None:
    """Until they do: what was gathered for them is bounded by what their connection may hold back."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.front.settings = FrontSettings()
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", here.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
            many = 200_000
            writing = asyncio.ensure_future(Wire(reader, writer).send(SHORT * many))
            connection = None

            def held() -> int:
                nonlocal connection
                connection = next(iter(here.front.connections))
                assert connection.transport is not None
                gathered = sum(map(len, connection._gathered or ()))
                assert gathered + connection.transport.get_write_buffer_size() < 128 << 10
                return connection.stuck

            await until(held)
            answered = len(here.meter.refusals)
            assert answered < many
            for _ in range(20):
                await asyncio.sleep(0.01)
                held()
            assert len(here.meter.refusals) == answered
            writing.cancel()
            writer.transport.abort()

    run(body())


def test_a_caller_who_takes_nothing_of_a_burst_is_given_up(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(reader_timeout=0.2, tick=0.02)) as here:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", here.port))
            _reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
            writer.write(SHORT * 200_000)
            await until(lambda: any(each.stuck for each in here.front.connections))
            await until(lambda: not here.front.connections)
            writer.transport.abort()

    run(body())


def test_the_calls_of_a_burst_reach_the_replica_in_their_order(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            sent = b"".join(
                here.request(
                    f"/{number}", *(["X: " + "x" * 700] if number % 7 == 0 else []), method="POST", body=b"b" * n
                )
                for number, n in enumerate([0, 1, 2000, 3, 70_000, 0, 5] * 30)
            )
            writing = asyncio.ensure_future(wire.send(sent))
            for number in range(210):
                assert (await wire.answer()).json()["target"] == f"/{number}"
            await writing

    run(body())


def test_a_caller_who_said_all_in_a_burst_and_closed_its_side_gets_all_its_answers(run: Run) -> None:
    """The last of its requests is the one that says so; it has not been read when the FIN comes."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang") + SHORT * 1000 + here.request("/last", "Connection: close"))
            wire.writer.write_eof()
            await until(lambda: here.replicas[0].seen)
            ticks = here.front._ticks
            await until(lambda: here.front._ticks > ticks + 12)
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200
            assert await _statuses(wire, 1000) == [401] * 1000
            assert (await wire.answer()).json()["target"] == "/last"
            assert await wire.closed()

    run(body())


def test_what_cannot_be_read_is_refused_after_the_answers_to_what_came_before(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(SHORT * 10 + b"nonsense\r\n\r\n")
            assert await _statuses(wire, 11) == [401] * 10 + [400]
            assert await wire.closed()

    run(body())


# --- the end of the front -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 300])
def test_a_front_that_stops_serves_what_it_had_received(run: Run, count: int) -> None:
    """Within the grace; the last answer says that the connection ends."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang") + here.request("/next") * count)
            await until(lambda: here.replicas[0].seen)
            stopping = asyncio.ensure_future(here.front.stop(20.0))
            await until(lambda: here.front.stopping)
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200
            answers = [await wire.answer() for _ in range(count)]
            assert [answer.status for answer in answers] == [200] * count
            assert [answer.one("Connection") for answer in answers] == [None] * (count - 1) + ["close"]
            assert await wire.closed()
            await within(stopping)

    run(body())


# --- one that goes wrong ------------------------------------------------------------------------------------


def test_a_call_that_cannot_be_begun_ends_its_own_connection(run: Run) -> None:
    """It stood behind another one, whose answer came in the turn in which it was begun."""

    async def body() -> None:
        async with site(Replica()) as here:
            known = here.tokens.known

            def fails(token: str) -> Any:
                if token == "jms_bug":
                    raise RuntimeError("a bug")
                return known(token)

            here.front.callers.known = fails
            wire = await here.send(here.request("/hang") + here.request("/x", token="jms_bug") + here.request("/y"))
            await until(lambda: here.replicas[0].seen)
            here.replicas[0].release.set()
            assert await wire.closed() or True
            await until(lambda: not here.front.connections)
            await here.still()
            assert (await here.call(token=TOKEN)).status == 200

    run(body())


def test_a_time_limit_that_cannot_be_looked_at_ends_no_other(run: Run) -> None:
    """The engine's code runs in a tick, too."""

    async def body() -> None:
        settings = FrontSettings(tick=0.02)
        async with site(Replica(), serving=Serving(first_byte_timeout=0.2), settings=settings) as here:
            calls = [await here.send(here.request("/hang")) for _ in range(3)]
            await until(lambda: len(here.front.calls) == 3)
            bad = list(here.front.calls)[1]
            refuse = bad.refuse

            def fails(_refusal: Any) -> None:
                raise RuntimeError("a bug")

            type(bad).refuse = lambda self, refusal: fails(refusal) if self is bad else refuse.__func__(self, refusal)
            try:
                ended = 0
                for wire in calls:
                    try:
                        ended += (await wire.answer()).status == 504
                    except asyncio.IncompleteReadError:
                        pass
                assert ended == 2
            finally:
                type(bad).refuse = refuse.__func__
            await here.still()

    run(body())


# --- what is looked at once in a while ------------------------------------------------------------------------


def test_a_head_that_begins_behind_a_call_has_its_limit_too(run: Run) -> None:
    """Not that of an idle connection, which is longer."""

    async def body() -> None:
        settings = FrontSettings(head_timeout=0.2, keep_alive=1000.0, tick=0.02)
        async with site(Replica(), settings=settings) as here:
            wire = await here.send(here.request("/hang") + b"GET / HTTP/1.1\r\nHost: ")
            await until(lambda: here.replicas[0].seen)
            here.replicas[0].release.set()
            assert (await wire.answer()).status == 200
            assert (await wire.answer()).code == "head_timeout"
            assert await wire.closed()

    run(body())


def test_a_caller_who_leaves_while_nothing_is_read_is_missed_within_a_second(run: Run) -> None:
    """Ten ticks; a look at all connections, which comes with each tenth, may be just over."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang") + here.request("/next") * 50)
            await until(lambda: here.replicas[0].seen)
            await until(lambda: here.front._ticks % 10 == 1)
            ticks = here.front._ticks
            reset(wire.writer)
            await until(lambda: not here.front.calls)
            assert here.front._ticks - ticks < 8
            await within(here.replicas[0].hung_up.wait())

    run(body())


def test_the_end_of_an_answer_may_take_longer_than_the_wait_for_the_end_of_an_upload(run: Run) -> None:
    """``linger`` begins when the answer is out: a caller who was sending still, and takes its answer slowly, gets it
    whole."""

    async def refuses(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG)
        writer.write(b"x" * LONG)
        await writer.drain()
        await seen.reader.read(-1)
        return False

    async def body() -> None:
        settings = FrontSettings(linger=0.1, tick=0.02)
        async with site(Replica(handlers={"/refuses": refuses}), settings=settings) as here:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", here.port))
            await asyncio.get_running_loop().sock_sendall(
                sock, here.request("/refuses", "Content-Length: 1000000", method="PUT") + b"some of it"
            )
            got = b""
            while not here.meter.calls:
                got += await within(asyncio.get_running_loop().sock_recv(sock, 1 << 14))
            ticks = here.front._ticks
            assert len(got) < LONG
            await until(lambda: here.front._ticks > ticks + 30)
            while data := await within(asyncio.get_running_loop().sock_recv(sock, 1 << 16)):
                got += data
            assert len(got.partition(b"\r\n\r\n")[2]) == LONG
            sock.close()
            await until(lambda: not here.front.connections)

    run(body())


def test_what_a_replica_says_is_forgotten_when_nobody_calls_it(run: Run) -> None:
    """A head may have 128 KiB, as its model likes, and there may be 10,000 replicas."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(pool_idle=0.1, tick=0.02)) as here:
            assert (await here.call()).status == 200
            pool = here.front.pool(here.backends[0])
            assert pool.last_answer is not None
            await until(lambda: pool.last_answer is None and pool.whole_answer is None)

    run(body())
