"""Who may call a service in one word: what private, shared and public mean where a service is made or changed."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import wire
from ..errors import Conflict, InvalidRequest
from .call import Call

__all__ = ["may_become", "public_of", "taken_back"]

_SHARE = "`jupyter model-service share NAME --user USER`"


def public_of(body: wire.CreateRequest | wire.UpdateRequest) -> bool | None:
    """Whether callers shall need no token; ``None`` where nothing is said.
    ``InvalidRequest`` where two fields differ."""
    if body.visibility is None:
        return body.public
    public = body.visibility == "public"
    if "public" in body.model_fields_set and body.public not in (None, public):
        raise InvalidRequest(
            f"visibility says {body.visibility} and public says {str(body.public).lower()}: give one of them, "
            "visibility by preference."
        )
    return public


def may_become(call: Call, body: wire.UpdateRequest) -> bool | None:
    """As :func:`public_of`; ``Conflict`` where it is to be shared and there is nobody whom it is shared with."""
    if body.visibility == "shared":
        if not call.parts.info().people:
            raise Conflict(
                "There is nobody to share with but you: here a service is private, where whoever has a token may call "
                "it, or public.",
                code="no_people",
            )
        if not call.parts.engine.sharings.of(*call.service):
            raise Conflict(
                f"{'/'.join(call.service)} is shared with nobody yet: say with whom, by {_SHARE}, and it is shared.",
                code="shared_with_nobody",
            )
    return public_of(body)


async def taken_back(call: Call, view: Any) -> Any:
    """``view``, of a service that nobody shares any more, with a word on with whom it was shared."""
    gone = await call.parts.engine.sharings.clear(*call.service)
    now = call.parts.engine.service(*call.service)
    told = [f"It is not shared any more with {', '.join(gone)}."] if gone else []
    return dataclasses.replace(view, visibility=now.visibility, notices=[*view.notices, *told])
