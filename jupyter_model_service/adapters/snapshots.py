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
Everything here blocks, for ever where a file system hangs: each piece of work has a thread of its own, which nobody
waits for at the end, so that one folder that hangs keeps nobody from another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from jupyter_model_service.core.revision import Kept, SnapshotLimits
from jupyter_model_service.errors import InvalidRequest, ModelServiceError, NoSpace, NotFound, StoreError
from jupyter_model_service.ports import KeptKey

from .daemon_threads import in_thread
from .snapshot_removal import GONE, children, discard, marks_file, remove_all
from .snapshot_space import check_space
from .snapshot_tree import Done, Entry, Opened, TooMuch, copy_entry, restore_times, scan, too_many_bytes

__all__ = ["LocalSnapshots"]

NAMES_SHOWN = 5  # of changed files
NAME_LENGTH = 200  # characters of one of them
TRIES = 3  # at a folder that loses files while it is copied
CANCEL_PATIENCE = 5.0  # seconds for a cancelled copy to clean up; one that hangs in a file system does it when it can
_NEW = ".new-"

log = logging.getLogger(__name__)

T = TypeVar("T")
Mark = tuple[str, int, int]
"""Kind, size and time (ns) of an original."""
Report = Callable[[int, int], None]
"""Files and bytes."""


class _Cancelled(Exception):
    pass


