"""One model folder for a snapshot: what is in it, what of it is copied, and what only pointed to.

| in the folder | in the copy |
| --- | --- |
| a file up to ``file_bytes`` | a copy with its mode and time (shared blocks where the file system can) |
| a larger file, such as weights | a link to the original |
| a virtual environment, ``node_modules`` | a link to the original |
| a link to something that is copied | a link inside the copy |
| a link to anything else | a link to the same place |
| what this user may not read | a link to the original |
| ``.git``, ``__pycache__``, ``.ipynb_checkpoints`` | nothing; a link into one of these points to the original |
| pipes, sockets, devices | nothing |
| the gateway's own folder, Jupyter's runtime folder | nothing, as tokens lie there |

Links are never followed, and every name is opened below the descriptor of its folder, so that what was put in the place
of a folder or a file meanwhile is not either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_model_service.core.revision import SnapshotLimits
from jupyter_model_service.core.sentences import in_bytes

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

LEFT_OUT = frozenset({".git", "__pycache__", ".ipynb_checkpoints"})
LINKED_WHOLE = frozenset({"node_modules"})
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")  # what is in a virtual environment and nowhere else
ATTEMPTS = 3  # at a file that changes while it is copied
CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What opening says of something that was put in the place of what was listed: a link, a pipe, a file for a folder.
_SWAPPED = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EMLINK)
_GONE = (errno.ENOENT, errno.ESTALE, *_SWAPPED)
_FICLONE = 0x40049409  # ioctl of Linux: share the blocks of another file


class TooMuch(Exception):
    """The folder is beyond a limit; the text is the reason in one clause."""


def too_many_bytes(limits: SnapshotLimits) -> str:
    return f"the folder holds more than {in_bytes(limits.bytes)}, files that would be linked not counted"


@dataclass(frozen=True)
class Entry:
    """``name`` is relative to the folder. ``kind``: ``folder``, ``file``, ``link`` (as it is, to ``target``),
    ``whole`` (a file or folder of which only a link to the original is made). ``status`` is the name's own."""

    name: str
    kind: str
    status: os.stat_result
    target: str = ""
    outside: bool = False  # a link that leaves the folder
    unreadable: bool = False

    @property
    def mark(self) -> tuple[str, int, int] | None:
        """By which a later look tells whether it is still the same. Of a folder what is in it counts, not itself."""
        if self.kind == "folder" or (self.kind == "whole" and stat.S_ISDIR(self.status.st_mode)):
            return None
        return _mark(self.status)


@dataclass(frozen=True)
class Done:
    mark: tuple[str, int, int] | None
    files: int = 0
    bytes: int = 0
    linked: int = 0
    unreadable: bool = False


