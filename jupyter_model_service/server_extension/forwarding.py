"""What both kinds of handlers share: the way to the gateway and back, bodies streaming both ways."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from jupyter_server.base.handlers import JupyterHandler
from tornado import iostream
from tornado.httputil import HTTPInputError

from ..client.address import Address
from ..discovery import GatewayFile
from ..errors import ModelServiceError, Problem
from . import isolation
from .link import Link

#: No total limit: streams may last. Connecting and the wait between two bytes are the front's business
#: (it has the service's own limits); these only end what nobody watches any more.
_TIMEOUT = httpx.Timeout(None, connect=5.0, pool=5.0)

SIGN_IN = "Sign in to Jupyter first, or send a Jupyter token."


class Upload:
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


_closing: set[asyncio.Task[None]] = set()  # those that a caller no longer waits for


async def _given_up(answer: httpx.Response) -> None:
    """Ends the call upstream, unless all of it has come. A caller who leaves cancels the task that waits here, too:
    httpx would stop half-way, and the connection to the gateway would stay open, full and in flight for minutes."""
    task = asyncio.get_running_loop().create_task(answer.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    with contextlib.suppress(httpx.HTTPError):
        await asyncio.shield(task)


class ForwardHandler(JupyterHandler):
    """Shared by both kinds; ``auth_resource`` lets Jupyter's authorizers tell model services apart."""

    auth_resource = "model-service"
    gateway_path = ""  # of the gateway that the call went to
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    @property
    def link(self) -> Link:
        return self.settings["model_service_link"]  # type: ignore[no-any-return]

    async def gateway(self) -> GatewayFile | Address | None:
        """The gateway, or ``None`` after the error was answered."""
        if self.refuse_visitor():
            return None
        try:
            return await self.link.ensure()
        except ModelServiceError as error:
            self.refuse(error.status, error.code, error.message)
            return None

    def refuse_visitor(self) -> bool:
        """Whether the call was refused: somebody else was let into this user's server."""
        owner = self.link.owner
        if owner is None or getattr(self.current_user, "username", None) == owner:
            return False
        self.refuse(
            403,
            "forbidden",
            f"Model services are called from here with the rights of {owner}, whose server this is: use your own.",
        )
        return True

    def refuse(self, status: int, code: str, message: str, problems: Sequence[Problem] = ()) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Model-Service-Error", code)
        found = {"problems": [dataclasses.asdict(each) for each in problems]} if problems else {}
        self.finish({"error": {"code": code, "message": message, **found, **self.error_fields(status, code, message)}})

    def error_fields(self, status: int, code: str, message: str) -> Mapping[str, str | None]:
        """What an error of ours has besides."""
        return {}

    def raw_target(self) -> str:
        """What follows ``model-service/`` in the request line as it came: %2F in a model's path stays %2F."""
        return (self.request.uri or "").removeprefix(f"{self.base_url}model-service/")

    def endpoint(self) -> str:
        """``endpoints/OWNER/NAME`` as it came; empty where the address has none."""
        return "/".join(self.raw_target().partition("?")[0].split("/")[:3])

    def place(self) -> isolation.Place:
        """Where the caller sees the endpoint."""
        here, endpoint = f"{self.base_url}model-service", self.endpoint()
        path = "/" + self.raw_target().removeprefix(endpoint).lstrip("/")
        root = f"{here}/{endpoint}".rstrip("/")
        return isolation.Place(root, self.request.headers.get("Host", ""), path, self.gateway_path, here)

    def sent_headers(self) -> list[tuple[str, str]]:
        """What the gateway is told of the caller. Tornado decides whether a proxy in front of Jupyter is believed."""
        request = self.request
        return [
            *isolation.request_headers(request.headers.get_all()),
            *isolation.public_headers(
                base_url=self.base_url,
                protocol=request.protocol,
                host=request.headers.get("Host", ""),
                remote=request.remote_ip or "",
            ),
        ]

    def refuse_token_in_address(self) -> bool:
        """Whether the call was refused: the address reaches the model and its log, and with it the token would."""
        values = self.request.query_arguments.get("token", [])
        known = isolation.holds_token(values, str(self.identity_provider.token or ""))
        # Another identity provider (JupyterHub's) has tokens that only it knows; it believes the address first.
        believed = hasattr(self, "_jupyter_current_user") and self.token_authenticated and any(map(bytes.strip, values))
        if not known and not believed:
            return False
        self.__dict__.pop("_new_cookie", None)
        self.request.uri = f"{self.request.path}?token=[secret]"  # logs show the address of what was refused
        self.refuse(
            400, "token_in_address", "Send the Jupyter token in the Authorization header, never in the address."
        )
        return True

    def answer_headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return isolation.gateway_headers(headers)

    def compute_etag(self) -> str | None:
        return None  # only the model can say what its page is; of the empty body of a HEAD it would be wrong

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self.request.headers.get("Accept", "").startswith("text/html"):
            super().write_error(status_code, **kwargs)
            return
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        self.set_header("Content-Type", "application/json")
        self.finish({"error": {"code": "jupyter", "message": str(message)}, "message": str(message)})

    async def forward(self, body: Any) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        sent = self.sent_headers()
        length = str(len(body)) if isinstance(body, bytes) else self.request.headers.get("Content-Length")
        if body is not None and length is not None:
            sent.append(("Content-Length", length))
        sent.append(("Authorization", f"Bearer {gateway.token}"))
        sent.append(("Accept-Encoding", self.request.headers.get("Accept-Encoding", "identity")))
        request = httpx.Request(
            self.request.method or "GET",
            gateway.url,
            headers=sent,
            content=body,
            # Untouched: httpx would collapse dot segments, after the routes here were chosen by them.
            extensions={"target": self._gateway_target(gateway), "timeout": _TIMEOUT.as_dict()},
        )
        try:
            answer = await self.link.transport.handle_async_request(request)
        except httpx.HTTPError as error:
            self.refuse(502, "gateway_unavailable", f"The gateway broke the call ({type(error).__name__}); try again.")
            return
        answer.request = request
        try:
            await self._relay(answer)
        finally:
            await _given_up(answer)

    def _gateway_target(self, gateway: GatewayFile | Address) -> bytes:
        self.gateway_path = httpx.URL(gateway.url).raw_path.decode().rstrip("/")
        return quote(f"{self.gateway_path}/{self.raw_target()}".encode("latin-1"), safe=isolation.VISIBLE).encode()

    async def _relay(self, answer: httpx.Response) -> None:
        self.set_status(answer.status_code, answer.reason_phrase or None)
        for name in list(self._headers):
            self.clear_header(name)
        # Bytes beyond ASCII (a file name in UTF-8) pass as they are: Tornado writes latin-1.
        raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw]
        for name, value in self.answer_headers(raw):
            with contextlib.suppress(ValueError, HTTPInputError):  # no legal header: the rest of the answer is good
                self.add_header(name, value)
        try:
            if self.request.method == "HEAD" or answer.status_code in (204, 304):
                await self.flush()  # before finish(), which would make up a length of 0
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
            return  # the caller left; closing the answer cancels the call upstream
        await self.body_has_come()
        self.finish()

    async def body_has_come(self) -> None:
        """What has to come of a request before its answer may end."""
