"""What a replica or a job of the Hub's process needs of it: the engine, the user's notebooks, the labels of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

LABEL = "org.jupyter.model-service."
"""Begins the labels of every container, volume and network of ours. All have ``hub`` (:attr:`SpawnerContext.hub`) and
``user``; containers ``server``; replicas' also ``replica``, ``owner``, ``service``, ``service-id``, ``revision``."""

ENGINE_SECONDS = 60.0  # for one request to the engine that is not known to take long


@dataclass(frozen=True)
class NotebookMount:
    """``kind`` is ``volume`` (``source`` is its name) or ``bind`` (``source`` is a path of the engine's machine)."""

    source: str
    target: str
    kind: str = "volume"
    read_only: bool = False


@dataclass(frozen=True)
class Notebook:
    """One of the user's own servers. ``server`` is its name, empty for the default one; ``container`` the id, if it
    runs; then ``image`` and ``mounts`` are the engine's word, else what it would be started with."""

    server: str
    image: str
    mounts: Sequence[NotebookMount] = ()
    container: str | None = None


@dataclass(frozen=True)
class SpawnerContext:
    """``client`` is a ``docker.APIClient``, asked in ``threads`` only, which are not those of the notebooks' starts.
    ``hub`` tells one Hub's things from another's on the same engine. ``notebooks``: the default server first, then
    those that run, the newest first; never empty. ``network`` is the
    one of the replicas."""

    user: str
    server: str
    hub: str
    client: Any = field(repr=False)
    threads: ThreadPoolExecutor = field(repr=False)
    notebooks: Sequence[Notebook]
    network: str
    log: logging.Logger | logging.LoggerAdapter[Any] = field(repr=False)

    async def docker(self, method: str, *args: Any, seconds: float = ENGINE_SECONDS, **kwargs: Any) -> Any:
        """One call of the client, such as ``await context.docker("inspect_container", name)``. ``TimeoutError`` after
        ``seconds``: the thread is then left to itself. Errors are docker's (``docker.errors.APIError``)."""
        call = partial(getattr(self.client, method), *args, **kwargs)
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self.threads, call), seconds)

    def labels(self, **more: str) -> dict[str, str]:
        """Those of a thing of this user: ``context.labels(kind="snapshot", service_id="…")``, with hyphens for the
        underscores."""
        own = {"hub": self.hub, "user": self.user, "server": self.server, **more}
        return {LABEL + name.replace("_", "-"): value for name, value in own.items()}

    def of_user(self, **more: str) -> dict[str, list[str]]:
        """The engine's filter for this user's things of ours."""
        own = {"hub": self.hub, "user": self.user, **more}
        return {"label": [f"{LABEL}{name.replace('_', '-')}={value}" for name, value in own.items()]}
