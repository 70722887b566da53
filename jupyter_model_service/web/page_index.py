"""What the page has for whom: an administrator all services, their owners and the GPUs, everybody else what is hers and
what is shared with her. Plain data for ``templates/index.html``, which escapes all of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..core.gpu_looks import GpuLook
from ..core.limit_words import limit_told, limit_words, limit_written
from ..core.policy_limits import NUMBERS
from ..core.sentences import counted, in_bytes
from ..core.sharing import Role
from ..engine.views import ServiceView
from ..wire.admin import GpuHolder, OwnerUse
from . import admin
from .call import Call
from .gpu_holders import gpu_holders
from .page import Html, PageCall
from .rendered import moment, rendered

__all__ = ["index", "styles"]

MOST = 200  # rows of a table; who has more looks for some


@dataclass(frozen=True)
class Row:
    """One service, as far as she who looks may know it. ``role`` is hers, in one word."""

    owner: str
    name: str
    state: str
    reason: str
    role: str
    access: str
    replicas: str
    gpus: int
    calls: str
    last_call: str
    endpoint: str
    page: str
    notice: str
    notice_by: str
    stops: bool = False
    starts: bool = False
    closes: bool = False

    @property
    def key(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True)
class Limit:
    word: str
    value: str
    set_by: str


@dataclass(frozen=True)
class Field:
    """Of the form that takes from a user what she may have; ``value`` is what was taken so."""

    name: str
    word: str
    value: str


@dataclass(frozen=True)
class Owner:
    user: str
    has: str
    limits: Sequence[Limit]
    notices: Sequence[str]
    fields: Sequence[Field]
    no_public: bool


@dataclass(frozen=True)
class GpuRow:
    id: str
    kind: str
    holder: str
    user: str
    server: str
    busy: str
    memory: str


@dataclass(frozen=True)
class Index:
    """``hidden``: rows beyond :data:`MOST`. ``anybody`` is for the form for who is not in the list. ``gpus`` is
    ``None`` for whom they are not."""

    who: str
    admin: bool
    audits: bool
    xsrf: str
    find: str
    now: str
    services: Sequence[Row]
    hidden: int
    owners: Sequence[Owner]
    hidden_owners: int
    anybody: Owner
    gpus: Sequence[GpuRow] | None
    gpus_told: Sequence[str]


async def index(call: PageCall) -> Html:
    caller = call.caller
    inner = Call(call.parts, caller, {})
    find = call.query.get("find", "").strip()[:100]
    seen = await admin.look(inner) if caller.manages_all else None
    views = call.parts.engine.services()
    found = [
        (view, role) for view in views if find in view.key and (role := inner.role(view.owner, view.name)) is not None
    ]
    if caller.manages_all:
        owners = [use for use in admin.owners(inner) if find in use.user or find in use.owner]
    else:
        owners = [admin.owner(inner, caller.name)]
    today, person = admin.calls_today(inner), call.person.caller.person
    shown = Index(
        who=person.name if person is not None else caller.name,
        admin=caller.manages_all,
        audits=call.person.reads_audit,
        xsrf=call.person.xsrf,
        find=find,
        now=moment(datetime.now(timezone.utc).timestamp()),
        services=[_row(view, role, None if today is None else today.get(view.id, 0)) for view, role in found[:MOST]],
        hidden=max(0, len(found) - MOST),
        owners=[_owner(inner, use) for use in owners[:MOST]],
        hidden_owners=max(0, len(owners) - MOST),
        anybody=Owner("", "", [], [], _fields({}), False),
        gpus=None if seen is None else [_gpu(each) for each in gpu_holders(inner, views, seen)],
        gpus_told=[] if seen is None else _told(seen),
    )
    return rendered("index.html", shown)


async def styles(call: PageCall) -> Html:
    return Html(_styles(), kind="text/css; charset=utf-8")


def _row(view: ServiceView, role: Role, calls: int | None) -> Row:
    """Who may only call it sees where, and whether it serves."""
    sees = role >= Role.VIEWER
    notice = view.notice if sees else None
    stopped = view.state == "stopped"
    runs = role >= Role.OPERATOR and view.state != "deleting"
    return Row(
        owner=view.owner,
        name=view.name,
        state=view.state,
        reason=(view.reason or "") if sees else "",
        role=role.word,
        access=view.visibility if sees else "shared",
        replicas=f"{view.replicas.ready} of {view.replicas.want}" if sees else "",
        gpus=admin.gpus_of(view) if sees else 0,
        calls=f"{calls:,}" if sees and calls is not None else "",
        last_call=moment(view.last_call_at) if sees else "",
        endpoint=view.endpoint,
        page=view.page or "",
        notice=notice.text if notice is not None else "",
        notice_by=notice.by if notice is not None else "",
        stops=runs and not stopped,
        starts=runs and stopped,
        closes=role >= Role.OWNER and view.visibility == "public" and view.state != "deleting",
    )


def _owner(call: Call, use: OwnerUse) -> Owner:
    counts = ((use.services, "service"), (use.replicas, "replica"), (use.gpus, "GPU"))
    overriding = call.parts.overrides
    override = overriding.of(use.user) if overriding is not None else None
    taken = override.changes if override is not None else {}
    return Owner(
        user=use.user,
        has=", ".join(counted(count, what) for count, what in counts),
        limits=[
            Limit(
                limit_words(each.name),
                limit_told(each.name, each.value, each.used),
                each.set_by or "for all users",
            )
            for each in use.limits
        ],
        notices=use.notices,
        fields=_fields(taken),
        no_public=taken.get("allow_public") is False,
    )


def _fields(taken: Mapping[str, object]) -> list[Field]:
    return [
        Field(each.name, each.words, limit_written(each.name, taken[each.name]) if each.name in taken else "")
        for each in NUMBERS
    ]


def _told(seen: GpuLook) -> list[str]:
    since = f"As of {moment(seen.at)}." if seen.at is not None else "Only what replicas say that they have is known."
    return [since, seen.problem] if seen.problem else [since]


def _gpu(gpu: GpuHolder) -> GpuRow:
    memory = ""
    if gpu.memory_total is not None:
        total = in_bytes(gpu.memory_total)
        memory = total if gpu.memory_used is None else f"{in_bytes(gpu.memory_used)} of {total}"
    return GpuRow(
        id=gpu.id,
        kind=gpu.name,
        holder=gpu.label if gpu.holder != "nobody" else "free",
        user=gpu.user or "",
        server=gpu.server or "",
        busy="" if gpu.utilization is None else f"{gpu.utilization:.0f} %",
        memory=memory,
    )


@functools.cache
def _styles() -> bytes:
    return Path(__file__).with_name("templates").joinpath("page.css").read_bytes()
