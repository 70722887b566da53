"""The front beside other proxies: speed, processor time, delays, memory. ``make bench-front``.

Everything on loopback in one run: the load and what answers on one core, the proxies on another, one at work at a time.
``--rows`` and ``--proxies`` choose some, ``--seconds`` and ``--rounds`` how long; what is chosen or shortened is kept
in ``results/front.json`` only with ``--save``. Needs nginx and wrk (``apt-get install nginx haproxy wrk``); a proxy
whose program is not there is left out by name.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import front_load as load
import front_table
import psutil
from front_proxies import STARTS, Entrant, Missing, Place, Proxy, Target, behind_them, on_core, own_cpu, program, start
from front_report import CLOSED, PACED, judged, markdown, notes, put_together
from harness import pss, save

SECONDS, ROUNDS = 3, 2
IDLE = 5000
CALM, CALM_WITHIN = 0.04, 10.0  # of the proxies' core is in use before a row begins; seconds that it is waited for
ROWS = ["idle", *CLOSED, *PACED, "table"]
CONNECTIONS = {"c1": 1, "c32": 32, "c256": 256, "post": 32, "down": 8, "up": 8}
PATHS = {"post": "/post", "down": "/big", "up": "/post"}
BODIES = {"post": 10 << 10, "up": 1 << 20}
TABLES = {"1x4": (1, 4, 1), "1000x10": (1000, 10, 1), "1000x10 all": (1000, 10, 1000)}  # services, replicas, called


class Used:
    """Processor time of the proxy, and of others on its core, between two calls of :meth:`mark`."""

    def __init__(self, proxy: Proxy, core: int) -> None:
        self.processes, self.core = proxy.processes(), core
        self.at: list[tuple[float, float, float]] = []

    def mark(self) -> None:
        self.at.append((time.monotonic(), own_cpu(self.processes), busy(self.core)))

    def figures(self) -> dict[str, float]:
        (begin, cpu, all_cpu), (end, cpu_then, all_cpu_then) = self.at
        own = cpu_then - cpu
        others = max(0.0, all_cpu_then - all_cpu - own) / (end - begin)
        return {"cpu_s": own, "others": others} if self.processes else {"others": others}


def busy(core: int | None = None) -> float:
    """Seconds that a core (or all of them) has worked, interrupts left out."""
    name = "cpu" if core is None else f"cpu{core}"
    fields = next(line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"{name} "))
    return sum(map(int, fields[1:4])) / os.sysconf("SC_CLK_TCK")


def calm(core: int) -> None:
    """Wait until what was asked before is done with: calls that were given up may go on behind a proxy."""
    end = time.monotonic() + CALM_WITHIN
    while time.monotonic() < end:
        before = busy(core)
        time.sleep(0.25)
        if (busy(core) - before) / 0.25 <= CALM:
            return


def measure(row: str, proxy: Proxy, place: Place, seconds: int) -> dict[str, Any]:
    calm(place.proxy)
    used = Used(proxy, place.proxy)
    if row in ("sse", "ws"):
        found = load.streams(proxy.streams, count=200, seconds=seconds, sockets=row == "ws", mark=used.mark)
    elif row == "open":
        used.mark()
        found = load.open_loop(proxy.calls, "/json", rate=500, seconds=seconds)
        used.mark()
    else:
        used.mark()
        found = load.wrk(
            place.folder,
            proxy.calls,
            connections=CONNECTIONS[row],
            seconds=seconds,
            body=BODIES.get(row, 0),
            paths=[PATHS.get(row, "/json")],
        )
        used.mark()
    return per_cpu(found | used.figures())


def memory(proxy: Proxy, count: int) -> dict[str, float]:
    """What so many idle connections cost the proxy's processes, after as many calls as warm it."""
    for connection in load.idle(proxy.calls, "/json", 50):
        connection.close()
    time.sleep(0.5)
    before = sum(pss(process) for process in proxy.processes())
    connections = load.idle(proxy.calls, "/json", count)
    time.sleep(1.0)
    after = sum(pss(process) for process in proxy.processes())
    for connection in connections:
        connection.close()
    time.sleep(1.0)
    return {"kb_each": (after - before) * 1000 / count, "before_mb": before, "after_mb": after}


