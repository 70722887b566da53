"""Ten minutes of mixed load on a real gateway with real replicas, while these are killed, hung, made to answer 503,
scaled, updated and drained every few seconds: ``make soak`` (``SOAK_ARGS="--seconds 60"`` for less).

Prints what was called and done, each failure with its time and kind and whether it counts, and figures of the gateway's
process before and after. Exit status 1 where a call failed that must not, or something was left behind; 0 otherwise.
``tests/e2e/test_mixed_load.py`` is its one-minute form. Needs about 400 MB and both cores; ends all that it starts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from harness import HERE, Gateway, machine, wait
from mixed_callers import Callers
from mixed_tally import Tally
from mixed_trouble import FEWEST, Troublemaker
from mixed_watch import OF_CALLS, POOLS

from jupyter_model_service.client import Client

MODEL = HERE / "models" / "mixed"
CALLERS = {
    "json": 14,
    "pipelined": 3,
    "events": 8,
    "upload": 3,
    "websocket": 5,
    "slow_reader": 3,
    "aborting": 5,
}
WARM = 4.0  # seconds of the same load, undisturbed, before the first look
REST = 1.0  # second after the last call, before the first look at what is left
LOOKS = 10
MORE_MB = 24.0  # of memory after the load: what was learnt of services and replicas that came and went
MORE = {"descriptors": 6, "tasks": 4, "threads": 1}  # than before, by chance of the moment


class Watched(Gateway):
    """A gateway that tells figures of its inside (``mixed_watch.py``)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.figures_file = folder / "figures.json"
        self.log = folder / "gateway.log"

    def start(self) -> None:
        with open(self.log, "ab") as log:
            command = [sys.executable, str(HERE / "mixed_watch.py"), str(self.figures_file), "--keep"]
            self.process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def figures(self) -> dict[str, Any]:
        assert self.process is not None
        self.figures_file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        wait(self.figures_file.exists, 30, 0.02)
        said: dict[str, Any] = json.loads(self.figures_file.read_text())
        return said

    def at_rest(self, seconds: float = 15.0) -> dict[str, Any]:
        """The least of several looks, once nothing of any call is left, or so many seconds later: what only comes and
        goes, such as the tasks of health checks, is not left behind."""
        end = time.monotonic() + seconds
        said = self.figures()
        while any(said[kind] for kind in OF_CALLS) and time.monotonic() < end:
            time.sleep(0.5)
            said = self.figures()
        for _ in range(LOOKS):
            time.sleep(0.2)
            again = self.figures()
            said = {name: min(value, again[name]) for name, value in said.items()}
        return said

    def left(self) -> list[psutil.Process]:
        """Processes of its replicas that live."""
        found = []
        for process in psutil.process_iter():
            try:
                told = " ".join([*process.cmdline(), *process.environ().values()])
                dead = process.status() == psutil.STATUS_ZOMBIE
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if str(self.data_dir) in told and not dead and (self.process is None or process.pid != self.process.pid):
                found.append(process)
        return found


@contextmanager
def watched(folder: Path, problems: list[str]) -> Iterator[Watched]:
    """Ended in the end, whatever happened; what it left is a problem, and ended, too."""
    gateway = Watched(folder)
    gateway.start()
    try:
        yield gateway
    finally:
        process = gateway.process
        try:
            gateway.stop()
        except (subprocess.TimeoutExpired, OSError) as error:
            problems.append(f"the gateway did not end: {error!r}")
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        for left in gateway.left():
            problems.append(f"left behind: {left}")
            left.kill()


