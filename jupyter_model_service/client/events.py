"""The event stream, pure: server-sent events from bytes, and when to connect again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import GatewayUnavailable
from .calls import read_copy, read_event, read_service, read_shared
from .exchange import Broken

if TYPE_CHECKING:
    from ..wire import CopyInfo, EventInfo, ServiceInfo, SharedInfo

_EVENT_LIMIT = 16 << 20  # bytes of one event; a service with 100 replicas is about 100 KB
#: How long connecting may fail in a row before a watcher is told: a gateway restart takes 2 s, a slow one 20.
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True)
class RawChange:
    """``kind`` is ``service``, ``shared`` (a service that one may call, and not look into), ``removed``, ``event``,
    ``copying`` or ``resync`` (changes may have been missed: look again; also the first thing on every new connection).
    ``data`` is the JSON as it came."""

    kind: str
    data: dict[str, Any]

    @property
    def key(self) -> str | None:
        """``owner/name`` of what changed."""
        if self.kind in ("service", "shared"):
            return f"{self.data.get('owner')}/{self.data.get('name')}"
        value = self.data.get("service")
        return None if value is None else str(value)


@dataclass(frozen=True)
class Change:
    """A :class:`RawChange` read into the wire models: ``service``, ``shared``, ``event`` or ``copy`` is set where
    the kind says so."""

    kind: str
    key: str | None
    service: ServiceInfo | None = None
    event: EventInfo | None = None
    copy: CopyInfo | None = None
    shared: SharedInfo | None = None


def read_change(raw: RawChange) -> Change:
    return Change(
        raw.kind,
        raw.key,
        service=read_service(raw.data) if raw.kind == "service" else None,
        event=read_event(raw.data) if raw.kind == "event" else None,
        copy=read_copy(raw.data) if raw.kind == "copying" else None,
        shared=read_shared(raw.data) if raw.kind == "shared" else None,
    )


class StreamParser:
    """Bytes in, changes out. Comments (heartbeats) and kinds of a later version are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[RawChange]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._size += len(chunk)
        if self._size > _EVENT_LIMIT:
            raise Broken("an event is too large")
        found = []
        for line in lines:
            change = self._line(line.rstrip(b"\r").decode(errors="replace"))
            if change is not None:
                found.append(change)
        return found

    def _line(self, line: str) -> RawChange | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "data":
                self._data.append(value)
            elif not name:  # a comment ends no event, but it shows that nothing large is under way
                self._size = len(self._rest) + sum(len(each) for each in self._data)
            return None
        kind, text = self._kind, "\n".join(self._data)
        self._kind, self._data, self._size = "", [], len(self._rest)
        if kind == "hello":
            kind = "resync"
        if kind not in ("service", "shared", "removed", "event", "copying", "resync"):
            return None
        try:
            data = json.loads(text) if text else {}
        except ValueError as error:
            raise Broken("an event is not JSON") from error
        return RawChange(kind, data if isinstance(data, dict) else {})


class Reconnect:
    """How long to wait before the next attempt: 0.1 s doubling to 5 s; given up after ``give_up`` seconds in a row."""

    def __init__(self, give_up: float = GIVE_UP_SECONDS) -> None:
        self._give_up = give_up
        self._lost_at: float | None = None
        self._pause = 0.1
        self._ever = False

    def heard(self) -> None:
        self._ever, self._lost_at, self._pause = True, None, 0.1

    def lost(self, now: float, error: Exception) -> float:
        """Seconds until the next attempt; raises ``GatewayUnavailable`` when it is enough, which is at once for a
        gateway that was never there."""
        if not self._ever:
            raise GatewayUnavailable(str(error)) from error
        if self._lost_at is None:
            self._lost_at = now
        if now - self._lost_at >= self._give_up:
            raise GatewayUnavailable(
                f"The model-service gateway was lost and did not come back within {self._give_up:g} s ({error})."
            ) from error
        pause, self._pause = self._pause, min(self._pause * 2, 5.0)
        return pause
