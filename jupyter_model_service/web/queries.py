"""What may stand in the query of an operation. Nothing secret: a query ends up in logs and histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..core.audit_search import check_action, check_target, moment_of
from ..core.bounds import LONGEST_PERSON
from ..errors import InvalidRequest

LARGEST = 2**63 - 1  # the greatest id that the database can hold and compare


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoQuery(_Query):
    """For the operations that take none."""


class EventQuery(_Query):
    after: int = Field(default=0, ge=0, le=LARGEST, description="only events with a greater id")
    limit: int = Field(default=100, ge=1, le=1000, description="the newest so many, oldest first")


class AccessQuery(_Query):
    user: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_PERSON,
        description="say of this user, too, what she may do, and why",
    )


T = TypeVar("T")


def _as(read: Callable[[str], T]) -> Callable[[str], T]:
    """pydantic tells the sentence of its own error class alone as it is."""

    def value(given: str) -> T:
        try:
            return read(given)
        except InvalidRequest as error:
            raise PydanticCustomError("unusable", "{why}", {"why": error.message}) from error

    return value


_Action = Annotated[str, AfterValidator(_as(check_action))]
_Target = Annotated[str, AfterValidator(_as(check_target))]
_Moment = Annotated[
    float, BeforeValidator(_as(moment_of)), WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
]


class ServiceExportQuery(_Query):
    after: int = Field(default=0, ge=0, le=LARGEST, description="only entries with a greater id")
    who: str | None = Field(default=None, max_length=300, description="only what this caller did")
    action: _Action | None = Field(default=None, max_length=100, description="only this operation, by its name")
    since: _Moment | None = Field(
        default=None, description="from then on: a day or time of UTC (2026-11-30, 2026-11-30T08:00), or a Unix time"
    )
    until: _Moment | None = Field(default=None, description="before then, written as since; of a day, before it begins")


class ServiceAuditQuery(ServiceExportQuery):
    before: int | None = Field(default=None, ge=1, le=LARGEST, description="only entries with a smaller id")
    limit: int = Field(
        default=100, ge=1, le=1000, description="at most so many, oldest first; fewer where those are more than 512 KiB"
    )
    newest: bool = Field(default=False, description="the last ones, rather than the first")


class _OfEverything(_Query):
    service: _Target | None = Field(
        default=None,
        max_length=300,
        description="`owner/name`: only what was done to this; `user:NAME`: what was done or tried with her limits",
    )


class AuditExportQuery(ServiceExportQuery, _OfEverything):
    pass


class AuditListQuery(ServiceAuditQuery, _OfEverything):
    pass


class LogQuery(_Query):
    replica: str | None = Field(default=None, description="default: the newest replica")
    after: int = Field(default=0, ge=0, le=LARGEST, description="the cursor `next` of the former answer")
    limit: int = Field(default=1000, ge=1, le=10_000, description="at most so many lines")


class UseQuery(_Query):
    since: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="a day of UTC, such as 2026-11-30: from then on; default: of the last 30 days",
    )
    limit: int = Field(default=10_000, ge=1, le=10_000, description="at most so many, the newest")


class DecisionQuery(_Query):
    limit: int = Field(default=20, ge=1, le=100, description="the last so many, oldest first")


class SeriesQuery(_Query):
    since: float | None = Field(
        default=None, ge=0, le=1e12, description="Unix time; default: all that there is at that resolution"
    )
    step: float | None = Field(
        default=None,
        gt=0,
        le=86400,
        description="seconds; the answer has the finest that is no finer and goes so far back",
    )


class SeriesListQuery(SeriesQuery):
    services: str = Field(
        max_length=10_000,
        description="`owner/name`, several with commas between them; those that are not there are left out",
    )
    values: str | None = Field(default=None, description="names of figures, with commas between them; default: all")
