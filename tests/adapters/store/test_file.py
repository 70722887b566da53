"""The database as a file: how it is made, what is refused, and that nothing is overwritten then."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck as Unhealthy
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import TokenRecord

from .samples import REVISION, SERVICE, copy, events, fill, ids, refused

# --- made --------------------------------------------------------------------------------------------


def test_a_new_database_is_for_its_owner_only(path: Path) -> None:
    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, REVISION)
        assert {f.name: stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()} == {
            "state.db": 0o600,
            "state.db-wal": 0o600,
            "state.db-shm": 0o600,
            "state.key": 0o600,
        }
        await store.close()

    old = os.umask(0)
    try:
        asyncio.run(body())
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_may_read_is_closed_to_them(closed: Path, path: Path) -> None:
    copy(closed, path).chmod(0o664)
    assert asyncio.run(ids(path)) == list(range(1, 61))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a b", "50%", "q?x=1#y", "ünï", os.fsdecode(b"not-utf8-\xff")])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "state.db"
    asyncio.run(fill(path, writes=1))
    assert asyncio.run(ids(path)) == [1, 2, 3]
    assert os.listdir(tmp_path) == [name]


def test_a_half_made_database_of_a_killed_process_is_cleared_away(path: Path) -> None:
    path.parent.mkdir()
    old, fresh = path.parent / ".state.db.aaaa.new", path.parent / ".state.db.bbbb.new"
    for half_made in (old, fresh):
        half_made.write_bytes(b"half")
    os.utime(old, (1, 1))
    asyncio.run(fill(path, writes=1))
    assert not old.exists()
    assert fresh.exists()  # another process may be at it


def test_the_log_is_written_through_at_every_commit(path: Path) -> None:
    """NORMAL would lose acknowledged writes in a power failure, which no test here can cause."""

    async def body() -> None:
        store = await SqlStore.open(path)
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        connection = store._connection
        found = await store._call(lambda c: [c.exec_driver_sql(f"PRAGMA {p}").scalar() for p in pragmas], write=False)
        assert found == ["wal", 2, 1]
        assert not connection.closed
        await store.close()
        assert connection.closed

    asyncio.run(body())


def test_a_normal_start_does_not_import_alembic(closed: Path, path: Path) -> None:
    copy(closed, path)
    program = (
        "import asyncio, sys; from pathlib import Path; from jupyter_model_service.adapters.store import SqlStore\n"
        "asyncio.run(asyncio.wait_for(SqlStore.open(Path(sys.argv[1])), 60)); print('alembic' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, capture_output=True, text=True)
    assert (child.stdout, child.returncode) == ("False\n", 0)


# --- refused: not ours, not sound --------------------------------------------------------------------


def test_something_else_is_not_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"my thesis, the only copy" * 400)
    assert "is not a database" in refused(path)


def test_another_programs_database_is_not_ours(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE notes (text)")
    assert "was not written by jupyter-model-service" in refused(path)


def test_an_empty_file_is_not_a_new_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert "damaged (the file is empty)" in refused(path)


def test_an_emptied_file_keeps_its_log(killed: Path, path: Path) -> None:
    """SQLite by itself would delete the log, which holds everything that was acknowledged."""
    os.truncate(copy(killed, path), 0)
    log = (path.parent / "state.db-wal").read_bytes()
    refused(path)
    assert (path.parent / "state.db-wal").read_bytes() == log


@pytest.mark.parametrize("kept", [1, 50, 100, 4096, 10_000, 0.5, 0.9, -4096, -1])
def test_a_cut_off_file_is_damaged(closed: Path, path: Path, kept: float) -> None:
    size = copy(closed, path).stat().st_size
    os.truncate(path, int(size * kept) if 0 < kept < 1 else int(kept) % size)
    sentence = refused(path)
    assert "is damaged" in sentence or "is not a database" in sentence


def test_a_page_of_zeros_is_damage(closed: Path, path: Path) -> None:
    copy(closed, path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))
    assert "is damaged" in refused(path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(Unhealthy))
@given(place=st.integers(0, 2**20), length=st.integers(1, 5000), seed=st.integers(0, 255))
def test_any_damage_is_either_harmless_or_one_sentence(
    closed: Path, tmp_path: Path, place: int, length: int, seed: int
) -> None:
    path = tmp_path / "state.db"
    content = bytearray((closed / "state.db").read_bytes())
    place %= len(content)
    end = min(place + length, len(content))
    content[place:end] = bytes((seed + 7 * n) % 256 for n in range(end - place))
    path.write_bytes(content)

    async def read_everything() -> None:
        store = await SqlStore.open(path)
        try:
            for service in await store.services():
                await store.revisions(service)
            await store.events()
            await store.tokens()
            await store.replicas()
        finally:
            await store.close()

    told = f"Nothing is wrong with {path}."
    try:
        asyncio.run(read_everything())
    except StoreError as error:  # and nothing else
        told = str(error)
    assert str(path) in told
    assert "\n" not in told
    for beside in ("-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)


def test_a_directory_or_a_socket_is_refused(path: Path, tmp_path: Path) -> None:
    path.mkdir(parents=True)
    assert "not a regular file" in refused(path)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        assert "not a regular file" in refused(tmp_path / "s")


def test_a_link_is_not_followed(closed: Path, path: Path, tmp_path: Path) -> None:
    """Neither is the database behind it opened, nor its mode changed."""
    other = copy(closed, tmp_path / "other" / "state.db")
    other.chmod(0o644)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(other)
    assert refused(path).endswith("is a symbolic link: put the file itself in its place.")
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StoreError, match="a file is in its place"):
        asyncio.run(SqlStore.open(tmp_path / "data" / "state.db"))
    assert (tmp_path / "data").read_text() == "mine"


# --- refused: the log --------------------------------------------------------------------------------


def test_after_a_kill_the_log_is_read(killed: Path, path: Path) -> None:
    assert asyncio.run(ids(copy(killed, path))) == list(range(1, 61))


@pytest.mark.parametrize("place", [33, 40, 60, 5000, 20_000])
def test_damage_inside_the_log_is_refused(killed: Path, path: Path, place: int) -> None:
    """SQLite by itself would drop all commits behind it without a word."""
    log = copy(killed, path).with_name("state.db-wal")
    content = bytearray(log.read_bytes())
    content[place] ^= 0x40
    log.write_bytes(content)
    assert "commits stand behind a damaged place" in refused(path)


@pytest.mark.parametrize("place", [0, 3, 9, 17, 25, 31])
def test_a_damaged_header_of_the_log_is_refused(killed: Path, path: Path, place: int) -> None:
    log = copy(killed, path).with_name("state.db-wal")
    content = bytearray(log.read_bytes())
    content[place] ^= 0x01
    log.write_bytes(content)
    assert "header of its write-ahead log" in refused(path)


def test_a_torn_end_of_the_log_is_what_a_kill_leaves(killed: Path, path: Path) -> None:
    """The last transaction was not acknowledged: it is dropped, all others are there."""
    log = copy(killed, path).with_name("state.db-wal")
    os.truncate(log, log.stat().st_size - 1000)
    assert asyncio.run(ids(path)) == list(range(1, 58))


def test_what_is_left_from_before_a_checkpoint_is_no_damage(path: Path) -> None:
    """After a checkpoint the log is written again from its beginning, over older frames."""

    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, REVISION)
        for n in range(30):
            await store.add_events(events(1 + 3 * n, 3))
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
        size = Path(f"{path}-wal").stat().st_size
        await store.add_events(events(1000, 1))
        assert Path(f"{path}-wal").stat().st_size == size
        again = await SqlStore.open(path)
        assert [e.id for e in await again.events(None, 0, 2)] == [90, 1000]
        await again.close()
        await store.close()

    asyncio.run(body())


def test_the_log_does_not_grow_without_end(path: Path) -> None:
    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, REVISION)
        for n in range(300):
            await store.add_events(events(1 + 3 * n, 3))
        assert Path(f"{path}-wal").stat().st_size < 2 << 20
        await store.close()

    asyncio.run(body())


# --- what is changed together ------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["limits ON tokens WHEN old.id = 't2'", "rules ON tokens"])
def test_limits_and_rules_of_tokens_are_changed_together_or_not_at_all(path: Path, fails: str) -> None:
    """The disk takes the first of them and not the second, or the rules."""

    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, REVISION)
        for name in ("t1", "t2"):
            await store.add_token(TokenRecord(name, SERVICE.id, name, f"digest of {name}"))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                f"CREATE TRIGGER broken BEFORE UPDATE OF {fails} BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        before, limits, rules = await store.tokens(), Limits(in_flight=3), (PathRule("/v1/*"),)
        with pytest.raises(StoreError, match="no room"):
            await store.change_tokens({"t1": limits, "t2": limits}, {"t1": rules})
        assert await store.tokens() == before
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TRIGGER broken")
        await store.change_tokens({"t1": limits, "t2": limits}, {"t1": rules})
        assert [(each.limits, each.rules) for each in await store.tokens()] == [(limits, rules), (limits, ())]
        await store.close()

    asyncio.run(body())
