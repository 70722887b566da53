"""What of a model folder is copied, linked and left out; hostile folders; what cannot be read or written."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import snapshot_tree, snapshots
from jupyter_model_service.adapters.snapshots import LocalSnapshots
from jupyter_model_service.core.revision import Kept, SnapshotLimits
from jupyter_model_service.errors import InvalidRequest, NoSpace, StoreError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "revisions"


def keep(directory: Path, model: Path, number: int = 1, **limits: int) -> Kept:
    storage = LocalSnapshots(directory, SnapshotLimits(**limits))
    return asyncio.run(storage.keep("s1", number, str(model), lambda files, size: None))


def changed(directory: Path, kept: Kept, model: Path, **limits: int) -> list[str]:
    return list(asyncio.run(LocalSnapshots(directory, SnapshotLimits(**limits)).changed(kept, str(model))))


def copy_of(kept: Kept) -> Path:
    assert kept.kind == "copy", kept.why
    assert kept.path is not None
    return Path(kept.path)


def test_content_modes_and_times_are_those_of_the_folder(directory: Path, model: Path) -> None:
    """And the copy is nobody else's to read."""
    (model / "sub" / "empty").mkdir(parents=True)
    script = model / "sub" / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o4755)
    os.utime(script, ns=(5, 1_600_000_000_123_456_789))
    os.utime(model / "sub", ns=(5, 1_500_000_000_000_000_000))
    (model / "sub").chmod(0o555)
    kept = keep(directory, model)
    copy = copy_of(kept)
    assert copy == directory / "s1" / "1"
    status = os.stat(copy / "sub" / "run.sh")
    assert ((copy / "sub" / "run.sh").read_bytes(), stat.S_IMODE(status.st_mode)) == (b"#!/bin/sh\n", 0o755)
    assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert os.stat(copy / "sub").st_mtime_ns == 1_500_000_000_000_000_000
    assert (copy / "sub" / "empty").is_dir()
    assert (kept.files, kept.bytes, kept.linked) == (1, 10, 0)
    for private in (directory, directory / "s1", copy):
        assert stat.S_IMODE(os.stat(private).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(directory / "s1" / "1.json").st_mode) == 0o600


def test_large_files_and_environments_are_links_to_the_originals(directory: Path, model: Path) -> None:
    (model / "weights.bin").write_bytes(b"w" * 101)
    (model / "small.bin").write_bytes(b"s" * 100)
    for name, mark in (("venv", "pyvenv.cfg"), ("web/node_modules", "x.js"), ("conda", "conda-meta")):
        (model / name).mkdir(parents=True)
        (model / name / mark).write_bytes(b"")
    kept = keep(directory, model, file_bytes=100)
    copy = copy_of(kept)
    for name in ("weights.bin", "venv", "web/node_modules", "conda"):
        assert os.readlink(copy / name) == str(model / name)
    assert not (copy / "small.bin").is_symlink()
    assert (kept.files, kept.bytes, kept.linked) == (1, 100, 4)
    (model / "weights.bin").write_bytes(b"v" * 102)
    assert changed(directory, kept, model, file_bytes=100) == ["weights.bin"]


