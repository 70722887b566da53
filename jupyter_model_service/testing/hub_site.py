"""The whole gateway of a hub in this process, over a fake Hub: who may do what is tried as people do, by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.app.files import DataDirectory
from jupyter_model_service.app.gateway import Gateway
from jupyter_model_service.app.hub_gateway import hub_at_rest, hub_gateway
from jupyter_model_service.config import HubService, ModelService
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.hub_scopes import AUDIT, MANAGE
from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.core.visits import VISIT_COOKIE, state_of
from jupyter_model_service.ports import Clock
from jupyter_model_service.web.page_session import BROWSER_COOKIE, PAGE_COOKIE

from .hub import FakeHub
from .hub_sign_in import CALLBACK, CLIENT

__all__ = ["PREFIX", "HubSite", "hub_site", "page_cookies", "visit_cookie"]

PREFIX = "/services/model-service/"
TOKEN_USER = "model-service-tokens"
DEFINITION = "models:\n- name: m\n  model_path: /models\n  service:\n    start_command: [serve]\n    port: 8000\n"
AUDIT_KEPT = 90 * 86400.0  # seconds; another time than the usual one
_SECONDS = 30.0  # for a start, or an end, on a busy machine


def page_cookies(key: str, token: str) -> str:
    """Of a browser whose owner has signed in to our pages with ``token``, as a gateway with this key seals them."""
    browser = "b" * 43
    sealed = SealedVisits(key, SystemClock(), "page").seal(state_of(browser), token, time.time() + 3600.0)
    return f"{PAGE_COOKIE}={sealed}; {BROWSER_COOKIE}={browser}"


def visit_cookie(key: str, service_id: str, token: str, seconds: float = 3600.0) -> str:
    """Of a browser whose owner has signed in to the pages of that service with ``token``, for so long."""
    sealed = SealedVisits(key, SystemClock()).seal(service_id, token, time.time() + seconds)
    return f"{VISIT_COOKIE.decode()}={sealed}"


class HubSite:
    """``address`` is the gateway's own; the Hub's proxy is not there."""

    def __init__(self, hub: FakeHub, address: str) -> None:
        self.hub, self.address = hub, address
        self._http = httpx.AsyncClient(base_url=f"{address}{PREFIX}", trust_env=False, timeout=_SECONDS)

    async def close(self) -> None:
        await self._http.aclose()

    # --- tokens, as the Hub gives them ---

    def notebook(self, user: str) -> str:
        """The token of the user's own notebook server."""
        return self.hub.add_token(user, [f"access:servers!server={user}/", f"read:users:name!user={user}"])

    def visitor(self, user: str) -> str:
        """One that may access this service, and nothing else."""
        return self.hub.add_token(user, ["access:services!service=model-service"])

    def manager(self, user: str) -> str:
        return self.hub.add_token(user, [f"{MANAGE}!user={user}"])

    def administrator(self, user: str = "admin") -> str:
        return self.hub.add_token(user, ["admin:servers", "servers", "access:servers", "access:services"])

    def auditor(self, user: str) -> str:
        return self.hub.add_token(user, [AUDIT])

    def of_a_replica(self, user: str, server: str) -> str:
        """The one that the Hub makes for a replica's server, and that no replica gets."""
        return self.hub.add_token(user, [f"access:servers!server={user}/{server}"])

    def expired(self, user: str) -> str:
        return self.hub.add_token(user, [f"access:servers!server={user}/"], expires_at=1.0)

    def sign_out(self, user: str, token: str) -> None:
        """The Hub forgets the token that it gave for a visit."""
        del self.hub.tokens[token]

    def signed_in(self, token: str) -> str:
        """The cookies of a browser whose owner has signed in to our pages and got this token of the Hub."""
        return page_cookies(self.hub.key, token)

    def visit(self, service_id: str, token: str, *, seconds: float = 3600.0, key: str | None = None) -> str:
        """The cookie of somebody with this token of the Hub who has signed in to the pages of that service."""
        return visit_cookie(key or self.hub.key, service_id, token, seconds)

    # --- the gateway ---

    async def api(self, method: str, path: str, body: Any = None, *, token: str | None) -> httpx.Response:
        """``path`` below ``api/v1/``."""
        return await self.request(method, f"api/v1/{path}", token=token, json=body)

    async def call(self, service: str, token: str | None, path: str = "", method: str = "GET") -> httpx.Response:
        """The endpoint of ``owner/name``."""
        return await self.request(method, f"endpoints/{service}/{path}", token=token)

    async def request(self, method: str, path: str, *, token: str | None, **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self._http.request(method, path, headers=headers, **more)

    async def status(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> int:
        return (await self.head(method, path, headers, **more)).status_code

    async def head(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> httpx.Response:
        """Without the body: an event stream has no end."""
        async with self._http.stream(method, path, headers=headers, **more) as answer:
            return answer

    async def deploy(self, name: str, token: str, **more: Any) -> dict[str, Any]:
        """A service without replicas: a call that is let in finds none (503), and nothing has to be started."""
        definition = {"file": "model-definition.yaml", "text": DEFINITION}
        body = {"folder": "volume:models", "definition": definition, "name": name, "replicas": 0, **more}
        answer = await self.api("POST", "services", body, token=token)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


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
