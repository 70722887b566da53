"""What must survive: killed, hung and crashing replicas, scaling and updates, under the load of 50 callers.

"No failed call": no POST fails; a stream breaks only where its own replica was killed, and its caller sees it as
incomplete. Real processes everywhere; each test looks afterwards that nothing is left (see ``conftest.gateway``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service import wire
from jupyter_model_service.client import Client

from .conftest import Gateway, eventually
from .load import Caller, Load

Model = Callable[..., Path]


def deploy(client: Client, folder: Path, replicas: int = 1, **options: Any) -> tuple[wire.ServiceInfo, str]:
    """A ready service and a token for it."""
    name = folder.name
    client.create(str(folder), name=name, replicas=replicas, **options)
    service = client.wait_ready(name, timeout=60)
    return service, client.generate_token(name, token_name="test").token


def replica_pids(client: Client, name: str) -> dict[str, int]:
    """replica id → pid of its model server, of those that are ready."""
    return {r.id: r.pid for r in client.get(name).replica_list if r.phase == "ready" and r.pid}


def ready(client: Client, name: str, count: int) -> Callable[[], wire.ServiceInfo | None]:
    def look() -> wire.ServiceInfo | None:
        service = client.get(name)
        return service if service.replicas.ready == count and service.state == "ready" else None

    return look


def gone(client: Client, name: str, replica: str) -> Callable[[], bool]:
    return lambda: all(r.id != replica or r.phase in ("gone", "failed") for r in client.get(name).replica_list)


async def soon(look: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    return await asyncio.to_thread(eventually, look, what, seconds)


def messages(client: Client, name: str) -> str:
    return "\n".join(event.message for event in client.events(name))


def test_kill_9_of_one_of_three_model_servers_under_load(client: Client, model: Model) -> None:
    service, token = deploy(client, model(), 3)

    async def body() -> Load:
        async with Load(service.endpoint, token) as load:
            await load.calls(200)
            replica, pid = next(iter(replica_pids(client, "m").items()))
            os.kill(pid, signal.SIGKILL)
            await soon(gone(client, "m", replica), "the dead replica is out")
            await soon(ready(client, "m", 3), "three ready replicas again")
            await load.calls(200)
        return load

    load = asyncio.run(body())
    assert load.tally.failures == []
    assert load.tally.streams > 0
    assert len(load.tally.pids) >= 4, "the replacement got calls, too"
    assert "SIGKILL" in messages(client, "m")


def test_kill_9_of_a_runner_under_load(client: Client, gateway: Gateway, model: Model) -> None:
    service, token = deploy(client, model(), 3)

    async def body() -> tuple[Load, int, int]:
        async with Load(service.endpoint, token) as load:
            await load.calls(200)
            replica, pid = next(iter(replica_pids(client, "m").items()))
            port = next(c.laddr.port for c in psutil.Process(pid).net_connections() if c.status == "LISTEN")
            runner = psutil.Process(pid).parent()
            assert runner is not None
            runner.kill()
            await soon(lambda: not psutil.pid_exists(pid), "the model server ends with its runner", 2)
            await soon(gone(client, "m", replica), "the replica is out")
            await soon(ready(client, "m", 3), "three ready replicas again")
            await load.calls(200)
        return load, pid, port

    load, _, _ = asyncio.run(body())
    assert load.tally.failures == []
    assert "runner" in messages(client, "m")


def test_a_call_that_kills_every_replica_it_reaches_is_replayed_once(client: Client, model: Model) -> None:
    service, token = deploy(client, model(), 3)
    before = set(replica_pids(client, "m").values())

    async def body() -> tuple[int, dict[str, str], bytes]:
        caller = Caller(service.endpoint, token)
        try:
            return await caller.request("POST", "/die", b"x")
        finally:
            await caller.close()

    status, headers, answer = asyncio.run(body())
    assert status == 502
    assert headers["x-model-service-error"] == "replica_died"
    assert b"replica_died" in answer
    eventually(lambda: client.get("m").restarts == 2, "the engine has seen and replaced two")
    eventually(ready(client, "m", 3), "three ready replicas again")
    after = set(replica_pids(client, "m").values())
    assert len(before & after) == 1, "two died: the first, and the one it was replayed on"


def test_kill_9_of_the_gateway_leaves_replicas_tokens_and_endpoints(gateway: Gateway, model: Model) -> None:
    client = gateway.client()
    service, token = deploy(client, model(), 2)
    before = replica_pids(client, "m")
    gateway.kill()
    assert all(psutil.pid_exists(pid) for pid in before.values())
    gateway.start()
    client = gateway.client()
    again = eventually(ready(client, "m", 2), "two ready replicas")
    assert again.endpoint == service.endpoint
    assert replica_pids(client, "m") == before

    async def body() -> int:
        caller = Caller(service.endpoint, token)
        status, _, _ = await caller.request("POST", "/work", b"still here")
        await caller.close()
        return status

    assert asyncio.run(body()) == 200
    assert client.get("m").restarts == 0


def test_kill_9_of_the_gateway_at_any_moment_of_a_start_leaves_no_orphan_and_no_double(
    gateway: Gateway, model: Model
) -> None:
    """Eight moments spread over a start: whatever had been begun, two replicas come up in the end, and only two."""
    folder = model()
    client = gateway.client()
    client.create(str(folder), name="m", replicas=0)
    for moment in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.25, 0.4):
        client.scale("m", 2)
        deadline = asyncio.run(_pause(moment))
        assert deadline is None
        gateway.kill()
        gateway.start()
        client = gateway.client()
        eventually(ready(client, "m", 2), f"two ready replicas after a kill at {moment} s")
        servers = [p for p in gateway.processes() if "server.py" in " ".join(p.cmdline())]
        assert len(servers) == 2, f"after a kill at {moment} s: {[p.cmdline() for p in servers]}"
        assert {p.pid for p in servers} == set(replica_pids(client, "m").values())
        client.scale("m", 0)
        eventually(lambda: not gateway.processes(), "no replica left after scale to 0")


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_a_hung_replica_gets_no_new_calls_and_is_replaced(client: Client, model: Model) -> None:
    service, token = deploy(client, model(interval=1, max_wait_time=2, max_retries=2), 3)

    def calls_on(replica: str) -> int:
        return sum(r.in_flight for r in client.get("m").replica_list if r.id == replica)

    async def body() -> tuple[Load, int]:
        replica, pid = next(iter(replica_pids(client, "m").items()))
        async with Load(service.endpoint, token, posts=20, streams=4) as load:
            await load.calls(100)
            os.kill(pid, signal.SIGSTOP)

            def suspect() -> bool:
                return any(r.id == replica and r.suspect for r in client.get("m").replica_list)

            await soon(suspect, "out of rotation after one late probe", 5)
            stuck = calls_on(replica)
            await load.calls(100)
            assert calls_on(replica) <= stuck, "it gets no new calls while others pass"
            await soon(gone(client, "m", replica), "replaced after max_retries", 30)
            await soon(ready(client, "m", 3), "three ready replicas again")
        return load, pid

    load, pid = asyncio.run(body())
    assert load.tally.failures == [], "the calls that hung were replayed when their replica was ended"
    assert not psutil.pid_exists(pid), "SIGTERM would wait for ever; it was ended all the same"


def test_the_last_replica_is_replaced_too_when_it_hangs(client: Client, model: Model) -> None:
    deploy(client, model(interval=0.5, max_wait_time=1, max_retries=2), 1)
    replica, pid = next(iter(replica_pids(client, "m").items()))
    os.kill(pid, signal.SIGSTOP)
    eventually(gone(client, "m", replica), "the hung replica is out")
    eventually(ready(client, "m", 1), "a ready replica again")
    assert not psutil.pid_exists(pid)


def test_scaling_1_5_2_0_1_under_load_fails_no_call(client: Client, model: Model) -> None:
    service, token = deploy(client, model(), 1)

    async def body() -> Load:
        async with Load(service.endpoint, token) as load:
            for count in (5, 2):
                await asyncio.to_thread(client.scale, "m", count)
                await soon(ready(client, "m", count), f"{count} ready replicas")
                await soon(lambda c=count: client.get("m").replicas.total == c, f"{count} replicas in all", 60)
                await load.calls(150)
        return load

    load = asyncio.run(body())
    assert load.tally.failures == []
    assert load.tally.broken_streams == [], "a drained replica finishes its open streams"
    client.scale("m", 0)
    eventually(lambda: client.get("m").replicas.total == 0, "no replica")

    async def refused() -> tuple[int, dict[str, str]]:
        caller = Caller(service.endpoint, token)
        status, headers, _ = await caller.request("POST", "/work", b"anyone?")
        return status, headers

    status, headers = asyncio.run(refused())
    assert status == 503
    assert "retry-after" not in headers, "nobody knows when its owner wants it again"
    client.scale("m", 1)
    eventually(ready(client, "m", 1), "one ready replica")
    status, _ = asyncio.run(refused())
    assert status == 200


def test_update_under_load_then_an_update_that_crashes(client: Client, model: Model) -> None:
    service, token = deploy(client, model(), 3, environment={"VERSION": "one"})

    async def body() -> Load:
        async with Load(service.endpoint, token, events=10) as load:
            await load.calls(100)
            await asyncio.to_thread(client.update, "m", environment={"VERSION": "two"})
            await soon(lambda: client.get("m").stable_revision == 2, "revision 2 is up", 60)
            await soon(ready(client, "m", 3), "three ready replicas", 60)
            assert "two" in load.tally.versions
            await asyncio.to_thread(client.update, "m", environment={"EXIT_CODE": "7", "VERSION": "three"})
            await soon(lambda: client.get("m").note, "the update is taken back", 90)
            await load.calls(150)
        return load

    load = asyncio.run(body())
    assert load.tally.failures == []
    assert load.tally.broken_streams == []
    assert set(load.tally.versions) == {"one", "two"}
    after = client.get("m")
    assert after.stable_revision == 2
    assert "the weights are missing" in (after.note or "")
    client.rollback("m", 1)
    eventually(lambda: client.get("m").stable_revision == 1, "revision 1 is up again", 60)


def test_a_caller_that_leaves_in_mid_stream_frees_its_replica(client: Client, model: Model) -> None:
    service, token = deploy(client, model(), 1)

    async def body() -> None:
        caller = Caller(service.endpoint, token)
        call = asyncio.create_task(caller.request("GET", "/stream?events=600&interval=0.1"))
        await soon(lambda: client.get("m").replica_list[0].in_flight == 1, "the stream is in flight")
        await caller.close()
        await soon(lambda: client.get("m").replica_list[0].in_flight == 0, "the caller's leaving cancels it", 5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(body())
    after = client.get("m")
    assert after.replica_list[0].id == service.replica_list[0].id, "it was freed, not replaced"
    assert (after.state, after.restarts) == ("ready", 0)


def test_a_large_upload_a_slow_reader_and_idle_connections_keep_memory_flat(
    client: Client, gateway: Gateway, model: Model
) -> None:
    service, token = deploy(client, model(), 1)
    assert gateway.process is not None
    process = psutil.Process(gateway.process.pid)

    async def upload() -> bytes:
        caller = Caller(service.endpoint, token)
        caller.reader, caller.writer = await asyncio.open_connection(caller.host, caller.port)
        size = 200 << 20
        caller.writer.write(
            f"POST {caller.prefix}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {size}\r\n\r\n".encode()
        )
        chunk = b"x" * (1 << 20)
        for _ in range(200):
            caller.writer.write(chunk)
            await caller.writer.drain()
        _, _, body = await caller._answer()
        await caller.close()
        return body

    async def body() -> None:
        # Warm first: the first calls load code and fill pools, which is not what this test is about.
        caller = Caller(service.endpoint, token)
        await caller.request("POST", "/work", b"warm")
        before = process.memory_info().rss
        assert await upload() == b'{"size": 209715200}'
        assert process.memory_info().rss - before < 24 << 20, "a 200 MB upload passes through"
        slow = Caller(service.endpoint, token)
        assert await slow.send("GET", "/big?mb=200") == 200  # and reads no more of it
        await soon(lambda: client.get("m").replica_list[0].in_flight == 1, "the slow reader's call is open")
        await asyncio.sleep(1.0)  # for as much as would come if nothing held it back
        assert process.memory_info().rss - before < 24 << 20, "a slow reader is not read for"
        await slow.close()
        idle = [await asyncio.open_connection(caller.host, caller.port) for _ in range(1000)]
        status, _, _ = await caller.request("POST", "/work", b"still quick")
        assert status == 200
        assert process.memory_info().rss - before < 48 << 20, "1,000 idle connections"
        for _, writer in idle:
            writer.close()
        await caller.close()

    asyncio.run(body())


def runner_of(pid: int) -> psutil.Process:
    """Of a model server's pid."""
    runner = psutil.Process(pid).parent()
    assert runner is not None
    return runner


