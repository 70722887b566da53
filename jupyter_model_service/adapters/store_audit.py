"""The audit log in the state database. Implements ``ports.AuditStore``.

That nothing of it is changed, and nothing removed before its time, is held by triggers of the database itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from jupyter_model_service.core.audit import AuditPage, AuditQuery, Entry

from .schema import audit, audit_floor
from .store_access import Database


class SqlAudit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entries: Sequence[Entry]) -> None:
        found = [_row(entry) for entry in entries]

        def add(connection: Connection) -> None:
            if found:
                connection.execute(insert(audit), found)

        await self._database._call(add)

    async def find(self, query: AuditQuery) -> Sequence[Entry]:
        found = await self._database._select(_wanted(query, query.limit, audit), _entry)
        return found[::-1] if query.newest else found

    async def page(self, query: AuditQuery, most: int) -> AuditPage:
        """Rows are read one by one: what would not fit is not read, and holds the thread for nobody."""
        size, count, more = 0, 0, False

        def fits(row: Row[Any]) -> bool:
            nonlocal size, count, more
            size, count = size + _size(row), count + 1
            more = count > query.limit or (count > 1 and size > most)
            return not more

        found = await self._database._select(_wanted(query, query.limit + 1, audit, _STATES), _entry, fits)
        return AuditPage(found[::-1] if query.newest else found, more)

    async def forget_before(self, at: float) -> int:
        def forget(connection: Connection) -> int:
            floor = connection.scalar(select(func.max(audit_floor.c.since)))
            if floor is not None and at <= floor:
                return 0
            connection.execute(delete(audit_floor))
            connection.execute(insert(audit_floor).values(since=at))
            return connection.execute(delete(audit).where(audit.c.at < at)).rowcount

        return await self._database._call(forget)


#: Characters of what changed, as it is stored: in ASCII.
_STATES = (func.coalesce(func.length(audit.c.before), 0) + func.coalesce(func.length(audit.c.after), 0)).label("states")


def _wanted(query: AuditQuery, limit: int, *columns: Any) -> Select[Any]:
    """Their ids are found first: SQLite sorts those alone, and no row is read before it is its turn."""
    order = audit.c.id.desc() if query.newest else audit.c.id
    wanted = select(audit.c.id).where(audit.c.id > query.after).order_by(order).limit(max(limit, 0))
    for column, value in (
        (audit.c.who, query.who),
        (audit.c.action, query.action),
        (audit.c.target, query.target),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if query.before is not None:
        wanted = wanted.where(audit.c.id < query.before)
    if query.owner is not None:  # "0" comes right after "/"; LIKE would not tell bob from Bob
        wanted = wanted.where(audit.c.target >= f"{query.owner}/", audit.c.target < f"{query.owner}0")
    if query.since is not None:
        wanted = wanted.where(audit.c.at >= query.since)
    if query.until is not None:
        wanted = wanted.where(audit.c.at < query.until)
    return select(*columns).where(audit.c.id.in_(wanted)).order_by(order)


def _size(row: Row[Any]) -> int:
    """Bytes of its line of JSON, about: 150 are the names of its fields and its numbers."""
    texts = (row.who, row.address, row.action, row.target, row.code, row.request_id)
    return 150 + sum(map(len, texts)) + int(row.states)


def _row(entry: Entry) -> dict[str, Any]:
    row = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry) if field.name != "id"}
    return {**row, "before": _plain(entry.before), "after": _plain(entry.after)}


def _plain(state: Any) -> dict[str, Any] | None:
    return None if state is None else dict(state)


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{name: value for name, value in row._mapping.items() if name != "states"})
