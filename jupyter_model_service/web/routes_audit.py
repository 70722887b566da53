"""The operations on the audit log."""

from __future__ import annotations

from .route import Route

__all__ = ["AUDIT_ROUTES"]

AUDIT_ROUTES: tuple[Route, ...] = ()
