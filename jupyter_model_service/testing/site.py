"""A hub's gateway as tests ask it by HTTP, and as whom: the same over a fake Hub (:mod:`.hub_site`) and a real one."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import httpx

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.core.visits import VISIT_COOKIE, state_of
from jupyter_model_service.web.page_session import BROWSER_COOKIE, PAGE_COOKIE

__all__ = ["DEFINITION", "Site"]

DEFINITION = "models:\n- name: m\n  model_path: /models\n  service:\n    start_command: [serve]\n    port: 8000\n"
_SECONDS = 30.0  # for an answer, on a busy machine


class Site(ABC):
    """``address`` is where the hosts of services are answered, ``service_url`` where people come to the service, with a
    slash at the end. Belongs to one event loop."""

    def __init__(self, address: str, service_url: str) -> None:
        self.address = address
        self._http = httpx.AsyncClient(base_url=service_url, trust_env=False, timeout=_SECONDS)

    async def close(self) -> None:
        await self._http.aclose()

    # --- tokens, as the Hub gives them ---

    @abstractmethod
    def notebook(self, user: str) -> str:
        """The token of the user's own notebook server."""

    @abstractmethod
    def visitor(self, user: str) -> str:
        """One that may access this service, and nothing else."""

    @abstractmethod
    def administrator(self) -> str:
        """One with all that an administrator of the Hub may do."""

    @abstractmethod
    def auditor(self, user: str) -> str:
        """One that may read the audit log, and nothing else."""

    @abstractmethod
    def of_a_replica(self, user: str, server: str) -> str:
        """The one that the Hub makes for a replica's server, and that no replica gets."""

    @abstractmethod
    def expired(self, user: str) -> str:
        """One that was good until a moment ago."""

    @abstractmethod
    def sign_out(self, user: str, token: str) -> None:
        """The Hub forgets the token that it gave for a visit."""

    # --- browsers, whose cookies the gateway seals ---

    @property
    @abstractmethod
    def key(self) -> str:
        """The Hub's and the gateway's."""

    def signed_in(self, token: str) -> str:
        """The cookies of a browser whose owner has signed in to our pages and got this token of the Hub."""
        browser = "b" * 43
        sealed = SealedVisits(self.key, SystemClock(), "page").seal(state_of(browser), token, time.time() + 3600.0)
        return f"{PAGE_COOKIE}={sealed}; {BROWSER_COOKIE}={browser}"

    def visit(self, service_id: str, token: str, *, seconds: float = 3600.0, key: str | None = None) -> str:
        """The cookie of somebody with this token of the Hub who has signed in to the pages of that service; for so many
        ``seconds``."""
        sealed = SealedVisits(key or self.key, SystemClock()).seal(service_id, token, time.time() + seconds)
        return f"{VISIT_COOKIE.decode()}={sealed}"

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
