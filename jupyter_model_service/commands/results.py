"""What a verb gives back: plain data that the command line prints and notebooks show; ``to_json`` is the wire's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..client.waiting import Outcome

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    @property
    def ok(self) -> bool:
        return True

    def to_json(self) -> Any:
        """``None`` when there is nothing to tell."""
        return None


@dataclass(frozen=True)
class ServiceResult(Result):
    """``verb`` is what was done to the service; ``outcome`` how it went (``None``: nobody waited).
    ``series`` is a ``SeriesAnswer``, where there is one to be shown. ``named``: as the line named the service, for
    lines to come: ``chat`` of another owner is another service."""

    verb: str
    service: Json
    outcome: Outcome | None = None
    seconds: float = 0.0
    series: Json | None = None
    named: str = ""

    @property
    def name(self) -> str:
        return self.named or str(self.service["name"])

    @property
    def ok(self) -> bool:
        return self.outcome is None or self.outcome.ok

    def to_json(self) -> Any:
        return self.service


@dataclass(frozen=True)
class ServicesResult(Result):
    """``series`` by ``owner/name``, of those that have any to be shown; ``shared`` are those that one may only call."""

    services: Sequence[Json]
    series: Mapping[str, Json] = field(default_factory=dict)
    shared: Sequence[Json] = ()

    def to_json(self) -> Any:
        return {"services": list(self.services), "shared": list(self.shared)}


@dataclass(frozen=True)
class GatewayResult(Result):
    info: Json

    def to_json(self) -> Any:
        return self.info


@dataclass(frozen=True)
class ValidateResult(Result):
    folder: str
    answer: Json

    def to_json(self) -> Any:
        return self.answer


@dataclass(frozen=True)
class EndpointResult(Result):
    """``openai``: not the endpoint itself was asked for, but the base URL that is the same for all of them."""

    url: str
    openai: bool = False

    @property
    def base_url(self) -> str:
        """For clients of OpenAI's: ``…/v1`` where the endpoint is ``…/endpoints/OWNER/NAME/``."""
        return "/".join([*self.url.rstrip("/").split("/")[:-3], "v1"])

    def to_json(self) -> Any:
        return {"base_url": self.base_url} if self.openai else {"endpoint": self.url}


@dataclass(frozen=True)
class TokenResult(Result):
    """``service`` is what the token opens, where that is to be shown; ``file`` is where the token was written; then
    ``to_json`` does not show it once more. ``former``: the one in whose place it is, with when that ends now."""

    token: Json = field(repr=False)
    service: Json | None
    file: str | None = None
    former: Json | None = None

    def to_json(self) -> Any:
        if self.file is None:
            return self.token
        return {**{name: value for name, value in self.token.items() if name != "token"}, "file": self.file}


@dataclass(frozen=True)
class TokensResult(Result):
    """``changed``: the only one was changed."""

    tokens: Sequence[Json]
    changed: bool = False

    def to_json(self) -> Any:
        return self.tokens[0] if self.changed else {"tokens": list(self.tokens)}


@dataclass(frozen=True)
class UsesResult(Result):
    """``service`` is ``owner/name``; ``by_day``: each day is to be told apart."""

    service: str
    answer: Json
    since: str | None = None
    by_day: bool = False

    def to_json(self) -> Any:
        return self.answer


@dataclass(frozen=True)
class AccessResult(Result):
    """``service`` is ``owner/name``; ``people``: there are users and groups to share it with."""

    service: str
    access: Json
    people: bool = True

    def to_json(self) -> Any:
        return self.access


@dataclass(frozen=True)
class OverviewResult(Result):
    """Of a whole gateway; ``gpus_only``: that is what was asked for."""

    overview: Json
    gpus_only: bool = False

    def to_json(self) -> Any:
        return {"gpus": self.overview["gpus"]} if self.gpus_only else self.overview


@dataclass(frozen=True)
class LimitsResult(Result):
    """What one user has and may have."""

    owner: Json

    def to_json(self) -> Any:
        return self.owner


@dataclass(frozen=True)
class AuditResult(Result):
    """``entries``, oldest first; ``None`` when they were given to the observer as they came. ``nothing``: a sentence
    for people where there is none."""

    entries: Sequence[Json] | None
    nothing: str = ""

    def to_json(self) -> Any:
        return None if self.entries is None else {"entries": list(self.entries)}


@dataclass(frozen=True)
class LogsResult(Result):
    """``answer`` is ``None`` when the lines were given to the observer as they came."""

    answer: Json | None

    def to_json(self) -> Any:
        return self.answer


@dataclass(frozen=True)
class EventsResult(Result):
    events: Sequence[Json] | None

    def to_json(self) -> Any:
        return None if self.events is None else {"events": list(self.events)}


@dataclass(frozen=True)
class AutoscalingResult(Result):
    """The policy of a service, which may have none."""

    service: Json

    def to_json(self) -> Any:
        return {"autoscaling": None} if self.service["autoscaling"] is None else self.service["autoscaling"]


@dataclass(frozen=True)
class RulesResult(Result):
    """``added``: the last rule is new, and the only one that was asked about."""

    service: str
    autoscaling: Json
    added: bool = False

    def to_json(self) -> Any:
        rules = self.autoscaling["rules"]
        return rules[-1] if self.added else {"rules": rules}


@dataclass(frozen=True)
class SchedulesResult(Result):
    """``added``: the last schedule is new, and the only one that was asked about."""

    service: str
    autoscaling: Json
    added: bool = False

    def to_json(self) -> Any:
        schedules = self.autoscaling["schedules"]
        return schedules[-1] if self.added else {"schedules": schedules}


@dataclass(frozen=True)
class DecisionsResult(Result):
    """``decisions``, oldest first; ``None`` when they were given to the observer as they came."""

    service: Json | None
    decisions: Sequence[Json] | None

    def to_json(self) -> Any:
        return None if self.decisions is None else {"decisions": list(self.decisions)}


@dataclass(frozen=True)
class DoneResult(Result):
    """For verbs that leave nothing to show: ``sentence`` says what was done."""

    sentence: str
    data: Json

    def to_json(self) -> Any:
        return self.data
