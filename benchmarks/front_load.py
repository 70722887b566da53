"""Load for ``front.py``, from the core that the proxies are not on.

Small answers and bodies, as many as go: wrk (Debian's). Everything else is our own, since no generator of Debian's
measures it:

* The open loop. h2load paces each of its connections by itself, all from the same moment on (50 connections of 10 calls
  a second are a burst of 50 each 0.1 s), and takes a call's time from when it was sent, so that a call held up behind a
  slow one counts as quick; hey does the latter, too. Here calls come at moments drawn beforehand, each on a connection
  that is free or new, and a call's time begins at its moment.
* Streams and WebSockets: delays by the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from front_proxies import Target
from front_upstream import EVERY, frame, frames_of

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def delays_ms(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {name: quantile(ordered, share) * 1000 for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}


def request(target: Target, path: str, *fields: str) -> bytes:
    lines = [f"GET {target.prefix}{path} HTTP/1.1", "Host: 127.0.0.1", target.header, *fields]
    return "".join(f"{line}\r\n" for line in [*filter(None, lines), ""]).encode()


# --- wrk ------------------------------------------------------------------------------------------------------

DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'wrk-report {"calls": %d, "us": %d, "failed": %d, "p50_us": %d, "p99_us": %d, "mean_us": %.1f}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.mean))
end
"""


def script(target: Target, paths: list[str], body: int) -> str:
    """What wrk sends: the paths in turn, with a body of so many bytes where there is one to send."""
    method, text = ("POST", f'string.rep("x", {body})') if body else ("GET", "nil")
    name, _, value = target.header.partition(": ")
    headers = f"{{[{lua(name)}] = {lua(value)}}}" if name else "{}"
    lines = [
        f"local paths = {{{', '.join(lua(target.prefix + path) for path in paths)}}}",
        "local ready, turn = {}, 0",
        "init = function(arguments)",
        f"  local body, headers = {text}, {headers}",
        f'  for at, path in ipairs(paths) do ready[at] = wrk.format("{method}", path, headers, body) end',
        "end",
        "request = function() turn = turn % #ready + 1; return ready[turn] end",
    ]
    return "\n".join(lines) + DONE


def lua(text: str) -> str:
    if not text.isprintable() or any(character in text for character in '"\\'):
        raise ValueError(f"{text!r} is not for wrk")
    return f'"{text}"'


def wrk_report(output: str) -> dict[str, Any]:
    """What the script wrote at the end. wrk counts an answer of status 400 or above as a call, and as a failed one."""
    for line in output.splitlines():
        mark, _, text = line.partition(" ")
        if mark == "wrk-report":
            told = json.loads(text)
            seconds = told["us"] / 1e6
            return {
                "calls": told["calls"],
                "seconds": seconds,
                "calls_per_s": told["calls"] / seconds,
                "failed": told["failed"],
                "p50_ms": told["p50_us"] / 1000,
                "p99_ms": told["p99_us"] / 1000,
                "mean_ms": told["mean_us"] / 1000,
            }
    raise RuntimeError(f"wrk said nothing at its end: {output[-2000:]}")


def wrk(
    folder: Path, target: Target, *, connections: int, seconds: int, body: int = 0, paths: list[str]
) -> dict[str, Any]:
    path = folder / "wrk.lua"
    path.write_text(script(target, paths, body))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(path)]
    command.append(f"http://127.0.0.1:{target.port}/")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    return wrk_report(done.stdout + done.stderr)


def accepted(port: int) -> int:
    """How many connections the upstream's nginx has accepted so far, this look's own one included."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return accepted_of(answer.read().decode())


def accepted_of(status: str) -> int:
    lines = status.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("server accepts"))
    return int(lines[at + 1].split()[0])


# --- calls that do not wait for one another -----------------------------------------------------------------


class _Line:
    """One connection; ``began`` is the moment of the call that is on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.data = b""

    def whole(self) -> int | None:
        """The status, once all of an answer with a length or in chunks is there."""
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return None
        lower = head.lower()
        _, found, length = lower.partition(b"\r\ncontent-length:")
        done = len(body) >= int(length.split(b"\r\n")[0]) if found else body.endswith(b"0\r\n\r\n")
        return int(head[9:12]) if done else None


def moments(rate: float, seconds: float, seed: int = 1) -> list[float]:
    """When calls come that know nothing of one another (Poisson)."""
    draw = random.Random(seed)
    found, at = [], draw.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += draw.expovariate(rate)
    return found


