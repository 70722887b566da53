"""A replica that hangs while it drains: its callers are not kept until the limit of the drain."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jupyter_model_service.client import Client

from .conftest import eventually
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
