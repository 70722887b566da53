"""The operations on the audit log."""

from __future__ import annotations

from ..wire.audit import AuditList
from . import audit
from .queries import AuditExportQuery, AuditListQuery, ServiceAuditQuery, ServiceExportQuery
from .route import Access, Route, of_service

__all__ = ["AUDIT_ROUTES"]

AUDIT_ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "api/v1/admin/audit",
        "list_audit",
        "Who did what, and what was denied to whom, of everything; of a hub for administrators and auditors",
        audit.list_audit,
        Access.MANAGER,
        shared=Access.AUDITOR,
        query=AuditListQuery,
        answer=AuditList,
    ),
    Route(
        "GET",
        "api/v1/admin/audit.jsonl",
        "export_audit",
        "All of that as a file, one line of JSON for each entry, oldest first",
        audit.export_audit,
        Access.MANAGER,
        shared=Access.AUDITOR,
        query=AuditExportQuery,
        media_type="application/jsonl",
    ),
    of_service(
        "GET",
        "/audit",
        "read_audit",
        audit.read_audit,
        "Who did what with the service",
        AuditList,
        query=ServiceAuditQuery,
    ),
    of_service(
        "GET",
        "/audit.jsonl",
        "export_service_audit",
        audit.export_service_audit,
        "All of that as a file, one line of JSON for each entry, oldest first",
        None,
        query=ServiceExportQuery,
        media_type="application/jsonl",
    ),
)
