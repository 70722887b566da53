"""A model folder as it lies on the disk: where it is, what it holds, what can be told of its definition. Blocking."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from ..adapters.definition_file import Checked, check_definition
from ..core.definition import definition_to_plain
from ..core.names import service_name_from
from ..errors import InvalidRequest, NotFound, Problem
from ..model_folder import FILE_NAMES
from ..wire import ProblemInfo
from ..wire.workbench import CheckInfo, DraftFile, DraftInfo, FolderInfo, GuessInfo, NoteInfo, SampleRequest
from .draft import Draft, draft, write
from .guess import Listing, guesses
from .kinds import PACKAGES
from .samples import read_samples

__all__ = ["below", "checked", "draft_in", "drafted", "installed_versions", "listing_of", "look", "presentable"]

_ENTRIES = 2_000  # of a folder and the folders in it; more tell nothing new
_READ = 40  # files
_BYTES = 200_000  # of each


def below(root: str, path: str) -> Path:
    """The folder that a path of Jupyter's contents names, or the folder of the definition that it names; without any
    links. ``NotFound`` for what is not there, is hidden, or lies outside of ``root``, be it by a link; also where only
    its definition does."""
    missing = NotFound(f"There is no folder {path[:200] or '/'} in Jupyter's files.")
    parts = [part for part in path.split("/") if part]
    if not root or "\0" in path or any(part.startswith(".") or os.sep in part for part in parts):
        raise missing
    if parts and parts[-1] in FILE_NAMES:
        parts.pop()
    try:
        top = Path(root).resolve(strict=True)
        found = top.joinpath(*parts).resolve(strict=True)
        if not found.is_relative_to(top) or not found.is_dir():
            raise missing
        for name in FILE_NAMES:
            if not (found / name).resolve().is_relative_to(top):
                raise NotFound(f"{path[:200]}/{name} is a link that leads out of Jupyter's files.")
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle, before Python 3.13
        raise missing from None
    return found


def look(folder: Path, path: str, *, here: bool = True) -> FolderInfo:
    """``path`` is what the caller knows the folder by; ``here``: its replicas are processes of this machine."""
    file = next((name for name in FILE_NAMES if os.path.lexists(folder / name)), None)
    found = Checked(None, ()) if file is None else check_definition(folder, here=here)
    problems = list(found.problems)
    definition = found.definition
    requests: Sequence[SampleRequest] = ()
    try:
        requests = read_samples(folder)
    except InvalidRequest as error:
        problems.append(Problem("", error.message, severity="warning"))
    return FolderInfo(
        path=path,
        folder=str(folder),
        definition_file=file,
        definition=None if definition is None else _legible(definition_to_plain(definition)),
        name=service_name_from(folder.name if definition is None else definition.name),
        problems=[_told(problem) for problem in problems],
        port_problem=None if found.port_problem is None else _told(found.port_problem),
        guesses=[GuessInfo(kind=g.kind, reason=g.reason, fields=dict(g.fields)) for g in guesses(listing_of(folder))],
        requests=list(requests),
    )


def checked(folder: Path, text: str, *, here: bool) -> CheckInfo:
    """What would be said of the folder's definition if it had this text. Nothing is written."""
    found = check_definition(folder, text, here=here)
    port_problem = None if found.port_problem is None else _told(found.port_problem)
    return CheckInfo(problems=[_told(problem) for problem in found.problems], port_problem=port_problem)


def _told(problem: Problem) -> ProblemInfo:
    return ProblemInfo(**_legible(dataclasses.asdict(problem)))


def _legible(plain: dict[str, Any]) -> dict[str, Any]:
    """Halves of characters, which YAML and JSON can name, cannot be sent as they are."""
    legible: dict[str, Any] = json.loads(json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace"))
    return legible


def draft_in(folder: Path, kind: str, fields: dict[str, str | int | bool]) -> Draft:
    present = [name for name in listing_of(folder).files if "/" not in name]
    return draft(kind, fields, folder=folder.name, present=present, versions=installed_versions(PACKAGES))


def presentable(found: Draft, folder: Path, written: Sequence[str], there: Sequence[str]) -> DraftInfo:
    """``there`` are the names that the folder had before."""
    files = [
        DraftFile(
            name=file.name,
            text=file.text,
            exists=file.name in there,
            notes=[NoteInfo(line=note.line, text=note.text) for note in file.notes],
        )
        for file in found.files
    ]
    return DraftInfo(files=files, written=list(written))


def drafted(folder: Path, kind: str, fields: dict[str, str | int | bool], keep: bool, force: bool) -> DraftInfo:
    """What would be written, and with ``keep`` is."""
    found = draft_in(folder, kind, fields)
    there = [name for name in found.names() if os.path.lexists(folder / name)]
    written = write(found, folder, force=force) if keep else []
    return presentable(found, folder, written, there)


def installed_versions(packages: Collection[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# --- what it holds -------------------------------------------------------------------------------------


def listing_of(folder: Path) -> Listing:
    """Of the folder and of the folders in it; hidden ones, environments and names that are no text (not UTF-8, as an
    archive of old may have, or of many lines) are left out, links are not followed."""
    files = list(islice(_files(folder), _ENTRIES))
    wanted = [name for name in files if name.endswith(".py") or name.rpartition("/")[2] == "config.json"]
    wanted.sort(key=lambda name: (name.count("/"), name))
    texts = {name: text for name in wanted[:_READ] if (text := _beginning(folder / name)) is not None}
    return Listing(tuple(sorted(files)), texts)


def _files(folder: Path) -> Iterator[str]:
    inner: list[os.DirEntry[str]] = []
    for entry in _entries(folder):
        if entry.is_file():
            yield entry.name
        elif entry.is_dir(follow_symlinks=False) and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
            inner.append(entry)
    for each in sorted(inner, key=lambda entry: entry.name):
        yield from (f"{each.name}/{entry.name}" for entry in _entries(Path(each.path)) if entry.is_file())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    skipped = ("__pycache__", "node_modules")
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in islice(entries, _ENTRIES) if entry.name not in skipped]
    except OSError:
        return []
    seen = [entry for entry in found if not entry.name.startswith(".") and _is_text(entry.name)]
    return sorted(seen, key=lambda entry: entry.name)


def _is_text(name: str) -> bool:
    return os.fsencode(name).decode("utf-8", "replace") == name and not any(
        unicodedata.category(c) == "Cc" for c in name
    )


def _beginning(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(_BYTES).decode("utf-8", "replace")
