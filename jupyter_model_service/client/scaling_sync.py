"""What the synchronous client can do about autoscaling."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ..wire import AutoscalingInfo, DecisionInfo, SeriesAnswer, ServiceInfo
from . import calls, scaling
from .calls import Call
from .light import Connection

T = TypeVar("T")


class Scaling:
    """Part of :class:`.sync.Client`. Times are seconds, or texts such as ``"15m"``."""

    _connection: Connection

    def _ask(self, call: Call[T]) -> T:
        return call.read(self._connection.send(call))

    def autoscaling(self, name: str) -> AutoscalingInfo | None:
        """The policy with what it comes to now; ``None`` where the number of replicas is as it was set."""
        return scaling.read_autoscaling(self._connection.send(calls.get(self._connection.key(name))))

    def autoscale(
        self,
        name: str,
        *,
        min: int | None = None,
        max: int | None = None,
        target_concurrency: float | str | None = None,
        target: bool | None = None,
        idle_after: float | str | None = None,
        down_delay: float | str | None = None,
        rules: Sequence[Mapping[str, Any]] | None = None,
        schedules: Sequence[Mapping[str, Any]] | None = None,
    ) -> AutoscalingInfo:
        """Let the number of replicas follow the calls, between ``min`` and ``max``. What is not given stays as it is,
        or has its default at first. ``target_concurrency`` is how many calls at once each replica is to have
        (``"auto"``: as the definition says); ``target=False``: only rules and schedules count.
        ``rules`` and ``schedules`` replace the former ones."""
        changes = scaling.settings(min, max, target_concurrency, target, idle_after, down_delay)
        changes |= scaling.lists(rules, schedules)
        return self._ask(scaling.change(self._connection.key(name), changes))

    def stop_autoscaling(self, name: str) -> ServiceInfo:
        """The number of replicas stays as it is now; rules and schedules are forgotten."""
        return self._ask(scaling.end(self._connection.key(name)))

    def resume_autoscaling(self, name: str) -> AutoscalingInfo:
        """After a :meth:`scale` by hand, which holds the number of replicas."""
        return self._ask(scaling.resume(self._connection.key(name)))

    def add_rule(
        self,
        name: str,
        rule: str | Mapping[str, Any],
        *,
        above: float | str | None = None,
        below: float | str | None = None,
        step: int | None = None,
        cooldown: float | str | None = None,
        window: float | str | None = None,
        min: int | None = None,
        max: int | None = None,
    ) -> AutoscalingInfo:
        """``rule`` is a metric, or a whole rule as a mapping, also in Backend.AI's words. The new one is the last.
        Thresholds are numbers in the metric's unit, or texts such as ``"80%"``, ``"1.5s"`` and ``"8g"``."""
        options = {"above": above, "below": below, "step": step, "cooldown": cooldown, "window": window}
        whole = scaling.rule(rule, {**options, "min": min, "max": max})
        return self._ask(scaling.add_rule(self._connection.key(name), whole))

    def remove_rule(self, name: str, rule_id: str) -> AutoscalingInfo:
        return self._ask(scaling.remove_rule(self._connection.key(name), rule_id))

    def add_schedule(
        self,
        name: str,
        when: str,
        *,
        min: int | None = None,
        max: int | None = None,
        timezone: str | None = None,
        duration: float | str | None = None,
    ) -> AutoscalingInfo:
        """``when`` is ``"Mon-Fri 08:00-19:00"``, or cron's five fields with a ``duration``; ``timezone`` an IANA name
        (UTC). While it is active, ``min`` and ``max`` take the place of the service's own."""
        schedule = {"when": when, "timezone": timezone, "duration": scaling.seconds(duration), "min": min, "max": max}
        return self._ask(scaling.add_schedule(self._connection.key(name), schedule))

    def remove_schedule(self, name: str, schedule_id: str) -> AutoscalingInfo:
        return self._ask(scaling.remove_schedule(self._connection.key(name), schedule_id))

    def decisions(self, name: str, *, limit: int = 20) -> builtins.list[DecisionInfo]:
        """The last decisions, oldest first: what was measured, what each rule wanted, what cut it, and why."""
        return self._ask(scaling.decisions(self._connection.key(name), limit))

    def series(self, name: str, *, since: float | None = None, step: float | None = None) -> SeriesAnswer:
        """Calls, latency, replicas and GPU over time, from ``since`` (Unix time; default: an hour ago) on, a point each
        ``step`` seconds. They are kept for a day, the older the coarser."""
        return self._ask(scaling.series(self._connection.key(name), since, step))
