"""How a call comes in: for which service, by whom, and whether the one may call the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..core.access import Caller, cap, denied
from ..core.forwarding import bearer_token, protocol_token, route
from ..core.message import Refusal
from ..core.visits import ENTER
from . import addressed, cors, named, own_host, visiting
from .asking import ask, refusal
from .limiting import admitted

if TYPE_CHECKING:
    from ..core.routing import Endpoint
    from .call import Call

__all__ = ["BEGINS", "Way", "begin"]


#: How a call comes in; each has its row in :data:`BEGINS`, and there is no other way.
Way = Literal[
    "door",  # a code that signs somebody in, at a service's own host
    "host",  # everything else at a service's own host
    "path",  # endpoints/OWNER/NAME/…
    "models",  # v1/models, and v1/models/ID
    "named",  # v1/…: the body names the service
    "web",  # the control API, our pages, and whatever is not there
]


def begin(call: Call, looked: bool = False) -> None:
    """It goes to the control API, to its service, or is refused; at once where its token is known already. ``looked``:
    its address holds no token."""
    front, head = call.front, call.head
    way: Way
    if front.hosts is None or (head.host == front.bare and not head.forwarded) or not own_host.came(call, front.hosts):
        if call.target.startswith(front.base):
            way = "path"
        elif call.target.startswith(front.named):
            way = "named" if named.model_asked(call) is None else "models"
        else:
            way = "web"
    else:
        way = "door" if front.visiting is not None and call.target.startswith(ENTER) else "host"
    BEGINS[way](call, looked)


def _at_door(call: Call, looked: bool) -> None:
    visiting_ = call.front.visiting
    if visiting_ is None or not visiting.entered(call, visiting_):
        _at_host(call, looked)


def _at_host(call: Call, looked: bool) -> None:
    if looked or b"?" not in call.target or not addressed.held(call, _go_on):
        _to_service(call)


def _by_path(call: Call, looked: bool) -> None:
    place = route(call.target, call.front.base)
    if place is None:  # not all of one
        call.to_web()
        return
    # What came to v1/ was looked at there.
    if not looked and b"?" in call.target and call.named is None and addressed.held(call, _go_on):
        return
    if place.redirect is not None:
        call.redirect(place.redirect)
        return
    call.target, call.prefix = place.path, place.prefix
    call.owner, call.name = place.owner, place.name
    _to_service(call)


def _by_name(call: Call, looked: bool) -> None:
    if looked or b"?" not in call.target or not addressed.held(call, _go_on):
        named.begin(call)


def _to_web(call: Call, looked: bool) -> None:
    call.to_web()


#: Who begins what came this way. ``tests/security`` asks everybody on each of them.
BEGINS: dict[Way, Callable[[Call, bool], None]] = {
    "door": _at_door,
    "host": _at_host,
    "path": _by_path,
    "models": _by_name,
    "named": _by_name,
    "web": _to_web,
}


def _to_service(call: Call) -> None:
    """Its service is known, if there is one."""
    front, head = call.front, call.head
    endpoint = front.routing.get(call.owner, call.name)
    if endpoint is not None and endpoint.origins and cors.answered(call, endpoint):
        return
    token = head.token
    if token is None:
        in_header = head.authorization or head.upgrade is None
        token = head.token = bearer_token(head.authorization) if in_header else protocol_token(head.headers)
    if endpoint is not None and endpoint.public:
        if front.settings.of_this_machine and own_host.is_foreign(call, token):
            call.refuse(own_host.FOREIGN_HOST)
            return
        if token is not None and (head.forwarded or head.request_id):
            _believe(call, front.callers.known(token))
        if endpoint.anyone is not None:
            endpoint.anyone.let_in()
        elif front.uses is not None:
            endpoint.anyone = front.uses.anyone(endpoint.service_id)
            endpoint.anyone.let_in()
        call.enter(endpoint)
        return
    # Any page opens WebSockets, with whatever it likes among their subprotocols: what a foreign one sends is never
    # looked up, or 20 wrong ones would close the gateway to its visitor's address.
    if token is not None and not head.authorization and cors.is_foreign(call, endpoint):
        call.refuse(cors.FOREIGN_PAGE)
        return
    if token is None:
        if not call.own_host or front.visiting is None:
            visiting.without_token(call)
            return
        call.visit = visiting.admit(call, endpoint, front.visiting)
        if call.visit is None:
            return
        token = call.visit.token
    caller = front.callers.known(token)
    if caller is None:
        ask(call, token, _asked, vetted=call.visit is not None)
    else:
        _authorise(call, caller, endpoint)


def _go_on(call: Call) -> None:
    begin(call, looked=True)


def _asked(call: Call, caller: Caller | None, refusal: Refusal) -> None:
    if call.visit is not None and visiting.over(call, call.visit, caller, refusal):
        return
    if caller is None:
        call.refuse(refusal)
    else:
        _authorise(call, caller, call.front.routing.get(call.owner, call.name))


def _authorise(call: Call, caller: Caller, endpoint: Endpoint | None) -> None:
    call.known_as = caller.name
    tally = caller.tally
    why = denied(caller, endpoint, call.visit is not None, call.head, call.target)
    if why is not None or endpoint is None:
        if tally is not None and why == "path_not_allowed":
            tally.refuse()
        call.refuse(refusal(call, why or "not_found"))
        return
    _believe(call, caller)
    allowance, uses = caller.allowance, call.front.uses
    if tally is None and uses is not None:
        if (capped := cap(caller, endpoint)) is not None:
            allowance = uses.allowance(endpoint.service_id, *capped)
        tally = uses.of(caller, endpoint.service_id)  # whoever is limited has one of her own by now
    if allowance is not None and not admitted(call, allowance, tally):
        return
    if tally is not None:
        tally.let_in()
    call.enter(endpoint)


def _believe(call: Call, caller: Caller | None) -> None:
    if caller is not None and caller.forwards:
        call.known_as = caller.name  # one caller, for however many it says that it calls
        call.peer = replace(call.peer, trusted=True)
        call.request_id = call.head.request_id or call.request_id
