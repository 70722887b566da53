"""What lies beside the state database: copies that upgrades left as the way back, and what a kill left half made.

A copy of a database from before secrets were sealed has them as they are, and nobody but an administrator can know
whether it is still needed. So those are named at each start, and what nobody needs is removed.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

__all__ = ["WITHOUT_PLAIN", "back_up", "clear_half_made", "empty_file_for", "sync_folder", "told_of_plain", "way_back"]

NEW = ".new"  # ending of a database that is being made: whoever loses a race for it uses the winner's
_COPYING = ".copying"  # … and of a copy that is: only one program upgrades, as the gateway holds the folder's lock
_ABANDONED = 60.0  # seconds after which nobody works on a new one any more: making takes milliseconds
# As SQLite's ``application_id`` ("JMS1"): nothing is left in this database from before secrets were sealed.
WITHOUT_PLAIN = 0x4A4D5331
_OF_SQLITE = ("-wal", "-shm", "-journal")
_AT = 68  # where SQLite's header has it, in 4 bytes (https://www.sqlite.org/fileformat.html, 1.3)


def empty_file_for(path: Path, ending: str = NEW) -> Path:
    """In the same folder, mode 0600."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=ending, dir=path.parent)
    os.close(descriptor)
    return Path(name)


def clear_half_made(path: Path) -> None:
    """What a kill left half made beside the database at ``path``. A copy that was not finished may be a whole database,
    and be hidden; a new database may just be made by another program."""
    for left in _there(path, f".{path.name}.*{_COPYING}*"):
        with suppress(OSError):
            left.unlink()
    for left in _there(path, f".{path.name}.*{NEW}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


def way_back(path: Path, schema: str) -> Path:
    """The copy of the database as it was, of this ``schema``."""
    return path.with_name(f"{path.name}.schema-{schema}")


def back_up(path: Path, copy: Path, connect: Callable[[Path, str], sqlite3.Connection]) -> None:
    """With what is in the log; complete or not there at all. ``connect`` opens a database, as ``ro`` or ``rw``."""
    new = empty_file_for(path, _COPYING)
    try:
        with closing(connect(path, "ro")) as source, closing(connect(new, "rw")) as target:
            source.backup(target)
        new.replace(copy)
        sync_folder(path.parent)
    finally:
        new.unlink(missing_ok=True)


def told_of_plain(path: Path) -> str | None:
    """One sentence that names the copies beside ``path`` in which secrets stand as they are; ``None`` without one."""
    patterns = (f"{path.name}.schema-*", f".{path.name}.*{NEW}", f".{path.name}.*{_COPYING}")
    found = sorted(str(copy) for pattern in patterns for copy in _there(path, pattern) if _has_plain(copy))
    if not found:
        return None
    are, them = ("is", "it") if len(found) == 1 else ("are each", "them")
    return (
        f"{', '.join(found)} {are} the database as it was, in which the secrets of replicas and the environment values "
        f"of models stand as they are: remove {them} as soon as you will not go back to the former version"
    )


def _has_plain(copy: Path) -> bool:
    """By what its header says: the database was copied before anything in it was sealed and written over."""
    if copy.name.endswith(_OF_SQLITE):
        return False  # it goes with a copy that is named, or with one that has nothing
    try:
        with copy.open("rb") as file:
            header = file.read(_AT + 4)
    except OSError:
        return True  # nobody knows
    return bool(header) and header[_AT:] != WITHOUT_PLAIN.to_bytes(4, "big")


def _there(path: Path, pattern: str) -> Iterator[Path]:
    return (found for found in path.parent.glob(pattern) if not found.is_dir())


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
