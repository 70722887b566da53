"""Probes against real sockets: answers, silence, nonsense, and that nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck as Unhealthy
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.adapters.probe import BODY_LIMIT, READ_LIMIT, HttpProbe, is_connected_to_itself

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBE = HttpProbe()
LONG = 30.0  # seconds: a limit that no test reaches


class Server:
    """Answers each connection with ``answer(reader, writer)``; remembers requests and ends of connections."""

    def __init__(self, answer: Callable[[Server, asyncio.StreamWriter], Coroutine[Any, Any, None]]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()
        self.closed = 0  # connections
        self.serving: set[asyncio.Task[None] | None] = set()

    async def end(self) -> None:
        """Leaves no connection to the garbage collector, which would complain in whatever test runs then."""
        await asyncio.sleep(0.01)  # those that were accepted just now get their task
        tasks = {task for task in self.serving if task is not None}
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=1)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        self.reader: asyncio.StreamReader | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.serving.add(task := asyncio.current_task())
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self.answer(self, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        except RuntimeError:  # uvloop's word for writing to a connection that is gone
            assert writer.transport.is_closing()
        finally:
            writer.close()
            self.ended.set()
            with contextlib.suppress(OSError, RuntimeError):  # uvloop's word for a connection that is gone
                await writer.wait_closed()
            self.closed += 1
            self.serving.discard(task)


@contextlib.asynccontextmanager
async def serving(
    answer: bytes | Callable[[Server, asyncio.StreamWriter], Coroutine[Any, Any, None]], host: str = "127.0.0.1"
) -> AsyncIterator[tuple[Server, tuple[str, int]]]:
    async def write(server: Server, writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)

    server = Server(write if isinstance(answer, bytes) else answer)
    listener = await asyncio.start_server(server.serve, host, 0)
    try:
        yield server, listener.sockets[0].getsockname()[:2]
    finally:
        await server.end()  # first: asyncio forgets a connection whose listener closes while it is accepted
        listener.close()


async def until_gone(server: Server, writer: asyncio.StreamWriter) -> None:
    """Says nothing until the other side has left."""
    assert server.reader is not None
    await server.reader.read()


@pytest.fixture(params=["asyncio", "uvloop"])
def kind(request: pytest.FixtureRequest) -> str:
    """The gateway runs on uvloop where there is one, and on asyncio where there is none."""
    return str(request.param)


def run(kind: str, body: Coroutine[Any, Any, None]) -> None:
    """Nothing may be left to the loop's handler of unhandled errors."""
    errors: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        await asyncio.wait_for(body, 60)
        await asyncio.sleep(0)

    if kind == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(whole())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert errors == []


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as next_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free.fileno(), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def probe_of(kind: str, answer: bytes, expected: int = 200) -> tuple[bool, str, bool]:
    found: list[tuple[bool, str, bool]] = []

    async def body() -> None:
        async with serving(answer) as (_, address):
            result = await PROBE.http(address, "/health", expected, LONG)
            found.append((result.ok, result.reason, result.connected))

    run(kind, body())
    return found[0]


# --- answers -----------------------------------------------------------------------------------------


def test_the_expected_status_is_a_pass(kind: str) -> None:
    async def body() -> None:
        async with serving(OK) as (server, address):
            result = await PROBE.http(address, "/health", 200, LONG)
            assert (result.ok, result.reason, result.connected) == (True, "", True)
            assert 0 < result.seconds < LONG
            await server.ended.wait()
            assert server.requests == [
                b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: jupyter-model-service-probe\r\n"
                b"Accept: */*\r\nConnection: close\r\n\r\n" % address[1]
            ]

    run(kind, body())


@pytest.mark.parametrize(
    ("answer", "expected", "ok", "reason"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 200, False, "status 500, expected 200"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 200, False, "status 404, expected 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", 200, False, "status 302, expected 200"),
        (OK, 204, False, "status 200, expected 204"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, True, ""),
        (b"HTTP/1.1 503 Warming up\r\nContent-Length: 0\r\n\r\n", 503, True, ""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, True, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, True, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, 200, True, ""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", 200, False, "status 101, expected 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off", 200, True, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", 200, True, ""),
        (OK + OK, 200, True, ""),
    ],
)  # fmt: skip
def test_only_the_status_counts(kind: str, answer: bytes, expected: int, ok: bool, reason: str) -> None:
    assert probe_of(kind, answer, expected) == (ok, reason, True)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])  # fmt: skip
