"""The JSON of what administrators see and set."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from ..core.bounds import LONGEST_NOTICE
from ..core.policy_limits import NUMBERS, Limit
from .request import Request

__all__ = ["EndInfo", "GpuHolder", "LimitInfo", "LimitsChange", "NoticeInfo", "NoticeRequest", "Overview", "OwnerUse"]


class NoticeInfo(BaseModel):
    """What an administrator has to say about a service: plain text."""

    text: str
    by: str
    at: float


class EndInfo(BaseModel):
    """When a service will be stopped (Unix time), and what will be so by then."""

    at: float
    why: str


class NoticeRequest(Request):
    text: str = Field(min_length=1, max_length=LONGEST_NOTICE)


class LimitInfo(BaseModel):
    """``set_by``: whose limit it is, as in "for the group ds"; empty for the installation's own."""

    name: str
    value: float | str | bool | list[str] | None = Field(description="null: none")
    used: float | None = None
    set_by: str = ""


class OwnerUse(BaseModel):
    owner: str
    user: str = Field(description="the Hub's name")
    services: int = Field(description="but for those that are being deleted")
    replicas: int = Field(description="that they are to have, also those that are not up: as limits count them")
    gpus: int = Field(description="of these")
    limits: list[LimitInfo] = []
    notices: list[str] = Field(default=[], description="what was set for her and takes nothing away, in sentences")


class GpuHolder(BaseModel):
    """One GPU, and what holds it: of one that two hold there are two."""

    id: str
    name: str = ""
    holder: Literal["replica", "notebook", "other", "nobody"] = "nobody"
    label: str = Field(default="", description="the holder in words, such as: a notebook of alice")
    user: str | None = None
    server: str | None = Field(default=None, description="the named server, empty for the default one")
    service: str | None = Field(default=None, description="owner/name")
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None


class OverviewService(BaseModel):
    owner: str
    name: str
    state: str
    reason: str | None = None
    visibility: Literal["private", "shared", "public"]
    replicas: int
    ready: int
    gpus: int
    calls_today: int | None = None
    last_call_at: float | None = None
    created_at: float
    notice: NoticeInfo | None = None


class Overview(BaseModel):
    services: list[OverviewService]
    owners: list[OwnerUse]
    gpus: list[GpuHolder] | None = Field(default=None, description="null: nobody knows")
    gpus_at: float | None = Field(default=None, description="when it was so; null: only what replicas say is known")
    gpus_problem: str = Field(default="", description="why it is not known, or not known anew, what others hold")


def _number(limit: Limit) -> Any:
    """The type and the field of one that is a number."""
    within = limit.range
    about = f"{within.unit}: {limit.about}" if within.unit else limit.about
    number = int if within.whole else float
    return number | None, Field(default=None, ge=within.least, le=within.most, description=about)


_LIMITS: dict[str, Any] = {each.name: _number(each) for each in NUMBERS}
_LIMITS["allow_public"] = (
    Literal[False] | None,
    Field(default=None, description="false: none; null takes that back. There is no true, as this gives nothing"),
)
LimitsChange = create_model(
    "LimitsChange",
    __base__=Request,
    __module__=__name__,
    __doc__="For one user, until it is taken back. It only tightens what the installation says; "
    "what is left out stays.",
    **_LIMITS,
)
