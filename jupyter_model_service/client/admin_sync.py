"""What the synchronous client can do for administrators of a hub."""

from __future__ import annotations

from typing import Any

from ..wire import ServiceInfo
from ..wire.admin import Overview, OwnerUse
from . import admin
from .light import Connection


class Admin:
    """Part of :class:`.sync.Client`."""

    _connection: Connection

    def overview(self) -> Overview:
        """All services, their owners with what they have and may have, and who holds which GPU."""
        call = admin.overview()
        return call.read(self._connection.send(call))

    def limits(self, user: str) -> OwnerUse:
        """What the user of the Hub has and may have, and who set it."""
        call = admin.limits(user)
        return call.read(self._connection.send(call))

    def limit(self, user: str, **changes: Any) -> OwnerUse:
        """Take from the user what she may have: ``max_replicas_per_user=2``; ``None`` gives one back."""
        call = admin.limit(user, changes)
        return call.read(self._connection.send(call))

    def unlimit(self, user: str) -> OwnerUse:
        """Give back all that :meth:`limit` took."""
        call = admin.unlimit(user)
        return call.read(self._connection.send(call))

    def notice(self, name: str, text: str | None) -> ServiceInfo:
        """Say something about a service to whoever looks at it; ``None`` takes it back."""
        key = self._connection.key(name)
        call = admin.no_notice(key) if text is None else admin.notice(key, text)
        return call.read(self._connection.send(call))
