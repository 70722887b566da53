"""What every storage of kept files does: the real one on a disk, and the one in memory that tests use."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.snapshots import LocalSnapshots
from jupyter_model_service.core.revision import Kept, SnapshotLimits
from jupyter_model_service.errors import ModelServiceError, NotFound, StoreError
from jupyter_model_service.ports import KeptKey, Storage
from jupyter_model_service.testing import FakeStorage, Shelf


class OnDisk:
    """Storages over one directory; the limits make a folder of more than 50 bytes too much."""

    def __init__(self, path: Path) -> None:
        self.directory, self.model = path / "revisions", path / "model"
        self.model.mkdir()
        self.folder = str(self.model)

    def storage(self) -> Storage:
        return LocalSnapshots(self.directory, SnapshotLimits(bytes=50))

    def write(self, name: str, content: bytes) -> None:
        (self.model / name).write_bytes(content)

    def remove(self, name: str) -> None:
        (self.model / name).unlink()

    def remove_folder(self) -> None:
        shutil.rmtree(self.model)

    def too_much(self) -> None:
        self.write("large", b"x" * 60)

    def broken(self) -> None:
        """No place for the copies: a file where their folder should be."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.write_bytes(b"")

    def slow(self, storage: Storage) -> None:
        """The next keeping takes long enough to be cancelled; here, one file is a pipe's worth of many."""
        for number in range(3000):
            self.write(f"f{number}", b"")

    def leave_half(self, key: KeptKey) -> None:
        """What a gateway killed in the middle of a copy leaves."""
        half = self.directory / key[0] / f".new-{key[1]}-abcd"
        half.mkdir(parents=True)
        (half / "app.py").write_bytes(b"half")

    def held(self, kept: Kept) -> dict[str, bytes]:
        assert kept.path is not None
        return {path.name: path.read_bytes() for path in Path(kept.path).iterdir()}

    def there(self) -> set[str]:
        """Everything that the storage has, by service and number, half or whole."""
        if not self.directory.is_dir():
            return set()
        return {f"{path.parent.name}/{path.name}" for path in self.directory.glob("*/*") if path.suffix != ".json"}


class InMemory:
    def __init__(self, path: Path) -> None:
        self.folder = "/model"
        self.shelf = Shelf(folders={"/model": {}})

    def storage(self) -> Storage:
        return FakeStorage(self.shelf)

    def write(self, name: str, content: bytes) -> None:
        self.shelf.folders["/model"][name] = content

    def remove(self, name: str) -> None:
        del self.shelf.folders["/model"][name]

    def remove_folder(self) -> None:
        del self.shelf.folders["/model"]

    def too_much(self) -> None:
        self.shelf.live = "the folder is too large"

    def broken(self) -> None:
        self.shelf.error = StoreError("The disk is full.")

    def slow(self, storage: Storage) -> None:
        self.shelf.seconds = 60.0

    def leave_half(self, key: KeptKey) -> None:
        self.shelf.half.add(key)

    def held(self, kept: Kept) -> dict[str, bytes]:
        assert kept.path is not None
        service_id, _, number = kept.path.removeprefix("kept:").partition("/")
        return self.shelf.kept[service_id, int(number)]

    def there(self) -> set[str]:
        return {f"{service}/{number}" for service, number in {*self.shelf.kept, *self.shelf.half}}


Bench = Any


