"""Replicas that leave with open calls: for how long these go on, and what becomes of them then."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jupyter_model_service.client import Client

from .conftest import Gateway, eventually
from .load import Broken, Caller

Model = Callable[..., Path]


def test_a_stream_on_a_draining_replica_that_hangs_is_broken_off_long_before_the_limit(
    client: Client, model: Model
) -> None:
    """Probes every 0.5 s, two in a row count; the limit of the drain is ten minutes."""
    folder = model(interval=0.5, max_wait_time=1, max_retries=2)
    path = folder / "model-definition.yaml"
    path.write_text(path.read_text() + "    serving:\n      drain_timeout: 600\n      stop_timeout: 1\n")
    client.create(str(folder), name="m")
    service = client.wait_ready("m", timeout=60)
    (replica,) = service.replica_list
    assert replica.pid is not None
    pid = replica.pid
    token = client.generate_token("m", token_name="test").token

    def phase() -> str:
        return next(r.phase for r in client.get("m").replica_list if r.id == replica.id)

    async def body() -> None:
        caller = Caller(service.endpoint, token)
        call = asyncio.create_task(caller.request("GET", "/stream?events=6000&interval=0.1"))
        try:
            await asyncio.to_thread(eventually, lambda: client.get("m").replica_list[0].in_flight == 1, "a stream")
            await asyncio.to_thread(client.scale, "m", 0)
            await asyncio.to_thread(eventually, lambda: phase() == "draining", "it drains")
            await asyncio.sleep(3)  # six probes: it is well, and goes on
            assert (phase(), call.done()) == ("draining", False)
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            try:
                answer = await asyncio.wait_for(asyncio.shield(call), 60)
            except Broken:
                assert time.monotonic() - began < 60
            else:
                raise AssertionError(f"looked complete: {answer[2][-100:]!r}")
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await caller.close()

    asyncio.run(body())
    eventually(lambda: not psutil.pid_exists(pid), "the hung model server is ended")
    said = [e.message for e in client.events("m") if e.kind == "replica.failed"]
    assert len(said) == 1, said
    assert "while it drained, its open call is broken off" in said[0]
    assert client.get("m").restarts == 0


GRACE = "    serving:\n      drain_timeout: 4\n      stop_timeout: 10\n"


def leaves_by_scale(client: Client) -> None:
    client.scale("m", 1)


def leaves_by_update(client: Client) -> None:
    client.update("m")


@pytest.mark.parametrize("leaves", [leaves_by_scale, leaves_by_update])
def test_what_outlasts_the_grace_is_broken_off_by_the_gateway(
    gateway: Gateway, model: Model, leaves: Callable[[Client], None]
) -> None:
    """Streams of 11 s (or a minute) on both replicas, 4 s for open calls; the server does not end on SIGTERM, so that
    nothing but the gateway ends them. A POST without an answer yet goes to the replica that stays, or comes."""
    gateway.stop()
    gateway.start("--ModelService.access_log=access.log")
    folder = model()
    path = folder / "model-definition.yaml"
    path.write_text(path.read_text() + GRACE)
    with gateway.client() as client:
        client.create(str(folder), name="m", replicas=2, environment={"IGNORE_SIGTERM": "1", "WORK_SECONDS": "8"})
        service = client.wait_ready("m", timeout=60)
        token = client.generate_token("m", token_name="test").token
        before = {replica.id for replica in service.replica_list}

        def in_flight() -> list[int | None]:
            return [replica.in_flight for replica in client.get("m").replica_list]

        async def timed(method: str, path: str) -> tuple[float, tuple[int, dict[str, str], bytes] | None]:
            caller = Caller(service.endpoint, token)
            try:
                got = await caller.request(method, path)
            except Broken:
                got = None
            finally:
                await caller.close()
            return time.time(), got

        async def body() -> tuple[list[float], int]:
            streams = [asyncio.create_task(timed("GET", f"/stream?events={events}&interval=1")) for _ in range(2)]
            await asyncio.to_thread(eventually, lambda: in_flight() == [1, 1], "a stream on each")
            works = [asyncio.create_task(timed("POST", "/work")) for _ in range(2)]
            await asyncio.to_thread(eventually, lambda: in_flight() == [2, 2], "and a POST")
            await asyncio.to_thread(leaves, client)
            ended = await asyncio.gather(*streams)
            assert [got[0] for _, got in await asyncio.gather(*works) if got is not None] == [200, 200]
            whole = sum(got is not None and got[2].endswith(b"data: done\n\n") for _, got in ended)
            return sorted(at for at, got in ended if got is None), whole

        gone, events = (1, 11) if leaves is leaves_by_scale else (2, 60)  # the new replicas may take long to come
        cut, whole = asyncio.run(body())
        assert (len(cut), whole) == (gone, 2 - gone)
        left = sorted(e.at for e in client.events("m") if e.kind == "replica.draining")
        took = [at - begun for at, begun in zip(cut, left, strict=True)]
        assert all(3.9 <= seconds < 9 for seconds in took), took
        told = [e.message for e in client.events("m") if e.kind == "replica.stopping"]
        assert len(told) == gone
        calls = "2 open calls were" if leaves is leaves_by_scale else "(2 open calls were|open call was)"
        assert all(re.search(rf"; its {calls} cut after [4-8](\.\d)? s$", message) for message in told), told
        lines = [json.loads(line) for line in (gateway.data_dir / "access.log").read_text().splitlines()]
        ends = [(line["broken"], line["replica"] in before) for line in lines if line["path"].endswith("/stream")]
        assert sorted(ends, key=str) == sorted([("drained", True)] * gone + [(None, True)] * (2 - gone), key=str)
        assert not [e for e in client.events("m") if e.kind == "replica.failed"]
