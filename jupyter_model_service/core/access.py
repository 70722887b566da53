"""Who calls, and what that caller may do. Pure: a token has been looked up already."""

from __future__ import annotations

from dataclasses import dataclass, field

from .limits import Allowance


@dataclass(frozen=True)
class Caller:
    """``name`` is the user, or ``token:<name>`` for an endpoint token.

    ``manages`` lists the owners whose services the caller may manage; ``invokes`` the ``owner/name`` of the
    services that may be called besides the managed ones, ``invokes_of`` the owners all of whose services may be.
    ``manages_all`` and ``invokes_all`` are of whoever runs the place. ``home`` is the owner that new services of the
    caller get. ``forwards``: it passes on the calls of others, so what it says of them (``X-Forwarded-*``) is
    believed. ``allowance`` is of a token whose calls are limited, and the same object for all of its calls.
    """

    name: str
    manages: frozenset[str] = frozenset()
    invokes: frozenset[str] = frozenset()
    manages_all: bool = False
    invokes_of: frozenset[str] = frozenset()
    invokes_all: bool = False
    home: str | None = None
    forwards: bool = False
    allowance: Allowance | None = field(default=None, compare=False, repr=False)

    @property
    def manages_any(self) -> bool:
        return self.manages_all or bool(self.manages)

    def may_manage(self, owner: str) -> bool:
        return self.manages_all or owner in self.manages

    def may_invoke_all_of(self, owner: str) -> bool:
        """All services of that owner, whatever their names."""
        return self.invokes_all or owner in self.invokes_of or self.may_manage(owner)

    def may_invoke(self, owner: str, name: str) -> bool:
        return (
            self.invokes_all or owner in self.invokes_of or f"{owner}/{name}" in self.invokes or self.may_manage(owner)
        )
