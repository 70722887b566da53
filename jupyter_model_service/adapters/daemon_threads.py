"""Blocking work in a thread of its own, for which nothing waits when the program ends.

A call into a file system that hangs (NFS, FUSE) never comes back and cannot be ended. In a pool it would keep a worker
from everybody else, and Python waits for a pool's workers when it ends; these threads it leaves behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_thread(name: str, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    """The result of ``function(*arguments)``. Cancelling the future does not end the work."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = function(*arguments)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


__all__ = ["in_thread"]
