"""One row of the table of operations, and who may do it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ..core.sharing import Role
from .call import Answer, Call
from .queries import NoQuery

__all__ = ["Access", "Route", "change_of", "of_service"]


class Access(enum.Enum):
    """Who may: everything is refused unless the row says otherwise."""

    ANYONE = "anyone"
    PERSON = "person"  # somebody, or a caller that manages services: no endpoint token
    MANAGER = "manager"  # a caller that manages at least one owner's services; endpoint tokens do not
    CALLER = "caller"  # from here on: of the service in the path, by its owner or by what is shared (core.sharing.Role)
    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"  # a caller that manages the {owner} in the path
    AUDITOR = "auditor"  # a caller that may read the audit log of everything, as only an administrator may besides
    ADMIN = "admin"  # a caller that manages everybody's services; only where a gateway has several users

    @property
    def role(self) -> Role | None:
        """The least that a caller has to be for the service in the path; ``None`` where that is not asked."""
        return _ROLES.get(self)


_ROLES = {
    Access.CALLER: Role.CALLER,
    Access.VIEWER: Role.VIEWER,
    Access.OPERATOR: Role.OPERATOR,
    Access.OWNER: Role.OWNER,
}


Handler = Callable[[Call], Awaitable[Answer]]
Model = type[BaseModel] | None


@dataclass(frozen=True)
class Route:
    """One operation. ``path`` has no leading slash: it lies below the prefix that the gateway is served at. ``name``
    is what the API's document and the audit log of years call it, whatever becomes of its function's name; those that
    there are stand in ``docs/operations.md``.

    ``statuses`` are those besides the ones that ``errors_of`` adds for every route of that kind. A route with
    ``media_type`` other than JSON has no ``answer`` model; ``handler`` is ``None`` for the event stream only.

    ``shared``: who may in the place of ``access`` where the gateway has several users, and ``opens`` that anyone may
    where that is asked for. For the audit log: of one that concerns no service, ``told`` are the fields of its body
    that are worth a note; ``makes_service``: of the name in its body; ``makes_room``: it is done on a full disk, too.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler | None
    access: Access = Access.OWNER
    request: Model = None
    query: type[BaseModel] = NoQuery
    answer: Model = None
    status: int = 200
    statuses: tuple[int, ...] = ()
    abandoned: bool = False  # given up when the caller leaves
    media_type: str = "application/json"
    shared: Access | None = None
    opens: bool = False
    told: tuple[str, ...] = ()
    makes_service: bool = False
    makes_room: bool = False

    @property
    def done_by(self) -> Handler:
        """``TypeError`` for the event stream, which does nothing."""
        if self.handler is None:
            raise TypeError(f"{self.name} is no operation that is done")
        return self.handler

    @property
    def changes(self) -> bool:
        """Whether it is an action, of which the audit log has an entry."""
        return self.method not in ("GET", "HEAD")

    def errors_of(self) -> tuple[int, ...]:
        """Every error status that this operation may answer with."""
        found = {400, 500, *self.statuses}
        if self.access is not Access.ANYONE:
            found |= {401, 403, 429, 503}  # 503: the identity or the database cannot be asked
        if "{" in self.path:
            found.add(404)
        if self.request is not None:
            found |= {413, 415}
        return tuple(sorted(found))


_SERVICE = "api/v1/services/{owner}/{name}"


def of_service(method: str, rest: str, name: str, handler: Handler, summary: str, answer: Model, **more: Any) -> Route:
    """Something about one service."""
    return Route(method, _SERVICE + rest, name, summary, handler, answer=answer, **more)


def change_of(method: str, rest: str, name: str, handler: Handler, summary: str, answer: Model, **more: Any) -> Route:
    """It may contradict what the service is, or is doing."""
    return of_service(method, rest, name, handler, summary, answer, **{"statuses": (409,), **more})
