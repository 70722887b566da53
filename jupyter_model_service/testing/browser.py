"""As much of a browser as signing in takes: cookies by host and path, redirects, and what it says of who asks.

The proxy of the Hub is played as well: at the gateway's own address what is below ``/hub/`` goes to the fake Hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from .hub_site import HubSite

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NAVIGATION", "Browser", "Kept"]

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
_MOST = 20  # redirects


@dataclass
class Kept:
    """A cookie as the browser keeps it."""

    value: str
    path: str
    flags: frozenset[str]  # attributes in lower case, without values
    said: str


class Browser:
    """One person's. ``cookies``: by host (without port) and name; ``went``: the addresses of the last navigation."""

    def __init__(self, site: HubSite) -> None:
        self.site = site
        self.cookies: dict[tuple[str, str], Kept] = {}
        self.went: list[str] = []
        self._http = httpx.AsyncClient(trust_env=False, timeout=30.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def login(self, user: str) -> None:
        """At the Hub."""
        await self.open(f"/hub/login?{urlencode({'user': user, 'next': '/hub/login'})}")

    async def logout(self) -> None:
        await self.open("/hub/logout")

    async def open(self, url: str, *, follow: bool = True, **said: str) -> httpx.Response:
        """The address is typed, or a link followed (``Sec-Fetch-Site`` and others by ``said``, with ``_`` for ``-``);
        redirects as well."""
        url = urljoin(self.site.address, url)
        self.went = []
        headers = {**NAVIGATION, **{name.replace("_", "-"): value for name, value in said.items()}}
        for _ in range(_MOST):
            self.went.append(url)
            answer = await self.request("GET", url, headers)
            if not follow or answer.status_code not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(url, answer.headers["Location"])
        raise AssertionError(f"it goes round: {self.went}")

    async def submit(self, url: str, fields: dict[str, str], **said: str) -> httpx.Response:
        """The form of a page of the same origin; redirects are not followed."""
        to = urlsplit(urljoin(self.site.address, url))
        own = {"Sec-Fetch-Site": "same-origin", "Origin": f"{to.scheme}://{to.netloc}"}
        headers = {**NAVIGATION, **own, **{n.replace("_", "-"): v for n, v in said.items()}}
        return await self.request("POST", to.geturl(), headers, data=fields)

    async def request(self, method: str, url: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        """One request, with the cookies that a browser would send."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        cookies = [
            f"{name}={kept.value}"
            for (of, name), kept in self.cookies.items()
            if of == host and (path == kept.path or path.startswith(kept.path.rstrip("/") + "/"))
        ]
        headers = {**headers, "Host": parts.netloc, **({"Cookie": "; ".join(cookies)} if cookies else {})}
        to = self.reached(host, path)
        query = f"?{parts.query}" if parts.query else ""
        answer = await self._http.request(method, f"{to}{parts.path or '/'}{query}", headers=headers, **more)
        for line in answer.headers.get_list("Set-Cookie"):
            self._keep(host, line)
        return answer

    def reached(self, host: str, path: str) -> str:
        """Where what is at that host and path is in fact."""
        if path.startswith("/hub/"):
            return self.site.hub.url.removesuffix("/hub/api")
        return self.site.address

    def cookie(self, name: str, host: str = "127.0.0.1") -> Kept | None:
        return self.cookies.get((host, name))

    def _keep(self, host: str, line: str) -> None:
        pair, *attributes = line.split(";")
        name, _, value = pair.strip().partition("=")
        said = {key.strip().lower(): text for key, _, text in (each.partition("=") for each in attributes)}
        if name.startswith("__Host-") and (said.get("path") != "/" or "secure" not in said or "domain" in said):
            return
        if not value.strip('"') or said.get("max-age") == "0" or _past(said):
            self.cookies.pop((host, name), None)
            return
        self.cookies[host, name] = Kept(value, said.get("path", "/"), frozenset(said), line)


def _past(said: dict[str, str]) -> bool:
    """Tornado clears cookies by a day that is a year ago."""
    if "expires" not in said or "max-age" in said:
        return False
    at = parsedate_to_datetime(said["expires"])
    return at < datetime.now(at.tzinfo)
