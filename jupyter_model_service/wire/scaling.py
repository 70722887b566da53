"""The JSON of autoscaling. What people may write has one judge, ``core.scaling.reading``, for requests and definition
files alike: so the models of requests document the fields and let every value through, also Backend.AI's own words.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

_Count = Annotated[Any, WithJsonSchema({"type": ["integer", "null"], "minimum": 0, "maximum": 100})]
_Number = Annotated[Any, WithJsonSchema({"type": ["number", "null"]})]
_Seconds = Annotated[Any, WithJsonSchema({"type": ["number", "string", "null"], "minimum": 0})]
_Threshold = Annotated[Any, WithJsonSchema({"type": ["number", "string", "null"]})]
_Text = Annotated[Any, WithJsonSchema({"type": "string"})]
_Flag = Annotated[Any, WithJsonSchema({"type": "boolean"})]


def _without_null(schema: dict[str, Any]) -> None:
    """What has no default has none in the document, either."""
    for field in schema["properties"].values():
        if "default" in field and field["default"] is None:
            del field["default"]


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class _Written(BaseModel):
    """As somebody wrote it; ``plain`` has what was given and nothing else."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_without_null)

    def plain(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class RuleSpec(_Written):
    """One rule. Backend.AI's forms are taken, too: `metric_source`, `metric_name`, `threshold`, `comparator`,
    `step_size`, `cooldown_seconds`, `min_threshold`, `max_threshold`, `time_window`, `min_replicas`, `max_replicas`.
    """

    id: _Text = Field(default=None, description="default: r1, r2 …")
    metric: _Text = Field(default=None, description="such as gpu_util, concurrency, latency_p95 or prometheus:NAME")
    above: _Threshold = Field(
        default=None, description="a value above this adds `step` replicas; also with its unit, such as `80%` or `1.5s`"
    )
    below: _Threshold = Field(default=None, description="a value below this takes `step` replicas away")
    step: _Count = 1
    cooldown: _Seconds = Field(
        default=300, description="seconds for which the rule rests when it has fired; also a text such as `5m`"
    )
    window: _Seconds = Field(default=60, description="seconds over which the value is averaged")
    min: _Count = Field(default=None, description="the fewest that this rule may ask for")
    max: _Count = Field(default=None, description="the most that this rule may ask for")


class ScheduleSpec(_Written):
    """While it is active, `min` and `max` (those that are given) take the place of the service's."""

    id: _Text = Field(default=None, description="default: s1, s2 …")
    when: _Text = Field(
        default=None, description="weekdays and a time of day (`Mon-Fri 08:00-19:00`), or cron's five fields"
    )
    timezone: _Text = Field(default="UTC", description="an IANA name, such as Asia/Seoul")
    duration: _Seconds = Field(default=None, description="seconds, for the cron form only: how long it is active")
    min: _Count = None
    max: _Count = None


class AutoscalingRequest(_Written):
    """The whole policy: what is left out has its default."""

    min: _Count = Field(default=1, description="0: without calls for `idle_after` seconds, no replica is kept")
    max: _Count = 1
    target: _Flag = Field(default=True, description="false: only rules and schedules")
    target_concurrency: _Number = Field(
        default=None,
        description="calls at once that each replica is to have; null: 70 % of the definition's "
        "`serving.concurrency`, or 5.6",
    )
    idle_after: _Seconds = Field(default=900, description="seconds")
    down_delay: _Seconds = Field(
        default=300, description="seconds; the count falls to the largest that was wanted within so long"
    )
    rules: list[RuleSpec] = []
    schedules: list[ScheduleSpec] = []


class AutoscalingChange(AutoscalingRequest):
    """What is to change of a policy. What is left out stays as it is, `null` stands for the default; `rules` and
    `schedules` replace all that there were. A service without a policy gets one.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)


# --- answers -----------------------------------------------------------------------------------------


class RuleInfo(BaseModel):
    id: str
    metric: str
    above: float | None = None
    below: float | None = None
    step: int = 1
    cooldown: float = Field(default=300.0, description="seconds")
    window: float = Field(default=60.0, description="seconds")
    min: int | None = None
    max: int | None = None


class ScheduleInfo(BaseModel):
    id: str
    when: str
    timezone: str = "UTC"
    duration: float | None = Field(default=None, description="seconds; of the cron form only")
    min: int | None = None
    max: int | None = None


class BoundsInfo(BaseModel):
    """What the policy and the schedules that are active now allow, and what set each."""

    min: int
    max: int
    why_min: str = "min"
    why_max: str = "max"
    changes_at: float | None = Field(
        default=None, description="when a schedule next makes a difference; null where none ever does"
    )


class AutoscalingInfo(BaseModel):
    min: int
    max: int
    target: bool = True
    target_concurrency: float | None = Field(default=None, description="as it was asked for; null: the default")
    aim: float | None = Field(default=None, description="calls at once per replica that are aimed at now")
    idle_after: float = Field(default=900.0, description="seconds")
    down_delay: float = Field(default=300.0, description="seconds")
    rules: list[RuleInfo] = []
    schedules: list[ScheduleInfo] = []
    held: bool = Field(default=False, description="scaled by hand: the count stays until autoscaling is resumed")
    bounds: BoundsInfo | None = Field(default=None, description="that hold now, with the schedules taken in")
    last: str | None = Field(default=None, description="what was decided last, in a sentence")
    last_at: float | None = None
    notices: list[str] = Field(default=[], description="in the answer to a change: what it did besides, in sentences")


class WishInfo(BaseModel):
    """What one source (`target`, `rule r1`, `idle` …) wanted, and why. No `count`: it had no opinion."""

    source: str
    count: int | None = None
    why: str = ""


class DecisionInfo(BaseModel):
    at: float
    since: float = Field(description="each decision since then was the same but for its figures; this is the last")
    before: int = Field(description="how many replicas there were to be")
    count: int = Field(description="how many there shall be")
    changed: bool
    reason: str = Field(description="one sentence, also where nothing changes")
    wishes: list[WishInfo] = []
    measured: dict[str, float | None] = Field(default={}, description="by metric; null: unknown, which is never zero")
    bounds: BoundsInfo | None = None
    bound: str | None = Field(default=None, description="what cut the largest wish")


class DecisionList(BaseModel):
    decisions: list[DecisionInfo] = Field(description="oldest first")


class SeriesAnswer(BaseModel):
    """Figures over time, in columns: `values[NAME][i]` is of the `step` seconds from `times[i]` on, of which the last
    may still be running; null where nothing is known. Replicas are what there was at the end, quantiles those of all
    calls of that time.
    """

    step: float = Field(description="seconds between two points")
    times: list[float]
    values: dict[str, list[float | None]]


class SeriesList(BaseModel):
    """Figures of several services, by `owner/name`."""

    services: dict[str, SeriesAnswer]
