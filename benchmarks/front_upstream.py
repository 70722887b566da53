"""What stands behind the proxies of ``front.py``: nginx for small answers and bodies, and a server of streams.

    python benchmarks/front_upstream.py answers --port 9001 --folder DIR --core 0   # /json, /post, /big, /health
    python benchmarks/front_upstream.py streams --port 9002 --core 0                # …/events, …/echo (WebSocket)

Both are started beside the gateway as they are, and by the gateway as the replicas of a service.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import random
import shutil
import struct
import time
from pathlib import Path

ANSWER = '{"model": "noop", "version": 1, "outputs": [0.25, 0.50]}\n'  # 57 bytes
BIG = 1 << 20
# 10,000 replicas at one address would share the 28,000 ports from which connections to it are made, and looking for a
# free one of them is what would be measured.
HOSTS = ["127.0.0.1", *[f"127.0.1.{number}" for number in range(1, 16)]]
EVERY = 0.1  # seconds between two events of a stream

# A POST to a file is refused with 405 when its body has been read, which the mirror does: so nginx answers a POST
# without a second server, and no sooner than its body is there.
NGINX = """
daemon off;
user root;  # as whom the files are written, where the benchmark is root's; of no effect else
pid {folder}/nginx-{port}.pid;
error_log {folder}/nginx-{port}.log;
worker_processes 1;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  sendfile on;
  tcp_nopush on;
  client_max_body_size 0;
  client_body_buffer_size 2m;
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp; uwsgi_temp_path {folder}/temp;
  server {{
    {listens}
    root {folder}/files;
    location = /json {{ return 200 '{answer}'; }}
    location = /health {{ return 200 '{{}}'; }}
    location = /status {{ stub_status; }}
    location = /post {{ mirror /mirrored; error_page 405 =200 @read; }}
    location = /mirrored {{ internal; return 204; }}
    location @read {{ return 200 '{answer}'; }}
  }}
}}
"""


def answers(port: int, folder: Path) -> None:
    """Becomes nginx."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, size in (("big", BIG), ("post", 1)):
        if not (files / name).exists():
            (files / name).write_bytes(b"x" * size)
    listens = " ".join(f"listen {host}:{port} backlog=8192;" for host in HOSTS)
    configuration = folder / f"nginx-{port}.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, answer=ANSWER, listens=listens))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    os.execv(nginx, [nginx, "-e", str(folder / f"nginx-{port}.log"), "-c", str(configuration)])


class Stream(asyncio.Protocol):
    """Reads one request after another; ``…/events`` has no end, ``…/echo`` is a WebSocket from then on."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None
        self.data = b""
        self.echoes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.echoes:
            self.echo()
            return
        while b"\r\n\r\n" in self.data and not self.echoes:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path.endswith(b"/events"):
                kind = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                self.transport.write(b"HTTP/1.1 200 OK\r\n" + kind + b"Cache-Control: no-store\r\n\r\n")
                # Spread over the interval, as callers are: all at once would measure how 200 events queue up.
                loop = asyncio.get_running_loop()
                first = loop.time() + random.uniform(0, EVERY)
                self.timer = loop.call_at(first, self.event, first)
            elif path.endswith(b"/echo"):
                self.accept(head)
            else:
                body = ANSWER.encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def event(self, due: float) -> None:
        self.timer = asyncio.get_running_loop().call_at(due + EVERY, self.event, due + EVERY)
        event = b"data: %.7f\n\n" % time.monotonic()
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))

    # --- WebSocket ---------------------------------------------------------------------------------------

    def accept(self, head: bytes) -> None:
        fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:])
        key = next(value.strip() for name, value in fields.items() if name.lower() == b"sec-websocket-key")
        proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        lines = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % proof
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + lines)
        self.echoes = True
        if self.data:
            self.echo()

    def echo(self) -> None:
        frames, self.data = frames_of(self.data)
        for kind, payload in frames:
            if kind in (1, 2):
                self.transport.write(frame(kind, payload))
            elif kind == 9:
                self.transport.write(frame(10, payload))
            elif kind == 8:
                self.transport.write(frame(8, payload))
                self.transport.close()


def frame(kind: int, payload: bytes, *, masked: bool = False) -> bytes:
    """One whole message of less than 64 KB. A mask of zeros is a mask, too."""
    size = len(payload)
    head = bytes([0x80 | kind, (0x80 if masked else 0) | min(size, 126)])
    return head + (struct.pack(">H", size) if size > 125 else b"") + (bytes(4) if masked else b"") + payload


def frames_of(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames in ``data`` as opcode and payload, unmasked, and what is left over."""
    found: list[tuple[int, bytes]] = []
    while len(data) >= 2:
        kind, size, start = data[0] & 15, data[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        masked = bool(data[1] & 128)
        end = start + 4 * masked + size
        if len(data) < end:
            break
        payload = data[end - size : end]
        if masked and size:
            mask = (data[start : start + 4] * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
        found.append((kind, payload))
        data = data[end:]
    return found, data


async def streams(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["answers", "streams"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--core", type=int)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    if given.kind == "answers":
        answers(given.port, given.folder)
    import uvloop

    uvloop.run(streams(given.port))


if __name__ == "__main__":
    main()
