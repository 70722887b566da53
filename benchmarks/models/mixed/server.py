"""The model of ``mixed_load.py``: every kind of answer, each of which can be checked to the last byte.

``POST /json`` answers with the SHA-256 of what it got, after ``wait`` seconds; ``GET /events?id=&count=&every=``
streams; ``POST /upload?id=`` digests a body of any size; ``GET /large?id=&bytes=`` sends one; ``GET /socket`` echoes
WebSocket messages, each behind the process id; ``GET /figures`` says what is in flight. SIGUSR1: calls are answered
with 503 for three seconds; SIGUSR2: with 503 from now on, health, too.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

PID = os.getpid()
VERSION = os.environ.get("VERSION", "0")
SICK_SECONDS = 3.0
BLOCK = bytes(range(256)) * 256


class State:
    in_flight = 0
    sick_until = 0.0
    health = 200


def sick_calls(*_: object) -> None:
    State.sick_until = time.monotonic() + SICK_SECONDS


def sick(*_: object) -> None:
    State.sick_until, State.health = float("inf"), 503


async def body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise ConnectionError
        await reader.readuntil(b"\r\n")
        return
    left = int(headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, 1 << 16))
        if not piece:
            raise ConnectionError
        left -= len(piece)
        yield piece


def answer(body: dict[str, object], status: int = 200) -> bytes:
    data = json.dumps({"pid": PID, "version": VERSION, **body}).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def digest(reader: asyncio.StreamReader, headers: dict[str, str]) -> dict[str, object]:
    size, sha = 0, hashlib.sha256()
    async for piece in body_of(reader, headers):
        size += len(piece)
        sha.update(piece)
    return {"size": size, "sha256": sha.hexdigest()}


async def events(writer: asyncio.StreamWriter, said: dict[str, str]) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(int(said["count"])):
        event = f"data: {said['id']} {number} {PID}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(float(said["every"]))
    writer.write(b"c\r\ndata: done\n\n\r\n0\r\n\r\n")


async def large(writer: asyncio.StreamWriter, said: dict[str, str]) -> None:
    """A head line with the id, then as many bytes as were asked for in all."""
    left = int(said["bytes"])
    piece = f"{said['id']} {PID}\n".encode()
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n".encode())
    while left:
        writer.write(piece[:left])
        left -= len(piece[:left])
        piece = BLOCK
        await writer.drain()


async def message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One whole frame of a client: its opcode and payload."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    if size:
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        data = (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")
    return first & 15, data


def frame(kind: int, data: bytes) -> bytes:
    size = len(data)
    if size < 126:
        return bytes([0x80 | kind, size]) + data
    long = size > 65535
    return bytes([0x80 | kind, 127 if long else 126]) + size.to_bytes(8 if long else 2, "big") + data


async def socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept
    writer.write(head.encode() + b"\r\n\r\n")
    while True:
        kind, data = await message(reader)
        if kind == 8:
            writer.write(frame(8, data))
            return
        writer.write(frame(10 if kind == 9 else kind, data if kind == 9 else f"{PID} ".encode() + data))
        await writer.drain()


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> bool:
    """Whether the connection goes on."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    url = urlsplit(first.split(" ")[1])
    said = dict(parse_qsl(url.query))
    if url.path == "/health":
        writer.write(answer({}, State.health))
    elif url.path == "/figures":
        writer.write(answer({"in_flight": State.in_flight - 1}))
    elif time.monotonic() < State.sick_until:
        got = await digest(reader, headers)
        writer.write(answer({"sick": True, **got}, 503))
    elif url.path == "/json":
        data = b"".join([piece async for piece in body_of(reader, headers)])
        asked = json.loads(data)
        await asyncio.sleep(asked["wait"])
        writer.write(answer({"id": asked["id"], "sha256": hashlib.sha256(data).hexdigest()}))
    elif url.path == "/upload":
        writer.write(answer({"id": said["id"], **await digest(reader, headers)}))
    elif url.path == "/events":
        await events(writer, said)
    elif url.path == "/large":
        await large(writer, said)
    elif url.path == "/socket":
        await socket(reader, writer, headers)
        return False
    else:
        writer.write(answer({"path": url.path}, 404))
    await writer.drain()
    return True


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        more = True
        while more:
            head = await reader.readuntil(b"\r\n\r\n")
            State.in_flight += 1
            try:
                more = await one(reader, writer, head)
            finally:
                State.in_flight -= 1
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    signal.signal(signal.SIGUSR1, sick_calls)
    signal.signal(signal.SIGUSR2, sick)
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