def test_what_no_revision_needs_is_left_out(directory: Path, model: Path) -> None:
    for name in (".git", "pkg/__pycache__", ".ipynb_checkpoints"):
        (model / name).mkdir(parents=True)
        (model / name / "x").write_bytes(b"x")
    (model / "pkg" / "m.py").write_bytes(b"")
    os.mkfifo(model / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(model)  # a socket's path is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(before)
        if os.geteuid() == 0:
            os.mknod(model / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        kept = keep(directory, model)
    found = {str(path.relative_to(copy_of(kept))) for path in copy_of(kept).rglob("*")}
    assert found == {"pkg", "pkg/m.py"}
    (model / "pkg" / "__pycache__" / "m.pyc").write_bytes(b"")
    (model / ".git" / "HEAD").write_bytes(b"")
    assert changed(directory, kept, model) == []


def test_what_holds_secrets_of_the_gateway_is_neither_copied_nor_told(model: Path) -> None:
    """A home folder as model folder, with the gateway's data and Jupyter's runtime folder in it: their tokens stay where
    they are, and what the gateway writes there is no change of the model."""
    data, runtime = model / ".local" / "model-service", model / ".local" / "runtime"
    for folder in (data / "replicas" / "m-1", runtime):
        folder.mkdir(parents=True)
    (model / "app.py").write_bytes(b"1")
    (model / ".local" / "mine").write_bytes(b"1")
    for secret in (data / "gateway.json", data / "replicas" / "m-1" / "spec.json", runtime / "jupyter_cookie_secret"):
        secret.write_bytes(b"secret")
    storage = LocalSnapshots(data / "revisions", leave_out=(data, runtime))

    async def body() -> None:
        kept = await storage.keep("s1", 1, str(model), lambda files, size: None)
        found = {str(path.relative_to(copy_of(kept))) for path in copy_of(kept).rglob("*")}
        assert found == {"app.py", ".local", ".local/mine"}
        (data / "gateway.json").write_bytes(b"another")
        (runtime / "kernel.json").write_bytes(b"new")
        assert list(await storage.changed(kept, str(model))) == []
        (model / ".local" / "mine").write_bytes(b"22")
        assert list(await storage.changed(kept, str(model))) == [".local/mine"]

    asyncio.run(body())


def test_links_stay_inside_or_go_where_they_went(directory: Path, model: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_bytes(b"out")
    (model / "v1").mkdir()
    (model / "v1" / "app.py").write_bytes(b"one")
    (model / ".git" / "annex").mkdir(parents=True)
    (model / ".git" / "annex" / "blob").write_bytes(b"annexed")
    links = {
        "current": "v1",
        "v1/up": "../v1/app.py",
        "absolute": str(model / "v1" / "app.py"),
        "around": f"../{model.name}/v1/app.py",
        "leaves": "../outside/data",
        "v1/leaves": "../../outside",
        "v1/through": "leaves/data",
        "passwd": "/etc/passwd",
        "annexed": ".git/annex/blob",
        "loop": "pool",
        "pool": "loop",
        "self": "self",
        "root": ".",
        "above": "..",
        "dangling": "no/such",
    }
    for name, target in links.items():
        os.symlink(target, model / name)
    kept = keep(directory, model)
    copy = copy_of(kept)
    shown = {name: os.readlink(copy / name) for name in links}
    assert shown == {
        **links,
        "absolute": "v1/app.py",
        "around": "v1/app.py",
        "leaves": str(outside / "data"),
        "v1/leaves": str(outside),
        "annexed": str(model / ".git" / "annex" / "blob"),
        "above": str(tmp_path),
    }
    assert kept.linked == 5  # leaves, v1/leaves, passwd, annexed, above
    assert changed(directory, kept, model) == []
    (model / "v1" / "app.py").write_bytes(b"two")
    for name in ("current/app.py", "v1/up", "absolute", "around"):
        assert (copy / name).read_bytes() == b"one"
    assert (copy / "v1" / "through").read_bytes() == b"out"
    os.unlink(model / "current")
    os.symlink(".git", model / "current")
    assert changed(directory, kept, model) == ["current", "v1/app.py"]


def test_a_link_by_way_of_what_is_not_copied_leads_into_the_copy(directory: Path, model: Path, tmp_path: Path) -> None:
    """Up from a link to the original, or from a folder that is left out, is the original's folder, or nothing."""
    (model / "app.py").write_bytes(b"one")
    for name in ("venv", ".git", "sub/deep"):
        (model / name).mkdir(parents=True)
    (model / "venv" / "pyvenv.cfg").write_bytes(b"cfg")
    (tmp_path / "outside").write_bytes(b"out")
    os.symlink(tmp_path / "outside", model / ".git" / "out")
    os.symlink("venv", model / "alias")
    links = {
        "by_environment": ("venv/../app.py", "app.py"),
        "by_alias": ("alias/../app.py", "app.py"),
        "by_git": (".git/../app.py", "app.py"),
        "sub/deep/by_git": ("../../.git/../app.py", "../../app.py"),
        "in_environment": ("venv/pyvenv.cfg", "venv/pyvenv.cfg"),
        "out_of_git": (".git/out", str(model / ".git" / "out")),
    }
    for name, (text, _) in links.items():
        os.symlink(text, model / name)
    copy = copy_of(keep(directory, model))
    assert {name: os.readlink(copy / name) for name in links} == {name: kept for name, (_, kept) in links.items()}
    assert all((copy / name).read_bytes() == (model / name).read_bytes() for name in links)
    (model / "app.py").write_bytes(b"two")
    assert {(copy / name).read_bytes() for name in links if "by" in name} == {b"one"}


def test_a_folder_that_is_named_by_a_link_is_the_folder(directory: Path, model: Path, tmp_path: Path) -> None:
    (model / "app.py").write_bytes(b"one")
    os.symlink(str(tmp_path / "alias" / "app.py"), model / "again")
    os.symlink(model, tmp_path / "alias")
    copy = copy_of(keep(directory, tmp_path / "alias"))
    assert (copy / "app.py").read_bytes() == b"one"
    assert os.readlink(copy / "again") == "app.py"


@pytest.mark.parametrize("name", [b"two\nlines", b"\xff\xfe", b"-rf", b" ", "ü".encode(), b"n" * 255])
def test_any_name_is_a_name(name: bytes, directory: Path, model: Path) -> None:
    path = os.path.join(os.fsencode(model), name)
    with open(path, "wb") as file:
        file.write(b"x")
    kept = keep(directory, model)
    assert os.listdir(os.fsencode(copy_of(kept))) == [name]
    assert changed(directory, kept, model) == []
    os.utime(path, ns=(1, 1))
    (told,) = changed(directory, kept, model)
    told.encode("utf-8")  # JSON and terminals can take it
    assert len(told) <= 200


def test_a_folder_beyond_a_limit_is_live_and_says_which(
    directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out before anything is copied."""
    for number in range(6):
        (model / f"f{number}").write_bytes(b"x" * 10)
    assert keep(directory, model, files=6, bytes=60).kind == "copy"
    monkeypatch.delattr(snapshots, "copy_entry")
    few = keep(directory, model, files=5)
    assert (few.kind, few.why) == ("live", "the folder holds more than 5 files")
    small = keep(directory, model, bytes=59)
    assert (small.kind, small.why) == (
        "live", "the folder holds more than 59 bytes, files that would be linked not counted",
    )  # fmt: skip
    assert sorted(os.listdir(directory / "s1")) == ["1", "1.json"]


def test_a_folder_that_holds_the_copies_does_not_copy_them(tmp_path: Path) -> None:
    """Somebody serves the home folder, in which the gateway's own data are."""
    (tmp_path / "app.py").write_bytes(b"one")
    directory = tmp_path / ".local" / "revisions"
    first = copy_of(keep(directory, tmp_path))
    kept = keep(directory, tmp_path, 2)
    assert kept.files == 1
    assert not (copy_of(kept) / ".local" / "revisions").exists()
    assert (first / "app.py").read_bytes() == b"one"


@pytest.mark.parametrize("rests_after", [1, 99])
def test_a_file_that_changes_while_it_is_copied_is_read_again(
    rests_after: int, directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-saved file must not become the revision's; a log that is written to for ever keeps nobody from serving: it
    is taken as it was read, and counts as changed. The moment between two reads cannot be met from outside."""
    source, copy_content, reads = model / "log", snapshot_tree._copy_content, 0

    def interrupted(*arguments: Any) -> int:
        nonlocal reads
        reads += 1
        size = copy_content(*arguments)
        if reads <= rests_after:
            with open(source, "ab") as file:
                file.write(b"+more")
        return size

    source.write_bytes(b"begin")
    monkeypatch.setattr(snapshot_tree, "_copy_content", interrupted)
    kept = keep(directory, model)
    read = (copy_of(kept) / "log").read_bytes()
    if rests_after == 1:
        assert (read, kept.bytes, reads) == (b"begin+more", 10, 2)
        assert changed(directory, kept, model) == []
    else:
        assert (read, kept.bytes, reads) == (b"begin+more+more", 15, 3)
        assert changed(directory, kept, model) == ["log"]


def test_a_file_that_grows_beyond_the_limit_while_it_is_copied_becomes_a_link(
    directory: Path, model: Path, tmp_path: Path
) -> None:
    source = model / "weights"
    source.write_bytes(b"x" * 11)
    target = tmp_path / "target"
    limits = SnapshotLimits(file_bytes=10)
    look = os.stat(source)
    entry = snapshot_tree.Entry("weights", "file", look)  # as it was at the look: small enough
    (tmp_path / "place").mkdir()
    done = snapshot_tree.copy_entry(entry, snapshot_tree.Opened(model), tmp_path / "place", limits)
    assert done is not None
    assert (done.files, done.linked) == (0, 1)
    assert os.readlink(tmp_path / "place" / "weights") == str(source)
    assert not target.exists()


def test_what_took_a_files_place_is_not_followed(model: Path, tmp_path: Path) -> None:
    """Between the look and the copy the file becomes a link to somebody's secret, a pipe, or nothing."""
    (model / "app.py").write_bytes(b"one")
    entry = snapshot_tree.Entry("app.py", "file", os.stat(model / "app.py"))
    (tmp_path / "place").mkdir()
    for replace in (lambda p: os.symlink("/etc/passwd", p), os.mkfifo, lambda p: None):
        (model / "app.py").unlink(missing_ok=True)
        replace(model / "app.py")
        assert (
            snapshot_tree.copy_entry(entry, snapshot_tree.Opened(model), tmp_path / "place", SnapshotLimits()) is None
        )
        assert os.listdir(tmp_path / "place") == []


def test_a_folder_that_a_link_replaces_meanwhile_is_not_followed(
    directory: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment between the look and the copy, which cannot be met from outside; then the link is the folder's."""
    secret = tmp_path / "secret"
    for folder in (model / "a" / "b", secret / "b"):
        folder.mkdir(parents=True)
        (folder / "key").write_bytes(bytes(folder.parent.name, "ascii"))
    entry = snapshot_tree.Entry("a/b/key", "file", os.stat(model / "a" / "b" / "key"))
    copy_entry, swapped = snapshots.copy_entry, False

    def swapping(entry: Any, *arguments: Any) -> Any:
        nonlocal swapped
        if entry.name == "a/b/key" and not swapped:
            swapped = True
            shutil.rmtree(model / "a")
            os.symlink(secret, model / "a")
        return copy_entry(entry, *arguments)

    monkeypatch.setattr(snapshots, "copy_entry", swapping)
    kept = keep(directory, model)
    assert (swapped, kept.files, kept.linked) == (True, 0, 1)
    assert os.readlink(copy_of(kept) / "a") == str(secret)
    with snapshot_tree.Opened(model) as opened:
        assert copy_entry(entry, opened, tmp_path / "nowhere", SnapshotLimits()) is None
        with pytest.raises(NotADirectoryError):
            opened.folder("a/b")
        assert [entry.name for entry in snapshot_tree.scan(opened, SnapshotLimits(), avoid=[directory])] == ["a"]


@pytest.mark.parametrize(("when", "losses"), [("before", 1), ("before", 99), ("after", 1), ("after", 99), ("away", 1)])
def test_a_folder_that_loses_files_while_it_is_copied_is_copied_again(
    losses: int, when: str, directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a checkout of another branch: half of the one and half of the other is no revision."""
    for number in range(9):
        (model / f"f{number}").write_bytes(b"x")
    copy_entry, lost = snapshots.copy_entry, 0

    def losing(entry: Any, *arguments: Any) -> Any:
        nonlocal lost
        here = entry.name == f"f{8 - lost}" and lost < losses
        lost += here
        if here and when != "after":
            (model / entry.name).unlink()
        done = copy_entry(entry, *arguments)
        if here and when == "after":
            (model / entry.name).unlink()
        if here and when == "away":  # and back again
            (model / entry.name).write_bytes(b"x")
        return done

    monkeypatch.setattr(snapshots, "copy_entry", losing)
    if losses == 1:
        kept = keep(directory, model)
        left = 9 if when == "away" else 8
        assert sorted(os.listdir(copy_of(kept))) == [f"f{number}" for number in range(left)]
        assert (kept.files, changed(directory, kept, model)) == (left, [])
    else:
        with pytest.raises(InvalidRequest, match=r"Files of .*/model go away while it is copied \(f6\)"):
            keep(directory, model)
        assert lost == 3
        assert list(directory.rglob("*")) == []


def test_a_folder_that_is_exchanged_while_it_is_copied_is_copied_again(
    directory: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a file system that goes away under it."""
    (model / "app.py").write_bytes(b"one")
    copy_entry, moved = snapshots.copy_entry, tmp_path / "moved"

    def exchanging(*arguments: Any) -> Any:
        if not moved.exists():
            model.rename(moved)
            model.mkdir()
            (model / "app.py").write_bytes(b"two")
        return copy_entry(*arguments)

    monkeypatch.setattr(snapshots, "copy_entry", exchanging)
    assert (copy_of(keep(directory, model)) / "app.py").read_bytes() == b"two"


def test_a_folder_that_hangs_keeps_nobody_from_another_one(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system that is away cannot be had here, so the look is held up."""
    scan, freed = snapshots.scan, threading.Event()

    def hanging(opened: Any, *arguments: Any, **named: Any) -> Any:
        if opened.root.name.startswith("away"):
            freed.wait(60)
        return scan(opened, *arguments, **named)

    monkeypatch.setattr(snapshots, "scan", hanging)
    monkeypatch.setattr(snapshots, "CANCEL_PATIENCE", 0.05)
    names = ["well", *(f"away{number}" for number in range(12))]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_bytes(b"one")

    async def body() -> None:
        storage = LocalSnapshots(directory)

        def keeping(name: str) -> Awaitable[Kept]:
            return storage.keep(name, 1, str(tmp_path / name), lambda files, size: None)

        kept = await keeping("well")
        copies = [asyncio.ensure_future(keeping(name)) for name in names[1:]]
        looks = [asyncio.ensure_future(storage.changed(kept, str(tmp_path / name))) for name in names[1:] * 3]
        await asyncio.sleep(0.1)
        assert threading.active_count() < 40, "one look at a time hangs in a folder"
        for copy in copies:
            copy.cancel()
        await asyncio.wait(copies)
        assert (await asyncio.wait_for(keeping("well"), 30)).files == 1
        assert list(await asyncio.wait_for(storage.changed(kept, str(tmp_path / "well")), 30)) == []
        for look in looks:
            look.cancel()
        hangs = f"The last copy of {tmp_path}/away3 was given up and still hangs in the file system"
        with pytest.raises(StoreError, match=hangs):
            await keeping("away3")
        freed.set()
        for _ in range(3000):
            with contextlib.suppress(StoreError):
                assert (await keeping("away3")).files == 1
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it came back, and is refused")

    try:
        asyncio.run(body())
    finally:
        freed.set()


def test_a_program_ends_though_a_folder_hangs() -> None:
    """A look, a copy and a definition, each of which would otherwise be waited for until the file system is back."""
    script = textwrap.dedent("""
        import asyncio, threading
        from pathlib import Path
        from jupyter_model_service.adapters import definition_file, snapshots
        from jupyter_model_service.core.revision import Kept
        hang = lambda *arguments, **named: threading.Event().wait()
        snapshots.Opened = snapshots.marks_file = definition_file.load_definition = hang
        async def body():
            storage = snapshots.LocalSnapshots(Path("/nonexistent"))
            tasks = [
                asyncio.ensure_future(storage.keep("s1", 1, "/", lambda files, size: None)),
                asyncio.ensure_future(storage.changed(Kept("copy", "/x"), "/")),
                asyncio.ensure_future(definition_file.DefinitionFiles().load("/")),
            ]
            await asyncio.sleep(0.2)
            print("over", flush=True)
        snapshots.CANCEL_PATIENCE = 0.05
        asyncio.run(body())
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr


def test_a_folder_that_is_gone_cannot_be_kept(directory: Path, model: Path) -> None:
    model.rmdir()
    with pytest.raises(InvalidRequest, match=r"model cannot be copied.*no such file"):
        keep(directory, model)


@contextmanager
def small_files_only() -> Iterator[None]:
    """A limit of the size of files stands for the full disk. No fixture: what runs the tests writes files, too."""
    former, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_from_a_folder_that_cannot_be_read(
    directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the copies lie in the folder itself, and where the error is of a link to the original."""
    (model / "b.bin").write_bytes(b"b" * 9000)

    def no_space(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(os, "symlink", no_space)
    with pytest.raises(StoreError, match=r"cannot be copied to .*: no space left on device"):
        keep(directory, model, file_bytes=100)
    with small_files_only(), pytest.raises(StoreError, match="file too large"):
        keep(model / "data", model)


def test_a_cancelled_copy_ends_after_the_file_that_it_is_at(
    directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        (model / f"f{number}").write_bytes(b"x")
    begun, copied, copy_entry = threading.Event(), 0, snapshots.copy_entry

    def slow(*arguments: Any) -> Any:
        nonlocal copied
        copied += 1
        begun.set()
        time.sleep(0.02)  # the whole would take 20 s
        return copy_entry(*arguments)

    monkeypatch.setattr(snapshots, "copy_entry", slow)

    async def body() -> None:
        storage = LocalSnapshots(directory)
        task = asyncio.ensure_future(storage.keep("s1", 1, str(model), lambda files, size: None))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert copied < 200
        assert list(directory.iterdir()) == []

    asyncio.run(body())


def test_a_full_disk_is_one_sentence_and_leaves_nothing(directory: Path, model: Path) -> None:
    (model / "a.py").write_bytes(b"a")
    (model / "b.bin").write_bytes(b"b" * 9000)
    with small_files_only(), pytest.raises(StoreError, match="cannot be copied to") as caught:
        keep(directory, model)
    assert "\n" not in str(caught.value)
    assert [path for path in directory.rglob("*") if path.is_file()] == []
    assert not (directory / "s1").exists()


@pytest.mark.parametrize(("total", "stays"), [(8 << 30, 64 << 20), (16 << 20, 2 << 20)])
def test_a_copy_leaves_room_on_the_disk(
    total: int, stays: int, directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that just fits would keep the database from forgetting anything again. Links take no more than a name."""
    (model / "a.py").write_bytes(b"a" * 1000)
    (model / "weights").write_bytes(b"w" * 9000)
    needed, free = 1000 + 2 * 4096, 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(total, total - free, free))
    free = needed + stays - 1
    with pytest.raises(NoSpace, match=rf"model need 9 KiB in .*revisions, where .* are free and {stays >> 20} MiB"):
        keep(directory, model, file_bytes=2000)
    assert not directory.exists()
    free += 1
    assert keep(directory, model, file_bytes=2000).bytes == 1000


def test_files_that_grow_beyond_the_limit_while_they_are_copied_are_not_kept(
    directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stays below the limit of a file; together they would fill the disk."""
    for number in range(20):
        (model / f"f{number:02}").write_bytes(b"x")
    copy_entry, copied = snapshots.copy_entry, 0

    def growing(entry: Any, *arguments: Any) -> Any:
        nonlocal copied
        copied += 1
        (model / entry.name).write_bytes(b"x" * 90)
        return copy_entry(entry, *arguments)

    monkeypatch.setattr(snapshots, "copy_entry", growing)
    kept = keep(directory, model, bytes=200, file_bytes=100)
    assert (kept.kind, kept.why) == (
        "live", "the folder holds more than 200 bytes, files that would be linked not counted",
    )  # fmt: skip
    assert copied == 3, "it ends as soon as that is seen"
    assert [path for path in directory.rglob("*") if path.is_file()] == []


def test_a_copy_gets_its_name_after_its_list_of_times(
    directory: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway may be killed between the two: what has its name is complete."""
    (model / "app.py").write_bytes(b"one")
    rename, seen = os.rename, []

    def watched(old: Any, new: Any) -> None:
        rename(old, new)
        seen.append(sorted(name for name in os.listdir(directory / "s1") if not name.startswith(".")))

    monkeypatch.setattr(os, "rename", watched)
    keep(directory, model)
    assert seen == [["1.json"], ["1", "1.json"]]


KEEPS = """
    import asyncio, os
    from pathlib import Path
    from jupyter_model_service.adapters.snapshots import LocalSnapshots
    from jupyter_model_service.errors import ModelServiceError
    if os.geteuid() == 0:  # a user whom mode bits hold back; the interpreter's own files may be root's
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    try:
        kept = asyncio.run(LocalSnapshots(Path({directory!r})).keep("s1", 1, {model!r}, lambda files, size: None))
        print(*filter(None, [kept.kind, kept.why]))
    except ModelServiceError as error:
        print(type(error).__name__, error)
"""


def said_by(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder below which anybody may go."""
    path = Path("/tmp") / f"snapshots-{os.getpid()}-{threading.get_ident()}"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def test_what_cannot_be_read_or_written_is_named(open_path: Path) -> None:
    model, directory = open_path / "model", open_path / "revisions"
    (model / "sub").mkdir(parents=True)
    (model / "app.py").write_bytes(b"one")
    script = KEEPS.format(directory=str(directory), model=str(model))
    model.chmod(0o000)
    said = said_by(script)
    assert said.startswith(f"InvalidRequest {model} cannot be copied into the revision: permission denied")
    assert said.count("\n") == 1
    assert not list(directory.glob("*"))
    model.chmod(0o755)
    shutil.rmtree(directory, ignore_errors=True)
    open_path.chmod(0o555)
    said = said_by(script)
    open_path.chmod(0o777)
    assert said.startswith(f"StoreError The files of {model} cannot be copied to {directory}: permission denied")
    assert not directory.exists()


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_what_may_not_be_read_is_a_link_and_named(open_path: Path, mode: int) -> None:
    """One ``lost+found`` must not keep the whole folder from being served."""
    model, directory = open_path / "model", open_path / "revisions"
    (model / "lost+found").mkdir(parents=True)
    (model / "app.py").write_bytes(b"one")
    (model / "key").write_bytes(b"secret")
    (model / "key").chmod(mode & 0o111)
    (model / "lost+found").chmod(mode)
    said = said_by(KEEPS.format(directory=str(directory), model=str(model)))
    assert said == "copy key, lost+found cannot be read, so the copy has links to what is there\n"
    copy = directory / "s1" / "1"
    assert (copy / "app.py").read_bytes() == b"one"
    assert [os.readlink(copy / name) for name in ("key", "lost+found")] == [f"{model}/key", f"{model}/lost+found"]
    (model / "lost+found").chmod(0o755)


def test_what_a_model_made_unwritable_is_removed_all_the_same(open_path: Path) -> None:
    model, directory = open_path / "model", open_path / "revisions"
    (model / "sub").mkdir(parents=True)
    (model / "sub" / "app.py").write_bytes(b"one")
    said = said_by(
        KEEPS.format(directory=str(directory), model=str(model))
        + f"""
    for path in ("sub", ""):
        os.chmod(os.path.join({str(directory)!r}, "s1", "1", path), 0o500)
    async def nothing(): return ()
    asyncio.run(LocalSnapshots(Path({str(directory)!r})).collect(nothing))
    print(os.listdir({str(directory)!r}))
"""
    )
    assert said == "copy\n[]\n"


def test_a_killed_copy_is_collected_by_the_next_gateway(directory: Path, model: Path) -> None:
    """``kill -9`` in the midst of it."""
    for number in range(400):
        (model / f"f{number}").write_bytes(b"x")
    script = textwrap.dedent(f"""
        import asyncio, os, signal
        from pathlib import Path
        from jupyter_model_service.adapters import snapshots
        storage = snapshots.LocalSnapshots(Path({str(directory)!r}))
        done, copy = 0, snapshots.copy_entry
        def dies(*arguments):
            global done
            done += 1
            if done == 200:
                os.kill(os.getpid(), signal.SIGKILL)
            return copy(*arguments)
        snapshots.copy_entry = dies
        asyncio.run(storage.keep("s1", 1, {str(model)!r}, lambda files, size: None))
    """)
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert len(list(directory.glob("s1/.new-*/*"))) == 199

    async def nothing() -> list[tuple[str, int]]:
        return []

    asyncio.run(LocalSnapshots(directory).collect(nothing))
    assert list(directory.iterdir()) == []


def test_the_files_of_another_database_stay_and_are_named_once(
    directory: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway that was started without its database must not take the copies of all services for rubbish."""
    (model / "app.py").write_bytes(b"one")

    async def nothing() -> list[tuple[str, int]]:
        return []

    async def body() -> None:
        former, anew = (LocalSnapshots(directory, database=name) for name in ("0a", "0b"))
        kept = await former.keep("s1", 1, str(model), lambda files, size: None)
        other = await anew.keep("s1", 1, str(model), lambda files, size: None)
        assert (kept.path, other.path) == (str(directory / "0a/s1/1"), str(directory / "0b/s1/1"))
        for _ in range(2):
            await anew.collect(nothing)
        assert sorted(path.name for path in directory.iterdir()) == ["0a"]
        assert (copy_of(kept) / "app.py").read_bytes() == b"one"
        (told,) = [record.getMessage() for record in caplog.records]
        assert f"{directory} holds files of revisions that this database does not know (0a)" in told
        await former.collect(nothing)
        assert list(directory.iterdir()) == []
        assert len(caplog.records) == 1

    asyncio.run(body())


def test_progress_is_told_on_the_loop(directory: Path, model: Path) -> None:
    for number in range(300):
        (model / f"f{number:03}").write_bytes(b"x")
    told: list[tuple[int, int, bool]] = []

    async def body() -> Kept:
        here = threading.get_ident()

        def tell(files: int, size: int) -> None:
            told.append((files, size, threading.get_ident() == here))

        return await storage.keep("s1", 1, str(model), tell)

    storage = LocalSnapshots(directory, told_every=0.0)
    assert asyncio.run(body()).files == 300
    assert len(told) > 100
    assert all(size == files <= 300 and on_loop for files, size, on_loop in told)
    assert told == sorted(told)
