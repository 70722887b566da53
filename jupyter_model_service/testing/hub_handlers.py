"""The answers of a fake Hub, one class for each path of the Hub's REST API. The Hub itself is :mod:`.hub`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import tornado.web

from jupyter_model_service.adapters.hub_models import hub_time
from jupyter_model_service.adapters.key_file import SealError
from jupyter_model_service.core.hub_options import Options, options_from_plain, sealed_in

from .hub_sign_in import sign_in_rules

if TYPE_CHECKING:
    from .hub import FakeHub, Fault, Server, Token, User


def application(hub: FakeHub) -> tornado.web.Application:
    root, one = r"/hub/api", r"/hub/api/users/([^/]+)"
    given = {"hub": hub}
    return tornado.web.Application(
        [
            (rf"{root}/user", _Self, given),
            (rf"{root}/users", _Users, given),
            (one, _User, given),
            (rf"{one}/servers/([^/]*)", _Server, given),
            (rf"{one}/activity", _Activity, given),
            (rf"{one}/tokens", _Tokens, given),
            (rf"{one}/tokens/([^/]*)", _TokenById, given),
            *sign_in_rules(hub),
        ],
        log_function=lambda handler: None,
    )


class _Handler(tornado.web.RequestHandler):
    hub: FakeHub
    who: Token | None

    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    def prepare(self) -> None:
        self.set_header("Content-Type", "application/json")
        method, path = self.request.method or "", self.request.path
        self.hub.calls.append((time.monotonic(), method, path))
        if (fault := self._fault(late=False)) is not None:
            self._give(fault)
            return
        text = self.request.headers.get("Authorization", "").removeprefix("token ").removeprefix("Bearer ")
        self.who = self.hub.tokens.get(text)
        if self.who is None or (self.who.expires_at is not None and self.who.expires_at < time.time()):
            raise tornado.web.HTTPError(403, "Missing or invalid credentials.")

    def _fault(self, *, late: bool) -> Fault | None:
        for fault in self.hub.faults:
            if fault.late == late and fault.matches(self.request.method or "", self.request.path):
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                if fault.times == 0:
                    self.hub.faults.remove(fault)
                return fault
        return None

    def _give(self, fault: Fault) -> None:
        if fault.status == 0:
            self.request.connection.stream.close()  # type: ignore[union-attr]
            self._finished = True
            return
        for name, value in fault.headers.items():
            self.set_header(name, value)
        self.set_status(fault.status)
        self.finish(json.dumps({"status": fault.status, "message": "as the test says"}))

    def done(self, status: int, body: Any = None) -> None:
        if (fault := self._fault(late=True)) is not None:
            self._give(fault)
            return
        self.set_status(status)
        self.finish(None if body is None else json.dumps(body))

    def holds(self, scope: str, user: str | None = None) -> bool:
        assert self.who is not None
        scopes = self.hub.scopes if self.who.service else self.who.scopes
        return scope in scopes or (user is not None and f"{scope}!user={user}" in scopes)

    def need(self, scope: str, user: str | None = None) -> None:
        if not self.holds(scope, user):
            raise tornado.web.HTTPError(403, f"Action is not authorized with current scopes; requires {scope}")

    def user(self, name: str) -> User:
        if name not in self.hub.users:
            raise tornado.web.HTTPError(404, f"No such user: {name}")
        return self.hub.users[name]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        message = getattr(error, "log_message", None) or ""
        self.finish(json.dumps({"status": status_code, "message": message}))

    def user_model(self, user: User) -> dict[str, Any]:
        model: dict[str, Any] = {"kind": "user", "name": user.name, "admin": user.admin, "groups": list(user.groups)}
        if self.holds("read:users", user.name):
            model["created"] = hub_time(user.created)
        if self.holds("servers", user.name) or self.holds("read:servers", user.name):
            stopped = self.get_argument("include_stopped_servers", "")
            model["servers"] = {s.name: self.server_model(s) for s in user.servers.values() if s.active or stopped}
        return model

    def server_model(self, server: Server) -> dict[str, Any]:
        model: dict[str, Any] = {
            "name": server.name,
            "ready": server.ready,
            "pending": server.pending,
            "stopped": not server.active,
            "started": hub_time(server.started) if server.started else None,
            "last_activity": self.hub.activity.get(("", server.name)),
            "user_options": server.options,
        }
        if self.holds("admin:server_state"):
            model["state"] = server.state
        return model


class _Self(_Handler):
    def get(self) -> None:
        assert self.who is not None
        identity: dict[str, Any] = {"name": self.who.owner, "kind": "service"}
        if not self.who.service:
            identity = self.user_model(self.user(self.who.owner))
        self.done(200, {**identity, "token_id": self.who.id, "scopes": sorted(self.who.scopes)})


class _Users(_Handler):
    def get(self) -> None:
        self.need("list:users")
        offset = int(self.get_argument("offset", "0"))
        limit = min(int(self.get_argument("limit", "50")), self.hub.page)
        users = list(self.hub.users.values())
        items = [self.user_model(user) for user in users[offset : offset + limit]]
        if "application/jupyterhub-pagination+json" not in self.request.headers.get("Accept", ""):
            self.done(200, items)
            return
        after = offset + limit
        following = {"offset": after, "limit": limit, "url": "…"} if after < len(users) else None
        place = {"offset": offset, "limit": limit, "total": len(users), "next": following}
        self.done(200, {"items": items, "_pagination": place})


class _User(_Handler):
    def get(self, name: str) -> None:
        if not any(self.holds(scope, name) for scope in ("read:users", "read:servers", "servers")):
            self.need("read:users")
        self.done(200, self.user_model(self.user(name)))


class _Server(_Handler):
    def get(self, name: str, server: str) -> None:
        if self.hub.line == 5:
            raise tornado.web.HTTPError(405)
        found = self.user(name).servers.get(server)
        if found is None:
            raise tornado.web.HTTPError(404)
        self.done(200, self.server_model(found))

    async def post(self, name: str, server: str) -> None:
        self.hub.at_once += 1
        self.hub.most_at_once = max(self.hub.most_at_once, self.hub.at_once)
        try:
            await asyncio.sleep(self.hub.lag)
            await self._start(self.user(name), server)
        finally:
            self.hub.at_once -= 1

    async def _start(self, user: User, name: str) -> None:
        self.need("servers", user.name)
        if self.hub.line == 6 and not (len(name) <= 30 and name[:1].isalpha() and "--" not in name):
            raise tornado.web.HTTPError(400, f"Invalid server name: {name}")
        server = self.hub.server_of(user, name)
        if server.pending == "spawn":
            self.done(202)
            return
        if server.pending is not None:
            raise tornado.web.HTTPError(400, f"{user.name}:{name} is pending {server.pending}")
        if server.ready and await self.hub.look(server):
            raise tornado.web.HTTPError(400, f"{user.name}:{name} is already running")
        if sum(s.pending == "spawn" for s in self.hub.all_servers()) >= self.hub.spawn_limit:
            self.set_header("Retry-After", "1")
            self.set_status(429)
            self.finish(json.dumps({"status": 429, "message": "Too many users are starting their servers."}))
            return
        server.options = json.loads(self.request.body or b"{}")
        work = self.hub.start_server(server, self._opened(user, server))
        await asyncio.wait([work], timeout=self.hub.slow_spawn)
        if work.done() and (work.cancelled() or work.exception()):
            raise tornado.web.HTTPError(500, "Spawn failed")
        self.done(202 if server.pending else 201)

    def _opened(self, user: User, server: Server) -> Options:
        assert self.who is not None
        with contextlib.suppress(SealError, ValueError):
            options = options_from_plain(self.hub.sealer.open(sealed_in(server.options)))
            if self.who.service and (options.user, options.server) == (user.name, server.name):
                return options
        raise tornado.web.HTTPError(403, "Only the model service starts such servers.")

    async def delete(self, name: str, server: str) -> None:
        self.need("servers", name)
        user = self.user(name)
        there = user.servers.get(server)
        if there is None:
            raise tornado.web.HTTPError(404, f"{name} has no server named '{server}'")
        remove = json.loads(self.request.body or b"{}").get("remove", False)
        if there.pending == "stop":
            self.done(202)
            return
        if there.pending or (there.ready and await self.hub.look(there)):
            await self.hub.stop_server(there)
        if remove and there.active:
            raise tornado.web.HTTPError(500)  # "Spawner … is active and cannot be deleted", in its log alone
        if remove:  # soon after the answer, as the real one does
            asyncio.get_running_loop().call_later(self.hub.removal, user.servers.pop, server, None)
        self.done(204)


class _Activity(_Handler):
    def post(self, name: str) -> None:
        self.need("users:activity", name)
        user, told = self.user(name), json.loads(self.request.body)["servers"]
        if missing := set(told) - set(user.servers):
            raise tornado.web.HTTPError(400, f"No such server '{min(missing)}' for user {name}")
        self.hub.activity.update({(name, server): info["last_activity"] for server, info in told.items()})
        self.done(200)


class _Tokens(_Handler):
    def get(self, name: str) -> None:
        self.need("read:tokens", name)
        self.user(name)
        mine = [_token_model(token) for token in self.hub.tokens.values() if token.owner == name and not token.service]
        self.done(200, {"api_tokens": mine})

    def post(self, name: str) -> None:
        if name not in self.hub.users or not self.holds("tokens", name):
            raise tornado.web.HTTPError(403, f"User {name} not found or no permissions to generate tokens")
        wish = json.loads(self.request.body)
        seconds = wish["expires_in"]
        expires_at = time.time() + seconds if seconds is not None else None
        text = self.hub.add_token(name, wish["scopes"], note=wish["note"], expires_at=expires_at)
        self.done(201, {**_token_model(self.hub.tokens[text]), "token": text})


class _TokenById(_Handler):
    def delete(self, name: str, token_id: str) -> None:
        self.need("tokens", name)
        text = next((t for t, token in self.hub.tokens.items() if (token.owner, token.id) == (name, token_id)), None)
        if text is None:
            raise tornado.web.HTTPError(404, f"No such token {token_id} for user {name}")
        del self.hub.tokens[text]
        self.done(204)


def _token_model(token: Token) -> dict[str, Any]:
    return {
        "user": token.owner,
        "id": token.id,
        "note": token.note,
        "scopes": sorted(token.scopes),
        "created": hub_time(token.created),
        "expires_at": hub_time(token.expires_at) if token.expires_at is not None else None,
        "last_activity": None,
    }