@dataclass
class Report:
    seconds: float
    tally: Tally
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    deeds: dict[str, int] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    log: str = ""

    def judge(self) -> list[str]:
        """Everything that must not be: empty if all is well."""
        found = [*self.problems, *(f"a call failed: {each.kind}: {each.detail}" for each in self.tally.failed())]
        found += [f"{name} still has {count} in flight" for name, count in self.in_flight.items() if count]
        found += [f"{name} is {value:g} when nobody calls" for name, value in self.metrics.items() if value]
        found += [f"no call of the kind {kind} was whole" for kind in _whole_kinds() if not self.tally.whole[kind]]
        if not self.after:
            return [*found, "no figures of the gateway"]
        for kind in OF_CALLS:
            if self.after[kind]:
                found.append(f"{self.after[kind]} objects of {kind} live when nobody calls")
        for name, more in MORE.items():
            if self.after[name] > self.before[name] + more:
                found.append(f"{name}: {self.before[name]} before, {self.after[name]} after")
        if self.after["workers"] > (most := sum(POOLS.values())):
            found.append(f"{self.after['workers']} threads of pools that have {most} at most")
        if self.after["rss_mb"] > self.before["rss_mb"] + MORE_MB:
            found.append(f"memory: {self.before['rss_mb']} MB before, {self.after['rss_mb']} MB after")
        if "Traceback" in self.log or "ERROR" in self.log:
            found.append("the gateway's log has an error")
        return found

    def text(self) -> str:
        tally = self.tally
        lines = [f"{self.seconds:g} s of load; {json.dumps(machine())}"]
        for kind in sorted({*tally.whole, *tally.slowest}):
            slowest = tally.slowest.get(kind, 0)
            lines.append(f"  {kind:12} {tally.whole[kind]:7} whole and right, slowest turn {slowest:.1f} s")
        lines.append(f"  {'aborting':12} {tally.aborted:7} left")
        own = tally.of_the_model
        lines.append(
            f"  503s of the model's own: {sum(own.values())}, of one replica at most {max(own.values(), default=0)}"
        )
        lines.append(f"  answers of {len(tally.processes)} processes, {len(tally.versions)} revisions")
        lines.append("done: " + ", ".join(f"{count} × {deed}" for deed, count in self.deeds.items()))
        lines += [f"given up by the engine: {message}" for message in self.given_up]
        lines.append("failures:" if tally.failures else "failures: none")
        lines += [f"  {line}" for line in tally.told()]
        lines.append("the gateway's process, without calls:      before     after")
        for name in self.after:
            lines.append(f"  {name:36} {self.before[name]:>10} {self.after[name]:>9}")
        lines.append(f"in flight at the end: {sum(self.in_flight.values())} ({', '.join(self.in_flight)})")
        found = self.judge()
        lines += ["NOT WELL:", *(f"  {each}" for each in found)] if found else ["all is well"]
        return "\n".join(lines)


def _whole_kinds() -> list[str]:
    return [kind.replace("_", " ") for kind in CALLERS if kind != "aborting"]


async def _load(gateway: Watched, client: Client, report: Report, every: float) -> None:
    endpoint = client.wait_ready("mixed", timeout=90).endpoint
    token = client.generate_token("mixed", token_name="load").token
    counts = {kind.replace("_", " "): count for kind, count in CALLERS.items()}
    warm = Tally()
    async with Callers(endpoint, token, warm, **counts):
        await asyncio.sleep(WARM)
    trouble = Troublemaker(client, "mixed", report.tally, every=every)
    await trouble.at_rest(FEWEST)
    await asyncio.to_thread(_gauges, client)
    await asyncio.sleep(REST)
    report.before = await asyncio.to_thread(gateway.at_rest)
    report.problems += [f"before anything was done: {line}" for line in warm.told()]
    report.tally.began = time.monotonic()
    async with Callers(endpoint, token, report.tally, **counts):
        await trouble.go_on(report.seconds)
    report.in_flight = await trouble.at_rest(FEWEST)
    await trouble.hear()
    report.deeds = dict(trouble.done)
    report.problems += trouble.problems
    report.given_up = trouble.given_up
    report.metrics = await asyncio.to_thread(_gauges, client)
    await asyncio.sleep(REST)
    report.after = await asyncio.to_thread(gateway.at_rest)


def _gauges(client: Client) -> dict[str, float]:
    """What is in flight and in the queue, by the metrics."""
    asked = urllib.request.Request(f"{client.url}metrics", headers={"Authorization": f"Bearer {client.token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        text = answer.read().decode()
    names = ("model_service_requests_in_flight", "model_service_queue_length")
    lines = [line for line in text.splitlines() if line.startswith(names)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def run(seconds: float, *, every: float = 3.0) -> Report:
    """The whole of it, in a folder of its own."""
    report = Report(seconds, Tally())
    with tempfile.TemporaryDirectory() as folder:
        with watched(Path(folder), report.problems) as gateway:
            _run(gateway, report, every)
        report.log = gateway.log.read_text(errors="replace")
    return report


def _run(gateway: Watched, report: Report, every: float) -> None:
    with gateway.client() as client:
        client.create(str(MODEL), name="mixed", replicas=FEWEST)
        try:
            asyncio.run(asyncio.wait_for(_load(gateway, client, report, every), report.seconds + 240))
        except (asyncio.TimeoutError, Exception) as error:
            report.problems.append(f"the load did not come to its end: {error!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two deeds")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in a script's background, too
    report = run(options.seconds, every=options.every)
    print(report.text())
    if report.judge():
        print("--- the gateway's log:", report.log[-6000:], sep="\n")
    return 1 if report.judge() else 0


if __name__ == "__main__":
    sys.exit(main())
