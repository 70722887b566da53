"""The one table of everything that the gateway answers besides endpoint traffic.

``application.py`` builds the Tornado handlers from it and ``openapi.py`` the served document, so that neither can
promise what the other does not do. A new operation is a new row here and a function in ``api.py``.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .. import wire
from ..wire.offer import OfferInfo
from . import api, scaling
from .call import Answer, Call
from .queries import DecisionQuery, EventQuery, LogQuery, NoQuery, SeriesListQuery, SeriesQuery

__all__ = ["ROUTES", "Access", "Route"]


class Access(enum.Enum):
    """Who may: everything is refused unless the row says otherwise."""

    ANYONE = "anyone"
    MANAGER = "manager"  # a caller that manages at least one owner's services; endpoint tokens do not
    OWNER = "owner"  # a caller that manages the {owner} in the path
    ADMIN = "admin"  # a caller that manages everybody's services; only where a gateway has several users


Handler = Callable[[Call], Awaitable[Answer]]
Model = type[BaseModel] | None


@dataclass(frozen=True)
class Route:
    """One operation. ``path`` has no leading slash: it lies below the prefix that the gateway is served at.

    ``statuses`` are those besides the ones that ``errors_of`` adds for every route of that kind. A route with
    ``media_type`` other than JSON has no ``answer`` model; ``handler`` is ``None`` for the event stream only.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler | None
    access: Access = Access.OWNER
    request: Model = None
    query: type[BaseModel] = NoQuery
    answer: Model = None
    status: int = 200
    statuses: tuple[int, ...] = ()
    abandoned: bool = False  # given up when the caller leaves
    media_type: str = "application/json"

    def errors_of(self) -> tuple[int, ...]:
        """Every error status that this operation may answer with."""
        found = {400, 500, *self.statuses}
        if self.access is not Access.ANYONE:
            found |= {401, 403, 503}  # 503: the identity or the database cannot be asked
        if "{" in self.path:
            found.add(404)
        if self.request is not None:
            found |= {413, 415}
        return tuple(sorted(found))


_SERVICE = "api/v1/services/{owner}/{name}"


def _service(method: str, rest: str, handler: Handler, summary: str, answer: Model, **more: Any) -> Route:
    """Something about one service; the operation has its handler's name."""
    return Route(method, _SERVICE + rest, handler.__name__, summary, handler, answer=answer, **more)


def _change(method: str, rest: str, handler: Handler, summary: str, answer: Model, **more: Any) -> Route:
    """It may contradict what the service is, or is doing."""
    return _service(method, rest, handler, summary, answer, **{"statuses": (409,), **more})


