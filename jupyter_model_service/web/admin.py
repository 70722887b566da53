"""What administrators see and set: parsed request → engine call → wire model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.effective import Effective
from ..core.gpu_looks import GpuLook
from ..core.limit_words import idle_told
from ..core.names import owner_from
from ..core.policy import Held
from ..core.policy_limits import LIMITS
from ..core.replica import Phase
from ..engine.views import ServiceView
from ..errors import Conflict, InvalidRequest
from ..ports import NOTHING_HELD
from ..wire import ServiceInfo, admin
from .api import service_info
from .call import Call
from .gpu_holders import gpu_holders

if TYPE_CHECKING:
    from ..engine.overrides import Overrides

__all__ = [
    "calls_today",
    "get_limits",
    "gpus_of",
    "look",
    "overview",
    "owner",
    "owners",
    "remove_limits",
    "remove_notice",
    "set_limits",
    "set_notice",
]


async def overview(call: Call) -> admin.Overview:
    seen = await look(call)
    views = call.parts.engine.services()
    today = calls_today(call)
    return admin.Overview(
        services=[_service(view, None if today is None else today.get(view.id, 0)) for view in views],
        owners=owners(call),
        gpus=gpu_holders(call, views, seen),
        gpus_at=seen.at,
        gpus_problem=seen.problem,
    )


def calls_today(call: Call) -> Mapping[str, int] | None:
    """Of each service, by its id; ``None`` where nobody counts them."""
    return None if call.parts.uses is None else call.parts.uses.today()


async def look(call: Call) -> GpuLook:
    """At the GPUs of the machine, as far as somebody sees them."""
    return GpuLook() if call.parts.looks is None else await call.parts.looks.look()


def owners(call: Call) -> list[admin.OwnerUse]:
    """Who has services, or less than others may have."""
    held = call.parts.engine.held()
    limited = call.parts.overrides.users if call.parts.overrides is not None else ()
    return [_owner(call, name, held) for name in sorted({*held, *map(owner_from, limited)})]


def owner(call: Call, name: str) -> admin.OwnerUse:
    return _owner(call, name, call.parts.engine.held())


async def get_limits(call: Call) -> admin.OwnerUse:
    user = call.path["user"]
    await _overriding(call).check(user)
    return owner(call, owner_from(user))


async def set_limits(call: Call) -> admin.OwnerUse:
    changes = call.given(admin.LimitsChange).model_dump(exclude_unset=True)
    overriding, user = _overriding(call), call.path["user"]
    await overriding.check(user)
    before = overriding.of(user)
    try:
        await overriding.change(user, changes, call.by)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    _noted(call, user, before)
    await call.parts.engine.lives.close_forbidden(owner_from(user))
    return owner(call, owner_from(user))


async def remove_limits(call: Call) -> admin.OwnerUse:
    """Also those of a user who has gone."""
    overriding, user = _overriding(call), call.path["user"]
    before = overriding.of(user)
    if before is None:
        await overriding.check(user)
    await overriding.remove(user)
    _noted(call, user, before)
    return owner(call, owner_from(user))


async def set_notice(call: Call) -> ServiceInfo:
    before = _notice(call)
    await call.parts.engine.notices.set(*call.service, call.given(admin.NoticeRequest).text, call.by)
    call.noted.before["notice"], call.noted.after["notice"] = before, _notice(call)
    return service_info(call.parts.engine.service(*call.service))


async def remove_notice(call: Call) -> ServiceInfo:
    before = _notice(call)
    await call.parts.engine.notices.remove(*call.service)
    call.noted.before["notice"], call.noted.after["notice"] = before, None
    return service_info(call.parts.engine.service(*call.service))


def _notice(call: Call) -> str | None:
    notice = call.parts.engine.service(*call.service).notice
    return None if notice is None else notice.text


def _overriding(call: Call) -> Overrides:
    if call.parts.overrides is None:
        raise Conflict("There is nobody to set limits for but you: that is for a JupyterHub.", code="no_people")
    return call.parts.overrides


def _noted(call: Call, user: str, before: Any) -> None:
    """For the audit log."""
    after = _overriding(call).of(user)
    call.noted.before["limits"] = dict(before.changes) if before is not None else {}
    call.noted.after["limits"] = dict(after.changes) if after is not None else {}


def _service(view: ServiceView, calls_today: int | None) -> admin.OverviewService:
    return admin.OverviewService(
        owner=view.owner,
        name=view.name,
        state=view.state,
        reason=view.reason,
        visibility=view.visibility,  # type: ignore[arg-type]
        replicas=view.replicas.want,
        ready=view.replicas.ready,
        gpus=gpus_of(view),
        calls_today=calls_today,
        last_call_at=view.last_call_at,
        created_at=view.created_at,
        notice=None if view.notice is None else admin.NoticeInfo(**vars(view.notice)),
    )


def gpus_of(view: ServiceView) -> int:
    """That its replicas have, or will have when they are up."""
    held = sum(len(replica.gpus or ()) for replica in view.replica_list if replica.phase != Phase.GONE.value)
    return max(held, view.gpus)


def _owner(call: Call, name: str, held: Mapping[str, Held]) -> admin.OwnerUse:
    hers = held.get(name, NOTHING_HELD)
    used = {"services": hers.services, "replicas": hers.replicas, "gpus": hers.gpus}
    holds = call.parts.rules.of(name)
    return admin.OwnerUse(
        owner=name,
        user=call.parts.rules.user(name),
        limits=list(_limits(holds, used)),
        notices=idle_told(holds),
        **used,
    )


def _limits(holds: Effective, used: dict[str, int]) -> Iterable[admin.LimitInfo]:
    for name, limit in LIMITS.items():
        value = getattr(holds.policy, name)
        if value is None or value is True:
            continue
        yield admin.LimitInfo(
            name=name,
            value=list(value) if isinstance(value, tuple) else value,
            used=used.get(limit.sum_of or ""),
            set_by=holds.set_by.get(name, ""),
        )
