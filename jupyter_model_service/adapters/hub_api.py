"""The REST API of a JupyterHub (5.4 to 6.x), as far as it is needed here, with the service's own token.

Every call has a time limit above the Hub's own blocking times, starts and stops do not crowd out the quick calls,
and a Hub that says "later" (429, 503, ``Retry-After``) is left alone for that long by all calls of that kind.
Paths work on both lines: 5.x has no ``GET`` for a single server, so the user's model is read instead.

The scopes that the calls need are named at each method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import HubRefused, HubUnavailable
from ..ports import Clock
from .clock import SystemClock
from .hub_calls import HubCalls, Lane
from .hub_models import HubServer, HubToken, HubUser, as_token, as_user, hub_time

__all__ = ["HubApi", "HubServer", "HubToken", "HubUser"]

PAGE = 200  # api_page_max_limit of a Hub, unless it is set lower: then it gives fewer
BLOCKING_SECONDS = 60.0  # a POST of a server returns after slow_spawn_timeout (10 s), or after http_timeout and a stop
_PAGINATED = "application/jupyterhub-pagination+json"
_WITH_STOPPED = {"include_stopped_servers": "1"}


class HubApi:
    """``url`` is the Hub's API (``http://hub:8081/hub/api``), ``token`` the service's own. ``patience``: how many
    seconds a call is repeated while the Hub is not there or says "later", unless the call is given its own. ``starts``
    and ``quick``: so many calls of a kind at once. A Hub does one thing at a time, and httpx looks at all connections
    for each call: with 16 of each kind, a thousand first calls of a class took it half as long again as with 8.

    All methods raise ``HubUnavailable`` when the Hub cannot be asked, ``HubRefused`` when it says no. User and server
    names are given as they are, and quoted here. Belongs to one event loop; ``close`` gives the connections back.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = 5.0,
        starts: int = 8,
        quick: int = 8,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._calls = HubCalls(url, token, patience, clock or SystemClock(), transport)
        self.url = self._calls.url
        self._starts, self._stops = Lane(starts), Lane(starts)
        self._quick, self._identity = Lane(quick), Lane(quick)

    def __repr__(self) -> str:
        return f"<HubApi of {self.url}>"

    async def close(self) -> None:
        await self._calls.close()

    # --- who somebody is ---

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        """Whose token this is, with its scopes; ``None`` when the Hub knows no such token. No scope of ours."""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            return None  # the Hub makes no such token, and no header could hold it
        headers = {"Authorization": f"token {token}"}
        answer = await self._calls.call(self._identity, "GET", "/user", headers=headers, patience=patience)
        if answer.status_code in (401, 403, 404):
            return None
        return as_user(self._calls.plain(answer))

    async def user(self, name: str, *, patience: float | None = None) -> HubUser | None:
        """One user with all servers, stopped ones too. ``read:servers``; ``state`` needs ``admin:server_state``. A name
        that a path cannot hold is nobody's: the Hub is not asked."""
        if name in _NO_PARTS:
            return None
        answer = await self._calls.call(
            self._quick, "GET", f"/users/{_part(name)}", params=_WITH_STOPPED, patience=patience
        )
        return None if answer.status_code == 404 else as_user(self._calls.plain(answer))

    async def users(self, *, patience: float | None = None) -> Sequence[HubUser]:
        """All users with all their servers, stopped ones too. ``list:users`` and ``read:servers``; ``state`` needs
        ``admin:server_state``, ``created`` needs ``read:users``.

        Pages are read by position, so a user who is deleted meanwhile hides another: then they are read again.
        """
        for _ in range(5):
            found = await self._all_users(patience)
            if found is not None:
                return found
        raise HubUnavailable(f"The users of the Hub at {self.url} change faster than they can be read.")

    async def _all_users(self, patience: float | None) -> Sequence[HubUser] | None:
        """``None`` when their number changed on the way."""
        found: dict[str, HubUser] = {}
        first_total: int | None = None
        offset = 0
        while True:
            params = {**_WITH_STOPPED, "limit": str(PAGE), "offset": str(offset)}
            answer = await self._calls.call(
                self._quick, "GET", "/users", params=params, headers={"Accept": _PAGINATED}, patience=patience
            )
            page = self._calls.plain(answer)
            try:
                found.update((user.name, user) for user in map(as_user, page["items"]))
                total, following = int(page["_pagination"]["total"]), page["_pagination"]["next"]
                offset = int(following["offset"]) if following else -1
            except (KeyError, TypeError, ValueError) as error:
                raise HubRefused(
                    f"The Hub at {self.url} lists its users in a form unknown here.", hub_status=200
                ) from error
            first_total = total if first_total is None else first_total
            if total != first_total:
                return None
            if offset < 0:
                return list(found.values())

    # --- servers ---

    async def server(self, user: str, name: str, *, patience: float | None = None) -> HubServer | None:
        """The server as the Hub has it; ``None`` when it, or the user, is not there. ``read:servers``."""
        found = await self.user(user, patience=patience)
        return found.servers.get(name) if found is not None else None

    async def start_server(
        self,
        user: str,
        name: str,
        options: Mapping[str, Any],
        *,
        patience: float | None = None,
        waits: Callable[[HubUnavailable], None] = lambda failure: None,
    ) -> None:
        """Ask for a named server. Returns when the Hub does, at most a minute later, be it there or pending.
        ``servers``.

        ``options`` is the whole body, which is what both lines take for the user options. ``HubRefused`` with status
        400 when it runs already, may not run or its name is no name; 404 for an unknown user; 500 when it did not
        come up. Where the answer was lost (``HubUnavailable`` with ``sent``), look what became of it.
        """
        if {"user_options", "display_name"} & options.keys():
            raise ValueError("6.x takes options with a key user_options or display_name for something else")
        answer = await self._calls.call(
            self._starts,
            "POST",
            _server_path(user, name),
            body=options,
            limit=BLOCKING_SECONDS,
            patience=patience,
            again=False,
            waits=waits,
        )
        self._calls.check(answer)

    async def stop_server(self, user: str, name: str, *, remove: bool = True, patience: float | None = None) -> bool:
        """Stop it and remove its record; True when it is stopped (the record goes in a moment), False when the Hub is
        at it. A start that is under way is broken off, on both lines. ``servers``."""
        answer = await self._calls.call(
            self._stops,
            "DELETE",
            _server_path(user, name),
            body={"remove": remove},
            limit=BLOCKING_SECONDS,
            patience=patience,
        )
        if answer.status_code == 404:
            return True
        self._calls.check(answer)
        return answer.status_code != 202

    async def activity(self, user: str, servers: Mapping[str, float], *, patience: float | None = None) -> None:
        """Say when servers were last in use: name → Unix time. ``HubRefused`` with status 400 when one of them is not
        there (then nothing was noted). ``users:activity``."""
        body = {"servers": {name: {"last_activity": hub_time(at)} for name, at in servers.items()}}
        path = f"/users/{_part(user)}/activity"
        self._calls.check(await self._calls.call(self._quick, "POST", path, body=body, patience=patience))

    # --- tokens ---

    async def create_token(
        self, user: str, *, note: str, scopes: Sequence[str], expires_in: int | None, patience: float | None = None
    ) -> tuple[HubToken, str]:
        """A new token of ``user`` and its text, which is shown this once. ``expires_in`` in seconds, ``None``: as long
        as the Hub allows. ``HubRefused`` with status 400 for scopes that the user lacks, 403 for an unknown user.
        ``tokens`` or ``tokens!user=…``."""
        body = {"note": note, "scopes": list(scopes), "expires_in": expires_in}
        path = f"/users/{_part(user)}/tokens"
        answer = await self._calls.call(self._quick, "POST", path, body=body, patience=patience, again=False)
        model = self._calls.plain(answer)
        text = model.get("token")
        if not isinstance(text, str) or not text:
            raise HubRefused(f"The Hub at {self.url} made a token and did not say which.", hub_status=200)
        return as_token(model), text

    async def tokens_of(self, user: str, *, patience: float | None = None) -> Sequence[HubToken]:
        """All valid tokens of ``user``; none for an unknown user. ``read:tokens`` or ``read:tokens!user=…``."""
        answer = await self._calls.call(self._quick, "GET", f"/users/{_part(user)}/tokens", patience=patience)
        if answer.status_code == 404:
            return ()
        return [as_token(model) for model in self._calls.plain(answer).get("api_tokens", ())]

    async def delete_token(self, user: str, token_id: str, *, patience: float | None = None) -> None:
        """One that is not there is fine. The Hub gives ids out again: be sure that it is still yours. ``tokens`` or
        ``tokens!user=…``."""
        path = f"/users/{_part(user)}/tokens/{_part(token_id)}"
        answer = await self._calls.call(self._quick, "DELETE", path, patience=patience)
        if answer.status_code != 404:
            self._calls.check(answer)


# Steps of a path that lead elsewhere: `GET /users/.` is the list of all users. No quoting helps: `%2E` is the same.
_NO_PARTS = frozenset({"", ".", ".."})


def _part(name: str) -> str:
    """A name as one step of a path: ``ann@example.org`` and ``앤`` are names, too. Raises ``HubRefused``, as for one
    that the Hub does not have, where it would be another path."""
    if name in _NO_PARTS:
        raise HubRefused(f"The Hub can have nothing of the name {name!r}.", hub_status=404)
    return quote(name, safe="")


def _server_path(user: str, name: str) -> str:
    return f"/users/{_part(user)}/servers/{_part(name)}"
