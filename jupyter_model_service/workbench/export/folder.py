"""The folder that ``deploy`` writes: a draft, the saved model, and a record of both by which it knows its own files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import Conflict, InvalidRequest
from ...wire.workbench import SampleRequest
from ..draft import Draft, Drafted, draft
from ..folder import installed_versions
from ..kinds import PACKAGES
from ..samples import FILE as SAMPLES
from ..samples import MAX_BYTES, samples_text, write_file
from .examples import shape
from .saving import Saved

__all__ = ["RECORD", "Written", "check_folder", "write_folder"]

RECORD = ".deployed.json"


@dataclass(frozen=True)
class Written:
    """``files`` are the names of what was written; ``kept`` of what somebody changed since, which stays as it is."""

    folder: Path
    files: tuple[str, ...]
    kept: tuple[str, ...]


def check_folder(folder: Path) -> dict[str, str]:
    """What an earlier ``deploy`` wrote there: the SHA-256 of each file by its name. ``Conflict`` when the folder is
    somebody else's."""
    if not os.path.lexists(folder):
        return {}
    if folder.is_symlink() or not folder.is_dir():
        raise Conflict(f"{folder} is there already, and is no folder: give another folder=.")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
        return {name: digest for name, digest in record.items() if _inside(name) and isinstance(digest, str)}
    except FileNotFoundError:
        if not any(folder.iterdir()):
            return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Conflict(f"{folder} is there already and was not written by deploy: give another name, or another folder=.")


def _inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def write_folder(folder: Path, name: str, save: Callable[[Path], Saved]) -> tuple[Written, Saved]:
    """``save`` writes the model to the folder that it is given; nothing is in ``folder`` before all of it is there."""
    before = check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
            fresh = Path(made)
            saved = save(fresh)
            for file in _files(name, saved).files:
                write_file(fresh / file.name, file.text, over=False)
            return _moved(fresh, folder, before), saved
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}.") from error


def _moved(fresh: Path, folder: Path, before: Mapping[str, str]) -> Written:
    names = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
    _check_links(folder, {*names, *before})
    digests = {name: _digest(fresh / name) for name in names}
    kept = [name for name in names if name in before and _changed(folder / name, before[name])]
    if foreign := [name for name in names if name not in before and os.path.lexists(folder / name)]:
        raise Conflict(f"{folder / foreign[0]} was not written by deploy: take it away, or give another folder=.")
    if weights := [name for name in kept if not name.endswith((".py", ".yaml", ".txt", SAMPLES))]:
        raise Conflict(
            f"{folder / weights[0]} was changed since deploy wrote it: take it away, or give another folder=."
        )
    gone = [name for name in before if name not in digests]
    if gone and kept:
        raise Conflict(
            f"This model is saved in other files than the one before, and {folder / kept[0]} was changed since deploy "
            "wrote it: give another folder=, or take that file away."
        )
    folder.mkdir(exist_ok=True)
    # Before the files: whatever happens meanwhile, none of them is taken for somebody else's. One that is kept differs
    # from what would have been written, too.
    write_file(folder / RECORD, _record({**before, **digests}), over=True)
    for name in names:
        if name not in kept:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / name, folder / name)
    for name in gone:
        if not _changed(folder / name, before[name]):
            (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                (folder / name).parent.rmdir()
    write_file(folder / RECORD, _record(digests), over=True)
    return Written(folder, tuple(name for name in names if name not in kept), tuple(kept))


def _check_links(folder: Path, names: Collection[str]) -> None:
    """A folder in it that is a link leads to files that are not in it. ``Conflict`` before any is read or written."""
    parents = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    for parent in sorted(parents):
        if (folder / parent).is_symlink():
            raise Conflict(
                f"{folder / parent} is a link, behind which deploy writes nothing: take it away, or give another "
                "folder=."
            )


def _record(files: Mapping[str, str]) -> str:
    told = "What deploy() wrote here, by SHA-256: it writes over nothing else."
    return json.dumps({"about": told, "files": dict(sorted(files.items()))}, indent=2) + "\n"


def _changed(path: Path, digest: str) -> bool:
    """One that was taken away is no change: it is written again."""
    if path.is_symlink():
        return True
    return path.exists() and _digest(path) != digest


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


# --- the draft -----------------------------------------------------------------------------------------


def _files(name: str, saved: Saved) -> Draft:
    made = draft(saved.kind, {**saved.fields, "name": name}, folder=name, versions=installed_versions(PACKAGES))
    text = samples_text(_samples(saved))
    files = [dataclasses.replace(file, text=text) if file.name == SAMPLES else file for file in made.files]
    return Draft((*files,) if SAMPLES in made.names() else (*files, Drafted(SAMPLES, text)))


def _samples(saved: Saved) -> list[SampleRequest]:
    """The example, called after what its answer looks like. One that is too large to be kept is cut to one input."""
    health = SampleRequest(name="health", path="/health")
    inputs, outputs = saved.inputs, saved.outputs
    for _ in range(2):
        if inputs is None:
            break
        told = f"predict: {shape(outputs)}"
        body = {"inputs": inputs}
        sample = SampleRequest(
            name=told if len(told) <= 100 else told[:99] + "…", method="POST", path="/predict", body=body
        )
        if len(samples_text([sample, health])) <= MAX_BYTES // 2:
            return [sample, health]
        one = isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs) > 1
        inputs, outputs = (inputs[:1], outputs[:1]) if one else (None, None)
    return [health]
