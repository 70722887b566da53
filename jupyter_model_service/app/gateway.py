"""The gateway put together: the only module that knows every part. Built in order, undone in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tornado.httpserver import HTTPServer

from .._version import __version__
from ..adapters.clock import SystemClock
from ..adapters.definition_file import DefinitionFiles
from ..adapters.launch_local import LocalLauncher
from ..adapters.lease import TcpLeases
from ..adapters.metrics import PrometheusMeter
from ..adapters.probe import HttpProbe
from ..adapters.snapshots import LocalSnapshots
from ..adapters.store import SqlStore
from ..config import GatewaySettings
from ..core.access import Caller
from ..core.routing import RoutingTable
from ..engine.engine import Engine
from ..engine.settings import EngineSettings
from ..engine.tokens import EndpointTokens, digest_of
from ..front.server import Front
from ..web.application import ControlApplication, make_application
from ..web.handler import MAX_DISCARDED
from ..wire import GatewayInfo
from .attachments import Attachments
from .files import DataDirectory
from .limits import raise_descriptor_limit

__all__ = ["Gateway"]

log = logging.getLogger(__name__)


class Gateway:
    """One run of the gateway. ``run`` returns after an orderly stop and raises when it cannot start."""

    def __init__(self, settings: GatewaySettings, files: DataDirectory) -> None:
        self._settings = settings
        self._files = files
        self._clock = SystemClock()
        self._routing = RoutingTable()
        self._launcher = LocalLauncher(files.replicas, abandon_after=settings.abandon_after)
        self._attachments = Attachments(keep=settings.keep, patience=settings.attach_timeout, alone=self.end)
        self._ending = asyncio.Event()
        self._end_replicas = False  # a start that fails leaves the replicas of the former gateway alone
        self._started_at = time.time()
        self._url = ""

    async def run(self) -> None:
        settings, files = self._settings, self._files
        raise_descriptor_limit()
        async with contextlib.AsyncExitStack() as undo:
            self._obey_signals(undo)
            store = await SqlStore.open(files.database)
            undo.push_async_callback(_ended, "the store", store.close, 15.0)
            token = f"jmc_{secrets.token_urlsafe(32)}"
            # This token is in the hands of the user's Jupyter servers, which pass on calls of browsers.
            owner = Caller(settings.owner, manages=frozenset({settings.owner}), forwards=True)
            tokens = EndpointTokens(store, self._clock, {digest_of(token): owner})
            await tokens.load()
            tokens.start()
            undo.push_async_callback(_ended, "the tokens", tokens.stop, 15.0)

            listener = files.listener(settings.host, settings.port)
            undo.callback(listener.close)
            self._url = _url(listener)
            engine, meter = self._engine(store)
            undo.push_async_callback(_ended, "the engine", lambda: self._stop_engine(engine), 30.0)
            await engine.start()

            application = make_application(
                engine=engine,
                tokens=tokens,
                identity=tokens,
                metrics=meter.text,
                info=self._info,
                attach=self._attachments.attach,
                shutdown=self._asked_to_end,
                open_metrics=settings.open_metrics,
            )
            web_socket = self._serve_web(undo, application)
            front = Front(routing=self._routing, identity=tokens, meter=meter, web_socket=str(web_socket))
            await front.start(listener)
            grace = settings.stop_grace
            undo.push_async_callback(_ended, "the front", lambda: front.stop(grace), grace + 5.0)
            undo.callback(application.close_streams)  # an event stream has no end for the front to wait for

            files.announce(self._url, token)
            undo.callback(files.withdraw)
            self._watch_attachments(undo)
            log.info("gateway %s of %s at %s, process %d", __version__, settings.owner, self._url, os.getpid())
            await self._ending.wait()
        log.info("gateway ended")

    def end(self, reason: str, *, leave_replicas: bool = False) -> None:
        """Stop in order, soon. The first reason counts."""
        if not self._ending.is_set():
            log.info("ending: %s; replicas %s", reason, "stay" if leave_replicas else "end, too")
            self._end_replicas = not leave_replicas
            self._ending.set()

    # --- parts ---------------------------------------------------------------------------------------

    def _engine(self, store: SqlStore) -> tuple[Engine, PrometheusMeter]:
        meter = PrometheusMeter(routing=self._routing, services=lambda: engine.services(), clock=self._clock)
        engine = Engine(
            store=store,
            launcher=self._launcher,
            leases=TcpLeases(),
            probe=HttpProbe(),
            definitions=DefinitionFiles(),
            clock=self._clock,
            meter=meter,
            routing=self._routing,
            storage=LocalSnapshots(self._files.revisions, self._settings.snapshots),
            endpoint_url=lambda owner, name: f"{self._url}endpoints/{owner}/{name}/",
            settings=EngineSettings(
                max_replicas=self._settings.max_replicas, revisions_kept=self._settings.revisions_kept
            ),
        )
        return engine, meter

    async def _stop_engine(self, engine: Engine) -> None:
        await engine.stop(end_replicas=self._end_replicas)

    def _serve_web(self, undo: contextlib.AsyncExitStack, application: ControlApplication) -> Path:
        path, listener = self._files.web_listener()
        undo.callback(self._files.remove_web_socket, path)
        server = HTTPServer(application, max_body_size=MAX_DISCARDED)
        server.add_socket(listener)

        async def stop() -> None:
            server.stop()
            await server.close_all_connections()

        undo.push_async_callback(_ended, "the control API", stop, 5.0)
        return path

    def _watch_attachments(self, undo: contextlib.AsyncExitStack) -> None:
        task = asyncio.get_running_loop().create_task(self._attachments.watch(), name="attachments")

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        undo.push_async_callback(_ended, "the watch over attachments", stop, 5.0)

    def _obey_signals(self, undo: contextlib.AsyncExitStack) -> None:
        """SIGTERM and SIGINT end the gateway with its replicas; so does a closed terminal, unless under nohup.
        Only ``kill -9`` leaves the replicas to the next gateway."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self.end, f"signal {number.name}")
            undo.callback(loop.remove_signal_handler, number)

    def _asked_to_end(self, leave_replicas: bool) -> None:
        # After this turn of the loop: the answer to whoever asked goes out first.
        asyncio.get_running_loop().call_later(0.05, self._end_on_request, leave_replicas)

    def _end_on_request(self, leave_replicas: bool) -> None:
        self.end("asked to through the control API", leave_replicas=leave_replicas)

    def _info(self) -> GatewayInfo:
        return GatewayInfo(
            version=__version__,
            mode="embedded",
            owner=self._settings.owner,
            pid=os.getpid(),
            launcher=self._launcher.name,
            started_at=self._started_at,
            keep=self._attachments.keep,
            attached=len(self._attachments),
        )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


async def _ended(what: str, stop: Callable[[], Awaitable[None]], limit: float) -> None:
    """One part's end, and no longer than ``limit`` seconds: a part that hangs must not keep the others from ending.

    ``asyncio.wait`` rather than ``wait_for``, which itself waits for what it has cancelled.
    """
    task = asyncio.ensure_future(stop())
    await asyncio.wait({task}, timeout=limit)
    if task.done():
        task.result()
        return
    stuck = [f"{other.get_name()}: {other.get_coro()!r}" for other in asyncio.all_tasks() if other is not task]
    log.error("%s did not end within %g s; going on without. Running: %s", what, limit, "; ".join(stuck))
    task.cancel()