class _Shrank(Exception):
    """Files went away while the folder was copied: the copy would be neither what was there before nor after."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names


class _Work:
    """One copy, as its thread and the loop share it."""

    def __init__(self, progress: Report, expected: Report, told_every: float) -> None:
        self.cancelled = threading.Event()
        self.files = self.bytes = 0
        self._progress = progress
        self._expected = expected
        self._loop = asyncio.get_running_loop()
        self._told_every = told_every
        self._told_at = time.monotonic()

    def go_on(self) -> None:
        """Called wherever time passes: tells how far it is, ends what was cancelled."""
        if self.cancelled.is_set():
            raise _Cancelled
        if time.monotonic() > self._told_at + self._told_every:
            self._told_at = time.monotonic()
            self._tell(self._progress, self.files, self.bytes)

    def expects(self, sizes: Sequence[int]) -> None:
        self._tell(self._expected, len(sizes), sum(sizes))

    def _tell(self, told: Report, files: int, size: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(told, files, size)


class LocalSnapshots:
    """Implements ``ports.Storage`` below ``directory``, which belongs to it alone, in the folder ``database`` of it
    (the identity of the store). ``leave_out``: folders that may lie in a model folder and are nobody's to copy, as they
    hold secrets. ``told_every``: seconds between two reports of progress."""

    def __init__(
        self,
        directory: Path,
        limits: SnapshotLimits | None = None,
        *,
        database: str = "",
        leave_out: Sequence[Path] = (),
        told_every: float = 0.2,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._avoid = (self.directory, *leave_out)
        self._own = self.directory / database
        self._strangers_told = False
        self._limits = limits or SnapshotLimits()
        self._told_every = told_every
        self._hanging: dict[str, asyncio.Future[Kept]] = {}  # folders, of which the last copy was given up and runs on
        self._looks: dict[str, asyncio.Future[Sequence[str]]] = {}  # by folder, the last one
        self._moving = asyncio.Lock()  # names appear and disappear under it
        self._under_way: set[str] = set()  # names of unfinished copies

    # --- ports.Storage ---

    async def keep(
        self,
        service_id: str,
        number: int,
        folder: str,
        progress: Report,
        *,
        owner: str = "",
        image: str | None = None,
        expected: Report = lambda files, size: None,
    ) -> Kept:
        if folder in self._hanging:
            raise StoreError(
                f"The last copy of {folder} was given up and still hangs in the file system: see that it is well, or "
                "name a folder on another one."
            )
        temporary = f"{_NEW}{number}-{secrets.token_hex(4)}"
        place = self._own / service_id / temporary
        work = _Work(progress, expected, self._told_every)
        self._under_way.add(temporary)
        job = in_thread(f"copy of {folder}", self._copy, Path(folder), place, work)
        moved: asyncio.Future[Kept] | None = None
        try:
            kept = await asyncio.shield(job)
            if kept.kind == "live":
                return kept
            async with self._moving:
                moved = self._run(self._publish, place, number, kept)
                return await asyncio.shield(moved)
        except asyncio.CancelledError:
            work.cancelled.set()
            await _outlast([each for each in (job, moved) if each is not None])
            if moved is not None:
                await asyncio.shield(self._run(discard, place.parent / str(number)))
            elif job.done():
                await asyncio.shield(self._run(discard, place))
            else:
                self._hanging[folder] = job
                job.add_done_callback(lambda _: self._hanging.pop(folder, None))
            raise
        finally:
            # A copy that hangs in a file system removes what it made when it comes back.
            job.add_done_callback(lambda _: self._under_way.discard(temporary))

    async def changed(self, kept: Kept, folder: str) -> Sequence[str]:
        if kept.kind != "copy" or kept.path is None:
            return ()
        while (former := self._looks.get(folder)) is not None and not former.done():
            await asyncio.wait({former})  # one thread at most hangs in a folder
        look = in_thread(f"look at {folder}", self._changed, Path(kept.path), Path(folder))
        self._looks[folder] = look
        look.add_done_callback(lambda done: self._looks.pop(folder) if self._looks.get(folder) is done else None)
        return await asyncio.shield(look)

    async def collect(self, wanted: Callable[[], Awaitable[Collection[KeptKey]]]) -> None:
        async with self._moving:
            keys = frozenset(await wanted())
            condemning = self._run(self._condemn, keys, frozenset(self._under_way))
            try:
                doomed = await asyncio.shield(condemning)
            except asyncio.CancelledError:
                await _outlast([condemning])  # what is kept after this must not be taken for what was unwanted before
                raise
        await asyncio.shield(self._run(remove_all, doomed))
        if self._own != self.directory:
            await asyncio.shield(self._run(self._tidy))

    # --- keeping ---

    def _copy(self, folder: Path, place: Path, work: _Work) -> Kept:
        """The copy under its temporary name, with its list of marks beside it."""
        root = Path(os.path.realpath(folder))
        try:
            for _ in range(TRIES - 1):
                with contextlib.suppress(_Shrank):
                    return self._copied(root, place, work)
                discard(place)
            return self._copied(root, place, work)
        except _Cancelled:
            discard(place)
            return Kept(why="cancelled")  # for nobody: who waited was cancelled
        except _Shrank as shrank:
            discard(place)
            raise InvalidRequest(
                f"Files of {_shown(str(root))} go away while it is copied ({_some(shrank.names)}): update again when "
                "nothing changes there."
            ) from None
        except OSError as error:
            discard(place)
            raise _explained(error, root, self.directory) from error
        except BaseException:
            discard(place)
            raise

    def _copied(self, root: Path, place: Path, work: _Work) -> Kept:
        with Opened(root) as opened:
            try:
                work.files = work.bytes = 0
                entries = scan(opened, self._limits, avoid=self._avoid, go_on=work.go_on)
                work.expects([entry.status.st_size for entry in entries if entry.kind == "file"])
                kept, gone = self._filled(entries, opened, place, work)
                if kept.kind == "copy":
                    later = scan(opened, self._limits, avoid=self._avoid, go_on=work.go_on)
                    gone += _lost(entries, later if not opened.replaced() else ())
            except TooMuch as much:
                discard(place)
                return Kept(why=str(much))
        if gone:
            raise _Shrank(sorted({*gone}))
        return kept

    def _filled(self, entries: Sequence[Entry], opened: Opened, place: Path, work: _Work) -> tuple[Kept, list[str]]:
        """The copy, and what of it was not there any more."""
        check_space(entries, _shown(str(opened.root)), self.directory)
        _private(self.directory)
        _private(place.parent.parent)
        _private(place.parent)
        place.mkdir(mode=0o700)
        marks: dict[str, Mark] = {}
        gone: list[str] = []
        unread: list[str] = []
        linked = 0
        for entry in entries:
            work.go_on()
            done: Done | None = copy_entry(entry, opened, place, self._limits, work.go_on)
            if done is None:
                gone.append(entry.name)
                continue
            if done.mark is not None:
                marks[entry.name] = done.mark
            if done.unreadable:
                unread.append(entry.name)
            work.files, work.bytes, linked = work.files + done.files, work.bytes + done.bytes, linked + done.linked
            if work.bytes > self._limits.bytes:  # files grew under our hands
                raise TooMuch(too_many_bytes(self._limits))
        work.go_on()
        restore_times(entries, place)
        _write_private(marks_file(place), json.dumps({"format": 1, "marks": marks}))
        why = f"{_some(unread)} cannot be read, so the copy has links to what is there" if unread else None
        return Kept("copy", str(place), work.files, work.bytes, linked, why), gone

    def _publish(self, place: Path, number: int, kept: Kept) -> Kept:
        """Give the copy its name; what a killed gateway left under that name goes."""
        final = place.parent / str(number)
        try:
            if os.path.lexists(final):
                discard(final)
            os.rename(marks_file(place), marks_file(final))
            os.rename(place, final)
        except OSError as error:
            discard(place)
            raise _explained(error, place, self.directory) from error
        return replace(kept, path=str(final))

    # --- looking ---

    def _changed(self, copy: Path, folder: Path) -> Sequence[str]:
        try:
            kept: Mapping[str, Sequence[Any]] = json.loads(marks_file(copy).read_bytes())["marks"]
        except (OSError, ValueError, KeyError, TypeError):
            return ()
        # More than twice as many files as may be kept are not worth the look.
        limits = SnapshotLimits(self._limits.file_bytes, 1 << 62, 2 * self._limits.files + 100)
        entries: Sequence[Entry] = ()
        try:
            with Opened(Path(os.path.realpath(folder))) as opened:
                entries = scan(opened, limits, avoid=self._avoid)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"There is no folder {_shown(str(folder))} any more.") from None
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
        for service in children(self._own):
            for path in children(service):
                number = path.name.removesuffix(".json")
                if number.isdecimal() and (service.name, int(number)) in wanted:
                    continue
                if path.name.removesuffix(".json") in under_way:
                    continue
                gone = path
                if not path.name.startswith(GONE):
                    gone = path.with_name(f"{GONE}{path.name.lstrip('.')}-{secrets.token_hex(4)}")
                    with contextlib.suppress(OSError):
                        os.rename(path, gone)
                doomed.append(gone)
            if not any(service.name == wanted_service for wanted_service, _ in wanted):
                doomed.append(service)  # goes when it is empty
        return doomed

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):
            self._own.rmdir()  # nothing is kept
        strangers = sorted(path.name for path in children(self.directory) if path != self._own)
        if strangers and not self._strangers_told:
            self._strangers_told = True
            log.warning(
                "%s holds files of revisions that this database does not know (%s): they stay, for the database that "
                "knows them; remove them if there is none.",
                self.directory,
                _some(strangers),
            )

    def _run(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return in_thread("snapshots", function, *args)


async def _outlast(jobs: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for their end, and no longer than is bearable."""
    for job in jobs:
        job.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen by nobody else now
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait(jobs, timeout=CANCEL_PATIENCE)


