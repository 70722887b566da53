"""The operations on what administrators see and set."""

from __future__ import annotations

from typing import Any

from ..wire import ServiceInfo
from ..wire.admin import LimitsChange, NoticeRequest, Overview, OwnerUse
from . import admin
from .route import Access, Route

__all__ = ["ADMIN_ROUTES"]


def _route(method: str, rest: str, name: str, handler: Any, summary: str, answer: Any, **more: Any) -> Route:
    """Of a hub for its administrators; where there is one user only, for her."""
    given = {"statuses": (409,), **more}
    path = f"api/v1/admin/{rest}"
    return Route(method, path, name, summary, handler, Access.MANAGER, shared=Access.ADMIN, answer=answer, **given)


ADMIN_ROUTES: tuple[Route, ...] = (
    _route(
        "GET",
        "overview",
        "overview",
        admin.overview,
        "All services, their owners with use and limits, and GPUs",
        Overview,
    ),
    _route(
        "GET",
        "users/{user}/limits",
        "get_limits",
        admin.get_limits,
        "What a user of the hub has and may have",
        OwnerUse,
    ),
    _route(
        "PUT",
        "users/{user}/limits",
        "set_limits",
        admin.set_limits,
        "Take from a user what she may have; null gives one back, those left out stay as they are",
        OwnerUse,
        request=LimitsChange,
    ),
    _route(
        "DELETE",
        "users/{user}/limits",
        "remove_limits",
        admin.remove_limits,
        "Give a user back what was taken from her here",
        OwnerUse,
    ),
    _route(
        "PUT",
        "services/{owner}/{name}/notice",
        "set_notice",
        admin.set_notice,
        "Say something about a service to whoever looks at it",
        ServiceInfo,
        request=NoticeRequest,
    ),
    _route(
        "DELETE",
        "services/{owner}/{name}/notice",
        "remove_notice",
        admin.remove_notice,
        "Take the notice back",
        ServiceInfo,
    ),
)
