"""Signing in with the Hub, as one of its OAuth clients."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_model_service.adapters.hub_oauth import HubOauth, OauthClient
from jupyter_model_service.core.hub_scopes import AUDIT
from jupyter_model_service.errors import HubRefused, HubUnavailable, ModelServiceError, Unauthenticated
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_sign_in import CALLBACK, CLIENT, Granted

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def at(hub: FakeHub, body: Callable[[HubOauth], Awaitable[None]], *, secret: str | None = None) -> None:
    async def main() -> None:
        client = OauthClient(CLIENT, "model-service", "/hub/api/oauth2/authorize", CALLBACK)
        oauth = HubOauth(hub.url, hub.token if secret is None else secret, client)
        try:
            await body(oauth)
        finally:
            await oauth.close()

    asyncio.run(main())


def test_a_code_becomes_the_token_of_who_signed_in_once() -> None:
    async def body(oauth: HubOauth) -> None:
        token = await oauth.exchange("code", VERIFIER)
        assert hub.tokens[token].owner == "ann"
        with pytest.raises(Unauthenticated):
            await oauth.exchange("code", VERIFIER)
        hub.codes["other"] = Granted("ann", "s", CHALLENGE)
        with pytest.raises(Unauthenticated):
            await oauth.exchange("other", "w" * 43)

    with FakeHub(users=["ann"]) as hub:
        hub.codes["code"] = Granted("ann", "s", CHALLENGE)
        at(hub, body)


@pytest.mark.parametrize(
    ("wrong", "error"), [("down", HubUnavailable), ("500", HubUnavailable), ("secret", HubRefused)]
)
def test_what_cannot_be_found_out_is_said_and_nothing_secret(wrong: str, error: type[ModelServiceError]) -> None:
    async def body(oauth: HubOauth) -> None:
        if wrong == "down":
            hub.down()
        with pytest.raises(error) as said:
            await oauth.exchange("code", VERIFIER)
        for secret in ("code", VERIFIER, hub.token, "another secret"):
            assert secret not in str(said.value)
        if wrong == "down":
            hub.up()

    with FakeHub(users=["ann"]) as hub:
        hub.codes["code"] = Granted("ann", "s", CHALLENGE)
        if wrong == "500":
            hub.fail(500, path="/oauth2/token")
        at(hub, body, secret="another secret" if wrong == "secret" else None)


def test_browsers_are_sent_with_state_and_challenge_and_no_secret() -> None:
    async def body(oauth: HubOauth) -> None:
        for audits, scope in ((False, "access:services!service=model-service"), (True, AUDIT)):
            url = urlsplit(oauth.authorize_url("a&b", CHALLENGE, audits=audits))
            assert url.path == "/hub/api/oauth2/authorize"
            assert {name: values[0] for name, values in parse_qs(url.query).items()} == {
                "client_id": CLIENT,
                "redirect_uri": CALLBACK,
                "response_type": "code",
                "scope": scope,
                "state": "a&b",
                "code_challenge": CHALLENGE,
                "code_challenge_method": "S256",
            }
            assert "a secret" not in f"{url}{oauth!r}"

    with FakeHub() as hub:
        at(hub, body, secret="a secret")