def test_an_end_before_the_answer_is_a_failure(kind: str, answer: bytes) -> None:
    assert probe_of(kind, answer) == (False, "closed without an answer", True)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00", b"HTTP/1.1 abc Oops\r\n\r\n", b"ok\n"]
)
def test_another_protocol_is_not_http(kind: str, answer: bytes) -> None:
    assert probe_of(kind, answer) == (False, "not HTTP", True)


@settings(max_examples=80, deadline=None, suppress_health_check=[Unhealthy.function_scoped_fixture])
@given(answer=st.binary(max_size=200))
def test_any_bytes_give_a_reason(kind: str, answer: bytes) -> None:
    ok, reason, connected = probe_of(kind, answer)
    assert (ok, connected) == (False, True)
    assert reason in ("closed without an answer", "not HTTP")


def test_an_answer_may_come_byte_by_byte(kind: str) -> None:
    async def slowly(server: Server, writer: asyncio.StreamWriter) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async def body() -> None:
        async with serving(slowly) as (_, address):
            assert (await PROBE.http(address, "/", 200, LONG)).ok

    run(kind, body())


def test_a_connection_that_is_reset_is_a_failure(kind: str) -> None:
    async def reset(server: Server, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def body() -> None:
        async with serving(reset) as (_, address):
            result = await PROBE.http(address, "/", 200, LONG)
            assert (result.ok, result.reason, result.connected) == (False, "connection broken before an answer", True)

    run(kind, body())


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/health?deep=1&x=%20", b"/health?deep=1&x=%20"),
        ("health", b"/health"),
        ("", b"/"),
        ("/a b", b"/a%20b"),
        ("/상태", b"/%EC%83%81%ED%83%9C"),
        ("/x HTTP/1.1\r\nEvil: 1\r\n\r\n", b"/x%20HTTP/1.1%0D%0AEvil:%201%0D%0A%0D%0A"),
        ("/a#b", b"/a%23b"),
    ],
)
def test_the_path_is_one_path(kind: str, path: str, sent: bytes) -> None:
    async def body() -> None:
        async with serving(OK) as (server, address):
            assert (await PROBE.http(address, path, 200, LONG)).ok
            assert server.requests[0].split(b"\r\n")[0] == b"GET " + sent + b" HTTP/1.1"

    run(kind, body())


def test_ipv6_is_probed_too(kind: str) -> None:
    async def body() -> None:
        try:
            async with serving(OK, "::1") as (server, address):
                assert (await PROBE.http(address, "/", 200, LONG)).ok
                assert b"\r\nHost: [::1]:%d\r\n" % address[1] in server.requests[0]
                assert (await PROBE.port(address, LONG)).ok
        except OSError as error:
            pytest.skip(f"this machine has no IPv6 loopback ({error})")

    run(kind, body())


# --- no connection -----------------------------------------------------------------------------------


def test_a_closed_port_refuses(kind: str) -> None:
    async def body() -> None:
        address = ("127.0.0.1", closed_port())
        for result in (await PROBE.http(address, "/", 200, LONG), await PROBE.port(address, LONG)):
            assert (result.ok, result.reason, result.connected) == (False, "connection refused", False)

    run(kind, body())


def test_an_unreachable_address_says_why(kind: str) -> None:
    async def body() -> None:
        result = await PROBE.port(("255.255.255.255", 80), LONG)  # refused by this machine itself
        assert (result.ok, result.connected) == (False, False)
        assert result.reason

    run(kind, body())


def test_a_lack_of_descriptors_is_ours_and_no_failure_of_the_other_side(kind: str) -> None:
    async def body() -> None:
        async with serving(until_gone) as (_, address):
            await asyncio.get_running_loop().run_in_executor(None, int)  # whatever a loop opens late is open now
            with no_descriptors_left():
                results = [await PROBE.http(address, "/", 200, LONG), await PROBE.port(address, LONG)]
            for result in results:
                assert (result.ok, result.ours, result.connected) == (False, True, False)
                assert "too many open files" in result.reason
        refused = await PROBE.port(("127.0.0.1", closed_port()), LONG)
        assert (refused.ok, refused.ours) == (False, False)

    run(kind, body())


def test_a_port_that_accepts_is_a_pass(kind: str) -> None:
    async def body() -> None:
        async with serving(until_gone) as (server, address):
            result = await PROBE.port(address, LONG)
            assert (result.ok, result.reason, result.connected) == (True, "", True)
            await server.ended.wait()  # and it was given back
            assert server.requests == []

    run(kind, body())


