"""Which of a notebook's mounts holds a folder: nothing but names, and nothing of the Docker host's file system.

A folder is named as the notebook sees it. What is mounted there is taken from the notebook's own configuration; which
file of the host that is stays the engine's business, and no path of the host is ever made out of a user's folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Mounted", "mount_of", "mounts_below"]


class Mounted(Protocol):
    """One mount of a user's notebook. ``source`` is the name of a volume (``kind`` ``volume``), or the folder of the
    Docker host that the administrator has configured (``bind``)."""

    @property
    def target(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def kind(self) -> str: ...


M = TypeVar("M", bound=Mounted)


def mount_of(folder: str, mounts: Iterable[M]) -> M:
    """The mount that holds ``folder``: of several, the innermost. ``ValueError``, one sentence, when there is none."""
    if not folder.startswith("/") or "\0" in folder:
        raise ValueError(f"{folder!r} is not the full path of a folder.")
    if ".." in folder.split("/"):
        raise ValueError(f'{folder!r} has ".." in it: name the folder by its full path.')
    mounts = list(mounts)
    holding = [mount for mount in mounts if _within(_normal(folder), _normal(mount.target))]
    if not holding:
        known = ", ".join(sorted({mount.target for mount in mounts})) or "nothing"
        raise ValueError(
            f"{folder} is not in your storage, of which {known} is mounted in your notebook server: "
            "what lies elsewhere ends with the server."
        )
    return max(holding, key=lambda mount: len(_normal(mount.target)))


def mounts_below(folder: str, mounts: Iterable[Mounted]) -> Sequence[str]:
    """Where other storage is mounted within ``folder``: that is not part of the copy."""
    inside = _normal(folder)
    targets = {_normal(mount.target) for mount in mounts}
    return sorted(target for target in targets if target != inside and _within(target, inside))


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _within(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip("/") + "/")
