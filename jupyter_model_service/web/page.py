"""Our own pages, for people in browsers: one row of their table, and the one handler for all of them.

They are the only place where a cookie says who somebody is, and so the only one where a browser may be made to ask for
what its owner does not want: a page is shown in a window of its own alone, and takes no form but its own.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from ..core.access import at_our_pages
from ..core.plain_page import POLICY, plain_page
from ..core.tried import tried
from ..core.who_asks import Asker, at_authority, said_in, who_asks
from ..errors import Forbidden, ModelServiceError, NotFound, TooLarge, Unauthenticated
from .audit import ADDRESS_HEADER, Asked, asked_by
from .auth import authorise, refuse_token_in_query
from .call import Call, Parts
from .deeds import Wish, admitted, carried_out
from .download import Download
from .errors import MethodNotAllowed, refusal
from .handler import BaseHandler
from .route import Access, Route
from .sending import Sending
from .token_as_name import HIDDEN, hidden, in_address, in_body, is_token, texts_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..core.access import Caller
    from .page_session import PageSessions, PageVisitor
    from .sign_in import Doors

__all__ = ["Form", "Html", "Page", "PageCall", "PageHandler", "Redirect", "Wanted", "Who"]

log = logging.getLogger(__name__)


class Who(enum.Enum):
    """Who is shown a page. Everybody else is sent to the Hub, or told that there is nothing."""

    ANYONE = "anyone"
    VISITOR = "visitor"  # somebody who has signed in
    AUDITOR = "auditor"  # … and reads the audit log of everything, as an administrator does
    ADMIN = "admin"  # … and is an administrator of the Hub


@dataclass(frozen=True)
class Html:
    """The whole page, in UTF-8 (or, with ``kind``, something else that belongs to one)."""

    body: bytes
    status: int = 200
    kind: str = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Redirect:
    """Somewhere else, by ``GET``. ``url`` may hold what is nobody else's business: it is told no other page."""

    url: str


Answer = Html | Redirect | Download | None


@dataclass(frozen=True)
class PageCall:
    """One request for a page. ``visitor`` is there wherever the page's row asks for one. ``form``: the last value of
    each field that was sent. ``handler`` is for cookies only, ``prefix`` the path of all pages."""

    parts: Parts
    sessions: PageSessions
    doors: Doors | None
    visitor: PageVisitor | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    asked: Asked
    handler: BaseHandler
    prefix: str

    async def note(self, who: Caller, status: int, target: str = "") -> None:
        """In the audit log, also where that cannot be written yet: it is no change."""
        with contextlib.suppress(ModelServiceError):
            await self.parts.engine.audit.note(replace(self.asked, who=who.name).entry(status, target=target))

    @property
    def person(self) -> PageVisitor:
        if self.visitor is None:
            raise TypeError("this page is shown to anyone")
        return self.visitor

    @property
    def caller(self) -> Caller:
        """Who she is at our pages."""
        return _at_our_pages(self.person)


def _shown_to(who: Who, visitor: PageVisitor) -> bool:
    if who is Who.AUDITOR:
        return visitor.reads_audit
    return who is not Who.ADMIN or visitor.administrator


def _at_our_pages(visitor: PageVisitor) -> Caller:
    person = visitor.caller.person
    if person is None:
        raise TypeError("a session without a person is none")
    return at_our_pages(person)


@dataclass(frozen=True)
class Wanted:
    """What a form asks for: an operation of the control API, by its row."""

    route: Route
    path: Mapping[str, str]
    body: BaseModel | None = None


@dataclass(frozen=True)
class Form:
    """What a page does, for whom; ``read`` raises for what cannot be meant."""

    access: Access
    read: Callable[[PageCall], Wanted]


@dataclass(frozen=True)
class Page:
    """``path`` has no leading slash: it lies below the prefix that the gateway is served at. ``name`` is what the audit
    log calls it, and ``about`` what of the query is the label of the service that it is about there. It has a
    ``handler``, which only shows something (``None`` as the answer: the handler's own cookies and redirect are it), or
    is a ``form``, which changes something. ``of_session``: what is sent changes nothing but who is signed in."""

    method: str
    path: str
    name: str
    handler: Callable[[PageCall], Awaitable[Answer]] | None = None
    who: Who = Who.ADMIN
    about: str = ""
    form: Form | None = None
    of_session: bool = False

    def __post_init__(self) -> None:
        """Nothing is changed but by what is written down (:func:`deeds.carried_out`)."""
        if (self.handler is None) == (self.form is None) or (self.form is None) != (
            self.method == "GET" or self.of_session
        ):
            raise TypeError(f"{self.method} {self.path} either shows something, or is a form")


