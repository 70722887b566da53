"""Replays calls against the autoscaler's decision and against the rules of its peers.

    python benchmarks/autoscale.py step --start-up 45
    python benchmarks/autoscale.py --trace calls.csv --speed 4 --start-up 45 --most 40 --json

Waiting, rejected calls, replica-seconds, changes of direction, the first reaction and the peak of each rule, as the
mean over the seeds. The peers are their published rules written anew (``autoscale_rules.py``), not the products.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import autoscale_rules
from autoscale_load import SHAPES, Load, shape, trace
from autoscale_world import Outcome, Setting, World

COLUMNS = ("wait p50", "wait p95", "wait max", "rejected", "replica-s", "reversals", "first", "peak")


def replay(load: Load, setting: Setting, seed: int, rules: list[str] | None = None) -> list[Outcome]:
    """One run of each rule; ``seed`` says where in its period each rule's first tick comes."""
    outcomes = []
    for rule in autoscale_rules.all_rules(setting):
        if rules is None or rule.name in rules:
            offset = rule.tick * random.Random(f"phase {seed}").random()
            outcomes.append(World(load, setting, rule, offset).run())
    return outcomes


def row(outcomes: list[Outcome]) -> dict[str, float | None]:
    firsts = [outcome.first for outcome in outcomes if outcome.first is not None]
    return {
        "wait p50": fmean(outcome.wait(0.5) for outcome in outcomes),
        "wait p95": fmean(outcome.wait(0.95) for outcome in outcomes),
        "wait max": fmean(outcome.wait(1.0) for outcome in outcomes),
        "rejected": fmean(outcome.rejected for outcome in outcomes),
        "replica-s": fmean(outcome.replica_seconds for outcome in outcomes),
        "reversals": fmean(outcome.reversals() for outcome in outcomes),
        "first": fmean(firsts) if firsts else None,
        "peak": fmean(outcome.peak for outcome in outcomes),
    }


def table(rows: dict[str, dict[str, float | None]]) -> str:
    lines = [["rule", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    for name, figures in rows.items():
        cells = ["–" if (x := figures[column]) is None else f"{x:,.0f}" if column == "replica-s" else f"{x:.1f}" for column in COLUMNS]
        lines.append([name, *cells])
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
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    setting = Setting(
        asked.start_up,
        asked.cap,
        asked.queue,
        asked.least,
        asked.most,
        asked.initial,
        not asked.cold,
        asked.target or 0.7 * asked.cap,
    )
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
        for outcome in replay(load, setting, seed):
            found.setdefault(outcome.rule, []).append(outcome)
    rows: dict[str, Any] = {name: row(outcomes) for name, outcomes in found.items()}
    print(json.dumps(rows, indent=2) if asked.json else table(rows))


if __name__ == "__main__":
    main()
