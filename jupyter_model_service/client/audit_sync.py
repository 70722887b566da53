"""What the synchronous client can do about the audit log."""

from __future__ import annotations

import builtins

from ..wire.audit import AuditEntry
from . import audit
from .light import Connection


class Audit:
    """Part of :class:`.sync.Client`."""

    _connection: Connection

    def audit(
        self,
        name: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        newest: bool = True,
        **only: str | float | None,
    ) -> builtins.list[AuditEntry]:
        """Who did what with the service, or without a name of everything, which on a hub is for administrators: the
        last ``limit`` entries with an id above ``after``, or without ``newest`` the first, oldest first. ``only``:
        ``who``, ``action`` (an operation's name), ``since``, ``until`` (Unix times, or days and times of UTC such as
        ``"2026-11-30"``), and of everything ``service`` (``"alice/chat"``)."""
        key = None if name is None else self._connection.key(name)
        calls = audit.some(key, limit, after=after, newest=newest, **only)
        try:
            call = next(calls)
            while True:
                call = calls.send(self._connection.send(call))
        except StopIteration as end:
            return audit.entries(end.value)
