"""The JSON of who may do what with a service: what is asked for and shown of shares."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ..core.cors import MOST_ORIGINS
from .request import Request
from .tokens import LimitsInfo, LimitsSpec

__all__ = [
    "AccessInfo", "AccessRole", "OriginsRequest", "PersonAccess", "ShareInfo", "ShareRequest", "SharedInfo",
    "Visibility",
]  # fmt: skip

Visibility = Literal["private", "shared", "public"]
AccessRole = Literal["caller", "viewer", "operator", "owner"]
SharedRole = Literal["caller", "viewer", "operator"]


class ShareRequest(Request):
    """What a user, or each member of a group, may do from now on."""

    role: SharedRole = Field(
        default="caller",
        description="caller: call the endpoint; viewer: also see state, events, logs and figures; operator: also "
        "scale, stop, start, restart, roll back and autoscale",
    )
    limits: LimitsSpec | None = Field(default=None, description="for each person whom it lets in; null: none")


class ShareInfo(BaseModel):
    kind: Literal["user", "group"]
    name: str = Field(description="the Hub's; whether there is such a user or group is not said")
    role: SharedRole
    limits: LimitsInfo | None = None
    created_at: float
    created_by: str = ""
    calls_today: int | None = Field(default=None, description="on this day of UTC; of a user alone")
    last_call_at: float | None = Field(default=None, description="of today, if there was one; of a user alone")
    former: bool = Field(
        default=False,
        description="it is for somebody who was deleted in the Hub, and another user has her name: it lets nobody in",
    )
    notices: list[str] = Field(default=[], description="what was done besides, one sentence each")


class PersonAccess(BaseModel):
    name: str
    role: AccessRole | None = Field(default=None, description="by this person's own name; null: nothing")
    perhaps: AccessRole | None = Field(
        default=None,
        description="what she is if she is in one of the groups that `why` tells, where that is more",
    )
    why: list[str] = Field(default=[], description="one sentence each")


class AccessInfo(BaseModel):
    """``always``: who may besides the shares, in sentences."""

    visibility: Visibility
    public_allowed: bool = Field(default=True, description="whether the owner may make it public")
    set_by: str | None = Field(default=None, description="who said that she may not")
    shares: list[ShareInfo] = []
    always: list[str] = []
    origins: list[str] = Field(default=[], description="whose pages may call the endpoint from a browser (CORS)")
    person: PersonAccess | None = Field(default=None, description="where one person was asked about")


class OriginsRequest(Request):
    origins: list[str] = Field(
        max_length=MOST_ORIGINS, description="such as https://app.example.org; they replace the former"
    )


class SharedInfo(BaseModel):
    """What somebody sees of a service that she may call and not look into."""

    owner: str
    name: str
    state: str
    endpoint: str
    page: str | None = None
    role: AccessRole
