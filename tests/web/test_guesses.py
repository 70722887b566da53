"""Wrong tokens at the control API count like those at the front, by the caller's address."""

from __future__ import annotations

from typing import Any

import httpx

from jupyter_model_service.core.guessing import Guesses

from .conftest import CONTROL


def test_after_twenty_wrong_tokens_an_address_waits(site: Any) -> None:
    """Another one does not, nor who is known; and what was counted here counts at the front."""
    site.guesses = guesses = Guesses()

    async def ask(client: httpx.AsyncClient, token: str, address: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Model-Service-Address": address}
        return await client.get("/api/v1/services", headers=headers)

    async def body(client: httpx.AsyncClient) -> None:
        for i in range(20):
            got = await ask(client, f"wrong-{i}", "203.0.113.7")
            assert got.status_code == 401
        got = await ask(client, "wrong-next", "203.0.113.7")
        assert (got.status_code, got.json()["error"]["code"]) == (429, "too_many_attempts")
        assert int(got.headers["Retry-After"]) >= 1
        assert guesses.may_ask(b"203.0.113.7", "wrong-next", 0.0) is not None
        assert (await ask(client, "wrong-next", "203.0.113.8")).status_code == 401
        assert (await ask(client, CONTROL, "203.0.113.7")).status_code == 200

    site.run(body, None)
