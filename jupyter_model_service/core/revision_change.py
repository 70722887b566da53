"""What may be changed of a revision, and the revision that comes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .definition import Definition
from .environment import check_environment, check_read
from .revision import Mount, Resources, Revision

__all__ = ["GivenDefinition", "RevisionChange", "make_revision"]


@dataclass(frozen=True)
class GivenDefinition:
    """A folder's definition as the user's program read it: the name of the file in the folder, and its text."""

    file: str
    text: str


@dataclass(frozen=True)
class RevisionChange:
    """``None`` keeps what the former revision has (in a first one: the default). ``environment`` and
    ``mounts`` replace the former ones as a whole. ``memory`` in bytes. ``definition`` is the folder's
    as the user's program read it, for a gateway that cannot. ``InvalidRequest`` for an environment that no
    program can be given: a replica would be the first to find out."""

    folder: str | None = None
    image: str | None = None
    environment: Mapping[str, str] | None = None
    mounts: Sequence[Mount] | None = None
    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None
    definition: GivenDefinition | None = None

    def __post_init__(self) -> None:
        check_environment(self.environment or {})

    @property
    def empty(self) -> bool:
        return self == RevisionChange()


def make_revision(
    change: RevisionChange, former: Revision | None, number: int, folder: str, definition: Definition, now: float
) -> Revision:
    """``folder`` and ``definition`` were read anew; everything else is changed or kept. ``InvalidRequest`` where what
    is to be kept is not known any more."""
    if former is not None and change.environment is None:
        check_read(former.unread)
    environment = former.environment if former is not None else ()
    mounts = former.mounts if former is not None else ()
    resources = former.resources if former is not None else Resources()
    return Revision(
        number=number,
        folder=folder,
        definition=definition,
        created_at=now,
        image=change.image if change.image is not None else (former.image if former is not None else None),
        environment=tuple(sorted(change.environment.items())) if change.environment is not None else environment,
        mounts=tuple(change.mounts) if change.mounts is not None else mounts,
        resources=Resources(
            cpus=change.cpus if change.cpus is not None else resources.cpus,
            memory=change.memory if change.memory is not None else resources.memory,
            gpus=change.gpus if change.gpus is not None else resources.gpus,
        ),
    )
