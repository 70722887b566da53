"""Small charts as inline SVG, from columns of figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cli.scaling import show_value
from .html import ACCENT, FAINT, Html, join, tag

__all__ = ["charts", "sparkline"]

_SIZE = (160, 32)
_DOT = 2  # pixels: what is known once only, between gaps, is no line
_SHOWN = (  # column, what it is called, what follows its figure
    ("calls_per_second", "calls", "/s"),
    ("latency_p95", "latency p95", ""),
    ("errors_per_second", "errors", "/s"),
    ("replicas_ready", "replicas ready", ""),
)


def charts(series: Mapping[str, Any] | None) -> Html:
    """Those of a service that tell something; a column of nothing but zeros is told by no chart, except calls."""
    values: Mapping[str, Sequence[float | None]] = (series or {}).get("values", {})
    shown = []
    for name, title, unit in _SHOWN:
        known = [value for value in values.get(name, ()) if value is not None]
        if not known or not (any(known) or name == "calls_per_second"):
            continue
        now = show_value(name, known[-1]) + unit
        label = tag("div", f"{title} {now}", style=f"font-size:smaller;color:{FAINT}")
        picture = sparkline(values[name], f"{title}: {now} now, {show_value(name, max(known))}{unit} at most")
        shown.append(tag("div", label, picture, style="display:inline-block;margin:4px 16px 0 0"))
    if series is None or not shown:
        return Html("")
    caption = tag("div", f"the last {_minutes(series)} min", style=f"font-size:smaller;color:{FAINT}")
    return tag("div", *shown, caption)


def _minutes(series: Mapping[str, Any]) -> int:
    times: Sequence[float] = series["times"] or (0.0,)
    return max(1, round((times[-1] - times[0] + float(series["step"])) / 60))


def sparkline(values: Sequence[float | None], title: str) -> Html:
    """Lines with gaps where nothing is known."""
    width, height = _SIZE
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    step = (width - 2 * _DOT) / max(1, len(values) - 1)
    lines: list[list[tuple[str, str]]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            lines[-1].append((f"{_DOT + n * step:.1f}", f"{height - 2 - (height - 4) * value / most:.1f}"))
    drawn = [_line(points) if len(points) > 1 else _dot(*points[0]) for points in lines if points]
    return tag(
        "svg",
        tag("title", title),
        join(drawn),
        role="img",
        aria_label=title,
        width=str(width),
        height=str(height),
        viewBox=f"0 0 {width} {height}",
    )


def _line(points: Sequence[tuple[str, str]]) -> Html:
    joined = " ".join(f"{x},{y}" for x, y in points)
    return tag("polyline", points=joined, fill="none", style=f"stroke:{ACCENT}", stroke_width="1.5")


def _dot(x: str, y: str) -> Html:
    return tag("circle", cx=x, cy=y, r=str(_DOT), style=f"fill:{ACCENT}")
