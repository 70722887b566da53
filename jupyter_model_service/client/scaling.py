"""The calls about autoscaling, as :mod:`.calls` has the others: what to send, and how to read the answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import calls
from .calls import Call, Key, given, reading_model, service_path
from .units import parse_duration

if TYPE_CHECKING:
    from ..wire import AutoscalingInfo, DecisionInfo, SeriesAnswer, ServiceInfo

#: For ``target_concurrency``: as the definition says, the default.
AUTO = "auto"

_INFO = reading_model("AutoscalingInfo")


def read_autoscaling(data: Any) -> AutoscalingInfo | None:
    """Of a service in plain JSON."""
    found: AutoscalingInfo | None = calls.read_service(data).autoscaling
    return found


def change(key: Key, changes: Mapping[str, Any]) -> Call[AutoscalingInfo]:
    """What is to change; all else stays as it is. Calls at once that are ``AUTO`` are as the definition says."""
    auto = {"target_concurrency": None} if changes.get("target_concurrency") == AUTO else {}
    return Call("PATCH", service_path(key, "/autoscaling"), _INFO, body={**changes, **auto})


def end(key: Key) -> Call[ServiceInfo]:
    return Call("DELETE", service_path(key, "/autoscaling"), calls.read_service)


def resume(key: Key) -> Call[AutoscalingInfo]:
    return Call("POST", service_path(key, "/autoscaling/resume"), _INFO, body={})


def add_rule(key: Key, rule: Mapping[str, Any]) -> Call[AutoscalingInfo]:
    return Call("POST", service_path(key, "/autoscaling/rules"), _INFO, body=given(rule))


def remove_rule(key: Key, rule: str) -> Call[AutoscalingInfo]:
    return Call("DELETE", service_path(key, f"/autoscaling/rules/{_quoted(rule)}"), _INFO)


def add_schedule(key: Key, schedule: Mapping[str, Any]) -> Call[AutoscalingInfo]:
    return Call("POST", service_path(key, "/autoscaling/schedules"), _INFO, body=given(schedule))


def remove_schedule(key: Key, schedule: str) -> Call[AutoscalingInfo]:
    return Call("DELETE", service_path(key, f"/autoscaling/schedules/{_quoted(schedule)}"), _INFO)


def decisions(key: Key, limit: int) -> Call[list[DecisionInfo]]:
    read = reading_model("DecisionList", "decisions")
    return Call("GET", service_path(key, "/decisions"), read, query={"limit": limit})


def series(key: Key, since: float | None, step: float | None) -> Call[SeriesAnswer]:
    query = {"since": since, "step": step}
    return Call("GET", service_path(key, "/series"), reading_model("SeriesAnswer"), query=query)


def _quoted(id: str) -> str:
    return quote(id, safe="", errors="replace")


# --- what people write -------------------------------------------------------------------------------------


def settings(
    min: int | None = None,
    max: int | None = None,
    target_concurrency: float | str | None = None,
    target: bool | None = None,
    idle_after: float | str | None = None,
    down_delay: float | str | None = None,
) -> dict[str, Any]:
    """What was given of a policy. Calls at once to aim at are a target, so that one is on unless ``target`` says no."""
    if target_concurrency is not None and target is None:
        target = True
    times = {"idle_after": seconds(idle_after), "down_delay": seconds(down_delay)}
    return given({"min": min, "max": max, "target": target, "target_concurrency": target_concurrency, **times})


def lists(rules: Sequence[Mapping[str, Any]] | None, schedules: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Those that were given, as JSON."""
    named = {"rules": rules, "schedules": schedules}
    return {name: [dict(each) for each in entries] for name, entries in named.items() if entries is not None}


def rule(rule: str | Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """``rule`` is a metric, or a whole rule, also in Backend.AI's words; options come on top."""
    whole = {"metric": rule} if isinstance(rule, str) else dict(rule)
    options = {**options, "cooldown": seconds(options.get("cooldown")), "window": seconds(options.get("window"))}
    return whole | given(options)


def seconds(value: float | str | None) -> float | None:
    return parse_duration(value) if isinstance(value, str) else value
