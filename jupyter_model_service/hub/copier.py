"""Copies one folder of a user's storage into the volume of a revision.

A stranger, like the runner: one file, standard library, Python 3.8, run with ``python3 -c`` in a container of the
user's image that has no network, no capability, and nothing of anybody but the user's own volume (read-only) and the
new one. Whatever it is made to open, that is all there is; the rest of this file makes a copy that is *right*:

* every name is opened below the descriptor of its folder and never through a link, so that a folder that is swapped for
  a link meanwhile leads nowhere;
* links are copied as links; one whose text names a place in the folder by its full path becomes a relative one;
* pipes, sockets and devices are left out;
* a file that changes while it is read is read again, and what it grows by is left out.

On its output, a line of JSON each: ``expected`` (``files``, ``bytes``: what it will come to, unless that takes long to
find out), ``progress`` (``files``, ``bytes``), and at the end either ``done`` or ``error``
(``stage``: ``folder`` the user's side, ``limit``, ``space`` on the Docker host; ``message`` is one sentence).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

ATTEMPTS = 3  # at a file that changes while it is read
DEEPEST = 100  # folders below each other: each costs two descriptors, and 1024 are usual
AT_ONCE = 8 << 20  # bytes between two looks at the limits
SMALL = 256 << 10  # bytes up to which a file is read in one go
NAMED = 5  # names that a report shows of each kind
TOLD_EVERY = 0.25  # seconds between two lines of progress
SPACE_EVERY = 64 << 20  # bytes between two looks at the free space
SURVEY = 5.0  # seconds for the look at how much it will be

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = (errno.ENOENT, errno.ESTALE)
# What opening says of something that was put in the place of what was listed: a link, a pipe, a file for a folder.
SWAPPED = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV, errno.EISDIR)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_RANGE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF)


class Refused(Exception):
    """The copy cannot be made; ``stage`` says on whose side, the text is one sentence."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Noted:
    """How many there were, and the names of the first."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < NAMED:
            self.names.append(shown(name))

    def plain(self) -> dict[str, Any]:
        return {"count": self.count, "names": self.names}


class Copy:
    def __init__(self, spec: dict[str, Any]) -> None:
        self._root = spec["root"]
        self._folder = spec["folder"]
        self._target = spec["target"]
        self._exclude = frozenset(spec["exclude"])
        self._limit_bytes = int(spec["limit_bytes"])
        self._limit_files = int(spec["limit_files"])
        self._keep_free = int(spec["keep_free"])
        self._prefixes: list[str] = []
        self._space_at = 0
        self._told_at = time.monotonic()
        self._linked: dict[tuple[int, int], str] = {}
        self._target_root = -1
        self._sum = 0
        self.entries = self.files = self.bytes = self.folders = self.links = 0
        self.outside, self.skipped, self.unsettled = Noted(), Noted(), Noted()

    def run(self) -> dict[str, Any]:
        source = self._open_folder()
        self._target_root = os.open(self._target, FOLDER)
        self._check_space()
        self._tell_expected(source)
        self._copy_folder(source, self._target_root, "", 0)
        self._finish_folder(os.fstat(source), self._target_root)
        return {
            "files": self.files,
            "bytes": self.bytes,
            "folders": self.folders,
            "links": self.links,
            "outside": self.outside.plain(),
            "skipped": self.skipped.plain(),
            "unsettled": self.unsettled.plain(),
            "fingerprint": f"{self._sum:064x}",
        }

    # --- the folder itself ---

    def _open_folder(self) -> int:
        """Resolved once, then opened below the mount without following anything: what is swapped in between is an
        error, not a way out."""
        try:
            root, folder = os.path.realpath(self._root), os.path.realpath(self._folder)
        except OSError as error:  # EINVAL: a link has been exchanged for a folder while it was looked at
            raise Refused("folder", f"{shown(self._folder)} is not a folder.") from error
        inside = relative(folder, root)
        if inside is None:
            raise Refused(
                "folder",
                f"{shown(self._folder)} leads to {shown(folder)}, which is not in the storage that is mounted at "
                f"{shown(self._root)}: name the folder itself.",
            )
        self._prefixes = sorted({self._folder.rstrip("/"), folder}, key=len, reverse=True)
        try:
            here = os.open(root, FOLDER)
        except OSError as error:
            raise unreadable(self._root, error) from error
        for part in inside.split("/"):
            if part in ("", "."):
                continue
            try:
                below = os.open(part, FOLDER, dir_fd=here)
            except OSError as error:
                if error.errno in GONE:
                    raise Refused("folder", f"There is no folder {shown(self._folder)}.") from error
                if error.errno in SWAPPED:
                    raise Refused("folder", f"{shown(self._folder)} is not a folder.") from error
                raise unreadable(self._folder, error) from error
            os.close(here)
            here = below
        return here

    # --- how much it will be ---

    def _tell_expected(self, source: int) -> None:
        """For who waits; nothing depends on it."""
        ends = time.monotonic() + SURVEY
        files = size = 0
        try:
            for each in self._sizes(source, 0):
                files, size = files + 1, size + each
                if files > self._limit_files or time.monotonic() > ends:
                    return
        except OSError:
            return  # the copy will say which name it is
        say({"t": "expected", "files": files, "bytes": size})

    def _sizes(self, folder: int, depth: int) -> Iterator[int]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in self._exclude:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST:
                        below = os.open(entry.name, FOLDER, dir_fd=folder)
                        try:
                            yield from self._sizes(below, depth + 1)
                        finally:
                            os.close(below)
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield min(status.st_size, status.st_blocks * 512)

    # --- folders ---

    def _copy_folder(self, source: int, target: int, name: str, depth: int) -> None:
        if depth > DEEPEST:
            raise Refused("limit", f"Folders lie more than {DEEPEST} deep in each other at {shown(name)}.")
        for entry, status in self._listed(source, name):
            path = name + "/" + entry if name else entry
            mode = status.st_mode
            if stat.S_ISDIR(mode):
                self._copy_below(source, target, entry, path, depth)
            elif stat.S_ISREG(mode):
                self._copy_file(source, target, entry, path)
            elif stat.S_ISLNK(mode):
                self._copy_link(source, target, entry, path, depth, status)
            else:
                self.skipped.add(path)
            self._tell()

    def _listed(self, source: int, name: str) -> Iterator[tuple[str, os.stat_result]]:
        """Names with what is there now; the limit holds while a folder is listed, not after."""
        found: list[str] = []
        try:
            with os.scandir(source) as entries:
                for entry in entries:
                    if entry.name in self._exclude:
                        continue
                    found.append(entry.name)
                    if self.entries + len(found) > self._limit_files:
                        raise Refused("limit", f"{self._told()} holds more than {self._limit_files:,} files.")
        except OSError as error:
            raise unreadable(name or self._folder, error) from error
        self.entries += len(found)
        for each in sorted(found):
            try:
                yield each, os.stat(each, dir_fd=source, follow_symlinks=False)
            except OSError as error:
                if error.errno not in GONE:
                    raise unreadable(name + "/" + each if name else each, error) from error

    def _copy_below(self, source: int, target: int, entry: str, path: str, depth: int) -> None:
        opened = self._opened(source, entry, FOLDER, path)
        if opened is None:
            return
        try:
            with writing():
                os.mkdir(entry, 0o700, dir_fd=target)
            made = os.open(entry, FOLDER, dir_fd=target)
            try:
                self.folders += 1
                self._copy_folder(opened, made, path, depth + 1)
                self._finish_folder(os.fstat(opened), made)
            finally:
                os.close(made)
        finally:
            os.close(opened)

    def _finish_folder(self, status: os.stat_result, made: int) -> None:
        """Mode and time after what is in it: making files in a folder has changed it."""
        os.fchmod(made, stat.S_IMODE(status.st_mode) & 0o777 | 0o755)
        os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))

    # --- links and files ---

    def _copy_link(self, source: int, target: int, entry: str, path: str, depth: int, status: os.stat_result) -> None:
        try:
            text = os.readlink(entry, dir_fd=source)
        except OSError as error:
            if error.errno in GONE or error.errno == errno.EINVAL:  # not a link any more
                self.skipped.add(path)
                return
            raise unreadable(path, error) from error
        self._mark(path, b"link", os.fsencode(text))
        for prefix in self._prefixes:
            within = relative(text, prefix)
            if within is not None:
                text = "../" * depth + within if within != "." else "../" * depth + "."
                break
        if text.startswith("/") or climbs(text, depth):
            self.outside.add(path)
        with writing():
            os.symlink(text, entry, dir_fd=target)
        os.utime(entry, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        self.links += 1

    def _copy_file(self, source: int, target: int, entry: str, path: str) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            reading = self._opened(source, entry, READ, path)
            if reading is None:
                return
            try:
                before = os.fstat(reading)
                if not stat.S_ISREG(before.st_mode):
                    self.skipped.add(path)
                    return
                if self._copy_name(before, target, entry, path):
                    return
                written = self._copy_content(reading, before, target, entry, path)
                after = os.fstat(reading)
            finally:
                os.close(reading)
            if mark(before) == mark(after):
                break
            if attempt == ATTEMPTS:  # one that never rests, such as a log
                self.unsettled.add(path)
                break
            os.unlink(entry, dir_fd=target)
            self.bytes -= written
        if before.st_nlink > 1:
            self._linked[(before.st_dev, before.st_ino)] = path
        runs = b"run" if before.st_mode & 0o100 else b"file"
        self._mark(path, runs, b"%d %d" % (before.st_size, before.st_mtime_ns))
        self.files += 1

    def _copy_name(self, status: os.stat_result, target: int, entry: str, path: str) -> bool:
        """A further name of a file that is there already: links in the copy, as they are in the folder. The names
        lead through folders that we made."""
        first = self._linked.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
        if first is None:
            return False
        with writing():
            os.link(first, entry, src_dir_fd=self._target_root, dst_dir_fd=target, follow_symlinks=False)
        self.files += 1
        runs = b"run" if status.st_mode & 0o100 else b"file"
        self._mark(path, runs, b"%d %d" % (status.st_size, status.st_mtime_ns))
        return True

    def _copy_content(self, reading: int, status: os.stat_result, target: int, entry: str, path: str) -> int:
        """Bytes written, holes not counted. Only what was there when it was opened: a growing file ends."""
        size, sparse = status.st_size, status.st_blocks * 512 < status.st_size
        if not sparse:
            self._check_limit(size)
        with writing():
            made = os.open(entry, WRITE, 0o600, dir_fd=target)
        try:
            if size <= SMALL and not sparse:
                written = self._copy_small(reading, made, size, path)
            else:
                written = self._copy_extents(reading, made, size, path)
            mode = stat.S_IMODE(status.st_mode)
            # Readable for all: a replica of another image may run as another user, and nobody else has this volume.
            os.fchmod(made, mode & 0o777 | 0o644 | (0o111 if mode & 0o111 else 0))
            os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(made)
        return written

    def _copy_small(self, reading: int, made: int, size: int, path: str) -> int:
        left = size
        while left:
            try:
                part = os.read(reading, left)
            except OSError as error:
                raise unreadable(path, error) from error
            if not part:
                break
            self._write(made, part)
            left -= len(part)
        return size - left

    def _copy_extents(self, reading: int, made: int, size: int, path: str) -> int:
        position = written = 0
        while position < size:
            try:
                begin = os.lseek(reading, position, os.SEEK_DATA)
                end = min(size, os.lseek(reading, begin, os.SEEK_HOLE))
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    break
                if error.errno != errno.EINVAL:
                    raise unreadable(path, error) from error
                begin, end = position, size  # a file system that knows of no holes
            if begin >= size:
                break
            done = self._copy_range(reading, made, begin, end, path)
            written += done
            if done < end - begin:  # it has become shorter
                break
            position = end
        with writing():
            os.ftruncate(made, min(size, os.fstat(reading).st_size))
        return written

    def _copy_range(self, reading: int, made: int, begin: int, end: int, path: str) -> int:
        """In the kernel where it can, and on some file systems without copying at all."""
        at, kernel = begin, hasattr(os, "copy_file_range")
        while at < end:
            self._check_limit(1)
            self._tell()
            most = min(AT_ONCE, end - at)
            if kernel:
                try:
                    done = os.copy_file_range(reading, made, most, at, at)
                except OSError as error:
                    if error.errno in FULL:
                        raise full() from error
                    if error.errno not in NO_RANGE:
                        raise unreadable(path, error) from error
                    kernel = False
                    continue
                self._count(done)
            else:
                try:
                    part = os.pread(reading, min(most, 1 << 20), at)
                except OSError as error:
                    raise unreadable(path, error) from error
                os.lseek(made, at, os.SEEK_SET)
                self._write(made, part)
                done = len(part)
            if not done:
                break
            at += done
        return at - begin

    def _write(self, made: int, part: bytes) -> None:
        view = memoryview(part)
        with writing():
            while view:
                view = view[os.write(made, view) :]
        self._count(len(part))

    def _opened(self, source: int, entry: str, how: int, path: str) -> int | None:
        try:
            return os.open(entry, how, dir_fd=source)
        except OSError as error:
            if error.errno in GONE:
                return None
            if error.errno in SWAPPED:
                self.skipped.add(path)
                return None
            raise unreadable(path, error) from error

    # --- limits, progress ---

    def _count(self, size: int) -> None:
        self.bytes += size
        self._check_limit(0)
        if self.bytes - self._space_at > SPACE_EVERY:
            self._check_space()

    def _check_limit(self, more: int) -> None:
        if self.bytes + more > self._limit_bytes:
            left = amount(self._limit_bytes) if self._limit_bytes else "is left"  # whose limit it is, the Hub adds
            raise Refused("limit", f"{self._told()} holds more than {left}.")

    def _check_space(self) -> None:
        self._space_at = self.bytes
        space = os.fstatvfs(self._target_root)
        if space.f_bavail * space.f_frsize < self._keep_free:
            raise full()

    def _told(self) -> str:
        return "The folder " + shown(self._folder)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY:
            self._told_at = now
            say({"t": "progress", "files": self.files, "bytes": self.bytes})

    def _mark(self, path: str, kind: bytes, what: bytes) -> None:
        """The folder's fingerprint is a sum, so that it does not depend on the order of looking."""
        digest = hashlib.sha256(b"\0".join((os.fsencode(path), kind, what))).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)


