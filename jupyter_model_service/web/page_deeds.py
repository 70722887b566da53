"""What can be done at our pages: the forms of ``templates/index.html``. Each is read as the operation of the same name
in the control API, and carried out as that, with its checks (``web/deeds.py``)."""

from __future__ import annotations

from ..core.bounds import LONGEST_NOTICE, LONGEST_PERSON
from ..core.limit_words import limit_read
from ..core.plain_page import plain_page
from ..core.policy_limits import NUMBERS
from ..errors import InvalidRequest
from ..wire import UpdateRequest
from ..wire.admin import LimitsChange, NoticeRequest
from .page import Answer, Form, Html, PageCall, Wanted
from .routes import OPERATIONS, Access

__all__ = ["LIMITS", "NOTICE", "PRIVATE", "START", "STOP", "sign_out"]

_SIGNED_OUT = "You are signed out of this page. At the Hub you may still be signed in: sign out there as well."


def _notice(call: PageCall) -> Wanted:
    """An empty one takes the former back."""
    text = call.form.get("text", "").strip()
    if not text:
        return Wanted(OPERATIONS["remove_notice"], call.path)
    if len(text) > LONGEST_NOTICE:
        raise InvalidRequest(f"A notice is one line of 1 to {LONGEST_NOTICE} printable characters.")
    return Wanted(OPERATIONS["set_notice"], call.path, NoticeRequest(text=text))


def _limits(call: PageCall) -> Wanted:
    """All fields of the form: one that is empty gives back what was taken."""
    user = call.form.get("user", "").strip()
    if not 0 < len(user) <= LONGEST_PERSON or not user.isprintable():
        raise InvalidRequest("Whose limits are they to be? Write the Hub's name of a user.")
    given: dict[str, object] = {"allow_public": False if "no_public" in call.form else None}
    for limit in NUMBERS:
        text = call.form.get(limit.name, "").strip()
        given[limit.name] = limit_read(limit.name, text) if text else None
    return Wanted(OPERATIONS["set_limits"], {"user": user}, LimitsChange.model_validate(given))


STOP = Form(Access.OPERATOR, lambda call: Wanted(OPERATIONS["stop_service"], call.path))
START = Form(Access.OPERATOR, lambda call: Wanted(OPERATIONS["start_service"], call.path))
PRIVATE = Form(Access.OWNER, lambda call: Wanted(OPERATIONS["update_service"], call.path, UpdateRequest(public=False)))
NOTICE = Form(Access.ADMIN, _notice)
LIMITS = Form(Access.ADMIN, _limits)


async def sign_out(call: PageCall) -> Answer:
    call.sessions.end(call.handler)
    return Html(plain_page("Models", [_SIGNED_OUT], [(call.prefix, "Sign in again")]))
