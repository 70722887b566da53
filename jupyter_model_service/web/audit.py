"""What the audit log gets to know of a request: who asked for what, from where, and what it changed.

What changed is seen by looking at the service before and after. Of environments only names are looked at, of tokens
nothing that opens anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ValidationError
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from ..core.audit import AuditQuery, Entry, differences, plain
from ..core.peer import ip_of
from ..errors import ModelServiceError, NotFound
from ..wire import ServiceInfo
from ..wire.audit import AuditEntry, AuditList
from .call import Answer, Call, Noted, Parts, Tokens
from .queries import AuditListQuery, ServiceAuditQuery

if TYPE_CHECKING:
    from ..engine.engine import Engine

__all__ = [
    "ADDRESS_HEADER",
    "MAKES_ROOM",
    "Asked",
    "Deed",
    "address_in",
    "asked_by",
    "became",
    "denial",
    "list_audit",
    "picture",
    "read_audit",
    "witnessed",
]

#: By which the front says where a request came from; nobody else can, since it takes away what callers send.
ADDRESS_HEADER = "X-Model-Service-Address"

# Of requests that concern no service: what of their bodies is worth a note.
_GIVEN = {"attach": ("pid", "keep"), "shutdown": ("leave_replicas",), "validate": ("folder",)}
MAKES_ROOM = ("delete_service",)  # on a disk that is full
_OF_THE_MOMENT = {"aim", "bounds", "last", "last_at"}  # of an autoscaling: what it comes to just now


@dataclass(frozen=True)
class Asked:
    """``action`` is the operation's name, ``path`` what of its address is variable."""

    who: str
    address: str
    action: str
    path: Mapping[str, str]
    request_id: str

    @property
    def key(self) -> str:
        """The service in the path, or whatever else is."""
        if "owner" in self.path and "name" in self.path:
            return f"{self.path['owner']}/{self.path['name']}"
        return "/".join(self.path.values())

    def entry(self, status: int, code: str = "", **more: Any) -> Entry:
        given = {"target": self.key, **more}
        return Entry(
            at=time.time(),
            who=self.who,
            address=self.address,
            action=self.action,
            status=status,
            code=code,
            request_id=self.request_id,
            **given,
        )


def address_in(value: str | None) -> str:
    """The caller's address; empty where it is not known."""
    ip = None if value is None else ip_of(value.encode("latin-1", "replace"))
    return "" if ip is None else str(ip)


class Engaged(Protocol):
    """What of :class:`.call.Parts` a look at a service needs."""

    @property
    def engine(self) -> Engine: ...
    @property
    def tokens(self) -> Tokens: ...


class Handling(Protocol):
    """A handler of Tornado's that has given its request an id."""

    request: HTTPServerRequest
    request_id: str | None


def asked_by(handler: Handling, action: str, who: str, **path: str) -> Asked:
    """What ``handler`` was asked for. ``path`` with ``owner`` and ``name`` is a service, which is then looked at before
    and after."""
    address = address_in(handler.request.headers.get(ADDRESS_HEADER))
    return Asked(who, address, action, path, str(handler.request_id))


def denial(asked: Asked, error: ModelServiceError) -> Entry:
    return asked.entry(error.status, error.code)


class Deed:
    """One action, from before it is done. ``call`` is set as soon as there is one; what has none says in ``noted``
    what there is to say."""

    def __init__(self, parts: Parts, asked: Asked) -> None:
        self.call: Call | None = None
        self.noted = Noted()
        self._parts = parts
        self._begun = ""
        self._asked = asked
        self._before = self._look()

    async def begin(self) -> None:
        """Right before it is done. ``Overloaded``: it must not be."""
        entry = self._asked.entry(0, target=self._aim(), before=self._before, after=self._given() or None)
        makes_room = self._asked.action in MAKES_ROOM
        self._begun = await self._parts.engine.audit.begin(entry, makes_room=makes_room)

    async def done(self, answered: Answer, status: int) -> None:
        """Written when this returns; ``Overloaded`` where that is not possible."""
        before, after, target = self._before, self._look(), self._asked.key
        if isinstance(answered, ServiceInfo) and not target:
            target = f"{answered.owner}/{answered.name}"
            after = picture(self._parts, answered.owner, answered.name)
        before, after = differences(before, after)
        noted = self.call.noted if self.call is not None else self.noted
        before = {**(before or {}), **noted.before}
        after = {**(after or {}), **noted.after, **self._given()}
        target = noted.target or target
        code = "" if status < 400 else "caller_left"
        entry = self._asked.entry(status, code, target=target, before=before or None, after=after or None)
        await self._parts.engine.audit.note(entry, self._begun)

    async def failed(self, error: Exception, models: Sequence[type[BaseModel]]) -> None:
        """As :meth:`done`, but that the error is what the caller is told, also where it cannot be written yet."""
        status, code = _outcome(error, models)
        before, after = differences(self._before, self._look())
        target = (self.call.noted if self.call is not None else self.noted).target or self._asked.key
        entry = self._asked.entry(status, code, target=target, before=before or None, after=after or None)
        with contextlib.suppress(ModelServiceError):
            await self._parts.engine.audit.note(entry, self._begun)

    def _aim(self) -> str:
        """The service, also of one that is to be made, where that is said."""
        name = getattr(self.call.body, "name", None) if self.call is not None else None
        if self._asked.action == "create_service" and name and self.call is not None:
            return f"{self.call.home()}/{name}"
        return self.noted.target or self._asked.key

    def _look(self) -> dict[str, Any] | None:
        path = self._asked.path
        return picture(self._parts, path["owner"], path["name"]) if "owner" in path and "name" in path else None

    def _given(self) -> dict[str, Any]:
        body = self.call.body if self.call is not None else None
        return {name: getattr(body, name) for name in _GIVEN.get(self._asked.action, ()) if body is not None}