class writing:
    """Turns a full disk into its sentence."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            raise full() from error


def full() -> Refused:
    return Refused("space", "There is no space left for the copy on the Docker host: tell its administrator.")


def unreadable(path: str, error: OSError) -> Refused:
    reason = (error.strerror or str(error)).lower()
    return Refused("folder", f"{shown(path)} cannot be read: {reason}. Make it readable, or move it out of the folder.")


def mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def relative(path: str, base: str) -> str | None:
    if path.rstrip("/") == base.rstrip("/"):
        return "."
    start = base.rstrip("/") + "/"
    return path[len(start) :].lstrip("/") or "." if path.startswith(start) else None


def climbs(text: str, depth: int) -> bool:
    """Whether a relative link, ``depth`` folders down, leaves the folder by its text alone."""
    for part in text.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


def shown(name: str) -> str:
    """A name of any bytes as text that a terminal and a database can take."""
    text = os.fsencode(name).decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= 200 else text[:199] + "\u2026"


def amount(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return (f"{value:.0f} " if value == int(value) else f"{value:.1f} ") + unit


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(spec: dict[str, Any]) -> int:
    os.umask(0o022)
    copy = Copy(spec)
    try:
        done = copy.run()
    except Refused as refused:
        say({"t": "error", "stage": refused.stage, "message": str(refused)})
        return 1
    say(dict(done, t="done"))
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
