"""Finds and reads ``model-definition.yaml`` in a model folder. What is wrong with the folder or the file is said as a
``DefinitionError`` that names it. For the gateway that can read the folder, and for the client of one that cannot."""

from __future__ import annotations

import difflib
import os
import stat
from itertools import islice
from pathlib import Path

from .errors import DefinitionError, Problem

__all__ = ["FILE_NAMES", "MAX_BYTES", "definition_path", "problem_with", "read_definition"]

FILE_NAMES = ("model-definition.yaml", "model-definition.yml")

MAX_BYTES = 1 << 20  # real definitions have 1 to 10 KB


def problem_with(file: str | Path, message: str) -> DefinitionError:
    """The error for one thing that is wrong with a folder or a file as a whole."""
    return DefinitionError([Problem("", message, file=str(file))])


def definition_path(folder: str) -> Path:
    """Where the folder's definition is, as an absolute path."""
    if not folder or "\0" in folder:
        raise problem_with("", "name the model folder: the path of a directory")
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            hint = f"; give the folder that it is in: {root.parent}" if root.name in FILE_NAMES else ""
            raise problem_with(root, f"is not a folder{hint}")
        with os.scandir(root) as entries:
            names = [entry.name for entry in islice(entries, 10_000)]
        found = [name for name in FILE_NAMES if name in names or os.path.lexists(root / name)]
    except FileNotFoundError:
        raise problem_with(root, "there is no such folder") from None
    except OSError as error:
        raise problem_with(root, f"the folder cannot be read: {_reason(error)}") from None
    if not found:
        near = difflib.get_close_matches(FILE_NAMES[0], names, n=1, cutoff=0.8)
        hint = f"; rename {near[0]} if that is it" if near else ""
        raise problem_with(root, f"the folder has no {FILE_NAMES[0]}, which says how to serve it{hint}")
    if len(found) > 1:
        raise problem_with(root, f"the folder has both {found[0]} and {found[1]}; keep one of them")
    return root / found[0]


def read_definition(path: Path) -> str:
    """The text of a definition file: UTF-8, and of a size that a definition can have."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise problem_with(path, "is not a regular file")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise problem_with(path, f"cannot be read: {_reason(error)}") from None
    if len(content) > MAX_BYTES:
        raise problem_with(path, f"is larger than {MAX_BYTES >> 20} MiB; it should hold only the definition")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = "is not UTF-8 text here; save the file as UTF-8"
        raise DefinitionError([Problem("", message, file=str(path), line=line)]) from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