class Opened:
    """A model folder, and one folder in it at a time, by descriptors. ``root`` has no links in its path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with _named(root):
            self._root = os.open(root, _FOLDER)
        self._name, self._here = "", self._root

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    def folder(self, name: str) -> int:
        """The descriptor of the folder ``name``, until the next call; ``OSError`` where there is none any more."""
        if name != self._name:
            self._leave()
            for part in name.split(os.sep) if name else ():
                try:
                    with _named(self.root / name):
                        below = os.open(part, _FOLDER, dir_fd=self._here)
                finally:
                    self._leave()
                self._here = below
            self._name = name
        return self._here

    def replaced(self) -> bool:
        """Whether another folder, or none, is at its path now."""
        there, here = _identity(self.root), os.fstat(self._root)
        return there != (here.st_dev, here.st_ino)

    def _leave(self) -> None:
        if self._here != self._root:
            os.close(self._here)
        self._name, self._here = "", self._root


def _mark(status: os.stat_result) -> tuple[str, int, int]:
    kind = "link" if stat.S_ISLNK(status.st_mode) else "file"
    return kind, status.st_size, status.st_mtime_ns


# --- looking -----------------------------------------------------------------------------------------


def scan(
    opened: Opened, limits: SnapshotLimits, *, avoid: Collection[Path], go_on: Callable[[], None] = lambda: None
) -> list[Entry]:
    """Everything that gets a place in the copy, folders before what is in them. ``avoid`` are folders that are passed
    over if they lie within the model's, such as the one that copies are made in. ``TooMuch`` as soon as a limit is
    passed; ``OSError`` when the folder itself cannot be read. ``go_on`` is called now and then and may raise."""
    found: list[Entry] = []
    total = 0
    own = {_identity(folder) for folder in avoid}
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        go_on()
        for entry in _listed(opened, inside):
            name = os.path.join(inside, entry.name)
            try:
                with _named(opened.root / name):
                    found_one = _entry(opened, name, entry, limits, own)
            except OSError as error:
                if error.errno in _GONE:  # since it was listed
                    continue
                raise
            if found_one is None:
                continue
            found.append(found_one)
            if found_one.kind == "folder":
                waiting.append(name)
            elif found_one.kind == "file":
                total += found_one.status.st_size
            if len(found) > limits.files:
                raise TooMuch(f"the folder holds more than {limits.files:,} files")
            if total > limits.bytes:
                raise TooMuch(too_many_bytes(limits))
    return found


def _listed(opened: Opened, inside: str) -> list[os.DirEntry[str]]:
    try:
        with _named(opened.root / inside), os.scandir(opened.folder(inside)) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if inside and error.errno in _GONE:  # since it was listed
            return []
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _entry(
    opened: Opened,
    name: str,
    entry: os.DirEntry[str],
    limits: SnapshotLimits,
    own: Collection[tuple[int, int] | None],
) -> Entry | None:
    if entry.name in LEFT_OUT:
        return None
    inside = opened.folder(os.path.dirname(name))
    status = os.stat(entry.name, dir_fd=inside, follow_symlinks=False)
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        target, outside = link_target(opened.root, name, os.readlink(entry.name, dir_fd=inside))
        return Entry(name, "link", status, target, outside)
    if stat.S_ISDIR(mode):
        if (status.st_dev, status.st_ino) in own:
            return None
        if entry.name in LINKED_WHOLE:
            return Entry(name, "whole", status)
        try:
            return Entry(name, "whole" if _is_environment(entry.name, inside) else "folder", status)
        except PermissionError:
            return Entry(name, "whole", status, unreadable=True)
    if stat.S_ISREG(mode):
        return Entry(name, "whole" if status.st_size > limits.file_bytes else "file", status)
    return None


def _is_environment(name: str, inside: int) -> bool:
    folder = os.open(name, _FOLDER, dir_fd=inside)
    try:
        for mark in ENVIRONMENT_MARKS:
            with contextlib.suppress(FileNotFoundError):
                os.stat(mark, dir_fd=folder, follow_symlinks=False)
                return True
        return False
    finally:
        os.close(folder)


def link_target(root: Path, name: str, text: str) -> tuple[str, bool]:
    """What the link ``name`` says in the copy, and whether that leads out of it. ``root`` has no links in its path.

    A relative text means the same in the copy if it never climbs above the root, passes through nothing that is left
    out, and does not go down and up again: what it goes down into may be a link to the original, and up from there is
    the original's folder.
    """
    base, here = str(root), os.path.dirname(name)
    as_it_is = not os.path.isabs(text) and not _climbs(here, text) and not _detours(text)
    full = os.path.join(base, here, text)
    reached = os.path.realpath(full)
    within = _relative(reached, base)
    if within is not None and LEFT_OUT.isdisjoint(within.split(os.sep)):
        if as_it_is:
            return text, False
        return os.path.relpath(os.path.join(base, within), os.path.join(base, here)), False
    if within is None and as_it_is:
        return text, False  # through another link, which is the one that leaves
    if os.path.isabs(text):
        return text, True
    last = os.path.basename(text)
    if last in ("", ".", ".."):
        return reached, True
    return os.path.join(os.path.realpath(os.path.dirname(full)), last), True


def _relative(path: str, base: str) -> str | None:
    if path == base:
        return "."
    start = base if base.endswith(os.sep) else base + os.sep
    return path[len(start) :] if path.startswith(start) else None


def _detours(text: str) -> bool:
    parts = [part for part in text.split(os.sep) if part not in ("", ".")]
    down = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return ".." in parts[down:] or not LEFT_OUT.isdisjoint(parts)


def _climbs(here: str, text: str) -> bool:
    depth = len([part for part in here.split(os.sep) if part])
    for part in text.split(os.sep):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


# --- copying -----------------------------------------------------------------------------------------


def copy_entry(
    entry: Entry, opened: Opened, place: Path, limits: SnapshotLimits, go_on: Callable[[], None] = lambda: None
) -> Done | None:
    """``None`` when it is not there any more. ``go_on`` as in :func:`scan`."""
    source, target = opened.root / entry.name, place / entry.name
    if entry.kind == "folder":
        target.mkdir(mode=0o700)
        return Done(None)
    if entry.kind == "link":
        os.symlink(entry.target, target)
        return Done(entry.mark, linked=int(entry.outside))
    if entry.kind == "whole":
        os.symlink(source, target)
        return Done(entry.mark, linked=1, unreadable=entry.unreadable)
    return _copy_file(entry, opened, target, limits, go_on)


def _copy_file(
    entry: Entry, opened: Opened, target: Path, limits: SnapshotLimits, go_on: Callable[[], None]
) -> Done | None:
    """A file that changes meanwhile is read again; one that never rests (a log) is taken as it was read, and counts as
    changed from then on."""
    source, (folder, name) = opened.root / entry.name, os.path.split(entry.name)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _named(source):
                descriptor = os.open(name, _FILE, dir_fd=opened.folder(folder))
        except PermissionError:
            os.symlink(source, target)
            return Done(entry.mark, linked=1, unreadable=True)
        except OSError as error:
            if error.errno in _GONE:  # or something else took its place
                return None
            raise
        with open(descriptor, "rb", buffering=0) as reading:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                return None
            size = _copy_content(reading, target, limits.file_bytes, source, go_on)
            after = os.fstat(descriptor)
        if size > limits.file_bytes:  # it has grown since the look
            os.unlink(target)
            os.symlink(source, target)
            return Done(_mark(before), linked=1)
        if _mark(before) == _mark(after) or attempt == ATTEMPTS:
            break
        os.unlink(target)
    os.chmod(target, stat.S_IMODE(before.st_mode) & 0o777)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    return Done(_mark(before), files=1, bytes=size)


def _copy_content(reading: Any, target: Path, most: int, source: Path, go_on: Callable[[], None]) -> int:
    """Bytes written: all of it, or one more than ``most``."""
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if _shared(reading.fileno(), writing):
            return os.fstat(writing).st_size
        size = 0
        while size <= most:
            go_on()
            with _named(source):
                part = reading.read(min(CHUNK, most + 1 - size))
            if not part:
                return size
            size += _written(writing, part)
        return size
    finally:
        os.close(writing)


def _written(descriptor: int, part: bytes) -> int:
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(part)


def _shared(reading: int, writing: int) -> bool:
    """Whether the file system lets both files share their blocks (btrfs, XFS): then nothing is copied at all."""
    if fcntl is None or not hasattr(os, "copy_file_range"):  # both are Linux's
        return False
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _named(path: Path) -> Any:
    """An error of a read says of which file, by its whole path; one without a name is of the copy."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, (str, bytes)) or not os.path.isabs(error.filename):
            error.filename = str(path)
        raise


def restore_times(entries: Sequence[Entry], place: Path) -> None:
    """Of folders, from the inside out: making files in them has changed them."""
    for entry in reversed(entries):
        if entry.kind == "folder":
            with contextlib.suppress(OSError):
                path = place / entry.name
                os.utime(path, ns=(entry.status.st_atime_ns, entry.status.st_mtime_ns))
                os.chmod(path, stat.S_IMODE(entry.status.st_mode) & 0o777 | 0o700)  # we must be able to remove it
