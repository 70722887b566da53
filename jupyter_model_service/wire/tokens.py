"""The JSON of endpoint tokens and their limits."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ..core.bounds import LONGEST_LABEL, LONGEST_OVERLAP, LONGEST_TOKEN
from ..core.grants import LONGEST_PATH, MOST_METHODS, MOST_RULES
from ..core.limits import LEAST_PER_SECOND, MOST_IN_FLIGHT, MOST_PER_DAY, MOST_PER_SECOND
from .request import Request


class LimitsSpec(Request):
    """How much one token may call; null: as much as it likes. In a change, what is left out stays as it is."""

    calls_per_second: float | None = Field(
        default=None, ge=LEAST_PER_SECOND, le=MOST_PER_SECOND, description="rounded up, also how many may come at once"
    )
    in_flight: int | None = Field(
        default=None, ge=1, le=MOST_IN_FLIGHT, description="calls at once, those that wait for a replica included"
    )
    calls_per_day: int | None = Field(default=None, ge=1, le=MOST_PER_DAY, description="on one day of UTC")


class PathRuleSpec(Request):
    """What of the endpoint a token is for."""

    path: str = Field(
        max_length=LONGEST_PATH, description="behind the endpoint's address: exactly it, or with `/*` all below"
    )
    methods: list[str] | None = Field(
        default=None, min_length=1, max_length=MOST_METHODS, description="null: all; GET allows HEAD"
    )


class TokenRequest(Request):
    name: str = Field(default="", max_length=LONGEST_LABEL)
    expires_in: float | None = Field(default=None, gt=0, le=LONGEST_TOKEN, description="seconds; null: never")
    shorten: bool = Field(
        default=False, description="whether the longest life that is allowed will do, where that is shorter"
    )
    limits: LimitsSpec | None = None
    rules: list[PathRuleSpec] = Field(
        default=[], max_length=MOST_RULES, description="what it is for; empty: for everything"
    )


class TokenChange(Request):
    """What is left out stays as it is. All of a token's rules are changed together, or their paths or methods alone."""

    limits: LimitsSpec | None = None
    rules: list[PathRuleSpec] | None = Field(
        default=None, max_length=MOST_RULES, description="what it is for from now on; empty: for everything"
    )
    paths: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_RULES,
        description="in place of its paths, with its methods; null: all",
    )
    methods: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_METHODS,
        description="in place of its methods, of each path; null: all",
    )


class RotateRequest(Request):
    overlap: float = Field(
        default=86400.0, ge=0, le=LONGEST_OVERLAP, description="seconds for which the former token still is good"
    )
    expires_in: float | None = Field(
        default=None,
        gt=0,
        le=LONGEST_TOKEN,
        description="seconds; null: never; left out: as long as the former was to live",
    )


class LimitsInfo(BaseModel):
    calls_per_second: float | None = None
    in_flight: int | None = None
    calls_per_day: int | None = None


class PathRuleInfo(BaseModel):
    path: str
    methods: list[str] | None = None


class TokenInfo(BaseModel):
    id: str
    name: str
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    limits: LimitsInfo | None = None
    rules: list[PathRuleInfo] = Field(default=[], description="what of the endpoint it is for; empty: all of it")
    family: str = Field(
        default="", description="the same for all that came from one by rotation; they have their limits together"
    )
    created_by: str = Field(default="", description="who made it; empty for one of before that was kept")
    calls_today: int | None = Field(
        default=None, description="that were let in on this day of UTC; with limits: of all of its family"
    )
    in_flight: int | None = Field(
        default=None, description="calls that have not ended, of all of its family; null without limits"
    )
    notices: list[str] = Field(
        default=[],
        description="of one that was made or changed, one sentence each: that it lives shorter than was asked for, a "
        "method that may be a slip, another token of its family that is for something else",
    )


class NewToken(TokenInfo):
    token: str = Field(repr=False, description="shown this once")


class TokenList(BaseModel):
    tokens: list[TokenInfo]
