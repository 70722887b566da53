"""Replays calls against the autoscaler's decision and against the rules of its peers.

    python benchmarks/autoscale.py step --start-up 45
    python benchmarks/autoscale.py --trace calls.csv --speed 4 --start-up 45 --most 40 --json
    python benchmarks/autoscale.py --check --trace calls.csv    # the figures that are asked for; exit status 1: not met
    python benchmarks/autoscale.py --cost                       # of a decision, and of the gateway's tick
    python benchmarks/autoscale.py --curve --trace calls.csv    # what its constants trade

Waiting, rejected calls, replica-seconds, changes of direction, the first reaction and the peak of each rule, as the
mean over the seeds. ``of all``: rejected calls counted as ones that wait for ever. The peers are their published rules
written anew (``autoscale_rules.py``), not the products.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import autoscale_figures
import autoscale_rules
from autoscale_load import SHAPES, shape, trace
from autoscale_world import Outcome, Setting

COLUMNS = ("wait p50", "wait p95", "wait max", "p95 of all", "rejected", "replica-s", "reversals", "first", "peak")


def row(outcomes: list[Outcome]) -> dict[str, float | None]:
    firsts = [outcome.first for outcome in outcomes if outcome.first is not None]
    figures: dict[str, float | None] = {
        "wait p50": fmean(outcome.wait(0.5) for outcome in outcomes),
        "wait p95": fmean(outcome.wait(0.95) for outcome in outcomes),
        "wait max": fmean(outcome.wait(1.0) for outcome in outcomes),
        "p95 of all": fmean(outcome.wait_of_all(0.95) for outcome in outcomes),
        "rejected": fmean(outcome.rejected for outcome in outcomes),
        "replica-s": fmean(outcome.replica_seconds for outcome in outcomes),
        "reversals": fmean(outcome.reversals() for outcome in outcomes),
        "first": fmean(firsts) if firsts else None,
        "peak": fmean(outcome.peak for outcome in outcomes),
    }
    return {name: None if value == float("inf") else value for name, value in figures.items()}


def cell(column: str, value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:,.0f}" if column in ("replica-s", "rejected") else f"{value:.1f}"


def table(rows: dict[str, dict[str, float | None]]) -> str:
    lines = [["rule", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    lines += [[name, *[cell(column, figures[column]) for column in COLUMNS]] for name, figures in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", nargs="?", choices=SHAPES, default="step")
    parser.add_argument("--trace", type=Path, help="a file to replay: TIMESTAMP,ContextTokens,GeneratedTokens")
    parser.add_argument("--speed", type=float, default=1.0, help="of the trace")
    parser.add_argument("--low", type=float, default=2.0, help="calls per second")
    parser.add_argument("--high", type=float, default=16.0)
    parser.add_argument("--seconds", type=float, default=600.0, help="of the step, or of the whole of another shape")
    parser.add_argument("--mean", type=float, default=1.0, help="seconds that a call takes")
    parser.add_argument("--service", choices=("fixed", "exp", "heavy"), default="exp")
    parser.add_argument("--start-up", type=float, default=20.0)
    parser.add_argument("--cap", type=int, default=4)
    parser.add_argument("--target", type=float, help="calls at once per replica; 70 %% of the cap")
    parser.add_argument("--queue", type=int, default=400)
    parser.add_argument("--least", type=int, default=1)
    parser.add_argument("--most", type=int, default=12)
    parser.add_argument("--initial", type=int, default=1)
    parser.add_argument("--cold", action="store_true", help="the first replicas start at the beginning")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--curve", action="store_true")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    if asked.check:
        return autoscale_figures.check(asked.trace, asked.seeds)
    if asked.cost:
        return autoscale_figures.cost()
    if asked.curve:
        return autoscale_figures.curve(asked.trace, asked.seeds)
    target = asked.target or 0.7 * asked.cap
    warm = not asked.cold
    setting = Setting(asked.start_up, asked.cap, asked.queue, asked.least, asked.most, asked.initial, warm, target)
    found: dict[str, list[Outcome]] = {}
    for seed in range(asked.seeds):
        if asked.trace:
            load = trace(asked.trace, speed=asked.speed)
        else:
            load = shape(
                asked.shape,
                low=asked.low,
                high=asked.high,
                seconds=asked.seconds,
                mean=asked.mean,
                kind=asked.service,
                seed=seed,
            )
        for rule in autoscale_rules.all_rules(setting):
            found.setdefault(rule.name, []).append(autoscale_figures.run(load, setting, rule, seed))
    rows: dict[str, Any] = {name: row(outcomes) for name, outcomes in found.items()}
    print(json.dumps(rows, indent=2) if asked.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
