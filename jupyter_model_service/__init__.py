"""Model serving for everyone who already has Jupyter.

``from jupyter_model_service import Client`` (or ``AsyncClient``) is the way in from Python, and ``deploy`` makes a
service of a model that is in memory. Importing the package itself costs nothing: everything is imported when it is
first asked for, by name, so that no layer reaches another one through the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .notebook.deploying import deploy

__all__ = ["AsyncClient", "Client", "__version__", "deploy"]


def __getattr__(name: str) -> Any:
    if name in ("AsyncClient", "Client"):
        return getattr(import_module(".client", __name__), name)
    if name == "deploy":
        return import_module(".notebook.deploying", __name__).deploy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """``jupyter-builder develop`` asks for it: where the built panel is, and what JupyterLab calls it."""
    return [{"src": "labextension", "dest": "jupyter-model-service"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Jupyter Server asks the package by this name; only then is the extension imported."""
    extension = import_module(".server_extension", __name__)
    return [{"module": extension.__name__, "app": extension.ModelServiceExtension}]


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext jupyter_model_service``: the magics. Says nothing."""
    import_module(".notebook", __name__).load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext jupyter_model_service``."""
    import_module(".notebook", __name__).unload(shell)
