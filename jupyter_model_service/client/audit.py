"""The calls about the audit log, as :mod:`.calls` has the others. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .calls import Call, Key, reading_model, service_path

if TYPE_CHECKING:
    from ..wire.audit import AuditEntry, AuditList

PAGE = 1_000  # entries; the most that the API gives at once


def read(key: Key | None = None, **query: Any) -> Call[AuditList]:
    """Of one service, or of everything; ``query`` as the operation's: ``after``, ``before``, ``limit``, …"""
    path = "api/v1/admin/audit" if key is None else service_path(key, "/audit")
    given = {name: "true" if value is True else value for name, value in query.items() if value not in (None, False)}
    return Call("GET", path, reading_model("AuditList"), query=given)


def some(
    key: Key | None, count: int, *, after: int = 0, newest: bool = True, **query: Any
) -> Generator[Call[AuditList], Any, dict[str, Any]]:
    """The last ``count`` entries with an id above ``after``, or without ``newest`` the first, as ``AuditList`` in plain
    JSON: yields calls and is sent their answers. Where entries are long the API gives fewer at once, and says so."""
    found: dict[str, Any] = {"entries": [], "next": after, "more": True, "kept": None}
    before = None
    while found["more"] and len(found["entries"]) < count:
        limit = min(PAGE, count - len(found["entries"]))
        answer = yield read(key, after=after, before=before, limit=limit, newest=newest, **query)
        entries, there = answer["entries"], found["entries"]
        first = before is None or not newest
        found = {**answer, "entries": entries + there if newest else there + entries}
        found["next"] = answer["next"] if first else there[-1]["id"]
        if not entries:
            break
        before, after = (entries[0]["id"], after) if newest else (None, answer["next"])
    return found


def entries(plain: dict[str, Any]) -> list[AuditEntry]:
    found: AuditList = reading_model("AuditList")(plain)
    return found.entries
