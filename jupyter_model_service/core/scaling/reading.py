"""From what people write to an ``Autoscaling``, or to all that is wrong with it: one judge for requests, definition
files, the command line and Backend.AI's forms of rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ...errors import InvalidRequest, NotFound, Problem
from ..document import WRONG, Key, Reader, Wrong
from ..quantities import threshold
from ..spelling import Path, alternatives, shown, where
from .backend_ai import translate
from .checks import about_metric, doubts_of, problems_of
from .keys import AUTOSCALING, BACKEND_AI_RULE, MOST_REPLICAS, RULE, SCHEDULE
from .metrics import is_metric, unit_of
from .policy import Autoscaling, Rule, Schedule

__all__ = [
    "autoscaling_from_plain",
    "autoscaling_from_stored",
    "autoscaling_to_plain",
    "check",
    "read_autoscaling",
    "with_rule",
    "with_schedule",
    "without_rule",
    "without_schedule",
]

T = TypeVar("T")

MOST_RULES = 20  # of one service, and as many schedules
MOST_TOLD = 10  # problems in one answer
_HELD = Key("held", "flag", "The count was set by hand and stays until autoscaling is resumed.", default=False)


@dataclass(frozen=True)
class _Entry(Generic[T]):
    """A rule or schedule that was ``read`` at ``path``, and where its fields stand, whatever they are called there."""

    read: T
    path: Path
    fields: Mapping[str, Path]

    def place(self, field: Sequence[str | int]) -> Path:
        """Of the field (or of the whole, if it is empty); of one that is not there, where it would stand."""
        return self.fields.get(str(field[0]), (*self.path, *field)) if field else self.path


# --- for the engine, the API and the store -----------------------------------------------------------


def autoscaling_from_plain(plain: Any, *, queries: Collection[str] | None = None) -> Autoscaling:
    """The policy in ``plain``, a JSON object with the keys of ``keys.AUTOSCALING`` and, optionally, ``held``; what is
    left out has its default. ``queries``: the names that ``prometheus:NAME`` may have, ``None`` if not known here.

    Raises ``InvalidRequest`` with a sentence for each problem.
    """
    reader = Reader(strict=True)
    policy = read_autoscaling(reader, plain, (), "", queries=queries, keys=(*AUTOSCALING, _HELD))
    return _given(policy, reader.problems, "The autoscaling policy")


def autoscaling_to_plain(policy: Autoscaling) -> dict[str, Any]:
    """JSON data that :func:`autoscaling_from_plain` and :func:`autoscaling_from_stored` read."""
    plain = dataclasses.asdict(policy)
    return {**plain, "rules": list(plain["rules"]), "schedules": list(plain["schedules"])}


def autoscaling_from_stored(plain: Mapping[str, Any]) -> Autoscaling:
    """The inverse of :func:`autoscaling_to_plain` without the checks: what was once accepted can be read for ever. A
    field that is missing has today's default. ``ValueError`` for anything that did not come from it."""
    try:
        values = dict(plain)
        values["rules"] = tuple(Rule(**rule) for rule in values.get("rules", ()))
        values["schedules"] = tuple(Schedule(**schedule) for schedule in values.get("schedules", ()))
        return Autoscaling(**values)
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"this is not a stored autoscaling policy: {error}") from error


def check(policy: Autoscaling, *, queries: Collection[str] | None = None) -> None:
    """Raises ``InvalidRequest`` with a sentence for each problem of a policy that was put together elsewhere."""
    autoscaling_from_plain(autoscaling_to_plain(policy), queries=queries)


def with_rule(policy: Autoscaling, plain: Any, *, queries: Collection[str] | None = None) -> Autoscaling:
    """The policy with one more rule, the last one, read from a JSON object (ours or Backend.AI's words). Without an
    ``id`` it gets the next free one. Raises ``InvalidRequest``, also for what the rule makes of the others."""
    reader = Reader(strict=True)
    entry = _rule(reader, plain, (), "")
    if entry is None or reader.failed:
        return _given(None, reader.problems, "The rule")
    rule = dataclasses.replace(entry.read, id=entry.read.id or _free("r", [each.id for each in policy.rules]))
    more = dataclasses.replace(policy, rules=(*policy.rules, rule))
    return _given(more, _of_last(more, "rules", entry, queries), "The rule")


