"""Copies of revisions go: by name first, and then for as long as it takes."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

GONE = ".gone-"  # how the name of one begins that is being removed


def marks_file(copy: Path) -> Path:
    return copy.with_name(copy.name + ".json")


def children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def discard(copy: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(marks_file(copy))
    _remove(copy)
    with contextlib.suppress(OSError):
        copy.parent.rmdir()  # the folder of a service of which nothing was kept


def remove_all(doomed: Sequence[Path]) -> None:
    for path in doomed:
        if path.name.startswith(GONE):
            _remove(path)
        else:
            with contextlib.suppress(OSError):
                path.rmdir()


def _remove(path: Path) -> None:
    """Also what a model has made unwritable. What cannot be removed now is tried again at the next collection."""

    def again(function: Callable[..., Any], name: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            if not os.path.islink(name) and os.path.isdir(name):
                os.chmod(name, 0o700)
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)

    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return
    if is_folder:
        shutil.rmtree(path, onerror=again)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
