"""Signing in with the JupyterHub, as one of its OAuth clients: every service of a Hub that has an address is one
(``ports.Oauth``). What stands in a browser's address is good once, and only with the verifier that this gateway keeps
(PKCE, RFC 7636; JupyterHub 6 holds to it, 5 does not)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from ..core.hub_scopes import AUDIT
from ..errors import HubRefused, HubUnavailable, Unauthenticated

__all__ = ["HubOauth", "OauthClient"]

SECONDS = 15.0  # for one exchange: the Hub answers from its database


@dataclass(frozen=True)
class OauthClient:
    """``authorize`` is where browsers go, ``callback`` where the Hub sends them back to: the one address that it knows
    of this service. Both are as browsers see them, or paths at the Hub's own address. ``service``: its name there."""

    client_id: str
    service: str
    authorize: str
    callback: str


class HubOauth:
    """``api_url`` is the Hub's API as it is reached from here, ``secret`` the service's own token. Belongs to one event
    loop; ``close`` gives the connections back."""

    def __init__(
        self, api_url: str, secret: str, client: OauthClient, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = f"{api_url.rstrip('/')}/oauth2/token"
        self._secret = secret
        self._client = client
        # Neither a proxy nor a .netrc of the environment may see what is exchanged.
        self._http = httpx.AsyncClient(trust_env=False, transport=transport, timeout=SECONDS)

    def __repr__(self) -> str:
        return f"<HubOauth of {self._url}>"

    async def close(self) -> None:
        await self._http.aclose()

    def authorize_url(self, state: str, challenge: str, *, audits: bool = False) -> str:
        # Asked for nothing, the Hub takes all that the client may have, and logs a warning about whoever has less.
        scope = AUDIT if audits else f"access:services!service={self._client.service}"
        query = {
            "client_id": self._client.client_id,
            "redirect_uri": self._client.callback,
            "response_type": "code",
            "scope": scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._client.authorize}?{urlencode(query)}"

    async def exchange(self, code: str, verifier: str) -> str:
        form = {
            "client_id": self._client.client_id,
            "client_secret": self._secret,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.callback,
            "code_verifier": verifier,
        }
        try:
            answer = await asyncio.wait_for(self._http.post(self._url, data=form), SECONDS)
        except (httpx.HTTPError, asyncio.TimeoutError, TimeoutError) as error:
            raise HubUnavailable("The Hub cannot be asked who has signed in; try again.") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise HubUnavailable(f"The Hub does not say who has signed in: status {answer.status_code}.")
        try:
            said = answer.json()
        except ValueError:
            said = None
        token = said.get("access_token") if isinstance(said, dict) else None
        if answer.status_code == 200 and isinstance(token, str) and token:
            return token
        if answer.status_code == 401 or (isinstance(said, dict) and said.get("error") == "invalid_client"):
            raise HubRefused(
                "The Hub does not know this service as one to sign in to: install() in its configuration adds it.",
                hub_status=answer.status_code,
            )
        raise Unauthenticated("This sign-in is not good any more: begin again.")