def in_flight(client: Client) -> list[int]:
    return [r.in_flight for r in client.get("m").replica_list]


async def seen_as_broken(caller: Caller, limit: float) -> None:
    """The rest of an answer whose head was read ends within ``limit`` seconds, and nobody could take it for a whole one:
    a reset, or chunks without the last one."""
    assert caller.reader is not None
    with contextlib.suppress(ConnectionError):
        rest = await asyncio.wait_for(caller.reader.read(), limit)
        assert caller.chunked, "its end alone marks it, so nothing but a reset tells that it was broken off"
        assert not rest.endswith(b"0\r\n\r\n"), f"looked complete: {rest[-100:]!r}"


def test_a_silent_runner_of_a_model_server_that_is_well_breaks_no_answer(client: Client, model: Model) -> None:
    """Its runner is stopped until some time after its lease is lost. Streams that have begun go on, one of them to an end
    that only its connection marks; calls that have not begun are answered by the other replica; it is the same one after
    that."""
    service, token = deploy(client, model(), 2, environment={"WORK_SECONDS": "6"})
    pids = replica_pids(client, "m")
    victim, other = pids

    async def call(method: str, path: str) -> bytes:
        caller = Caller(service.endpoint, token)
        try:
            status, _, body = await asyncio.wait_for(caller.request(method, path, b"x"), 60)
        finally:
            await caller.close()
        assert status == 200, body
        return body

    async def body() -> tuple[list[bytes], list[bytes]]:
        streams: list[asyncio.Task[bytes]] = []
        for events in ("90", "90", "35&unframed=1", "35&unframed=1"):  # each replica has one of each
            streams.append(asyncio.create_task(call("GET", f"/stream?interval=0.1&events={events}")))
            await soon(lambda: sum(in_flight(client)) == len(streams), "one more stream is in flight")
        assert in_flight(client) == [2, 2]
        runner = runner_of(pids[victim])
        runner.suspend()
        try:
            posts = [asyncio.create_task(call("POST", "/work")) for _ in range(4)]

            def doubted() -> bool:
                shown = next(r for r in client.get("m").replica_list if r.id == victim)
                return shown.phase == "unhealthy"

            await soon(doubted, "out of rotation", 10)
            await asyncio.sleep(1.5)
        finally:
            runner.resume()
        return list(await asyncio.gather(*streams)), list(await asyncio.gather(*posts))

    streams, posts = asyncio.run(body())
    assert [answer.count(b"data: ") for answer in streams] == [91, 91, 35, 35]
    assert {json.loads(post)["pid"] for post in posts} == {pids[other]}
    eventually(ready(client, "m", 2), "both are ready")
    assert replica_pids(client, "m") == pids
    assert client.get("m").restarts == 0


