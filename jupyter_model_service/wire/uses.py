"""The JSON of who called a service how often. Only its owner and administrators read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["UseInfo", "UseList"]


class UseInfo(BaseModel):
    """Of one token or person on one day."""

    kind: Literal["token", "user", "service", "anyone", "others"] = Field(
        description="anyone: who called while it was public; others: all beyond 10,000 people on one day, together"
    )
    name: str = Field(default="", description="a token's id, or the Hub's name of a user or service")
    label: str = Field(default="", description="the name of a token that there still is")
    day: str = Field(description="of UTC, as 2026-11-30")
    calls: int = Field(description="that were let in")
    refused: int = Field(default=0, description="for their limits, or the paths that a token is for")
    last_at: float | None = Field(default=None, description="when the last of them came, within a second")


class UseList(BaseModel):
    """Oldest first."""

    uses: list[UseInfo]
    today: str = Field(description="the day that it is, of UTC")
    complete: bool = Field(default=True, description="false: there is more, of days before these")
