"""Writes the figures of ``benchmarks/results/`` into the tables of ``docs/performance.md``."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from front_report import markdown

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"


def table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *[[str(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def startup(figures: dict[str, Any]) -> str:
    rows: list[list[object]] = [
        [name, f"{min(v):.2f}", f"{statistics.median(v):.2f}", f"{max(v):.2f}"]
        for name, v in figures["seconds"].items()
    ]
    return table([f"seconds, {figures['runs']} runs", "min", "median", "max"], rows)


def startup_hub(figures: dict[str, Any]) -> str:
    """Rows that are parts of the row above begin with spaces, which a table would swallow."""
    what = ("overhead", "beyond docker run")  # what all of it is measured for
    rows: list[list[object]] = [
        [
            name.replace("  ", "&nbsp;&nbsp;") if name not in what else f"**{name}**",
            f"{min(v):.2f}",
            f"{statistics.median(v):.2f}",
            f"{max(v):.2f}",
        ]
        for name, v in figures["seconds"].items()
    ]
    return table([f"seconds, {figures['runs']} runs", "min", "median", "max"], rows)


def cold_hub(figures: dict[str, Any]) -> str:
    return startup_hub(figures)


def memory(figures: dict[str, Any]) -> str:
    runners = figures["runners_pss_mb"]
    return table(
        ["ours", "PSS MB"],
        [
            ["gateway", figures["gateway_pss_mb"]],
            ["2 runners", round(sum(runners), 1)],
            ["**beyond the models**", f"**{figures['beyond_models_pss_mb']}**"],
            ["2 models (uvicorn + FastAPI), which are the model's own", round(sum(figures["models_pss_mb"]), 1)],
            [
                "whole stack, as the peers below",
                round(figures["beyond_models_pss_mb"] + sum(figures["models_pss_mb"]), 1),
            ],
            ["CPU of gateway and runners while idle, cores", figures["idle_cpu_cores"]],
        ],
    )


def start(figures: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for name, key in (("own first 200", "own_first_200_s"), ("endpoint's first 200", "endpoint_first_200_s")):
        values = figures[key]
        rows.append([name, f"{min(values):.2f}", f"{statistics.median(values):.2f}", f"{max(values):.2f}"])
    return table(["ours, seconds", "min", "median", "max"], rows)


def failover(figures: dict[str, Any]) -> str:
    own = figures["model_own_start_s"]
    rows = [
        [
            name,
            f"{f['calls']:,}",
            f["failed"],
            f"{f['new_process_s']} s",
            f"{f['new_replica_answers_s']} s ({own} s its own start)",
        ]
        for name, f in figures.items()
        if isinstance(f, dict) and "calls" in f
    ]
    return table(["ours", "calls", "failed", "new process after", "new replica answers after"], rows)


def stream(figures: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for count in (1, 20):
        direct, ours, added = (figures[f"{kind}, {count}"] for kind in ("direct", "ours", "added"))
        rows.append(
            [
                count,
                *(f"{f['p50_ms']:.2f} / {f['p99_ms']:.2f}" for f in (direct, ours, added)),
                ours["chunks_with_several_events"],
            ]
        )
    return table(["streams", "direct p50 / p99 ms", "ours", "added", "reads with several events"], rows)


def front(page: str, figures: dict[str, Any]) -> str:
    """``page`` with all that the comparison of the front has to say, which is more than one table."""
    begin, end = "<!-- front -->", "<!-- end of front -->"
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{markdown(figures)}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    page = PAGE.read_text()
    for part in (startup, startup_hub, cold_hub, memory, start, failover, stream):
        figures = json.loads((HERE / "results" / f"{part.__name__}.json").read_text())
        mark = f"<!-- {part.__name__} -->"
        before, _, after = page.partition(mark)
        # Only the first table below the mark is ours; what follows (the peers' rows) is kept.
        page = before + mark + "\n\n" + part(figures) + "\n" + re.sub(r"\A\n+(?:\|.*\n)*", "", after, count=1)
    compared = HERE / "results" / "front.json"
    if compared.exists():
        page = front(page, json.loads(compared.read_text()))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
