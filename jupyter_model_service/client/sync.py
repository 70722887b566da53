"""``Client``: the control API and the endpoints from synchronous Python."""

from __future__ import annotations

import builtins
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ..wire import EventInfo, GatewayInfo, LogAnswer, OfferInfo, ServiceInfo, ValidateAnswer, Visibility
from . import calls, endpoint
from .access_sync import Access
from .address import Locator
from .admin_sync import Admin
from .audit_sync import Audit
from .calls import Call
from .events import Change, read_change
from .folders import for_create, for_service, for_update, for_validate
from .light import Connection
from .patience import OnCopy, reading
from .scaling_sync import Scaling
from .tokens_sync import Tokens
from .waiting import WAIT_SECONDS, Following, Goal, failure

T = TypeVar("T")


class Client(Access, Admin, Audit, Scaling, Tokens):
    """Talks to this user's own gateway, to the one that ``MODEL_SERVICE_URL`` and ``MODEL_SERVICE_TOKEN`` name, or to
    ``url`` and ``token``.

    A service is named ``name`` (one of the caller's own) or ``owner/name``. Every method raises the errors of
    :mod:`jupyter_model_service.errors`; ``GatewayUnavailable`` says what to do. No call takes longer than a minute,
    except those that take a ``timeout``, and ``create`` and ``update``, which
    copy the folder first. May be used from several threads, and as a context manager.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, data_dir: str | Path | None = None) -> None:
        self._locator = Locator(url, token, data_dir)
        self._connection = Connection(self._locator)
        self._http: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._locator.shown}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The gateway's address, with a slash at the end."""
        return self._locator.current().url

    @property
    def token(self) -> str:
        """The token that this client uses: it opens everything of the gateway. Not in ``repr``, not in errors."""
        return self._locator.current().token

    def close(self) -> None:
        """Give back the connections to endpoints; the client can still be used."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _send(self, call: Call[T], on_copy: OnCopy | None = None) -> T:
        return call.read(self._connection.send(call, reading(on_copy)))

    # --- services ----------------------------------------------------------------------------------------

    def info(self) -> GatewayInfo:
        """The gateway itself."""
        return self._send(calls.info())

    def offer(self) -> OfferInfo:
        """What can be asked for now: GPUs, images, limits."""
        return self._send(calls.offer())

    def validate(self, folder: str | Path) -> ValidateAnswer:
        """Check a model folder without making anything; raises ``DefinitionError`` with every problem."""
        options = self._connection.complete(for_validate({"folder": calls.absolute(folder)}))
        return self._send(calls.validate(**options))

    def create(
        self,
        folder: str | Path,
        name: str | None = None,
        *,
        replicas: int = 1,
        public: bool | None = None,
        visibility: Visibility | None = None,
        image: str | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[str | Mapping[str, Any]] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        on_copy: OnCopy | None = None,
    ) -> ServiceInfo:
        """Make a service of the folder; returns while it is starting (see :meth:`wait_ready`).

        ``mounts`` are ``SRC:DST[:ro]``; ``memory`` is bytes or a size such as ``"8g"``. The folder's files are copied
        first, however long that takes: ``on_copy`` is told how far it is, a few times a second. An exception meanwhile
        (Ctrl-C, or one that ``on_copy`` raises) gives the copy up, and nothing is made. ``visibility`` is ``"private"``
        (the default) or ``"public"``, which ``public=True`` says, too.
        """
        options = calls.revision_options(folder, image, environment, mounts, cpus, memory, gpus)
        options = self._connection.complete(for_create(options))
        options |= {"name": name, "replicas": replicas, "public": public, "visibility": visibility}
        return self._send(calls.create(options), on_copy)

    def list(self) -> builtins.list[ServiceInfo]:
        """The caller's own, and those of others that she may look into; those that she may only call are in
        :meth:`shared`."""
        return self._send(calls.services())

    def get(self, name: str) -> ServiceInfo:
        """The service as it is now; ``folder_changed`` is found out here where the gateway of a hub cannot look."""
        service = self._connection.send(calls.get(self._connection.key(name)))
        return calls.read_service(self._connection.complete(for_service(service)))

    def scale(self, name: str, replicas: int) -> ServiceInfo:
        return self._send(calls.scale(self._connection.key(name), replicas))

    def update(
        self,
        name: str,
        folder: str | Path | None = None,
        *,
        public: bool | None = None,
        visibility: Visibility | None = None,
        image: str | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[str | Mapping[str, Any]] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        on_copy: OnCopy | None = None,
    ) -> ServiceInfo:
        """Make the next revision and roll over to it; what is left out stays. Without a folder the same one is read
        again. ``environment`` and ``mounts`` replace the former ones; ``on_copy`` as in :meth:`create`. With
        ``visibility`` ``"private"`` all that was shared is taken back; ``public=False`` leaves that as it is."""
        options = calls.revision_options(folder, image, environment, mounts, cpus, memory, gpus)
        key = self._connection.key(name)
        options = self._connection.complete(for_update(key, {**options, "public": public, "visibility": visibility}))
        return self._send(calls.update(key, options), on_copy)

    def rollback(self, name: str, revision: int | None = None) -> ServiceInfo:
        """Return to a kept revision; by default the one that was fully up before the active one."""
        return self._send(calls.rollback(self._connection.key(name), revision))

    def restart(self, name: str) -> ServiceInfo:
        """Replace every replica, new ones first."""
        return self._send(calls.act(self._connection.key(name), "restart"))

    def stop(self, name: str) -> ServiceInfo:
        """End all replicas; the service, its endpoint and its tokens stay."""
        return self._send(calls.act(self._connection.key(name), "stop"))

    def start(self, name: str) -> ServiceInfo:
        return self._send(calls.act(self._connection.key(name), "start"))

    def delete(self, name: str) -> None:
        """Drain and end the replicas, then remove the service with its tokens and history."""
        self._send(calls.delete(self._connection.key(name)))

    def endpoint(self, name: str) -> str:
        """The URL at which callers reach the model; of ``OWNER/NAME`` also where one may only call it."""
        key = self._connection.key(name)
        listed = self._send(calls.endpoint_listed(key)) if "/" in name else None
        return listed or self._send(calls.get(key)).endpoint

    # --- what happened -------------------------------------------------------------------------------------

    def logs(
        self, name: str, replica: str | None = None, *, after: int = 0, limit: int = 1000, tail: int | None = None
    ) -> LogAnswer:
        """Log lines of one replica (by default of the one that tells most) after the cursor: ask again with
        ``after=answer.next``. With ``tail``, the last so many lines instead."""
        key = self._connection.key(name)
        if tail is not None:
            return calls.read_logs(self._connection.last_logs(key, replica, tail))
        return self._send(calls.logs(key, replica, after, limit))

    def events(self, name: str, *, after: int = 0, limit: int = 100) -> builtins.list[EventInfo]:
        """The newest ``limit`` events with an id above ``after``, oldest first."""
        return self._send(calls.events(self._connection.key(name), after, limit))

    def watch(self, timeout: float | None = None) -> Iterator[Change]:
        """Changes of all services as they happen, shared ones too, for ``timeout`` seconds. Connects again by itself; a
        change of kind ``resync`` comes after each connection and says: look at the present state."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for raw in self._connection.watch(deadline):
            yield read_change(raw)

    def wait_ready(
        self,
        name: str,
        timeout: float = WAIT_SECONDS,
        on_change: Callable[[ServiceInfo], None] | None = None,
    ) -> ServiceInfo:
        """Return when the active revision is fully up. Raises ``LaunchError`` with the reason and the last log lines
        when it failed or an update was taken back, and ``WaitTimeout`` (a ``TimeoutError``, too)."""
        key = self._connection.key(name)
        seen = self._send(calls.get(key))
        goal = Goal(revision=seen.revision, stopped=seen.state == "stopped")
        following = Following(key, goal, timeout)
        for service in self._connection.follow(following):
            if on_change is not None:
                on_change(calls.read_service(service))
        if following.last is None or following.outcome is None:
            raise following.late()
        if not following.outcome.ok:
            raise failure(following.last, following.outcome)
        return calls.read_service(following.last)

    # --- calling the model ---------------------------------------------------------------------------------

    def request(
        self, method: str, name: str, path: str = "", *, timeout: float = 300.0, **options: Any
    ) -> httpx.Response:
        """Call the endpoint with the owner's own rights (no endpoint token needed); ``options`` are those of
        ``httpx.Client.request``. The model's answer comes back as it is, whatever its status; what the gateway itself
        refuses is raised. ``timeout`` (seconds) bounds each wait for bytes."""
        with self.stream(method, name, path, timeout=timeout, **options) as response:
            try:
                response.read()
            except httpx.TransportError as error:
                raise endpoint.interrupted(error) from error
            return response

    def call(self, name: str, path: str = "", *, timeout: float = 300.0, **options: Any) -> httpx.Response:
        """:meth:`request`: POST where there is something to send (``json=``, ``content=``, ``data=``, ``files=``),
        else GET."""
        return self.request(endpoint.method_for(options), name, path, timeout=timeout, **options)

    @contextlib.contextmanager
    def stream(
        self, method: str, name: str, path: str = "", *, timeout: float = 300.0, **options: Any
    ) -> Iterator[httpx.Response]:
        """:meth:`request` as a context manager that does not read the body: use ``iter_lines()`` and the like. A stream
        that breaks off raises ``httpx.RemoteProtocolError`` where it is read; it never looks complete."""
        response = self._open(method, self._connection.key(name), path, timeout, options)
        try:
            if endpoint.refused_by_gateway(response):
                response.read()
                raise endpoint.failure(response)
            yield response
        finally:
            response.close()

    def _open(self, method: str, key: calls.Key, path: str, timeout: float, options: dict[str, Any]) -> httpx.Response:
        again = True
        while True:
            address = self._locator.current()
            if self._http is None:
                self._http = httpx.Client(trust_env=not address.loopback)
            request = self._http.build_request(method, **endpoint.arguments(address, key, path, timeout, options))
            try:
                response = self._http.send(request, stream=True)
            except httpx.TransportError as error:
                if not (again and endpoint.unsent(error) and self._locator.moved()):
                    raise endpoint.no_answer(address, error) from error
            else:
                if not (again and endpoint.may_repeat(response, options) and self._locator.moved()):
                    return response
                response.close()
            again = False
