"""The callers of ``mixed_load.py``: plain sockets, nothing retried, followed or forgiven, every answer checked.

A failed call is one as the tests of survival have it: no call with a whole answer may fail; a stream breaks only where
its own replica was ended, and its caller sees that it is not whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from mixed_tally import Tally

PATIENCE = 90.0  # seconds in which something must have come of any call
BLOCK = bytes(range(256)) * 256  # of what the model sends
TWICE = BLOCK + BLOCK
NOISE = random.Random(1).randbytes(1 << 20)


class Broken(Exception):
    """The answer ended before its framing said so, or never came."""


class Wrong(Exception):
    """The answer is whole, and not the right one."""


class Line:
    """One connection, and one request on it at a time unless said otherwise."""

    def __init__(self, endpoint: str, token: str) -> None:
        url = urlsplit(endpoint)
        self.host, self.port, self.prefix = url.hostname or "", url.port or 80, url.path.rstrip("/")
        self.token = token
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.closes = False

    async def open(self, *, limit: int = 1 << 16) -> None:
        if self.writer is None or self.closes or self.streams[0].at_eof():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=limit)
            self.closes = False

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self.reader is not None
        assert self.writer is not None
        return self.reader, self.writer

    def head(self, method: str, path: str, *lines: str) -> bytes:
        said = [f"{method} {self.prefix}{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.token}", *lines]
        return ("\r\n".join(said) + "\r\n\r\n").encode()

    async def answer_head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.streams[0].readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.closes = headers.get("connection", "").lower() == "close"
        return int(lines[0].split(" ")[1]), headers

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.answer_head()
        return status, headers, await self.body(headers)

    async def body(self, headers: dict[str, str]) -> bytes:
        reader = self.streams[0]
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                if await reader.readexactly(2) != b"\r\n":
                    raise Wrong("a chunk without an end")
            if await reader.readuntil(b"\r\n") != b"\r\n":
                raise Wrong("something between the last chunk and the end")
            return body
        return await reader.readexactly(int(headers["content-length"]))

    def close(self, *, reset: bool = False) -> None:
        if self.writer is not None:
            sock = self.writer.get_extra_info("socket")
            if reset and sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
            self.writer.close()
        self.reader = self.writer = None


Turn = Callable[[Line, str], Awaitable[None]]
_ENDS = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)


class Callers:
    """``async with Callers(endpoint, token, tally, **counts): …`` keeps so many of each kind going."""

    def __init__(self, endpoint: str, token: str, tally: Tally, **counts: int) -> None:
        self.endpoint, self.token, self.tally = endpoint, token, tally
        self.counts = counts
        self.random = random.Random(counts.get("seed", 7))
        self._running = True
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = 0

    async def __aenter__(self) -> Callers:
        turns: dict[str, Turn] = {
            "json": self._json,
            "pipelined": self._pipelined,
            "events": self._events,
            "upload": self._upload,
            "websocket": self._websocket,
            "slow reader": self._slow_reader,
            "aborting": self._aborting,
        }
        for kind, turn in turns.items():
            self._tasks += [asyncio.create_task(self._go_on(kind, turn)) for _ in range(self.counts.get(kind, 0))]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running = False
        done, late = await asyncio.wait(self._tasks, timeout=PATIENCE + 10) if self._tasks else (set(), set())
        for task in late:
            task.cancel()
            self.tally.fail("caller", "never came to an end")
        for task in done:
            if error := task.exception():
                self.tally.fail("caller", f"broke itself: {error!r}")

    def _name(self) -> str:
        self._numbers += 1
        return f"{os.getpid()}-{self._numbers}"

    async def _go_on(self, kind: str, turn: Turn) -> None:
        line = Line(self.endpoint, self.token)
        await asyncio.sleep(self.random.random())
        while self._running:
            began, name = time.monotonic(), self._name()
            try:
                await asyncio.wait_for(turn(line, name), PATIENCE)
                taken = time.monotonic() - began
                self.tally.slowest[kind] = max(self.tally.slowest.get(kind, 0.0), taken)
                continue
            except asyncio.TimeoutError:
                self.tally.fail(kind, f"not over after {PATIENCE:g} s")
            except Wrong as wrong:
                self.tally.fail(kind, f"wrong: {wrong}")
            except (Broken, *_ENDS) as error:
                self.tally.fail(kind, f"broken after {time.monotonic() - began:.2f} s: {error!r}")
            line.close()
            await asyncio.sleep(0.05)
        line.close()

    # --- judging --------------------------------------------------------------------------------------------------

    def _judge(self, kind: str, status: int, headers: dict[str, str], body: bytes, began: float, size: int) -> bool:
        """Whether it is the model's 200. Otherwise it is in the tally."""
        if status == 200:
            return True
        code = headers.get("x-model-service-error")
        detail = f"{status} {code or body[:200]!r} after {time.monotonic() - began:.2f} s"
        replica = headers.get("x-model-service-replica", "")
        if code is None and status == 503 and json.loads(body)["sick"] and replica in self.tally.trouble.sick:
            self.tally.of_the_model[replica] += 1
            return False
        self.tally.fail(kind, f"{detail}, {size} bytes", began=began, code=code or "", size=size)
        return False

    def _right(self, kind: str, body: bytes, **expected: object) -> None:
        said = json.loads(body)
        for key, value in expected.items():
            if said.get(key) != value:
                raise Wrong(f"{key} is {said.get(key)!r}, not {value!r}")
        self.tally.processes.add(said["pid"])
        self.tally.versions.add(said["version"])
        self.tally.whole[kind] += 1

    def _stream_broke(self, kind: str, headers: dict[str, str], began: float, error: BaseException) -> None:
        replica = headers.get("x-model-service-replica", "")
        detail = f"broken after {time.monotonic() - began:.2f} s, on {replica or 'no replica'}: {error!r}"
        self.tally.fail(kind, detail, began=began, replica=replica)

    # --- calls -----------------------------------------------------------------------------------------------------

    def _asked(self, name: str) -> bytes:
        padding = "x" * self.random.choice((0, 10, 300, 4000))
        return json.dumps({"id": name, "wait": self.random.random() * 0.15, "padding": padding}).encode()

    async def _json(self, line: Line, name: str) -> None:
        began, asked = time.monotonic(), self._asked(name)
        await line.open()
        line.streams[1].write(line.head("POST", "/json", f"Content-Length: {len(asked)}") + asked)
        status, headers, body = await line.answer()
        if self._judge("json", status, headers, body, began, len(asked)):
            self._right("json", body, id=name, sha256=hashlib.sha256(asked).hexdigest())

    async def _pipelined(self, line: Line, name: str) -> None:
        """Three at once; the answers come in their order."""
        began = time.monotonic()
        asked = [self._asked(f"{name}-{number}") for number in range(3)]
        await line.open()
        for each in asked:
            line.streams[1].write(line.head("POST", "/json", f"Content-Length: {len(each)}") + each)
        for number, each in enumerate(asked):
            status, headers, body = await line.answer()
            if self._judge("pipelined", status, headers, body, began, len(each)):
                self._right("pipelined", body, id=f"{name}-{number}", sha256=hashlib.sha256(each).hexdigest())
            if line.closes:
                raise Broken("closed between pipelined answers")

    async def _events(self, line: Line, name: str) -> None:
        began, count = time.monotonic(), self.random.randrange(10, 80)
        await line.open()
        line.streams[1].write(line.head("GET", f"/events?id={name}&count={count}&every=0.05"))
        status, headers = await line.answer_head()
        if status != 200:
            self._judge("events", status, headers, await line.body(headers), began, 0)
            return
        numbers: list[str] = []
        reader = line.streams[0]
        try:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                text = (await reader.readexactly(size + 2))[:-2].decode()
                for event in text.split("\n\n")[:-1]:
                    words = event.split(" ")
                    if words[1] != "done" and words[1] != name:
                        raise Wrong(f"somebody else's event: {event!r}")
                    if words[1] == "done":
                        numbers.append("done")
                    else:
                        numbers.append(words[2])
            await reader.readuntil(b"\r\n")
        except _ENDS as error:
            self._stream_broke("events", headers, began, error)
            line.close()
            return
        if numbers != [*map(str, range(count)), "done"]:
            raise Wrong(f"looked whole with {len(numbers)} of {count + 1} events")
        self.tally.whole["events"] += 1

    async def _upload(self, line: Line, name: str) -> None:
        """1 to 20 MB, with its length or in chunks; an answer may come before its end, and ends it."""
        began = time.monotonic()
        size = int((1 << 20) * self.random.choice((1, 1, 2, 3.9, 6, 10, 20)))
        start, chunked = self.random.randrange(1000), self.random.random() < 0.5
        await line.open()
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        sha, writer = hashlib.sha256(), line.streams[1]
        writer.write(line.head("POST", f"/upload?id={name}", framing))
        answer = asyncio.create_task(line.answer())
        try:
            sent = 0
            while sent < size and not answer.done():
                piece = NOISE[start : start + min(size - sent, self.random.choice((1000, 30_000, 200_000)))]
                sha.update(piece)
                sent += len(piece)
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                with contextlib.suppress(ConnectionError):  # its answer says more
                    await writer.drain()
                if self.random.random() < 0.05:
                    await asyncio.sleep(0.01)
            if chunked and sent == size:
                writer.write(b"0\r\n\r\n")
            status, headers, body = await answer
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
        if sent < size:
            line.closes = True
        if self._judge("upload", status, headers, body, began, size):
            self._right("upload", body, id=name, size=size, sha256=sha.hexdigest())
        await asyncio.sleep(0.3 * self.random.random())

    async def _websocket(self, line: Line, name: str) -> None:
        began = time.monotonic()
        line.close()
        await line.open()
        reader, writer = line.streams
        offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        writer.write(line.head("GET", "/socket", *offer, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        status, headers = await line.answer_head()
        if status != 101:
            self._judge("websocket", status, headers, await line.body(headers), began, 0)
            line.close()
            return
        try:
            for number in range(self.random.randrange(5, 60)):
                said = f"{name} {number} ".encode() + NOISE[: self.random.choice((0, 5, 200, 5000, 80_000))]
                writer.write(masked(2, said))
                got = await unmasked(reader)
                if got[0] != 2 or got[1].partition(b" ")[2] != said:
                    raise Wrong(f"another message than was sent: {got[1][:80]!r}")
                await asyncio.sleep(0.05)
            writer.write(masked(8, struct.pack(">H", 1000)))
            if await unmasked(reader) != (8, struct.pack(">H", 1000)) or await reader.read(1):
                raise Wrong("no proper end of the WebSocket")
        except _ENDS as error:
            self._stream_broke("websocket", headers, began, error)
            return
        finally:
            line.close()
        self.tally.whole["websocket"] += 1

    async def _slow_reader(self, line: Line, name: str) -> None:
        """Up to 8 MB in sips, with pauses in which everything in between fills up."""
        began, size = time.monotonic(), self.random.randrange(1 << 18, 8 << 20)
        line.close()
        await line.open(limit=1 << 14)
        reader, writer = line.streams
        writer.write(line.head("GET", f"/large?id={name}&bytes={size}"))
        status, headers = await line.answer_head()
        if status != 200:
            self._judge("slow reader", status, headers, await line.body(headers), began, 0)
            return
        try:
            start = await reader.readuntil(b"\n")
            if start.decode().split()[0] != name or int(headers["content-length"]) != size:
                raise Wrong(f"somebody else's answer: {start!r}")
            got, at = len(start), 0
            while got < size:
                piece = await reader.read(1 << 16)
                if not piece:
                    raise Broken(f"{got} of {size} bytes")
                if piece != TWICE[at : at + len(piece)]:
                    raise Wrong(f"other bytes than were sent, at {got}")
                at = (at + len(piece)) % len(BLOCK)
                got += len(piece)
                await asyncio.sleep(1.0 if self.random.random() < 0.01 else 0.005)
        except (Broken, *_ENDS) as error:
            self._stream_broke("slow reader", headers, began, error)
            line.close()
            return
        self.tally.whole["slow reader"] += 1

    async def _aborting(self, line: Line, name: str) -> None:
        """Leaves at any point of any call, in order or with a reset. Nothing it got is looked at."""
        line.close()
        asked = self._asked(name)
        upload = line.head("POST", f"/upload?id={name}", "Content-Length: 3000000")
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: YQ==")
        said = self.random.choice(
            (
                line.head("POST", "/json", f"Content-Length: {len(asked)}") + asked,
                (line.head("POST", "/json", f"Content-Length: {len(asked)}") + asked) * 3,
                line.head("GET", f"/events?id={name}&count=200&every=0.05"),
                line.head("GET", f"/large?id={name}&bytes=8000000"),
                upload + NOISE[: self.random.randrange(1 << 20)],
                line.head("POST", "/upload?id=1", "Transfer-Encoding: chunked") + b"fffff\r\n" + NOISE[:70_000],
                line.head("GET", "/socket", *upgrade) + masked(2, b"hello")[: self.random.randrange(12)],
            )
        )
        if self.random.random() < 0.3:
            said = said[: self.random.randrange(len(said))]
        with contextlib.suppress(asyncio.TimeoutError, *_ENDS):
            await line.open()
            line.streams[1].write(said)
            if self.random.random() < 0.2:
                line.streams[1].write_eof()
            await asyncio.sleep(self.random.choice((0.0, 0.0, 0.01, 0.1, 0.5)) * self.random.random())
            if self.random.random() < 0.5:
                await asyncio.wait_for(line.streams[0].read(self.random.randrange(1, 5000)), 1)
        line.close(reset=self.random.random() < 0.5)
        self.tally.aborted += 1
        await asyncio.sleep(0.05)


def masked(kind: int, data: bytes) -> bytes:
    """One whole frame of a client. A mask of zeros is a mask, too."""
    size = len(data)
    if size < 126:
        return bytes([0x80 | kind, 0x80 | size]) + bytes(4) + data
    long = size > 65535
    return bytes([0x80 | kind, 0xFF if long else 0xFE]) + size.to_bytes(8 if long else 2, "big") + bytes(4) + data


async def unmasked(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    return first & 15, await reader.readexactly(size)
