"""The JSON of who called a service how often. Only its owner and administrators read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["UseInfo", "UseList"]


class UseInfo(BaseModel):
    """Of one token or person on one day."""

    kind: Literal["token", "user", "anyone", "others"]
    name: str = Field(default="", description="a token's id, or the Hub's name of a user")
    day: str = Field(description="of UTC, as 2026-11-30")
    calls: int
    refused: int = 0
    last_at: float | None = None


class UseList(BaseModel):
    uses: list[UseInfo]
