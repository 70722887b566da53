"""What a replica or a job of the Hub's process needs of it: the engine, the user's notebooks, the labels of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.hub_options import LABEL

__all__ = ["LABEL", "Notebook", "NotebookMount"]


@dataclass(frozen=True)
class NotebookMount:
    """``kind`` is ``volume`` (``source`` is its name) or ``bind`` (``source`` is a path of the engine's machine)."""

    source: str
    target: str
    kind: str = "volume"
    read_only: bool = False


@dataclass(frozen=True)
class Notebook:
    """One of the user's own servers. ``server`` is its name, empty for the default one. Of one that runs, ``container``
    is the id, and everything is the engine's word; else it is what it would be started with. ``run_as``: the user and
    group that it runs as, where that is not the image's own."""

    server: str
    image: str
    mounts: Sequence[NotebookMount] = ()
    container: str | None = None
    run_as: str | None = None
