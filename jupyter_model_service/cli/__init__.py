"""The command line: ``jupyter model-service VERB …``. Renders what :mod:`..commands` gives back; see :func:`main`."""

from __future__ import annotations

from .program import main

__all__ = ["main"]
