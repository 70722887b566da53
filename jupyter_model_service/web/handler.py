"""One Tornado handler for every row of the route table: identify, admit, parse, call, answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Mapping
from typing import Any

from pydantic import BaseModel
from tornado.web import HTTPError, RequestHandler, stream_request_body

from ..core.access import Caller
from ..core.read_request import REQUEST_ID
from ..core.tried import tried
from ..errors import NotFound, TooLarge
from . import auth
from .audit import ADDRESS_HEADER, Asked, asked_by
from .call import Answer, Call, Parts, Text
from .deeds import Wish, admitted, carried_out
from .download import Download
from .errors import MethodNotAllowed, UnsupportedMediaType, refusal
from .route import Access, Route
from .sending import Sending
from .stream import EventStreams
from .token_as_name import HIDDEN, hidden, in_address, in_body, is_token, texts_of

__all__ = ["MAX_BODY", "MAX_DISCARDED", "MAX_KEYS", "NothingHere", "RouteHandler"]

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20  # bytes; the largest useful request is an update with a long environment, a few KiB
MAX_KEYS = 5_000  # in a body; what is wrong with each of 60,000 took seconds to say, on the event loop
MAX_DISCARDED = 16 << 20  # bytes; a body that says it is longer is not even read
_REQUEST_ID = re.compile(REQUEST_ID)


@stream_request_body
class BaseHandler(RequestHandler):
    """What every answer of ours has in common.

    The body is taken in pieces, so that one that is too large is thrown away as it comes. A refusal waits until the
    body is there: closing a connection on a sender in the middle of it may cost the sender our answer.
    """

    caller: Caller | None = None
    error_code: str | None = None
    request_id: str | None = None

    def set_default_headers(self) -> None:
        if self.request_id is None:
            given = self.request.headers.get("X-Request-Id", "")
            self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-Id", self.request_id)

    def prepare(self) -> None:
        self._body = bytearray()
        self._overflow = False
        length = self.request.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > MAX_DISCARDED:
            raise TooLarge(_TOO_LARGE)

    def data_received(self, chunk: bytes) -> None:
        self._overflow = self._overflow or len(self._body) + len(chunk) > MAX_BODY
        if not self._overflow:
            self._body += chunk

    def compute_etag(self) -> None:
        return None

    def parsed_with(self) -> tuple[type[BaseModel], ...]:
        return ()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else HTTPError(status_code)
        refused = refusal(error, str(self.request_id), self.parsed_with())
        self.error_code = refused.answer.error.code
        self.set_status(refused.status)
        for name, value in refused.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Type", "application/json")
        self.finish(refused.answer.model_dump_json(exclude_defaults=True))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """``web/errors.py`` logs what is unexpected; here only what comes too late for an answer."""
        if self._headers_written:
            log.error("request %s broke off after its answer had begun", self.request_id, exc_info=value)


class NothingHere(BaseHandler):
    """Every address that is not in the table."""

    async def get(self) -> None:
        raise NotFound(
            "There is nothing at this address: services are at endpoints/OWNER/NAME/…, models by their names at v1/… "
            "(one slash before it), and the control API is described at api/v1/openapi.json."
        )

    head = post = put = patch = delete = options = get


class RouteHandler(BaseHandler):
    """All operations of one path; ``routes`` maps the method to its row."""

    route: Route | None = None
    holds_token = False  # where a name belongs, so that nothing of it is told

    def initialize(self, parts: Parts, routes: Mapping[str, Route], streams: EventStreams, sending: Sending) -> None:
        self.parts = parts
        self.routes = routes
        self.streams = streams
        self.sending = sending

    async def get(self, **path: str) -> None:
        self.holds_token = HIDDEN in hidden(self.parts, path).values()
        route = self.routes.get(self.request.method or "")
        if route is None:
            raise MethodNotAllowed(tuple(self.routes))
        self.route = route
        auth.refuse_token_in_query(self.request.query_arguments)
        if route.changes:
            await self._change(route, path)
            return
        await admitted(self.parts, lambda: self._asked(route, path), lambda: self._let_in(route, path))
        if route.handler is None:
            await self.streams.serve(self, self._call(route, path), lambda: self._admit(route, path))
        else:
            await self._answer(route, path, await route.handler(self._call(route, path)))

    head = post = put = patch = delete = options = get

    async def _let_in(self, route: Route, path: Mapping[str, str]) -> Caller | None:
        return None if route.access is Access.ANYONE else await self._admit(route, path)

    async def _admit(self, route: Route, path: Mapping[str, str]) -> Caller:
        token = auth.bearer(self.request.headers.get_list("Authorization"))
        self.caller = caller = await auth.authenticate(self.parts.callers, token, self._address())
        asked_for = [*path.values(), *map(self.get_query_argument, self.request.query_arguments)]
        if any(is_token(self.parts, text) for text in asked_for):
            raise in_address()
        auth.authorise(route.access, caller, path, self.parts.engine.sharings.of)
        return caller

    async def _change(self, route: Route, path: Mapping[str, str]) -> None:
        answered = await carried_out(
            self.parts,
            lambda: self._asked(route, path),
            admit=lambda: self._let_in(route, path),
            read=lambda: Wish(
                route, self._call(route, path), lambda call: self._result(route, call), self._asked(route, path)
            ),
            status=lambda answer: self.get_status() if answer is None and route.abandoned else route.status,
            models=self.parsed_with(),
            makes_room=route.makes_room,
        )
        if answered is not None or not route.abandoned:
            await self._answer(route, path, answered)

    async def _result(self, route: Route, call: Call) -> Answer:
        if route.handler is None:
            return None
        return await (self._while_wanted(route.handler(call)) if route.abandoned else route.handler(call))

    def _call(self, route: Route, path: Mapping[str, str]) -> Call:
        self.sending.check(self._whose())
        body, query = self._parse_body(route), self._parse_query(route)
        return Call(self.parts, self.caller, path, body, query, again=lambda: self._let_in(route, path))

    def _asked(self, route: Route, path: Mapping[str, str]) -> Asked:
        who = self.caller.name if self.caller is not None else ""
        path = hidden(self.parts, path)
        return asked_by(self, route.name, who, path, self._tried if route.request is not None else dict)

    def _tried(self) -> Mapping[str, Any]:
        """What of the body may be told; of one that is larger than any useful one, nothing."""
        if self.holds_token or self._overflow or self._body.count(b'":') > MAX_KEYS:
            return {}
        return tried(self._json())

    def _address(self) -> bytes:
        """The caller's, as the front says."""
        return self.request.headers.get(ADDRESS_HEADER, "").encode("latin-1", "replace")

    async def _while_wanted(self, work: Awaitable[Answer]) -> Answer:
        """``None`` when the caller has left: what takes hours is of no use to nobody."""
        task = asyncio.ensure_future(work)
        connection: Any = self.request.connection
        connection.set_close_callback(task.cancel)
        await asyncio.wait({task})
        if task.cancelled():
            self.set_status(499, "The caller has left")  # for the log
            return None
        return task.result()

    def parsed_with(self) -> tuple[type[BaseModel], ...]:
        route = self.route
        return () if route is None else tuple(m for m in (route.request, route.query) if m is not None)

    def _parse_body(self, route: Route) -> BaseModel | None:
        if self._overflow:
            raise TooLarge(_TOO_LARGE)
        if route.request is None:
            return None
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self._body and kind != "application/json":
            raise UnsupportedMediaType("The body has to be JSON, with the header `Content-Type: application/json`.")
        if self._body.count(b'":') > MAX_KEYS:
            raise TooLarge(f"The body of a control request may have at most {MAX_KEYS} keys.")
        if any(is_token(self.parts, text) for text in texts_of(self._json())):
            self.holds_token = True
            raise in_body()
        return route.request.model_validate_json(bytes(self._body) or b"{}")

    def _json(self) -> Any:
        """Before anybody has looked whether it is right; ``None`` where it is no JSON."""
        try:
            return json.loads(self._body or b"{}")
        except (ValueError, RecursionError):
            return None

    def _parse_query(self, route: Route) -> BaseModel:
        # JupyterLab appends ?1700000000000 to keep caches away: a bare number is no parameter.
        arguments = self.request.query_arguments
        values = {k: self.get_query_argument(k) for k in arguments if not (k.isdecimal() and arguments[k] == [b""])}
        return route.query.model_validate(values)

    async def _answer(self, route: Route, path: Mapping[str, str], answer: Answer) -> None:
        self.set_status(route.status)
        if isinstance(answer, Download):
            await self.sending.file(self, answer, self._whose(), lambda: self._let_in(route, path))
        elif isinstance(answer, Text):
            await self._send(route, answer.body, answer.content_type)
        elif answer is None:
            self.finish()
        else:
            text = answer.model_dump_json() if isinstance(answer, BaseModel) else json.dumps(answer)
            await self._send(route, text, "application/json")

    async def _send(self, route: Route, body: bytes | str, kind: str) -> None:
        self.set_header("Content-Type", kind)
        await self.sending.answer(self, body, self._whose(), refuses=not route.changes)

    def _whose(self) -> str:
        """Who is to take it; where nobody is known, from where."""
        return self.caller.name if self.caller is not None else self._address().decode("latin-1")

    def on_finish(self) -> None:
        """One line for each control action; reading is logged at debug level. Never a query, header or body."""
        level = logging.DEBUG if self.request.method in ("GET", "HEAD") else logging.INFO
        log.log(
            level,
            "%s %s %s %s by %s in %.0f ms request=%s",
            self.request.method,
            HIDDEN if self.holds_token else self.request.path,
            self.get_status(),
            self.error_code or "ok",
            self.caller.name if self.caller is not None else "-",
            self.request.request_time() * 1000,
            self.request_id,
        )


_TOO_LARGE = f"The body of a control request may have at most {MAX_BODY >> 20} MiB."
