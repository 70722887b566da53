"""Replicas that are killed, paused and cut off, under the load of 50 callers, on a real Hub with a real engine.

"No failed call": no POST fails; a stream breaks only where its own replica was killed, and its caller sees it as
incomplete.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.load import Load
from tests.ports import free_port

from .deployment import PROXY, ROOT, Deployment, eventually
from .stage import Stage, created_at, under_load


@pytest.fixture(scope="module")
def stage(hub: Deployment) -> Iterator[Stage]:
    stage = Stage(hub, "m", 3, interval=10)  # the default: health checks alone would be too late
    yield stage
    stage.close()


def test_docker_kill_of_one_of_three_fails_no_call(stage: Stage) -> None:
    """Out of rotation within 1 s, its replacement's container asked for within 3 s; nothing of it is left."""
    stage.ready(3)
    victim, container = next(iter(stage.containers().items()))
    before = stage.ids()
    at = 0.0

    def kill() -> None:
        nonlocal at
        at = time.time()
        container.kill()
        eventually(lambda: stage.ids() - before, "the replacement's container", 30)
        stage.ready(3)

    tally = under_load(stage, kill).tally
    assert tally.failures == []
    assert len(tally.broken_streams) <= 10
    (fresh,) = [c for c in stage.containers().values() if c.id not in before]
    out = min(
        event.at
        for event in stage.events(victim)
        if event.kind in ("replica.unhealthy", "replica.failed") and event.at >= at
    )
    print(f"out of rotation after {out - at:.2f} s, container asked for after {created_at(fresh) - at:.2f} s")
    assert out - at < 1
    assert created_at(fresh) - at < 3
    assert fresh.id[:12] in tally.versions, "the replacement got calls, too"
    (why,) = [event.message for event in stage.events(victim) if event.kind == "replica.failed"]
    # Which it is depends on whether the engine says that it ended before its gateway, which sees that at once, has asked.
    assert "exit code 137" in why or "as after SIGKILL" in why
    eventually(lambda: f"ms-{victim}" not in stage.hub.servers("alice"), "its server record gone")
    assert stage.hub.engine.containers.list(all=True, filters={"id": container.id}, ignore_removed=True) == []


OUT = 4.0  # seconds until no new call goes to a replica that has gone silent


def silenced(stage: Stage, silence: Callable[[Any], None]) -> None:
    """Out of rotation within 4 s; only what was in flight there may fail, or is replayed; replaced, with nothing left."""
    stage.ready(3)
    victim, container = next(iter(stage.containers().items()))
    before = stage.ids()
    at = 0.0

    def cut_off() -> None:
        nonlocal at
        at = time.time()
        silence(container)
        eventually(lambda: stage.ids() - before, "the replacement's container", 60)
        stage.ready(3)

    told = under_load(stage, cut_off)
    tally = told.tally
    out = min(e.at for e in stage.events(victim) if e.kind in ("replica.unhealthy", "replica.failed") and e.at >= at)
    (fresh,) = [c for c in stage.containers().values() if c.id not in before]
    print(
        f"out of rotation after {out - at:.2f} s, container asked for after {created_at(fresh) - at:.2f} s; "
        f"{len(tally.failures)} calls and {len(tally.broken_streams)} streams broken, slowest {tally.slowest:.1f} s"
    )
    assert out - at <= OUT
    assert len(tally.failures) + len(tally.broken_streams) <= 50, "none but those in flight there"
    assert not [failure for failure in tally.failures if failure.kind == "post"], "a POST without an answer is replayed"
    assert fresh.id[:12] in tally.versions, "the replacement got calls, too"
    eventually(lambda: f"ms-{victim}" not in stage.hub.servers("alice"), "its server record gone", 90)
    gone = {"id": container.id}
    eventually(lambda: not stage.hub.engine.api.containers(all=True, filters=gone), "its container gone", 90)


def test_docker_pause_of_one_of_three(stage: Stage) -> None:
    silenced(stage, lambda container: container.pause())


def test_docker_network_disconnect_of_one_of_three(stage: Stage) -> None:
    network = stage.hub.engine.networks.get(stage.hub.network.name)
    silenced(stage, lambda container: network.disconnect(container, force=True))


# --- behind the Hub's proxy --------------------------------------------------------------------------

SILENCE = 3.0  # seconds after which a proxy with a limit ends a caller's connection
STANDS = 6.0  # seconds for which one without it is watched: ten events are due in one


