"""Newer and older schemas: the former are refused, the latter are lifted, with a copy beside them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from jupyter_model_service.adapters import schema
from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.adapters.store_file import MIGRATIONS, Migrations
from jupyter_model_service.core.audit import AuditQuery, Entry
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import revision_to_plain
from jupyter_model_service.core.sharing import Share
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import EventRecord, TokenRecord

from .samples import REVISION, SERVICE, copy, fill, ids, refused, rows

LATER = f"{int(schema.HEAD) + 1:04}"
NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "{next}"
down_revision = "{head}"


def upgrade():
    with op.batch_alter_table("services", recreate="always") as table:
        table.add_column(sa.Column("colour", sa.String, server_default="grey"))
    op.get_bind().exec_driver_sql("INSERT INTO events VALUES (9001, 1, 's1', 'k', 'migrated', NULL, '{{}}', 'owner', '')")
    {then}
"""


FROM_NOTHING = "revision = '0000'\ndown_revision = None\n\n\ndef upgrade():\n    pass\n"


def next_schema(folder: Path, then: str = "") -> Migrations:
    """Our migrations and one more, which rebuilds the table that all others refer to."""
    directory = folder / "migrations 100%"
    shutil.copytree(MIGRATIONS.directory, directory)
    (directory / "versions" / f"v{LATER}.py").write_text(NEXT.format(then=then, head=schema.HEAD, next=LATER))
    return Migrations(directory, LATER)


def test_a_newer_schema_is_refused(killed: Path, path: Path) -> None:
    """Also one that is only in the log: nothing of the log is moved into the file."""
    copy(killed, path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    away = path.parent.parent / "away"
    shutil.copytree(path.parent, away)
    connection.close()
    (away / "state.db-shm").unlink()
    sentence = refused(away / "state.db")
    assert "written by a newer version" in sentence
    assert "schema 0099" in sentence
    assert (away / "state.db-wal").stat().st_size > 0


def test_a_schema_of_another_numbering_is_refused(closed: Path, path: Path) -> None:
    copy(closed, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abc'")
    assert "schema abc" in refused(path)


@pytest.mark.parametrize("source", ["closed", "killed"])
def test_an_older_schema_is_lifted_with_a_copy_beside_it(
    source: str, request: pytest.FixtureRequest, path: Path, tmp_path: Path
) -> None:
    copy(request.getfixturevalue(source), path)
    newer = next_schema(tmp_path)

    async def body() -> None:
        store = await SqlStore.open(path, migrations=newer)
        assert [e.id for e in await store.events(limit=1000)] == [*range(1, 61), 9001]
        assert await store.revisions(SERVICE) == [REVISION]  # not lost with the table that they refer to
        await store.remove_service("s1")
        assert await store.events() == []  # they still do refer to it
        await store.close()

    asyncio.run(body())
    assert rows(path, "SELECT version_num FROM alembic_version") == [(LATER,)]
    kept = path.with_name(f"state.db.schema-{schema.HEAD}")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert rows(kept, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]
    assert rows(kept, "SELECT count(*) FROM events") == [(60,)]
    assert sorted(f.name for f in path.parent.iterdir()) == ["state.db", f"state.db.schema-{schema.HEAD}", "state.key"]
    assert "written by a newer version" in refused(path)  # by what is installed now
    kept.replace(path)
    assert asyncio.run(ids(path)) == list(range(1, 61))


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("raise ValueError('a value that nobody expected')", "a value that nobody expected"),
        ("op.get_bind().exec_driver_sql('INSERT INTO nowhere VALUES (1)')", "no such table"),
        ("op.get_bind().exec_driver_sql('DELETE FROM services')", "refer to rows that are not there"),
    ],
)
def test_a_migration_that_fails_changes_nothing(closed: Path, path: Path, tmp_path: Path, then: str, why: str) -> None:
    copy(closed, path)
    content = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        asyncio.run(SqlStore.open(path, migrations=next_schema(tmp_path, then)))
    assert f"from schema {schema.HEAD} to {LATER} failed, nothing was changed" in str(caught.value)
    assert why in str(caught.value)
    assert rows(path, "SELECT count(*) FROM events") == [(60,)]
    assert path.read_bytes() == content
    assert asyncio.run(ids(path)) == list(range(1, 61))


def test_a_kill_in_the_middle_of_a_migration_changes_nothing(closed: Path, path: Path, tmp_path: Path) -> None:
    copy(closed, path)
    newer = next_schema(tmp_path, "import os; os.kill(os.getpid(), 9)")
    program = (
        "import sys; from pathlib import Path; from jupyter_model_service.adapters.store_file import *\n"
        "open_database(Path(sys.argv[1]), Migrations(Path(sys.argv[2]), sys.argv[3]))"
    )
    child = subprocess.run([sys.executable, "-c", program, str(path), str(newer.directory), LATER], timeout=60)
    assert child.returncode == -9
    assert asyncio.run(ids(path)) == list(range(1, 61))


