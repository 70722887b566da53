"""Platform overhead: from ``create --detach`` to the first 200 through the endpoint, less the model's own start.

The model is ``benchmarks/models/noop`` (FastAPI under uvicorn). By hand: exec of uvicorn until its first 200, asked
every 5 ms. Through us: exec of the command line until a call, sent at once and held by the front, comes back.
The two alternate, so that a machine that drifts drifts for both.

``--hub``: the same on a JupyterHub, beside ``docker run`` (``hub_startup.py``; ``make hub-images`` first).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

from harness import NOOP, Caller, Gateway, answers, by_hand, free_port, gateway, save, wait


def manual() -> float:
    port = free_port()
    began = time.perf_counter()
    with by_hand(port):
        wait(lambda: answers(port))
        return time.perf_counter() - began


def through_us(gateway: Gateway, name: str) -> tuple[float, float]:
    """Seconds to the first 200, and of these the command line's own."""
    client = gateway.client()
    url = urlsplit(client.url)
    owner = client.info().owner
    began = time.perf_counter()
    command = [sys.executable, "-m", "jupyter_model_service.cli", "create", str(NOOP), "-n", name, "--detach"]
    subprocess.run(command, env=gateway.environment, check=True, stdout=subprocess.DEVNULL)
    created = time.perf_counter() - began

    async def first() -> None:
        caller = Caller(url.port or 80, f"/endpoints/{owner}/{name}", client.token)
        status, _ = await caller.call("POST", "/noop")
        assert status == 200, status
        caller.close()

    asyncio.run(first())
    took = time.perf_counter() - began
    client.delete(name)
    return took, created


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, help="runs of each (10; 5 with --hub)")
    parser.add_argument("--hub", action="store_true", help="on a JupyterHub")
    options = parser.parse_args()
    if options.hub:
        from hub_startup import measure

        sys.exit(measure(options.n or 5))
    runs = options.n or 10
    hand, ours, command = [], [], []
    with gateway() as running:
        through_us(running, "warm")
        manual()
        for number in range(runs):
            hand.append(manual())
            took, created = through_us(running, f"run-{number}")
            ours.append(took)
            command.append(created)
    overhead = [b - a for a, b in zip(hand, ours, strict=True)]
    rows = {
        "by hand": hand,
        "create --detach to first 200": ours,
        "of it the command line": command,
        "overhead": overhead,
    }
    print(f"{'seconds, ' + str(runs) + ' runs':32} {'min':>7} {'median':>7} {'max':>7}")
    for name, values in rows.items():
        print(f"{name:32} {min(values):7.3f} {statistics.median(values):7.3f} {max(values):7.3f}")
    save("startup", {"runs": runs, "seconds": {k: sorted(round(v, 4) for v in values) for k, values in rows.items()}})


if __name__ == "__main__":
    main()
