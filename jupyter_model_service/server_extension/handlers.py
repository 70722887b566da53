"""Tornado handlers that forward to the gateway with the user's rights, so that no second address or token is needed.

The user was authenticated by Jupyter (``@web.authenticated``, XSRF included); from here on the gateway's own
control token speaks for her, and nothing of her cookies or tokens goes further. Bodies stream both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado import iostream, web, websocket
from tornado.http1connection import HTTP1Connection
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders

from ..discovery import GatewayFile
from ..errors import ModelServiceError
from . import isolation
from .link import GatewayLink

#: No total limit: streams may last. Connecting and the wait between two bytes are the front's business
#: (it has the service's own limits); these only end what nobody watches any more.
_MESSAGE_LIMIT = 64 << 20  # bytes of one WebSocket message; Tornado's 10 MiB is small for images
_TIMEOUT = httpx.Timeout(None, connect=5.0, pool=5.0)


class _Upload:
    """The request body between Tornado (which pushes) and httpx (which pulls): one chunk at a time.

    Once abandoned (the answer came early, or somebody left) chunks are dropped, so that nobody waits for ever.
    """

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._abandoned = False

    async def put(self, chunk: bytes | None) -> None:
        if not self._abandoned:
            await self._chunks.put(chunk)

    def abandon(self) -> None:
        self._abandoned = True
        while not self._chunks.empty():  # frees a writer that waits in put()
            self._chunks.get_nowait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk


class ForwardHandler(JupyterHandler):
    """Shared by both kinds; ``auth_resource`` lets Jupyter's authorizers tell model services apart."""

    auth_resource = "model-service"
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    @property
    def link(self) -> GatewayLink:
        return self.settings["model_service_link"]  # type: ignore[no-any-return]

    async def gateway(self) -> GatewayFile | None:
        """The gateway, or ``None`` after the error was answered."""
        try:
            return await self.link.ensure()
        except ModelServiceError as error:
            self.refuse(error.status, error.code, error.message)
            return None

    def refuse(self, status: int, code: str, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Model-Service-Error", code)
        self.finish({"error": {"code": code, "message": message}})

    def target(self, gateway: GatewayFile, path: str) -> str:
        # The raw target, not the decoded capture: %2F in a model's path stays %2F.
        raw = self.request.uri or ""
        tail = raw.split("/model-service/", 1)[1] if "/model-service/" in raw else quote(path)
        return f"{gateway.url.rstrip('/')}/{tail}"

    def answer_headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return isolation.gateway_headers(headers)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self.request.headers.get("Accept", "").startswith("text/html"):
            super().write_error(status_code, **kwargs)
            return
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        self.set_header("Content-Type", "application/json")
        self.finish({"error": {"code": "jupyter", "message": str(message)}, "message": str(message)})

    async def forward(self, path: str, body: Any) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        sent = isolation.request_headers(self.request.headers.get_all())
        length = self.request.headers.get("Content-Length")
        if body is not None and length is not None:
            sent.append(("Content-Length", length))
        sent.append(("Authorization", f"Bearer {gateway.token}"))
        sent.append(("Accept-Encoding", self.request.headers.get("Accept-Encoding", "identity")))
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            request = client.build_request(
                self.request.method or "GET", self.target(gateway, path), headers=sent, content=body
            )
            try:
                answer = await client.send(request, stream=True)
            except httpx.HTTPError as error:
                self.refuse(
                    502,
                    "gateway_unavailable",
                    f"The gateway broke the call ({type(error).__name__}); try again.",
                )
                return
            try:
                await self._relay(answer)
            finally:
                await answer.aclose()

    async def _relay(self, answer: httpx.Response) -> None:
        self.set_status(answer.status_code, answer.reason_phrase or None)
        for name in list(self._headers):
            self.clear_header(name)
        for name, value in self.answer_headers(list(answer.headers.multi_items())):
            self.add_header(name, value)
        try:
            if self.request.method == "HEAD" or answer.status_code in (204, 304):
                self.finish()
                return
            await self.flush()
            async for chunk in answer.aiter_raw():
                self.write(chunk)
                await self.flush()  # waits for a slow reader: nothing piles up here
        except httpx.HTTPError:
            # Broken upstream: the caller must see it as broken, so the connection goes without a proper end.
            connection = self.detach()
            connection.close()
            return
        except iostream.StreamClosedError:
            return  # the caller left; leaving the ``with`` cancels the call upstream
        self.finish()


class ControlHandler(ForwardHandler):
    """``model-service/api/v1/…``, ``health``, ``metrics``: small bodies, the gateway's own answers."""

    async def prepare(self) -> None:  # type: ignore[override]
        # Programs come here: the answer to "who are you" is a status, not a login page.
        await super().prepare(_redirect_to_login=False)
        if not self.current_user:
            raise web.HTTPError(403, "Sign in to Jupyter first, or send a Jupyter token.")

    async def _handle(self, path: str) -> None:
        if not path:
            self.finish({"api": "api/v1/", "document": "api/v1/openapi.json", "endpoints": "endpoints/OWNER/NAME/"})
            return
        if path.startswith("api/v1/gateway"):
            self.refuse(404, "not_found", "The gateway itself is run by the Jupyter server, not through it.")
            return
        await self.forward(path, self.request.body or None)

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def head(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def put(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def patch(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def delete(self, path: str) -> None:
        await self._handle(path)

    @web.authenticated
    @authorized
    async def options(self, path: str) -> None:
        await self._handle(path)


@web.stream_request_body
class EndpointHandler(websocket.WebSocketHandler, ForwardHandler):
    """``model-service/endpoints/OWNER/NAME/…``: any method, streaming both ways, WebSockets; pages are sandboxed.

    Tornado calls a streaming handler's method only after the whole body has arrived, so the forwarding starts in
    ``prepare`` (where the checks of the decorators therefore stand, too) and the method waits for its end.
    """

    _forwarding: asyncio.Task[None] | None = None
    _upload: _Upload | None = None
    _upstream: websocket.WebSocketClientConnection | None = None
    _pump: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        # Programs and sandboxed pages come here: the answer to "who are you" is a status, not a login page.
        await super().prepare(_redirect_to_login=False)
        if self._finished:
            return
        await self._admit()
        if self._is_upgrade():
            return
        if self.identity_provider.token in self.get_query_arguments("token", strip=False):
            # It would be in the address that reaches the model, and in its log.
            raise web.HTTPError(400, "Send the Jupyter token in the Authorization header, never in the address.")
        # Jupyter answers a token with a sign-in cookie; no answer of a model sets any.
        self.__dict__.pop("_new_cookie", None)
        if self.request.headers.get("Service-Worker", "").lower() == "script":
            raise web.HTTPError(403, "A model's script cannot become a service worker of this Jupyter server.")
        headers = self.request.headers
        if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
            # The front and the model decide what is too much; Jupyter's limit is for notebooks.
            cast(HTTP1Connection, self.request.connection).set_max_body_size(1 << 50)
            self._upload = _Upload()
        body = self._upload if self._upload is not None else None
        self._forwarding = asyncio.create_task(self.forward(self.path_args[0], body))
        if self._upload is not None:
            upload = self._upload
            self._forwarding.add_done_callback(lambda _: upload.abandon())

    async def _admit(self) -> None:
        """What ``@web.authenticated`` and ``@authorized`` do, before the first byte of the body is read."""
        if not self.current_user:
            raise web.HTTPError(403, "Sign in to Jupyter first, or send a Jupyter token.")
        action = "read" if self.request.method in ("GET", "HEAD", "OPTIONS") else "write"
        allowed = self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise web.HTTPError(403, f"{self.current_user.username} may not {action} model services here.")

    def _is_upgrade(self) -> bool:
        return self.request.headers.get("Upgrade", "").lower() == "websocket"

    async def data_received(self, chunk: bytes) -> None:
        if self._upload is not None:
            await self._upload.put(chunk)

    async def _finish_forwarding(self) -> None:
        if self._upload is not None:
            await self._upload.put(None)
        if self._forwarding is not None:
            await self._forwarding

    @web.authenticated
    async def get(self, path: str) -> None:  # type: ignore[override]
        if self._is_upgrade():
            await self._open_upstream(path)
        else:
            await self._finish_forwarding()

    @web.authenticated
    async def head(self, path: str) -> None:
        await self._finish_forwarding()

    @web.authenticated
    async def post(self, path: str) -> None:
        await self._finish_forwarding()

    @web.authenticated
    async def put(self, path: str) -> None:
        await self._finish_forwarding()

    @web.authenticated
    async def patch(self, path: str) -> None:
        await self._finish_forwarding()

    @web.authenticated
    async def delete(self, path: str) -> None:
        await self._finish_forwarding()

    @web.authenticated
    async def options(self, path: str) -> None:
        await self._finish_forwarding()

    def answer_headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        path = urlsplit(self.request.uri or "").path
        root, _, tail = path.partition("/model-service/endpoints/")
        owner, name, *_ = [*tail.split("/"), "", ""]
        return isolation.model_headers(headers, prefix=f"{root}/model-service/endpoints/{owner}/{name}")

    # --- WebSockets: the model's side opens first, so that its refusal is the caller's answer -----------------

    def check_origin(self, origin: str = "") -> bool:
        """Same origin only: a sandboxed model page has ``Origin: null`` and is refused."""
        origin = origin or self.request.headers.get("Origin", "")
        return urlsplit(origin).netloc == self.request.headers.get("Host")

    async def _open_upstream(self, path: str) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        headers = HTTPHeaders()
        for name, value in isolation.request_headers(self.request.headers.get_all()):
            if not name.lower().startswith("sec-websocket-"):
                headers.add(name, value)
        headers["Authorization"] = f"Bearer {gateway.token}"
        offered = [p.strip() for p in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        request = HTTPRequest(
            self.target(gateway, path).replace("http", "ws", 1), headers=headers, connect_timeout=30.0
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
        await super().get(path)

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
