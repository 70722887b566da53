"""The whole gateway of a hub in this process, over a fake Hub: who may do what is tried as people do, by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from jupyter_model_service.app.files import DataDirectory
from jupyter_model_service.app.gateway import Gateway
from jupyter_model_service.app.hub_gateway import hub_at_rest, hub_gateway
from jupyter_model_service.config import HubService, ModelService
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.hub_scopes import AUDIT, MANAGE
from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.ports import Clock

from .hub import FakeHub
from .hub_sign_in import CALLBACK, CLIENT
from .site import Site

__all__ = ["PREFIX", "HubSite", "hub_site"]

PREFIX = "/services/model-service/"
TOKEN_USER = "model-service-tokens"
AUDIT_KEPT = 90 * 86400.0  # seconds; another time than the usual one
_SECONDS = 30.0  # for a start, or an end, on a busy machine


class HubSite(Site):
    """At the gateway's own address: the Hub's proxy is not there."""

    def __init__(self, hub: FakeHub, address: str) -> None:
        super().__init__(address, f"{address}{PREFIX}")
        self.hub = hub

    @property
    def key(self) -> str:
        return self.hub.key

    def notebook(self, user: str) -> str:
        return self.hub.add_token(user, [f"access:servers!server={user}/", f"read:users:name!user={user}"])

    def visitor(self, user: str) -> str:
        return self.hub.add_token(user, ["access:services!service=model-service"])

    def manager(self, user: str) -> str:
        return self.hub.add_token(user, [f"{MANAGE}!user={user}"])

    def administrator(self, user: str = "admin") -> str:
        return self.hub.add_token(user, ["admin:servers", "servers", "access:servers", "access:services"])

    def auditor(self, user: str) -> str:
        return self.hub.add_token(user, [AUDIT])

    def of_a_replica(self, user: str, server: str) -> str:
        return self.hub.add_token(user, [f"access:servers!server={user}/{server}"])

    def expired(self, user: str) -> str:
        return self.hub.add_token(user, [f"access:servers!server={user}/"], expires_at=1.0)

    def sign_out(self, user: str, token: str) -> None:
        del self.hub.tokens[token]


@contextlib.asynccontextmanager
async def hub_site(
    hub: FakeHub,
    folder: Path,
    policy: Policy | None = None,
    *,
    hosts: Hosts | None = None,
    base: str | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[HubSite]:
    """The gateway runs until the end of the block; a second one in the same ``folder`` is its next life. In the main
    thread, since it obeys signals. ``base``: the address by which people come, where it is another; ``clock``: the
    gateway's, where it is not the machine's."""
    key, port = _with_key(folder, hub.key), _free_port()
    address = f"http://127.0.0.1:{port}"
    told = HubService(
        api_url=hub.url,
        api_token=hub.token,
        service_name="model-service",
        prefix=PREFIX,
        host="127.0.0.1",
        port=port,
        base=f"{base or address}{PREFIX}",
        data_dir=folder,
        key_file=key,
        policy=policy or Policy(model_volumes=(VolumeRule("models"),)),
        token_user=TOKEN_USER,
        hosts=hosts,
        oauth_client=CLIENT,
        oauth_authorize="/hub/api/oauth2/authorize",
        oauth_callback=CALLBACK,
        audit_kept=AUDIT_KEPT,
        audit_log="audit.jsonl",
    )
    if TOKEN_USER not in hub.users:
        hub.add_user(TOKEN_USER)
    settings = ModelService().settings(told)
    with DataDirectory(folder, folder) as files:
        gateway = Gateway(settings, files, hub_gateway(settings, told, files), hub_at_rest(told), clock)
        running = asyncio.ensure_future(gateway.run())
        site = HubSite(hub, address)
        try:
            await asyncio.wait_for(_up(site, running), _SECONDS)
            yield site
        finally:
            gateway.end("the test is over")
            await asyncio.wait({running}, timeout=_SECONDS)
            await site.close()
        running.result()


def _with_key(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    key = folder / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(text)
    return key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _up(site: HubSite, running: asyncio.Future[None]) -> None:
    while not running.done():
        with contextlib.suppress(httpx.TransportError):
            if (await site.request("GET", "health/ready", token=None)).status_code == 200:
                return
        await asyncio.sleep(0.02)
    running.result()