@contextmanager
def alone(place: Place, services: int, replicas: int) -> Iterator[Proxy]:
    """The front without a gateway, with so much in its table."""
    command = [sys.executable, front_table.__file__, "--services", str(services), "--replicas", str(replicas)]
    with on_core(place.proxy):
        process = subprocess.Popen([*command, "--behind", str(place.answers)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        target = Target(port, "", f"Authorization: Bearer {front_table.TOKEN}")
        yield Proxy("front", "", target, target, lambda: [psutil.Process(process.pid)])
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def through_table(place: Place, seconds: int, services: int, replicas: int, called: int) -> dict[str, Any]:
    paths = [f"/endpoints/o/s{number}/json" for number in range(called)]
    with alone(place, services, replicas) as proxy:
        # Where all are called, most of the 10,000 have been once: their first heads are not what is measured. Their
        # connections are: at fewer than 2,500 calls a second, one has been idle for ``pool_idle`` when its turn comes.
        load.wrk(place.folder, proxy.calls, connections=32, seconds=8 if called > 1 else 2, paths=paths)
        calm(place.proxy)
        used = Used(proxy, place.proxy)
        before = load.accepted(place.answers)
        used.mark()
        found = load.wrk(place.folder, proxy.calls, connections=32, seconds=seconds, paths=paths)
        used.mark()
        opened = load.accepted(place.answers) - before - 1  # the second look's own
    return per_cpu(found | used.figures() | {"opened": opened})


def per_cpu(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"calls_per_cpu_s": found["calls"] / found["cpu_s"]} if found.get("cpu_s") else found


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def quietly(row: str, proxy: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """No collection of our own garbage in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        found = work()
    finally:
        gc.enable()
    shown = {key: round(value, 3) for key, value in found.items() if key not in ("seconds", "asked")}
    say(f"{row:6} {proxy:9}", " ".join(f"{key}={value:g}" for key, value in shown.items()))
    return found


def compare(
    place: Place, entrants: dict[str, Entrant], rows: list[str], seconds: int, rounds: int, count: int
) -> dict[str, Any]:
    """Row after row, each through one proxy after the other, so that a machine that drifts drifts for all."""
    found: dict[str, dict[str, Any]] = {}
    if "idle" in rows:  # first: what a busy hour leaves free would hide what connections take
        found["idle"] = {}
        for key, entrant in entrants.items():
            if key != "direct":
                with entrant.turn() as proxy:
                    found["idle"][key] = quietly("idle", key, partial(memory, proxy, count))
    warm = partial(load.wrk, place.folder, connections=32, seconds=1, paths=["/json"])
    if set(rows) - {"idle", "table"}:
        for entrant in entrants.values():
            if not entrant.anew:
                with entrant.turn() as proxy:
                    warm(proxy.calls)
    taken: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for row in [row for row in rows if row in CLOSED or row in PACED]:
            for key, entrant in entrants.items():
                with entrant.turn() as proxy:
                    if entrant.anew:
                        warm(proxy.calls)
                    work = partial(measure, row, proxy, place, seconds)
                    taken.setdefault((row, key), []).append(quietly(row, key, work))
        for key, (services, replicas, called) in TABLES.items() if "table" in rows else ():
            work = partial(through_table, place, seconds, services, replicas, called)
            taken.setdefault(("table", key), []).append(quietly("table", key, work))
    for (row, key), each in taken.items():
        found.setdefault(row, {})[key] = put_together(each)
    return found


def run(given: argparse.Namespace) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("Two cores are needed: one for the proxies, one for the load and what answers.")
    near, proxy = cores[0], cores[-1]
    for name in ("nginx", "wrk"):
        try:
            program(name)
        except Missing as missing_one:
            raise SystemExit(f"Nothing can be measured: {missing_one}.") from None
    load.allow_descriptors()
    before = busy()
    time.sleep(2)
    busy_before = (busy() - before) / 2
    os.sched_setaffinity(0, {near})
    with TemporaryDirectory(prefix="front-") as folder, ExitStack() as stack:
        place = stack.enter_context(behind_them(Path(folder), near, proxy))
        say("starting", ", ".join(given.proxies))
        entrants, missing = start(stack, place, given.proxies)
        for why in missing.values():
            say(f"Left out: {why}.")
        rows = compare(place, entrants, given.rows, given.seconds, given.rounds, given.idle)
    return {
        "seconds": given.seconds,
        "rounds": given.rounds,
        "idle": given.idle,
        "versions": {key: entrant.version for key, entrant in entrants.items() if entrant.version},
        "missing": missing,
        "notes": notes(rows, busy_before),
        "targets": judged(rows),
        "rows": {
            row: {key: {k: round(v, 4) for k, v in f.items()} for key, f in each.items()} for row, each in rows.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--proxies", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of one row through one proxy, in one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--idle", type=int, default=IDLE, help="connections of the row of that name")
    parser.add_argument("--save", action="store_true", help="keep the figures of a part, too")
    given = parser.parse_args()
    began = time.monotonic()
    results = run(given)
    print(markdown(results))
    whole = all(
        getattr(given, key) == parser.get_default(key) for key in ("rows", "proxies", "seconds", "rounds", "idle")
    )
    if whole or given.save:
        save("front", results)
    say(f"{time.monotonic() - began:.0f} s;", "kept in results/front.json" if whole or given.save else "nothing kept")
    missed = [each["what"] for each in results["targets"] if not each["met"]]
    if missed:
        say("Not met:", json.dumps(missed, ensure_ascii=False))
    raise SystemExit(1 if missed and whole else 0)


if __name__ == "__main__":
    main()
