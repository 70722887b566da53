"""Who calls, and what that caller may do. Pure: a token has been looked up already."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """``name`` is the user, or ``token:<name>`` for an endpoint token.

    ``manages`` lists the owners whose services the caller may manage; ``invokes`` the ``owner/name`` of the
    services that may be called besides the managed ones. ``token_id`` is for "last use" accounting.
    """

    name: str
    manages: frozenset[str] = frozenset()
    invokes: frozenset[str] = frozenset()
    token_id: str | None = None

    def may_manage(self, owner: str) -> bool:
        return owner in self.manages

    def may_invoke(self, owner: str, name: str) -> bool:
        return owner in self.manages or f"{owner}/{name}" in self.invokes
