"""From the Hub's address, where it is known who somebody is, to the host of a service, where it is not: a code that is
good once takes her there (:mod:`core.visits`)."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from ..core.access import may_visit
from ..core.hosts import Hosts
from ..core.routing import RoutingTable
from ..core.visits import ENTER, Codes, Grant, safe_next
from ..errors import InvalidRequest, NotFound
from ..ports import Clock
from .page import Answer, PageCall, Redirect

__all__ = ["Doors", "sign_in"]

_STATE = re.compile(r"[0-9a-f]{64}")
_LATE = 1.0  # seconds after its end in which a code that nobody took is forgotten: a timer may be early by a little


@dataclass(frozen=True)
class Doors:
    """``codes`` are what the front takes."""

    routing: RoutingTable
    hosts: Hosts
    codes: Codes
    clock: Clock


async def sign_in(call: PageCall) -> Answer:
    """To whom the service is not open it is not there, as one of which nobody has heard."""
    doors, query = call.doors, call.query
    label, state = query.get("service", ""), query.get("state", "")
    endpoint = doors.routing.labelled(label) if doors is not None else None
    if doors is None or endpoint is None or not may_visit(call.person.caller, endpoint):
        raise NotFound("There is no service at this address that you may use.")
    if not _STATE.fullmatch(state):
        raise InvalidRequest("This sign-in did not begin at a page of the service: open that again.")
    code = secrets.token_urlsafe(32)
    _give(doors, code, Grant(endpoint.service_id, state, call.person.token))
    await call.note(call.person.caller, 303, endpoint.key)
    place = urlencode({"code": code, "next": safe_next(query.get("next", ""))})
    return Redirect(f"{doors.hosts.origin(endpoint.label)}{ENTER.decode()}?{place}")


def _give(doors: Doors, code: str, grant: Grant) -> None:
    """Whether she comes with it or not, her token stays here no longer than it is good."""
    doors.codes.give(code, grant, doors.clock.monotonic())
    later = doors.codes.seconds + _LATE
    asyncio.get_running_loop().call_later(later, lambda: doors.codes.forget(doors.clock.monotonic()))
