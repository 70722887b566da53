"""Who may call an endpoint: tokens, their expiry and revocation, and services that are open to everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from jupyter_model_service.client import Client

from .conftest import Gateway, eventually
from .load import Caller

Model = Callable[..., Path]


def status(endpoint: str, token: str, path: str = "/work") -> tuple[int, dict[str, str], bytes]:
    async def body() -> tuple[int, dict[str, str], bytes]:
        caller = Caller(endpoint, token)
        try:
            return await caller.request("POST", path, b"x")
        finally:
            await caller.close()

    return asyncio.run(body())


def test_a_token_opens_its_own_endpoint_until_it_is_revoked_or_expires(client: Client, model: Model) -> None:
    mine = client.create(str(model("mine")), name="mine")
    other = client.create(str(model("other")), name="other")
    client.wait_ready("mine", timeout=60)
    client.wait_ready("other", timeout=60)
    token = client.generate_token("mine", token_name="a")
    assert status(mine.endpoint, token.token)[0] == 200
    refused, headers, answer = status(mine.endpoint, "jms_guessed")
    assert (refused, headers["x-model-service-error"]) == (401, "unauthenticated")
    assert headers["www-authenticate"].startswith("Bearer")
    assert b"guessed" not in answer
    assert status(other.endpoint, token.token)[0] == 404, "a token for another service"
    assert status(mine.endpoint.replace("/mine", "/nothing"), token.token)[0] == 404
    assert status(mine.endpoint, "", f"/work?token={token.token}")[0] == 400, "never from the query"
    used = [t for t in client.tokens("mine") if t.id == token.id]
    assert used[0].last_used_at is not None
    client.revoke_token("mine", token.id)
    assert status(mine.endpoint, token.token)[0] == 401, "at once"
    short = client.generate_token("mine", token_name="b", expires_in=1.0)
    eventually(lambda: status(mine.endpoint, short.token)[0] == 401, "the token expires", 10)


def test_a_token_cannot_manage(client: Client, gateway: Gateway, model: Model) -> None:
    service = client.create(str(model()), name="m")
    token = client.generate_token("m", token_name="a").token
    root = service.endpoint.split("/endpoints/")[0]

    async def body() -> int:
        caller = Caller(root, token)
        answer, _, _ = await caller.request("DELETE", f"/api/v1/services/{service.owner}/m")
        await caller.close()
        return answer

    assert asyncio.run(body()) in (401, 403, 404)
    assert client.get("m").name == "m"


def test_public_opens_and_closes_again(client: Client, model: Model) -> None:
    service = client.create(str(model()), name="m", public=True)
    client.wait_ready("m", timeout=60)
    assert status(service.endpoint, "")[0] == 200
    _, _, seen = status(service.endpoint, "some-hub-token", "/headers")
    assert b"some-hub-token" not in seen, "a model sees nobody's token"
    client.update("m", public=False)
    assert status(service.endpoint, "")[0] == 401


def test_secrets_are_in_no_log_event_listing_or_process_table(client: Client, gateway: Gateway, model: Model) -> None:
    client.create(str(model()), name="m")
    client.wait_ready("m", timeout=60)
    token = client.generate_token("m", token_name="a").token
    status(client.get("m").endpoint, token)
    told = client.get("m").model_dump_json() + "".join(e.model_dump_json() for e in client.events("m"))
    told += gateway.log.read_text() + "".join(" ".join(p.cmdline()) for p in gateway.processes())
    for log in gateway.data_dir.rglob("*.log"):
        told += log.read_text(errors="replace")
    database = b"".join(f.read_bytes() for f in gateway.data_dir.glob("state.db*"))
    for secret in (token, client.token):
        assert secret not in told
        assert secret.encode() not in database, "stored as a digest only"
    for process in gateway.processes():
        if "server.py" in " ".join(process.cmdline()):
            assert not any("SECRET" in name or "TOKEN" in name for name in process.environ())