@contextlib.asynccontextmanager
async def witnessed(parts: Parts, asked: Asked, status: int = 200) -> AsyncIterator[Deed]:
    """What is done within is in the audit log afterwards, however it ends, for those who are not in the table of
    operations: pages, and whoever signs in. Refused beforehand while that cannot be written. To be answered (with
    ``status``) after the block::

        async with witnessed(parts, asked_by(self, "stop_service", visitor.caller.name, owner=o, name=n), 303):
            await parts.engine.stop_service(o, n)
        self.redirect(...)

    What is denied goes to ``parts.engine.audit.denied(denial(asked, error))``."""
    deed = Deed(parts, asked)
    await deed.begin()
    try:
        yield deed
    except Exception as error:
        await deed.failed(error, ())
        raise
    await deed.done(None, status)


def _outcome(error: Exception, models: Sequence[type[BaseModel]]) -> tuple[int, str]:
    """As ``errors.refusal`` has it."""
    if isinstance(error, ModelServiceError):
        return error.status, error.code
    if isinstance(error, ValidationError) and error.title in {model.__name__ for model in models}:
        return 400, "invalid_request"
    if isinstance(error, HTTPError) and error.status_code < 500:
        return error.status_code, "invalid_request"
    return 500, "internal"


def picture(parts: Engaged, owner: str, name: str) -> dict[str, Any] | None:
    """What of a service is for its owner to change; ``None`` where there is none."""
    try:
        view = ServiceInfo.model_validate(dataclasses.asdict(parts.engine.service(owner, name)))
    except NotFound:
        return None
    found = {
        "id": view.id,
        "public": view.public,
        "replicas": view.replicas.want,
        "stopped": view.state == "stopped",
        "deleting": view.state == "deleting",
        "revision": view.revision,
        "autoscaling": None if view.autoscaling is None else view.autoscaling.model_dump(exclude=_OF_THE_MOMENT),
        "origins": list(parts.engine.origins.of(owner, name)),
        "shares": {
            f"{share.kind}:{share.name}": {"role": share.role.word, "limits": _plain(share.limits)}
            for share in parts.engine.sharings.of(owner, name)
        },
        "tokens": {
            token.id: {
                "name": token.name,
                "expires_at": token.expires_at,
                "limits": _plain(token.limits),
                "rules": [dataclasses.asdict(rule) for rule in token.rules],
            }
            for token in parts.tokens.of(view.id)
        },
    }
    active = next((each for each in view.revisions if each.number == view.revision), None)
    if active is not None:
        found |= {
            "folder": active.folder,
            "image": active.image,
            "environment": list(active.environment),
            "mounts": [mount.model_dump() for mount in active.mounts],
            "resources": active.resources.model_dump(),
        }
    return found


def became(parts: Engaged, entry: Entry) -> Entry:
    """Of what was begun and not noted: what there is of it now."""
    owner, _, name = entry.target.partition("/")
    after = picture(parts, owner, name) if owner and name and "/" not in name else None
    if entry.before is None and entry.action != "create_service":
        return entry
    before, now = differences(entry.before, after)
    return dataclasses.replace(entry, before=before or None, after=now or None)


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)


# --- reading it ----------------------------------------------------------------------------------------


async def list_audit(call: Call) -> AuditList:
    query = call.given(AuditListQuery)
    return await _found(call, query, target=query.service, since=query.since, who=query.who)


async def read_audit(call: Call) -> AuditList:
    """Of this service: not of one of the same name that was there before."""
    query, view = call.given(ServiceAuditQuery), call.parts.engine.service(*call.service)
    since = max(query.since or 0.0, view.created_at - _CREATION)
    return await _found(call, query, target="/".join(call.service), since=since, who=query.who)


_CREATION = 1.0  # seconds; its service is there before the entry of its creation is written


async def _found(
    call: Call, query: ServiceAuditQuery, *, target: str | None, since: float | None, who: str | None
) -> AuditList:
    entries = await call.parts.engine.audit.find(
        AuditQuery(
            after=query.after,
            limit=query.limit,
            newest=query.newest,
            who=who,
            action=query.action,
            target=target,
            since=since,
            until=query.until,
        )
    )
    last = entries[-1].id if entries else query.after
    found = [AuditEntry(**plain(entry)) for entry in entries]
    return AuditList(entries=found, next=last, kept=call.parts.engine.audit.kept)
