"""The fingerprint of a folder, by the rule of ``hub/copier.py``: what tells a user's own server, which sees the folder,
whether it is still as a revision on a hub has it. The copier is a file that must stand alone, so the rule is written in
both; a test holds them equal.

Of every file its name, size, time and whether it can be run; of every link its text; nothing of folders, pipes and the
like. Sums do not depend on the order of looking.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Collection

__all__ = ["EXCLUDED", "SECONDS", "fingerprint"]

EXCLUDED = (".git", ".ipynb_checkpoints", "__pycache__")
SECONDS = 5.0  # for a look: 100,000 files on a local disk take about one, and on a busy machine more
DEEPEST = 100  # folders below each other, as in the copier


class _TooLong(Exception):
    pass


def fingerprint(folder: str, *, seconds: float = SECONDS, exclude: Collection[str] = EXCLUDED) -> str | None:
    """64 hexadecimal digits; ``None`` when that cannot be found out within ``seconds``, whatever the file system does.

    What is mounted somewhere in the folder is left out: a copy on a hub has none of it.
    """
    found: list[str] = []
    work = _Sum(time.monotonic() + seconds, frozenset(exclude))

    def look() -> None:
        try:
            found.append(work.of(os.path.realpath(folder)))
        except (OSError, _TooLong):
            return

    # A thread that nobody waits for at the end: it may hang in a network file system.
    thread = threading.Thread(target=look, name="fingerprint", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


class _Sum:
    def __init__(self, ends: float, exclude: frozenset[str]) -> None:
        self._ends = ends
        self._exclude = exclude
        self._sum = 0
        self._mounts: frozenset[str] = frozenset()

    def of(self, root: str) -> str:
        self._mounts = _mounts_below(root)
        self._folder(root, "", 0)
        return f"{self._sum:064x}"

    def _folder(self, place: str, name: str, depth: int) -> None:
        if depth > DEEPEST:
            raise _TooLong
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name in self._exclude:
                    continue
                if time.monotonic() > self._ends:
                    raise _TooLong
                self._entry(entry, f"{name}/{entry.name}" if name else entry.name, depth)

    def _entry(self, entry: os.DirEntry[str], path: str, depth: int) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if entry.path not in self._mounts:
                self._folder(entry.path, path, depth + 1)
        elif stat.S_ISREG(status.st_mode):
            runs = b"run" if status.st_mode & 0o100 else b"file"
            self._mark(path, runs, b"%d %d" % (status.st_size, status.st_mtime_ns))
        elif stat.S_ISLNK(status.st_mode):
            self._mark(path, b"link", os.fsencode(os.readlink(entry.path)))

    def _mark(self, path: str, kind: bytes, what: bytes) -> None:
        digest = hashlib.sha256(b"\0".join((os.fsencode(path), kind, what))).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)


def _mounts_below(root: str) -> frozenset[str]:
    """By the kernel's list: a volume on the same disk cannot be told by its device number. None where there is no such
    list."""
    try:
        with open("/proc/self/mountinfo", "rb") as lines:
            places = [line.split(b" ", 5)[4] for line in lines]
    except (OSError, IndexError):
        return frozenset()
    named = (os.fsdecode(re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), place)) for place in places)
    start = root.rstrip("/") + "/"
    return frozenset(place for place in named if place.startswith(start))
