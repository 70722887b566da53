"""The JSON of the audit log."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

__all__ = ["AuditEntry", "AuditList"]


class AuditEntry(BaseModel):
    id: int = Field(description="grows, and is never used again")
    at: float
    who: str = Field(
        description="the caller's name; gateway for what it does by itself (a user of that name is user:gateway); "
        "empty where nobody is known"
    )
    address: str
    action: str = Field(
        description="the operation's name in this document; of the gateway also start_gateway, stop_gateway"
    )
    target: str = Field(default="", description="owner/name, or what else it is about")
    status: int
    code: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = Field(
        default=None, description="of what was refused, tried has what was asked for, as far as it may be told"
    )
    request_id: str = ""
    count: int = Field(default=1, description="of denied ones: how many there were, one after the other")


class AuditList(BaseModel):
    """Oldest first. ``next`` is the ``after`` with which to read on, while there is ``more``; with ``newest`` the first
    entry's id is the ``before`` with which to read back."""

    entries: list[AuditEntry]
    next: int
    more: bool = Field(
        default=False, description="whether there are others behind these, or with newest before them: read on"
    )
    kept: float | None = Field(default=None, description="seconds after which entries are removed; null: never")
