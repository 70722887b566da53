"""A call that came to a host which is one service's alone: everything there is the service's, from ``/`` on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.forwarding import called_host
from ..core.hosts import is_of_this_machine
from ..core.message import Refusal

if TYPE_CHECKING:
    from ..core.hosts import Hosts
    from .call import Call

__all__ = ["FOREIGN_HOST", "NOT_FOUND", "called", "came", "is_foreign", "not_found"]

#: The same for a host that is no service's as for that of one that the caller may not call.
NOT_FOUND = Refusal(404, "not_found", "There is no service at this address that you may call.")

#: To whoever calls a public service of this machine's own, without a token, by a name that others decide about.
FOREIGN_HOST = Refusal(
    403,
    "foreign_host",
    "Without a token this gateway is called as 127.0.0.1 or localhost alone, since a web page may have made any other "
    "name lead here: use one of these, or send a token.",
)


def is_foreign(call: Call, token: str | None) -> bool:
    """Whether a page of any site may have sent it, to a name of that site which it made lead here (DNS rebinding): to
    the browser that page is then of this origin, and reads what it likes. It can send no token that is good."""
    return not is_of_this_machine(call.head.host) and (token is None or call.front.callers.known(token) is None)


def came(call: Call, hosts: Hosts) -> bool:
    """Whether it did; then its service, if there is one, is known. Neither the control API nor ``v1/`` is there.

    A host of which no service is known is treated as that of a private one: who may not call learns nothing of what
    exists.
    """
    label = hosts.label(called(call))
    if label is None:
        if not call.head.forwarded:
            call.front.bare = call.head.host
        return False
    call.own_host = True
    call.prefix = b""
    endpoint = call.front.routing.labelled(label)
    if endpoint is not None and call.target != b"*":  # which is about a server as a whole, and none of the model's
        call.owner, call.name = endpoint.owner, endpoint.name
    return True


def called(call: Call) -> bytes:
    """The host that the caller called."""
    return called_host(call.head, call.peer)


def not_found(call: Call) -> Refusal:
    """To whom the service that it came for is not there."""
    if call.own_host:
        return NOT_FOUND
    return Refusal(404, "not_found", f"There is no service {call.owner}/{call.name} that you may call.")
