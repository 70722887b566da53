"""What the synchronous client can do about who may do what with a service."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..errors import ModelServiceError
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

    def _one_by_one(self, whom: builtins.list[access.Whom], call: Callable[[str, str], Call[T]]) -> builtins.list[T]:
        made: builtins.list[T] = []
        for each in whom:
            try:
                made.append(self._about_access(call(*each)))
            except ModelServiceError as error:
                access.tell_how_far(error, whom, len(made))
                raise
        return made

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
        into it, or as ``"operator"`` also scale, stop, start, restart, roll back and autoscale. The limits are for each
        person. Role and limits take the place of those that somebody had; where she loses some by that, or the limits
        of a group, there is a warning. Where one of several fails, the error says for whom it was done."""
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        key = self._connection.key(name)
        whom = access.each(users, groups)
        made = self._one_by_one(whom, lambda kind, name: access.share(key, kind, name, role, limits))
        access.warn_of(made)
        return made

    def unshare(self, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """From the next call on; calls under way end within half a minute. Where it is not shared with one of several,
        nothing is changed; where one fails on the way, the error says for whom it was done."""
        key, whom = self._connection.key(name), access.each(users, groups)
        if len(whom) > 1:
            shares = self._about_access(access.show(key)).shares
            access.check_shared(key, whom, [(share.kind, share.name) for share in shares])
        self._one_by_one(whom, lambda kind, name: access.unshare(key, kind, name))

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
