"""Who may do what with a service, and why, in sentences for its owner: as :mod:`access` decides it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .access import at_our_pages, role_of
from .limits import limits_told
from .names import owner_from
from .sharing import Person, Role, Sharing

__all__ = ["Explained", "always_told", "explained"]


@dataclass(frozen=True)
class Explained:
    """``role`` is hers by her own name, ``None`` for nothing; ``perhaps``: what she is if she is in one of the groups
    that ``why`` tells, where that is more."""

    role: Role | None
    perhaps: Role | None
    why: tuple[str, ...]


def always_told(owner: str, name: str, *, people: bool, tokens: bool, public: bool) -> tuple[str, ...]:
    """Who may besides those with whom it is shared. ``people``: there are users of a Hub; ``tokens``: it has some."""
    said = [f"{owner} owns {owner}/{name} and may do everything with it."]
    if public:
        said.append("It is public: anybody may call it.")
    if people:
        said.append("Administrators of the hub may do everything with every service.")
    if tokens:
        said.append("Whoever has one of its tokens may call it, as far as the token goes.")
    if people:
        said.append("Whoever the administrator gave a scope for it may do what the scope says.")
    return tuple(said)


def explained(user: str, made: str | None, owner: str, name: str, sharing: Sharing, *, public: bool) -> Explained:
    """What a user of that name, whom the Hub ``made`` then (``Person.made``), may do herself, by what is known without
    the Hub: which groups she is in is the Hub's to tell, and not to each owner."""
    person = Person(user, owner_from(user), made=made)
    role = role_of(at_our_pages(person), owner, name, sharing)
    if role is Role.OWNER:
        return Explained(role, None, (f"{user} owns {owner}/{name}.",))
    why, share = list(sharing.why(person)), sharing.get("user", user)
    why += [f"{each.told}: so it is if {user} is in it." for each in sharing.groups.values()]
    if role is not None and share is not None and any(each.limits for each in sharing.groups.values()):
        why.append(
            f"What is shared with {user} by name goes before, with {limits_told(share.limits)}: limits of groups do "
            f"not hold for {user}."
        )
    if public:
        why.append("It is public: anybody may call it.")
        role = role or Role.CALLER
    in_all = role_of(at_our_pages(replace(person, groups=frozenset(sharing.groups))), owner, name, sharing)
    more = in_all if in_all is not None and (role is None or in_all > role) else None
    return Explained(role, more, tuple(why or [f"Nothing of it is shared with {user}."]))
