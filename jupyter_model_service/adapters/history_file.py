"""Figures over time on the disk, so that a restart of the gateway leaves no hole in the pictures of the day. They are
worth nothing else: what cannot be read or written is said once in the log, and everything goes on without."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path

__all__ = ["HistoryFile"]

log = logging.getLogger(__name__)

PLAIN_BYTES = 256 << 20  # a full day of 5,000 services
FILE_BYTES = 64 << 20  # what they come to in zlib's hands, at most


class HistoryFile:
    """Its methods block: for a thread. ``most``: bytes before they are compressed."""

    def __init__(self, path: Path, most: int = PLAIN_BYTES) -> None:
        self._path = path
        self._most = most
        self._told = False

    def read(self) -> bytes | None:
        """``None`` when there is nothing that could be used."""
        try:
            # Neither a link is followed nor a pipe waited for: whoever put it there is not us.
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_BYTES:
                    raise ValueError("it is no file of ours")
                return _decompressed(file.read(FILE_BYTES), self._most)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.refused("read", error)
            return None

    def write(self, pieces: Sequence[bytes]) -> None:
        """In one step: a gateway that is killed meanwhile leaves the former one. The pieces are what is to be read as
        a whole; put together in one go, they would keep all other threads waiting."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            if (size := sum(map(len, pieces))) > self._most:
                raise ValueError(f"{size >> 20} MiB are more than are kept")
            packer = zlib.compressobj(1)
            body = [*map(packer.compress, pieces), packer.flush()]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.writelines(body)
            os.replace(temporary, self._path)
            self._told = False
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            self.refused("written", error)

    def refused(self, what: str, error: Exception) -> None:
        if not self._told:
            self._told = True
            why = error.strerror if isinstance(error, OSError) else error
            log.warning("the figures in %s cannot be %s: %s", self._path, what, why)


def _decompressed(data: bytes, most: int) -> bytes:
    """``ValueError`` for what is no output of zlib, and for a small file that would become a huge one."""
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(data, most)
    except zlib.error as error:
        raise ValueError("it is damaged") from error
    if not reader.eof:
        raise ValueError("it is damaged")
    return found
