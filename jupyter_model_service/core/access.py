"""Who calls, and what that caller may do. Pure: a token has been looked up already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from .grants import Grant, PathRule
from .limits import Allowance, Limits
from .sharing import Person, Role, Sharing
from .tally import Tally

if TYPE_CHECKING:
    from .message import RequestHead
    from .routing import Endpoint

__all__ = [
    "Caller", "Denied", "at_our_pages", "cap", "denied", "knows", "may_call", "may_visit", "role_of",
]  # fmt: skip

#: Why a call is not let in: nothing says who sends it; she has nothing to do with the service, of which she learns
#: nothing then; what she calls with is for other paths or methods of it.
Denied = Literal["unauthenticated", "not_found", "path_not_allowed"]


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

    @cached_property
    def grant(self) -> Grant:
        return Grant(self.rules)

    @property
    def counts_as(self) -> Person | None:
        """The person whose calls its calls are; ``None`` for a token that stands for nobody."""
        return self.counted_as or self.person

    @property
    def manages_any(self) -> bool:
        return self.manages_all or bool(self.manages)

    def may_manage(self, owner: str) -> bool:
        return self.manages_all or owner in self.manages

    def may_invoke_all_of(self, owner: str) -> bool:
        """All services of that owner, whatever their names."""
        return self.invokes_all or owner in self.invokes_of or self.may_manage(owner)

    def may_invoke(self, owner: str, name: str) -> bool:
        return self.may_invoke_key(owner, f"{owner}/{name}")

    def may_invoke_key(self, owner: str, key: str) -> bool:
        """The service of which ``key`` is ``owner/name``. Asked for each call."""
        return (
            key in self.invokes
            or owner in self.manages
            or self.manages_all
            or self.invokes_all
            or owner in self.invokes_of
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
    """Whether there is a role. What most calls have, a token of the endpoint, is looked at first."""
    if endpoint.key in caller.invokes or caller.may_invoke_key(endpoint.owner, endpoint.key):
        return True
    person = caller.person
    return person is not None and (person.owner == endpoint.owner or endpoint.sharing.lets_in(person))


def may_call(caller: Caller | None, endpoint: Endpoint) -> bool:
    return endpoint.public or (caller is not None and knows(caller, endpoint))


def may_visit(caller: Caller, endpoint: Endpoint) -> bool:
    """Whether somebody who has signed in may open the service's pages. Administrators of the Hub may, who get into
    every notebook besides; what they signed in with manages nothing."""
    return knows(caller, endpoint) or (caller.person is not None and caller.person.admin)


def denied(
    caller: Caller | None, endpoint: Endpoint | None, visiting: bool, head: RequestHead, target: bytes
) -> Denied | None:
    """Why this call is not let in, or may not go on; ``None``: it may. The same where it comes in, where it waited, and
    while it goes on.

    ``caller`` is whose credential it has, ``None`` where it has none, or one that is nobody's; ``endpoint`` that which
    it is for, ``None`` where there is none of that name; ``visiting``: it is by a visit of somebody who signed in to
    the service's pages. ``target`` is path and query as they were sent, from the end of the endpoint's own address."""
    if endpoint is not None and endpoint.public:
        return None
    if caller is None:
        return "unauthenticated"
    # Whoever may not call learns nothing of what exists: the answer is the same.
    if endpoint is None or not (may_visit if visiting else knows)(caller, endpoint):
        return "not_found"
    if caller.rules and not caller.grant.allows(head.method, target, head.headers):
        return "path_not_allowed"
    return None


def cap(caller: Caller, endpoint: Endpoint) -> tuple[Person, Limits, str] | None:
    """Whose calls a share limits here, to what, and by whom that was said (``Share.set_by``): whatever token she calls
    with, else she made herself one by a scope that her class has, and called on. ``None``: nothing limits an owner, who
    manages the service, or a token of the endpoint, which has limits of its own (``Caller.allowance``)."""
    person = caller.counts_as
    if person is None or person.owner == endpoint.owner or caller.may_manage(endpoint.owner) or not endpoint.sharing:
        return None
    share = endpoint.sharing.share_for(person)
    return None if share is None or share.limits is None else (person, share.limits, share.set_by)


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
