"""The files of revisions, copied into the gateway's own folder: a replica that is replaced, and a rollback, find what
was there when the revision was made.

    <directory>/<database>/<service id>/     0700
        <number>/                    the copy, with the modes and times of the original
        <number>.json                sizes and times of the original at that moment, to see later what changed
        .new-…, .gone-…              under way, in or out; what a killed gateway left of these goes at the next start

A database that was made anew knows no service, and must not take the copies of the former one for rubbish: its owner
may put that one back. So each has a folder of its own, and what lies beside that is never touched.

The order makes every instant safe: a copy gets its name when it is complete, and before the store knows the revision;
it loses its name after the store has forgotten it. ``snapshot_tree`` says what is copied and what is linked.
Everything here blocks, so it runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from jupyter_model_service.core.revision import Kept, SnapshotLimits
from jupyter_model_service.errors import InvalidRequest, ModelServiceError, StoreError
from jupyter_model_service.ports import KeptKey

from .snapshot_tree import Entry, TooMuch, copy_entry, scan, too_many_bytes

__all__ = ["LocalSnapshots"]

NAMES_SHOWN = 5  # of changed files
NAME_LENGTH = 200  # characters of one of them
CANCEL_PATIENCE = 5.0  # seconds for a cancelled copy to clean up; one that hangs in a file system does it when it can
_NEW, _GONE = ".new-", ".gone-"

log = logging.getLogger(__name__)

T = TypeVar("T")
Mark = tuple[str, int, int]
"""Kind, size and time (ns) of an original."""


class _Cancelled(Exception):
    pass


class LocalSnapshots:
    """Implements ``ports.Storage`` below ``directory``, which belongs to it alone, in the folder ``database`` of it
    (the identity of the store). ``told_every``: seconds between two reports of progress."""

    def __init__(
        self, directory: Path, limits: SnapshotLimits | None = None, *, database: str = "", told_every: float = 0.2
    ) -> None:
        self.directory = Path(directory).absolute()
        self._own = self.directory / database
        self._strangers_told = False
        self._limits = limits or SnapshotLimits()
        self._told_every = told_every
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="snapshots")
        self._lookers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="snapshots-look")
        self._moving = asyncio.Lock()  # names appear and disappear under it
        self._under_way: set[str] = set()  # names of unfinished copies

    # --- ports.Storage ---

    async def keep(
        self,
        service_id: str,
        number: int,
        folder: str,
        progress: Callable[[int, int], None],
        *,
        owner: str = "",
        image: str | None = None,
    ) -> Kept:
        temporary = f"{_NEW}{number}-{secrets.token_hex(4)}"
        place = self._own / service_id / temporary
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()

        def tell(files: int, size: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(progress, files, size)

        self._under_way.add(temporary)
        job = loop.run_in_executor(self._threads, self._copy, Path(folder), place, tell, cancelled)
        moved: asyncio.Future[Kept] | None = None
        try:
            kept = await asyncio.shield(job)
            if kept.kind == "live":
                return kept
            async with self._moving:
                moved = self._run(self._publish, place, number, kept)
                return await asyncio.shield(moved)
        except asyncio.CancelledError:
            cancelled.set()
            await _outlast([each for each in (job, moved) if each is not None])
            if moved is not None:
                await asyncio.shield(self._run(_discard, place.parent / str(number)))
            elif job.done():
                await asyncio.shield(self._run(_discard, place))
            raise
        finally:
            # A copy that hangs in a file system removes what it made when it comes back.
            job.add_done_callback(lambda _: self._under_way.discard(temporary))

    async def changed(self, kept: Kept, folder: str) -> Sequence[str]:
        if kept.kind != "copy" or kept.path is None:
            return ()
        return await asyncio.get_running_loop().run_in_executor(
            self._lookers, self._changed, Path(kept.path), Path(folder)
        )

    async def collect(self, wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
        async with self._moving:
            keys = frozenset(await wanted())
            condemning = self._run(self._condemn, keys, frozenset(self._under_way))
            try:
                doomed = await asyncio.shield(condemning)
            except asyncio.CancelledError:
                await _outlast([condemning])  # what is kept after this must not be taken for what was unwanted before
                raise
        await asyncio.shield(self._run(_remove_all, doomed))
        if self._own != self.directory:
            await asyncio.shield(self._run(self._tidy))

    # --- keeping ---

    def _copy(self, folder: Path, place: Path, tell: Callable[[int, int], None], cancelled: threading.Event) -> Kept:
        """The copy under its temporary name, with its list of marks beside it."""
        root = Path(os.path.realpath(folder))
        try:
            return self._copied(root, place, tell, cancelled)
        except _Cancelled:
            _discard(place)
            return Kept(why="cancelled")  # for nobody: who waited was cancelled
        except OSError as error:
            _discard(place)
            raise _explained(error, root, self.directory) from error
        except BaseException:
            _discard(place)
            raise

    def _copied(self, root: Path, place: Path, tell: Callable[[int, int], None], cancelled: threading.Event) -> Kept:
        def go_on() -> None:
            if cancelled.is_set():
                raise _Cancelled

        try:
            entries = scan(root, self._limits, avoid=self.directory, go_on=go_on)
        except TooMuch as much:
            return Kept(why=str(much))
        _private(place.parent.parent)
        _private(place.parent)
        place.mkdir(mode=0o700)
        marks: dict[str, Mark] = {}
        files = size = linked = 0
        next_told = time.monotonic() + self._told_every
        for entry in entries:
            go_on()
            done = copy_entry(entry, root, place, self._limits)
            if done is None:  # gone since the look
                continue
            if done.mark is not None:
                marks[entry.name] = done.mark
            files, size, linked = files + done.files, size + done.bytes, linked + done.linked
            if size > self._limits.bytes:  # files grew under our hands
                _discard(place)
                return Kept(why=too_many_bytes(self._limits))
            if time.monotonic() > next_told:
                tell(files, size)
                next_told = time.monotonic() + self._told_every
        go_on()
        _restore_times(entries, place)
        _write_private(_marks_file(place), json.dumps({"format": 1, "marks": marks}))
        return Kept("copy", str(place), files, size, linked)

    def _publish(self, place: Path, number: int, kept: Kept) -> Kept:
        """Give the copy its name; what a killed gateway left under that name goes."""
        final = place.parent / str(number)
        try:
            if os.path.lexists(final):
                _discard(final)
            os.rename(_marks_file(place), _marks_file(final))
            os.rename(place, final)
        except OSError as error:
            _discard(place)
            raise _explained(error, place, self.directory) from error
        return Kept(kept.kind, str(final), kept.files, kept.bytes, kept.linked)

    # --- looking ---

    def _changed(self, copy: Path, folder: Path) -> Sequence[str]:
        try:
            kept: Mapping[str, Sequence[Any]] = json.loads(_marks_file(copy).read_bytes())["marks"]
        except (OSError, ValueError, KeyError, TypeError):
            return ()
        # More than twice as many files as may be kept are not worth the look.
        limits = SnapshotLimits(self._limits.file_bytes, 1 << 62, 2 * self._limits.files + 100)
        try:
            entries = scan(Path(os.path.realpath(folder)), limits, avoid=self.directory)
        except FileNotFoundError:
            entries = []
        except (OSError, TooMuch):
            return ()
        now = {entry.name: entry.mark for entry in entries if entry.mark is not None}
        names = sorted({*kept, *now})
        differing = (name for name in names if _differs(kept.get(name), now.get(name)))
        return [_shown(name) for name, _ in zip(differing, range(NAMES_SHOWN + 1), strict=False)]

    # --- collecting ---

    def _condemn(self, wanted: Collection[KeptKey], under_way: Collection[str]) -> list[Path]:
        """Take the names from what nobody needs; the work of removing it may then take as long as it takes."""
        doomed: list[Path] = []
        for service in _children(self._own):
            for path in _children(service):
                number = path.name.removesuffix(".json")
                if number.isdecimal() and (service.name, int(number)) in wanted:
                    continue
                if path.name.removesuffix(".json") in under_way:
                    continue
                gone = path
                if not path.name.startswith(_GONE):
                    gone = path.with_name(f"{_GONE}{path.name.lstrip('.')}-{secrets.token_hex(4)}")
                    with contextlib.suppress(OSError):
                        os.rename(path, gone)
                doomed.append(gone)
            if not any(service.name == wanted_service for wanted_service, _ in wanted):
                doomed.append(service)  # goes when it is empty
        return doomed

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):
            self._own.rmdir()  # nothing is kept
        strangers = sorted(_shown(path.name) for path in _children(self.directory) if path != self._own)
        if strangers and not self._strangers_told:
            self._strangers_told = True
            log.warning(
                "%s holds files of revisions that this database does not know (%s): they stay, for the database that "
                "knows them; remove them if there is none.",
                self.directory,
                ", ".join(strangers[:NAMES_SHOWN]) + (", …" if len(strangers) > NAMES_SHOWN else ""),
            )

    def _run(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


async def _outlast(jobs: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for their end, and no longer than is bearable."""
    for job in jobs:
        job.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen by nobody else now
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait(jobs, timeout=CANCEL_PATIENCE)