def _lost(before: Sequence[Entry], after: Sequence[Entry]) -> list[str]:
    """What is not there any more, or is something of another kind."""
    there = {entry.name: stat.S_IFMT(entry.status.st_mode) for entry in after}
    return [entry.name for entry in before if there.get(entry.name) != stat.S_IFMT(entry.status.st_mode)]


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(map(_shown, names[:NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _differs(kept: Sequence[Any] | None, now: Mark | None) -> bool:
    return kept is None or now is None or tuple(kept) != now


def _shown(name: str) -> str:
    """As text that JSON and terminals can take, whatever bytes the name has."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"


def _private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode())


def _explained(error: OSError, root: Path, directory: Path) -> ModelServiceError:
    """One sentence: the user's folder cannot be read, or ours cannot be written."""
    reason = (error.strerror or str(error)).lower()
    name = error.filename2 or error.filename  # of two names, the second is the one that is made
    where = Path(os.fsdecode(name)) if name else directory
    if directory != where and directory not in where.parents and (where == root or root in where.parents):
        return InvalidRequest(
            f"{_shown(str(where))} cannot be copied into the revision: {reason}. Mend that, or move it elsewhere."
        )
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
    return kind(f"The files of {_shown(str(root))} cannot be copied to {directory}: {reason}.")
