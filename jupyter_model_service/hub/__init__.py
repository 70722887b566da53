"""The Hub's side: ``from jupyter_model_service.hub import install`` in a ``jupyterhub_config.py``."""

from __future__ import annotations

from .install import Installed, install

__all__ = ["Installed", "install"]
