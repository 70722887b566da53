"""What the audit log gets to know of a request: who asked for what, from where, and what it changed.

What changed is seen by looking at the service before and after. Of environments only names are looked at, of tokens
nothing that opens anything.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tornado.httputil import HTTPServerRequest

from ..core.audit import AuditQuery, Entry, differences, json_line, plain, who_of
from ..core.peer import ip_of
from ..core.tried import aimed
from ..errors import ModelServiceError, NotFound
from ..wire import ServiceInfo
from ..wire.audit import AuditEntry, AuditList
from .call import Call
from .download import Download
from .queries import AuditExportQuery, AuditListQuery, ServiceAuditQuery, ServiceExportQuery

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..engine.tokens import EndpointTokens

__all__ = [
    "ADDRESS_HEADER",
    "Asked",
    "address_in",
    "asked_by",
    "became",
    "denial",
    "export_audit",
    "export_service_audit",
    "exported",
    "list_audit",
    "picture",
    "read_audit",
]

#: By which the front says where a request came from; nobody else can, since it takes away what callers send.
ADDRESS_HEADER = "X-Model-Service-Address"

_OF_THE_MOMENT = {"aim", "bounds", "last", "last_at"}  # of an autoscaling: what it comes to just now


@dataclass(frozen=True)
class Asked:
    """``action`` is the operation's name, ``path`` what of its address is variable. ``tried``: what of its body may be
    told (:mod:`core.tried`); it is looked at only where the request is refused."""

    who: str
    address: str
    action: str
    path: Mapping[str, str]
    request_id: str
    tried: Callable[[], Mapping[str, Any]] = field(default=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The service in the path, ``user:alice`` where it is a user, or whatever else is there."""
        if self._of_service:
            return f"{self.path['owner']}/{self.path['name']}"
        if self.path.keys() == {"user"}:
            return f"user:{self.path['user']}"
        return "/".join(self.path.values())

    @property
    def _of_service(self) -> bool:
        return "owner" in self.path and "name" in self.path

    def attempt(self) -> dict[str, Any]:
        """What somebody wanted who is refused, and with whom or of which token. Of nobody who is known nothing: anybody
        can send anything."""
        if not self.who:
            return {}
        found = {**self.tried(), **(aimed(self.path) if self._of_service else {})}
        return {"tried": found} if found else {}

    def entry(self, status: int, code: str = "", **more: Any) -> Entry:
        given = {"target": self.key, **more}
        return Entry(
            at=time.time(),
            who=who_of(self.who),
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
    def tokens(self) -> EndpointTokens: ...


class Handling(Protocol):
    """A handler of Tornado's that has given its request an id."""

    request: HTTPServerRequest
    request_id: str | None


def asked_by(
    handler: Handling, action: str, who: str, path: Mapping[str, str], tried: Callable[[], Mapping[str, Any]] = dict
) -> Asked:
    """What ``handler`` was asked for. ``path`` with ``owner`` and ``name`` is a service, which is then looked at before
    and after."""
    address = address_in(handler.request.headers.get(ADDRESS_HEADER))
    return Asked(who, address, action, path, str(handler.request_id), tried)


def denial(asked: Asked, error: ModelServiceError) -> Entry:
    return asked.entry(error.status, error.code, after=asked.attempt() or None)


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


def became(parts: Engaged, entry: Entry, *, makes_service: bool) -> Entry:
    """Of what was begun and not noted: what there is of it now. ``makes_service``: as the operation's row has it."""
    owner, _, name = entry.target.partition("/")
    after = picture(parts, owner, name) if owner and name and "/" not in name else None
    if entry.before is None and not makes_service:
        return entry
    before, now = differences(entry.before, after)
    return dataclasses.replace(entry, before=before or None, after=now or None)


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)


# --- reading it ----------------------------------------------------------------------------------------

#: Bytes of a page, in JSON: 100 entries of 64 KiB each, which are the longest, would be 6 MiB and take the loop 50 ms.
PAGE = 512 << 10


async def list_audit(call: Call) -> AuditList:
    query = call.given(AuditListQuery)
    return await _page(call, query, _asked_for(query, query.service, query.since))


async def read_audit(call: Call) -> AuditList:
    """Of this service: not of one of the same name that was there before."""
    query = call.given(ServiceAuditQuery)
    return await _page(call, query, _of_the_service(call, query))


async def _page(call: Call, query: ServiceAuditQuery, wanted: AuditQuery) -> AuditList:
    audit = call.parts.engine.audit
    wanted = dataclasses.replace(wanted, before=query.before, limit=query.limit, newest=query.newest)
    page = await audit.page(wanted, PAGE, call.by)
    last = page.entries[-1].id if page.entries else query.after
    entries = [AuditEntry(**plain(entry)) for entry in page.entries]
    return AuditList(entries=entries, next=last, more=page.more, kept=audit.kept)


def _of_the_service(call: Call, query: ServiceExportQuery) -> AuditQuery:
    began = call.parts.engine.service(*call.service).created_at - _CREATION
    return _asked_for(query, "/".join(call.service), max(query.since or 0.0, began))


def _asked_for(query: ServiceExportQuery, target: str | None, since: float | None) -> AuditQuery:
    return AuditQuery(
        after=query.after, who=query.who, action=query.action, target=target, since=since, until=query.until
    )


_CREATION = 1.0  # seconds; its service is there before the entry of its creation is written


# --- all of it, as a file ------------------------------------------------------------------------------

_AT_ONCE = 100  # entries …
_PIECE = 256 << 10  # … and bytes of a piece


async def export_audit(call: Call) -> Download:
    query = call.given(AuditExportQuery)
    return exported(call.parts, _asked_for(query, query.service, query.since), call.by, of_everything=True)


async def export_service_audit(call: Call) -> Download:
    query = call.given(ServiceExportQuery)
    return exported(call.parts, _of_the_service(call, query), call.by)


def exported(parts: Engaged, query: AuditQuery, whose: str, *, of_everything: bool = False) -> Download:
    """All that ``query`` finds, whatever its ``limit``, the oldest first: one line of JSON for each."""
    return Download(_lines(parts, query, whose), "audit.jsonl", "application/jsonl", of_everything)


async def _lines(parts: Engaged, query: AuditQuery, whose: str) -> AsyncGenerator[bytes, None]:
    after, more = query.after, True
    while more:
        wanted = dataclasses.replace(query, after=after, limit=_AT_ONCE)
        page = await parts.engine.audit.page(wanted, _PIECE, whose)
        more, after = page.more, page.entries[-1].id if page.entries else after
        piece = b"".join(map(json_line, page.entries))
        del page  # 300 KB, which would wait with the piece until that is taken
        if piece:
            yield piece
