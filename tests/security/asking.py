"""One cell: a call of one way, or a page, by somebody, and the status that it is answered with; and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from jupyter_model_service.core.hosts import Hosts, label_of
from jupyter_model_service.testing.browser import NAVIGATION
from jupyter_model_service.testing.site import Site

from .people import SHARED
from .table import ELSEWHERE, ENDPOINTS, LISTED, METHODS, OPERATIONS, ORIGIN, SHOWN, VISITS

#: What stands for the variables of a path; ``x`` for those of other names.
FILLED = {"owner": "alice", "name": SHARED, "kind": "user", "whom": "carol", "user": "carol"}
HOSTS = Hosts("http://*.models.localhost")
REFUSED = "?what_no_operation_takes=1"
#: The queries of what is only read, where none will not do. A service without replicas has no logs, and this one no
#: policy: 404 would look as if it were not there.
QUERIES = {
    "api/v1/series": "?services=alice/chat",
    "api/v1/services/{owner}/{name}/logs": REFUSED,
    "api/v1/services/{owner}/{name}/autoscaling": REFUSED,
}
WEB_SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


#: Whose page asks before it calls.
ORIGINS = {"PRE": ORIGIN, "PRE!": "https://evil.example"}


class _Filled(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


async def status(site: Site, method: str, path: str, token: str | None) -> int:
    return (await answer(site, method, path, token)).status_code


async def answer(site: Site, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
    """``WS`` as the method is the opening of a WebSocket; behind ``#`` stands the model that the body names, behind
    ``@`` the label of a service's own host. What would
    change something is asked with a parameter that no operation takes, so that whoever may is told 400, by what comes
    after the question who may, and all goes on as it was. ``more`` are headers."""
    headers = {**more} if token is None else {**more, "Authorization": f"Bearer {token}"}
    target, _, model = path.partition("#")
    body: dict[str, Any] = {"json": {"model": model}} if model else {}
    if path.startswith(("api/", "health/", "metrics")):
        target = target.format_map(_Filled(FILLED)) + QUERIES.get(path, "" if method == "GET" else REFUSED)
    elif "{" in path:
        target = target.format_map(_Filled(FILLED))
    if path.startswith("@"):
        label, _, rest = path[1:].partition("/")
        target, headers = f"{site.address}/{rest}", {**headers, "Host": f"{label}.models.localhost"}
    if method == "NAV":
        method, headers = "GET", {**headers, **NAVIGATION}
    if method == "WS":
        method, headers = "GET", {**headers, **WEB_SOCKET}
    if method in ORIGINS:
        headers |= {"Origin": ORIGINS[method], "Access-Control-Request-Method": "POST"}
        method = "OPTIONS"
    return await site.head(method, target, headers, **body)


async def visit_status(site: Site, method: str, path: str, cookie: str) -> int:
    return (await visit_answer(site, method, path, cookie)).status_code


async def visit_answer(site: Site, method: str, path: str, cookie: str) -> httpx.Response:
    """``method`` with who asks, as ``table._VISITS`` has it: what a browser says of that."""
    method, _, who = method.partition("/")
    host = f"{path[1:].partition('/')[0]}.models.localhost" if path.startswith("@") else ""
    own = f"http://{host}" if host else site.address
    origin = {"own": own, "beside": "http://evil--bob.models.localhost", "other": ORIGINS["PRE!"]}.get(who)
    said = {"own": "same-origin", "beside": "same-site", "other": "cross-site", "nobody": "none"}
    kind = {"NAV": ("navigate", "document"), "FORM": ("navigate", "document"), "FRAME": ("navigate", "iframe")}
    headers = {"Cookie": cookie}
    if who != "unsaid":
        mode, to = ("websocket", "websocket") if method == "WS" else kind.get(method, ("cors", "empty"))
        headers |= {"Sec-Fetch-Site": said[who], "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": to}
    if origin is not None and method not in ("GET", "HEAD", "NAV", "FRAME"):
        headers["Origin"] = origin
    real = {"NAV": "GET", "FRAME": "GET", "FORM": "POST"}.get(method, method)
    return await answer(site, real, path, None, **headers)


#: What pages are asked for; a form without its proof is refused to all who may send it.
ASKED = {"sign-in": f"?service={label_of('alice', SHARED)}&state={'0' * 64}"}


async def page_status(site: Site, method: str, path: str, token: str | None) -> int:
    """By somebody who has signed in to our pages with this token."""
    site_of = {} if method == "GET" else {"Sec-Fetch-Site": "same-origin"}
    headers = {**NAVIGATION, **site_of, **({} if token is None else {"Cookie": site.signed_in(token)})}
    return await site.status(method, path.format_map(_Filled(FILLED)) + ASKED.get(path, ""), headers)


# --- all of them: what is answered otherwise than the table says -------------------------------------

Tokens = Mapping[str, str | None]  # by column
CALLS = {**OPERATIONS, **ENDPOINTS, **METHODS, **ELSEWHERE}


def read_by(answered: httpx.Response) -> str | None:
    """Whose pages a browser would let read it; never with what it keeps for the address."""
    assert "access-control-allow-credentials" not in answered.headers
    return answered.headers.get("access-control-allow-origin")


async def calls_differing(site: Site, tokens: Tokens, table: Mapping[str, Mapping[str, int]] = CALLS) -> list[str]:
    origins, found = {"origins": [ORIGIN]}, []
    await site.api("PUT", f"services/alice/{SHARED}/access/origins", origins, token=tokens["owner"])
    for way, row in table.items():
        method, path = way.split(" ", 1)
        for who, wanted in row.items():
            answered = await answer(site, method, path, tokens[who])
            if answered.status_code != wanted:
                found.append(f"{way} by {who}: {answered.status_code}, not {wanted}")
            may_read = ORIGIN if method == "PRE" and wanted == 204 and "v1/" not in path else None
            if read_by(answered) != may_read:
                found.append(f"{way} by {who}: {read_by(answered)} may read it, not {may_read}")
    return found


async def lists_differing(site: Site, tokens: Tokens) -> list[str]:
    found = []
    letters = {"alice/own": "o", "alice/chat": "c", "alice/open": "p", "mallory/hers": "h"}
    for way, row in LISTED.items():
        method, path = way.split(" ", 1)
        for who, wanted in row.items():
            said = (await site.request(method, path, token=tokens[who])).text
            listed = {letter for key, letter in letters.items() if f'"{key}"' in said.replace('": "', '":"')}
            listed |= {letters[key] for key in letters if f'/endpoints/{key}/"' in said}
            if listed != set(wanted.strip("-")):
                found.append(f"{way} for {who}: {''.join(sorted(listed))}, not {wanted}")
    return found


async def visits_differing(site: Site, cookies: Mapping[str, str]) -> list[str]:
    found = []
    for way, row in VISITS.items():
        method, path = way.split(" ", 1)
        for who, wanted in row.items():
            answered = await visit_status(site, method, path, cookies[who])
            if answered != wanted:
                found.append(f"{way} by {who}: {answered}, not {wanted}")
    return found


async def pages_differing(site: Site, tokens: Tokens) -> list[str]:
    """For people who are signed in with these tokens; the token itself opens none."""
    found = []
    for way, row in SHOWN.items():
        method, path = way.split(" ", 1)
        for who, wanted in row.items():
            answered = await page_status(site, method, path, tokens[who])
            if answered != wanted:
                found.append(f"{way} by {who}: {answered}, not {wanted}")
        if await status(site, method, path, tokens["admin"]) != row["anonymous"]:
            found.append(f"{way} takes a token")
    return found
