"""Model serving for everyone who already has Jupyter."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