def test_what_served_before_is_read_from_the_events_of_a_schema_that_did_not_know_it(
    path: Path, tmp_path: Path
) -> None:
    """Fully up in this order: 1, 2, 3, 1, 4 and, of a revision that is no longer kept, 9. Before 4 was 1: 2 and 3 were
    left. A service that never was up has nothing before it."""
    first = starting_at(tmp_path / "first", "0001", path)
    asyncio.run(fill_with(path, first))
    with closing(sqlite3.connect(path)) as connection, connection:
        add = "INSERT INTO services VALUES (?, 'u', ?, 0, 1, 1, ?, ?, 5.0, NULL, NULL, NULL)"
        connection.executemany(add, [("s1", "chat", 4, 4), ("s2", "new", 1, None)])
        content = json.dumps(revision_to_plain(REVISION))
        connection.executemany("INSERT INTO revisions VALUES ('s1', ?, ?)", [(n, content) for n in (1, 2, 3, 4)])
        events = [(id, json.dumps({"revision": number})) for id, number in enumerate((1, 2, 3, 1, 9, 4))]
        connection.executemany("INSERT INTO events VALUES (?, 1, 's1', 'service.stable', 'up', NULL, ?)", events)

    async def body() -> None:
        store = await SqlStore.open(path)
        found = {record.name: (record.former, record.restarts, record.autoscaling) for record in await store.services()}
        assert found == {"chat": ((1,), 0, None), "new": ((), 0, None)}
        await store.save_service(replace((await store.services())[0], former=(1, 3), restarts=7))
        assert (await store.services())[0].former == (1, 3)
        await store.close()

    asyncio.run(body())


def test_tokens_of_before_there_were_limits_have_none_and_can_be_given_some(path: Path, tmp_path: Path) -> None:
    third = starting_at(tmp_path / "third", "0003", path)
    asyncio.run(fill_with(path, third))
    with closing(sqlite3.connect(path)) as connection, connection:
        service = "INSERT INTO services VALUES ('s1', 'u', 'chat', 0, 1, 1, 1, 1, 5.0, NULL, NULL, NULL, '[]', 0, NULL)"
        connection.execute(service)
        connection.execute("INSERT INTO tokens VALUES ('t1', 's1', 'ci', 'digest', 5.0, NULL, 6.5)")

    async def body() -> None:
        store = await SqlStore.open(path)
        old = TokenRecord("t1", "s1", "ci", "digest", 5.0, None, 6.5)
        assert await store.tokens() == [old]
        await store.change_tokens({"t1": Limits(in_flight=3)}, {})
        await store.count_tokens({"t1": (20_000, 9)})
        assert await store.tokens() == [replace(old, limits=Limits(in_flight=3), day=20_000, calls=9)]
        await store.close()

    asyncio.run(body())
    assert path.with_name("state.db.schema-0003").exists()


def test_what_was_there_before_there_were_people_belongs_to_its_owner_alone(path: Path, tmp_path: Path) -> None:
    """Services and tokens of a database of schema 0004, as it is and as it can be changed then."""
    fourth = starting_at(tmp_path / "fourth", "0004", path)
    asyncio.run(fill_with(path, fourth))
    with closing(sqlite3.connect(path)) as connection, connection:
        service = "INSERT INTO services VALUES ('s1', 'u', 'chat', 1, 1, 1, 1, 1, 5.0, NULL, NULL, NULL, '[]', 0, NULL)"
        connection.execute(service)
        token = "INSERT INTO tokens VALUES ('t1', 's1', 'ci', 'digest', 5.0, NULL, 6.5, '{\"in_flight\": 3}', 9, 7)"
        connection.execute(token)

    async def body() -> None:
        store = await SqlStore.open(path)
        [old] = await store.services()
        assert (old.public, old.notice, old.origins, old.last_call_at, old.began_at) == (True, None, (), None, None)
        token = TokenRecord("t1", "s1", "ci", "digest", 5.0, None, 6.5, Limits(in_flight=3), 9, 7)
        assert await store.tokens() == [token]
        assert (token.rules, token.kin, token.created_by) == ((), "t1", "")
        assert [await store.access.shares(), await store.access.uses(), await store.access.overrides()] == [[], [], []]
        assert await store.audit.find(AuditQuery()) == []
        await store.access.set_share("s1", Share("user", "bob"))
        await store.save_service(replace(old, origins=("https://a.example.org",), began_at=7.0))
        assert await store.access.shares() == [("s1", Share("user", "bob"))]
        assert await store.services() == [replace(old, origins=("https://a.example.org",), began_at=7.0)]
        await store.close()

    asyncio.run(body())
    assert path.with_name("state.db.schema-0004").exists()


