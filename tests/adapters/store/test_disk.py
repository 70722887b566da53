"""Disks that are full or read-only: real small ones, mounted where only the child process sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .samples import copy, refused

SHELL = """
set -e
mkdir -p "$1"
mount -t tmpfs -o size=1m,mode=700 tmpfs "$1"
{prepare}
exec "$2" -c "$3" "$1/state.db" "$4"
"""

COMMON = """
import asyncio, os, sys
from pathlib import Path
path = Path(sys.argv[1]); sys.path.insert(0, sys.argv[2])
from samples import SERVICE, REVISION, events, fill
from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.errors import NoSpace, StoreError
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[list[str]]:
    """A command prefix under which file systems can be mounted that vanish with the process."""
    for prefix in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            tried = subprocess.run([*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], timeout=20, capture_output=True)
        except OSError:
            break
        if tried.returncode == 0:
            yield prefix
            return
    pytest.skip("this machine lets nobody mount in a namespace of his own: full and read-only disks are not tested")


def on_small_disk(namespace: list[str], folder: Path, program: str, prepare: str = "") -> str:
    """Runs the program with a disk of 1 MiB at ``folder``."""
    command = ["sh", "-c", SHELL.format(prepare=prepare), "sh"]
    arguments = [str(folder), sys.executable, COMMON + program, str(Path(__file__).parent)]
    child = subprocess.run([*namespace, *command, *arguments], timeout=60, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    return child.stdout


FULL_WHILE_RUNNING = """
async def main():
    await fill(path)
    store = await SqlStore.open(path)
    n = 100
    try:
        while True:
            await store.add_events(events(n, 50))
            n += 50
    except NoSpace as error:
        print(error)
    got = [e.id for e in await store.events(limit=1000)]
    assert got and got[-1] == n - 1, (got[-1], n)   # the failed batch is not there, the one before is
    (path.parent / "ballast").unlink()
    await store.add_events(events(n, 50))
    got = [e.id for e in await store.events(limit=1)]
    assert got == [n + 49], got
    await store.close()

(path.parent / "ballast").write_bytes(bytes(500_000))
asyncio.run(main())
"""


def test_a_full_disk_stops_a_write_and_nothing_else(namespace: list[str], tmp_path: Path) -> None:
    said = on_small_disk(namespace, tmp_path / "disk", FULL_WHILE_RUNNING)
    assert said == (
        f"The disk of the database {tmp_path}/disk/state.db is full: nothing was changed; free some space and try "
        "again.\n"
    )


FULL_AT_START = """
import hashlib
if EXISTING:
    asyncio.run(fill(path, 3))
file = open(path.parent / "ballast", "wb", buffering=0)
try:
    while True:
        file.write(bytes(4096))
except OSError:
    pass
before = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in path.parent.iterdir()}
try:
    asyncio.run(SqlStore.open(path))
except StoreError as error:
    print(error)
after = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in path.parent.iterdir() if f.stat().st_size}
after.pop('state.db-shm', None)  # as far as it could be made
if 'state.db-wal' not in before:  # a log is moved into the file on the way out, which changes the form only
    assert after == before, (before, after)
file.close()
(path.parent / "ballast").unlink()
async def works():
    store = await SqlStore.open(path)
    print(len(await store.events()))
    await store.close()
asyncio.run(works())
"""


@pytest.mark.parametrize(("existing", "events_there"), [(True, 9), (False, 0)])
def test_a_full_disk_is_seen_at_the_start(
    namespace: list[str], tmp_path: Path, existing: bool, events_there: int
) -> None:
    said = on_small_disk(namespace, tmp_path / "disk", FULL_AT_START.replace("EXISTING", str(existing)))
    sentence, count = said.splitlines()
    assert "is full: nothing was changed" in sentence
    assert count == str(events_there)


def test_a_full_disk_is_seen_at_the_start_after_a_kill(namespace: list[str], killed: Path, tmp_path: Path) -> None:
    """Log and shared memory are there already: only something written shows that no more fits."""
    program = FULL_AT_START.replace("EXISTING", "False")
    said = on_small_disk(namespace, tmp_path / "disk", program, f"cp {killed}/state.db* $1/")
    sentence, count = said.splitlines()
    assert "is full: nothing was changed" in sentence
    assert count == "60"


READ_ONLY = """
try:
    asyncio.run(SqlStore.open(path))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("source", ["closed", "killed", None])
def test_a_read_only_folder_is_one_sentence(
    namespace: list[str], source: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A mount, since root may write where the mode bits forbid it."""
    prepare = f"cp {request.getfixturevalue(source)}/state.db* $1/\n" if source else ""
    said = on_small_disk(namespace, tmp_path / "disk", READ_ONLY, prepare + 'mount -o remount,ro "$1"')
    assert said == (
        f"The folder {tmp_path}/disk of the database is read-only for you: make it writable, or choose another one.\n"
    )


def test_a_read_only_file_is_one_sentence(namespace: list[str], closed: Path, tmp_path: Path) -> None:
    """The folder can be written, the file cannot."""
    prepare = (
        f'cp {closed}/state.db $1/; mount --bind "$1/state.db" "$1/state.db"; mount -o remount,bind,ro "$1/state.db"'
    )
    said = on_small_disk(namespace, tmp_path / "disk", READ_ONLY, prepare)
    assert "state.db cannot be read and written" in said


def test_a_folder_that_cannot_be_made_is_one_sentence(namespace: list[str], tmp_path: Path) -> None:
    said = on_small_disk(namespace, tmp_path / "disk", READ_ONLY.replace("(path)", "(path.parent / 'new' / 'state.db')"), 'mount -o remount,ro "$1"')  # fmt: skip
    assert said.count("\n") == 1
    assert "cannot be written: make the file and its folder writable" in said


if os.geteuid() != 0:  # root may write where the mode bits forbid it; what he may not write is tested above

    def test_a_folder_of_another_mode_is_one_sentence(closed: Path, path: Path) -> None:
        copy(closed, path).parent.chmod(0o500)
        try:
            assert "is read-only for you" in refused(path)
        finally:
            path.parent.chmod(0o700)
