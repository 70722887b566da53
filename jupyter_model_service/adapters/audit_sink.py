"""Copies the audit log, in its order and whole, to where somebody else keeps it: a file, or syslog.

What is copied is read from the log itself, behind the last entry that is there already. So nothing waits in memory,
whatever a place is away for is made up for, and a gateway that was killed goes on where it was. It is at-least-once: of
what was written in the moment of a kill, entries may be there twice, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..core.audit import AuditQuery, Entry, json_line
from ..core.syslog import Place, message
from .daemon_threads import in_thread
from .line_file import LineFile, LineStream
from .private_file import read_book, write_book

__all__ = ["AuditFile", "AuditSink", "AuditStream", "AuditSyslog", "Out"]

log = logging.getLogger(__name__)

Find = Callable[[AuditQuery], Awaitable[Sequence[Entry]]]

_BATCH = 200  # entries that are copied at once
_IDLE = 60.0  # seconds after which it is looked for entries that nobody told of
_RETRY = 1.0
_HANGS = 5.0  # seconds in which a batch should be written
_LAST = 1 << 20  # bytes of the end of a file, in which its last entry is


class Out(Protocol):
    """Where entries go; ``str()`` is its name for people. ``whole``: one that is new gets all that there is."""

    whole: bool

    def put(self, entries: Sequence[Entry]) -> int:
        """The id of the last one that is there; ``OSError`` where none is."""

    def last(self) -> int:
        """The id of the last one there, as far as can be seen; 0 for none."""

    def close(self) -> None: ...


class AuditFile:
    """One line of JSON for each. Others may move it away at any time."""

    whole = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._out = LineFile(path, begins=b'{"id":')

    def __str__(self) -> str:
        return str(self._path)

    def put(self, entries: Sequence[Entry]) -> int:
        self._out.write(b"".join(map(json_line, entries)))
        return entries[-1].id

    def last(self) -> int:
        try:
            with open(self._path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST))
                lines = file.read().splitlines(keepends=True)
            for line in reversed(lines):
                if line.startswith(b'{"id":') and line.endswith(b"}\n"):
                    return int(json.loads(line)["id"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0

    def close(self) -> None:
        self._out.close()


class AuditStream:
    """The same on standard output, from now on."""

    whole = False

    def __init__(self, descriptor: int = 1) -> None:
        self._out = LineStream(descriptor, "standard output")

    def __str__(self) -> str:
        return str(self._out)

    def put(self, entries: Sequence[Entry]) -> int:
        self._out.write(json_line(entries[0]))  # one by one: a stream asks for the same lines again after a failure
        return entries[0].id

    def last(self) -> int:
        return 0

    def close(self) -> None:
        self._out.close()


class AuditSyslog:
    """A message for each."""

    whole = False

    def __init__(self, place: Place) -> None:
        self._place = place
        self._socket: socket.socket | None = None

    def __str__(self) -> str:
        return str(self._place)

    def put(self, entries: Sequence[Entry]) -> int:
        host = None if self._place.path else socket.gethostname()
        there = 0
        try:
            for entry in entries:
                self._connected().send(message(entry, process=os.getpid(), host=host))
                there = entry.id
        except OSError:
            self.close()
            if not there:
                raise
        return there

    def _connected(self) -> socket.socket:
        if self._socket is None:
            place = self._place
            if place.path:
                family, kind, address = socket.AF_UNIX, socket.SOCK_DGRAM, place.path
            else:
                found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)
                family, kind, _, _, address = found[0]  # type: ignore[assignment]
            made = socket.socket(family, kind)
            try:
                made.settimeout(_HANGS)
                made.connect(address)
            except BaseException:
                made.close()
                raise
            self._socket = made
        return self._socket

    def last(self) -> int:
        return 0

    def close(self) -> None:
        gone, self._socket = self._socket, None
        if gone is not None:
            with contextlib.suppress(OSError):
                gone.close()


class AuditSink:
    """One place. ``book``: a file in which is how far it is; ``database``: which log that is about, as another one
    counts from 1 again. Belongs to one event loop."""

    def __init__(self, out: Out, find: Find, *, book: Path, database: str) -> None:
        self._out = out
        self._find = find
        self._book = book
        self._database = database
        self._after: int | None = None  # None: not known yet
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = self._ending = False
        self._writing_since: float | None = None

    def __str__(self) -> str:
        return str(self._out)

    @property
    def well(self) -> bool:
        """Whether entries are taken, as far as is known."""
        since = self._writing_since
        if self._in_trouble or (self._task is not None and self._task.done()):
            return False
        return since is None or time.monotonic() - since < _HANGS

    def wake(self) -> None:
        """There are more entries."""
        self._more.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"audit log to {self}")

    async def stop(self, patience: float = 3.0) -> None:
        """What is there is written, if that takes no longer; else the next gateway does it."""
        task, self._task = self._task, None
        if task is None:
            return
        self._ending = True
        self._more.set()
        await asyncio.wait({task}, timeout=patience)
        if not task.done():
            log.warning("the audit log is not copied to %s as a whole yet; the next gateway goes on with it", self)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # --- inside ---

    async def _run(self) -> None:
        while True:
            self._more.clear()
            while await self._copy():
                pass
            if self._ending:
                break
            if self._in_trouble:
                await asyncio.sleep(_RETRY)
                continue
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._more.wait(), _IDLE)
        await in_thread("audit log's copy", self._out.close)

    async def _copy(self) -> bool:
        """The next entries; whether there may be more."""
        try:
            if self._after is None:
                self._after = await self._begin()
            entries = await self._find(AuditQuery(after=self._after, limit=_BATCH))
            if not entries:
                return False
            self._writing_since = time.monotonic()
            self._after = await in_thread("audit log's copy", self._put, entries)
        except Exception as error:  # whatever is wrong there, the copy is nobody's end: it is tried again, and told
            self._failed(error)
            return False
        finally:
            self._writing_since = None
        if self._in_trouble:
            self._in_trouble = False
            log.warning("the audit log is copied to %s again", self)
        return True

    async def _begin(self) -> int:
        """Behind which entry to go on."""
        newest = await self._find(AuditQuery(limit=1, newest=True))
        book, there = await in_thread("audit log's copy", self._noted)
        top = newest[-1].id if newest else 0
        if book is None:
            return top if not self._out.whole else there if there <= top else 0
        return min(max(book, there), top)  # the book is written after the file

    def _noted(self) -> tuple[int | None, int]:
        book = read_book(self._book, "what is copied of the audit log may begin anew")
        after = book.get("after")
        if book and book.get("database") != self._database:
            return None, 0
        return after if isinstance(after, int) else None, self._out.last()

    def _put(self, entries: Sequence[Entry]) -> int:
        there = self._out.put(entries)
        with contextlib.suppress(OSError):  # then some may be there twice after a kill
            write_book(self._book, {"database": self._database, "after": there})
        return there

    def _failed(self, error: Exception) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            why = getattr(error, "strerror", None) or error
            log.error("the audit log cannot be copied to %s (%s): it is tried again each second", self, why)
