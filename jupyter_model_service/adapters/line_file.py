"""Appending whole lines to a file, which others may move away at any time, or to standard output."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

__all__ = ["LineFile", "LineStream"]

log = logging.getLogger(__name__)


class LineFile:
    """Belongs to one thread. Made with mode 0600; one that is there keeps its own. Before each write it is looked
    whether the file is still where it was: whoever moves it away (logrotate) finds the next lines in a new one, and has
    to tell nobody.

    ``most``: the bytes beyond which it becomes ``NAME.1``, in the place of the former one; 0 for never. ``begins``: how
    each of the lines does; a file that begins otherwise is somebody else's, such as a database, and left alone.
    """

    def __init__(self, path: Path, most: int = 0, *, begins: bytes = b"") -> None:
        self.path = path
        self._begins = begins
        self._most = most
        self._descriptor: int | None = None
        self._cannot_rotate = False

    def __str__(self) -> str:
        return str(self.path)

    def write(self, lines: bytes) -> None:
        """All of it, or ``OSError``: then nothing of it is there, so that it can be written again."""
        descriptor = self._current()
        size = os.fstat(descriptor).st_size
        if self._most and size and size + len(lines) > self._most and self._rotate():
            descriptor = self._current()
            size = 0
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            self.close()
            raise

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # the last write has said it
                os.close(descriptor)

    def _current(self) -> int:
        if self._descriptor is not None:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path)):
                    return self._descriptor
            self.close()
        self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        # A link may lead elsewhere. For reading, too: a pipe that is opened so waits for nobody.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self.path, flags, 0o600)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{self.path} is not a regular file")
            if status.st_size and os.pread(descriptor, len(self._begins), 0) != self._begins:
                raise OSError(f"{self.path} has something else in it")
            if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
                os.write(descriptor, b"\n")  # a line that was begun by one who was killed stays alone
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _rotate(self) -> bool:
        try:
            os.replace(self.path, f"{self.path}.1")
        except OSError as error:
            if not self._cannot_rotate:
                log.error("%s stays beyond %d bytes: it cannot be renamed (%s)", self, self._most, error.strerror)
            self._cannot_rotate = True
            return False
        self._cannot_rotate = False
        return True


class LineStream:
    """A descriptor that is there already, such as standard output. What went out cannot be taken back: the rest of the
    same lines follows with the next :meth:`write`."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._written = 0

    def __str__(self) -> str:
        return self._name

    def write(self, lines: bytes) -> None:
        """``OSError``: to be called again with the same lines."""
        while self._written < len(lines):
            self._written += os.write(self._descriptor, memoryview(lines)[self._written :])
        self._written = 0

    def close(self) -> None:
        """It is not ours."""
