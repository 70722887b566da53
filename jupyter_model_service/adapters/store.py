"""What is kept over restarts, in SQLite. Implements ``ports.Store``.

All access is on one thread that the store owns, over one connection, so that the loop never waits for a disk.
Each write is one transaction and is on disk when it returns. A call that takes longer than the limit, or is
cancelled, is rolled back unless it was already committing. What is secret is sealed on the way in (``at_rest``).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_update
from sqlalchemy.exc import IntegrityError

from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.errors import Conflict, StoreError
from jupyter_model_service.ports import EventRecord, ReplicaRecord, ServiceRecord, TokenRecord

from . import store_rows as rows
from .at_rest import AtRest
from .schema import events, replicas, revisions, services, tokens
from .store_access import SqlAccess
from .store_audit import SqlAudit
from .store_file import MIGRATIONS, Migrations, identity, key_beside, open_database, translated
from .store_sealed import unreadable

log = logging.getLogger(__name__)

EVENTS_KEPT = 1000  # per service

_T = TypeVar("_T")
_Work = Callable[[Connection], _T]


class SqlStore:
    """``limit`` is the seconds that any one call may take before it fails with ``StoreError``."""

    def __init__(self, path: Path, opened: _Opened, thread: ThreadPoolExecutor, limit: float) -> None:
        connection = opened.connection
        self.identity = opened.name
        self._at_rest = opened.at_rest
        self.access = SqlAccess(self)
        self.audit = SqlAudit(self)
        self._path = path
        self._connection = connection
        self._driver: Any = connection.connection.dbapi_connection
        self._thread = thread
        self._limit = limit
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        limit: float = 30.0,
        migrations: Migrations = MIGRATIONS,
        at_rest: Callable[[], AtRest] | None = None,
    ) -> SqlStore:
        """Make the database (mode 0600) or open it, bringing an older schema to the current one.

        ``at_rest`` is asked once, when there is something to seal, for what seals it; without it that is done under a
        key of the database's own, in a file beside it. What was sealed with another key cannot be read, which the log
        says, nor what was sealed for another row, or another content of it: ``ReplicaRecord.secret``,
        ``Revision.unread``.

        ``StoreError``, with the file as it was: a newer schema, a damaged or foreign file, a folder or file that
        cannot be written, a full disk, a key that cannot be used.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        opening = thread.submit(_opened, path, migrations, functools.cache(at_rest or key_beside(path)))
        try:
            # Checking and migrating a large file may take longer than any one call.
            opened = await asyncio.wait_for(asyncio.wrap_future(opening), 4 * limit)
        except BaseException as error:
            thread.submit(_close_opened, opening.result)
            thread.shutdown(wait=False)
            if isinstance(error, asyncio.TimeoutError):
                raise _too_slow(path, 4 * limit) from None
            raise
        return cls(path, opened, thread, limit)

    async def close(self) -> None:
        """Move the log into the file and give it back. Calls that are under way end first."""
        if self._closed:
            return
        self._closed = True
        closing = self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)
        try:
            await asyncio.wait_for(asyncio.wrap_future(closing), self._limit)
        except asyncio.TimeoutError:
            raise _too_slow(self._path, self._limit) from None

    # --- reading -------------------------------------------------------------------------------------

    async def services(self) -> Sequence[ServiceRecord]:
        return await self._read(services, rows.service_from)

    async def revisions(self, service: ServiceRecord) -> Sequence[Revision]:
        return await self._read(revisions, lambda row: rows.revision_from(row, service, self._at_rest), service.id)

    async def replicas(self) -> Sequence[ReplicaRecord]:
        return await self._read(replicas, lambda row: rows.replica_from(row, self._at_rest))

    async def tokens(self) -> Sequence[TokenRecord]:
        return await self._read(tokens, rows.token_from)

    async def events(self, service_id: str | None = None, after: int = 0, limit: int = 100) -> Sequence[EventRecord]:
        query = select(events).where(events.c.id > after).order_by(events.c.id.desc()).limit(max(limit, 0))
        if service_id is not None:
            query = query.where(events.c.service_id == service_id)
        return (await self._select(query, rows.event_from))[::-1]

    async def _read(self, table: Table, record: Callable[[Row[Any]], _T], service_id: str | None = None) -> list[_T]:
        query = select(table).order_by("created_at" if service_id is None else "number")
        if service_id is not None:
            query = query.where(table.c.service_id == service_id)
        return await self._select(query, record)

    async def _select(
        self, query: Select[Any], record: Callable[[Row[Any]], _T], fits: Callable[[Row[Any]], bool] | None = None
    ) -> list[_T]:
        """``fits``: of each row before the next is read; the first that does not is the end."""

        def read(connection: Connection) -> list[_T]:
            try:
                with connection.execute(query) as found:
                    return [record(row) for row in (found if fits is None else takewhile(fits, found))]
            except (LookupError, TypeError, ValueError) as error:
                raise StoreError(f"The database {self._path} holds something unreadable: {error!r}.") from error

        return await self._call(read, write=False)

    # --- writing -------------------------------------------------------------------------------------

    async def add_service(self, record: ServiceRecord, revision: Revision) -> None:
        row, first = rows.service_row(record), rows.revision_row(record, revision, self._at_rest)

        def add(connection: Connection) -> None:
            same = services.c.owner == record.owner, services.c.name == record.name
            if connection.execute(select(services.c.id).where(*same)).first() is not None:
                raise Conflict(f"There is already a service {record.owner}/{record.name}: choose another name.")
            connection.execute(insert(services), row)
            connection.execute(insert(revisions), first)

        await self._call(add)

    async def save_service(self, record: ServiceRecord) -> None:
        row = rows.service_row(record)
        del row["last_call_at"]
        statement = update(services).where(services.c.id == record.id).values(row)

        def save(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise StoreError(f"There is no service with the id {record.id} (any more).")

        await self._call(save)

    async def touch_services(self, called: Mapping[str, float]) -> None:
        if not called:
            return
        statement = update(services).where(services.c.id == bindparam("service")).values(last_call_at=bindparam("on"))
        await self._execute(statement, [{"service": service_id, "on": at} for service_id, at in called.items()])

    async def add_revision(self, service: ServiceRecord, revision: Revision) -> None:
        await self._insert(revisions, rows.revision_row(service, revision, self._at_rest))

    async def remove_revision(self, service_id: str, number: int) -> None:
        this = revisions.c.service_id == service_id, revisions.c.number == number
        await self._execute(delete(revisions).where(*this))

    async def remove_service(self, service_id: str) -> None:
        # What belongs to it goes by the foreign keys.
        await self._delete(services, service_id)

    async def save_replica(self, record: ReplicaRecord) -> None:
        row = rows.replica_row(record, self._at_rest)
        statement = insert_or_update(replicas).values(row)
        await self._execute(statement.on_conflict_do_update(index_elements=[replicas.c.id], set_=row))

    async def remove_replica(self, replica_id: str) -> None:
        await self._delete(replicas, replica_id)

    async def add_events(self, records: Sequence[EventRecord]) -> None:
        """Events of a service that is gone are dropped: its history went with it. One that is there already stays as it
        is: a write that was given up while SQLite committed it is done again."""
        if not records:
            return
        found = [rows.event_row(record) for record in records]
        ids = {record.service_id for record in records}

        def add(connection: Connection) -> None:
            there = set(connection.scalars(select(services.c.id).where(services.c.id.in_(ids))))
            kept = [row for row in found if row["service_id"] in there]
            if kept:
                connection.execute(insert_or_update(events).on_conflict_do_nothing(), kept)
            for service_id in there:
                _trim_events(connection, service_id)

        await self._call(add)

    async def add_token(self, record: TokenRecord) -> None:
        await self._insert(tokens, rows.token_row(record))

    async def remove_token(self, token_id: str) -> None:
        await self._delete(tokens, token_id)

    async def touch_tokens(self, used: Mapping[str, float]) -> None:
        """Tokens that are gone are passed over."""
        if not used:
            return
        statement = update(tokens).where(tokens.c.id == bindparam("token")).values(last_used_at=bindparam("at"))
        await self._execute(statement, [{"token": token, "at": at} for token, at in used.items()])

    async def change_tokens(
        self, limits: Mapping[str, Limits | None], rules: Mapping[str, tuple[PathRule, ...]]
    ) -> None:
        changes: list[tuple[str, dict[str, Any]]]
        changes = [(token_id, {"limits": rows.limits_plain(value)}) for token_id, value in limits.items()]
        changes += [(token_id, {"rules": rows.rules_plain(value)}) for token_id, value in rules.items()]

        def change(connection: Connection) -> None:
            for token_id, values in changes:
                connection.execute(update(tokens).where(tokens.c.id == token_id).values(values))

        await self._call(change)

    async def rotate_token(self, old: str, ends: float, new: TokenRecord) -> None:
        row = rows.token_row(new)
        ending = update(tokens).where(tokens.c.id == old).values(expires_at=ends)

        def rotate(connection: Connection) -> None:
            if connection.execute(ending).rowcount == 0:
                raise StoreError(f"There is no token {old} (any more).")
            connection.execute(insert(tokens), row)

        await self._call(rotate)

    async def count_tokens(self, counted: Mapping[str, tuple[int, int]]) -> None:
        if not counted:
            return
        these = update(tokens).where(tokens.c.id == bindparam("token"))
        statement = these.values(day=bindparam("on"), calls=bindparam("count"))
        await self._execute(statement, [{"token": id, "on": day, "count": n} for id, (day, n) in counted.items()])

    async def _insert(self, table: Table, row: Mapping[str, Any]) -> None:
        await self._execute(insert(table).values(**row))

    async def _delete(self, table: Table, key: str) -> None:
        await self._execute(delete(table).where(table.c.id == key))

    async def _execute(self, statement: Any, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
        def execute(connection: Connection) -> None:
            connection.execute(statement, rows)

        await self._call(execute)

    # --- the thread ----------------------------------------------------------------------------------

    async def _call(self, work: _Work[_T], *, write: bool = True) -> _T:
        if self._closed:
            raise StoreError(f"The database {self._path} is closed.")
        given_up = threading.Event()
        job = self._thread.submit(self._transact, work, write, given_up)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self._limit)
        except asyncio.TimeoutError:
            if job.running():
                self._driver.interrupt()
            raise _too_slow(self._path, self._limit) from None
        finally:
            given_up.set()

    def _transact(self, work: _Work[_T], write: bool, given_up: threading.Event) -> _T:
        with _explained(self._path), self._connection.begin():
            # A write takes its lock at once: taking it later fails when another connection has written since.
            self._connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
            result = work(self._connection)
            if given_up.is_set():
                raise StoreError(f"The database {self._path} was too slow, and nothing was changed.")
            return result


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Also a record that does not fit what is there (its service is gone) is a ``StoreError``."""
    with translated(path):
        try:
            yield
        except IntegrityError as error:
            raise StoreError(f"The database {path} refused a record: {error.orig}.") from error


def _trim_events(connection: Connection, service_id: str) -> None:
    """Steps over the newest 1,000 in the index (30 µs); usually there is nothing behind them."""
    of_service = events.c.service_id == service_id
    newest_to_drop = select(events.c.id).where(of_service).order_by(events.c.id.desc()).offset(EVENTS_KEPT).limit(1)
    connection.execute(delete(events).where(of_service, events.c.id <= newest_to_drop.scalar_subquery()))


class _Opened(NamedTuple):
    connection: Connection
    name: str
    at_rest: AtRest


def _opened(path: Path, migrations: Migrations, at_rest: Callable[[], AtRest]) -> _Opened:
    connection = open_database(path, migrations, at_rest)
    try:
        name = identity(connection)
        connection.commit()  # reading has begun a transaction
        with translated(path), connection.begin():
            connection.exec_driver_sql("BEGIN")
            lost = unreadable(connection, at_rest())
    except BaseException:
        connection.close()
        raise
    if lost is not None:
        log.error("%s", lost)
    return _Opened(connection, name, at_rest())


def _close_opened(result: Callable[[], _Opened]) -> None:
    """Runs after an opening that nobody waited for."""
    with suppress(Exception):  # it failed, so that nothing is open
        result().connection.close()


def _too_slow(path: Path, limit: float) -> StoreError:
    return StoreError(f"The database {path} did not answer within {limit:g} s: check its disk.")