def test_a_replica_that_stands_still_as_a_whole_holds_its_callers_for_some_seconds_only(
    client: Client, model: Model
) -> None:
    """As in a container that is paused: its stream is broken off when it is given up, and another takes its place."""
    service, token = deploy(client, model(interval=60), 1)
    ((replica, pid),) = replica_pids(client, "m").items()

    async def body() -> None:
        caller = Caller(service.endpoint, token)
        # Its head is here before the replica stands still: a call that has no answer yet would rightly go to the next one.
        assert await caller.send("GET", "/stream?events=6000&interval=0.1") == 200
        for process in (runner_of(pid), psutil.Process(pid)):
            process.suspend()
        await seen_as_broken(caller, 30)
        await caller.close()

    asyncio.run(body())
    eventually(gone(client, "m", replica), "it was given up")
    eventually(ready(client, "m", 1), "another is ready")
    assert "lost contact with its runner for 3 s" in messages(client, "m")


@pytest.mark.parametrize("framing", ["", "&unframed=1"], ids=["chunked", "until-close"])
@pytest.mark.parametrize("killed", ["model server", "runner"])
def test_a_stream_of_a_killed_replica_is_seen_as_broken_never_as_complete(
    client: Client, model: Model, framing: str, killed: str
) -> None:
    service, token = deploy(client, model(), 1)

    async def body() -> None:
        caller = Caller(service.endpoint, token)
        assert await caller.send("GET", f"/stream?events=600&interval=0.05{framing}") == 200
        (pid,) = replica_pids(client, "m").values()
        os.kill(pid if killed == "model server" else runner_of(pid).pid, signal.SIGKILL)
        await seen_as_broken(caller, 20)
        await caller.close()

    asyncio.run(body())


def test_kill_9_of_the_gateway_in_an_update_keeps_the_old_revision_serving(gateway: Gateway, model: Model) -> None:
    """The new revision still loads; the adopted old replicas must not be taken for ones that never served."""
    client = gateway.client()
    service, token = deploy(client, model(), 2)
    before = replica_pids(client, "m")
    client.update("m", environment={"OPEN_AFTER": "never"})
    eventually(lambda: client.get("m").replicas.total > 2, "the new revision is being started")
    gateway.kill()
    gateway.start()
    client = gateway.client()

    async def body() -> None:
        caller = Caller(service.endpoint, token)
        for _ in range(20):
            status, _, _ = await asyncio.wait_for(caller.request("POST", "/work", b"x"), 10)
            assert status == 200
        await caller.close()

    asyncio.run(body())
    eventually(lambda: before.items() <= replica_pids(client, "m").items(), "the same replicas serve")
    client.rollback("m", 1)
    eventually(lambda: client.get("m").stable_revision == 1 and client.get("m").replicas.total == 2, "back", 60)
    assert replica_pids(client, "m") == before
