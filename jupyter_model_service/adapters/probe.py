"""Health probes: one GET, or only a connection. Implements ``ports.Probe``.

Every probe takes a fresh connection, as a caller's first one would be, and gives it back whatever happens.
Only the status counts; of the body a little is read, so that a server need not see its answer cut off.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import quote

import httptools

from jupyter_model_service.ports import ProbeResult

from ..core.lack import OUR_LACK

READ_LIMIT = 64 * 1024  # bytes of head and body that are read
BODY_LIMIT = 0.25  # seconds that are waited for the body, once the status is known

_URL_CHARACTERS = "/?%&=:@!$'()*+,;-._~[]"
# Closing with this sends RST: the port is free again at once, nothing stays in TIME_WAIT.
_RESET = struct.pack("ii", 1, 0)


class _Answer(asyncio.Protocol):
    """Gathers one answer. ``status`` is done with the status or an exception that says why there is none."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.status: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._read = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports are none of asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end("")
        except httptools.HttpParserError:
            self._end("not HTTP")
        if self._read >= READ_LIMIT:
            self._end(f"no status in the first {READ_LIMIT // 1024} KiB")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed without an answer" if exc is None else "connection broken before an answer")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self.status.done() and (status >= 200 or status == 101):  # the others announce the answer
            self.status.set_result(status)

    def on_message_complete(self) -> None:
        if self.status.done():
            self._end("")

    def _end(self, why_no_status: str) -> None:
        if not self.status.done():
            self.status.set_exception(_NoStatus(why_no_status))
        if not self.ended.done():
            self.ended.set_result(None)


class _NoStatus(Exception):
    """The reason in one clause."""


class _NotConnected(Exception):
    """The reason in one clause; ``ours`` when it is no fault of the other side."""

    def __init__(self, reason: str, *, ours: bool = False) -> None:
        super().__init__(reason)
        self.ours = ours


class HttpProbe:
    async def http(self, address: tuple[str, int], path: str, expected_status: int, timeout: float) -> ProbeResult:
        began = time.monotonic()
        deadline = began + timeout
        try:
            async with _connected(address, timeout) as answer:
                assert answer.transport is not None
                answer.transport.write(_request(address, path))
                # ``wait`` and not ``wait_for``: it never loses a result to a time-out at the same moment.
                await asyncio.wait({answer.status}, timeout=deadline - time.monotonic())
                seconds = time.monotonic() - began
                if not answer.status.done():
                    return ProbeResult(False, f"no answer within {timeout:g} s", True, seconds)
                status = answer.status.result()
                await asyncio.wait({answer.ended}, timeout=min(BODY_LIMIT, max(deadline - time.monotonic(), 0)))
        except _NotConnected as error:
            return ProbeResult(False, str(error), False, time.monotonic() - began, error.ours)
        except _NoStatus as error:
            return ProbeResult(False, str(error), True, time.monotonic() - began)
        if status != expected_status:
            return ProbeResult(False, f"status {status}, expected {expected_status}", True, seconds)
        return ProbeResult(True, "", True, seconds)

    async def port(self, address: tuple[str, int], timeout: float) -> ProbeResult:
        began = time.monotonic()
        try:
            async with _connected(address, timeout):
                return ProbeResult(True, "", True, time.monotonic() - began)
        except _NotConnected as error:
            return ProbeResult(False, str(error), False, time.monotonic() - began, error.ours)


@asynccontextmanager
async def _connected(address: tuple[str, int], timeout: float) -> AsyncIterator[_Answer]:
    """A connection that is closed on every way out, cancellation included. ``_NotConnected`` says why there is none."""
    answer = _Answer()
    connecting = asyncio.get_running_loop().create_connection(lambda: answer, *address)
    try:
        await asyncio.wait_for(connecting, timeout)
        assert answer.transport is not None
        _refuse_itself(answer.transport)
        yield answer
    except asyncio.TimeoutError:
        raise _NotConnected(f"no connection within {timeout:g} s") from None
    except OSError as error:
        raise _NotConnected(_why_not_connected(error), ours=error.errno in OUR_LACK) from None
    finally:
        if answer.transport is not None:
            answer.transport.abort()
        # Nobody asks any more: without this, an exception in it would be logged as "never retrieved".
        if not answer.status.cancel() and not answer.status.cancelled():
            answer.status.exception()


def is_connected_to_itself(sockname: object, peername: object) -> bool:
    """A TCP connection to a local port where nobody listens may meet itself.

    It does when the system picks, as the local port, the very port that is asked for: after at most some 14,000
    polls, which is 12 minutes of a loading model. That would count as "listens", and take the model's port.
    """
    return sockname == peername


def _refuse_itself(transport: asyncio.Transport) -> None:
    if is_connected_to_itself(transport.get_extra_info("sockname"), transport.get_extra_info("peername")):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionRefusedError


def _why_not_connected(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or str(error) or type(error).__name__).lower()


def _request(address: tuple[str, int], path: str) -> bytes:
    host, port = address
    target = quote(path, safe=_URL_CHARACTERS)
    if not target.startswith("/"):
        target = "/" + target
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {f'[{host}]' if ':' in host else host}:{port}",
        "User-Agent: jupyter-model-service-probe",
        "Accept: */*",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