def with_schedule(policy: Autoscaling, plain: Any) -> Autoscaling:
    """The policy with one more schedule, as :func:`with_rule` does it."""
    reader = Reader(strict=True)
    entry = _schedule(reader, plain, (), "")
    if entry is None or reader.failed:
        return _given(None, reader.problems, "The schedule")
    id = entry.read.id or _free("s", [each.id for each in policy.schedules])
    more = dataclasses.replace(policy, schedules=(*policy.schedules, dataclasses.replace(entry.read, id=id)))
    return _given(more, _of_last(more, "schedules", entry, None), "The schedule")


def without_rule(policy: Autoscaling, id: str) -> Autoscaling:
    """Raises ``NotFound`` where there is no such rule, ``InvalidRequest`` where the rest makes no sense."""
    _known("rule", id, [rule.id for rule in policy.rules])
    return _less(dataclasses.replace(policy, rules=tuple(rule for rule in policy.rules if rule.id != id)))


def without_schedule(policy: Autoscaling, id: str) -> Autoscaling:
    _known("schedule", id, [schedule.id for schedule in policy.schedules])
    return _less(dataclasses.replace(policy, schedules=tuple(s for s in policy.schedules if s.id != id)))


def _of_last(policy: Autoscaling, list_name: str, entry: _Entry[Any], queries: Collection[str] | None) -> list[Problem]:
    """The policy's problems; those of its last rule or schedule are told by the keys with which that was written."""
    last = len(getattr(policy, list_name)) - 1
    return [
        Problem(where(entry.place(path[2:]) if path[:2] == (list_name, last) else path), message)
        for path, message in _all_problems(policy, queries)
    ]


def _less(policy: Autoscaling) -> Autoscaling:
    problems = [Problem(where(path), message) for path, message in problems_of(policy)]
    return _given(policy, problems, "The autoscaling policy")


def _given(policy: Autoscaling | None, problems: Sequence[Problem], what: str) -> Autoscaling:
    errors = [problem for problem in problems if problem.severity == "error"]
    if policy is not None and not errors:
        return policy
    told = [f"{error.where or what} {error.message}" for error in errors[:MOST_TOLD]]
    told = [each if each.endswith((".", "?")) else f"{each}." for each in told]
    if len(errors) > MOST_TOLD:
        told.append(f"There are {len(errors) - MOST_TOLD} more problems.")
    raise InvalidRequest(" ".join(told), problems=errors[:MOST_TOLD])


def _known(what: str, id: str, known: Sequence[str]) -> None:
    if id not in known:
        there = f"there is {alternatives(known)}" if known else "there is none"
        raise NotFound(f"There is no {what} {shown(id)}; {there}.")


# --- for the definition, too -------------------------------------------------------------------------


def read_autoscaling(
    reader: Reader,
    value: Any,
    path: Path,
    place: str,
    *,
    queries: Collection[str] | None = None,
    keys: Sequence[Key] = AUTOSCALING,
) -> Autoscaling | None:
    """The policy in ``value``, which stands at ``path``; ``place`` is the section of the document that it is. Every
    problem is reported to ``reader``; then it is ``None``."""
    before = len(reader.problems)
    found = reader.mapping(value, path, keys, place)
    if found is None:
        return None
    values = {key.name: reader.read(key, *found[key.name]) for key in keys if key.form != "list" and key.name in found}
    rules = [_rule(reader, *each, f"{place}.rules[]") for each in _values(reader, found, "rules", path)]
    schedules = [_schedule(reader, *each, f"{place}.schedules[]") for each in _values(reader, found, "schedules", path)]
    # What could be read is checked even where something else could not, so that all problems are told at once. Bounds
    # that are wrong already must not make others wrong.
    if WRONG in values.values():
        right = {name: each for name, each in values.items() if each is not WRONG}
        values = right | {"min": 0, "max": MOST_REPLICAS, "target": True}
    entries: dict[str | int, list[_Entry[Any]]] = {
        "rules": [rule for rule in rules if rule is not None],
        "schedules": [schedule for schedule in schedules if schedule is not None],
    }
    policy = Autoscaling(
        **values,
        rules=_named("r", [entry.read for entry in entries["rules"]]),
        schedules=_named("s", [entry.read for entry in entries["schedules"]]),
    )
    for (name, *rest), message in _all_problems(policy, queries):
        if rest:
            reader.error(entries[name][int(rest[0])].place(rest[1:]), message)
        else:
            reader.error(found[str(name)][1] if name in found else (*path, name), message)
    for entry in entries["rules"]:
        for field, message in doubts_of(entry.read):
            reader.warning(entry.place(field), message)
    failed = any(problem.severity == "error" for problem in reader.problems[before:])
    return None if failed else policy


