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
class Kept:
    """What a revision has of its folder's files. ``kind`` is ``copy`` (as they were when the revision was made, in
    ``path``; ``why`` says what of them could not be copied) or ``live`` (read where they lie; ``why`` is the reason in
    one clause). ``files`` and ``bytes`` count what was copied, ``linked`` what the copy only points to: it is as it is
    now, not as it was. ``path`` is a full path, or on a hub the name of a volume. ``fingerprint`` is of the folder that
    was copied, where nothing but the copy tells of it (see ``fingerprint.py``)."""

    kind: str = "live"
    path: str | None = None
    files: int = 0
    bytes: int = 0
    linked: int = 0
    why: str | None = None
    fingerprint: str | None = None

    @property
    def source(self) -> str:
        """``copy`` and ``live`` where replicas are processes, ``snapshot`` (a volume of the revision) and ``volume``
        (one that is mounted as it is) where they are containers."""
        in_volume = self.path is not None and not self.path.startswith("/")
        if self.kind == "copy":
            return "snapshot" if in_volume else "copy"
        return "volume" if in_volume else "live"


@dataclass(frozen=True)
class SnapshotLimits:
    """``file_bytes``: larger files are linked. ``bytes`` and ``files`` (with folders and links): a folder with more is
    not kept at all."""

    file_bytes: int = 16 << 20
    bytes: int = 512 << 20
    files: int = 20_000


@dataclass(frozen=True)
class Revision:
    """``number`` counts from 1 within a service and is never used twice. ``created_at`` is Unix time. ``folder`` is
    what the user named, ``kept`` what the revision has of it. ``unread``: names of environment variables whose values
    are not known any more; with any, ``environment`` is empty, and no replica is started."""

    number: int
    folder: str
    definition: Definition
    created_at: float
    image: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    kept: Kept = Kept()
    unread: tuple[str, ...] = ()

    @property
    def served_folder(self) -> str:
        """What ``/models`` stands for where replicas are processes."""
        return self.kept.path if self.kept.kind == "copy" and self.kept.path is not None else self.folder


def revision_to_plain(revision: Revision) -> dict[str, Any]:
    """As plain JSON data, to be stored. :func:`revision_from_plain` gives an equal revision back (``unread`` is no part
    of it)."""
    return {
        "number": revision.number,
        "folder": revision.folder,
        "definition": definition_to_plain(revision.definition),
        "created_at": revision.created_at,
        "image": revision.image,
        "environment": [[name, value] for name, value in revision.environment],
        "mounts": [dataclasses.asdict(mount) for mount in revision.mounts],
        "resources": dataclasses.asdict(revision.resources),
        "kept": dataclasses.asdict(revision.kept),
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
        kept=Kept(**plain.get("kept", {"why": "it was made before files were kept"})),
    )
