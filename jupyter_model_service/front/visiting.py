"""People who open a private service's pages: they sign in with the Hub and come back to the service's host with a code,
which becomes a cookie of that host alone. It signs its owner in there for whatever the page itself calls.

A program that sends a token has nothing to do with any of this.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from ..core.hosts import Hosts, label_of
from ..core.message import Refusal
from ..core.names import is_service_name
from ..core.visits import (
    ENTER,
    NONCE_COOKIE,
    VISIT_COOKIE,
    Codes,
    cookie,
    safe_next,
    state_of,
    visit_said,
    wants_page,
)
from ..engine.callers import UNKNOWN_TOKEN
from ..ports import Clock, Visit, Visits
from .asking import UNAUTHENTICATED, address_of
from .own_host import called

if TYPE_CHECKING:
    from ..core.access import Caller
    from ..core.routing import Endpoint
    from .call import Call

__all__ = ["Visiting", "admit", "entered", "over", "without_token"]

LIFE = 12 * 3600.0  # seconds of a visit, and less where its owner signs out at the Hub
_NONCE_LIFE = 600  # seconds in which somebody signs in
_MOST_FIELDS = 10  # of the query that comes with a code
_NONCE = re.compile(r"[\w-]{43}", re.ASCII)
_FLAGS = "Path=/; Secure; HttpOnly; SameSite=Lax"

_OVER = Refusal(
    400,
    "sign_in_expired",
    "This sign-in is good no more, or did not begin in this browser: open the service's page again.",
)


@dataclass(frozen=True, slots=True)
class Visiting:
    """``sign_in`` is the address of our page at the Hub by which people come here, ``codes`` what it gives them."""

    visits: Visits
    codes: Codes
    hosts: Hosts
    clock: Clock
    sign_in: str


def without_token(call: Call) -> None:
    """At the address by path, where a page has no origin of its own: whoever opens one there is sent to where it has,
    or told what that takes. It is the same whether there is such a service or not."""
    front = call.front
    if call.named is not None or not wants_page(call.head):
        call.refuse(UNAUTHENTICATED)
    elif front.visiting is not None and not call.own_host and is_service_name(call.name):
        origin = front.visiting.hosts.origin(label_of(call.owner, call.name))
        call.redirect(f"{origin}{_place(call)}".encode(), 303)
    else:
        call.refuse(Refusal(401, "unauthenticated", front.settings.page_help or UNAUTHENTICATED.message))


def entered(call: Call, visiting: Visiting) -> bool:
    """Whether it came with a code, or what looks like one: that is no business of the model's. Where there is no
    service it is as where a code is none."""
    path, _, query = call.target.partition(b"?")
    if path != ENTER:
        return False
    endpoint, head = call.front.routing.get(call.owner, call.name), call.head
    said = parse_qs(query.decode("latin-1")) if query.count(b"&") < _MOST_FIELDS else {}
    code, place = said.get("code", [""])[-1], safe_next(said.get("next", ["/"])[-1])
    address, callers = address_of(call), call.front.callers
    if not wants_page(head):
        call.refuse(_OVER)
        return True
    if (refusal := callers.too_many(address, code)) is not None:
        call.refuse(refusal)
        return True
    token = None
    if endpoint is not None:
        nonce, at = cookie(head, NONCE_COOKIE), visiting.clock.monotonic()
        token = visiting.codes.take(code, service_id=endpoint.service_id, nonce=nonce, now=at)
    if token is not None and endpoint is not None:
        sealed = visiting.visits.seal(endpoint.service_id, token, visiting.clock.now() + LIFE)
        call.redirect(place.encode(), 303, (_set(VISIT_COOKIE, sealed, int(LIFE)), _set(NONCE_COOKIE, "", 0)))
    elif endpoint is not None and _visit(call, endpoint, visiting) is not None:
        call.redirect(place.encode(), 303)  # two windows of hers came back, and the other was first
    else:
        callers.wrong(address, code)
        call.refuse(_OVER)
    return True


def admit(call: Call, endpoint: Endpoint | None, visiting: Visiting) -> Visit | None:
    """It came to a service's own host and not with a token: as a visitor's, or it begins to be one's, and that is its
    answer. Whose token the visit's is has to be found out as of any other."""
    visit = None if endpoint is None else _visit(call, endpoint, visiting)
    if visit is None:
        _sign_in(call, visiting)
    return visit


def over(call: Call, visit: Visit, caller: Caller | None, otherwise: Refusal) -> bool:
    """Whether its visit was over when it was known who she is, which took a moment."""
    endpoint, visiting = call.front.routing.get(call.owner, call.name), call.front.visiting
    if caller is None and otherwise is UNKNOWN_TOKEN and visiting is not None:  # she has signed out
        _sign_in(call, visiting)
    elif caller is not None and (endpoint is None or endpoint.service_id != visit.service_id):
        call.refuse(call.not_found())
    else:
        return False
    return True


def _visit(call: Call, endpoint: Endpoint, visiting: Visiting) -> Visit | None:
    """Of this service, by somebody who wants what is called: nobody else's page makes her browser call it."""
    sealed = visit_said(call.head, visiting.hosts.origin(endpoint.label))
    if sealed is None:
        return None
    visit = visiting.visits.known(sealed) or visiting.visits.resolve(sealed)
    return visit if visit is not None and visit.service_id == endpoint.service_id else None


def _sign_in(call: Call, visiting: Visiting) -> None:
    """Only who opens a page, in a window of its own, can sign in; a page's own calls are told that she is not."""
    label = visiting.hosts.label(called(call))
    if not wants_page(call.head) or not label:
        call.refuse(UNAUTHENTICATED)
        return
    # Two windows that begin at once have one browser's state.
    nonce = cookie(call.head, NONCE_COOKIE)
    if nonce is None or not _NONCE.fullmatch(nonce):
        nonce = secrets.token_urlsafe(32)
    query = urlencode({"service": label, "next": _place(call), "state": state_of(nonce)})
    call.redirect(f"{visiting.sign_in}?{query}".encode(), 303, (_set(NONCE_COOKIE, nonce, _NONCE_LIFE),))


def _place(call: Call) -> str:
    return safe_next(call.target.decode("latin-1"))


def _set(name: bytes, value: str, seconds: int) -> bytes:
    return f"{name.decode()}={value}; Max-Age={seconds}; {_FLAGS}".encode()
