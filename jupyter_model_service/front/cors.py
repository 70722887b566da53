"""Calls of pages of other origins, to a service whose owner lists some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.cors import VARY, comes_from, lines_for, preflight
from ..core.message import Refusal
from . import own_host

if TYPE_CHECKING:
    from ..core.routing import Endpoint
    from .call import Call

__all__ = ["FOREIGN_PAGE", "answered", "is_foreign", "of_refusal"]

FOREIGN_PAGE = Refusal(
    403,
    "origin_not_allowed",
    "Pages of this origin may open no WebSocket here: the service's owner says whose may (`access NAME --origin`).",
)


def answered(call: Call, endpoint: Endpoint) -> bool:
    """Whether it was a browser's question, which has no token and is none of the model's business. Of anything else
    the answer says, whoever gives it, which page may read it."""
    head = call.head
    if head.method == b"OPTIONS" and (asked := preflight(endpoint.origins, head.headers)) is not None:
        call.applied = asked.lines
        call.answer(b"", allow=asked.method)
        return True
    call.applied = lines_for(endpoint.origins, head.headers)
    return False


def is_foreign(call: Call, endpoint: Endpoint | None) -> bool:
    """Whether a page of an origin that the service's owner does not list opens a WebSocket. Browsers ask nobody about
    these, and withhold nothing of what comes: what holds for its other calls holds for them. Where there is no such
    service nobody lists any."""
    origins = () if endpoint is None else endpoint.origins
    return not comes_from(origins, own_host.called(call), call.head)


def of_refusal(call: Call) -> bytes:
    """What a refusal says of it. That there is a service with a list is not for somebody to know who may not call."""
    return b"" if call.endpoint is None and call.applied == VARY else call.applied
