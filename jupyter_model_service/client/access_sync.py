"""What the synchronous client can do about who may do what with a service."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import TypeVar

from ..wire import AccessInfo, SharedInfo, ShareInfo
from . import access, calls
from .calls import Call
from .light import Connection

T = TypeVar("T")


class Access:
    """Part of :class:`.sync.Client`."""

    _connection: Connection

    def _about_access(self, call: Call[T]) -> T:
        return call.read(self._connection.send(call))

    def share(
        self,
        name: str,
        *,
        users: Iterable[str] = (),
        groups: Iterable[str] = (),
        role: str = "caller",
        calls_per_second: float | None = None,
        in_flight: int | None = None,
        calls_per_day: int | None = None,
    ) -> builtins.list[ShareInfo]:
        """Let these users and the members of these groups call the service, or with ``role`` ``"viewer"`` also look
        into it, or as ``"operator"`` also scale, stop, start, restart and roll back. The limits are for each person."""
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        key = self._connection.key(name)
        return [
            self._about_access(access.share(key, kind, whom, role, limits))
            for kind, names in (("user", users), ("group", groups))
            for whom in names
        ]

    def unshare(self, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """From the next call on; calls under way are not broken off."""
        key = self._connection.key(name)
        for kind, names in (("user", users), ("group", groups)):
            for whom in names:
                self._about_access(access.unshare(key, kind, whom))

    def allow_origins(self, name: str, origins: Iterable[str]) -> AccessInfo:
        """Let pages of these origins, such as ``https://app.example.org``, call the endpoint from a browser; of no
        others any more."""
        return self._about_access(access.open_to(self._connection.key(name), origins))

    def shared(self) -> builtins.list[SharedInfo]:
        """What others share with the caller for calling alone. What she may also look into is in :meth:`list`."""
        return self._about_access(calls.shared())

    def access(self, name: str, user: str | None = None) -> AccessInfo:
        """Who may do what with the service; with ``user`` also what this one may, and why."""
        return self._about_access(access.show(self._connection.key(name), user))
