"""The autoscaler with real processes: from zero to the first byte, and a step of load to the start of one more replica.

From zero: the model is ``benchmarks/models/noop`` (FastAPI under uvicorn). By hand: exec of uvicorn to its first 200,
asked every 5 ms. Through us: a call to a service that sleeps, until the first byte of its answer. The two alternate, so
that a machine that drifts drifts for both. The parts are the times of the service's events.

The step: calls of 1 s, 2 a second for 12 s, then 16 a second, as in ``benchmarks/autoscale.py``, with 2.8 calls at once
per replica. From the first call of the step until the launch of one more replica, and until that is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from typing import Any

from harness import NOOP, Caller, Gateway, gateway, save, wait
from startup import manual

from jupyter_model_service.client import Client
from jupyter_model_service.wire import EventInfo

COLD_LIMIT, STEP_LIMIT = 0.3, 5.0  # seconds that are asked for: the median of the first, each of the second
PARTS = (
    ("call to decision", "service.autoscaled"),
    ("decision to launch", "replica.requested"),
    ("launch to runner", "replica.starting"),
    ("runner to model's start", "replica.loading"),
    ("model's start to its first pass", "replica.ready"),
)


def port_of(client: Client) -> int:
    return int(client.url.rstrip("/").rpartition(":")[2])


# --- from zero -----------------------------------------------------------------------------------------------


def asleep(client: Client, name: str) -> None:
    """Back to zero without the minute that the autoscaler takes for it."""
    if client.autoscaling(name) is not None:
        client.stop_autoscaling(name)
        client.scale(name, 0)
    wait(lambda: client.get(name).replicas.total == 0)
    client.autoscale(name, min=0, max=1)
    wait(lambda: client.get(name).state == "idle")


def wake(client: Client, owner: str, name: str) -> tuple[float, dict[str, float]]:
    """Seconds to the first byte, and what they consist of."""
    asleep(client, name)
    last = client.events(name)[-1].id

    async def first() -> tuple[float, float, float]:
        caller = Caller(port_of(client), f"/endpoints/{owner}/{name}")
        at, began = time.time(), time.perf_counter()
        status = await caller.send("POST", "/noop")
        took = time.perf_counter() - began
        assert status == 200, status
        await caller.body()
        caller.close()
        return at, took, at + took

    began, took, ended = asyncio.run(first())
    return took, parts(client.events(name, after=last), began, ended)


def parts(events: list[EventInfo], began: float, ended: float) -> dict[str, float]:
    found, before = {}, began
    for label, kind in PARTS:
        at = next((event.at for event in events if event.kind == kind), None)
        if at is not None:
            found[label] = at - before
            before = at
    return {**found, "first pass to first byte": ended - before}


def from_zero(running: Gateway, runs: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    client = running.client()
    owner, name = client.info().owner, "cold"
    client.create(NOOP, name, replicas=0, public=True)
    hand, ours, rows = [], [], []
    wake(client, owner, name)
    manual()
    for _ in range(runs):
        hand.append(manual())
        took, its = wake(client, owner, name)
        ours.append(took)
        rows.append(its)
    client.delete(name)
    overhead = [b - a for a, b in zip(hand, ours, strict=True)]
    labels = {label: [row[label] for row in rows if label in row] for row in rows for label in row}
    return {"by hand": hand, "from zero to first byte": ours, "overhead": overhead}, labels


# --- a step --------------------------------------------------------------------------------------------------


async def pressed(port: int, prefix: str, rate: float, seconds: float) -> None:
    """Calls of a second each at a steady rate; what they answer is awaited."""

    async def one() -> None:
        caller = Caller(port, prefix)
        status, _ = await caller.call("GET", "/events?count=1&per_second=1")
        assert status == 200, status
        caller.close()

    began, calls = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        calls.append(asyncio.ensure_future(one()))
    await asyncio.gather(*calls)


def step(running: Gateway, number: int) -> dict[str, float]:
    client = running.client()
    name = f"step-{number}"
    service = client.create(NOOP, name, public=True)
    client.autoscale(name, min=1, max=12, target_concurrency=2.8)
    client.wait_ready(name, timeout=60)
    prefix = f"/endpoints/{service.owner}/{name}"
    asyncio.run(pressed(port_of(client), prefix, 2, 12))
    last, began = client.events(name)[-1].id, time.time()
    asyncio.run(pressed(port_of(client), prefix, 16, 8))
    events = client.events(name, after=last, limit=1000)
    client.delete(name)
    wait(lambda: all(each.name != name for each in client.list()))

    def after(kind: str) -> float:
        return next((event.at for event in events if event.kind == kind), float("inf")) - began

    return {
        "step to decision": after("service.autoscaled"),
        "step to the launch of one more replica": after("replica.requested"),
        "step to that replica's first pass": after("replica.ready"),
    }


# --- both ----------------------------------------------------------------------------------------------------


def table(title: str, rows: dict[str, list[float]]) -> None:
    print(f"{title:42} {'min':>7} {'median':>7} {'max':>7}")
    for label, values in rows.items():
        print(f"{label:42} {min(values):7.3f} {statistics.median(values):7.3f} {max(values):7.3f}")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10, help="wakings (10)")
    parser.add_argument("--steps", type=int, default=3, help="steps of load (3), 25 s each")
    parser.add_argument("--save", action="store_true", help="into benchmarks/results/autoscale_live.json")
    options = parser.parse_args()
    with gateway() as running:
        cold, its = from_zero(running, options.n)
        stepped = [step(running, number) for number in range(options.steps)]
    steps = {label: [each[label] for each in stepped] for label in (stepped[0] if stepped else {})}
    table(f"seconds from zero, {options.n} runs", {**cold, **{f"  {label}": values for label, values in its.items()}})
    if steps:
        table(f"seconds after a step, {options.steps} runs", steps)
    held: dict[str, Any] = {
        f"overhead from zero, median (at most {COLD_LIMIT} s)": statistics.median(cold["overhead"]) <= COLD_LIMIT,
        f"step to launch, each (at most {STEP_LIMIT:g} s)": all(
            seconds <= STEP_LIMIT for seconds in steps.get("step to the launch of one more replica", [])
        ),
    }
    for label, fine in held.items():
        print(f"{'holds' if fine else 'DOES NOT HOLD':14} {label}")
    if options.save:
        rounded = {k: [round(v, 4) for v in values] for k, values in {**cold, **its, **steps}.items()}
        save("autoscale_live", {"runs": options.n, "steps": options.steps, "seconds": rounded})
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