class Watched:
    """A stream of alice's model: the replica that it is on, and all that came of it."""

    def __init__(self, base: str, token: str) -> None:
        self.url, self.token = urlsplit(base), token
        self.replica, self.came = "", b""

    async def begin(self) -> Watched:
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port)
        path = f"{self.url.path}stream?events=600&interval=0.1"
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode())
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)).decode().lower()
        assert head.startswith("http/1.1 200 "), head
        assert "transfer-encoding: chunked" in head
        self.replica = head.split("x-model-service-replica: ")[1].split("\r\n")[0]
        await self.more(30)
        return self

    async def more(self, seconds: float) -> bool:
        """Whether something came before it ended, in the time."""
        piece = await asyncio.wait_for(self.reader.read(1 << 16), seconds)
        self.came += piece
        return bool(piece)

    async def end(self) -> float:
        """Read on until the connection is closed; for how long nothing had come then."""
        last = time.monotonic()
        while await self.more(30):
            last = time.monotonic()
        return time.monotonic() - last

    async def stands(self, seconds: float) -> bool:
        """Whether nothing comes for so long, and no end either."""
        try:
            while await self.more(seconds):
                pass
        except asyncio.TimeoutError:
            return True
        return False

    def complete(self) -> bool:
        return self.came.endswith(b"0\r\n\r\n")

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
def limited(hub: Deployment) -> Iterator[str]:
    """The address of a second proxy before the gateway, which ends a silent connection, as the guide says."""
    (command,) = re.findall(
        r"^```python proxy\n.*command = (\[.*\])\n```$", (ROOT / "docs" / "admin.md").read_text(), re.M
    )
    _, option = json.loads(command)
    assert option == "--timeout=900000"
    port, gateway = free_port(), urlsplit(hub.gateway_url).netloc
    words = [f"--ip={hub.network.address}", f"--port={port}", "--api-ip=127.0.0.1", f"--api-port={free_port()}"]
    words += [f"--default-target=http://{gateway}", f"--timeout={SILENCE * 1000:.0f}"]
    process = hub._run([str(PROXY), *words], hub.folder / "limited-proxy.log")
    try:
        address = f"{hub.network.address}:{port}"
        eventually(lambda: accepts(address), "a proxy that accepts", 30)
        yield hub.gateway_url.replace(gateway, address)
    finally:
        process.terminate()
        process.wait(30)


def accepts(address: str) -> bool:
    try:
        httpx.get(f"http://{address}/", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


async def on_one_replica(bases: Sequence[str], token: str) -> list[Watched]:
    """A stream through each of ``bases``, all of the same replica."""
    found: dict[str, dict[str, Watched]] = {}
    for turn in range(30):
        base = bases[turn % len(bases)]
        watched = await Watched(base, token).begin()
        of_it = found.setdefault(watched.replica, {})
        if of_it.setdefault(base, watched) is not watched:
            watched.close()
        if len(of_it) == len(bases):
            for each in (each for some in found.values() if some is not of_it for each in some.values()):
                each.close()
            return [of_it[base] for base in bases]
    raise AssertionError(f"no replica has a stream of each: {found}")


def test_a_stream_that_breaks_off_is_told_beside_the_hubs_proxy_and_stands_still_behind_it(
    stage: Stage, limited: str
) -> None:
    """Which is the proxy's own way, and that of its limit is ours to document; plain calls behind it do not fail."""
    stage.ready(3)
    path = urlsplit(stage.direct).path.removeprefix(urlsplit(stage.hub.gateway_url).path)

    async def body() -> None:
        streams = await on_one_replica([stage.direct, stage.proxied, limited + path], stage.token)
        direct, proxied, ended = streams
        async with Load(stage.proxied, stage.token, posts=10, streams=0) as load:
            await load.calls(20)
            await asyncio.to_thread(stage.containers()[direct.replica].kill)
            told, silence = await asyncio.gather(direct.end(), ended.end())
            assert await proxied.stands(STANDS)
            await load.calls(20)
        assert load.tally.failures == []
        assert told < 2, "beside the proxy the connection is closed at once"
        assert SILENCE - 1 < silence < SILENCE + 3
        for each in streams:
            assert each.came.count(b"data: ") > 1
            assert not each.complete(), "what is seen of it is never taken for the whole"
            each.close()

    asyncio.run(body())
    stage.ready(3)
