"""The Tornado handler of the control API: it forwards to the gateway, and completes what that cannot read.

The user was authenticated by Jupyter (``@web.authenticated``, XSRF included); from here on the gateway's own control
token speaks for her, and nothing of her cookies or tokens goes further.
"""

from __future__ import annotations

import asyncio

from jupyter_server.auth.decorator import authorized
from tornado import web

from ..client.calls import Key
from ..errors import ModelServiceError
from . import isolation
from .completing import complete, described, offered, service_of, takes_a_folder
from .forwarding import SIGN_IN, ForwardHandler


class ProgramHandler(ForwardHandler):
    """For programs, and for pages by their scripts: who may not is told so, in JSON."""

    async def prepare(self) -> None:  # type: ignore[override]
        # The answer to "who are you" is a status, not a login page.
        if self.refuse_token_in_address():
            return
        await super().prepare(_redirect_to_login=False)
        if self._finished or self.refuse_token_in_address():
            return
        if not self.current_user:
            self.refuse(403, "jupyter", SIGN_IN)
        elif isolation.has_dot_segment(self.raw_target()):
            self.refuse(400, "bad_path", "The path has a '.' or '..' segment: send the address that is meant.")


class ControlHandler(ProgramHandler):
    """``model-service/api/v1/…``, ``health``, ``metrics``: small bodies, the gateway's own answers."""

    async def _handle(self, path: str) -> None:
        if not path:
            self.finish({"api": "api/v1/", "document": "api/v1/openapi.json", "endpoints": "endpoints/OWNER/NAME/"})
            return
        if path.startswith("api/v1/gateway"):
            self.refuse(404, "not_found", "The gateway itself is run by the Jupyter server, not through it.")
            return
        if self.link.remote and (key := service_of(self.request.method or "", path)) is not None:
            await self._describe(key)
            return
        if self.link.remote and self.request.method == "GET" and path == "api/v1/offer":
            await self._offer()
            return
        body = self.request.body or None
        if self.link.remote and takes_a_folder(self.request.method or "", path):
            body = await self._completed(path, self.request.body)
            if body is None:
                return
        await self.forward(body)

    async def _describe(self, key: Key) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        try:
            service = await asyncio.to_thread(described, gateway.url, gateway.token, key)
        except ModelServiceError as error:
            self.refuse(error.status, error.code, error.message)
            return
        self.set_header("Cache-Control", "no-store")
        self.finish(service)

    async def _offer(self) -> None:
        gateway = await self.gateway()
        if gateway is None:
            return
        try:
            offer = await asyncio.to_thread(offered, gateway.url, gateway.token)
        except ModelServiceError as error:
            self.refuse(error.status, error.code, error.message)
            return
        self.set_header("Cache-Control", "no-store")
        self.finish(offer)

    async def _completed(self, path: str, body: bytes) -> bytes | None:
        """With what the gateway cannot read itself; ``None`` after an error was answered."""
        gateway = await self.gateway()
        if gateway is None:
            return None
        try:
            return await asyncio.to_thread(complete, gateway.url, gateway.token, path, body)
        except ModelServiceError as error:
            self.refuse(error.status, error.code, error.message, error.problems)
            return None

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
