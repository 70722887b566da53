"""The front on a real port, before replicas of the test's own, with an identity and a meter that remember."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.limits import Allowance, Limits
from jupyter_model_service.core.routing import Backend, Endpoint, RoutingTable
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.front.access_log import AccessLog
from jupyter_model_service.front.server import Front, FrontSettings
from jupyter_model_service.front.visiting import Visiting
from jupyter_model_service.testing.identity import FakeIdentity

from .upstreams import Replica

TOKEN = "jms_good"
OTHER = "jms_other"  # valid, for another service
OWNER = "hub_owner"  # manages the service
FORWARDER = "jmc_control"  # the owner's Jupyter server
SLOW = "jms_slow"  # valid, not known from memory
LIMITED = "jms_limited"  # ``site.tokens.limited`` is its allowance
SLOW_LIMITED = "jms_slow_limited"  # the same one, not known from memory
LIMIT = 20.0  # seconds for anything that is waited for


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    import uvloop

    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run_on(kind: str, body: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop of that kind; an exception in any callback fails the test."""
    loop = loops()[kind]()
    trouble: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: trouble.append(context))
    try:
        result = loop.run_until_complete(_and_then_nothing(body))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    assert not trouble, trouble
    return result


async def _and_then_nothing(body: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await asyncio.wait_for(body, 100)
    finally:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class Tokens(FakeIdentity):
    """``limited`` is the allowance of the limited ones; the same for all of their calls."""

    def __init__(self) -> None:
        super().__init__(
            {
                TOKEN: Caller("token:good", invokes=frozenset({"o/n", "o/gone"})),
                FORWARDER: Caller("o", manages=frozenset({"o"}), forwards=True),
                OWNER: Caller("o", manages=frozenset({"o"})),
                OTHER: Caller("token:other", invokes=frozenset({"o/other"})),
            },
            {SLOW: Caller("token:slow", invokes=frozenset({"o/n"}))},
        )
        self.limited = Allowance(Limits())

    @property
    def limited(self) -> Allowance:
        return self._limited

    @limited.setter
    def limited(self, allowance: Allowance) -> None:
        self._limited = allowance
        caller = Caller("token:limited", invokes=frozenset({"o/n", "o/gone"}), allowance=allowance)
        self.callers[LIMITED] = self.elsewhere[SLOW_LIMITED] = caller


class Counts:
    """Implements ``Meter``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []  # key, revision, status
        self.first_bytes: list[float | None] = []
        self.retries: list[str] = []
        self.refusals: list[tuple[str, str]] = []
        self.broken_answers: list[str] = []

    def call(self, owner: str, name: str, revision: int, status: int, seconds: float, first_byte: float | None) -> None:
        assert seconds >= (first_byte or 0.0) >= 0.0
        self.calls.append((f"{owner}/{name}", revision, status))
        self.first_bytes.append(first_byte)

    def statuses(self) -> list[int]:
        return [status for _, _, status in self.calls]

    def retried(self, owner: str, name: str, reason: str) -> None:
        self.retries.append(reason)

    def refused(self, owner: str, name: str, code: str) -> None:
        self.refusals.append((f"{owner}/{name}", code))

    def broken(self, owner: str, name: str, reason: str) -> None:
        self.broken_answers.append(reason)

    def phase(self, owner: str, name: str, phase: str, seconds: float) -> None: ...
    def restarted(self, owner: str, name: str) -> None: ...
    def forget(self, owner: str, name: str) -> None: ...


class Answer:
    """One parsed answer. ``body`` is decoded from its framing; ``complete`` is what its framing says."""

    def __init__(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.trailers: list[str] = []
        self.complete = False

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The stable code of one of our own errors, checked to be the same in both places; of a page, which says it in
        its head alone."""
        code = self.one("X-Model-Service-Error")
        if code is not None and self.body and self.one("Content-Type") != "text/html; charset=utf-8":
            assert self.json()["error"]["code"] == code
            assert self.json()["error"]["message"].strip()
        return code


class Wire:
    """A caller that writes raw bytes and reads answers strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def head(self) -> Answer:
        raw = await within(self.reader.readuntil(b"\r\n\r\n"))
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, reason = (first + " ").split(" ", 2)
        assert version == "HTTP/1.1"
        headers = []
        for line in lines:
            assert re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\x00\r\n]*\Z", line), line
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        return Answer(int(status), reason.strip(), headers)

    async def answer(self, method: str = "GET") -> Answer:
        """The next final answer with its body; informational ones are skipped."""
        answer = await self.head()
        while 100 <= answer.status < 200 and answer.status != 101:
            answer = await self.head()
        await self.body(answer, method)
        return answer

    async def body(self, answer: Answer, method: str = "GET") -> None:
        length, coding = answer.one("Content-Length"), answer.one("Transfer-Encoding")
        assert not (length and coding)
        try:
            if method == "HEAD" or answer.status in (204, 304):
                answer.complete = True
            elif coding:
                assert coding == "chunked"
                while size := int((await within(self.reader.readuntil(b"\r\n")))[:-2], 16):
                    answer.body += await within(self.reader.readexactly(size))
                    assert await within(self.reader.readexactly(2)) == b"\r\n"
                while line := (await within(self.reader.readuntil(b"\r\n")))[:-2].decode("latin-1"):
                    answer.trailers.append(line)
                answer.complete = True
            elif length is not None:
                answer.body = await within(self.reader.readexactly(int(length)))
                answer.complete = True
            else:
                answer.body = await within(self.reader.read(-1))
                answer.complete = True
        except asyncio.IncompleteReadError as error:
            answer.body += error.partial
        except ConnectionError:
            pass

    async def closed(self) -> bool:
        """Whether the front ends the connection, without another byte."""
        try:
            return await within(self.reader.read(1)) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()


async def within(work: Coroutine[Any, Any, Any], seconds: float = LIMIT) -> Any:
    return await asyncio.wait_for(work, seconds)


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Poll with a deadline."""
    end = asyncio.get_running_loop().time() + LIMIT
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"never came true: {what or condition}"
        await asyncio.sleep(0.005)


class Site:
    """``site.endpoint`` is ``o/n``, private, on ``replicas``."""

    def __init__(self, replicas: list[Replica], web: Replica, front: Front, port: int, tokens: Tokens) -> None:
        self.replicas = replicas
        self.web = web
        self.front = front
        self.port = port
        self.routing = front.routing
        self.meter: Counts = front.meter  # type: ignore[assignment]
        self.tokens = tokens
        self._wires: list[Wire] = []

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.routing.get("o", "n")
        assert endpoint is not None
        return endpoint

    @property
    def backends(self) -> list[Backend]:
        return self.endpoint.backends

    async def wire(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20))
        self._wires.append(wire)
        return wire

    async def send(self, data: bytes | str) -> Wire:
        wire = await self.wire()
        await wire.send(data)
        return wire

    def request(
        self, path: str = "/", *headers: str, method: str = "GET", body: bytes = b"", token: str | None = TOKEN
    ) -> bytes:
        """The bytes of a call to the endpoint."""
        lines = [f"{method} /endpoints/o/n{path} HTTP/1.1", "Host: front.test"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body

    async def call(self, path: str = "/", *headers: str, **options: Any) -> Answer:
        wire = await self.send(self.request(path, *headers, **options))
        try:
            return await wire.answer(options.get("method", "GET"))
        finally:
            wire.close()

    async def still(self) -> None:
        """Every counter goes back to nothing."""
        endpoints = list(self.routing)
        await until(
            lambda: (
                not self.front.calls
                and all(e.in_flight == 0 and e.waiting == 0 for e in endpoints)
                and all(b.in_flight == 0 for e in endpoints for b in e.backends)
                and self.front.web.backend.in_flight == 0
            ),
            "counters at 0",
        )


@contextlib.asynccontextmanager
async def site(
    *replicas: Replica,
    serving: Serving | None = None,
    settings: FrontSettings | None = None,
    public: bool = False,
    prefix: str = "/",
    access_log: AccessLog | None = None,
    hosts: Hosts | None = None,
    visiting: Visiting | None = None,
) -> AsyncIterator[Site]:
    """Starts everything, ends everything, and checks that the counters are back at 0."""
    started = [await replica.start() for replica in replicas]
    web = Replica("web")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "web.sock")
        server = await asyncio.start_unix_server(web._serve, path)
        routing = RoutingTable()
        endpoint = Endpoint("o", "n", public, serving or Serving(), [r.backend() for r in started])
        routing.put(endpoint)
        tokens = Tokens()
        front = Front(
            routing=routing,
            callers=Callers(tokens, SystemClock(), timeout=(settings or FrontSettings()).identity_timeout),
            meter=Counts(),
            web_socket=path,
            prefix=prefix,
            settings=settings,
            access_log=access_log,
            hosts=hosts,
            visiting=visiting,
        )
        sock = socket.create_server(("127.0.0.1", 0))
        here = Site(started, web, front, sock.getsockname()[1], tokens)
        await front.start(sock)
        try:
            yield here
            for wire in here._wires:
                wire.close()
            await here.still()
        finally:
            await front.stop(0.0)
            for replica in [*started, web]:
                await replica.stop()
            server.close()
