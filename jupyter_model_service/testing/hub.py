"""A JupyterHub to test against: the part of its REST API that we use, over real HTTP on a loopback port.

It behaves as JupyterHub 6.1 (or, with ``line=5``, 5.5) was seen to: starts answer 201, or 202 when they are slow, 400
for a server that runs, 429 with ``Retry-After`` for too many at once; a server that stopped is listed only when asked
for and keeps its options; a ``DELETE`` interrupts a start; the state is shown to who may see it. It lives in a thread
of its own, so that a test may use it from many event loops::

    with FakeHub(users=["ann"]) as hub:
        api = HubApi(hub.url, hub.token)

Replicas are real runners (:mod:`.hub_spawner`). Calls from the test's thread are safe where they say so.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import tornado.httpserver
import tornado.netutil

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_api import HubApi
from jupyter_model_service.adapters.hub_policies import HubPolicies
from jupyter_model_service.adapters.hub_servers import HubServers
from jupyter_model_service.adapters.hub_storage import HubStorage
from jupyter_model_service.adapters.hub_users import HubUsers
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.launch_hub import HubLauncher
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.hub_options import KEY, Options
from jupyter_model_service.core.policy import Policy

from .hub_handlers import application
from .hub_sign_in import Granted
from .hub_spawner import Engine

T = TypeVar("T")

SERVICE_SCOPES = frozenset(
    {"servers", "list:users", "read:users", "admin:server_state", "users:activity", "tokens", "read:tokens"}
)


@dataclass
class Server:
    """One named server. ``pending`` as the Hub's API says it. ``unheard``: it has ended, and what was to forget it has
    failed: it is active for as long as the Hub runs."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pending: str | None = None
    ready: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    last_activity: float | None = None
    work: asyncio.Task[None] | None = None
    unheard: bool = False

    @property
    def active(self) -> bool:
        return self.ready or self.pending is not None


@dataclass
class User:
    name: str
    created: float
    groups: tuple[str, ...] = ()
    admin: bool = False
    servers: dict[str, Server] = field(default_factory=dict)


@dataclass
class Token:
    id: str
    owner: str
    scopes: frozenset[str]
    service: bool = False
    note: str = ""
    created: float = field(default_factory=time.time)
    expires_at: float | None = None
    session: str = ""  # of the Hub, in which somebody signed in to a service


@dataclass
class Fault:
    """``times`` calls that ``matches`` (method and path) are answered so; ``status`` 0 breaks the connection, after
    the work was done when ``late``. ``after`` such calls go well before."""

    matches: Callable[[str, str], bool]
    status: int
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    late: bool = False
    after: int = 0


