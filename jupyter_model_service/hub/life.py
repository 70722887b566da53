"""What one named server of ours is doing, as the spawner keeps it and as the gateway reads it in the server's state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNREAD_SECONDS = 60.0  # for which what a server came to stays readable, if nobody takes it away before


@dataclass
class Life:
    """``error`` is ``{"stage", "message"}``, ``result`` a job's. With one of them the server runs nothing: it is there
    to be read. ``ended``: why a replica's container runs no more, in one clause; ``exit``: with what, as the Hub is
    told. ``restored``: it was so before the Hub was restarted, and whoever asked is not waiting any more."""

    do: str
    replica: str | None = None
    service: str | None = None
    revision: int | None = None
    control: tuple[str, int] | None = None
    address: tuple[str, int] | None = None
    container: str | None = None
    image: str | None = None
    gpus: tuple[str, ...] = ()
    wanted_gpus: int = 0
    error: dict[str, str] | None = None
    result: dict[str, Any] | None = None
    progress: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    at: float = field(default_factory=time.monotonic)
    restored: bool = False
    ended: str | None = None
    exit: str | int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing of it runs."""
        return self.error is not None or self.result is not None

    @property
    def read_by_now(self) -> bool:
        return self.over and (self.restored or time.monotonic() - self.at > UNREAD_SECONDS)

    def fail(self, stage: str, message: str) -> None:
        self.error = {"stage": stage, "message": message}
        self.at = time.monotonic()

    def done(self, result: dict[str, Any]) -> None:
        self.result = result
        self.at = time.monotonic()

    def to_plain(self) -> dict[str, Any]:
        return {
            "do": self.do,
            "replica": self.replica,
            "service": self.service,
            "revision": self.revision,
            "control": None if self.control is None else list(self.control),
            "address": None if self.address is None else list(self.address),
            "container": self.container,
            "image": self.image,
            "gpus": list(self.gpus),
            "error": self.error,
            "result": self.result,
            "progress": self.progress,
            "exit": self.exit,
            "ended": self.ended,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Life:
        """What the Hub's database kept over a restart, also of another version of ours."""

        def pair(name: str) -> tuple[str, int] | None:
            value = plain.get(name)
            return (str(value[0]), int(value[1])) if value else None

        return cls(
            do=str(plain.get("do") or ""),
            replica=plain.get("replica"),
            service=plain.get("service"),
            revision=plain.get("revision"),
            control=pair("control"),
            address=pair("address"),
            container=plain.get("container"),
            image=plain.get("image"),
            gpus=tuple(plain.get("gpus") or ()),
            wanted_gpus=len(plain.get("gpus") or ()),
            error=plain.get("error"),
            result=plain.get("result"),
            restored=True,
        )
