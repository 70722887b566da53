"""Kills in the middle of writes, several processes and stores at one file, hanging disks, callers that leave."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.errors import Conflict, StoreError

from .samples import REVISION, SERVICE, events, fill, ids, rows

WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from samples import events
from jupyter_model_service.adapters.store import SqlStore

async def main():
    store = await SqlStore.open(Path(sys.argv[1]))
    newest = await store.events(None, 0, 1)
    next = newest[0].id + 1 if newest else 1
    while True:
        await store.add_events(events(next, 7))
        next += 7
        sys.stdout.write(f"{next}\\n")
        sys.stdout.flush()

asyncio.run(main())
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    """Seven events per write, killed at any moment, also while the log is moved into the file (every 250 pages)."""
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=0))
    acknowledged = 1  # the id that follows the last acknowledged event
    for _ in range(5):
        writer = start_writer(path)
        assert writer.stdout is not None
        try:
            for _ in range(random.randrange(1, 150)):
                acknowledged = int(writer.stdout.readline())
        finally:
            writer.kill()
            writer.wait(30)
        # What was still in the pipe was acknowledged before the kill, too.
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split("\n") if line.strip())])
        writer.stdout.close()
        there = asyncio.run(ids(path))
        assert there[-1] >= acknowledged - 1
        assert (there[-1] - acknowledged + 1) in (0, 7)  # the write under way: all of it or nothing
        assert there == list(range(max(1, there[-1] - 999), there[-1] + 1))


def test_a_kill_while_the_database_is_made_leaves_all_or_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys, threading, time; from pathlib import Path\n"
        "from jupyter_model_service.adapters.store_file import open_database\n"
        "threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os.kill(os.getpid(), 9)), daemon=True).start()\n"
        "open_database(Path(sys.argv[1])); time.sleep(60)"
    )
    for n in range(6):
        path = tmp_path / str(n) / "state.db"
        child = subprocess.run([sys.executable, "-c", program, str(path), str(n * 0.003)], timeout=60)
        assert child.returncode == -9
        asyncio.run(fill(path, writes=1))
        assert asyncio.run(ids(path)) == [1, 2, 3]


def test_two_stores_on_one_file_see_each_other_and_lose_nothing(tmp_path: Path) -> None:
    """The gateway's lock prevents this; if it ever fails, nothing may break."""
    path = tmp_path / "state.db"

    async def body() -> None:
        first, second = await asyncio.gather(SqlStore.open(path), SqlStore.open(path))
        await first.add_service(SERVICE, REVISION)
        with pytest.raises(Conflict):
            await second.add_service(SERVICE, REVISION)

        async def write(store: SqlStore, begin: int) -> None:
            for n in range(begin, begin + 100, 2):
                await store.add_events(events(n, 1))

        async def read(store: SqlStore) -> None:
            for _ in range(20):
                found = [e.id for e in await store.events()]
                assert found == sorted(set(found))

        await asyncio.gather(write(first, 1), write(second, 2), read(first), read(second))
        await second.close()  # and takes nothing of the first one's away
        await first.add_events(events(101, 1))
        third = await SqlStore.open(path)
        assert [e.id for e in await third.events(limit=1000)] == list(range(1, 102))
        await third.close()
        await first.close()

    asyncio.run(body())
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert sorted(os.listdir(tmp_path)) == ["state.db", "state.key"]


def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=0))
    writer = start_writer(path)
    assert writer.stdout is not None

    async def body() -> None:
        store = await SqlStore.open(path)
        for n in range(60):
            await store.add_events(events(1_000_000 + n, 1))
            assert (await store.events(None, 1_000_000 - 1, 1))[0].id == 1_000_000 + n
        await store.close()

    try:
        # Its first write: it has read where to go on, which is below the ids that we use.
        writer.stdout.readline()
        asyncio.run(body())
    finally:
        writer.kill()
        writer.wait(30)
    acknowledged = int(writer.stdout.read().split()[-1]) - 1
    writer.stdout.close()
    there = asyncio.run(ids(path))
    assert there[-60:] == list(range(1_000_000, 1_000_060))
    assert there[-61] in (acknowledged, acknowledged + 7)
    assert there[:-60] == list(range(there[0], there[-61] + 1))
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_call_that_takes_too_long_fails_and_is_not_done_later(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=1))

    async def body() -> None:
        store = await SqlStore.open(path, limit=0.4)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(store.add_events(events(n, 1))) for n in (100, 101)]
            await asyncio.wait(waiting)
            for task in waiting:
                assert "did not answer within 0.4 s" in str(task.exception())
            other.execute("ROLLBACK")
        # Behind the one that is still waiting for the lock; on a slow machine more than once.
        deadline = time.monotonic() + 30
        done = False
        while not done and time.monotonic() < deadline:
            with suppress(StoreError):
                await store.add_events(events(200, 1))
                done = True
        assert [e.id for e in await store.events()] == [1, 2, 3, 200]
        await store.close()

    asyncio.run(body())


def test_a_lock_that_is_never_given_back_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=1))

    async def body() -> None:
        store = await SqlStore.open(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert len(await store.events()) == 3  # reading goes on
            with pytest.raises(StoreError, match="locked by another program"):
                await store.add_events(events(100, 1))
        await store.close()

    asyncio.run(body())


def test_a_caller_that_leaves_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=1))

    async def body() -> None:
        store = await SqlStore.open(path)
        entered, leave = threading.Event(), threading.Event()
        busy = asyncio.create_task(store._call(lambda c: (entered.set(), leave.wait(30)), write=False))
        while not entered.is_set():
            await asyncio.sleep(0.005)
        left = asyncio.create_task(store.add_events(events(100, 1)))
        stays = asyncio.create_task(store.add_events(events(200, 1)))
        await asyncio.sleep(0)
        left.cancel()
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        leave.set()
        await stays
        assert [e.id for e in await store.events()] == [1, 2, 3, 200]
        await store.close()

    asyncio.run(body())


def test_the_loop_runs_on_while_the_disk_is_slow(tmp_path: Path) -> None:
    async def body() -> None:
        store = await SqlStore.open(tmp_path / "state.db")
        turned = threading.Event()
        waiting = asyncio.create_task(store._call(lambda c: turned.wait(30), write=False))
        await asyncio.sleep(0)  # the work has been handed over
        await asyncio.sleep(0)
        turned.set()  # reached only if the loop was not held
        assert await waiting
        await store.close()

    asyncio.run(body())


def test_a_cancelled_opening_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    asyncio.run(fill(path, writes=1))

    async def body() -> None:
        before = set(threading.enumerate())
        opening = asyncio.create_task(SqlStore.open(path))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        deadline = time.monotonic() + 30
        # The last one that closes a database takes its log away.
        while any(thread.name.startswith("store") for thread in set(threading.enumerate()) - before):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert sorted(os.listdir(tmp_path)) == ["state.db", "state.key"]

    asyncio.run(body())
