"""A call at ``v1/``, the address of all services: its caller is asked for, and its body read until it names one.

From there on it is a call to ``endpoints/OWNER/NAME/v1/…`` like any other; nothing of its body is changed.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..core import openai
from ..core.access import Caller
from ..core.forwarding import bearer_token
from ..core.message import Refusal
from ..core.model_field import Found, scanner
from ..core.routing import Endpoint
from . import own_host
from .asking import UNAUTHENTICATED, ask
from .limiting import admitted

if TYPE_CHECKING:
    from .call import Call

__all__ = ["Named", "begin", "model_asked"]

_LOOKS = (b"GET", b"HEAD")
_ANYWHERE = b"OPTIONS, POST, PUT, PATCH, DELETE"
_AT_MODELS = b"OPTIONS, GET, HEAD"


def model_asked(call: Call) -> str | None:
    """The model that its address asks about, ``""`` for all of them; ``None``: its body is to name one."""
    return openai.model_of_path(call.target[len(call.front.named) :])


def begin(call: Call) -> None:
    """Nothing of the body is waited for before it is known who sends it."""
    call.named = named = Named()
    token = call.head.token
    if token is None:
        token = call.head.token = bearer_token(call.head.authorization)
    caller = None if token is None else call.front.callers.known(token)
    if token is None or caller is not None:
        named.goes_on(call, caller, UNAUTHENTICATED)
    else:
        ask(call, token, named.goes_on)


class Named:
    """``reading``: the body is looked at, as it comes; ``caller`` is known by then. That a call has one of these makes
    its errors OpenAI's."""

    __slots__ = ("_field", "_otherwise", "_size", "caller", "reading")

    def __init__(self) -> None:
        self.reading = False
        self.caller: Caller | None = None
        self._otherwise = UNAUTHENTICATED  # the answer where the caller would have to be somebody
        self._size = 0  # bytes of the body that were looked at

    def goes_on(self, call: Call, caller: Caller | None, otherwise: Refusal) -> None:
        """It is known who calls, or that nobody is: then there is something for callers to public services alone."""
        front, head = call.front, call.head
        self.caller, self._otherwise = caller, otherwise
        call.known_as = "" if caller is None else caller.name
        if caller is None and not front.routing.any_public:
            call.refuse(otherwise)
            return
        if caller is None and front.settings.of_this_machine and own_host.is_foreign(call, None):
            call.refuse(own_host.FOREIGN_HOST)
            return
        allowance = None if caller is None else caller.allowance
        if caller is not None and allowance is not None and not admitted(call, allowance, caller.tally):
            return
        path, model = call.target[len(front.named) :], model_asked(call)
        if head.method == b"OPTIONS":
            call.answer(b"", allow=_ANYWHERE if model is None else _AT_MODELS)
        elif head.method in _LOOKS and model is not None:
            self._tell(call, model)
        elif not head.has_body:
            call.refuse(openai.not_by_name(path, caller))
        elif (refusal := openai.unreadable(head.headers, path, caller)) is not None:
            call.refuse(refusal)
        else:
            self._field = scanner(openai.content_type(head.headers))
            self.reading = True
            call.touched = monotonic()
            if head.expects:
                call.let_come()
            self.read(call)

    def _tell(self, call: Call, model: str) -> None:
        if not model:
            call.answer(openai.listing(self.caller, call.front.routing))
            return
        found = self._meant(call, model)
        if isinstance(found, Refusal):
            call.refuse(found)
        else:
            call.answer(openai.retrieved(found))

    def _meant(self, call: Call, model: str) -> Endpoint | Refusal:
        found = openai.resolve(model, self.caller, call.front.routing)
        if isinstance(found, Refusal) and found.status == 404 and self.caller is None:
            return self._otherwise
        return found

    def _wait(self, call: Call) -> None:
        """For more of the body. Bodies that name their model in what comes first never take of the room for others."""
        room = call.front.naming
        room.hold(call, call.who, call.body.pending_size)
        while (largest := room.too_much()) is not None:
            room.leave(largest)
            largest.refuse(openai.CROWDED)
        if not call.done:
            call.down.let_body(True)  # it was held back while its caller was asked for

    def read(self, call: Call) -> None:
        """More of the body came, or its end."""
        within, result = call.front.settings.named_within, Found.MORE
        for piece in call.body.come(self._size):
            room = within - self._size
            self._size += len(piece)
            call.touched = monotonic()
            result = self._field.feed(piece if len(piece) <= room else piece[:room])
            if result is not Found.MORE or self._size > within:
                break
        if result is Found.MORE and self._size > within:
            result = Found.TOO_FAR
        elif result is Found.MORE and call.body.done:
            result = self._field.end()
        if result is Found.MORE:
            self._wait(call)
            return
        self.reading = False
        call.front.naming.leave(call)
        path = call.target[len(call.front.named) :]
        if result is not Found.NAME or not self._field.name:
            call.refuse(openai.unnamed(result, path, within, self.caller))
            return
        found = self._meant(call, self._field.name)
        if isinstance(found, Refusal):
            call.refuse(found)
        else:
            owner, name = quote(found.owner, safe="").encode(), quote(found.name, safe="").encode()
            call.directed(b"%b%b/%b/v1/%b" % (call.front.base, owner, name, path))
