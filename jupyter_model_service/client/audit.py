"""The calls about the audit log, as :mod:`.calls` has the others. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .calls import Call, Key, reading_model, service_path

if TYPE_CHECKING:
    from ..wire.audit import AuditList

PAGE = 1_000  # entries; the most that the API gives at once


def read(key: Key | None = None, **query: Any) -> Call[AuditList]:
    """Of one service, or of everything; ``query`` as the operation's: ``after``, ``limit``, ``newest``, ``who``, …"""
    path = "api/v1/admin/audit" if key is None else service_path(key, "/audit")
    given = {name: "true" if value is True else value for name, value in query.items() if value not in (None, False)}
    return Call("GET", path, reading_model("AuditList"), query=given)
