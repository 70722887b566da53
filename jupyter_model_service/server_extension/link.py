"""The tie between one Jupyter server and its user's gateway: find it, start it, stay attached, notice its death. In a
server of a hub there is nothing of that to do: the hub's gateway is there, with or without us."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from ..client.address import Address
from ..discovery import GatewayFile, alive, find_gateway, start_gateway
from ..errors import GatewayUnavailable

#: How often the runtime file is looked at: a restarted gateway knows us again within this time (its grace is 60 s).
WATCH_SECONDS = 2.0


class Link(Protocol):
    """What the handlers need. ``owner``: the only user whose calls are forwarded, ``None`` for whoever may use this
    server. ``remote``: the gateway cannot read this user's folders."""

    owner: str | None
    remote: bool
    transport: httpx.AsyncHTTPTransport

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def ensure(self) -> GatewayFile | Address:
        """Where the gateway is, and the token to use. Raises ``GatewayUnavailable``."""


def _transport() -> httpx.AsyncHTTPTransport:
    # One for all calls: making the TLS context of a client takes milliseconds of the loop's time, each time.
    # A bare transport, since a client would keep one caller's cookies for the next. No idle connections: one
    # that the gateway closed (a restart) would fail a POST that cannot be repeated.
    return httpx.AsyncHTTPTransport(
        trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
    )


class HubLink:
    """To the gateway of a hub, with the token of this server, which stands for its ``owner``: nobody else's calls may
    go with it, such as those of a colleague who was let into this server."""

    remote = True

    def __init__(self, address: Address, owner: str) -> None:
        self.owner: str | None = owner
        self.transport = _transport()
        self._address = address

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        await self.transport.aclose()

    async def ensure(self) -> Address:
        return self._address


class GatewayLink:
    """Owned by the extension; ``start`` and ``stop`` bracket its one background task.

    ``ensure`` finds or starts the gateway and is what a request waits for. The task only attaches to gateways that
    exist and restarts one that died while services were being served through it; it starts none out of nowhere, so
    that a notebook user who never serves a model never runs a gateway.
    """

    owner: str | None = None
    remote = False

    def __init__(self, data_dir: Path | None, *, keep: bool, log: logging.Logger) -> None:
        self._data_dir = data_dir
        self._keep = keep
        self._log = log
        self._found: GatewayFile | None = None
        self._attached: tuple[int, float] | None = None
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.transport = _transport()

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="model-service-link")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.transport.aclose()

    async def ensure(self) -> GatewayFile:
        """The running gateway, started if need be and attached to this server. Raises ``GatewayUnavailable``."""
        found = self._found
        if found is not None and self._attached == (found.pid, found.create_time) and alive(found):
            return found
        async with self._lock:
            found = await asyncio.to_thread(find_gateway, self._data_dir)
            if found is None:
                self._log.info("Starting the model-service gateway.")
                found = await asyncio.to_thread(start_gateway, self._data_dir, keep=self._keep, timeout=30.0)
            await self._attach(found)
            return found

    async def _attach(self, gateway: GatewayFile) -> None:
        if self._attached != (gateway.pid, gateway.create_time):
            me = psutil.Process(os.getpid())
            body = {"pid": me.pid, "create_time": me.create_time(), "keep": self._keep}
            try:
                async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
                    answer = await client.post(
                        gateway.url.rstrip("/") + "/api/v1/gateway/attach",
                        json=body,
                        headers={"Authorization": f"Bearer {gateway.token}"},
                    )
                    answer.raise_for_status()
            except httpx.HTTPError as error:
                raise GatewayUnavailable(
                    f"The model-service gateway (pid {gateway.pid}) does not answer: {type(error).__name__}. "
                    "If this stays so, stop it with: jupyter model-service gateway --stop"
                ) from error
            self._attached = (gateway.pid, gateway.create_time)
        self._found = gateway

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # the task's guard: a failed look is told and repeated, never the end
                self._log.warning("model-service: %s", error)
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        found = await asyncio.to_thread(find_gateway, self._data_dir)
        if found is not None:
            async with self._lock:
                await self._attach(found)
        elif self._died():
            self._log.warning("The model-service gateway ended unexpectedly; starting it again.")
            await self.ensure()

    def _died(self) -> bool:
        """Whether the gateway that we were attached to is gone without having taken its runtime file away.

        An orderly stop (``gateway --stop``) removes the file, a crash leaves it behind.
        """
        return self._found is not None and not alive(self._found) and self._found.path.exists()
