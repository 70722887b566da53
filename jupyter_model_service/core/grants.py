"""What of an endpoint a token is for: paths and methods. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PathRule"]


@dataclass(frozen=True)
class PathRule:
    """``path`` is that behind the endpoint's own address: exactly it, or with ``/*`` at its end all below. ``methods``
    are in capitals, ``None`` for all."""

    path: str
    methods: tuple[str, ...] | None = None
