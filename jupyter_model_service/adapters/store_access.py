"""Shares, uses and overrides in the state database. Implements ``ports.AccessStore``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, Select, delete, func, select
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.sharing import Share, ShareKind, role_from
from jupyter_model_service.ports import OverrideRecord, UseRecord

from .schema import overrides, services, shares, uses
from .store_rows import limits_plain

_T = TypeVar("_T")


class Database(Protocol):
    """What ``SqlStore`` does for its parts: one transaction each, on its own thread."""

    async def _call(self, work: Callable[[Connection], _T], *, write: bool = True) -> _T: ...
    async def _select(
        self, query: Select[Any], record: Callable[[Row[Any]], _T], fits: Callable[[Row[Any]], bool] | None = None
    ) -> list[_T]: ...
    async def _execute(self, statement: Any) -> None: ...


class SqlAccess:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def shares(self) -> Sequence[tuple[str, Share]]:
        return await self._database._select(select(shares).order_by(shares.c.created_at, shares.c.name), _share_from)

    async def set_share(self, service_id: str, share: Share) -> None:
        row = _share_row(service_id, share)
        keys = [shares.c.service_id, shares.c.kind, shares.c.name]
        statement = insert_or_update(shares).values(row).on_conflict_do_update(index_elements=keys, set_=row)
        await self._database._execute(statement)

    async def remove_share(self, service_id: str, kind: ShareKind, name: str) -> None:
        this = shares.c.service_id == service_id, shares.c.kind == kind, shares.c.name == name
        await self._database._execute(delete(shares).where(*this))

    async def uses(
        self, service_id: str | None = None, since_day: int = 0, limit: int | None = None
    ) -> Sequence[UseRecord]:
        order = uses.c.day.desc(), uses.c.who.desc(), uses.c.made.desc()
        query = select(uses).where(uses.c.day >= since_day).order_by(*order).limit(limit)
        if service_id is not None:
            query = query.where(uses.c.service_id == service_id)
        return (await self._database._select(query, lambda row: UseRecord(**row._mapping)))[::-1]

    async def add_uses(self, records: Sequence[UseRecord]) -> None:
        if not records:
            return
        ids = {record.service_id for record in records}
        found = [dataclasses.asdict(record) for record in records]
        adding = insert_or_update(uses)
        new = adding.excluded
        # The scalar max() of SQLite is NULL where one of the two is.
        later = func.max(func.coalesce(uses.c.last_at, new.last_at), func.coalesce(new.last_at, uses.c.last_at))
        statement = adding.on_conflict_do_update(
            index_elements=[uses.c.service_id, uses.c.who, uses.c.made, uses.c.day],
            set_={"calls": uses.c.calls + new.calls, "refused": uses.c.refused + new.refused, "last_at": later},
        )

        def add(connection: Connection) -> None:
            there = set(connection.scalars(select(services.c.id).where(services.c.id.in_(ids))))
            kept = [row for row in found if row["service_id"] in there]
            if kept:
                connection.execute(statement, kept)

        await self._database._call(add)

    async def forget_uses(self, before_day: int) -> None:
        await self._database._execute(delete(uses).where(uses.c.day < before_day))

    async def overrides(self) -> Sequence[OverrideRecord]:
        query = select(overrides).order_by(overrides.c.user)
        return await self._database._select(query, lambda row: OverrideRecord(**row._mapping))

    async def set_override(self, override: OverrideRecord) -> None:
        row = {**dataclasses.asdict(override), "changes": dict(override.changes)}
        statement = insert_or_update(overrides).values(row)
        await self._database._execute(statement.on_conflict_do_update(index_elements=[overrides.c.user], set_=row))

    async def remove_override(self, user: str) -> None:
        await self._database._execute(delete(overrides).where(overrides.c.user == user))


def _share_row(service_id: str, share: Share) -> dict[str, Any]:
    return {
        "service_id": service_id,
        "kind": share.kind,
        "name": share.name,
        "role": share.role.word,
        "limits": limits_plain(share.limits),
        "made": share.made,
        "created_at": share.created_at,
        "created_by": share.created_by,
    }


def _share_from(row: Row[Any]) -> tuple[str, Share]:
    limits = None if row.limits is None else Limits(**row.limits)
    return row.service_id, Share(
        row.kind, row.name, role_from(row.role), limits, row.made, row.created_at, row.created_by
    )
