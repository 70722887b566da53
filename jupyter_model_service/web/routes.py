"""The one table of everything that the gateway answers besides endpoint traffic.

``application.py`` builds the Tornado handlers from it and ``openapi.py`` the served document, so that neither can
promise what the other does not do. A new operation is a new row, here or in the table of its area (``routes_*.py``),
and a function that does it.
"""

from __future__ import annotations

from .. import wire
from ..wire.offer import OfferInfo
from . import api, scaling
from .queries import DecisionQuery, EventQuery, LogQuery, SeriesListQuery, SeriesQuery
from .route import Access, Route, change_of, of_service
from .routes_access import ACCESS_ROUTES
from .routes_admin import ADMIN_ROUTES
from .routes_audit import AUDIT_ROUTES
from .routes_tokens import TOKEN_ROUTES

__all__ = ["ROUTES", "Access", "Route"]

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
    of_service("GET", "", api.get_service, "One service", wire.ServiceInfo),
    change_of(
        "DELETE",
        "",
        api.delete_service,
        "End the replicas and remove the service with its endpoint, tokens and history",
        wire.ServiceInfo,
        status=202,
    ),
    change_of(
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
    change_of(
        "PUT",
        "/scale",
        api.scale_service,
        "Set the wanted number of replicas",
        wire.ServiceInfo,
        request=wire.ScaleRequest,
        status=202,
    ),
    change_of(
        "POST",
        "/rollback",
        api.rollback_service,
        "Return to a kept revision",
        wire.ServiceInfo,
        request=wire.RollbackRequest,
        status=202,
    ),
    change_of(
        "POST",
        "/restart",
        api.restart_service,
        "Replace every replica, or try again after a failure",
        wire.ServiceInfo,
        status=202,
    ),
    change_of(
        "POST",
        "/stop",
        api.stop_service,
        "End the replicas; the service and its endpoint stay",
        wire.ServiceInfo,
        status=202,
    ),
    change_of("POST", "/start", api.start_service, "Start a stopped or failed service", wire.ServiceInfo, status=202),
    of_service(
        "GET",
        "/autoscaling",
        scaling.get_autoscaling,
        "How many replicas there may be, by which rules, and what was decided last",
        wire.AutoscalingInfo,
    ),
    change_of(
        "PUT",
        "/autoscaling",
        scaling.set_autoscaling,
        "Autoscale the service by this policy, which replaces the former one",
        wire.AutoscalingInfo,
        request=wire.AutoscalingRequest,
    ),
    change_of(
        "PATCH",
        "/autoscaling",
        scaling.adjust_autoscaling,
        "Change what is given of the policy and leave all else as it is",
        wire.AutoscalingInfo,
        request=wire.AutoscalingChange,
    ),
    change_of(
        "DELETE",
        "/autoscaling",
        scaling.end_autoscaling,
        "End autoscaling; the number of replicas stays as it is",
        wire.ServiceInfo,
    ),
    change_of(
        "POST", "/autoscaling/resume", scaling.resume_autoscaling, "Go on after a scale by hand", wire.AutoscalingInfo
    ),
    change_of(
        "POST",
        "/autoscaling/rules",
        scaling.add_rule,
        "Add a rule; in the answer it is the last",
        wire.AutoscalingInfo,
        request=wire.RuleSpec,
        status=201,
    ),
    change_of("DELETE", "/autoscaling/rules/{id}", scaling.remove_rule, "Remove a rule", wire.AutoscalingInfo),
    change_of(
        "POST",
        "/autoscaling/schedules",
        scaling.add_schedule,
        "Add a schedule; in the answer it is the last",
        wire.AutoscalingInfo,
        request=wire.ScheduleSpec,
        status=201,
    ),
    change_of(
        "DELETE", "/autoscaling/schedules/{id}", scaling.remove_schedule, "Remove a schedule", wire.AutoscalingInfo
    ),
    of_service(
        "GET",
        "/decisions",
        scaling.list_decisions,
        "The last decisions of the autoscaler: what was measured and wanted, what cut it, and why",
        wire.DecisionList,
        query=DecisionQuery,
    ),
    of_service(
        "GET",
        "/series",
        scaling.read_series,
        "Calls, latency, replicas and GPU over the last day",
        wire.SeriesAnswer,
        query=SeriesQuery,
    ),
    of_service("GET", "/events", api.list_events, "What happened to the service", wire.EventList, query=EventQuery),
    of_service(
        "GET", "/logs", api.read_logs, "Log lines of one replica", wire.LogAnswer, query=LogQuery, statuses=(409, 502)
    ),
    *ACCESS_ROUTES,
    *TOKEN_ROUTES,
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
    *ADMIN_ROUTES,
    *AUDIT_ROUTES,
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