def open_loop(target: Target, path: str, *, rate: float, seconds: float) -> dict[str, Any]:
    """``rate`` calls a second whatever becomes of those before. What is still open 2 s after the last has failed."""
    data = request(target, path)
    free = [_Line(target.port) for _ in range(4)]
    busy: dict[socket.socket, _Line] = {}
    begin = time.monotonic() + 0.01
    coming = [begin + at for at in reversed(moments(rate, seconds))]
    asked, last, failed, times = len(coming), coming[0], 0, []
    while coming or (busy and time.monotonic() < last + 2):
        now = time.monotonic()
        if coming and now >= coming[-1]:
            line = free.pop() if free else _Line(target.port)
            line.began, line.data = coming.pop(), b""
            line.socket.sendall(data)
            busy[line.socket] = line
            continue
        # select(2) takes microseconds, epoll_wait whole milliseconds; it is for descriptors below 1,024.
        for each in select.select(list(busy), [], [], max(0.0, coming[-1] - now) if coming else 0.1)[0]:
            line = busy[each]
            read = each.recv(65536)
            line.data += read
            status = line.whole()
            if read and status is None:
                continue
            del busy[each]
            if status == 200:
                times.append(time.monotonic() - line.began)
            else:
                failed += 1
            if read and b"connection: close" not in line.data.lower():
                free.append(line)
            else:
                each.close()
    for line in [*free, *busy.values()]:
        line.socket.close()
    return {"asked": asked, "calls": len(times), "failed": failed + len(busy), "seconds": seconds, **delays_ms(times)}


# --- streams and WebSockets ---------------------------------------------------------------------------------


class _Reader(asyncio.Protocol):
    """One stream of events: how long each was on its way, while ``counting``."""

    def __init__(self, load: _Streams) -> None:
        self.load = load
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.load.open.add(self)
        self.transport.write(self.load.hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.lost += self.load.counting
        self.load.open.discard(self)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *events, self.data = (self.data + data).split(b"\n\n")
        for event in events:
            self.load.seen(now, event.rpartition(b"data: ")[2])


class _Echo(_Reader):
    """One WebSocket: sends ten times a second, and measures the way there and back."""

    timer: asyncio.TimerHandle | None = None
    accepted = False

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.data += data
        if not self.accepted:
            head, end, self.data = self.data.partition(b"\r\n\r\n")
            if not end:
                self.data = head
                return
            self.accepted = True
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.transport.close()
                return
            self.say_at(asyncio.get_running_loop().time() + random.uniform(0, EVERY))
        frames, self.data = frames_of(self.data)
        for kind, payload in frames:
            if kind in (1, 2):
                self.load.seen(now, payload)

    def say_at(self, due: float) -> None:
        self.timer = asyncio.get_running_loop().call_at(due, self.say, due)

    def say(self, due: float) -> None:
        self.say_at(due + EVERY)
        self.transport.write(frame(1, b"%.7f" % time.monotonic(), masked=True))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timer is not None:
            self.timer.cancel()


class _Streams:
    def __init__(self, target: Target, kind: type[_Reader]) -> None:
        upgrade = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        )
        self.hello = (
            request(target, "/echo", *upgrade)
            if kind is _Echo
            else request(target, "/events", "Accept: text/event-stream")
        )
        self.target, self.kind = target, kind
        self.open: set[_Reader] = set()
        self.delays: list[float] = []
        self.lost = 0
        self.counting = False

    def seen(self, now: float, stamp: bytes) -> None:
        if self.counting:
            self.delays.append(now - float(stamp))

    async def run(self, count: int, seconds: float, mark: Callable[[], None]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            await loop.create_connection(lambda: self.kind(self), "127.0.0.1", self.target.port)
        await asyncio.sleep(0.5)
        mark()
        self.counting = True
        await asyncio.sleep(seconds)
        self.counting = False
        mark()
        for each in list(self.open):
            each.transport.abort()
        await asyncio.sleep(0.05)
        asked = round(count * seconds / EVERY)
        return {
            "asked": asked,
            "calls": len(self.delays),
            "failed": self.lost,
            "seconds": seconds,
            **delays_ms(self.delays),
        }


def streams(target: Target, *, count: int, seconds: float, sockets: bool, mark: Callable[[], None]) -> dict[str, Any]:
    """``mark`` is called when counting begins and when it ends."""
    import uvloop

    return uvloop.run(_Streams(target, _Echo if sockets else _Reader).run(count, seconds, mark))


# --- connections that do nothing -----------------------------------------------------------------------------


def one_call(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    answer = connection.recv(65536)
    while answer and b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    if b" 200 " not in answer[:16]:
        raise RuntimeError(f"expected a 200: {answer[:200]!r}")


def idle(target: Target, path: str, count: int) -> list[socket.socket]:
    """So many connections, each after one call."""
    data, found = request(target, path), []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", target.port), 20)
        found.append(connection)
        one_call(connection, data)
    return found


def allow_descriptors() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def used_cpu() -> float:
    """Seconds of this process and of those that it waited for (wrk)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