@pytest.fixture(params=[OnDisk, InMemory], ids=["disk", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    bench = request.param(tmp_path)
    bench.write("app.py", b"one")
    return bench


def only(*keys: KeptKey) -> Callable[[], Awaitable[Collection[KeptKey]]]:
    async def wanted() -> Collection[KeptKey]:
        return keys

    return wanted


def nothing_told(files: int, size: int) -> None:
    pass


def test_what_is_kept_stays_whatever_becomes_of_the_folder(bench: Bench) -> None:
    async def body() -> None:
        storage = bench.storage()
        kept = await storage.keep("s1", 1, bench.folder, nothing_told)
        assert (kept.kind, kept.files, kept.bytes, kept.linked, kept.why) == ("copy", 1, 3, 0, None)
        bench.write("app.py", b"two!")
        later = await storage.keep("s1", 2, bench.folder, nothing_told)
        bench.remove_folder()
        assert bench.held(kept) == {"app.py": b"one"}
        assert bench.held(later) == {"app.py": b"two!"}

    asyncio.run(body())


def test_what_is_kept_is_plain_data_and_is_there_for_the_next_gateway(bench: Bench) -> None:
    kept = asyncio.run(bench.storage().keep("s1", 1, bench.folder, nothing_told))
    assert Kept(**json.loads(json.dumps(asdict(kept)))) == kept

    async def body() -> None:
        storage = bench.storage()
        assert list(await storage.changed(kept, bench.folder)) == []
        await storage.collect(only(("s1", 1)))
        assert bench.held(kept) == {"app.py": b"one"}

    asyncio.run(body())


def test_what_changed_since_is_named(bench: Bench) -> None:
    """A file that differs, one that is gone, a new one; a few names are enough."""

    async def body() -> None:
        storage = bench.storage()
        bench.write("gone.txt", b"x")
        kept = await storage.keep("s1", 1, bench.folder, nothing_told)
        assert list(await storage.changed(kept, bench.folder)) == []
        bench.write("app.py", b"another")
        bench.write("new.py", b"y")
        bench.remove("gone.txt")
        assert list(await storage.changed(kept, bench.folder)) == ["app.py", "gone.txt", "new.py"]
        bench.write("app.py", b"one")
        bench.write("gone.txt", b"x")
        for number in range(20):
            bench.write(f"more{number:02}", b"")
        assert len(await storage.changed(kept, bench.folder)) == 6
        bench.remove_folder()
        with pytest.raises(NotFound):
            await storage.changed(kept, bench.folder)
        assert list(await storage.changed(Kept(), bench.folder)) == []

    asyncio.run(body())


def test_a_folder_that_is_too_large_is_live_and_says_why(bench: Bench) -> None:
    async def body() -> None:
        bench.too_much()
        kept = await bench.storage().keep("s1", 1, bench.folder, nothing_told)
        assert (kept.kind, kept.path, kept.files, bool(kept.why)) == ("live", None, 0, True)
        assert bench.there() == set()

    asyncio.run(body())


def test_a_keeping_that_fails_leaves_nothing_and_says_it_in_one_sentence(bench: Bench) -> None:
    async def body() -> None:
        bench.broken()
        with pytest.raises(ModelServiceError) as caught:
            await bench.storage().keep("s1", 1, bench.folder, nothing_told)
        assert "\n" not in str(caught.value)
        assert bench.there() == set()

    asyncio.run(body())


def test_a_keeping_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    async def body() -> None:
        storage = bench.storage()
        bench.slow(storage)
        task = asyncio.ensure_future(storage.keep("s1", 1, bench.folder, nothing_told))
        while not bench.there() and not task.done():
            await asyncio.sleep(0.001)
        assert not task.done(), "it was to be slow"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.there() == set()

    asyncio.run(body())


def test_collecting_leaves_what_is_wanted_and_nothing_else(bench: Bench) -> None:
    async def body() -> None:
        storage = bench.storage()
        kept = [await storage.keep(s, n, bench.folder, nothing_told) for s, n in (("s1", 1), ("s1", 2), ("s2", 1))]
        bench.leave_half(("s3", 7))
        await storage.collect(only(("s1", 2), ("s9", 1)))
        assert bench.there() == {"s1/2"}
        assert bench.held(kept[1]) == {"app.py": b"one"}
        await storage.collect(only())
        assert bench.there() == set()
        await storage.collect(only())

    asyncio.run(body())


def test_collecting_spares_what_is_being_kept(bench: Bench) -> None:
    """What becomes kept after ``wanted`` was asked is not taken for rubbish."""

    async def body() -> None:
        storage = bench.storage()
        keeping = asyncio.ensure_future(storage.keep("s1", 1, bench.folder, nothing_told))
        asked = 0

        async def wanted() -> Collection[KeptKey]:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.05)
            return [("s1", 1)] if keeping.done() else []

        await storage.collect(wanted)
        kept = await keeping
        assert (asked, bench.held(kept)) == (1, {"app.py": b"one"})

    asyncio.run(body())


def test_keeping_again_replaces_what_a_killed_gateway_left_under_that_number(bench: Bench) -> None:
    async def body() -> None:
        storage = bench.storage()
        await storage.keep("s1", 2, bench.folder, nothing_told)
        bench.write("app.py", b"newer")
        kept = await storage.keep("s1", 2, bench.folder, nothing_told)
        assert bench.held(kept) == {"app.py": b"newer"}
        assert list(await storage.changed(kept, bench.folder)) == []
        assert bench.there() == {"s1/2"}

    asyncio.run(body())
