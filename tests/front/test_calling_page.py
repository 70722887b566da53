"""The commands of the page for callers do what it says, before a service that sleeps."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .site import TOKEN, Site, run_on, site, within
from .sleeper import Sleeper
from .upstreams import Replica, Seen, body_of

PAGE = (Path(__file__).parents[2] / "docs" / "calling.md").read_text(encoding="utf-8")
EVENT = re.search(r"^data: .*$", PAGE, re.MULTILINE)
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def command(text: str) -> str:
    """The one block of the page that has ``text``."""
    found = [block for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if text in block]
    assert len(found) == 1
    return str(found[0])


async def ran(here: Site, script: str, until: Callable[[bytes], bool] = lambda out: False) -> tuple[str, bool]:
    """What it prints, the replica being made ready when ``until`` says so; whether it went well."""
    sleeper = Sleeper(here, start_seconds=40.0)
    address = f"http://127.0.0.1:{here.port}/endpoints/o/n/"
    curl = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "TOKEN": TOKEN, "ADDRESS": address},
    )
    try:
        assert curl.stdout is not None
        out = b""
        while piece := await within(curl.stdout.read(4096)):
            out += piece
            if sleeper.backends and until(out):
                sleeper.ready()
        return out.decode(), await within(curl.wait()) == 0
    finally:
        if curl.returncode is None:
            curl.kill()
            await curl.wait()


async def chat(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await body_of(seen)
    assert EVENT is not None
    text = EVENT[0].encode() + b"\n\n"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    return True


def test_waking_without_waiting() -> None:
    async def body() -> Any:
        async with site(Replica()) as here:
            return await ran(here, command("Prefer: wait=0"))

    out, well = run_on("asyncio", body())
    assert well
    assert out.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 40\r\n" in out
    assert "Preference-Applied: wait=0\r\n" in out


def test_a_stream_with_signs_of_life() -> None:
    """As the page shows it, with seconds instead of five of them."""

    async def body() -> Any:
        async with site(Replica(handlers={"/v1/chat": chat})) as here:
            script = command("X-Model-Service-Heartbeat").replace("Heartbeat: 5", "Heartbeat: 1")
            out = await ran(here, script, lambda printed: printed.count(b": waiting") == 2)
            assert here.replicas[0].seen[0].body == b'{"prompt": "Hi", "stream": true}'
            return out

    out, well = run_on("asyncio", body())
    assert well
    assert f"```text\n{out}```" in PAGE