class FakeHub:
    """``slow_spawn``: seconds after which a start answers 202; ``poll_interval``: seconds between two looks at the
    containers; ``interrupt``: what interrupting a start takes."""

    def __init__(
        self,
        users: Iterable[str] = ("ann",),
        *,
        line: int = 6,
        slow_spawn: float = 10.0,
        poll_interval: float = 5.0,
        interrupt: float = 0.1,
        spawn_limit: int = 100,
        page: int = 200,
    ) -> None:
        self.line, self.slow_spawn, self.poll_interval, self.interrupt = line, slow_spawn, poll_interval, interrupt
        self.spawn_limit, self.page = spawn_limit, page
        self.key = new_key()
        self.sealer = Sealer(self.key)
        self.engine = Engine()
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.faults: list[Fault] = []
        self.removal = 0.03  # seconds from the answer to the removal of a record
        self.lag = 0.0  # seconds that a start lies about before the Hub hears of it
        self.calls: list[tuple[float, str, str]] = []  # monotonic time, method, path
        self.at_once = self.most_at_once = 0  # POSTs of servers
        self.sessions: dict[str, str] = {}  # of people's browsers, and who is signed in there
        self.codes: dict[str, Granted] = {}
        self.kept_out: set[str] = set()  # of signing in at the service
        self.auditors: set[str] = set()  # who may read the audit log, by a role
        self.scopes: frozenset[str] = SERVICE_SCOPES
        self.activity: dict[tuple[str, str], str] = {}
        self.token = self.add_token("model-service", self.scopes, service=True)
        for name in users:
            self.add_user(name)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake hub", daemon=True)
        self._http: tornado.httpserver.HTTPServer | None = None
        self._port = 0
        self._polling: asyncio.Task[None] | None = None

    def __enter__(self) -> FakeHub:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.down()
            self.do(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    # --- from the test's thread ---

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hub/api"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the Hub's own loop, such as ``hub.do(hub.engine.kill(container))``."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def up(self) -> None:
        """Answer at the port, the same one after :meth:`down`."""

        async def listen() -> None:
            self._http = tornado.httpserver.HTTPServer(application(self))
            (socket,) = tornado.netutil.bind_sockets(self._port, "127.0.0.1")
            self._port = socket.getsockname()[1]
            self._http.add_sockets([socket])
            if self._polling is None:
                self._polling = self._loop.create_task(self._poll())

        self.do(listen())

    def down(self) -> None:
        """The Hub's process is gone; its containers run on, its database has what it had."""

        async def close() -> None:
            http, self._http = self._http, None
            if http is not None:
                http.stop()
                await http.close_all_connections()
            for server in self.all_servers():
                server.unheard = False  # the next one looks at all of them anew
                if server.work is not None:
                    server.work.cancel()
                    server.pending = None

        self.do(close())

    def add_user(self, name: str, *, groups: Iterable[str] = (), admin: bool = False) -> User:
        user = self.users[name] = User(name, time.time(), tuple(groups), admin)
        return user

    def rename_user(self, name: str, new: str) -> None:
        """As on the Hub's page of users: she is the one who was made then, and her servers are hers."""
        user = self.users.pop(name)
        user.name = new
        self.users[new] = user
        for token in self.tokens.values():
            if token.owner == name:
                token.owner = new

    def add_token(self, owner: str, scopes: Iterable[str], *, service: bool = False, **fields: Any) -> str:
        text = secrets.token_hex(16)
        taken = {token.id for token in self.tokens.values()}
        number = next(n for n in range(1, 10**6) if f"a{n}" not in taken)
        self.tokens[text] = Token(f"a{number}", owner, frozenset(scopes), service, **fields)
        return text

    def sign_out(self, session: str) -> None:
        """The tokens of services that she signed in to go with it."""
        self.sessions.pop(session, None)
        for text in [text for text, token in self.tokens.items() if session and token.session == session]:
            del self.tokens[text]

    def fail(self, status: int, *, method: str = "", path: str = "", times: int = 1, **fields: Any) -> None:
        """The next ``times`` calls whose method and path contain these are answered with this status."""
        self.faults.append(Fault(lambda m, p: method in m and path in p, status, times, **fields))

    def server(self, user: str, name: str) -> Server | None:
        return self.users[user].servers.get(name)

    def servers(self) -> dict[str, Server]:
        return {server.name: server for server in self.all_servers()}

    def miss_the_end(self, user: str, name: str, *, known: bool = True) -> None:
        """Its container is killed while the Hub's proxy is away: the Hub tells of that once, and nothing comes of it.
        ``known``: our spawner says in its state that it has ended."""
        server = self.users[user].servers[name]
        told = server.state[KEY]
        self.do(self.engine.kill(told["container"]))
        if known:
            told |= {"exit": "ExitCode=137", "ended": self.engine.ended(told["container"])}
        server.unheard = True

    def stop_as_a_person(self, user: str, name: str) -> None:
        """The stop button on the Hub's page."""
        self.do(self.stop_server(self.users[user].servers[name]))

    # --- in the Hub's loop ---

    def server_of(self, user: User, name: str) -> Server:
        """Its record, made when there is none."""
        return user.servers.setdefault(name, Server(name))

    def all_servers(self) -> list[Server]:
        return [server for user in self.users.values() for server in user.servers.values()]

    async def _end(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        for container in list(self.engine.containers):
            await self.engine.remove(container)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self.poll_interval)
            for server in self.all_servers():
                if server.ready and self._http is not None:
                    await self.look(server)

    async def look(self, server: Server) -> bool:
        """The spawner's poll; whether it still runs."""
        told = server.state.get(KEY, {})
        why = self.engine.ended(told["container"]) if told.get("container") else None
        if why is None and not told.get("error"):
            return True
        if server.unheard:
            return False
        await self.stop_server(server, why)
        return False

    def start_server(self, server: Server, options: Options) -> asyncio.Task[None]:
        async def work() -> None:
            try:
                await self.engine.run(options, told)
                server.ready, server.started = True, time.time()
            finally:
                server.pending = None

        told: dict[str, Any] = {}
        server.state = {KEY: told}
        server.pending, server.unheard = "spawn", False
        server.work = self._loop.create_task(work())
        return server.work

    async def stop_server(self, server: Server, why: str | None = None) -> None:
        if server.work is not None and not server.work.done():
            server.work.cancel()
            await asyncio.sleep(self.interrupt)
        server.pending, server.ready = "stop", False
        told = server.state.get(KEY, {})
        await self.engine.remove(told.get("container"))
        error = told.get("error") or ({"stage": "ended", "message": why} if why else None)
        server.state = {KEY: {**told, "control": None, "address": None, "error": error}} if error else {}
        server.pending = None


@dataclass
class HubParts:
    """What speaks to a fake Hub. It keeps no connection open, so that it need not be closed; ``folder`` is for what the
    gateway would keep."""

    api: HubApi
    servers: HubServers
    users: HubUsers
    launcher: HubLauncher
    storage: HubStorage
    policies: HubPolicies


def hub_parts(hub: FakeHub, folder: Path, policy: Policy | None = None, **options: Any) -> HubParts:
    """``options`` are the launcher's."""
    api = HubApi(
        hub.url, hub.token, transport=httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
    )
    clock, policy = SystemClock(), policy or Policy()
    users, servers = HubUsers(api, clock, folder / "users.json"), HubServers(api, hub.sealer, clock)
    policies = HubPolicies(policy, users)
    launcher = HubLauncher(api, servers, users, policies, clock, **options)
    return HubParts(
        api, servers, users, launcher, HubStorage(servers, users, policy, folder / "volumes.json"), policies
    )
