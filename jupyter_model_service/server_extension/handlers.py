"""The Tornado handler of endpoints: it forwards through the gateway with the rights of the user, who needs no second
address and no token. Bodies stream both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from tornado import web, websocket
from tornado.http1connection import HTTP1Connection
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders

from ..errors import Problem
from . import isolation
from .forwarding import SIGN_IN, ForwardHandler, Upload

_MESSAGE_LIMIT = 64 << 20  # bytes of one WebSocket message; Tornado's 10 MiB is small for images
_LET_IN = 64 << 10  # bytes of a body that are let in before a refusal goes out
_LET_IN_SECONDS = 2.0


_Method = Callable[["EndpointHandler", str], Awaitable[None]]


def _unless_answered(method: _Method) -> _Method:
    """What ``prepare`` found comes first; ``web.authenticated`` has nothing left to find."""
    checked = web.authenticated(method)

    @functools.wraps(method)
    async def answer(handler: EndpointHandler, path: str) -> None:
        if not handler.has_answered() and (answering := checked(handler, path)) is not None:
            await answering

    return answer


@web.stream_request_body
class EndpointHandler(websocket.WebSocketHandler, ForwardHandler):
    """``model-service/endpoints/OWNER/NAME/…``: any method, streaming both ways, WebSockets; pages are sandboxed.

    Tornado calls a streaming handler's method only after the whole body has arrived, so the forwarding starts in
    ``prepare`` (where the checks of the decorators therefore stand, too) and the method waits for its end.

    Tornado closes the connection of an answer that ends before its request was read (in ``prepare`` that is so without
    a body, too), without a word; what is still on its way then resets it, and the caller may never see the answer, or
    send her next call to a closed connection. So what ``prepare`` has to say waits until a small body has come, and the
    end of the connection is announced where a large one is not waited for.
    """

    _early: Callable[[], None] | None = None  # the answer that waits for the end of the body
    _read = False  # the whole request was
    _rest = 0  # bytes of the body that have not come yet, as far as they were announced
    _whole: asyncio.Event | None = None
    _forwarding: asyncio.Task[None] | None = None
    _upload: Upload | None = None
    _upstream: websocket.WebSocketClientConnection | None = None
    _pump: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        length = self.request.headers.get("Content-Length", "")
        self._rest = int(length) if length.isdecimal() else 0
        self._whole = asyncio.Event()
        # Programs and sandboxed pages come here: the answer to "who are you" is a status, not a login page.
        if self.refuse_token_in_address():
            return
        # Answered, not raised: Jupyter's log takes the whole address of what is raised.
        try:
            await super().prepare(_redirect_to_login=False)
        except web.HTTPError as error:
            told = error.log_message or error.reason or "Jupyter refused the call."
            if self._is_stranger():  # a POST of hers is refused for a word that only pages know, before she is
                told = self._sign_in()
            self.refuse(error.status_code, "jupyter", told)
            return
        if self.refuse_token_in_address() or await self._refuse_user() or self._refuse_page():
            return
        path, question, query = (self.request.uri or "").partition("?")
        if self.raw_target().partition("?")[0] == self.endpoint():
            self._answer_early(lambda: self._redirect(f"{path}/{question}{query}"))
            return
        if self._is_upgrade():
            return
        # Jupyter answers a token with a sign-in cookie; no answer of a model sets any.
        self.__dict__.pop("_new_cookie", None)
        headers = self.request.headers
        if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
            # The front and the model decide what is too much; Jupyter's limit is for notebooks.
            cast(HTTP1Connection, self.request.connection).set_max_body_size(1 << 50)
            self._upload = Upload()
        body = self._upload if self._upload is not None else None
        self._forwarding = asyncio.create_task(self.forward(body))
        if self._upload is not None:
            upload = self._upload
            self._forwarding.add_done_callback(lambda _: upload.abandon())

    @property
    def _is_let_in(self) -> bool:
        """Whether the rest of the request is worth waiting for: small, and sent without being asked for."""
        headers = self.request.headers
        return self._rest <= _LET_IN and "Expect" not in headers and "Transfer-Encoding" not in headers

    def refuse(self, status: int, code: str, message: str, problems: Sequence[Problem] = ()) -> None:
        self._answer_early(lambda: ForwardHandler.refuse(self, status, code, message, problems))

    def _redirect(self, location: str) -> None:
        self.set_header("Location", location)
        self.set_status(308)
        self.finish()

    def _answer_early(self, answer: Callable[[], None]) -> None:
        if self._is_let_in and not self._read:
            self._early = answer
            return
        if not self._read:
            self.set_header("Connection", "close")
        answer()

    async def body_has_come(self) -> None:
        if self._upload is not None:
            self._upload.abandon()
        if self._rest > 0 and self._is_let_in and self._whole is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._whole.wait(), _LET_IN_SECONDS)

    def _is_stranger(self) -> bool:
        return hasattr(self, "_jupyter_current_user") and not self.current_user

    def _sign_in(self) -> str:
        if "Authorization" not in self.request.headers:
            return SIGN_IN
        return (
            "Jupyter does not know this token: send a Jupyter token here. One of `generate-token` is for the gateway's "
            "own address, which `get-endpoint` tells."
        )

    async def _refuse_user(self) -> bool:
        """What ``@web.authenticated`` and ``@authorized`` do, before the first byte of the body is read."""
        if not self.current_user:
            self.refuse(403, "jupyter", self._sign_in())
            return True
        action = "read" if self.request.method in ("GET", "HEAD", "OPTIONS") else "write"
        allowed = self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            self.refuse(403, "jupyter", f"{self.current_user.username} may not {action} model services here.")
        return not allowed

    def _refuse_page(self) -> bool:
        """What a page may not ask for with the visitor's cookies, or at all."""
        headers, method = self.request.headers, self.request.method or ""
        if isolation.has_dot_segment(self.endpoint()):
            self.refuse(400, "bad_path", "The owner and the name of an endpoint cannot be '.' or '..'.")
        elif self._is_upgrade() and isolation.foreign_origin(headers):
            self.refuse(403, "foreign_origin", "Only pages of this Jupyter server may open WebSockets to its models.")
        elif not self.token_authenticated and method in ("GET", "HEAD") and isolation.cross_site(method, headers):
            self.refuse(403, "foreign_origin", "Only pages of this Jupyter server may call its models with cookies.")
        elif headers.get("Service-Worker", "").lower() == "script":
            self.refuse(
                403, "service_worker", "A model's script cannot become a service worker of this Jupyter server."
            )
        return self._finished or self._early is not None

    def _is_upgrade(self) -> bool:
        return self.request.headers.get("Upgrade", "").lower() == "websocket"

    async def data_received(self, chunk: bytes) -> None:
        self._rest -= len(chunk)
        if self._rest <= 0 and self._whole is not None:
            self._whole.set()
        if self._upload is not None:
            await self._upload.put(chunk)

    def has_answered(self) -> bool:
        """The request has come; whether ``prepare`` has answered it."""
        self._read = True
        if self._early is not None:
            self._early()
        return self._early is not None

    async def _finish_forwarding(self) -> None:
        if self._upload is not None:
            await self._upload.put(None)
        if self._forwarding is not None:
            await asyncio.wait({self._forwarding})
            if not self._forwarding.cancelled():  # it is when the caller left: nothing for Jupyter's log
                self._forwarding.result()

    @_unless_answered
    async def get(self, path: str) -> None:  # type: ignore[override]
        if self._is_upgrade():
            await self._open_upstream()
        else:
            await self._finish_forwarding()

    @_unless_answered
    async def head(self, path: str) -> None:
        await self._finish_forwarding()

    @_unless_answered
    async def post(self, path: str) -> None:
        await self._finish_forwarding()

    @_unless_answered
    async def put(self, path: str) -> None:
        await self._finish_forwarding()

    @_unless_answered
    async def patch(self, path: str) -> None:
        await self._finish_forwarding()

    @_unless_answered
    async def delete(self, path: str) -> None:
        await self._finish_forwarding()

    @_unless_answered
    async def options(self, path: str) -> None:
        await self._finish_forwarding()

    def answer_headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return isolation.model_headers(headers, place=self.place())

    # --- WebSockets: the model's side opens first, so that its refusal is the caller's answer -----------------

    def check_origin(self, origin: str = "") -> bool:
        """Same origin only: a sandboxed model page has ``Origin: null`` and is refused."""
        return not isolation.foreign_origin(self.request.headers)

    async def _open_upstream(self) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        headers = HTTPHeaders()
        for name, value in self.sent_headers():
            if not name.lower().startswith("sec-websocket-"):
                headers.add(name, value)
        headers["Authorization"] = f"Bearer {gateway.token}"
        offered = [p.strip() for p in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        request = HTTPRequest(
            f"{gateway.url.rstrip('/')}/{self.raw_target()}".replace("http", "ws", 1),
            headers=headers,
            connect_timeout=30.0,
        )
        try:
            self._upstream = await websocket.websocket_connect(
                request, subprotocols=offered or None, max_message_size=_MESSAGE_LIMIT
            )
        except HTTPClientError as error:
            self.refuse(error.code, "upgrade_refused", f"The model did not accept the WebSocket: {error.message}.")
            return
        except (OSError, websocket.WebSocketError) as error:
            self.refuse(502, "upgrade_refused", f"The WebSocket could not be opened ({type(error).__name__}).")
            return
        await super().get()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return self._upstream.selected_subprotocol if self._upstream is not None else None

    def open(self, *args: str, **kwargs: str) -> None:
        self._pump = asyncio.create_task(self._from_model())

    async def _from_model(self) -> None:
        upstream = self._upstream
        assert upstream is not None
        try:
            while (message := await upstream.read_message()) is not None:
                await self.write_message(message, binary=isinstance(message, bytes))
        except websocket.WebSocketClosedError:
            return
        # 1005 and 1006 say "no code was there"; they must not be sent (RFC 6455 §7.4.1).
        code = upstream.close_code
        self.close(code if code not in (None, 1005, 1006) else None, upstream.close_reason)

    async def on_message(self, message: str | bytes) -> None:
        if self._upstream is not None:
            with contextlib.suppress(websocket.WebSocketClosedError):
                await self._upstream.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        if self._upstream is not None:
            code = self.close_code if self.close_code not in (None, 1005, 1006) else None
            self._upstream.close(code, self.close_reason)
        super().on_close()

    def on_connection_close(self) -> None:
        # The caller left: cancel the call, so that the model stops working for nobody.
        if self._forwarding is not None and not self._forwarding.done():
            self._forwarding.cancel()
        if self._upload is not None:
            self._upload.abandon()
        super().on_connection_close()
