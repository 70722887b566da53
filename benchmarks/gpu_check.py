"""Whether a real GPU drives a real service up and down: ``make gpu-check``, on a machine with an NVIDIA GPU.

A gateway of its own serves ``benchmarks/models/gpu`` (a GPT-NeoX of 1.3 billion parameters in half precision; PyTorch
with CUDA and transformers must be in this environment), with a rule on ``gpu_util``. Nobody calls at first; then
callers keep it busy until a second replica is ready; then they leave, until it is gone. What is printed is what runner,
lease and engine say of the GPU, beside what nvidia-smi says of it at the same moment.

With one GPU the replicas share it, with more each gets its own. Status 0: it went up and down by what the GPU did.
1: it did not, or there is no GPU here; one sentence says which.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from harness import HERE, RESULTS, Gateway, gateway, machine

from jupyter_model_service.adapters.gpus import gpu_ids
from jupyter_model_service.client import Client
from jupyter_model_service.errors import ModelServiceError

NAME = "gpu-check"
RULE = {"metric": "gpu_util", "above": 50, "below": 20, "step": 1, "window": 10, "cooldown": 10, "min": 1, "max": 2}
POLICY = {"min": 1, "max": 2, "target": False, "down_delay": 10}
COLUMNS = ("calls_per_second", "replicas_wanted", "replicas_ready", "gpu_util", "gpu_memory")


class GaveUp(Exception):
    """One sentence about what did not happen."""


def nvidia_smi(columns: str) -> list[list[str]]:
    """A row for each GPU, empty where the program is not there."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={columns}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(done.stdout)) if row]


