"""The temporary folders of dry runs: each is held by the process that made it, and one whose process was killed is
removed by the next dry run, with what may be left of its server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..adapters.launch_local import LocalLauncher
from ..errors import ModelServiceError

__all__ = ["Held", "sweep"]

_PREFIX = "model-dry-run-"
_OWNER = "owner"  # locked as long as the process lives that made the folder; the kernel lets go of it in any case
_MOST = 10  # folders at one time
_REPLICA = re.compile(r"dry-run-[0-9a-f]{6}")


class Held:
    """A folder of this process. Blocking, for a moment."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        fresh = self.path / f".{_OWNER}"
        self._lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # It has its name only when it is locked: nobody sees it free before.
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(self.path / _OWNER)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


async def sweep() -> None:
    """Removes the folders of this user's processes that are gone. Never raises; a folder that resists stays."""
    found = await asyncio.to_thread(lambda: list(_abandoned()))
    try:
        for path, _ in found:
            with contextlib.suppress(ModelServiceError, OSError):
                launcher = LocalLauncher(path / "replicas")
                for name in _replicas(path):
                    await launcher.stop(name, None)
                await asyncio.to_thread(shutil.rmtree, path, True)
    finally:
        for _, lock in found:
            os.close(lock)


def _abandoned() -> Iterator[tuple[Path, int]]:
    """With the lock, which proves that nobody has it."""
    count = 0
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError):
            there = path.lstat()
            if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid() or there.st_mode & 0o077:
                continue  # somebody else's, or a link to it
            lock = os.open(path / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            yield path, lock
            count += 1
            if count == _MOST:
                return


def _replicas(path: Path) -> list[str]:
    folder = path / "replicas"
    return [each.name for each in folder.iterdir() if _REPLICA.fullmatch(each.name)] if folder.is_dir() else []
