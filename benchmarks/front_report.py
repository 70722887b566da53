"""What ``front.py`` measured, put together: medians of the rounds, the figures that are asked for, and tables. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]
Rows = Mapping[str, Mapping[str, Figures]]  # row → proxy → figures

NAMES = {
    "direct": "direct",
    "nginx": "nginx (buffering off)",
    "haproxy": "haproxy",
    "chp": "configurable-http-proxy",
    "jsp": "jupyter-server-proxy",
    "ours": "**ours**",
    "ours-chp": "ours behind configurable-http-proxy",
}

#: Rows in which the load is as much as goes, and what they are called.
CLOSED = {
    "c1": "57-byte JSON, 1 connection",
    "c32": "32 connections",
    "c256": "256 connections",
    "post": "10 KB POST, 32",
    "down": "1 MB down, 8",
    "up": "1 MB up, 8",
}
#: Rows in which it is a given one.
PACED = {
    "open": "57-byte JSON, open loop, 500/s",
    "sse": "200 streams of 10 events/s",
    "ws": "200 WebSockets, 10 echoes/s each",
}
TABLE = {
    "1x4": "1 service × 4 replicas",
    "1000x10": "1,000 × 10, one called",
    "1000x10 all": "1,000 × 10, all called in turn",
}
COLD = (
    "The row in which all are called is shown, and not judged: what is asked for is that a large table costs a call "
    "nothing, and this row is about cold connections. Its calls go to 10,000 replicas in turn, so that most of them "
    "open one, and find nothing remembered of what their replica said last."
)
ENOUGH = 1.5  # times the fastest proxy's calls that must go without any, for the load not to be what limits it
QUIET = 0.05  # of the proxies' core, used by others, beyond which a run is no measurement
MEGABYTES = ("down", "up")  # rows of which MB are told, as one call has one


def put_together(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure; those of processor time anew from their sums, as one round has few ticks of it."""
    keys = {key for figures in rounds for key in figures}
    found = {key: statistics.median(each[key] for each in rounds if key in each) for key in sorted(keys)}
    cpu = sum(each.get("cpu_s", 0.0) for each in rounds)
    if cpu > 0:
        found["calls_per_cpu_s"] = sum(each["calls"] for each in rounds) / cpu
    found["failed"] = sum(each.get("failed", 0) for each in rounds)
    return found


def notes(rows: Rows, busy_before: float) -> list[str]:
    """What must be known of a run before its figures are believed."""
    found = []
    for row, name in CLOSED.items():
        each = rows.get(row, {})
        rates = {proxy: figures["calls_per_s"] for proxy, figures in each.items() if proxy != "direct"}
        if "direct" in each and rates:
            fastest = max(rates, key=rates.__getitem__)
            ratio = each["direct"]["calls_per_s"] / rates[fastest]
            if ratio < ENOUGH:
                found.append(
                    f"{name}: the generator was the limit (direct is {ratio:.2f} × {fastest}, the fastest proxy; "
                    f"{ENOUGH:g} × is enough). Calls per second say little there, calls per CPU-second do."
                )
    for row, name in PACED.items():
        for proxy, figures in rows.get(row, {}).items():
            if figures["calls"] < 0.98 * figures["asked"]:
                share = figures["calls"] / figures["asked"]
                found.append(f"{name}: {proxy} passed on {share:.0%} of what was asked of it.")
    for row, proxies in rows.items():
        for proxy, figures in proxies.items():
            if figures.get("failed"):
                found.append(f"{row}: {figures['failed']:.0f} calls through {proxy} failed.")
    others = max((f.get("others", 0.0) for proxies in rows.values() for f in proxies.values()), default=0.0)
    if others > QUIET or busy_before > 2 * QUIET:
        found.append(
            f"Others were at work: {busy_before:.2f} cores just before, up to {others:.2f} of the proxies' core during "
            "a row. These figures are not to be kept."
        )
    return found


