"""Who looks at our own pages, which are on the Hub's address: people, signed in there by the Hub (OAuth).

All that there is of a session is in two cookies that no script sees. One is a name of the browser's own, which the
sign-in and the session hold on to; the other the session itself: the person's token, sealed. The Hub is asked about it
as about any token, so that whoever signs out there, or is deleted, is out here within 30 s. The control API takes
neither of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from ..core.access import Caller
from ..core.message import Refusal
from ..core.visits import safe_next, state_of
from ..engine.callers import IDENTITY_UNAVAILABLE, Callers
from ..errors import Forbidden, InvalidRequest, Overloaded, Unauthenticated
from ..ports import Clock, Oauth, Visits
from .auth import raised

__all__ = ["BROWSER_COOKIE", "PAGE_COOKIE", "PageSessions", "PageVisitor"]

PAGE_COOKIE = "model-service-page"
BROWSER_COOKIE = "model-service-browser"
LIFE = 12 * 3600.0  # seconds
_BROWSER = re.compile(r"[\w-]{43}", re.ASCII)
_LONGEST_STATE = 4096
_ASKED = "+audit"  # of a state and a session: the Hub was asked for the right to read the audit log, too


@dataclass(frozen=True)
class PageVisitor:
    """``token`` is hers, from the Hub; ``xsrf`` stands in each form of a page that she is shown, and has to come back
    with it. ``caller`` is who that token makes her: one who may call, and manages nothing. What a page lets her do
    beyond that is the page's to decide. ``asked``: the Hub was asked whether she reads the audit log, too."""

    caller: Caller
    token: str = field(repr=False)
    xsrf: str = field(repr=False)
    asked: bool = False

    @property
    def administrator(self) -> bool:
        """Of the Hub. Her token administers nothing; she does, at our pages."""
        return self.caller.person is not None and self.caller.person.admin

    @property
    def reads_audit(self) -> bool:
        return self.administrator or self.caller.audits

    def sent(self, xsrf: str) -> bool:
        """Whether a form came from a page that was shown to her."""
        return hmac.compare_digest(self.xsrf.encode(), xsrf.encode("utf-8", "surrogatepass"))