def test_a_listener_whose_backlog_is_full_is_not_waited_for_longer_than_asked(kind: str) -> None:
    async def body() -> None:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            for _ in range(4):  # fills the queue; the later ones never connect
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(address)
            for result in (await PROBE.port(address, 0.2), await PROBE.http(address, "/", 200, 0.2)):
                assert (result.ok, result.reason, result.connected) == (False, "no connection within 0.2 s", False)

    run(kind, body())


def test_a_connection_to_itself_is_told_from_a_listener() -> None:
    """A connect to a closed local port whose local end got the same number succeeds, with nobody there."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert is_connected_to_itself(sock.getsockname(), sock.getpeername())
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as real:
        assert not is_connected_to_itself(real.getsockname(), real.getpeername())


# --- time limits, size limits, ends ------------------------------------------------------------------


def test_silence_ends_at_the_limit(kind: str) -> None:
    async def body() -> None:
        async with serving(until_gone) as (server, address):
            result = await PROBE.http(address, "/", 200, 0.3)
            assert (result.ok, result.reason, result.connected) == (False, "no answer within 0.3 s", True)
            assert result.seconds > 0.25
            await server.ended.wait()  # the connection was closed

    run(kind, body())


def test_drops_of_an_answer_do_not_move_the_limit(kind: str) -> None:
    async def dripping(server: Server, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def body() -> None:
        async with serving(dripping) as (server, address):
            assert (await PROBE.http(address, "/", 200, 0.3)).reason == "no answer within 0.3 s"
            await server.ended.wait()

    run(kind, body())


def test_a_body_without_end_does_not_hold_up_the_result(kind: str) -> None:
    async def hanging(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        await until_gone(server, writer)

    async def body() -> None:
        async with serving(hanging) as (server, address):
            began = time.monotonic()
            assert (await PROBE.http(address, "/", 200, LONG)).ok
            assert BODY_LIMIT <= time.monotonic() - began < LONG / 2
            await server.ended.wait()

    run(kind, body())


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_only_a_little_of_a_large_answer_is_read(kind: str, head: bytes) -> None:
    """200 MB would come; the head alone may be as large."""
    sent = 0

    async def flooding(server: Server, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head)
        while sent < 200_000_000:
            writer.write(bytes(b"x" * 65536))
            await writer.drain()
            sent += 65536

    async def body() -> None:
        async with serving(flooding) as (server, address):
            result = await PROBE.http(address, "/", 200, LONG)
            if head.endswith(b"\r\n\r\n"):
                assert result.ok
            else:
                assert (result.ok, result.connected) == (False, True)
                assert result.reason in (f"no status in the first {READ_LIMIT // 1024} KiB", "not HTTP")
            await server.ended.wait()
            assert sent < 20_000_000  # what fits into the buffers of both sockets

    run(kind, body())


@pytest.mark.parametrize("which", ["http", "port"])
def test_a_cancelled_probe_closes_its_connection(kind: str, which: str) -> None:
    async def body() -> None:
        async with serving(until_gone) as (server, address):
            probing = asyncio.create_task(
                PROBE.http(address, "/", 200, LONG) if which == "http" else PROBE.port(address, LONG)
            )
            if which == "http":
                while not server.requests:
                    await asyncio.sleep(0.005)
            else:
                await asyncio.sleep(0)
            probing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probing
            if which == "http":
                await server.ended.wait()

    run(kind, body())


def test_many_probes_leave_no_open_connection(kind: str, recwarn: pytest.WarningsRecorder) -> None:
    async def body() -> None:
        async with serving(OK) as (server, address):
            gone = ("127.0.0.1", closed_port())
            for _ in range(10):
                await asyncio.gather(
                    *(PROBE.http(address, "/", 200, LONG) for _ in range(5)),
                    PROBE.port(address, LONG),
                    PROBE.port(gone, LONG),
                    PROBE.http(gone, "/", 200, LONG),
                )
            deadline = time.monotonic() + 30
            while server.closed < 10 * (5 + 1) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert server.closed == 10 * (5 + 1), "each probe of an open port was one connection, and has left it"
            assert len(asyncio.all_tasks()) <= 3

    run(kind, body())
    assert [str(w.message) for w in recwarn if issubclass(w.category, ResourceWarning)] == []