def _differs(kept: Sequence[Any] | None, now: Mark | None) -> bool:
    return kept is None or now is None or tuple(kept) != now


def _shown(name: str) -> str:
    """As text that JSON and terminals can take, whatever bytes the name has."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"


def _marks_file(copy: Path) -> Path:
    return copy.with_name(copy.name + ".json")


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode())


def _restore_times(entries: Sequence[Entry], place: Path) -> None:
    """Of folders, from the inside out: making files in them has changed them."""
    for entry in reversed(entries):
        if entry.kind == "folder":
            with contextlib.suppress(OSError):
                path = place / entry.name
                os.utime(path, ns=(entry.status.st_atime_ns, entry.status.st_mtime_ns))
                os.chmod(path, stat.S_IMODE(entry.status.st_mode) & 0o777 | 0o700)  # we must be able to remove it


def _discard(copy: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_marks_file(copy))
    _remove(copy)
    with contextlib.suppress(OSError):
        copy.parent.rmdir()  # the folder of a service of which nothing was kept


def _remove_all(doomed: Sequence[Path]) -> None:
    for path in doomed:
        if path.name.startswith(_GONE):
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


def _explained(error: OSError, root: Path, directory: Path) -> ModelServiceError:
    """One sentence: the user's folder cannot be read, or ours cannot be written."""
    reason = (error.strerror or str(error)).lower()
    name = error.filename2 or error.filename  # of two names, the second is the one that is made
    where = Path(os.fsdecode(name)) if name else directory
    if directory != where and directory not in where.parents and (where == root or root in where.parents):
        return InvalidRequest(
            f"{_shown(str(where))} cannot be copied into the revision: {reason}. Mend that, or move it elsewhere."
        )
    return StoreError(f"The files of {_shown(str(root))} cannot be copied to {directory}: {reason}.")
