"""The thin part inside each user's Jupyter server: finds or starts the gateway, and forwards to it."""

from __future__ import annotations

from .extension import ModelServiceExtension

__all__ = ["ModelServiceExtension"]
