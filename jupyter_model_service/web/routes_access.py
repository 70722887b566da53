"""The operations on who may do what with a service."""

from __future__ import annotations

from ..wire.access import AccessInfo, OriginsRequest, ShareInfo, ShareRequest
from . import access
from .queries import AccessQuery
from .route import Route, change_of, of_service

__all__ = ["ACCESS_ROUTES"]

ACCESS_ROUTES: tuple[Route, ...] = (
    of_service(
        "GET",
        "/access",
        "get_access",
        access.get_access,
        "Who may do what with the service, and why",
        AccessInfo,
        query=AccessQuery,
    ),
    change_of(
        "PUT",
        "/access/origins",
        "set_origins",
        access.set_origins,
        "Let pages of these origins call the endpoint from a browser, in the place of the former ones",
        AccessInfo,
        request=OriginsRequest,
    ),
    change_of(
        "PUT",
        "/access/{kind}/{whom}",
        "share_service",
        access.share_service,
        "Share the service with a user or a group, from the next call on; in the place of what was shared so far",
        ShareInfo,
        request=ShareRequest,
    ),
    change_of(
        "DELETE",
        "/access/{kind}/{whom}",
        "unshare_service",
        access.unshare_service,
        "Share the service no more with a user or a group, from the next call on",
        None,
        status=204,
    ),
)