ROUTES: tuple[Route, ...] = (
    Route("GET", "api/v1/", "gateway_info", "What this gateway is", api.info, Access.MANAGER, answer=wire.GatewayInfo),
    Route("GET", "api/v1/offer", "offer", "What can be asked for now", api.offer, Access.MANAGER, answer=OfferInfo),
    Route(
        "POST",
        "api/v1/validate",
        "validate",
        "Check the definition in a folder; nothing is created",
        api.validate,
        Access.MANAGER,
        request=wire.ValidateRequest,
        answer=wire.ValidateAnswer,
        statuses=(422,),
    ),
    Route(
        "GET",
        "api/v1/services",
        "list_services",
        "Every service that the caller manages",
        api.list_services,
        Access.MANAGER,
        answer=wire.ServiceList,
    ),
    Route(
        "POST",
        "api/v1/services",
        "create_service",
        "Create a service from a model folder; work goes on after the answer",
        api.create_service,
        Access.MANAGER,
        request=wire.CreateRequest,
        answer=wire.ServiceInfo,
        status=201,
        statuses=(409, 422),
        abandoned=True,
    ),
    _service("GET", "", api.get_service, "One service", wire.ServiceInfo),
    _change(
        "DELETE",
        "",
        api.delete_service,
        "End the replicas and remove the service with its endpoint, tokens and history",
        wire.ServiceInfo,
        status=202,
    ),
    _change(
        "POST",
        "/update",
        api.update_service,
        "Make the next revision and roll over to it",
        wire.ServiceInfo,
        request=wire.UpdateRequest,
        status=202,
        statuses=(409, 422),
        abandoned=True,
    ),
    _change(
        "PUT",
        "/scale",
        api.scale_service,
        "Set the wanted number of replicas",
        wire.ServiceInfo,
        request=wire.ScaleRequest,
        status=202,
    ),
    _change(
        "POST",
        "/rollback",
        api.rollback_service,
        "Return to a kept revision",
        wire.ServiceInfo,
        request=wire.RollbackRequest,
        status=202,
    ),
    _change(
        "POST",
        "/restart",
        api.restart_service,
        "Replace every replica, or try again after a failure",
        wire.ServiceInfo,
        status=202,
    ),
    _change(
        "POST",
        "/stop",
        api.stop_service,
        "End the replicas; the service and its endpoint stay",
        wire.ServiceInfo,
        status=202,
    ),
    _change("POST", "/start", api.start_service, "Start a stopped or failed service", wire.ServiceInfo, status=202),
    _service(
        "GET",
        "/autoscaling",
        scaling.get_autoscaling,
        "How many replicas there may be, by which rules, and what was decided last",
        wire.AutoscalingInfo,
    ),
    _change(
        "PUT",
        "/autoscaling",
        scaling.set_autoscaling,
        "Autoscale the service by this policy, which replaces the former one",
        wire.AutoscalingInfo,
        request=wire.AutoscalingRequest,
    ),
    _change(
        "PATCH",
        "/autoscaling",
        scaling.adjust_autoscaling,
        "Change what is given of the policy and leave all else as it is",
        wire.AutoscalingInfo,
        request=wire.AutoscalingChange,
    ),
    _change(
        "DELETE",
        "/autoscaling",
        scaling.end_autoscaling,
        "End autoscaling; the number of replicas stays as it is",
        wire.ServiceInfo,
    ),
    _change(
        "POST", "/autoscaling/resume", scaling.resume_autoscaling, "Go on after a scale by hand", wire.AutoscalingInfo
    ),
    _change(
        "POST",
        "/autoscaling/rules",
        scaling.add_rule,
        "Add a rule; in the answer it is the last",
        wire.AutoscalingInfo,
        request=wire.RuleSpec,
        status=201,
    ),
    _change("DELETE", "/autoscaling/rules/{id}", scaling.remove_rule, "Remove a rule", wire.AutoscalingInfo),
    _change(
        "POST",
        "/autoscaling/schedules",
        scaling.add_schedule,
        "Add a schedule; in the answer it is the last",
        wire.AutoscalingInfo,
        request=wire.ScheduleSpec,
        status=201,
    ),
    _change(
        "DELETE", "/autoscaling/schedules/{id}", scaling.remove_schedule, "Remove a schedule", wire.AutoscalingInfo
    ),
    _service(
        "GET",
        "/decisions",
        scaling.list_decisions,
        "The last decisions of the autoscaler: what was measured and wanted, what cut it, and why",
        wire.DecisionList,
        query=DecisionQuery,
    ),
    _service(
        "GET",
        "/series",
        scaling.read_series,
        "Calls, latency, replicas and GPU over the last day",
        wire.SeriesAnswer,
        query=SeriesQuery,
    ),
    _service("GET", "/events", api.list_events, "What happened to the service", wire.EventList, query=EventQuery),
    _service(
        "GET", "/logs", api.read_logs, "Log lines of one replica", wire.LogAnswer, query=LogQuery, statuses=(409, 502)
    ),
    _service("GET", "/tokens", api.list_tokens, "The tokens that may call the endpoint", wire.TokenList),
    _change(
        "POST",
        "/tokens",
        api.create_token,
        "Make a token that may call the endpoint; it is shown this once",
        wire.NewToken,
        request=wire.TokenRequest,
        status=201,
    ),
    _service(
        "PATCH",
        "/tokens/{id}",
        api.change_token,
        "Change the limits that are given, from the next call on; those left out stay as they are",
        wire.TokenInfo,
        request=wire.TokenChange,
    ),
    _service("DELETE", "/tokens/{id}", api.revoke_token, "Revoke a token at once", None, status=204),
    Route(
        "GET",
        "api/v1/series",
        "list_series",
        "Figures over the last day of several services at once",
        scaling.list_series,
        Access.MANAGER,
        query=SeriesListQuery,
        answer=wire.SeriesList,
    ),
    Route(
        "GET",
        "api/v1/events",
        "stream_events",
        "Everything that changes, as server-sent events",
        None,
        Access.MANAGER,
        media_type="text/event-stream",
    ),
    Route("GET", "api/v1/openapi.json", "openapi", "This document", api.openapi, Access.ANYONE),
    Route(
        "GET",
        "api/v1/schemas/model-definition.json",
        "definition_schema",
        "JSON Schema of model-definition.yaml, for editors",
        api.definition_schema,
        Access.MANAGER,
    ),
    Route(
        "POST",
        "api/v1/gateway/attach",
        "attach",
        "A Jupyter server says that it is there: the gateway ends with the last one, unless it is kept",
        api.attach,
        Access.MANAGER,
        request=wire.AttachRequest,
        answer=wire.GatewayInfo,
    ),
    Route(
        "POST",
        "api/v1/gateway/shutdown",
        "shutdown",
        "End the gateway, in order",
        api.shutdown,
        Access.MANAGER,
        request=wire.ShutdownRequest,
        answer=wire.GatewayInfo,
        status=202,
    ),
    Route("GET", "health/live", "live", "The process answers", api.live, Access.ANYONE, media_type="text/plain"),
    Route(
        "GET",
        "health/ready",
        "ready",
        "The gateway works and can write its database",
        api.ready,
        Access.ANYONE,
        statuses=(503,),
        media_type="text/plain",
    ),
    Route("GET", "metrics", "metrics", "Prometheus metrics", api.metrics, Access.MANAGER, media_type="text/plain"),
)
