"""A small content for databases, and what the tests of the store ask of files. Child processes import it, too."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_model_service.adapters.at_rest import AtRest
from jupyter_model_service.adapters.store import SqlStore
from jupyter_model_service.adapters.store_file import MIGRATIONS, Migrations
from jupyter_model_service.adapters.store_sealed import opened_environment, opened_secret
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import StoreError
from jupyter_model_service.ports import EventRecord, ServiceRecord

SERVICE = ServiceRecord("s1", "u", "chat", False, True, 1, 1, None, 5.0)
REVISION = Revision(1, "/home/u/chat", Definition("Tiny", "/models", 8000), 5.0)


def events(first: int, count: int) -> list[EventRecord]:
    return [EventRecord(n, 1.0, "s1", "replica.ready", "x" * 200) for n in range(first, first + count)]


async def fill(path: Path, writes: int = 20) -> None:
    store = await SqlStore.open(path)
    await store.add_service(SERVICE, REVISION)
    for n in range(writes):
        await store.add_events(events(1 + 3 * n, 3))
    await store.close()


def refused(path: Path, migrations: Migrations = MIGRATIONS) -> str:
    """The one sentence with which opening fails; the folder's files are the same after it."""

    def files() -> dict[str, str]:
        # SQLite may leave its empty log and its shared memory behind, which hold nothing.
        return {
            f.name: hashlib.sha256(f.read_bytes()).hexdigest()
            for f in path.parent.iterdir()
            if f.is_file() and not f.name.endswith("-shm") and (f.stat().st_size or f == path)
        }

    before = files() if path.parent.is_dir() else {}
    with pytest.raises(StoreError) as caught:
        asyncio.run(SqlStore.open(path, migrations=migrations))
    assert (files() if path.parent.is_dir() else {}) == before
    sentence = str(caught.value)
    assert str(path.parent) in sentence
    assert "\n" not in sentence
    return sentence


def copy(folder: Path, path: Path) -> Path:
    shutil.copytree(folder, path.parent)
    (path.parent / "state.db-shm").unlink(missing_ok=True)
    return path


async def ids(path: Path) -> list[int]:
    store = await SqlStore.open(path)
    try:
        return [e.id for e in await store.events(limit=1000)]
    finally:
        await store.close()


def as_before(path: Path, at_rest: AtRest) -> None:
    """The database as a gateway left it that did not seal yet (schema 0006): secrets stand there in plain."""
    with closing(sqlite3.connect(path)) as connection, connection:
        there = connection.execute("SELECT secret, id, service_id, revision FROM replicas").fetchall()
        for sealed, id, service, number in there:
            plain = opened_secret(sealed, id, service, number, at_rest)
            assert plain
            connection.execute("UPDATE replicas SET secret = ? WHERE id = ?", (plain, id))
        owners = dict(connection.execute("SELECT id, owner FROM services").fetchall())
        for service, number, text in connection.execute("SELECT * FROM revisions").fetchall():
            content = json.loads(text)
            content["environment"], unread = opened_environment(content, owners[service], service, number, at_rest)
            assert not unread
            here = json.dumps(content), service, number
            connection.execute("UPDATE revisions SET content = ? WHERE service_id = ? AND number = ?", here)
        connection.execute("UPDATE alembic_version SET version_num = '0006'")
        connection.execute("PRAGMA application_id = 0")


def bytes_in(folder: Path, *, but: str = "") -> bytes:
    """Of all files there, but those of one ending; and of the database's dump."""
    found = [path.read_bytes() for path in folder.iterdir() if path.is_file() and not (but and path.match(but))]
    with closing(sqlite3.connect(folder / "state.db")) as connection:
        found.append("\n".join(connection.iterdump()).encode("utf-8", "surrogatepass"))
    return b"\0".join(found)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
