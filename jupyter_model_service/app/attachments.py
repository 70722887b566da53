"""The Jupyter servers that a gateway is there for. It ends when the last one has gone, unless it is kept.

A server is known by pid and start time, so one that died without a word is noticed within a second, and a process
that got its pid later is not taken for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil

from ..errors import InvalidRequest

__all__ = ["Attachments"]

_SAME_PROCESS = 2.0  # seconds: a start time moves a little when the clock is corrected


class Attachments:
    """``alone(reason)`` is called once, when nobody is left to stay for. Times in seconds."""

    def __init__(self, *, keep: bool, patience: float, alone: Callable[[str], None], interval: float = 1.0) -> None:
        self.keep = keep
        self._patience = patience
        self._alone = alone
        self._interval = interval
        self._servers: dict[int, float] = {}
        self._ever = False

    def __len__(self) -> int:
        return len(self._servers)

    def attach(self, pid: int, create_time: float, keep: bool) -> None:
        """Raises ``InvalidRequest`` when no such process lives. ``keep`` stays on once anyone asked for it."""
        if not _lives(pid, create_time):
            raise InvalidRequest(f"There is no process {pid} that was started at {create_time:.2f}.")
        self._servers[pid] = create_time
        self._ever = True
        self.keep = self.keep or keep

    async def watch(self) -> None:
        """Look each ``interval``; returns after ``alone`` was called."""
        deadline = time.monotonic() + self._patience
        while True:
            await asyncio.sleep(self._interval)
            self._servers = {pid: begun for pid, begun in self._servers.items() if _lives(pid, begun)}
            if self.keep or self._servers:
                continue
            if self._ever:
                return self._alone("the last Jupyter server has gone")
            if time.monotonic() >= deadline:
                return self._alone(f"no Jupyter server came within {self._patience:g} s; use --keep to stay without")


def _lives(pid: int, create_time: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - create_time) <= _SAME_PROCESS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False
