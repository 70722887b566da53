"""The one table of everything that the gateway answers besides endpoint traffic.

``application.py`` builds the Tornado handlers from it and ``openapi.py`` the served document, so that neither can
promise what the other does not do. A new operation is a new row here and a function in ``api.py``.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel

from .. import wire
from ..wire.offer import OfferInfo
from . import api, scaling
from .call import Answer, Call
from .queries import DecisionQuery, EventQuery, LogQuery, NoQuery, SeriesQuery

__all__ = ["ROUTES", "Access", "Route"]


class Access(enum.Enum):
    """Who may: everything is refused unless the row says otherwise."""

    ANYONE = "anyone"
    MANAGER = "manager"  # a caller that manages at least one owner's services; endpoint tokens do not
    OWNER = "owner"  # a caller that manages the {owner} in the path
    ADMIN = "admin"  # a caller that manages everybody's services; only where a gateway has several users


Handler = Callable[[Call], Awaitable[Answer]]


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
    request: type[BaseModel] | None = None
    query: type[BaseModel] = NoQuery
    answer: type[BaseModel] | None = None
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
    Route("GET", _SERVICE, "get_service", "One service", api.get_service, answer=wire.ServiceInfo),
    Route(
        "DELETE",
        _SERVICE,
        "delete_service",
        "End the replicas and remove the service with its endpoint, tokens and history",
        api.delete_service,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/update",
        "update_service",
        "Make the next revision and roll over to it",
        api.update_service,
        request=wire.UpdateRequest,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409, 422),
        abandoned=True,
    ),
    Route(
        "PUT",
        f"{_SERVICE}/scale",
        "scale_service",
        "Set the wanted number of replicas",
        api.scale_service,
        request=wire.ScaleRequest,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/rollback",
        "rollback_service",
        "Return to a kept revision",
        api.rollback_service,
        request=wire.RollbackRequest,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/restart",
        "restart_service",
        "Replace every replica, or try again after a failure",
        api.restart_service,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/stop",
        "stop_service",
        "End the replicas; the service and its endpoint stay",
        api.stop_service,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/start",
        "start_service",
        "Start a stopped or failed service",
        api.start_service,
        answer=wire.ServiceInfo,
        status=202,
        statuses=(409,),
    ),
    Route(
        "GET",
        f"{_SERVICE}/autoscaling",
        "get_autoscaling",
        "How many replicas there may be, by which rules, and what was decided last",
        scaling.get_autoscaling,
        answer=wire.AutoscalingInfo,
    ),
    Route(
        "PUT",
        f"{_SERVICE}/autoscaling",
        "set_autoscaling",
        "Autoscale the service by this policy, which replaces the former one",
        scaling.set_autoscaling,
        request=wire.AutoscalingRequest,
        answer=wire.AutoscalingInfo,
        statuses=(409,),
    ),
    Route(
        "DELETE",
        f"{_SERVICE}/autoscaling",
        "end_autoscaling",
        "End autoscaling; the number of replicas stays as it is",
        scaling.end_autoscaling,
        answer=wire.ServiceInfo,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/autoscaling/resume",
        "resume_autoscaling",
        "Go on after a scale by hand",
        scaling.resume_autoscaling,
        answer=wire.AutoscalingInfo,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/autoscaling/rules",
        "add_rule",
        "Add a rule; in the answer it is the last",
        scaling.add_rule,
        request=wire.RuleSpec,
        answer=wire.AutoscalingInfo,
        status=201,
        statuses=(409,),
    ),
    Route(
        "DELETE",
        f"{_SERVICE}/autoscaling/rules/{{id}}",
        "remove_rule",
        "Remove a rule",
        scaling.remove_rule,
        answer=wire.AutoscalingInfo,
        statuses=(409,),
    ),
    Route(
        "POST",
        f"{_SERVICE}/autoscaling/schedules",
        "add_schedule",
        "Add a schedule; in the answer it is the last",
        scaling.add_schedule,
        request=wire.ScheduleSpec,
        answer=wire.AutoscalingInfo,
        status=201,
        statuses=(409,),
    ),
    Route(
        "DELETE",
        f"{_SERVICE}/autoscaling/schedules/{{id}}",
        "remove_schedule",
        "Remove a schedule",
        scaling.remove_schedule,
        answer=wire.AutoscalingInfo,
        statuses=(409,),
    ),
    Route(
        "GET",
        f"{_SERVICE}/decisions",
        "list_decisions",
        "The last decisions of the autoscaler: what was measured and wanted, what cut it, and why",
        scaling.list_decisions,
        query=DecisionQuery,
        answer=wire.DecisionList,
    ),
    Route(
        "GET",
        f"{_SERVICE}/series",
        "read_series",
        "Calls, latency, replicas and GPU over the last day",
        scaling.read_series,
        query=SeriesQuery,
        answer=wire.SeriesAnswer,
    ),
    Route(
        "GET",
        f"{_SERVICE}/events",
        "list_events",
        "What happened to the service",
        api.list_events,
        query=EventQuery,
        answer=wire.EventList,
    ),
    Route(
        "GET",
        f"{_SERVICE}/logs",
        "read_logs",
        "Log lines of one replica",
        api.read_logs,
        query=LogQuery,
        answer=wire.LogAnswer,
        statuses=(409, 502),
    ),
    Route(
        "GET",
        f"{_SERVICE}/tokens",
        "list_tokens",
        "The tokens that may call the endpoint",
        api.list_tokens,
        answer=wire.TokenList,
    ),
    Route(
        "POST",
        f"{_SERVICE}/tokens",
        "create_token",
        "Make a token that may call the endpoint; it is shown this once",
        api.create_token,
        request=wire.TokenRequest,
        answer=wire.NewToken,
        status=201,
        statuses=(409,),
    ),
    Route(
        "DELETE",
        f"{_SERVICE}/tokens/{{id}}",
        "revoke_token",
        "Revoke a token at once",
        api.revoke_token,
        status=204,
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
