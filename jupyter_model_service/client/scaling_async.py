"""What the client for asyncio can do about autoscaling: :mod:`.scaling_sync`, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ..wire import AutoscalingInfo, DecisionInfo, SeriesAnswer, ServiceInfo
from . import calls, scaling
from .calls import Call, Key

T = TypeVar("T")


class HasScaling(Protocol):
    """What of the client the methods stand on."""

    async def _key(self, name: str) -> Key: ...
    async def _plain(self, call: Call[Any]) -> Any: ...


class Scaling:
    """Part of :class:`.aio.AsyncClient`. See :class:`.scaling_sync.Scaling` for what each does."""

    async def autoscaling(self: HasScaling, name: str) -> AutoscalingInfo | None:
        return scaling.read_autoscaling(await self._plain(calls.get(await self._key(name))))

    async def autoscale(
        self: HasScaling,
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
        changes = scaling.settings(min, max, target_concurrency, target, idle_after, down_delay)
        changes |= scaling.lists(rules, schedules)
        return await _ask(self, scaling.change(await self._key(name), changes))

    async def stop_autoscaling(self: HasScaling, name: str) -> ServiceInfo:
        return await _ask(self, scaling.end(await self._key(name)))

    async def resume_autoscaling(self: HasScaling, name: str) -> AutoscalingInfo:
        return await _ask(self, scaling.resume(await self._key(name)))

    async def add_rule(
        self: HasScaling,
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
        options = {"above": above, "below": below, "step": step, "cooldown": cooldown, "window": window}
        whole = scaling.rule(rule, {**options, "min": min, "max": max})
        return await _ask(self, scaling.add_rule(await self._key(name), whole))

    async def remove_rule(self: HasScaling, name: str, rule_id: str) -> AutoscalingInfo:
        return await _ask(self, scaling.remove_rule(await self._key(name), rule_id))

    async def add_schedule(
        self: HasScaling,
        name: str,
        when: str,
        *,
        min: int | None = None,
        max: int | None = None,
        timezone: str | None = None,
        duration: float | str | None = None,
    ) -> AutoscalingInfo:
        schedule = {"when": when, "timezone": timezone, "duration": scaling.seconds(duration), "min": min, "max": max}
        return await _ask(self, scaling.add_schedule(await self._key(name), schedule))

    async def remove_schedule(self: HasScaling, name: str, schedule_id: str) -> AutoscalingInfo:
        return await _ask(self, scaling.remove_schedule(await self._key(name), schedule_id))

    async def decisions(self: HasScaling, name: str, *, limit: int = 20) -> builtins.list[DecisionInfo]:
        return await _ask(self, scaling.decisions(await self._key(name), limit))

    async def series(
        self: HasScaling, name: str, *, since: float | None = None, step: float | None = None
    ) -> SeriesAnswer:
        return await _ask(self, scaling.series(await self._key(name), since, step))


async def _ask(client: HasScaling, call: Call[T]) -> T:
    return call.read(await client._plain(call))