class PageSessions:
    """``cookies`` seals sessions; ``prefix`` is the path of our pages, with a slash at both ends; ``secure``: people
    come by https. ``callers`` says whose a token is, and counts codes that are none, by address. Belongs to one event
    loop."""

    def __init__(
        self,
        oauth: Oauth,
        callers: Callers,
        cookies: Visits,
        clock: Clock,
        *,
        prefix: str,
        secure: bool,
    ) -> None:
        self._oauth = oauth
        self._callers = callers
        self._cookies = cookies
        self._clock = clock
        self._prefix = prefix
        self._secure = secure
        # No host beside ours can set one of that name, so that nobody is signed in as somebody else by it.
        self._browser = f"__Host-{BROWSER_COOKIE}" if secure else BROWSER_COOKIE

    @property
    def secure(self) -> bool:
        return self._secure

    async def visitor(self, request: HTTPServerRequest) -> PageVisitor | None:
        """``None``: nobody is signed in; ``Overloaded``: it cannot be found out who."""
        sealed, browser = _cookie(request, PAGE_COOKIE), self._name(request)
        if sealed is None or browser is None:
            return None
        # Of these the "service" is the browser: a session that was put into another one is none.
        session = self._cookies.known(sealed) or self._cookies.resolve(sealed)
        if session is None:
            return None
        state, asked, _ = session.service_id.partition(_ASKED)
        if not hmac.compare_digest(state, state_of(browser)):
            return None
        caller = await self._caller(session.token)
        if caller is None or caller.person is None:
            return None
        return PageVisitor(caller, session.token, _hmac(sealed, "xsrf"), asked != "")

    def begin(self, handler: RequestHandler, next: str, *, audits: bool = False) -> None:
        """To the Hub, and back to ``next``, a path below ours; ``audits``: as who reads the audit log, if she may."""
        browser = self._name(handler.request)
        if browser is None:
            browser = secrets.token_urlsafe(32)
            self._set(handler, self._browser, browser)
        place = base64.urlsafe_b64encode(((_ASKED if audits else "") + self._place(next)).encode()).decode()
        # Two windows may sign in at once: the state says where each goes on, and holds for this browser alone.
        state = f"{place}.{_hmac(browser, 'state', place)}"
        challenge = _plain(hashlib.sha256(self._verifier(browser).encode()).digest())
        self._lead(handler, self._oauth.authorize_url(state, challenge, audits=audits))
        handler.finish()

    async def finish(self, handler: RequestHandler) -> Caller:
        """Whom the Hub has sent back: she is signed in, and goes on to where she wanted to. ``InvalidRequest`` for what
        did not begin in this browser; ``Forbidden`` where she, or the Hub, did not want to. Headers only: the
        answer is the handler's to end."""
        said, browser = handler.get_query_argument, self._name(handler.request)
        state, code = said("state", ""), said("code", "")
        place, _, proof = state.partition(".")
        if browser is None or len(state) > _LONGEST_STATE or not _same(proof, _hmac(browser, "state", place)):
            raise InvalidRequest("This sign-in did not begin in this browser, or long ago: begin again.")
        if said("error", "") or not code:
            raise Forbidden("The Hub has not signed you in to the model service.")
        token = await self._exchange(handler, code, self._verifier(browser))
        caller = await self._caller(token, signs_in=True)
        if caller is None or caller.person is None:
            # A user of a former's name is nobody until what was the former's is gone, a second or so.
            raise Forbidden(
                "You are nobody whom the model service of this Hub knows. If the Hub made you just now, under the name "
                "of a former user, try again in a moment."
            )
        to = base64.urlsafe_b64decode(place).decode()
        asked = _ASKED if to.startswith(_ASKED) else ""
        sealed = self._cookies.seal(state_of(browser) + asked, token, self._clock.now() + LIFE)
        self._set(handler, PAGE_COOKIE, sealed)
        self._lead(handler, self._place(to.removeprefix(_ASKED)))
        return caller

    def end(self, handler: RequestHandler) -> None:
        """She is signed out here, not at the Hub."""
        handler.clear_cookie(PAGE_COOKIE, path=self._prefix)

    # --- inside ---

    async def _exchange(self, handler: RequestHandler, code: str, verifier: str) -> str:
        address = handler.request.headers.get("X-Model-Service-Address", "").encode("latin-1", "replace")
        if (refusal := self._callers.too_many(address, code)) is not None:
            raise raised(refusal)
        try:
            return await self._oauth.exchange(code, verifier)
        except Unauthenticated as error:
            self._callers.wrong(address, code)
            raise InvalidRequest(error.message) from None

    async def _caller(self, token: str, *, signs_in: bool = False) -> Caller | None:
        found = await self._callers.who(token, vetted=True, signs_in=signs_in)  # the Hub made it, for us
        if found is IDENTITY_UNAVAILABLE:
            raise Overloaded("The Hub does not say who you are now; try again.", code=IDENTITY_UNAVAILABLE.code)
        return None if isinstance(found, Refusal) else found

    def _name(self, request: HTTPServerRequest) -> str | None:
        value = _cookie(request, self._browser)
        return value if value is not None and _BROWSER.fullmatch(value) else None

    def _verifier(self, browser: str) -> str:
        return _hmac(browser, "verifier")

    def _place(self, path: str) -> str:
        path = safe_next(path)
        return path if path.startswith(self._prefix) else self._prefix

    def _set(self, handler: RequestHandler, name: str, value: str) -> None:
        path = "/" if name.startswith("__Host-") else self._prefix
        handler.set_cookie(
            name, value, path=path, max_age=int(LIFE), httponly=True, samesite="Lax", secure=self._secure
        )

    def _lead(self, handler: RequestHandler, url: str) -> None:
        handler.set_header("Referrer-Policy", "no-referrer")
        handler.set_status(302)
        handler.set_header("Location", url)


def _cookie(request: HTTPServerRequest, name: str) -> str | None:
    """``None`` for one that came twice: somebody else may have set the other."""
    found = [
        value.strip()
        for line in request.headers.get_list("Cookie")
        for key, equals, value in (each.partition("=") for each in line.split(";"))
        if equals and key.strip() == name
    ]
    return found[0] if len(found) == 1 and found[0] else None


def _hmac(key: str, *parts: str) -> str:
    said = "\0".join(parts).encode("utf-8", "surrogatepass")
    return _plain(hmac.new(key.encode("utf-8", "surrogatepass"), said, hashlib.sha256).digest())


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
