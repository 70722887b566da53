"""Whether the disk has room for a copy, and for what must still be written after it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from jupyter_model_service.core.sentences import in_bytes
from jupyter_model_service.errors import NoSpace

from .snapshot_tree import Entry

LEFT_FREE = 64 << 20  # bytes of the disk, at most
BLOCK = 4096  # bytes that a file, folder or link takes beyond its content, at most


def check_space(entries: Sequence[Entry], folder: str, directory: Path) -> None:
    """What is left must do for the database: its log, of 1 MiB, and as much again when that is moved into it, and for
    what replicas write. A disk below 512 MiB cannot give up 64 MiB; an eighth of 16 MiB is just those two."""
    place = directory
    while not place.exists():
        place = place.parent
    disk = shutil.disk_usage(place)
    needed = sum(BLOCK + (entry.status.st_size if entry.kind == "file" else 0) for entry in entries)
    left = min(LEFT_FREE, disk.total // 8)
    if needed + left > disk.free:
        raise NoSpace(
            f"The files of {folder} need {in_bytes(needed)} in {directory}, where {in_bytes(disk.free)} are free and "
            f"{in_bytes(left)} must stay so: free some space, or move what replicas need not keep out of the folder."
        )
