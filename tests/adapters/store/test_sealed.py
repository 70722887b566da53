"""No secret stands in the database as it is: not in a row, not in a page that became free, not in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_model_service.adapters import store_file
from jupyter_model_service.adapters.at_rest import AtRest, own_at_rest
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.core.revision import Revision, revision_to_plain
from jupyter_model_service.ports import Placement, ReplicaRecord

from .samples import REVISION, SERVICE, as_before, bytes_in, events, refused, rows

VALUES = ("a-password-of-the-owners", "ein Geheimnis für zwei")
SECRETS = {f"chat-{number:06}": f"{number:02x}" * 32 for number in range(0xA0, 0xA8)}
GIVEN = replace(REVISION, environment=(("NOTE", VALUES[1]), ("PASSWORD", VALUES[0])))
PLACE = Placement({"user": "u"}, ("127.0.0.1", 1), ("127.0.0.1", 2))
LOOKED_FOR = (*(word.encode() for word in (*VALUES, *SECRETS.values())), b"ein Geheimnis f\\u00fcr zwei")


def found(data: bytes) -> list[bytes]:
    return [word for word in LOOKED_FOR if word in data]


def record(id: str) -> ReplicaRecord:
    return ReplicaRecord(id, SERVICE.id, 1, SECRETS[id], PLACE, 7.0)


async def use(store: SqlStore) -> None:
    """Rows that are written, written again, and removed."""
    await store.add_service(SERVICE, GIVEN)
    for number in range(2, 6):
        await store.add_revision(SERVICE, replace(GIVEN, number=number))
    for id in SECRETS:
        await store.save_replica(replace(record(id), placement=None))
        await store.save_replica(record(id))
    for number in (2, 3):
        await store.remove_revision(SERVICE.id, number)
    await store.remove_replica("chat-000160")


async def as_written(store: SqlStore) -> None:
    assert await store.revisions(SERVICE) == [replace(GIVEN, number=number) for number in (1, 4, 5)]
    there = {each.id: each for each in await store.replicas()}
    assert there == {id: record(id) for id in SECRETS if id != "chat-000160"}


def test_no_file_and_no_dump_of_a_used_database_has_a_secret(path: Path) -> None:
    at_rest = AtRest(new_key(), path.with_name("another.key"))

    async def body() -> None:
        store = await SqlStore.open(path, at_rest=lambda: at_rest)
        await use(store)
        await as_written(store)
        assert b"PASSWORD" in bytes_in(path.parent), "what everybody may know is found"
        assert found(bytes_in(path.parent)) == []
        await store.close()
        assert found(bytes_in(path.parent)) == []
        store = await SqlStore.open(path, at_rest=lambda: at_rest)
        await as_written(store)
        await store.close()

    asyncio.run(body())
    assert sorted(each.name for each in path.parent.iterdir()) == ["state.db"], "a key that is given is no other's"


def made_before(path: Path) -> AtRest:
    """A database of before secrets were sealed, as a kill left it: with rows in the log, and what was removed in pages
    that are free."""
    first = path.parent.parent / "first" / "state.db"
    at_rest = own_at_rest_in(first.parent)

    async def fill() -> None:
        store = await SqlStore.open(first)
        await use(store)
        for n in range(40):
            await store.add_events(events(1 + 3 * n, 3))
        await store.close()

    asyncio.run(fill())
    as_before(first, at_rest)
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA secure_delete=OFF")  # as SQLite is unless built otherwise, which Debian's is
        connection.execute("CREATE TABLE scratch (text TEXT)")
        connection.executemany(
            "INSERT INTO scratch VALUES (?)", [(f"{word!r}" * 400,) for word in (*VALUES, *SECRETS.values())]
        )
        connection.commit()
        connection.execute("DROP TABLE scratch")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(FULL)")
        connection.execute("UPDATE replicas SET created_at = created_at")
        connection.commit()
        path.parent.mkdir(mode=0o700)
        for name in ("state.db", "state.db-wal", "state.key"):
            shutil.copy2(first.with_name(name), path.with_name(name))
    path.chmod(0o600)
    assert len(found(path.read_bytes())) == len(LOOKED_FOR)
    assert found(path.with_name("state.db-wal").read_bytes())
    return at_rest


def own_at_rest_in(folder: Path) -> AtRest:
    folder.mkdir(mode=0o700)
    return own_at_rest(folder / "state.key")


def test_what_a_former_version_left_is_sealed_and_written_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And read as it was: who runs is known again, with the secret that the replicas have."""
    made_before(path)

    async def body() -> None:
        store = await SqlStore.open(path)
        assert found(path.read_bytes() + path.with_name("state.db-wal").read_bytes()) == []
        await as_written(store)
        await store.save_replica(record("chat-000161"))
        await as_written(store)
        await store.close()

    asyncio.run(body())
    copy = path.with_name("state.db.schema-0006")
    assert found(bytes_in(path.parent, but="*.schema-*")) == []
    assert found(copy.read_bytes()), "the way back is as it was, of which the log tells"
    assert [each.getMessage() for each in caplog.records if f"{copy} is the database as it was" in each.getMessage()]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_what_could_not_be_written_over_is_so_by_the_next_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the gateway is killed after the migration."""
    made_before(path)

    def stop(connection: object) -> None:
        raise KeyboardInterrupt

    async def body() -> None:
        await (await SqlStore.open(path)).close()

    with monkeypatch.context() as patch:
        patch.setattr(store_file, "_write_over_what_was", stop)
        with pytest.raises(KeyboardInterrupt):
            store_file.open_database(path)
    assert rows(path, "SELECT version_num FROM alembic_version") == [("0007",)]
    assert found(path.read_bytes()), "in free pages"
    asyncio.run(body())
    assert found(bytes_in(path.parent, but="*.schema-*")) == []


def test_so_is_what_another_program_was_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it may still read stays in the file until it is done."""
    made_before(path)
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT", 0.2)

    async def left_by_a_start() -> list[bytes]:
        store = await SqlStore.open(path)
        left = found(path.read_bytes() + path.with_name("state.db-wal").read_bytes())
        await store.close()
        return left

    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as another:
        another.execute("BEGIN")
        assert another.execute("SELECT version_num FROM alembic_version").fetchall() == [("0006",)]
        assert asyncio.run(left_by_a_start())
    assert asyncio.run(left_by_a_start()) == []


