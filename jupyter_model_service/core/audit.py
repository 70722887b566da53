"""What is written down of a control action, or of a denied one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["AuditQuery", "Entry"]


@dataclass(frozen=True)
class Entry:
    """``at``: Unix time. ``who``: the caller's name, ``gateway`` for what it does by itself, empty where nobody is
    known; ``address``: from where. ``action``: the operation's name in the API's document; ``target``: ``owner/name``
    of a service, or whatever else it is about. ``status`` and ``code`` are the answer's. ``before`` and ``after`` hold
    what changed and nothing that is secret. ``count``: of denied ones, how many there were of these one after the
    other. ``id`` is the log's, 0 before it is in there; ids grow and are never used again."""

    at: float
    who: str
    address: str
    action: str
    target: str = ""
    status: int = 200
    code: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str = ""
    count: int = 1
    id: int = 0


@dataclass(frozen=True)
class AuditQuery:
    """Entries with an id above ``after``: the first ``limit`` of them, or with ``newest`` the last. ``since`` and
    ``until`` are Unix times (from the one, before the other); ``None`` for whatever does not matter."""

    after: int = 0
    limit: int = 100
    newest: bool = False
    who: str | None = None
    action: str | None = None
    target: str | None = None
    since: float | None = None
    until: float | None = None
