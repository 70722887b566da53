"""A model server on nothing but the standard library, for end-to-end tests; it misbehaves on request.

Started as ``python server.py --port N``. Routes: ``POST /work`` answers after ``WORK_SECONDS`` (0.2) with its pid and
an echo; ``GET /stream?events=N&interval=S`` streams numbered events and ``done``; ``GET /health``; ``GET /pid``;
``POST /die`` kills the process without an answer; ``POST /upload`` counts bytes; ``POST /headers`` echoes the headers.
Environment: HEALTH_STATUS (200), OPEN_AFTER (seconds before the port opens; "never"), EXIT_CODE (exit at once),
IGNORE_SIGTERM, FLOOD_MB (prints so much first), LEAK (double-forks so many sleepers), VERSION (told in answers).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("VERSION", "1")
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0.2"))


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], int | None] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    length = None if "chunked" in headers.get("transfer-encoding", "") else int(headers.get("content-length", "0"))
    return method, target, headers, length


async def read_body(reader: asyncio.StreamReader, length: int | None, keep: int = 1 << 20) -> tuple[int, bytes]:
    """Total size and the first ``keep`` bytes."""
    kept, total = b"", 0
    if length is None:
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            left = size
            while left:
                piece = await reader.read(min(left, 1 << 16))
                left -= len(piece)
                total += len(piece)
                kept = kept + piece if len(kept) < keep else kept
            await reader.readexactly(2)
        await reader.readline()
        return total, kept
    while total < length:
        piece = await reader.read(min(1 << 16, length - total))
        if not piece:
            raise ConnectionError
        total += len(piece)
        kept = kept + piece if len(kept) < keep else kept
    return total, kept


def answer(writer: asyncio.StreamWriter, body: object, status: int = 200) -> None:
    data = json.dumps(body).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    )


async def stream(writer: asyncio.StreamWriter, query: dict[str, list[str]]) -> None:
    events = int(query.get("events", ["20"])[0])
    interval = float(query.get("interval", ["0.1"])[0])
    if "unframed" in query:  # neither a length nor chunks: the answer ends with its connection
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for number in range(events):
            writer.write(f"data: {number} {os.getpid()} {time.time():.6f}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(interval)
        raise ConnectionError
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(events):
        data = f"data: {number} {os.getpid()} {time.time():.6f}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
        await asyncio.sleep(interval)
    writer.write(b"c\r\ndata: done\n\n\r\n0\r\n\r\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while (request := await read_request(reader)) is not None:
            method, target, headers, length = request
            if headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size, body = await read_body(reader, length)
            url = urlsplit(target)
            if url.path == "/work":
                await asyncio.sleep(WORK_SECONDS)
                answer(writer, {"pid": os.getpid(), "version": VERSION, "echo": body.decode("utf-8", "replace")[:200]})
            elif url.path == "/stream":
                await stream(writer, parse_qs(url.query))
            elif url.path == "/big":
                size = int(parse_qs(url.query)["mb"][0]) << 20
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
                for _ in range(size >> 16):
                    writer.write(b"x" * (1 << 16))
                    await writer.drain()
            elif url.path == "/health":
                answer(writer, {"ok": True}, int(os.environ.get("HEALTH_STATUS", "200")))
            elif url.path == "/die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif url.path == "/upload":
                answer(writer, {"size": size})
            elif url.path == "/headers":
                answer(writer, {"method": method, "target": target, "headers": headers})
            else:
                answer(writer, {"pid": os.getpid(), "version": VERSION, "path": target})
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def leak(count: int) -> None:
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(3600)
            os._exit(0)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    if "IGNORE_SIGTERM" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "FLOOD_MB" in os.environ:
        line = "x" * 1023 + "\n"
        for _ in range(int(os.environ["FLOOD_MB"]) * 1024):
            sys.stdout.write(line)
        sys.stdout.flush()
    leak(int(os.environ.get("LEAK", "0")))
    if "EXIT_CODE" in os.environ:
        print("RuntimeError: the weights are missing", file=sys.stderr)
        sys.exit(int(os.environ["EXIT_CODE"]))
    delay = os.environ.get("OPEN_AFTER", "0")
    await asyncio.sleep(3600 if delay == "never" else float(delay))
    server = await asyncio.start_server(serve, options.host, options.port, backlog=512)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