KILLED_IN_ITS_UPGRADE = """
import os, signal, sys
from pathlib import Path
from jupyter_model_service.adapters.store_file import open_database

Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
open_database(Path(sys.argv[1]))
"""


def test_what_a_kill_during_the_upgrade_leaves_is_removed_by_the_next_start(path: Path) -> None:
    """It is a whole copy, with a name that nobody sees."""
    made_before(path)
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_ITS_UPGRADE, str(path)], timeout=60)
    assert killed.returncode == -9
    (left,) = path.parent.glob(".state.db.*")
    assert found(left.read_bytes())
    earlier = left.with_name(".state.db.aaaa.new")  # of former versions, which had one name for all that they made
    shutil.copy2(left, earlier)
    os.utime(earlier, (1, 1))

    async def body() -> None:
        await (await SqlStore.open(path)).close()

    asyncio.run(body())
    assert sorted(each.name for each in path.parent.iterdir()) == ["state.db", "state.db.schema-0006", "state.key"]
    assert found(bytes_in(path.parent, but="*.schema-*")) == []


def test_copies_with_secrets_are_named_at_each_start_while_they_are_there(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of earlier upgrades as well; not one in which they stand sealed."""
    made_before(path)
    older, sealed = path.with_name("state.db.schema-0005"), path.with_name("state.db.schema-0007")
    shutil.copy2(path, older)
    copies = [older, path.with_name("state.db.schema-0006")]

    def named_at_a_start() -> list[str]:
        async def body() -> None:
            await (await SqlStore.open(path)).close()

        caplog.clear()
        asyncio.run(body())
        told = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        words = " ".join(told).replace(",", "").split()
        return sorted(each.name for each in path.parent.iterdir() if str(each) in words)

    for _ in range(2):
        assert named_at_a_start() == sorted(each.name for each in copies)
    shutil.copy2(path, sealed)
    copies.pop().unlink()
    assert named_at_a_start() == [older.name]
    older.unlink()
    assert named_at_a_start() == []


def test_a_key_that_is_lost_is_told_and_nothing_else_is_lost_with_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Replicas are known, so that they can be ended; of environments the names are. Put back, it opens what it sealed."""
    key = path.with_name("state.key")

    async def body() -> None:
        store = await SqlStore.open(path)
        await use(store)
        await store.close()
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
        kept = key.rename(key.with_name("kept"))
        store = await SqlStore.open(path)
        (told,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
        assert f"The key {key} is not the one" in told
        assert "of 7 replicas" in told
        assert "of 3 revisions" in told
        assert await store.replicas() == [replace(record(id), secret="") for id in SECRETS if id != "chat-000160"]
        first, *_ = await store.revisions(SERVICE)
        assert first == replace(GIVEN, environment=(), unread=("NOTE", "PASSWORD"))
        await store.add_revision(SERVICE, replace(GIVEN, number=6))
        assert (await store.revisions(SERVICE))[-1] == replace(GIVEN, number=6), "what is new is sealed with it"
        await store.remove_revision(SERVICE.id, 6)
        await store.close()
        kept.replace(key)
        store = await SqlStore.open(path)
        await as_written(store)
        await store.close()

    asyncio.run(body())


def changed(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


async def of_hers(store: SqlStore) -> Revision:
    (service,) = [each for each in await store.services() if each.id == SERVICE.id]
    (revision,) = await store.revisions(service)
    return revision


def test_who_can_write_rows_and_has_no_key_gets_nobodys_values_into_another_model(path: Path) -> None:
    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, GIVEN)
        other = replace(SERVICE, id="s2", owner="eve")
        await store.add_service(other, replace(GIVEN, environment=(("X", "y"),)))
        await store.save_replica(record("chat-000160"))
        await store.save_replica(record("chat-000161"))
        of = "(SELECT content FROM revisions WHERE service_id = 's1')"
        changed(path, f"UPDATE revisions SET content = {of} WHERE service_id = 's2'")
        changed(path, "UPDATE replicas SET secret = (SELECT secret FROM replicas WHERE id = 'chat-000160')")
        (hers,) = await store.revisions(other)
        assert (hers.environment, hers.unread) == ((), ("NOTE", "PASSWORD"))
        assert [each.secret for each in await store.replicas()] == [SECRETS["chat-000160"], ""]
        await store.close()

    asyncio.run(body())


@pytest.mark.parametrize("other", ["owner", "number", "folder", "start_command", "image", "mounts", "kept"])
def test_nor_changes_whose_or_which_model_it_is_that_gets_them(path: Path, other: str) -> None:
    """Nor beside a gateway that runs: what it knows of the owner is what it was told, not what stands there now."""
    content = revision_to_plain(GIVEN)
    elsewhere: dict[str, object] = {
        "folder": "/home/eve/chat",
        "image": "eve/image",
        "mounts": [{"source": "volume://eve", "target": "/x", "read_only": False}],
        "kept": {**content["kept"], "kind": "copy", "path": "/home/eve/chat"},
        "start_command": {**content["definition"], "start_command": ["/bin/sh", "-c", "env | nc eve.example 1"]},
    }
    statements: dict[str, tuple[str, ...]] = {
        "owner": ("UPDATE services SET owner = 'eve'",),
        "number": ("UPDATE revisions SET number = 2",),
    }
    field = "definition" if other == "start_command" else other
    if other in elsewhere:
        assert content[field] != elsewhere[other]
        set_to = f"UPDATE revisions SET content = json_set(content, '$.{field}', json(?))"
        statements[other] = (set_to, json.dumps(elsewhere[other]))

    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, GIVEN)
        assert (await of_hers(store)).environment == GIVEN.environment
        changed(path, *statements[other])
        found = await of_hers(store)
        assert (found.environment, found.unread) == ((), ("NOTE", "PASSWORD"))
        await store.close()

    asyncio.run(body())


def test_what_is_made_while_somebody_else_changes_rows_is_its_owners_all_the_same(path: Path) -> None:
    """The gateway's word counts for whose a new revision is, not what stands in the row at that moment."""

    async def body() -> None:
        store = await SqlStore.open(path)
        await store.add_service(SERVICE, REVISION)
        changed(path, "UPDATE services SET owner = 'eve'")
        await store.add_revision(SERVICE, replace(GIVEN, number=2))
        (eves,) = await store.services()
        assert [each.unread for each in await store.revisions(eves)] == [(), ("NOTE", "PASSWORD")]
        assert [each.unread for each in await store.revisions(SERVICE)] == [(), ()]
        await store.close()

    asyncio.run(body())


@pytest.mark.parametrize("place", ["service_id = 's2'", "revision = 2"])
def test_a_replica_stands_for_no_other_service_or_revision(path: Path, place: str) -> None:
    """Or the calls for one model would go to another."""

    async def body() -> None:
        store = await SqlStore.open(path)
        for each in (SERVICE, replace(SERVICE, id="s2", owner="eve")):
            await store.add_service(each, GIVEN)
        await store.save_replica(record("chat-000160"))
        changed(path, f"UPDATE replicas SET {place}")
        assert [each.secret for each in await store.replicas()] == [""]
        await store.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("do", "said"), [(lambda key: key.chmod(0o644), "chmod 600"), (lambda key: key.write_text("x"), "holds no key")]
)
def test_a_key_that_cannot_be_used_ends_the_start(path: Path, do: Callable[[Path], object], said: str) -> None:
    async def body() -> None:
        store = await SqlStore.open(path)
        await use(store)
        await store.close()

    asyncio.run(body())
    do(path.with_name("state.key"))
    assert said in refused(path)
