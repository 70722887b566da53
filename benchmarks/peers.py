"""The rows that serving systems were compared on, measured for this one: memory, start, fail-over, streaming.

Same work as for the peers (``docs/performance.md`` has both side by side): the no-op model, two cores, loopback.
``python benchmarks/peers.py [memory] [start] [failover] [stream]`` runs some or all, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

import psutil
from harness import NOOP, Caller, by_hand, free_port, gateway, pss, save, wait

from jupyter_model_service.client import Client


def deploy(client: Client, replicas: int) -> tuple[int, str, str]:
    """Port, path prefix and token of a ready service of the no-op model."""
    client.create(str(NOOP), name="noop", replicas=replicas)
    service = client.wait_ready("noop", timeout=90)
    url = urlsplit(service.endpoint)
    return url.port or 80, url.path.rstrip("/"), client.generate_token("noop", token_name="bench").token


def memory() -> dict[str, Any]:
    with gateway() as running:
        client = running.client()
        deploy(client, 2)
        time.sleep(10)  # the peers were looked at after 7 to 12 s of idleness
        assert running.process is not None
        models = [psutil.Process(r.pid) for r in client.get("noop").replica_list if r.pid]
        runners = [model.parent() for model in models]
        own = psutil.Process(running.process.pid)
        before = sum(own.cpu_times()[:2]) + sum(sum(r.cpu_times()[:2]) for r in runners if r)
        time.sleep(10)
        busy = sum(own.cpu_times()[:2]) + sum(sum(r.cpu_times()[:2]) for r in runners if r) - before
        figures = {
            "gateway_pss_mb": round(pss(own), 1),
            "runners_pss_mb": [round(pss(r), 1) for r in runners if r],
            "models_pss_mb": [round(sum(pss(p) for p in [m, *m.children(recursive=True)]), 1) for m in models],
            "idle_cpu_cores": round(busy / 10, 3),
        }
    figures["beyond_models_pss_mb"] = round(figures["gateway_pss_mb"] + sum(figures["runners_pss_mb"]), 1)
    return figures


def start() -> dict[str, Any]:
    """From exec of the gateway to its first own 200, and to the first 200 of an endpoint whose replicas live on."""
    bare, endpoint = [], []
    with gateway() as running:
        client = running.client()
        port, prefix, token = deploy(client, 1)
        for _ in range(5):
            assert running.process is not None
            running.process.kill()
            running.process.wait()
            began = time.perf_counter()
            running.start()
            bare.append(asyncio.run(first_200(port, "GET", "/health/live", "", began)))
            endpoint.append(asyncio.run(first_200(port, "POST", prefix + "/noop", token, began)))
    return {"own_first_200_s": [round(x, 3) for x in bare], "endpoint_first_200_s": [round(x, 3) for x in endpoint]}


async def first_200(port: int, method: str, path: str, token: str, began: float) -> float:
    while time.perf_counter() - began < 60:
        caller = Caller(port, "", token)
        try:
            status, _ = await caller.call(method, path)
            if status == 200:
                return time.perf_counter() - began
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            caller.close()
        await asyncio.sleep(0.01)
    raise TimeoutError("no 200 within 60 s")


def failover() -> dict[str, Any]:
    return {"model sleeps 0.1 s": failover_with("/slow"), "no-op": failover_with("/noop")}


def failover_with(path: str) -> dict[str, Any]:
    with gateway() as running:
        client = running.client()
        port, prefix, token = deploy(client, 3)
        return asyncio.run(_failover(client, port, prefix + path, token))


async def _failover(client: Client, port: int, path: str, token: str) -> dict[str, Any]:
    calls, failures, seen = 0, [], {}
    began = time.perf_counter()
    killed_at, running = 0.0, True

    async def caller() -> None:
        nonlocal calls
        line = Caller(port, "", token)
        while running:
            try:
                status, body = await line.call("POST", path)
            except (OSError, asyncio.IncompleteReadError) as error:
                failures.append((time.perf_counter() - began, repr(error)))
                continue
            calls += 1
            if status != 200:
                failures.append((time.perf_counter() - began, f"{status} {body[:100]!r}"))
            else:
                seen.setdefault(json.loads(body)["pid"], time.perf_counter() - began)
        line.close()

    tasks = [asyncio.create_task(caller()) for _ in range(20)]
    await asyncio.sleep(10)
    old = set(seen)
    victim = next(iter(old))
    killed_at = time.perf_counter() - began
    os.kill(victim, signal.SIGKILL)
    process_after = await asyncio.to_thread(_new_process, client, old)
    await asyncio.sleep(max(0.0, 30 - (time.perf_counter() - began)))
    running = False
    await asyncio.gather(*tasks)
    new = [at for pid, at in seen.items() if pid not in old]
    return {
        "calls": calls,
        "calls_per_s": round(calls / 30),
        "failed": len(failures),
        "kinds": sorted({kind for _, kind in failures})[:5],
        "new_process_s": round(process_after, 2),
        "new_replica_answers_s": round(min(new) - killed_at, 2) if new else None,
    }


def _new_process(client: Client, old: set[int]) -> float:
    began = time.perf_counter()
    wait(lambda: any(r.pid and r.pid not in old for r in client.get("noop").replica_list), 30, 0.02)
    return time.perf_counter() - began


def own_start() -> float:
    """What the model itself needs until it answers, so that a replacement's time can be judged."""
    from startup import manual

    return statistics.median(manual() for _ in range(5))


def stream() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    port = free_port()
    with by_hand(port):
        from harness import answers

        wait(lambda: answers(port))
        for streams in (1, 20):
            figures[f"direct, {streams}"] = asyncio.run(_stream(port, "", "", streams))
    with gateway() as running:
        port, prefix, token = deploy(running.client(), 1)
        for streams in (1, 20):
            figures[f"ours, {streams}"] = asyncio.run(_stream(port, prefix, token, streams))
    for streams in (1, 20):
        direct, ours = figures[f"direct, {streams}"], figures[f"ours, {streams}"]
        figures[f"added, {streams}"] = {k: round(ours[k] - direct[k], 3) for k in ("p50_ms", "p99_ms")}
    return figures


async def _stream(port: int, prefix: str, token: str, streams: int) -> dict[str, Any]:
    delays: list[float] = []
    merged = 0

    async def one() -> None:
        nonlocal merged
        caller = Caller(port, prefix, token)
        assert await caller.send("GET", "/events?count=50&per_second=20") == 200
        numbers = []
        async for chunk in caller.chunks():
            now = time.time()
            events = [event for event in chunk.decode().split("\n\n") if event]
            merged += len(events) > 1
            for event in events:
                _, number, stamp = event.split()
                numbers.append(int(number))
                delays.append((now - float(stamp)) * 1000)
        assert numbers == list(range(50)), "an event was lost or out of order"
        caller.close()

    await one()
    delays.clear()
    for _ in range(4 if streams == 1 else 2):
        await asyncio.gather(*(one() for _ in range(streams)))
    ordered = sorted(delays)
    return {
        "events": len(ordered),
        "p50_ms": round(statistics.median(ordered), 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 3),
        "max_ms": round(ordered[-1], 3),
        "chunks_with_several_events": merged,
    }


def main() -> None:
    parts = {"memory": memory, "start": start, "failover": failover, "stream": stream}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[[], *parts], help="default: all")
    for part in parser.parse_args().part or parts:
        figures = parts[part]()
        if part == "failover":
            figures["model_own_start_s"] = round(own_start(), 2)
        print(part, json.dumps(figures, indent=2))
        save(part, figures)


if __name__ == "__main__":
    main()
