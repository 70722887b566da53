"""A small, real model server for the front's tests: one handler per path, and it can die in many ways."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from jupyter_model_service.core.routing import Backend


@dataclass
class Seen:
    """One request as it arrived, its head as raw bytes too."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    raw_head: bytes
    reader: asyncio.StreamReader = field(repr=False)
    body: bytes = b""
    raw_body: bytes = b""
    trailers: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None


Handler = Callable[["Replica", Seen, asyncio.StreamWriter], Awaitable[bool]]


class Replica:
    """Listens on a free loopback port. ``seen`` lists the requests, ``hung_up`` counts connections that the front
    closed. A handler returns whether the connection stays open."""

    def __init__(self, name: str = "r1", handlers: dict[str, Handler] | None = None) -> None:
        self.name = name
        self.handlers = {**HANDLERS, **(handlers or {})}
        self.seen: list[Seen] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.release = asyncio.Event()
        self.read_bytes = 0
        self.digest = hashlib.sha256()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> Replica:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def backend(self) -> Backend:
        return Backend(self.name, 1, "127.0.0.1", self.port)

    def kill(self) -> None:
        """As kill -9 does: no more listening, every connection reset."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            reset(writer)

    async def stop(self) -> None:
        self.release.set()
        self.kill()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def paths(self) -> list[str]:
        return [seen.target.split("?")[0] for seen in self.seen]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.hung_up.set()
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        headers = [tuple(line.split(": ", 1)) for line in lines]
        seen = Seen(method, target, headers, raw, reader)  # type: ignore[arg-type]
        self.seen.append(seen)
        handler = self.handlers.get(target.split("?")[0], self.handlers["*"])
        return await handler(self, seen, writer)


class Raw:
    """A replica whose every step is the test's. Its port is open; what connects has to be accepted."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20.0)
        self.backend = Backend("raw", 1, *self._listener.getsockname())

    async def accept(self) -> socket.socket:
        connection, _ = await asyncio.to_thread(self._listener.accept)
        connection.settimeout(20.0)
        return connection

    def accept_now(self) -> socket.socket | None:
        self._listener.setblocking(False)
        try:
            return self._listener.accept()[0]
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._listener.close()


async def serve_one(connection: socket.socket, body: bytes) -> bytes:
    request: bytes = await asyncio.to_thread(connection.recv, 1 << 16)
    connection.sendall(answer(body))
    return request


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is None:  # closed already
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def body_of(seen: Seen) -> bytes:
    pieces = [piece async for piece in pieces_of(seen)]
    seen.body = b"".join(pieces)
    return seen.body