def test_events_of_before_it_was_said_whom_they_are_for_are_their_owners_alone(path: Path, tmp_path: Path) -> None:
    fourth = starting_at(tmp_path / "fourth", "0004", path)
    asyncio.run(fill_with(path, fourth))
    with closing(sqlite3.connect(path)) as connection, connection:
        service = "INSERT INTO services VALUES ('s1', 'u', 'chat', 1, 1, 1, 1, 1, 5.0, NULL, NULL, NULL, '[]', 0, NULL)"
        connection.execute(service)
        connection.execute(
            "INSERT INTO events VALUES (7, 5.0, 's1', 'replica.ready', 'replica x is ready', NULL, '{}')"
        )

    async def body() -> None:
        store = await SqlStore.open(path)
        assert await store.events() == [EventRecord(7, 5.0, "s1", "replica.ready", "replica x is ready")]
        assert [(each.audience, each.others) for each in await store.events()] == [("owner", "")]
        await store.close()

    asyncio.run(body())
    assert path.with_name("state.db.schema-0004").exists()


@pytest.mark.parametrize("migrated", [False, True], ids=["new", "lifted"])
def test_the_audit_log_is_kept_by_the_database_itself(path: Path, tmp_path: Path, migrated: bool) -> None:
    """Whichever program asks: nothing is changed or replaced, and nothing goes before its time."""

    async def body() -> None:
        store = await SqlStore.open(path)
        await store.audit.add([Entry(float(at), "alice", "::1", "create_service") for at in (10, 20, 30)])
        assert await store.audit.forget_before(20.0) == 1
        await store.close()

    if migrated:
        asyncio.run(fill_with(path, starting_at(tmp_path / "fourth", "0004", path)))
    asyncio.run(body())
    values = "(2, 20.0, 'eve', '', '', '', 200, '', NULL, NULL, '', 1)"
    with closing(sqlite3.connect(path)) as connection:
        for statement in (
            "UPDATE audit SET who = 'eve' WHERE id = 2",
            "DELETE FROM audit WHERE id = 2",
            "DELETE FROM audit",
            f"INSERT OR REPLACE INTO audit VALUES {values}",
            f"REPLACE INTO audit VALUES {values}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="audit log"):
                connection.execute(statement)
        connection.rollback()
    assert rows(path, "SELECT id, at, who FROM audit") == [(2, 20.0, "alice"), (3, 30.0, "alice")]


def starting_at(directory: Path, version: str, path: Path) -> Migrations:
    """Our migrations up to this one, and an empty database at ``path`` that they are run on from the first."""
    shutil.copytree(MIGRATIONS.directory, directory)
    for later in (directory / "versions").glob("v*.py"):
        if later.stem > f"v{version}":
            later.unlink()
    (directory / "versions" / "v0000.py").write_text(FROM_NOTHING)
    one = directory / "versions" / "v0001.py"
    one.write_text(one.read_text().replace("down_revision = None", 'down_revision = "0000"'))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0000')")
    path.chmod(0o600)
    return Migrations(directory, version)


def test_the_migrations_lead_to_the_tables_that_a_new_database_gets(path: Path, tmp_path: Path) -> None:
    """From nothing, so that each migration is run."""
    assert ScriptDirectory(str(MIGRATIONS.directory)).get_heads() == [schema.HEAD]
    asyncio.run(fill(path, writes=0))
    migrated = tmp_path / "migrated.db"
    first = starting_at(tmp_path / "from-nothing", schema.HEAD, migrated)
    asyncio.run(fill_with(migrated, first))
    shapes = "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    assert rows(migrated, shapes) == rows(path, shapes)
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1"
    assert rows(migrated, triggers) == rows(path, triggers) != []
    for (table,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        for pragma in ("table_info", "foreign_key_list"):
            query = f"SELECT * FROM pragma_{pragma}('{table}')"
            assert rows(migrated, query) == rows(path, query), (table, pragma)
        # A new database gets its indexes in any order: they are a set.
        indexes = f"""SELECT name, "unique", origin, partial FROM pragma_index_list('{table}') ORDER BY 1"""
        assert rows(migrated, indexes) == rows(path, indexes), table
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


async def fill_with(path: Path, migrations: Migrations) -> None:
    await (await SqlStore.open(path, migrations=migrations)).close()
