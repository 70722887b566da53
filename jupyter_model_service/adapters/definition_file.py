"""Finds and reads ``model-definition.yaml`` in a model folder. Where a folder cannot be served, the error says
which file (and line) it is about and what would be right."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import os
import stat
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from ..core.definition import Definition, parse, where
from ..errors import DefinitionError, Problem
from .yaml_document import Document, YamlProblem, read_yaml

FILE_NAMES = ("model-definition.yaml", "model-definition.yml")

MAX_BYTES = 1 << 20  # real definitions have 1 to 10 KB

READ_TIMEOUT = 30.0  # seconds; a network file system may hang for ever


class DefinitionFiles:
    """Implements ``ports.Definitions`` on the file system. All file work is done in a thread."""

    async def load(self, folder: str) -> tuple[Definition, Sequence[Problem]]:
        try:
            return await asyncio.wait_for(asyncio.to_thread(load_definition, folder), READ_TIMEOUT)
        except asyncio.TimeoutError:
            raise _error(folder, f"could not be read within {READ_TIMEOUT:.0f} s; is the file system well?") from None


def load_definition(folder: str) -> tuple[Definition, tuple[Problem, ...]]:
    """The same, blocking. Raises ``DefinitionError`` with all problems."""
    path = _definition_path(folder)
    try:
        document = read_yaml(_read(path))
    except YamlProblem as error:
        raise DefinitionError([Problem("", error.message, file=str(path), line=error.line)]) from error
    problems = [Problem(where(place), wrong.message, line=wrong.line) for place, wrong in document.problems]
    try:
        definition, warnings = parse(document.data, document.lines, document.spelling)
    except DefinitionError as error:
        raise DefinitionError(_in_file(path, [*problems, *error.problems])) from None
    if problems:
        raise DefinitionError(_in_file(path, [*problems, *warnings]))
    return definition, _in_file(path, [*warnings, *_missing_model_path(definition, path.parent, document)])


def _in_file(path: Path, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of the file, each with its name."""
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    return tuple(dataclasses.replace(problem, file=str(path)) for problem in ordered)


def _error(file: str | Path, message: str) -> DefinitionError:
    return DefinitionError([Problem("", message, file=str(file))])


def _definition_path(folder: str) -> Path:
    if not folder or "\0" in folder:
        raise _error("", "name the model folder: the path of a directory")
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            hint = f"; give the folder that it is in: {root.parent}" if root.name in FILE_NAMES else ""
            raise _error(root, f"is not a folder{hint}")
        with os.scandir(root) as entries:
            names = [entry.name for entry in islice(entries, 10_000)]
        found = [name for name in FILE_NAMES if name in names or os.path.lexists(root / name)]
    except FileNotFoundError:
        raise _error(root, "there is no such folder") from None
    except OSError as error:
        raise _error(root, f"the folder cannot be read: {_reason(error)}") from None
    if not found:
        near = difflib.get_close_matches(FILE_NAMES[0], names, n=1, cutoff=0.8)
        hint = f"; rename {near[0]} if that is it" if near else ""
        raise _error(root, f"the folder has no {FILE_NAMES[0]}, which says how to serve it{hint}")
    if len(found) > 1:
        raise _error(root, f"the folder has both {found[0]} and {found[1]}; keep one of them")
    return root / found[0]


def _read(path: Path) -> str:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _error(path, "is not a regular file")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _error(path, f"cannot be read: {_reason(error)}") from None
    if len(content) > MAX_BYTES:
        raise _error(path, f"is larger than {MAX_BYTES >> 20} MiB; it should hold only the definition")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = "is not UTF-8 text here; save the file as UTF-8"
        raise DefinitionError([Problem("", message, file=str(path), line=line)]) from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _missing_model_path(definition: Definition, root: Path, document: Document) -> Sequence[Problem]:
    """A warning when ``model_path`` is under ``/models`` but not in the folder (yet)."""
    inside = definition.model_path.removeprefix("/models/")
    if inside == definition.model_path or (root / inside).is_dir():
        return ()
    line = document.lines.get(("models", 0, "model_path"))
    message = f"stands for {root / inside}, and there is no such folder; a replica starts in it, so make it first"
    return (Problem("models[0].model_path", message, line=line, severity="warning"),)