@dataclass
class Watch:
    """Looks at the service each two seconds, and keeps what it saw."""

    client: Client
    phase: str = "idle"
    began: float = field(default_factory=time.time)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def look(self) -> dict[str, Any]:
        time.sleep(2)
        now = time.time()
        series = self.client.series(NAME, since=now - 20, step=2)
        row: dict[str, Any] = {"seconds": round(now - self.began, 1), "phase": self.phase}
        for name in COLUMNS:
            row[name] = next((value for value in reversed(series.values[name]) if value is not None), None)
        row["nvidia_smi"] = [float(cells[0]) for cells in nvidia_smi("utilization.gpu") if cells[0].isdecimal()]
        self.rows.append(row)
        print(told(row), flush=True)
        return row

    def until(self, there: Callable[[dict[str, Any]], object], what: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not there(row := self.look()):
            if time.monotonic() > deadline:
                raise GaveUp(f"{what}: not within {seconds:g} s. The last decision: {last_reason(self.client)}")
        return row

    def so_long(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()


def told(row: dict[str, Any]) -> str:
    figures = " ".join(f"{'?' if row[name] is None else format(row[name], '.4g'):>{len(name)}}" for name in COLUMNS)
    return f"{row['seconds']:>7} {row['phase']:8} {figures}  {row['nvidia_smi'] or ''}"


def last_reason(client: Client) -> str:
    decisions = client.decisions(NAME, limit=1)
    return decisions[-1].reason if decisions else "none"


class Callers:
    """So many at once, until they are told to leave. ``tokens`` is what one call asks for."""

    def __init__(self, endpoint: str, token: str, count: int) -> None:
        self._http = httpx.Client(
            base_url=endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=120, trust_env=False
        )
        self._leave = threading.Event()
        self.answered = 0
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while not self._leave.is_set():
            try:
                answer = self._http.post("generate", json={"tokens": 128})
                answer.raise_for_status()
                self.answered += 1
            except httpx.HTTPError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                self._leave.wait(1)

    def leave(self) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(130)
        self._http.close()


def check(running: Gateway, model: Path, gpus: int) -> dict[str, Any]:
    client = running.client()
    print(f"starting {model} …", flush=True)
    client.create(model, NAME, gpus=min(gpus, 1) if gpus > 1 else None)
    client.wait_ready(NAME, 900)
    client.autoscale(NAME, **POLICY, rules=[RULE])
    token = client.generate_token(NAME, "gpu-check").token
    endpoint = client.endpoint(NAME)
    about = httpx.get(endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False).json()
    print(f"{'seconds':>7} {'phase':8} {' '.join(COLUMNS)}  nvidia-smi")
    watch = Watch(client)
    watch.until(lambda row: row["gpu_util"] is not None, "a figure of the GPU from its runner", 60)
    watch.so_long(10)
    watch.phase = "busy"
    callers = Callers(endpoint, token, 4)
    pressed = time.monotonic()
    try:
        watch.until(lambda row: row["replicas_wanted"] == 2, "a second replica wanted while the GPU is busy", 120)
        wanted = time.monotonic() - pressed
        watch.until(lambda row: row["replicas_ready"] == 2, "a second replica ready", 900)
        ready = time.monotonic() - pressed
        watch.so_long(20)
    finally:
        callers.leave()
    watch.phase = "left"
    left = time.monotonic()
    watch.until(lambda row: row["replicas_wanted"] == 1, "a replica less when nobody calls", 240)
    down = time.monotonic() - left
    watch.until(lambda row: row["replicas_ready"] == 1, "the second replica gone", 120)
    changes = [each for each in client.decisions(NAME, limit=100) if each.changed]
    client.delete(NAME)
    if not any(
        each.count > each.before and any(value for name, value in each.measured.items() if name.endswith(": gpu_util"))
        for each in changes
    ):
        raise GaveUp(f"the second replica came for another reason: {[each.reason for each in changes]}")
    return {
        "gpus": nvidia_smi("name,driver_version,memory.total"),
        "model": about,
        "rule": RULE,
        "calls": {"answered": callers.answered, "failed": callers.failed[:5]},
        "seconds": {"to wanted": round(wanted, 1), "to ready": round(ready, 1), "to one again": round(down, 1)},
        "decisions": [{"before": d.before, "count": d.count, "reason": d.reason} for d in changes],
        "rows": watch.rows,
    }


def page(found: dict[str, Any]) -> str:
    """The same for people, in Markdown."""
    gpus = "; ".join(", ".join(row) for row in found["gpus"]) or "not told by nvidia-smi"
    lines = [
        "# A real GPU drives a service up and down",
        "",
        "Written by `make gpu-check` (`benchmarks/gpu_check.py`).",
        "",
        f"- On {time.strftime('%Y-%m-%d')}; GPU, driver, memory in MiB: {gpus}",
        f"- Model: `{json.dumps(found['model'])}`; rule: `{json.dumps(found['rule'])}`",
        f"- Calls answered: {found['calls']['answered']}, failed: {len(found['calls']['failed'])}",
        *(f"- Seconds {what}: {seconds}" for what, seconds in found["seconds"].items()),
        "",
        "What was decided:",
        "",
        *(f"- {each['before']} → {each['count']}: {each['reason']}" for each in found["decisions"]),
        "",
        f"| s | | {' | '.join(f'`{name}`' for name in COLUMNS)} | nvidia-smi |",
        "| --- " * (len(COLUMNS) + 3) + "|",
    ]
    for row in found["rows"][:: max(1, len(found["rows"]) // 60)]:
        figures = " | ".join("?" if row[name] is None else format(row[name], ".4g") for name in COLUMNS)
        smi = ", ".join(format(each, "g") for each in row["nvidia_smi"])
        lines.append(f"| {row['seconds']} | {row['phase']} | {figures} | {smi} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE / "models" / "gpu", help="another folder that uses the GPU")
    parser.add_argument("--write", type=Path, help="where the page goes that people read, such as docs/gpu-check.md")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where everything goes that was seen, as JSON")
    options = parser.parse_args()
    gpus = len(gpu_ids())
    if not gpus:
        print("This machine has no NVIDIA GPU that this process may use, or no driver for it: nothing was checked.")
        return 1
    with gateway() as running:
        try:
            found = check(running, options.model.resolve(), gpus)
        except (GaveUp, ModelServiceError) as error:
            print(f"The check failed: {error}")
            return 1
    if options.write is not None:
        options.write.write_text(page(found), encoding="utf-8")
        everything = json.dumps({"machine": machine(), **found}, indent=2)
        (options.results / "gpu-check.json").write_text(everything + "\n")
    for each in found["decisions"]:
        print(f"{each['before']} → {each['count']}: {each['reason']}")
    print("The GPU drove it up and down:", ", ".join(f"{what} {s} s" for what, s in found["seconds"].items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
