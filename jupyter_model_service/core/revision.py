"""A revision: everything that decides how a replica is run, resolved and frozen at ``create`` or ``update``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .definition import Definition, definition_from_plain, definition_to_plain


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


def revision_to_plain(revision: Revision) -> dict[str, Any]:
    """As plain JSON data, to be stored. :func:`revision_from_plain` gives an equal revision back."""
    return {
        "number": revision.number,
        "folder": revision.folder,
        "definition": definition_to_plain(revision.definition),
        "created_at": revision.created_at,
        "image": revision.image,
        "environment": [[name, value] for name, value in revision.environment],
        "mounts": [dataclasses.asdict(mount) for mount in revision.mounts],
        "resources": dataclasses.asdict(revision.resources),
    }


def revision_from_plain(plain: Mapping[str, Any]) -> Revision:
    """What was stored. Fields that came after it was stored have their defaults; others are a ``TypeError``,
    ``KeyError`` or ``ValueError``."""
    return Revision(
        number=plain["number"],
        folder=plain["folder"],
        definition=definition_from_plain(plain["definition"]),
        created_at=plain["created_at"],
        image=plain.get("image"),
        environment=tuple((name, value) for name, value in plain.get("environment", ())),
        mounts=tuple(Mount(**mount) for mount in plain.get("mounts", ())),
        resources=Resources(**plain.get("resources", {})),
    )
