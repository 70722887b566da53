"""Writes the access log in a thread of its own: a slow disk, or a full one, costs lines, never a call."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Any, Protocol

from ..core.access_line import line
from .daemon_threads import in_thread

__all__ = ["AccessWriter", "Lines"]

log = logging.getLogger(__name__)

_PAUSE = 0.2  # seconds between two looks at what has come
_PAUSE_IN_TROUBLE = 1.0
_BATCH = 1024  # lines that are written at once, 400 KB: a write and the looks at its file cost the loop five waits
_SLICE = 128  # lines; making so many takes 0.2 ms, in which Python runs nothing else
_BREATH = 0.0005  # seconds for the loop in between: it would wait 5 ms for a thread that does not give way
_HANGS = 5.0  # seconds in which a write should be done


class Lines(Protocol):
    """:mod:`line_file`; its name for people is ``str()``."""

    def write(self, lines: bytes) -> None: ...
    def close(self) -> None: ...


class AccessWriter:
    """Takes ``entries`` from the left. While they cannot be written they stay there, and whoever adds to them sees that
    it does not get too many."""

    def __init__(self, entries: deque[tuple[Any, ...]], out: Lines) -> None:
        self._entries = entries
        self._out = out
        self._ending = threading.Event()
        self._running: asyncio.Future[None] | None = None
        self._batch: list[str] = []  # made, and not written yet
        self._in_trouble = False
        self._writing_since: float | None = None

    @property
    def well(self) -> bool:
        """Whether lines are taken, as far as is known."""
        since = self._writing_since
        return not self._in_trouble and (since is None or time.monotonic() - since < _HANGS)

    def start(self) -> None:
        self._running = in_thread("access log", self._run)

    async def stop(self, patience: float = 3.0) -> None:
        """What is there is written, if that takes no longer."""
        self._ending.set()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=patience)
        if left := len(self._entries) + len(self._batch):
            log.error("the access log %s ends without its last %d lines", self._out, left)

    def _run(self) -> None:
        self._written(b"")  # a folder that is not there is found now, not when somebody looks for the first line
        while not self._ending.wait(_PAUSE_IN_TROUBLE if self._in_trouble else _PAUSE):
            self._write_all()
        self._write_all()
        self._out.close()

    def _write_all(self) -> None:
        while self._batch or self._entries:
            if not self._batch:
                self._make()
            if not self._written("".join(self._batch).encode("ascii")):
                return
            self._batch = []
            if self._in_trouble:
                self._in_trouble = False
                log.warning("the access log %s is written again", self._out)

    def _written(self, lines: bytes) -> bool:
        self._writing_since = time.monotonic()
        try:
            self._out.write(lines)
        except OSError as error:
            self._failed(error)
            return False
        finally:
            self._writing_since = None
        return True

    def _make(self) -> None:
        to_unix = time.time() - time.monotonic()
        entries, made = self._entries, self._batch
        for _ in range(_BATCH // _SLICE):
            for _ in range(min(len(entries), _SLICE)):
                entry = entries.popleft()
                try:
                    made.append(line(entry, to_unix))
                except Exception:  # a fault of ours must cost that line only, not all that would follow
                    log.exception("a line of the access log cannot be made")
            time.sleep(_BREATH)
            if not entries:
                return

    def _failed(self, error: OSError) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            log.error(
                "the access log %s cannot be written (%s): calls go on, and it is tried again each second",
                self._out,
                error.strerror or error,
            )
