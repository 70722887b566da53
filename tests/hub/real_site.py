"""A real Hub as ``tests.security`` asks it: the people of its table, with real tokens, by way of the Hub's proxy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx

from jupyter_model_service.adapters.key_file import read_key
from jupyter_model_service.core.hub_scopes import AUDIT
from jupyter_model_service.testing.site import Site
from tests.security.people import USERS

from .deployment import ADMIN, Deployment, eventually
from .mirror import VISITING, members

#: What the table needs of ``install()``: hosts for services, and a folder that nobody has to be asked for.
INSTALLED = (("endpoints_url", "http://*.models.localhost"), ("model_volumes", ("models",)))

#: By which audra may read the audit log, and nothing else besides what every user may: for ``Setup.after``.
AUDITORS = f"""
c.JupyterHub.load_groups = {{"auditors": {{"users": ["audra"]}}}}
c.JupyterHub.load_roles.append({{"name": "auditors", "groups": ["auditors"], "scopes": ["{AUDIT}"]}})
"""

#: What the Hub's proxy passes on to nobody is asked for at the gateway itself.
STRAIGHT = {"BREW", "CONNECT"}


class RealSite(Site):
    """``address`` is the gateway's own, to which whatever serves the services' hosts passes them on; all else goes
    through the Hub's proxy."""

    def __init__(self, hub: Deployment) -> None:
        super().__init__(f"http://{hub.network.address}:{hub.gateway_port}", hub.service_url)
        self.hub = hub

    @property
    def key(self) -> str:
        return read_key(self.hub.folder / "model-service" / "sealing.key")

    def notebook(self, user: str) -> str:
        """alice's is the one in her container; another's is made with what the Hub says of that, of her own server."""
        inside = self.hub.notebook("alice").exec("printenv", "JUPYTERHUB_API_TOKEN").stdout.strip()
        return inside if user == "alice" else self._with_scopes_of(inside, user, "")

    def of_a_replica(self, user: str, server: str) -> str:
        """With what the Hub gives to the server that a replica is to it."""
        return self._with_scopes_of(self.notebook("alice"), user, server)

    def _with_scopes_of(self, notebook: str, user: str, server: str) -> str:
        scopes = self.hub.api("GET", "/user", token=notebook).json()["scopes"]
        assert "access:servers!server=alice/" in scopes, scopes
        theirs = [
            each.replace("=alice/", f"={user}/{server}").replace("!user=alice", f"!user={user}") for each in scopes
        ]
        made = self.hub.token(user, scopes=theirs)
        assert set(self.hub.api("GET", "/user", token=made).json()["scopes"]) == set(theirs)
        return made

    def visitor(self, user: str) -> str:
        return self.hub.token(user, scopes=[VISITING])

    def administrator(self) -> str:
        return self.hub.token(ADMIN)

    def auditor(self, user: str) -> str:
        return self.hub.token(user, scopes=[AUDIT])

    def expired(self, user: str) -> str:
        """All that she may, for one second, which is over."""
        token = self.hub.token(user, expires_in=1)
        eventually(lambda: self.hub.api("GET", "/user", token=token).status_code == 403, "its end at the Hub", 10)
        return token

    def sign_out(self, user: str, token: str) -> None:
        token_id = self.hub.api("GET", "/user", token=token).json()["token_id"]
        assert self.hub.api("DELETE", f"/users/{user}/tokens/{token_id}").status_code == 204

    async def head(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> httpx.Response:
        if method in STRAIGHT and "://" not in path:
            path = f"{self.hub.gateway_url}{path}"
        return await super().head(method, path, headers, **more)


@contextlib.asynccontextmanager
async def real_site(hub: Deployment) -> AsyncIterator[RealSite]:
    site = RealSite(hub)
    try:
        yield site
    finally:
        await site.close()


@contextlib.contextmanager
def peopled(hub: Deployment) -> Iterator[None]:
    """The people of the table are there, and at the end neither they nor any service."""
    eventually(hub.gateway_answers, "a gateway that answers")
    told = httpx.Client(base_url=f"{hub.service_url}api/v1/", trust_env=False, timeout=30.0)
    told.headers["Authorization"] = f"Bearer {hub.token(ADMIN)}"

    def services() -> list[str]:
        return [f"{each['owner']}/{each['name']}" for each in told.get("services").json()["services"]]

    known = {each["name"] for each in hub.api("GET", "/users").json()}
    made = [user for user in USERS if user not in known]
    for user in made:
        assert hub.api("POST", f"/users/{user}").status_code == 201
    try:
        with told, members(hub, "class", "gina"):
            yield
            for service in services():
                assert told.delete(f"services/{service}").status_code in (202, 204)
            eventually(lambda: not services(), "that no service is left")
    finally:
        for user in made:
            hub.api("DELETE", f"/users/{user}")
