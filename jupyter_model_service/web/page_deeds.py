"""What can be done at our pages: the forms of ``templates/index.html``. Each does what the operation of the same name
in the control API does, with its checks, and is written down as that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from pydantic import BaseModel

from ..core.limit_words import LIMIT_WORDS, limit_read
from ..core.plain_page import plain_page
from ..errors import Forbidden, InvalidRequest, NotFound
from ..wire.admin import LimitsChange, NoticeRequest
from . import admin, api
from .audit import Deed, denial
from .auth import authorise
from .call import Call
from .page import Answer, Html, PageCall, Redirect
from .page_index import page_caller
from .route import Access, Handler

__all__ = ["limits", "notice", "sign_out", "start", "stop"]

_LONGEST_NAME = 255  # of a user
_SIGNED_OUT = "You are signed out of this page. At the Hub you may still be signed in: sign out there as well."


async def stop(call: PageCall) -> Answer:
    return await _done(call, api.stop_service, Access.OPERATOR)


async def start(call: PageCall) -> Answer:
    return await _done(call, api.start_service, Access.OPERATOR)


async def notice(call: PageCall) -> Answer:
    """An empty one takes the former back."""
    text = call.form.get("text", "").strip()
    if not text:
        return await _done(call, admin.remove_notice, Access.ADMIN)
    if len(text) > 500:
        raise InvalidRequest("A notice is one line of 1 to 500 printable characters.")
    return await _done(call, admin.set_notice, Access.ADMIN, NoticeRequest(text=text))


async def limits(call: PageCall) -> Answer:
    """All fields of the form: one that is empty gives back what was taken."""
    user = call.form.get("user", "").strip()
    if not 0 < len(user) <= _LONGEST_NAME or not user.isprintable():
        raise InvalidRequest("Whose limits are they to be? Write the Hub's name of a user.")
    given: dict[str, object] = {"allow_public": False if "no_public" in call.form else None}
    for name in LimitsChange.model_fields:
        if name != "allow_public":
            given[name] = _read(name, call.form.get(name, ""))
    change = LimitsChange.model_validate(given)
    return await _done(call, admin.set_limits, Access.ADMIN, change, {"user": user})


async def sign_out(call: PageCall) -> Answer:
    call.sessions.end(call.handler)
    return Html(plain_page("Models", [_SIGNED_OUT], [(call.prefix, "Sign in again")]))


def _read(name: str, text: str) -> float | int | None:
    try:
        value = limit_read(name, text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{LIMIT_WORDS[name]}: {error}") from None
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if value == 0 and name == "max_cpus":
        raise InvalidRequest(f"{LIMIT_WORDS[name]}: with none, nothing runs.")
    return value


async def _done(
    call: PageCall,
    handler: Handler,
    access: Access,
    body: BaseModel | None = None,
    path: Mapping[str, str] | None = None,
) -> Answer:
    """Written down before it is answered, however it ends. Then back to the page, where it is to be seen."""
    path = call.path if path is None else path
    caller = page_caller(call)
    asked = replace(call.asked, action=handler.__name__, path=path)
    try:
        authorise(access, caller, path, call.parts.engine.sharings.of)
    except (Forbidden, NotFound) as error:
        call.parts.engine.audit.denied(denial(asked, error))
        raise
    await call.parts.engine.audit.check()
    deed = Deed(call.parts, asked)
    try:
        inner = deed.call = Call(call.parts, caller, path, body)
        await deed.begin()
        answered = await handler(inner)
    except Exception as error:
        await deed.failed(error, ())
        raise
    await deed.done(answered, 303)
    find = call.form.get("find", "")
    return Redirect(f"{call.prefix}?{urlencode({'find': find})}" if find else call.prefix)
