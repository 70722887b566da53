"""Figures: what monitoring systems are asked for, and what is counted for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

# --- figures that others measure -----------------------------------------------------------------------


@dataclass(frozen=True)
class AskedQuery:
    """A query that a rule of a service looks at. ``name`` is the administrator's; ``replicas`` those that are ready."""

    name: str
    owner: str
    service: str
    replicas: tuple[str, ...] = ()


class Queries(Protocol):
    """Queries to a monitoring system, under the names by which the administrator allows them. They are asked in the
    background; the engine reads what the last one gave."""

    @property
    def names(self) -> Collection[str]: ...
    def want(self, asked: Collection[AskedQuery]) -> None:
        """All that rules look at now, again and again: nothing else is asked, and what is not in it any more is
        forgotten. Costs little when nothing has changed."""

    def value(self, name: str, owner: str, service: str) -> float | None:
        """The last answer, while it is fresh; ``None``: unknown."""

    def reason(self, name: str, owner: str, service: str) -> str:
        """Why it is unknown, in one clause; empty when it is known."""


class NoQueries:
    """``Queries`` where the administrator allows none."""

    names: Collection[str] = ()

    def want(self, asked: Collection[AskedQuery]) -> None:
        return None

    def value(self, name: str, owner: str, service: str) -> float | None:
        return None

    def reason(self, name: str, owner: str, service: str) -> str:
        return f"the administrator allows no query {name}"


# --- counting ----------------------------------------------------------------------------------------


class Meter(Protocol):
    """Receives what happened, for metrics. Called on the hot path: must only count."""

    def call(self, owner: str, name: str, revision: int, status: int, seconds: float, first_byte: float | None) -> None:
        """One finished call; ``status`` is what the caller saw, 499 when the caller left first."""

    def retried(self, owner: str, name: str, reason: str) -> None: ...
    def refused(self, owner: str, name: str, code: str) -> None: ...
    def broken(self, owner: str, name: str, reason: str) -> None:
        """An answer that did not come to its end, or whose caller had left."""

    def phase(self, owner: str, name: str, phase: str, seconds: float) -> None:
        """How long a replica spent in a start-up phase."""

    def restarted(self, owner: str, name: str) -> None: ...
    def scaled(self, owner: str, name: str, before: int, after: int) -> None:
        """The autoscaler changed how many replicas there shall be."""

    def cold_start(self, owner: str, name: str) -> None:
        """A call woke a service that the autoscaler had scaled to zero."""

    def forget(self, owner: str, name: str) -> None:
        """The service is gone: drop its series."""
