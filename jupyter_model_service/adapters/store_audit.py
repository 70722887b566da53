"""The audit log in the state database. Implements ``ports.AuditStore``.

That nothing of it is changed, and nothing removed before its time, is held by triggers of the database itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from jupyter_model_service.core.audit import AuditQuery, Entry

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
        order = audit.c.id.desc() if query.newest else audit.c.id
        wanted = select(audit).where(audit.c.id > query.after).order_by(order).limit(max(query.limit, 0))
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
        found = await self._database._select(wanted, _entry)
        return found[::-1] if query.newest else found

    async def forget_before(self, at: float) -> int:
        def forget(connection: Connection) -> int:
            floor = connection.scalar(select(func.max(audit_floor.c.since)))
            if floor is not None and at <= floor:
                return 0
            connection.execute(delete(audit_floor))
            connection.execute(insert(audit_floor).values(since=at))
            return connection.execute(delete(audit).where(audit.c.at < at)).rowcount

        return await self._database._call(forget)


def _row(entry: Entry) -> dict[str, Any]:
    row = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry) if field.name != "id"}
    return {**row, "before": _plain(entry.before), "after": _plain(entry.after)}


def _plain(state: Any) -> dict[str, Any] | None:
    return None if state is None else dict(state)


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)
