"""The operations on the audit log."""

from __future__ import annotations

from ..wire.audit import AuditList
from . import audit
from .queries import AuditListQuery, ServiceAuditQuery
from .route import Access, Route, of_service

__all__ = ["AUDIT_ROUTES"]

AUDIT_ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "api/v1/admin/audit",
        "list_audit",
        "Who did what, and what was denied to whom, of everything; of a hub for administrators",
        audit.list_audit,
        Access.MANAGER,
        query=AuditListQuery,
        answer=AuditList,
    ),
    of_service("GET", "/audit", audit.read_audit, "Who did what with the service", AuditList, query=ServiceAuditQuery),
)
