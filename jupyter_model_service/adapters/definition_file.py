"""Reads and checks the definition of a model folder. Where a folder cannot be served, the error says which file (and
line) it is about and what would be right."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.command import cannot_start
from ..core.definition import Definition, parse, where
from ..core.hub_options import is_volume
from ..core.revision import Kept
from ..errors import DefinitionError, InvalidRequest, Problem
from ..model_folder import FILE_NAMES, MAX_BYTES, definition_path, problem_with, read_definition
from ..ports import GivenDefinition
from .daemon_threads import in_thread
from .yaml_document import Document, YamlProblem, read_yaml

_START_COMMAND = ("models", 0, "service", "start_command")
READ_TIMEOUT = 30.0  # seconds; a network file system may hang for ever


class DefinitionFiles:
    """Implements ``ports.Definitions`` on the file system. All file work is done in a thread. What was given is not
    looked at: the folder itself is."""

    async def load(
        self, folder: str, given: GivenDefinition | None = None, kept: Kept | None = None
    ) -> tuple[Definition, Sequence[Problem]]:
        copy = kept.path if kept is not None and kept.kind == "copy" else None
        try:
            return await asyncio.wait_for(in_thread(f"definition of {folder}", _load, folder, copy), READ_TIMEOUT)
        except asyncio.TimeoutError:
            raise problem_with(
                folder, f"could not be read within {READ_TIMEOUT:.0f} s; is the file system well?"
            ) from None


class GivenDefinitions:
    """Implements ``ports.Definitions`` where the folders are out of reach: what the user's program read there counts.
    Who lies about it gets what was told, run with the files of the user's own folder."""

    async def load(
        self, folder: str, given: GivenDefinition | None = None, kept: Kept | None = None
    ) -> tuple[Definition, Sequence[Problem]]:
        if not is_volume(folder) and (not os.path.isabs(folder) or "\0" in folder):
            raise problem_with(folder, "name the model folder by its absolute path")
        if given is None:
            raise InvalidRequest(
                f"This gateway cannot read {folder}: send the text of its {FILE_NAMES[0]} along as `definition`, "
                "as this version's command line and Python client do."
            )
        if given.file not in FILE_NAMES:
            raise InvalidRequest(f"{given.file[:60]!r} is no name of a definition: it is {' or '.join(FILE_NAMES)}.")
        path = Path(folder) / given.file
        if len(given.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise problem_with(path, f"is larger than {MAX_BYTES >> 20} MiB; it should hold only the definition")
        definition, warnings, _ = await asyncio.to_thread(_parsed, path, given.text)
        return definition, warnings


def _load(folder: str, copy: str | None) -> tuple[Definition, tuple[Problem, ...]]:
    """What is wrong in the copy is said of the folder: the copy goes with the error."""
    if copy is None:
        return load_definition(folder)
    root = os.path.abspath(os.path.expanduser(folder))

    def told(problem: Problem) -> Problem:
        file, message = (text.replace(copy, root) for text in (problem.file or "", problem.message))
        return dataclasses.replace(problem, file=file or None, message=message)

    try:
        definition, warnings = load_definition(copy)
    except DefinitionError as error:
        raise DefinitionError([told(problem) for problem in error.problems]) from None
    return definition, tuple(map(told, warnings))


def load_definition(folder: str) -> tuple[Definition, tuple[Problem, ...]]:
    """Of the file system, blocking. Raises ``DefinitionError`` with all problems."""
    path = definition_path(folder)
    definition, warnings, document = _parsed(path, read_definition(path))
    return definition, _in_file(path, [*warnings, *_missing_model_path(definition, path.parent, document)])


@dataclass(frozen=True)
class Checked:
    """``definition`` is ``None`` where it cannot be served. ``port_problem`` is not among ``problems``: it is none
    where an environment variable of the service has the value ``{port}``."""

    definition: Definition | None
    problems: tuple[Problem, ...]
    port_problem: Problem | None = None


def check_definition(folder: Path, text: str | None = None, *, here: bool) -> Checked:
    """All that can be said of a folder's definition before there is a service, each with its line: of ``text``, which
    may be in it one day, or of the file. ``here``: replicas are processes of this machine. Blocking."""
    try:
        path = definition_path(str(folder))
        definition, warnings, document = _parsed(path, read_definition(path) if text is None else text)
    except DefinitionError as error:
        return Checked(None, error.problems)
    problems = [*warnings, *_missing_model_path(definition, path.parent, document)]
    reason = cannot_start(definition, here=here)
    if reason is None:
        return Checked(definition, _in_file(path, problems))
    lines = (document.lines.get(place) for place in (_START_COMMAND, _START_COMMAND[:-1]))
    problem = Problem(where(_START_COMMAND), reason, line=next(filter(None, lines), None))
    if here and cannot_start(definition, here=True, environment=[("PORT", "{port}")]) is None:
        return Checked(definition, _in_file(path, problems), *_in_file(path, [problem]))
    return Checked(None, _in_file(path, [*problems, problem]))


def _parsed(path: Path, text: str) -> tuple[Definition, tuple[Problem, ...], Document]:
    try:
        document = read_yaml(text)
    except YamlProblem as error:
        raise DefinitionError([Problem("", error.message, file=str(path), line=error.line)]) from error
    problems = [Problem(where(place), wrong.message, line=wrong.line) for place, wrong in document.problems]
    try:
        definition, warnings = parse(document.data, document.lines, document.spelling)
    except DefinitionError as error:
        raise DefinitionError(_in_file(path, [*problems, *error.problems])) from None
    if problems:
        raise DefinitionError(_in_file(path, [*problems, *warnings]))
    return definition, _in_file(path, warnings), document


def _in_file(path: Path, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of the file, each with its name."""
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    return tuple(dataclasses.replace(problem, file=str(path)) for problem in ordered)


def _missing_model_path(definition: Definition, root: Path, document: Document) -> Sequence[Problem]:
    """A warning when ``model_path`` is under ``/models`` but not in the folder (yet)."""
    inside = definition.model_path.removeprefix("/models/")
    if inside == definition.model_path or (root / inside).is_dir():
        return ()
    line = document.lines.get(("models", 0, "model_path"))
    message = f"stands for {root / inside}, and there is no such folder; a replica starts in it, so make it first"
    return (Problem("models[0].model_path", message, line=line, severity="warning"),)
