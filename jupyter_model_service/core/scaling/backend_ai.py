"""Rules as Backend.AI writes them, and what becomes of them.

Form 1: ``metric_source``, ``metric_name``, ``threshold`` with a ``comparator``, a ``step_size`` with a sign,
``cooldown_seconds``, ``min_replicas``, ``max_replicas``. Form 2: ``min_threshold`` and ``max_threshold`` instead of the
threshold, a ``step_size`` of at least 1, and ``time_window``, which is stored as the cooldown there.

A rule that would do something else here than there is refused with the reason. In particular, Backend.AI's own
conversion of an old "below 20, step -1" adds replicas to an idle service; here it takes one away, as it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..document import WRONG, Reader, Wrong
from ..spelling import Path, shown
from .keys import BACKEND_AI_RULE
from .metrics import BACKEND_AI_METRICS, METRICS, PROMETHEUS, REFUSED_METRICS, is_metric

__all__ = ["translate"]

Found = Mapping[str, tuple[Any, Path]]

_KEYS = {key.name: key for key in BACKEND_AI_RULE}
_SAME = {
    "max_threshold": "above",
    "min_threshold": "below",
    "cooldown_seconds": "cooldown",
    "time_window": "cooldown",
    "min_replicas": "min",
    "max_replicas": "max",
}
_SOURCES = ("kernel", "inference_framework", "prometheus")
_ABOVE = ("gt", "ge", ">", ">=", "greater_than", "greater_than_or_equal")
_BELOW = ("lt", "le", "<", "<=", "less_than", "less_than_or_equal")
_EQUAL = ("ge", "le", ">=", "<=", "greater_than_or_equal", "less_than_or_equal")
# What Backend.AI would ask the model server itself, and we measure at the door.
_AT_THE_DOOR = tuple(name for name in METRICS if name not in ("gpu_util", "gpu_memory", "cpu_util", "memory"))


def translate(reader: Reader, found: Found) -> dict[str, tuple[Any, Path]]:
    """Of what was found in one rule the part that is in Backend.AI's words, in ours: the values, read, and where they
    stand. ``WRONG`` for each value that was reported."""
    values = {name: reader.read(key, *found[name]) for name, key in _KEYS.items() if name in found}
    given: list[tuple[str, str, Any]] = []  # our name, theirs, the value
    if "metric_name" in found:
        given.append(("metric", "metric_name", _metric(reader, found, values)))
    elif alone := next((name for name in ("metric_source", "prometheus_query_preset_id") if name in found), None):
        told = reader.error(found[alone][1], "needs a metric_name beside it, which says what the rule looks at")
        given.append(("metric", alone, told))
    side = _side(reader, found, values)
    if isinstance(side, str):
        given.append((side, "threshold", values["threshold"]))
    elif side is WRONG:
        given.append(("above", "threshold" if "threshold" in found else "comparator", WRONG))
    if "step_size" in found:
        given.append(("step", "step_size", _step(reader, found, values["step_size"], side)))
    for theirs, name in _SAME.items():
        if theirs in found:
            value = values[theirs]
            if theirs.endswith("_replicas") and value == -1:
                value = None
            elif theirs == "max_replicas" and value == 0:
                value = reader.error(found[theirs][1], "must be at least 1, or -1 for none, not 0")
            given.append((name, theirs, value))
    ours: dict[str, tuple[Any, Path]] = {}
    for name, theirs, value in given:
        path = found[theirs][1]
        if other := found.get(name) or ours.get(name):
            value = reader.error(path, f"says the same as {other[1][-1]}, which is there too; keep one of them")
        ours[name] = value, path
    return ours


def _metric(reader: Reader, found: Found, values: Mapping[str, Any]) -> str | Wrong:
    name, path = values["metric_name"], found["metric_name"][1]
    source = _source(reader, found, values)
    if not isinstance(name, str) or isinstance(source, Wrong):
        return WRONG
    if source == "prometheus":
        query = PROMETHEUS + name.removeprefix(PROMETHEUS)
        return query if is_metric(query) else reader.error(path, f"is {shown(name)}, which cannot name a query")
    if source == "inference_framework" and name not in _AT_THE_DOOR:
        hint = REFUSED_METRICS.get(name) if name == "requests" else None
        return reader.error(
            path,
            f"is {shown(name)}, which "
            + (hint or "only the model server itself knows; use concurrency, or let the administrator allow a query of "
               "Prometheus for it"),
        )  # fmt: skip
    if name in REFUSED_METRICS:
        return reader.error(path, f"is {shown(name)}, which {REFUSED_METRICS[name]}")
    return BACKEND_AI_METRICS.get(name, name)


def _source(reader: Reader, found: Found, values: Mapping[str, Any]) -> str | Wrong | None:
    source = values.get("metric_source")
    if not isinstance(source, str):
        if "prometheus_query_preset_id" in found:
            return "prometheus"
        return source
    plain = source.lower().replace("-", "_")
    if plain in _SOURCES:
        return plain
    return reader.error(
        found["metric_source"][1],
        f"must be KERNEL, INFERENCE_FRAMEWORK or PROMETHEUS, not {shown(source)}",
    )


def _side(reader: Reader, found: Found, values: Mapping[str, Any]) -> str | Wrong | None:
    """``above`` or ``below``, as the comparator says; ``None`` in the newer form."""
    if "comparator" not in found:
        if "threshold" not in found:
            return None
        return reader.error(found["threshold"][1], "needs a comparator beside it: gt or lt")
    comparator, path = values["comparator"], found["comparator"][1]
    if "threshold" not in found:
        return reader.error(path, "needs a threshold beside it")
    if not isinstance(comparator, str):
        return WRONG
    plain = comparator.lower().replace("-", "_")
    if plain not in (*_ABOVE, *_BELOW):
        why = " (a measured figure hardly ever equals another)" if plain in ("eq", "=", "==", "equal") else ""
        return reader.error(path, f"must be gt, ge, lt or le, not {shown(comparator)}{why}")
    side = "above" if plain in _ABOVE else "below"
    if plain in _EQUAL:
        reader.warning(path, f"becomes {side}: exactly at the threshold the rule does not fire")
    return side


def _step(reader: Reader, found: Found, step: Any, side: str | Wrong | None) -> int | Wrong:
    path = found["step_size"][1]
    if not isinstance(step, int):
        return WRONG
    if step == 0:
        return reader.error(path, "is 0, and the rule would never do anything; write how many replicas at a time")
    if side == "below" and step > 0:
        return reader.error(
            path,
            f"would add replicas while the value is low, which no rule does here; write {-step} to take "
            f"{step} away, or max_threshold or min_threshold instead of the threshold",
        )
    if side == "above" and step < 0:
        return reader.error(path, "would take replicas away while the value is high, which no rule does here")
    if side is None and step < 0:
        return reader.error(
            path, "must be at least 1: a rule adds above max_threshold and takes away below min_threshold"
        )
    return abs(step)
