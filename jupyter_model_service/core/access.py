"""Who calls, and what that caller may do. Pure: a token has been looked up already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .grants import PathRule
from .limits import Allowance
from .sharing import Person, Role, Sharing
from .tally import Tally

if TYPE_CHECKING:
    from .routing import Endpoint

__all__ = ["Caller", "at_our_pages", "knows", "may_call", "may_visit", "role_of"]


@dataclass(frozen=True)
class Caller:
    """``name`` is the user, or ``token:<name>`` for an endpoint token.

    ``manages`` lists the owners whose services the caller may manage; ``invokes`` the ``owner/name`` of the
    services that may be called besides the managed ones, ``invokes_of`` the owners all of whose services may be.
    ``manages_all`` and ``invokes_all`` are of whoever runs the place; ``audits``: it may read the audit log of
    everything. ``home`` is the owner that new services of the caller get. ``forwards``: it passes on the calls of
    others, so what it says of them (``X-Forwarded-*``) is believed. ``allowance`` is of a token whose calls are
    limited, and the same object for all of its calls; ``tally`` counts them, whether they are limited or not.
    ``rules`` are what of an endpoint the token is for, empty for all of it. ``person``: whom the token acts for,
    where it is one that what is shared with her may be used with. ``counted_as``: whose calls its calls are, also
    where she may use nothing of that with it: she is counted, and limited, as one person, whatever tokens she calls
    with.
    """

    name: str
    manages: frozenset[str] = frozenset()
    invokes: frozenset[str] = frozenset()
    manages_all: bool = False
    invokes_of: frozenset[str] = frozenset()
    invokes_all: bool = False
    home: str | None = None
    forwards: bool = False
    audits: bool = False
    allowance: Allowance | None = field(default=None, compare=False, repr=False)
    person: Person | None = None
    rules: tuple[PathRule, ...] = ()
    tally: Tally | None = field(default=None, compare=False, repr=False)
    counted_as: Person | None = field(default=None, compare=False)

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


def role_of(caller: Caller | None, owner: str, name: str, sharing: Sharing) -> Role | None:
    """What the caller may do with the service ``owner/name``, ``None`` for nothing: then it is not even known to the
    caller. A token never comes to more than its scopes allow: ``Person.most`` bounds what is shared."""
    if caller is None:
        return None
    if caller.may_manage(owner):
        return Role.OWNER
    person = caller.person
    if person is not None and (shared := sharing.role(person)) is not None:
        return min(shared, person.most)
    if (person is not None and person.owner == owner) or caller.may_invoke(owner, name):
        return Role.CALLER
    return None


def knows(caller: Caller, endpoint: Endpoint) -> bool:
    """Whether there is a role. What most calls have is looked at first."""
    if caller.may_invoke(endpoint.owner, endpoint.name):
        return True
    person = caller.person
    return person is not None and (person.owner == endpoint.owner or endpoint.sharing.lets_in(person))


def may_call(caller: Caller | None, endpoint: Endpoint) -> bool:
    return endpoint.public or (caller is not None and knows(caller, endpoint))


def may_visit(caller: Caller, endpoint: Endpoint) -> bool:
    """Whether somebody who has signed in may open the service's pages. Administrators of the Hub may, who get into
    every notebook besides; what they signed in with manages nothing."""
    return knows(caller, endpoint) or (caller.person is not None and caller.person.admin)


def at_our_pages(person: Person) -> Caller:
    """Who has signed in herself may do there what is hers to do: manage her own services, those of everybody as an
    administrator of the Hub, and what is shared with her. The token that she signed in with is worth less, and so is
    whoever gets hold of it."""
    return Caller(
        name=person.owner,
        manages=frozenset({person.owner}),
        manages_all=person.admin,
        home=person.owner,
        person=replace(person, most=Role.OPERATOR),
    )
