"""Model serving for everyone who already has Jupyter.

``from jupyter_model_service import Client`` (or ``AsyncClient``) is the way in from Python. Importing the package
itself costs nothing: everything is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("AsyncClient", "Client"):
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Jupyter Server asks the package by this name; only then is the extension imported."""
    from .server_extension import ModelServiceExtension

    return [{"module": "jupyter_model_service.server_extension", "app": ModelServiceExtension}]
