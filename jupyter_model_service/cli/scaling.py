"""Autoscaling as text for people: the policy, rules, schedules, decisions, and calls over time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import IO, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..client.units import show_duration, show_size, show_span
from ..commands.grammar import PROGRAM
from ..commands.results import AutoscalingResult, DecisionsResult, RulesResult, SchedulesResult
from ..core.scaling.metrics import unit_of
from .text import Paint, clean, columns, named

Json = Mapping[str, Any]

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24  # of a picture, in characters
_UNITS = {"service_time": "seconds"}  # of what is measured besides the metrics of rules
_SHORT = {"percent": " %", "seconds": " s", "share, 0 to 1": " %"}


# --- the policy ------------------------------------------------------------------------------------------


def policy_page(result: AutoscalingResult, paint: Paint) -> str:
    service = result.service
    info, name, counts = service["autoscaling"], service["name"], service["replicas"]
    if info is None:
        name = named(service)
        return (
            f"{name} is not autoscaled: it has the {_replicas(counts['want'])} that it was given.\n"
            f"To have their number follow the calls: {PROGRAM} autoscale {name} --min 1 --max 4"
        )
    facts = [
        ("State", f"{paint.state(service['state'])}, {counts['ready']} of {counts['want']} replicas ready"),
        ("Held", held(service)),
        ("Bounds", _bounds_fact(info)),
        ("Next change", _next_change(info)),
        ("Target", _target_fact(info)),
        ("Fewer", _fewer_fact(info)),
        ("Last", _last_fact(info)),
    ]
    title = paint(f"{service['owner']}/{name}", "bold")
    blocks = [title + "\n" + "\n".join(f"  {label + ':':<14}{value}" for label, value in facts if value)]
    if info["rules"]:
        blocks.append(rule_table(info["rules"], paint))
    if info["schedules"]:
        blocks.append(schedule_table(info["schedules"], paint))
    return "\n\n".join(blocks)


def held(service: Json) -> str:
    """Empty unless somebody scaled an autoscaled service by hand."""
    info = service["autoscaling"]
    if info is None or not info["held"]:
        return ""
    count = _replicas(service["replicas"]["want"])
    return f"at {count}, since it was scaled by hand; go on with: {PROGRAM} autoscale {named(service)} --resume"


def brief(info: Json) -> str:
    """``0-8``: what the count may be now."""
    bounds = info["bounds"] or info
    return f"{bounds['min']}-{bounds['max']}"


def ready_cell(service: Json) -> str:
    """``2/2``, autoscaled ``2/2 (0-8)``, and with a count that is held ``3/3 (held)``."""
    counts, info = service["replicas"], service["autoscaling"]
    told = f"{counts['ready']}/{counts['want']}"
    return told if info is None else f"{told} (held)" if info["held"] else f"{told} ({brief(info)})"


def fact(service: Json) -> str:
    """For the page of a service."""
    info = service["autoscaling"]
    if info is None:
        return ""
    if sentence := held(service):
        return f"held {sentence}"
    return f"{brief(info)} replicas (why so many: {PROGRAM} explain {named(service)})"


def held_line(service: Json) -> str:
    """What a verb leaves behind that scaled by hand."""
    return f"\nHeld {sentence}" if (sentence := held(service)) else ""


def _bounds_fact(info: Json) -> str:
    bounds = info["bounds"]
    if bounds is None:
        return f"{info['min']} to {_replicas(info['max'])}"
    why = [clean(bounds[f"why_{end}"]) for end in ("min", "max") if bounds[f"why_{end}"] != end]
    return f"{bounds['min']} to {_replicas(bounds['max'])}" + (f" ({'; '.join(dict.fromkeys(why))})" if why else "")


def _next_change(info: Json) -> str:
    """In the zones of the schedules, since their owner thinks in them, and how long until then."""
    at = (info["bounds"] or {}).get("changes_at")
    if at is None:
        return ""
    zones = list(dict.fromkeys(schedule["timezone"] for schedule in info["schedules"]))[:2]
    told = " = ".join(f"{_moment_in(at, zone)} {clean(zone)}" for zone in zones or ["UTC"])
    return f"{told}, in {show_duration(at - time.time())}"


def _moment_in(at: float, zone: str) -> str:
    try:
        there = datetime.fromtimestamp(at, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        there = datetime.fromtimestamp(at, timezone.utc)
    return there.strftime("%a %Y-%m-%d %H:%M")


def _target_fact(info: Json) -> str:
    if not info["target"]:
        return "none: only rules and schedules count; --target-concurrency auto has the calls count, too"
    aim = info["aim"] if info["target_concurrency"] is None else info["target_concurrency"]
    told = "calls at once for each replica" if aim is None else f"{aim:g} calls at once for each replica"
    return told if info["target_concurrency"] is not None else f"{told} (auto)"


def _fewer_fact(info: Json) -> str:
    delay = info["down_delay"]
    told = f"not below what was wanted in the last {show_span(delay)}" if delay else "as soon as fewer are wanted"
    return told if not _to_zero(info) else f"{told}; none when no call came for {show_span(info['idle_after'])}"


def may_sleep(service: Json) -> bool:
    """Whether it goes to zero without calls, now or at some time of its schedules."""
    info = service["autoscaling"]
    return info is not None and _to_zero(info)


def _to_zero(info: Json) -> bool:
    return 0 in (info["min"], *(schedule["min"] for schedule in info["schedules"]))


def _last_fact(info: Json) -> str:
    if info["last"] is None:
        return "nothing was decided yet"
    at = "" if info["last_at"] is None else f"{time.strftime('%H:%M:%S', time.localtime(info['last_at']))}  "
    return f"{at}{clean(info['last'])}"


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


# --- rules and schedules ---------------------------------------------------------------------------------


def rules_text(result: RulesResult, paint: Paint) -> str:
    rules = result.autoscaling["rules"]
    name = result.service.rpartition("/")[2]
    if result.added:
        rule = rules[-1]
        return f"Added rule {rule['id']}: {describe_rule(rule)}.\nWhat comes of it: {PROGRAM} explain {name}"
    if not rules:
        return f"No rules yet: {PROGRAM} rule add {name} --metric gpu_util --above 80 adds one."
    return rule_table(rules, paint)


def describe_rule(rule: Json) -> str:
    """``gpu_util above 80 % adds 1, below 30 % takes 1 away; mean of 1m, then rests 5m``."""
    metric, step = rule["metric"], rule["step"]
    parts = []
    if rule["above"] is not None:
        parts.append(f"above {show_value(metric, rule['above'])} adds {step}")
    if rule["below"] is not None:
        parts.append(f"below {show_value(metric, rule['below'])} takes {step} away")
    return (
        f"{clean(metric)} {', '.join(parts)}; mean of {show_span(rule['window'])}, rests {show_span(rule['cooldown'])}"
    )


def rule_table(rules: Sequence[Json], paint: Paint) -> str:
    rows = [
        [
            clean(rule["id"]),
            clean(rule["metric"]),
            *("-" if rule[end] is None else show_value(rule["metric"], rule[end]) for end in ("above", "below")),
            str(rule["step"]),
            show_span(rule["cooldown"]),
            show_span(rule["window"]),
            _own_bounds(rule),
        ]
        for rule in rules
    ]
    return columns(["RULE", "METRIC", "ABOVE", "BELOW", "STEP", "COOLDOWN", "WINDOW", "REPLICAS"], rows, paint)


def schedules_text(result: SchedulesResult, paint: Paint) -> str:
    schedules = result.autoscaling["schedules"]
    name = result.service.rpartition("/")[2]
    if result.added:
        added = schedules[-1]
        told = (
            f"Added schedule {added['id']}: {_when(added)}, time of {clean(added['timezone'])}: {_own_bounds(added)}."
        )
        change = _next_change(result.autoscaling)
        return told + (f"\nNext change: {change}" if change else "")
    if not schedules:
        return f'No schedules yet: {PROGRAM} schedule add {name} "Mon-Fri 08:00-19:00" --min 2 adds one.'
    change = _next_change(result.autoscaling)
    return schedule_table(schedules, paint) + (f"\nNext change: {change}" if change else "")


def schedule_table(schedules: Sequence[Json], paint: Paint) -> str:
    rows = [[clean(s["id"]), _when(s), clean(s["timezone"]), _own_bounds(s)] for s in schedules]
    return columns(["SCHEDULE", "WHEN", "TIMEZONE", "REPLICAS"], rows, paint)


def _when(schedule: Json) -> str:
    duration = schedule["duration"]
    return clean(schedule["when"]) + ("" if duration is None else f" for {show_span(duration)}")


def _own_bounds(item: Json) -> str:
    """``2 at least, 8 at most``."""
    told = [f"{item[end]} at {word}" for end, word in (("min", "least"), ("max", "most")) if item[end] is not None]
    return ", ".join(told) or "-"


# --- decisions -------------------------------------------------------------------------------------------


def explanation(result: DecisionsResult, paint: Paint) -> str:
    service, decisions = result.service, result.decisions
    if service is None or decisions is None:
        return ""
    name, info, counts = service["name"], service["autoscaling"], service["replicas"]
    if info is None:
        return f"{name} is not autoscaled: it has the {_replicas(counts['want'])} that it was given."
    head = (
        f"{paint(service['owner'] + '/' + name, 'bold')} is {paint.state(service['state'])}, "
        f"{counts['ready']} of {counts['want']} replicas ready; {_bounds_fact(info)} now"
    )
    blocks = [decision_block(each, paint) for each in decisions]
    if sentence := held(service):
        blocks.append(f"Held {sentence}")
    return "\n\n".join([head, *(blocks or ["Nothing was decided yet: a decision comes every 2 s while it runs."])])


def decision_block(decision: Json, paint: Paint) -> str:
    """When and what in a sentence, then what was measured, wanted and cut."""
    began, at = (time.strftime("%H:%M:%S", time.localtime(decision[end])) for end in ("since", "at"))
    if began != at:
        at = f"{began} to {at}"
    style = "green" if decision["changed"] else None
    lines = [f"{paint(at, 'dim')}  {paint(clean(decision['reason']), style)}"]
    if decision["measured"]:
        lines.append(f"  measured  {_measured(decision['measured'])}")
    rows = [
        [clean(wish["source"]), "-" if wish["count"] is None else str(wish["count"]), clean(wish["why"])]
        for wish in decision["wishes"]
    ]
    if rows:
        wishes = columns(["SOURCE", "WANTS", "WHY"], rows, paint).split("\n")
        lines += [f"  {'wanted' if not n else '':<8}  {line}" for n, line in enumerate(wishes)]
    if decision["bounds"] is not None:
        cut = f"; what cut it: {clean(decision['bound'])}" if decision["bound"] else "; nothing was cut"
        lines.append(f"  allowed   {_bounds_fact({'bounds': decision['bounds']})}{cut}")
    return "\n".join(lines)


def _measured(figures: Json) -> str:
    """``demand 3.2, ready 2; unknown: gpu_util``."""
    known = ", ".join(f"{clean(m)} {show_value(m, value)}" for m, value in figures.items() if value is not None)
    unknown = ", ".join(clean(m) for m, value in figures.items() if value is None)
    return "; ".join(each for each in (known, unknown and f"unknown: {unknown}") if each)


def show_value(metric: str, value: float | None) -> str:
    """With the unit of the metric."""
    if value is None:
        return "unknown"
    metric = metric.rpartition(": ")[2]  # "rule r1: gpu_util"
    unit = _UNITS.get(metric) or unit_of(metric)
    if unit == "bytes":
        return show_size(value)
    if unit == "seconds" and 0 < abs(value) < 0.9995:
        return f"{1000 * value:.3g} ms"
    shown = 100 * value if unit.startswith("share") else value
    number = f"{shown:g}" if shown == int(shown) else f"{shown:.3g}"
    return number + ("" if not unit or unit.startswith("calls") else _SHORT[unit])


# --- calls over time -------------------------------------------------------------------------------------


def pictured(stream: IO[str]) -> bool:
    """Whether the bars can be written there."""
    try:
        _BARS.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def calls_picture(series: Json | None) -> str:
    """``▁▁▃█▅ 2.4/s``, or nothing where nothing is known."""
    values = (series or {}).get("values", {}).get("calls_per_second", ())
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{sparkline(values)} {show_value('calls_per_second', known[-1])}/s"


def sparkline(values: Sequence[float | None], width: int = _WIDTH) -> str:
    """At most ``width`` bars, each the largest of its part: no burst is lost. A blank where nothing is known."""
    count = min(width, len(values))
    parts = [values[len(values) * n // count : len(values) * (n + 1) // count] for n in range(count)]
    tops = [max((value for value in part if value is not None), default=None) for part in parts]
    most = max((top for top in tops if top is not None), default=0.0) or 1.0
    return "".join(" " if top is None else _BARS[min(7, int(top / most * 7.999))] for top in tops)
