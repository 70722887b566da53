"""Callers under load, counting strictly: every answer complete and right, every failure with time and kind.

Written against plain sockets on purpose: nothing here retries, follows or forgives.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Failure:
    at: float
    kind: str
    detail: str


@dataclass
class Tally:
    """``broken_streams`` ended without their end mark and were seen as incomplete by the caller; a stream that
    looked complete without being so is a failure."""

    posts: int = 0
    streams: int = 0
    failures: list[Failure] = field(default_factory=list)
    broken_streams: list[Failure] = field(default_factory=list)
    pids: dict[int, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0


class Broken(Exception):
    """The answer ended before its framing said so."""


class Caller:
    """One keep-alive connection."""

    def __init__(self, endpoint: str, token: str) -> None:
        url = urlsplit(endpoint)
        self.host, self.port, self.prefix = url.hostname or "", url.port or 80, url.path.rstrip("/")
        self.token = token
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.chunked = False

    async def send(self, method: str, path: str) -> int:
        """The request and the status of its answer, whose body is left where it is."""
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 14)
        self.writer.write(
            f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.chunked = b"\r\ntransfer-encoding: chunked\r\n" in head.lower()
        return int(head.split(b" ")[1])

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        if self.writer is None or self.writer.is_closing() or (self.reader is not None and self.reader.at_eof()):
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        assert self.reader is not None
        head = (
            f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        try:
            return await self._answer()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise Broken(repr(error)) from error

    async def _answer(self) -> tuple[int, dict[str, str], bytes]:
        assert self.reader is not None
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while (size := int(await self.reader.readuntil(b"\r\n"), 16)) > 0:
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readuntil(b"\r\n")
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return status, headers, body

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Load:
    """``async with Load(endpoint, token) as load: …`` keeps the callers going; ``load.tally`` counts."""

    def __init__(self, endpoint: str, token: str, *, posts: int = 40, streams: int = 10, events: int = 30) -> None:
        self.endpoint, self.token = endpoint, token
        self.count = (posts, streams)
        self.events = events
        self.tally = Tally()
        self.began = time.monotonic()
        self._running = True
        self._tasks: list[asyncio.Task[None]] = []
        self._progress = asyncio.Event()

    async def __aenter__(self) -> Load:
        posts, streams = self.count
        self._tasks = [asyncio.create_task(self._post(n)) for n in range(posts)]
        self._tasks += [asyncio.create_task(self._stream(n)) for n in range(streams)]
        await self.calls(posts)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running = False
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)

    async def calls(self, more: int) -> None:
        """Wait until so many more POSTs were answered: load that flows, not seconds that pass."""
        goal = self.tally.posts + more
        async with asyncio.timeout(60) if hasattr(asyncio, "timeout") else _no_limit():
            while self.tally.posts < goal:
                self._progress.clear()
                await self._progress.wait()

    def _fail(self, kind: str, detail: str) -> None:
        self.tally.failures.append(Failure(time.monotonic() - self.began, kind, detail))
        self._progress.set()

    async def _post(self, number: int) -> None:
        caller, turn = Caller(self.endpoint, self.token), 0
        while self._running:
            turn += 1
            said = f"caller {number} turn {turn}"
            began = time.monotonic()
            try:
                status, _, body = await asyncio.wait_for(caller.request("POST", "/work", said.encode()), 60)
            except (Broken, OSError, asyncio.TimeoutError) as error:
                self._fail("post", repr(error))
                await caller.close()
                await asyncio.sleep(0.05)
                continue
            self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
            if status != 200 or json.loads(body)["echo"] != said:
                self._fail("post", f"{status} {body[:200]!r}")
                await asyncio.sleep(0.05)
                continue
            answer = json.loads(body)
            self.tally.posts += 1
            self.tally.pids[answer["pid"]] = self.tally.pids.get(answer["pid"], 0) + 1
            self.tally.versions[answer["version"]] = self.tally.versions.get(answer["version"], 0) + 1
            self._progress.set()
        await caller.close()

    async def _stream(self, number: int) -> None:
        while self._running:
            caller = Caller(self.endpoint, self.token)
            try:
                path = f"/stream?events={self.events}&interval=0.1"
                status, _, body = await asyncio.wait_for(caller.request("GET", path), 120)
            except Broken as error:
                self.tally.broken_streams.append(Failure(time.monotonic() - self.began, "stream", repr(error)))
                continue
            except (OSError, asyncio.TimeoutError) as error:
                self._fail("stream", repr(error))
                await asyncio.sleep(0.05)
                continue
            finally:
                await caller.close()
            if status != 200:
                self._fail("stream", f"{status} {body[:200]!r}")
                await asyncio.sleep(0.05)
                continue
            numbers = [line.split()[1] for line in body.decode().split("\n\n") if line]
            expected = [*map(str, range(self.events)), "done"]
            if numbers != expected:
                self._fail("stream", f"{status}, looked complete with {len(numbers)} of {len(expected)} events")
                await asyncio.sleep(0.05)
            else:
                self.tally.streams += 1


class _no_limit:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...
