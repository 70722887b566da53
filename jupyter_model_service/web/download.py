"""A file that is made while it is sent, by an operation or by a page. :mod:`.sending` sends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

__all__ = ["Download"]


@dataclass(frozen=True)
class Download:
    """A file, sent piece by piece: the next is made when the former has been taken. ``name``: under which a browser
    keeps it. ``of_everything``: it is not of one service alone."""

    pieces: AsyncGenerator[bytes, None]
    name: str
    kind: str
    of_everything: bool = False