async def pieces_of(seen: Seen):  # type: ignore[no-untyped-def]
    """The body, by its framing, strictly."""
    if seen.one("Transfer-Encoding") == "chunked":
        while True:
            line = await seen.reader.readuntil(b"\r\n")
            seen.raw_body += line
            size = int(line[:-2], 16)
            if size == 0:
                break
            data = await seen.reader.readexactly(size + 2)
            assert data[-2:] == b"\r\n"
            if len(seen.raw_body) < 10_000:
                seen.raw_body += data
            yield data[:-2]
        while True:
            line = await seen.reader.readuntil(b"\r\n")
            seen.raw_body += line
            if line == b"\r\n":
                return
            seen.trailers.append(line[:-2].decode("latin-1"))
    left = int(seen.one("Content-Length") or 0)
    while left:
        piece = await seen.reader.read(min(left, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def echo(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """JSON of what arrived."""
    body = await body_of(seen)
    plain = {
        "replica": replica.name,
        "method": seen.method,
        "target": seen.target,
        "headers": seen.headers,
        "body": body.decode("latin-1") if len(body) < 10_000 else hashlib.sha256(body).hexdigest(),
    }
    text = json.dumps(plain).encode()
    if seen.method == "HEAD":
        text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        writer.write(text)
    else:
        writer.write(answer(text, "Content-Type: application/json"))
    await writer.drain()
    return True


async def sse(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Events without end, one each time that ``release`` is set; the first at once."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    number = 0
    gone = asyncio.ensure_future(seen.reader.read(1))
    try:
        while not gone.done():
            piece = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            number += 1
            replica.release.clear()
            waiting = asyncio.ensure_future(replica.release.wait())
            await asyncio.wait([gone, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    finally:
        gone.cancel()
    replica.hung_up.set()
    return False


async def hang(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Answers once ``release`` is set; notices when the front hangs up."""
    await body_of(seen)
    gone = asyncio.ensure_future(seen.reader.read(1))
    released = asyncio.ensure_future(replica.release.wait())
    done, pending = await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if gone in done:
        replica.hung_up.set()
        return False
    writer.write(answer(replica.name.encode()))
    return True


async def poison(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await body_of(seen)
    replica.kill()
    return False


async def drop(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Takes the request and closes without a word."""
    await body_of(seen)
    return False


async def half_answer(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Dies with half of a body of known length, which is too long to be held until its end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
    await writer.drain()
    return False


async def half_chunked(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await writer.drain()
    return False


async def until_close(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")
    await writer.drain()
    return False


async def until_reset(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")
    await writer.drain()
    await replica.release.wait()
    reset(writer)
    return False


async def closes(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """A whole answer that promises keep-alive, and then closes."""
    await body_of(seen)
    writer.write(answer(b"once"))
    await writer.drain()
    return False


async def early(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Refuses before the body was read."""
    writer.write(answer(b"too large", "Connection: close", status="413 Too Large"))
    await writer.drain()
    with contextlib.suppress(ConnectionError):
        while await seen.reader.read(1 << 16):
            pass
    return False


async def huge(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """``?N`` bytes."""
    left = int(seen.target.split("?")[1])
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
    piece = b"x" * 65536
    while left > 0:
        writer.write(piece[:left])
        left -= len(piece)
        await writer.drain()
        replica.read_bytes += len(piece)
    return True


async def swallow(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Reads a body slowly at first (until ``release``), and counts it."""
    await replica.release.wait()
    async for piece in pieces_of(seen):
        replica.read_bytes += len(piece)
        replica.digest.update(piece)
    writer.write(answer(b"%d" % replica.read_bytes))
    return True


async def informational(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    writer.write(answer(b"final"))
    return True


async def status(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """``?CODE``, without a body for 204 and 304."""
    await body_of(seen)
    code = seen.target.split("?")[1]
    if code in ("204", "304"):
        writer.write(f"HTTP/1.1 {code} X\r\nX-Kept: yes\r\n\r\n".encode())
    else:
        writer.write(answer(code.encode(), status=f"{code} X"))
    return True


async def chunked(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: trailer\r\n\r\n"
    )
    return True


async def with_trailers(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """An answer with what may stand behind a body and what may not."""
    writer.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest, Set-Cookie\r\ntrailer:Server-Timing\r\n"
        b"Connection: X-Hop\r\n\r\n2\r\nok\r\n0\r\nDigest: d\r\nserver-timing:  a , b \r\nSet-Cookie: evil=1\r\n"
        b"Content-Type: evil\r\nX-Hop: evil\r\nX-Model-Service-Error: evil\r\n"
        b"Location: evil\r\nDigest: e\r\n\r\n"
    )
    return True


async def hostile_head(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Hop-by-hop headers, repeated ones, and our own names."""
    body = b"ok"
    writer.write(
        answer(
            body,
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Connection: keep-alive, X-Hop",
            "X-Hop: gone",
            "Keep-Alive: timeout=5",
            "X-Model-Service-Error: forged",
            "X-Request-Id: forged",
            "Location: /elsewhere",
        )
    )
    return True


async def bad_answer(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    return True


async def tunnel(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Accepts an upgrade, says hello, and echoes raw bytes in capitals until the end."""
    writer.write(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nhello ")
    while data := await seen.reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    replica.hung_up.set()
    return False


HANDLERS: dict[str, Handler] = {
    "*": echo,
    "/sse": sse,
    "/hang": hang,
    "/poison": poison,
    "/drop": drop,
    "/half": half_answer,
    "/half-chunked": half_chunked,
    "/until-close": until_close,
    "/until-reset": until_reset,
    "/closes": closes,
    "/early": early,
    "/huge": huge,
    "/swallow": swallow,
    "/1xx": informational,
    "/status": status,
    "/chunked": chunked,
    "/hostile": hostile_head,
    "/trailers": with_trailers,
    "/bad": bad_answer,
    "/tunnel": tunnel,
}


def two_of_which_one_drops() -> list[Replica]:
    """Whichever of them gets the first call at ``/x`` ends the connection in place of an answer."""

    async def drops_the_first(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        calls = sum(len(each.seen) for each in replicas)
        return await HANDLERS["/drop" if calls == 1 else "*"](replica, seen, writer)

    replicas = [Replica(name, {"/x": drops_the_first}) for name in ("r1", "r2")]
    return replicas
