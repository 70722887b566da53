"""The operations on who may do what with a service: parsed request → engine call → wire model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, cast

from .. import wire
from ..core.access_words import always_told, explained
from ..core.effective import who_says
from ..core.limits import Limits, limits_told
from ..core.sharing import Share, ShareKind, Sharing, role_from
from ..errors import Conflict, NotFound
from ..wire import access
from .call import Call
from .queries import AccessQuery

__all__ = ["get_access", "set_origins", "share_service", "unshare_service"]


async def get_access(call: Call) -> access.AccessInfo:
    return await _access(call, call.given(AccessQuery).user)


async def _access(call: Call, user: str | None) -> access.AccessInfo:
    owner, name = call.service
    view, sharing = call.parts.engine.service(owner, name), call.parts.engine.sharings.of(owner, name)
    people, holds = call.parts.info().people, call.parts.rules.of(owner)
    tokens = bool(call.parts.tokens.of(view.id))
    return access.AccessInfo(
        visibility=cast(access.Visibility, view.visibility),
        public_allowed=holds.policy.allow_public,
        set_by=None if holds.policy.allow_public else who_says(holds, "allow_public", call.parts.rules.user(owner)),
        shares=[_listed(call, view.id, share) for share in sharing],
        origins=list(call.parts.engine.origins.of(owner, name)),
        always=list(always_told(owner, name, people=people, tokens=tokens, public=view.public)),
        person=None if user is None else await _person(call, user, sharing, public=view.public),
    )


async def share_service(call: Call) -> access.ShareInfo:
    body, (kind, whom) = call.given(access.ShareRequest), _whom(call)
    former = call.parts.engine.sharings.of(*call.service).get(kind, whom)
    share = await call.parts.engine.sharings.set(
        *call.service,
        kind,
        whom,
        role=role_from(body.role),
        limits=None if body.limits is None else Limits(**body.limits.model_dump()),
        by=call.by,
    )
    widened = call.parts.engine.sharings.of(*call.service).widened(share)
    return _info(share).model_copy(update={"notices": [*_reset(former, share), *_widened(share.name, widened)]})


def _reset(former: Share | None, share: Share) -> Iterator[str]:
    """What was not said anew is the default: who meant to change the one half may not have meant to lose the other."""
    if former is None:
        return
    was, limits = [], former.limits
    if former.role > share.role:
        was.append(f"as {former.role.word}")
    if limits is not None and any(
        getattr(limits, each.name) is not None and getattr(share.limits, each.name, None) is None
        for each in dataclasses.fields(limits)
    ):
        was.append(f"with {limits_told(limits)}")
    if was:
        whom = share.name if share.kind == "user" else f"the group {share.name}"
        yield (
            f"So far it was shared with {whom} {' '.join(was)}; now as {share.role.word}, with "
            f"{limits_told(share.limits)}: what is not said anew does not stay."
        )


def _widened(user: str, groups: tuple[str, ...]) -> Iterator[str]:
    """Which groups she is in is not said."""
    if groups:
        of = f"the group {groups[0]}" if len(groups) == 1 else f"the groups {', '.join(groups)}"
        yield (
            f"What is shared with {user} by name goes before what is shared with groups: if {user} is in {of}, the "
            f"limits there do not hold for {user} any more."
        )


async def unshare_service(call: Call) -> None:
    await call.parts.engine.sharings.remove(*call.service, *_whom(call))


async def set_origins(call: Call) -> access.AccessInfo:
    await call.parts.engine.origins.set(*call.service, call.given(access.OriginsRequest).origins)
    return await _access(call, None)


def _whom(call: Call) -> tuple[ShareKind, str]:
    if not call.parts.info().people:
        raise Conflict(
            "There is nobody to share with but you: that is for a JupyterHub, where there are users and groups. Here "
            "whoever has a token may call: `jupyter model-service generate-token` makes one.",
            code="no_people",
        )
    kind = call.path["kind"]
    if kind not in ("user", "group"):
        raise NotFound(f"A service is shared with a user or a group, not with a {kind}.")
    return cast(ShareKind, kind), call.path["whom"]


def _info(share: Share) -> access.ShareInfo:
    limits = None if share.limits is None else wire.LimitsInfo(**dataclasses.asdict(share.limits))
    role: Any = share.role.word
    return access.ShareInfo(
        kind=share.kind,
        name=share.name,
        role=role,
        limits=limits,
        created_at=share.created_at,
        created_by=share.created_by,
    )


def _listed(call: Call, service_id: str, share: Share) -> access.ShareInfo:
    """With the calls of one user. Of a group they would tell who is in it: ``list_uses`` says who called."""
    info = _info(share)
    if share.kind != "user":
        return info
    more: dict[str, Any] = {"former": call.parts.engine.sharings.former(share)}
    if call.parts.uses is not None:
        more["calls_today"], more["last_call_at"] = call.parts.uses.person_today(service_id, share.name, share.made)
    return info.model_copy(update=more)


async def _person(call: Call, user: str, sharing: Sharing, *, public: bool) -> access.PersonAccess:
    share = sharing.get("user", user)
    made = None if share is None else share.made
    if made is not None:  # she may have been deleted, and another one have her name; a silent Hub tells nothing of that
        made = await call.parts.engine.sharings.made(user) or made
    found = explained(user, made, *call.service, sharing, public=public)
    words: dict[str, Any] = {"role": found.role and found.role.word, "perhaps": found.perhaps and found.perhaps.word}
    return access.PersonAccess(name=user, **words, why=list(found.why))
