"""The operations on what administrators see and set."""

from __future__ import annotations

from .route import Route

__all__ = ["ADMIN_ROUTES"]

ADMIN_ROUTES: tuple[Route, ...] = ()
