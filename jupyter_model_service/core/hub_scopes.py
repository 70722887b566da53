"""What a JupyterHub token may do here, from the scopes that the Hub says it has. Pure.

The Hub expands scopes (a scope brings its subscopes) but leaves it to each service to match the filters of the
service's own, custom scopes: ``custom:model-service:invoke!server=alice/chat``. What is not understood grants nothing:
an unknown filter, two filters, a filter without a value.

The filter ``server=USER/NAME`` means the Hub's user, whose name may hold anything but a slash, and here the *service*
of that name, not a named server: the Hub takes any text there, and a replica's server comes and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from .access import Caller
from .hub_options import SERVER_PREFIX
from .names import owner_from
from .sharing import Person, Role

__all__ = ["AUDIT", "INVOKE", "MANAGE", "Reach", "by_groups", "caller_from", "invoke_scope", "reach_of"]

INVOKE = "custom:model-service:invoke"
MANAGE = "custom:model-service:manage"
#: To read the audit log of everything, and nothing else. A filter makes nothing of it: the log is of all.
AUDIT = "custom:model-service:audit"

Members = Callable[[str], Collection[str]]
"""The names of a group's users; empty for a group that is not known."""


@dataclass(frozen=True)
class Reach:
    """What all filters of one scope cover together, in the Hub's own names."""

    everything: bool = False
    users: frozenset[str] = frozenset()
    servers: frozenset[tuple[str, str]] = frozenset()
    groups: frozenset[str] = frozenset()


def reach_of(scopes: Iterable[str], wanted: str) -> Reach:
    """The reach of the scope ``wanted`` among ``scopes``."""
    everything = False
    users, servers, groups = set[str](), set[tuple[str, str]](), set[str]()
    for scope in scopes:
        base, limited, filtered = scope.partition("!")
        if base != wanted:
            continue
        kind, _, value = filtered.partition("=")
        if not limited:
            everything = True
        elif not value or "!" in value:
            continue
        elif kind == "user":
            users.add(value)
        elif kind == "group":
            groups.add(value)
        elif kind == "server":
            user, slash, name = value.partition("/")
            if user and slash and "/" not in name:
                servers.add((user, name))
    return Reach(everything, frozenset(users), frozenset(servers), frozenset(groups))


def by_groups(scopes: Collection[str]) -> bool:
    """Whether who is in a group says what such a token may do."""
    return any(reach_of(scopes, wanted).groups for wanted in (INVOKE, MANAGE))


def invoke_scope(user: str, service: str) -> str:
    """The scope of a token that may call one endpoint and nothing else. ``user`` is the Hub's name of the owner."""
    if not user or "/" in user or "!" in user:
        raise ValueError(f"no token can be limited to services of a user called {user!r}")
    return f"{INVOKE}!server={user}/{service}"


def caller_from(
    name: str,
    kind: str,
    scopes: Collection[str],
    members: Members,
    system_user: str | None = None,
    *,
    service_name: str,
    groups: Collection[str] = (),
    made: str | None = None,
    admin: bool = False,
) -> Caller:
    """The caller whose token the Hub describes so in ``GET /user``. ``service_name`` is ours at the Hub; ``made``: when
    the Hub made this user; ``admin``: she is one of its administrators, which makes nothing more of her token.

    Who may manage: hub administrators everybody's services; whoever holds the manage scope those that it covers; and
    a user her own with any token that opens her notebook server, since what runs there acts for her anyway. A
    replica's token never manages, whatever roles the site gave to servers' tokens, and ``system_user``, who only
    holds the endpoints' tokens, owns and manages nothing.

    What is shared with a user may be used with those tokens, and with those that may access this service: a token that
    was made for something else, and only says who she is, is none of hers here. Where it calls by its scopes, those
    are her calls all the same.
    """
    person = kind == "user"
    calls = reach_of(scopes, INVOKE)
    manages, manages_all = frozenset[str](), False
    if name != system_user or not person:
        manages, manages_all = _managed(name, person, scopes, members)
    works = manages_all or bool(manages)
    whom = counted_as = None
    if person and name != system_user:
        most = Role.OPERATOR if works else Role.CALLER
        counted_as = Person(name, owner_from(name), frozenset(groups), made, most, admin)
        if not _of_a_replica(name, scopes) and (works or _visits(scopes, service_name)):
            whom = counted_as
    return Caller(
        name=owner_from(name) if person else f"service:{name}",
        manages=manages,
        manages_all=manages_all,
        audits=name != system_user and not _of_a_replica(name, scopes) and reach_of(scopes, AUDIT).everything,
        invokes=frozenset(f"{owner_from(user)}/{service}" for user, service in calls.servers if service),
        invokes_of=_owners(calls, members),
        invokes_all=calls.everything,
        home=owner_from(name) if person and name != system_user else None,
        person=whom,
        counted_as=counted_as,
    )


def _visits(scopes: Collection[str], service_name: str) -> bool:
    return "access:services" in scopes or f"access:services!service={service_name}" in scopes


def _own_servers(name: str, scopes: Collection[str]) -> set[str]:
    return {server for user, server in reach_of(scopes, "access:servers").servers if user == name}


def _of_a_replica(name: str, scopes: Collection[str]) -> bool:
    return any(server.startswith(SERVER_PREFIX) for server in _own_servers(name, scopes))


def _managed(name: str, person: bool, scopes: Collection[str], members: Members) -> tuple[frozenset[str], bool]:
    granted, servers = reach_of(scopes, MANAGE), reach_of(scopes, "access:servers")
    if not person:
        return frozenset(), granted.everything
    if _of_a_replica(name, scopes):
        return frozenset(), False
    everything = granted.everything or any(reach_of(scopes, each).everything for each in ("admin:servers", "servers"))
    opens_notebook = servers.everything or name in servers.users or bool(_own_servers(name, scopes))
    return _owners(granted, members) | (frozenset({owner_from(name)}) if opens_notebook else frozenset()), everything


def _owners(reach: Reach, members: Members) -> frozenset[str]:
    users = {*reach.users, *(user for group in reach.groups for user in members(group))}
    return frozenset(map(owner_from, users))
