"""The operations about autoscaling. What was written is judged by ``core.scaling.reading``, problem by problem."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import wire
from ..core.sharing import Role
from ..errors import NotFound
from .api import service_info, shown
from .call import Call
from .queries import DecisionQuery, SeriesListQuery, SeriesQuery


def _info(view: Any) -> wire.AutoscalingInfo:
    """Of a service's view."""
    info = service_info(view).autoscaling
    if info is None:
        raise NotFound(f"Service {view.owner}/{view.name} is not autoscaled.")
    return info.model_copy(update={"notices": view.notices})


async def get_autoscaling(call: Call) -> wire.AutoscalingInfo:
    return _info(call.parts.engine.service(*call.service))


async def set_autoscaling(call: Call) -> wire.AutoscalingInfo:
    policy = call.given(wire.AutoscalingRequest).plain()
    return _info(await call.parts.engine.autoscale(*call.service, policy))


async def adjust_autoscaling(call: Call) -> wire.AutoscalingInfo:
    changes = call.given(wire.AutoscalingChange).plain()
    return _info(await call.parts.engine.adjust(*call.service, changes))


async def end_autoscaling(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.autoscale(*call.service, None))


async def resume_autoscaling(call: Call) -> wire.AutoscalingInfo:
    return _info(await call.parts.engine.resume(*call.service))


async def add_rule(call: Call) -> wire.AutoscalingInfo:
    return _info(await call.parts.engine.add_rule(*call.service, call.given(wire.RuleSpec).plain()))


async def remove_rule(call: Call) -> wire.AutoscalingInfo:
    return _info(await call.parts.engine.remove_rule(*call.service, call.path["id"]))


async def add_schedule(call: Call) -> wire.AutoscalingInfo:
    return _info(await call.parts.engine.add_schedule(*call.service, call.given(wire.ScheduleSpec).plain()))


async def remove_schedule(call: Call) -> wire.AutoscalingInfo:
    return _info(await call.parts.engine.remove_schedule(*call.service, call.path["id"]))


async def list_decisions(call: Call) -> wire.DecisionList:
    found = call.parts.engine.decisions(*call.service, call.given(DecisionQuery).limit)
    return wire.DecisionList(decisions=[wire.DecisionInfo.model_validate(dataclasses.asdict(each)) for each in found])


async def read_series(call: Call) -> wire.SeriesAnswer:
    query = call.given(SeriesQuery)
    found = call.parts.engine.series(*call.service, query.since, query.step)
    return wire.SeriesAnswer(step=found.step, times=found.times, values=found.values)


async def list_series(call: Call) -> wire.SeriesList:
    """One answer for all rows of a list: a hundred requests every few seconds take all connections of a browser."""
    query = call.given(SeriesListQuery)
    wanted = None if query.values is None else set(query.values.split(","))
    answers = {}
    for key in dict.fromkeys(query.services.split(",")):
        owner, _, name = key.partition("/")
        if (call.role(owner, name) or Role.CALLER) < Role.VIEWER:
            continue
        try:
            found = call.parts.engine.series(owner, name, query.since, query.step)
        except NotFound:
            continue
        values = {each: of for each, of in found.values.items() if wanted is None or each in wanted}
        answers[key] = wire.SeriesAnswer(step=found.step, times=found.times, values=values)
    return wire.SeriesList(services=answers)
