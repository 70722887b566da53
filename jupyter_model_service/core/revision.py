"""A revision: everything that decides how a replica is run, resolved and frozen at ``create`` or ``update``."""

from __future__ import annotations

from dataclasses import dataclass

from .definition import Definition


@dataclass(frozen=True)
class Resources:
    cpus: float | None = None
    memory: int | None = None  # bytes
    gpus: int = 0


@dataclass(frozen=True)
class Mount:
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Revision:
    """``number`` counts from 1 within a service and is never used twice. ``created_at`` is Unix time."""

    number: int
    folder: str
    definition: Definition
    created_at: float
    image: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