def _all_problems(policy: Autoscaling, queries: Collection[str] | None) -> Iterator[tuple[Path, str]]:
    for name, entries in (("rules", policy.rules), ("schedules", policy.schedules)):
        if len(entries) > MOST_RULES:
            yield (name,), f"has {len(entries)} entries, and {MOST_RULES} are the most"
            return
    yield from problems_of(policy, queries)


def _values(reader: Reader, found: Mapping[str, tuple[Any, Path]], name: str, path: Path) -> list[tuple[Any, Path]]:
    value, here = found.get(name, ([], path))
    if not isinstance(value, list):
        hint = "; put `- ` before its first key" if isinstance(value, Mapping) and not reader.strict else ""
        reader.error(here, f"must be a list, not {shown(value)}{hint}")
        return []
    return [(entry, (*here, n)) for n, entry in enumerate(value[: MOST_RULES + 1])]


def _rule(reader: Reader, value: Any, path: Path, place: str) -> _Entry[Rule] | None:
    """Its ``id`` is empty where none is given."""
    if not isinstance(value, Mapping):
        reader.error(path, f"must be a mapping with metric and above or below, not {shown(value)}")
        return None
    keys = tuple(dataclasses.replace(key, required=False) for key in RULE)
    found = reader.mapping(value, path, (*keys, *BACKEND_AI_RULE), place)
    if found is None:
        return None
    ours = {key.name: (reader.read(key, *found[key.name]), found[key.name][1]) for key in keys if key.name in found}
    ours |= translate(reader, found)
    metric, _ = ours.get("metric", (None, path))
    for side in ("above", "below"):
        text, here = ours.get(side, (None, path))
        if isinstance(text, str) and isinstance(metric, str):
            ours[side] = _threshold(reader, metric, text, here), here
    if any(value is WRONG for value, _ in ours.values()):
        if isinstance(metric, str) and (told := about_metric(metric)):
            reader.error(ours["metric"][1], told)  # beside what is wrong with the others: all is told at once
        return None
    if "metric" not in ours:
        reader.error((*path, "metric"), f"is missing. {RULE[1].meaning}")
        return None
    rule = Rule(**{"id": "", **{name: value for name, (value, _) in ours.items()}})
    return _Entry(rule, path, {name: here for name, (_, here) in ours.items()})


def _threshold(reader: Reader, metric: str, text: str, path: Path) -> float | Wrong:
    """With its unit. Of a metric that nobody knows it may be anything: what is said is that of the metric."""
    if not is_metric(metric):
        return 0.0
    try:
        return threshold(text, unit_of(metric))
    except ValueError as error:
        return reader.error(path, f"must be a value of {metric} ({error}), not {shown(text)}")


def _schedule(reader: Reader, value: Any, path: Path, place: str) -> _Entry[Schedule] | None:
    """Its ``id`` is empty where none is given."""
    found = reader.mapping(value, path, SCHEDULE, place)
    if found is None:
        return None
    values = {key.name: reader.read(key, *found[key.name]) for key in SCHEDULE if key.name in found}
    if "when" not in values or WRONG in values.values():
        return None
    return _Entry(Schedule(**{"id": "", **values}), path, {name: here for name, (_, here) in found.items()})


def _named(letter: str, entries: Sequence[Any]) -> tuple[Any, ...]:
    """With the next free id for each that has none."""
    taken = [entry.id for entry in entries if entry.id]
    named = []
    for entry in entries:
        if not entry.id:
            entry = dataclasses.replace(entry, id=_free(letter, taken))
            taken.append(entry.id)
        named.append(entry)
    return tuple(named)


def _free(letter: str, taken: Collection[str]) -> str:
    number = 1
    while f"{letter}{number}" in taken:
        number += 1
    return f"{letter}{number}"
