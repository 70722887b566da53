"""Calls of the Docker engine that never block the Hub.

In threads of their own: DockerSpawner has a single one for all its calls, and a copy that takes minutes must not hold
up anybody's notebook.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from docker.errors import DockerException
from requests.exceptions import RequestException

__all__ = ["ENGINE_ERRORS", "DockerCalls", "explained", "status_of"]

ENGINE_ERRORS = (DockerException, RequestException, OSError)
THREADS = 12

T = TypeVar("T")


class DockerCalls:
    """``client`` is a ``docker.APIClient``; the time limit that it was made with bounds each call."""

    def __init__(self, client: Any, threads: ThreadPoolExecutor | None = None) -> None:
        self.client = client
        self._threads = threads or ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="model-service-docker")

    async def __call__(self, method: str, *args: Any, **named: Any) -> Any:
        """The client's method of this name; raises what it raises (``ENGINE_ERRORS``)."""
        return await self.run(getattr(self.client, method), *args, **named)

    async def run(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(function, *args, **named))

    async def try_(self, method: str, *args: Any, **named: Any) -> int | None:
        """For what should be so already: the status with which the engine refused, ``None`` when it did not."""
        try:
            await self(method, *args, **named)
        except ENGINE_ERRORS as error:
            return status_of(error) or 500
        return None


def status_of(error: BaseException) -> int | None:
    """The HTTP status of the engine's answer, if there was one."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def explained(error: BaseException) -> str:
    """What the engine said, in one line."""
    text = str(getattr(error, "explanation", None) or error)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
