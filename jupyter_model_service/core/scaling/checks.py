"""What is wrong with a policy whose single values are all right."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from ..spelling import Path, alternatives, near, plain_key, shown
from . import local_time
from .metrics import BACKEND_AI_METRICS, METRICS, PROMETHEUS, REFUSED_METRICS, SLIPS, is_metric, query_name, unit_of
from .policy import Autoscaling, Rule, Schedule
from .schedule_forms import WrongSchedule, windows_of

__all__ = ["about_metric", "doubts_of", "problems_of"]

Found = Iterator[tuple[Path, str]]


def problems_of(policy: Autoscaling, queries: Collection[str] | None = None) -> Found:
    """Where in the policy's plain form, and what must be said of it. ``queries``: the names that an administrator
    allows in ``prometheus:NAME``, ``None`` if that is not known here."""
    if policy.min > policy.max:
        yield ("min",), f"is {policy.min}, above max, which is {policy.max}; lower it or raise max"
    if policy.min < policy.max and not (policy.target or policy.rules or policy.schedules):
        yield (
            ("target",),
            f"is off, and there are no rules and no schedules: nothing would ever move the count between {policy.min} "
            f"and {policy.max}; switch it on, or add a rule or a schedule first",
        )
    yield from _repeated("rules", [rule.id for rule in policy.rules])
    yield from _repeated("schedules", [schedule.id for schedule in policy.schedules])
    for n, rule in enumerate(policy.rules):
        for key, message in _of_rule(rule, queries):
            yield ("rules", n, *key), message
    for (_, first), (n, second) in combinations(enumerate(policy.rules), 2):
        if contradiction := _against(first, second):
            yield ("rules", n), contradiction
    for n, schedule in enumerate(policy.schedules):
        for key, message in _of_schedule(schedule, policy):
            yield ("schedules", n, *key), message


def _repeated(name: str, ids: Sequence[str]) -> Found:
    for n, each in enumerate(ids):
        if each in ids[:n]:
            yield (name, n, "id"), f'is "{each}", which another of the {name} has already; choose another'


def _of_rule(rule: Rule, queries: Collection[str] | None) -> Found:
    metric = METRICS.get(rule.metric)
    if told := about_metric(rule.metric, queries):
        yield ("metric",), told
    if rule.above is None and rule.below is None:
        yield (), "has no threshold; give above (adds replicas), below (takes them away), or both"
    elif rule.above is not None and rule.below is not None and rule.above < rule.below:
        yield (
            ("above",),
            f"is {rule.above:g}, less than below, which is {rule.below:g}: between the two the rule would add and take "
            "away at once; exchange them",
        )
    if metric is not None:
        yield from _never_reached(rule, metric.most, metric.unit)
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield ("min",), f"is {rule.min}, above max, which is {rule.max}"


def about_metric(name: str, queries: Collection[str] | None = None) -> str:
    """What must be said of it; empty where nothing must."""
    if not is_metric(name):
        return _unknown(name)
    query = query_name(name)
    if queries is None or query is None or query in queries:
        return ""
    close = near(query, queries)
    hint = f"did you mean {alternatives([PROMETHEUS + each for each in close])}?" if close else _allowed(queries)
    return f"is {shown(name)}, which the administrator has not allowed; {hint}"


def _never_reached(rule: Rule, most: float | None, unit: str) -> Found:
    if rule.below is not None and rule.below <= 0:
        yield ("below",), f"is {rule.below:g}, and {rule.metric} is never below 0: the rule would never take any away"
    if rule.above is not None and most is not None and rule.above >= most:
        yield (
            ("above",),
            f"is {rule.above:g}, and {rule.metric} ({unit}) is never above {most:g}: the rule would never add any",
        )
    if rule.above is not None and rule.above < 0:
        yield ("above",), f"is {rule.above:g}, and {rule.metric} is always above that: the rule would add without end"
    if rule.below is not None and most is not None and rule.below > most:
        yield ("below",), f"is {rule.below:g}, and {rule.metric} ({unit}) is always below that"


def doubts_of(rule: Rule) -> Found:
    """What can be meant, but hardly is: a share where a percentage is asked for, gigabytes without their unit."""
    for end in ("above", "below"):
        value: float | None = getattr(rule, end)
        unit = unit_of(rule.metric)
        if value is None or value <= 0:
            continue
        if unit == "percent" and value <= 1:
            yield (end,), f"is {value:g} percent of {rule.metric}; is {100 * value:g} meant?"
        elif unit == "bytes" and value < 2**20:
            yield (end,), f"is {value:g} bytes of {rule.metric}; is {value:g}g meant?"
        elif unit == "seconds" and value > 120:
            yield (end,), f"is {value:g} seconds of {rule.metric}; is {value:g}ms meant?"


def _unknown(name: str) -> str:
    if name.startswith(PROMETHEUS):
        return (
            f"is {shown(name)}, which cannot name a query; write prometheus:NAME, a name that the administrator allows"
        )
    same = BACKEND_AI_METRICS.get(name)
    if same is not None:
        return f"is {shown(name)}, which is Backend.AI's name; write metric_name for it, or {same}"
    if name in REFUSED_METRICS:
        return f"is {shown(name)}, which {REFUSED_METRICS[name]}"
    close = [SLIPS[plain_key(name)]] if plain_key(name) in SLIPS else near(name, METRICS)
    known = f"the metrics are {', '.join(METRICS)} and prometheus:NAME"
    return f"is {shown(name)}, which is not known; " + (f"did you mean {alternatives(close)}?" if close else known)


def _allowed(queries: Collection[str]) -> str:
    if not queries:
        return "no query is allowed on this installation"
    return f"allowed are {', '.join(PROMETHEUS + each for each in sorted(queries))}"


def _against(first: Rule, second: Rule) -> str | None:
    """Two rules of which one takes away what the other adds."""
    if first.metric != second.metric:
        return None
    for adds, takes in ((first, second), (second, first)):
        if adds.above is not None and takes.below is not None and adds.above < takes.below:
            return (
                f"contradicts rule {first.id}: for {first.metric} between {adds.above:g} and {takes.below:g}, rule "
                f"{adds.id} would add replicas and rule {takes.id} take them away"
            )
    return None


def _of_schedule(schedule: Schedule, policy: Autoscaling) -> Found:
    try:
        windows_of(schedule.when, schedule.duration)
    except WrongSchedule as error:
        yield (error.field,), str(error)
    try:
        local_time.zone_named(schedule.timezone)
    except ValueError:
        yield ("timezone",), _no_zone(schedule.timezone)
    if schedule.min is None and schedule.max is None:
        yield (), "has neither min nor max and would have no effect; give one of them, or both"
    elif schedule.min is not None and schedule.max is not None:
        if schedule.min > schedule.max:
            yield ("min",), f"is {schedule.min}, above max, which is {schedule.max}; lower it or raise max"
    elif schedule.min is not None and schedule.min > policy.max:
        yield (
            ("min",),
            f"is {schedule.min}, above the service's max of {policy.max}; raise that, or give the schedule a max",
        )
    elif schedule.max is not None and schedule.max < policy.min:
        yield (
            ("max",),
            f"is {schedule.max}, below the service's min of {policy.min}; lower that, or give the schedule a min",
        )


def _no_zone(name: str) -> str:
    close = local_time.zones_like(name)
    hint = f"did you mean {alternatives(close)}?" if close else "write an IANA name such as Asia/Seoul or Europe/Berlin"
    return f"is {shown(name)}, which is no time zone; {hint}"
