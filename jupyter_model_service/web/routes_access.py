"""The operations on who may do what with a service."""

from __future__ import annotations

from .route import Route

__all__ = ["ACCESS_ROUTES"]

ACCESS_ROUTES: tuple[Route, ...] = ()