class PageHandler(BaseHandler):
    """All pages of one path; ``pages`` maps the method to its row."""

    page: Page | None = None
    visitor: PageVisitor | None = None
    holds_token = False  # where a name belongs, so that nothing of it is told

    def initialize(
        self,
        parts: Parts,
        pages: Mapping[str, Page],
        sessions: PageSessions,
        doors: Doors | None,
        prefix: str,
        sending: Sending,
    ) -> None:
        self.parts, self.pages, self.sessions, self.doors, self.prefix = parts, pages, sessions, doors, prefix
        self.sending = sending

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Referrer-Policy", "same-origin")

    async def get(self, **path: str) -> None:
        self.holds_token = HIDDEN in hidden(self.parts, path).values()
        page = self.pages.get(self.request.method or "")
        if page is None:
            raise MethodNotAllowed(tuple(self.pages))
        self.page = page
        refuse_token_in_query(self.request.query_arguments)
        fields = self._form()
        asked = functools.partial(self._asked, path, fields)
        if page.form is not None:
            await self._change(page, page.form, path, fields)
            answer: Answer = self._back(fields)
        elif not await admitted(self.parts, asked, lambda: self._let_in(page, fields)):
            return
        else:
            answer = await admitted(self.parts, asked, lambda: self._shown(page, path, fields))
        if isinstance(answer, Redirect):
            self.set_header("Referrer-Policy", "no-referrer")
            self.redirect(answer.url, status=303)
        elif isinstance(answer, Download):
            await self.sending.file(self, answer, self._whose(), lambda: self._still(page))
        elif answer is None:
            self.finish()
        else:
            self.set_status(answer.status)
            self.set_header("Content-Type", answer.kind)
            await self.sending.answer(self, answer.body, self._whose(), refuses=True)

    head = post = put = patch = delete = options = get

    async def _shown(self, page: Page, path: Mapping[str, str], fields: Mapping[str, str]) -> Answer:
        self.sending.check(self._whose())
        return None if page.handler is None else await page.handler(self._call(path, fields))

    def _whose(self) -> str:
        """Who is to take it; where nobody is known, from where."""
        known = self.visitor.caller.name if self.visitor is not None else ""
        return known or self.request.headers.get(ADDRESS_HEADER, "")

    async def _still(self, page: Page) -> None:
        visitor = await self.sessions.visitor(self.request)
        if visitor is None or not _shown_to(page.who, visitor):
            raise Forbidden("Whoever takes it may not read it any more.")

    async def _change(self, page: Page, form: Form, path: Mapping[str, str], fields: Mapping[str, str]) -> None:
        async def admit() -> None:
            await self._let_in(page, fields)
            if self.visitor is None:
                raise Unauthenticated("You are not signed in any more: open the page again.")
            authorise(form.access, _at_our_pages(self.visitor), path, self.parts.engine.sharings.of)

        def read() -> Wish:
            if self.holds_token:
                raise in_address()
            if any(is_token(self.parts, text) for text in texts_of(fields)):
                self.holds_token = True
                raise in_body()
            shown = self._call(path, fields)
            wanted = form.read(shown)
            asked = replace(shown.asked, action=wanted.route.name, path=wanted.path)
            call = Call(self.parts, shown.caller, wanted.path, wanted.body)
            return Wish(wanted.route, call, wanted.route.done_by, asked)

        asked = functools.partial(self._asked, path, fields)
        await carried_out(self.parts, asked, admit=admit, read=read, status=lambda _: 303)

    def _back(self, fields: Mapping[str, str]) -> Redirect:
        """To the page, where it is to be seen what was done."""
        find = fields.get("find", "")
        return Redirect(f"{self.prefix}?{urlencode({'find': find})}" if find else self.prefix)

    async def _let_in(self, page: Page, form: Mapping[str, str]) -> bool:
        return page.who is Who.ANYONE or await self._admitted(page, form)

    async def _admitted(self, page: Page, form: Mapping[str, str]) -> bool:
        """``False``: she was sent to the Hub, to come back signed in."""
        self._see_who_asks()
        self.visitor = visitor = await self.sessions.visitor(self.request)
        if visitor is None:
            if page.method != "GET":
                raise Unauthenticated("You are not signed in any more: open the page again.")
            self.sessions.begin(self, self.request.uri or self.prefix, audits=page.who is Who.AUDITOR)
            return False
        if page.method != "GET" and not visitor.sent(form.get("xsrf", "")):
            raise Forbidden("This form did not come from a page of the model service that was shown to you.")
        if not _shown_to(page.who, visitor):
            if page.who is Who.AUDITOR and not visitor.asked:  # signed in for a page that everybody has
                self.sessions.begin(self, self.request.uri or self.prefix, audits=True)
                return False
            raise NotFound("There is no page here for you.")
        return True

    def _see_who_asks(self) -> None:
        """No other page may read ours, frame it or send its forms, as far as the browser says who asks."""
        request = self.request
        said = said_in(request.method or "", request.headers.get_all())
        if said.mode is None and self.sessions.secure:
            # Where people come by https every browser says it; a script of the same address could not leave it out.
            raise Forbidden("This page needs a browser that says who asks: one that is not older than 2023.")
        if said.mode not in (None, "navigate") or said.to not in (None, "document"):
            raise Forbidden("This page is opened by people, in a window of its own.")
        # A proxy in front may have left the port out of the one, or have changed the other; no page can say either.
        named = (request.headers.get("X-Forwarded-Host", ""), request.headers.get("Host", ""))
        asker, why = who_asks(said, at_authority(*named))
        if said.method != "GET" and asker not in (Asker.PAGE, Asker.UNSAID):
            raise Forbidden(f"This form came from somewhere else than the page of the model service: {why}.")
        if asker is Asker.FOREIGN:
            raise Forbidden(f"This page is opened by people, and not by other pages: {why}.")

    def _form(self) -> dict[str, str]:
        if self._overflow:
            raise TooLarge("That is too much for a form.")
        if not self._body:
            return {}
        try:
            fields = parse_qs(bytes(self._body).decode("ascii"), max_num_fields=100, errors="replace")
        except ValueError:
            return {}
        return {name: values[-1] for name, values in fields.items()}

    def _call(self, path: Mapping[str, str], form: Mapping[str, str]) -> PageCall:
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        asked = self._asked(path, form)
        return PageCall(
            self.parts, self.sessions, self.doors, self.visitor, path, query, form, asked, self, self.prefix
        )

    def _asked(self, path: Mapping[str, str], form: Mapping[str, str]) -> Asked:
        who, page = self.visitor.caller.name if self.visitor is not None else "", self.page
        about = {page.about: self._at_host(self.get_query_argument(page.about, ""))} if page and page.about else {}
        return asked_by(
            self, page.name if page is not None else "", who, hidden(self.parts, {**path, **about}), self._tried(form)
        )

    def _at_host(self, label: str) -> str:
        """The service whose host's name begins so, where there is one: its owner looks for her by that."""
        endpoint = self.doors.routing.labelled(label) if self.doors is not None else None
        return label if endpoint is None else endpoint.key

    def _tried(self, form: Mapping[str, str]) -> Callable[[], Mapping[str, Any]]:
        return lambda: {} if self.holds_token else tried(form)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else ModelServiceError("That failed.")
        refused = refusal(error, str(self.request_id))
        self.error_code = refused.answer.error.code
        self.set_status(refused.status)
        for name, value in refused.headers.items():
            if name != "WWW-Authenticate":  # a browser would ask for a password
                self.set_header(name, value)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        links = [(self.prefix, "To the models that you may use")] if status_code != 404 else []
        self.finish(plain_page("Models", [refused.answer.error.message], links))

    def on_finish(self) -> None:
        """One line, without the query: codes are in it."""
        log.info(
            "%s %s %s %s by %s in %.0f ms request=%s",
            self.request.method,
            HIDDEN if self.holds_token else self.request.path,
            self.get_status(),
            self.error_code or "ok",
            self.visitor.caller.name if self.visitor is not None else "-",
            (time.time() - self.request._start_time) * 1000,
            self.request_id,
        )
