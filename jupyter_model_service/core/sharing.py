"""With whom a service is shared, and what that lets a person do. Pure.

A person is one by what the Hub says of a token: her name, her groups, and when she was made. What is shared with a name
is hers only while she is the one it was shared with: whoever gets the name after her has nothing of it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from .limits import Limits, limits_told

__all__ = ["NOBODY", "Person", "Role", "Share", "ShareKind", "Sharing", "role_from"]

ShareKind = Literal["user", "group"]


class Role(enum.IntEnum):
    """What somebody may do with one service; each may all that those before it may."""

    CALLER = 1  # call its endpoint
    VIEWER = 2  # see how it is: state, events, logs, figures
    OPERATOR = 3  # scale, stop, start, restart, roll back, autoscale; nothing that runs other code
    OWNER = 4  # everything, the tokens and the shares among it

    @property
    def word(self) -> str:
        return self.name.lower()


def role_from(word: str) -> Role:
    """The inverse of :attr:`Role.word`; ``ValueError`` with one sentence for anything else."""
    try:
        return Role[word.upper()]
    except KeyError:
        raise ValueError(f"{word!r} is no role: there are {', '.join(role.word for role in Role)}.") from None


@dataclass(frozen=True)
class Person:
    """Whoever a token acts for. ``name`` is the Hub's, ``owner`` stands for it in addresses. ``made``: when the Hub
    made this user, in the Hub's words, ``None`` where it did not say. ``most`` is what this token can be worth at most,
    whatever is shared with the person: one made for calling does not come to more by a share. ``admin``: she is an
    administrator of the Hub, whatever this token may do."""

    name: str
    owner: str
    groups: frozenset[str] = frozenset()
    made: str | None = None
    most: Role = Role.CALLER
    admin: bool = False


@dataclass(frozen=True)
class Share:
    """``made`` is that of the user whom it is for (``Person.made``), ``None`` while she has not come yet. ``limits``
    are for each person whom it lets in: every member of a group has them for herself. ``created_by`` is the name of who
    shared."""

    kind: ShareKind
    name: str
    role: Role = Role.CALLER
    limits: Limits | None = None
    made: str | None = None
    created_at: float = 0.0
    created_by: str = ""

    @cached_property
    def set_by(self) -> str:
        """Whose limits they are, in the words after "set"; asked for each call."""
        whom = f"for the group {self.name}" if self.kind == "group" else f"for {self.name}"
        return f"by {self.created_by} {whom}" if self.created_by else whom

    def former(self, made: str | None) -> bool:
        """Whether it is for somebody who was deleted, where the user who has her name now was ``made`` then; ``None``
        where that is not known."""
        return self.kind == "user" and self.made is not None and made is not None and made != self.made

    @property
    def told(self) -> str:
        """Of a group, the beginning of a sentence."""
        limited = f", each with {limits_told(self.limits)}," if self.limits is not None else ""
        return f"It is shared as {self.role.word}{limited} with the group {self.name}"


@dataclass(frozen=True)
class Sharing:
    """All shares of one service, by the Hub's names of users and of groups. A value: a change is another one."""

    users: Mapping[str, Share] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, Share] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return bool(self.users) or bool(self.groups)

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from self.users.values()
        yield from self.groups.values()

    def get(self, kind: ShareKind, name: str) -> Share | None:
        return (self.users if kind == "user" else self.groups).get(name)

    def with_share(self, share: Share) -> Sharing:
        """In the place of one with the same name, if there is one."""
        if share.kind == "user":
            return Sharing({**self.users, share.name: share}, self.groups)
        return Sharing(self.users, {**self.groups, share.name: share})

    def without(self, kind: ShareKind, name: str) -> Sharing:
        if kind == "user":
            return Sharing({key: share for key, share in self.users.items() if key != name}, self.groups)
        return Sharing(self.users, {key: share for key, share in self.groups.items() if key != name})

    def _own(self, person: Person) -> Share | None:
        """The share by her name, where it is hers and not that of a former user who had it."""
        share = self.users.get(person.name)
        return share if share is not None and share.made in (None, person.made) else None

    def role(self, person: Person) -> Role | None:
        """The highest that is shared with her; ``None`` where nothing is. ``Person.most`` is not looked at."""
        own = self._own(person)
        best = None if own is None else own.role
        if self.groups:
            for group in person.groups:
                share = self.groups.get(group)
                if share is not None and (best is None or share.role > best):
                    best = share.role
        return best

    def lets_in(self, person: Person) -> bool:
        """Whether there is a :meth:`role`. Asked for each call, so that twenty groups cost no more than one."""
        if self._own(person) is not None:
            return True
        return bool(self.groups) and not self.groups.keys().isdisjoint(person.groups)

    def share_for(self, person: Person) -> Share | None:
        """The share whose limits are hers: her own, else that of her groups which lets her call most."""
        own = self._own(person)
        if own is not None:
            return own
        found = [share for group in sorted(person.groups) if (share := self.groups.get(group)) is not None]
        return max(found, key=lambda share: _width(share.limits), default=None)

    def widened(self, share: Share) -> tuple[str, ...]:
        """The groups whose limits do not hold for whoever ``share`` is for, since it goes before theirs and lets her
        call more."""
        if share.kind != "user":
            return ()
        mine = _width(share.limits)
        return tuple(each.name for each in self.groups.values() if mine > _width(each.limits))

    def why(self, person: Person) -> tuple[str, ...]:
        """Each share that is for her, and each of her name that is not, in one sentence."""
        said: list[str] = []
        own = self._own(person)
        if own is not None:
            limited = f", {limits_told(own.limits)}" if own.limits is not None else ""
            said.append(f"It is shared with {person.name} as {own.role.word}{limited}.")
        elif person.name in self.users:
            said.append(
                f"It was shared with another user of the name {person.name}, who was deleted: take that back, and "
                "share it again if it is for this one."
            )
        for group in sorted(person.groups):
            if (share := self.groups.get(group)) is not None:
                said.append(f"{share.told}, which {person.name} is in.")
        return tuple(said)


NOBODY = Sharing()


def _width(limits: Limits | None) -> tuple[float, float, float]:
    """By what a day allows first: that is what people share out."""
    if limits is None:
        return (float("inf"),) * 3
    each = (limits.calls_per_day, limits.calls_per_second, limits.in_flight)
    per_day, per_second, in_flight = (float("inf") if limit is None else float(limit) for limit in each)
    return per_day, per_second, in_flight