# --- what is asked for ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """``value`` of the rows, ``KeyError`` where one is not there; ``least`` is what must be, ``aim`` what should.

    ``lower``: less is better.
    """

    what: str
    value: Callable[[Rows], float]
    least: float
    aim: float | None = None
    lower: bool = False
    unit: str = "×"

    def met(self, value: float) -> bool:
        return value <= self.least if self.lower else value >= self.least


def _ratio(row: str, key: str, other: str) -> Callable[[Rows], float]:
    return lambda rows: rows[row]["ours"][key] / rows[row][other][key]


def _added(row: str, key: str, proxy: str = "ours") -> Callable[[Rows], float]:
    return lambda rows: rows[row][proxy][key] - rows[row]["direct"][key]


def _added_of_nginx(rows: Rows) -> float:
    return _added("c1", "p50_ms")(rows) / _added("c1", "p50_ms", "nginx")(rows)


def _of_small_table(called: str) -> Callable[[Rows], float]:
    return lambda rows: rows["table"][called]["calls_per_s"] / rows["table"]["1x4"]["calls_per_s"]


AIMS = (
    Aim("calls per CPU-second at 32 connections, of nginx's", _ratio("c32", "calls_per_cpu_s", "nginx"), 0.4, 0.7),
    Aim("calls/s at 32 connections, of configurable-http-proxy's", _ratio("c32", "calls_per_s", "chp"), 5, 9),
    Aim("… of jupyter-server-proxy's", _ratio("c32", "calls_per_s", "jsp"), 30),
    Aim("added latency at 1 connection over direct, of nginx's", _added_of_nginx, 2.5, 1.3, lower=True),
    Aim("open loop at 500/s: added p50", _added("open", "p50_ms"), 1, 0.3, lower=True, unit="ms"),
    Aim("open loop at 500/s: added p99", _added("open", "p99_ms"), 5, 2, lower=True, unit="ms"),
    Aim("1 MB down, of nginx's bytes per CPU-second", _ratio("down", "calls_per_cpu_s", "nginx"), 0.5, 0.9),
    Aim("1 MB up, of nginx's bytes per CPU-second", _ratio("up", "calls_per_cpu_s", "nginx"), 0.5, 0.9),
    Aim("SSE: delay added per event over direct, median", _added("sse", "p50_ms"), 1, lower=True, unit="ms"),
    Aim("SSE: delay added per event over direct, p99", _added("sse", "p99_ms"), 5, lower=True, unit="ms"),
    Aim("calls/s with 1,000 services × 10 replicas, of the 1 × 4 figure", _of_small_table("1000x10"), 0.9),
    Aim("memory per idle connection", lambda rows: rows["idle"]["ours"]["kb_each"], 4, lower=True, unit="KB"),
)


def judged(rows: Rows) -> list[dict[str, Any]]:
    found = []
    for aim in AIMS:
        try:
            value = aim.value(rows)
        except (KeyError, ZeroDivisionError):
            continue
        found.append(
            {
                "what": aim.what,
                "value": round(value, 3),
                "unit": aim.unit,
                "at_least": aim.least,
                "aim": aim.aim,
                "lower_is_better": aim.lower,
                "met": aim.met(value),
            }
        )
    return found


# --- tables ---------------------------------------------------------------------------------------------------


def number(value: float | None, digits: int = 2) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.{digits}f}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def _matrix(rows: Rows, shown: Mapping[str, str], cell: Callable[[str, Figures], str]) -> str:
    there = {row: name for row, name in shown.items() if rows.get(row)}
    if not there:
        return ""
    lines = [
        [NAMES.get(proxy, proxy), *(cell(row, rows[row][proxy]) if proxy in rows[row] else "–" for row in there)]
        for proxy in NAMES
        if any(proxy in rows[row] for row in there)
    ]
    return table(["", *there.values()], lines)


def _rate(row: str, figures: Figures) -> str:
    unit = " MB" if row in MEGABYTES else ""
    per_cpu = figures.get("calls_per_cpu_s")
    beside = f" ({number(per_cpu)}{unit})" if per_cpu else ""
    return f"{number(figures['calls_per_s'])}{unit}{beside}"


def _times(_row: str, figures: Figures) -> str:
    return f"{number(figures.get('p50_ms'))} / {number(figures.get('p99_ms'))}"


def _paced(row: str, figures: Figures) -> str:
    per_cpu = figures.get("calls_per_cpu_s")
    return f"{_times(row, figures)}" + (f" ({number(per_cpu)})" if per_cpu else "")


def _tables(each: Mapping[str, Figures]) -> str:
    lines = [[TABLE[key], _rate(key, f), _opened(f), _times(key, f)] for key, f in each.items()]
    head = ["in the routing table", "calls/s (per CPU-second)", "of 100 calls opened a connection", "p50 / p99 ms"]
    return table(head, lines)


def _opened(figures: Figures) -> str:
    if "opened" not in figures or not figures["calls"]:
        return number(None)
    return f"{100 * figures['opened'] / figures['calls']:.0f}"


def _aims(found: Sequence[Mapping[str, Any]]) -> str:
    def said(each: Mapping[str, Any], key: str) -> str:
        if each[key] is None:
            return ""
        return f"{'≤ ' if each['lower_is_better'] else ''}{each[key]:g} {each['unit']}"

    lines = [
        [each["what"], f"**{each['value']:.2f} {each['unit']}**", said(each, "at_least"), said(each, "aim"),
         "yes" if each["met"] else "**no**"]
        for each in found
    ]  # fmt: skip
    return table(["what", "measured", "at least", "aim", "met"], lines)


def markdown(results: Mapping[str, Any]) -> str:
    """All of a run, for people; ``results`` is what ``front.json`` holds."""
    rows: Rows = results["rows"]
    parts: list[str] = []
    if results["targets"]:
        parts.append(_aims(results["targets"]))
    for title, text in (
        (
            "Calls per second, and in brackets calls per CPU-second of the proxy's own processes.",
            _matrix(rows, CLOSED, _rate),
        ),
        ("Latency, p50 / p99 in ms.", _matrix(rows, CLOSED, _times)),
        (
            "Given loads: p50 / p99 in ms, and in brackets calls, events or echoes per CPU-second.",
            _matrix(rows, PACED, _paced),
        ),
    ):
        if text:
            parts += [title, text]
    if rows.get("table"):
        parts += ["The front alone, 32 connections.", _tables(rows["table"])]
        if "1000x10 all" in rows["table"]:
            parts.append(COLD)
    if rows.get("idle"):
        lines = [[NAMES[key], f"{f['kb_each']:.1f}"] for key, f in rows["idle"].items()]
        parts += [f"Memory, {results['idle']:,} idle connections after a call each.", table(["", "KB each"], lines)]
    said = [f"* {note}" for note in results["notes"]] + [f"* Left out: {why}." for why in results["missing"].values()]
    if said:
        parts.append("\n".join(said))
    return "\n\n".join(parts) + "\n"
