"""The gateway put together from an assembly's parts. Built in order, undone in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tornado.httpserver import HTTPServer

from .._version import __version__
from ..adapters.access_writer import AccessWriter
from ..adapters.at_rest import AtRest
from ..adapters.audit_sink import AuditFile, AuditSink, AuditStream, AuditSyslog
from ..adapters.begun_files import BegunFiles
from ..adapters.clock import SystemClock
from ..adapters.history_file import HistoryFile
from ..adapters.line_file import LineFile, LineStream
from ..adapters.metrics import PrometheusMeter
from ..adapters.probe import HttpProbe
from ..adapters.store import SqlStore
from ..config import GatewaySettings
from ..core.audit import Entry
from ..core.routing import RoutingTable
from ..core.visits import Codes
from ..engine.callers import Callers
from ..engine.engine import Engine
from ..engine.uses import Uses
from ..errors import Forbidden
from ..front.access_log import AccessLog
from ..front.server import Front
from ..front.visiting import Visiting
from ..ports import Clock, NoQueries, Queries
from ..web.application import ControlApplication, Shown, make_application
from ..web.call import Parts
from ..web.handler import MAX_DISCARDED
from ..web.sign_in import Doors
from ..wire import GatewayInfo
from .assembly import Assemble, Assembly, Site
from .files import DataDirectory
from .history import KeptHistories
from .limits import raise_descriptor_limit
from .own_deeds import Looked, ends, starts

__all__ = ["Gateway"]

log = logging.getLogger(__name__)


class Gateway:
    """One run of the gateway. ``run`` returns after an orderly stop and raises when it cannot start. ``at_rest``: what
    seals the secrets in its database, as ``SqlStore.open`` takes it; ``clock``: another one than the machine's."""

    def __init__(
        self,
        settings: GatewaySettings,
        files: DataDirectory,
        assemble: Assemble,
        at_rest: Callable[[], AtRest] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._files = files
        self._assemble = assemble
        self._at_rest = at_rest
        self._clock = clock or SystemClock()
        self._routing = RoutingTable()
        self._ending = asyncio.Event()
        self._why = ""
        self._end_replicas = False  # a start that fails leaves the replicas of the former gateway alone
        self._started_at = time.time()

    async def run(self) -> None:
        settings, files = self._settings, self._files
        raise_descriptor_limit()
        async with contextlib.AsyncExitStack() as undo:
            self._obey_signals(undo)
            store = await SqlStore.open(files.database, at_rest=self._at_rest)
            undo.push_async_callback(ended, "the store", store.close, 15.0)
            uses = Uses(store, self._clock)
            await uses.load()
            uses.start()
            undo.push_async_callback(ended, "the counts of calls", uses.stop, 15.0)
            parts = await self._assemble(Site(store, self._clock, undo, self.end, uses))
            undo.callback(parts.listener.close)
            await parts.tokens.load()
            parts.tokens.start()
            undo.push_async_callback(ended, "the tokens", parts.tokens.stop, 15.0)

            queries = self._queries(undo)
            log_of_calls, writer = self._access_log(undo)
            engine, meter = self._engine(store, parts, queries)
            sinks = self._audit_sinks(store, engine, undo)
            if log_of_calls is not None and writer is not None:
                meter.watch_access_log(lambda: log_of_calls.lost, lambda: writer.well)
            undo.push_async_callback(ended, "the engine", lambda: self._stop_engine(engine, parts), 30.0)
            await engine.start()
            looked = Looked(engine, parts.tokens)
            await starts(looked, parts.base, parts.configured)
            undo.callback(self._note_end, looked, parts)
            figures = KeptHistories(engine.histories, HistoryFile(files.history))
            await figures.load({view.id for view in engine.services()})
            figures.start()
            undo.push_async_callback(ended, "the figures over time", figures.stop, 5.0)
            parts.begin(engine, undo)

            callers = Callers(parts.identity, self._clock, timeout=parts.front.identity_timeout)
            codes = Codes()  # by which people get from our pages to the hosts of services
            of_the_api = Parts(
                engine=engine,
                tokens=parts.tokens,
                callers=callers,
                metrics=meter.text,
                info=lambda: self._info(parts),
                attach=parts.attach,
                shutdown=lambda leave_replicas: self._asked_to_end(parts, leave_replicas),
                offer=lambda owner: parts.offer(engine, owner),
                rules=parts.rules,
                overrides=parts.overrides,
                told=lambda: [*parts.told(), *([] if writer is None else [_of_log(writer)]), *_of_sinks(sinks)],
                looks=parts.looks,
                uses=uses,
            )
            application = make_application(
                of_the_api,
                prefix=parts.prefix,
                open_metrics=settings.open_metrics,
                shared=parts.shared,
                shown=self._shown(parts, callers, codes),
            )
            web_socket = self._serve_web(undo, application)
            front = Front(
                routing=self._routing,
                callers=callers,
                meter=meter,
                web_socket=str(web_socket),
                prefix=parts.prefix,
                settings=parts.front,
                access_log=log_of_calls,
                hosts=parts.hosts,
                uses=uses,
                visiting=self._visiting(parts, codes),
            )
            await front.start(parts.listener)
            grace = settings.stop_grace
            undo.push_async_callback(ended, "the front", lambda: front.stop(grace), grace + 5.0)
            undo.callback(application.close_streams)  # an event stream has no end for the front to wait for

            if parts.announced is not None:
                files.announce(parts.base, parts.announced)
                undo.callback(files.withdraw)
            gc.freeze()  # what is here stays: 84,000 objects, 0.1 s and more for each look through them all
            log.info("gateway %s of %s at %s, process %d", __version__, parts.owner, parts.base, os.getpid())
            await self._ending.wait()
        log.info("gateway ended")

    def end(self, reason: str, *, leave_replicas: bool = False) -> None:
        """Stop in order, soon. The first reason counts."""
        if not self._ending.is_set():
            log.info("ending: %s", reason)
            self._why, self._end_replicas = reason, not leave_replicas
            self._ending.set()

    # --- parts ---------------------------------------------------------------------------------------

    def _queries(self, undo: contextlib.AsyncExitStack) -> Queries:
        given = self._settings.prometheus
        if given is None:
            return NoQueries()
        from ..adapters.prometheus_query import PrometheusQueries  # httpx is a tenth of the imports of a start

        queries = PrometheusQueries(
            given.url,
            given.queries,
            clock=self._clock,
            timeout=given.timeout,
            interval=given.interval,
            token_file=given.token_file,
        )
        queries.start()
        undo.push_async_callback(ended, "the questions to Prometheus", queries.stop, 5.0)
        return queries

    def _access_log(self, undo: contextlib.AsyncExitStack) -> tuple[AccessLog | None, AccessWriter | None]:
        given, most = self._settings.access_log, self._settings.access_log_bytes
        if not given:
            return None, None
        noted = AccessLog()
        out = LineStream(1, "on standard output") if given == "-" else LineFile(Path(given), most, begins=b"{")
        writer = AccessWriter(noted.entries, out)
        writer.start()
        undo.push_async_callback(ended, "the access log", writer.stop, 5.0)
        return noted, writer

    def _audit_sinks(self, store: SqlStore, engine: Engine, undo: contextlib.AsyncExitStack) -> list[AuditSink]:
        """They end after the engine, which writes the last entries."""
        given, syslog, folder = self._settings.audit_log, self._settings.audit_syslog, self._files.path
        found: list[AuditSink] = []
        if given:
            out = AuditStream() if given == "-" else AuditFile(Path(given))
            book = folder / "audit-file.json"
            found.append(AuditSink(out, store.audit.find, book=book, database=store.identity))
        if syslog is not None:
            book = folder / "audit-syslog.json"
            found.append(AuditSink(AuditSyslog(syslog), store.audit.find, book=book, database=store.identity))
        for sink in found:
            sink.start()
            undo.push_async_callback(ended, "the copy of the audit log", sink.stop, 5.0)

        def tell(entry: Entry) -> None:
            for sink in found:
                sink.wake()

        engine.audit.tell = tell
        return found

    def _engine(self, store: SqlStore, parts: Assembly, queries: Queries) -> tuple[Engine, PrometheusMeter]:
        meter = PrometheusMeter(routing=self._routing, services=lambda: engine.services(), clock=self._clock)
        engine = Engine(
            store=store,
            launcher=parts.launcher,
            leases=parts.leases,
            probe=HttpProbe(),
            definitions=parts.definitions,
            clock=self._clock,
            meter=meter,
            routing=self._routing,
            storage=parts.storage,
            endpoint_url=lambda owner, name: f"{parts.base}endpoints/{owner}/{name}/",
            page_url=parts.page_of,
            settings=parts.settings,
            queries=queries,
            rules=parts.rules,
            begun=BegunFiles(self._files.path / "begun"),
        )
        return engine, meter

    def _note_end(self, looked: Looked, parts: Assembly) -> None:
        if self._why:
            ends(looked, self._why, replicas_end=self._end_replicas and parts.may_end)

    async def _stop_engine(self, engine: Engine, parts: Assembly) -> None:
        end_replicas = self._end_replicas and parts.may_end
        if self._ending.is_set():
            log.info("the replicas %s", "end, too" if end_replicas else "stay")
        await engine.stop(end_replicas=end_replicas)

    def _serve_web(self, undo: contextlib.AsyncExitStack, application: ControlApplication) -> Path:
        path, listener = self._files.web_listener()
        undo.callback(self._files.remove_web_socket, path)
        server = HTTPServer(application, max_body_size=MAX_DISCARDED)
        server.add_socket(listener)

        async def stop() -> None:
            server.stop()
            await server.close_all_connections()

        undo.push_async_callback(ended, "the control API", stop, 5.0)
        return path

    def _shown(self, parts: Assembly, callers: Callers, codes: Codes) -> Shown | None:
        if parts.sessions is None:
            return None
        doors = None if parts.hosts is None else Doors(self._routing, parts.hosts, codes, self._clock)
        return Shown(parts.sessions(callers), doors)

    def _visiting(self, parts: Assembly, codes: Codes) -> Visiting | None:
        if parts.hosts is None or parts.visits is None:
            return None
        return Visiting(parts.visits, codes, parts.hosts, self._clock, f"{parts.base}sign-in")

    def _obey_signals(self, undo: contextlib.AsyncExitStack) -> None:
        """SIGTERM and SIGINT end the gateway; so does a closed terminal, unless under nohup. The replicas of a user's
        own gateway end with it: only ``kill -9`` leaves them to the next one."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self.end, f"signal {number.name}")
            undo.callback(loop.remove_signal_handler, number)

    def _asked_to_end(self, parts: Assembly, leave_replicas: bool) -> None:
        if not parts.may_end:
            raise Forbidden("A hub's gateway is ended by what runs it: the Hub itself, or systemd or compose.")
        # After this turn of the loop: the answer to whoever asked goes out first.
        asyncio.get_running_loop().call_later(0.05, self._end_on_request, leave_replicas)

    def _end_on_request(self, leave_replicas: bool) -> None:
        self.end("asked to through the control API", leave_replicas=leave_replicas)

    def _info(self, parts: Assembly) -> GatewayInfo:
        return GatewayInfo(
            version=__version__,
            mode=parts.mode,
            owner=parts.owner,
            pid=os.getpid(),
            launcher=parts.launcher.name,
            started_at=self._started_at,
            keep=parts.kept(),
            attached=parts.attached(),
            people=parts.shared,
            own_hosts=parts.hosts is not None,
            administration=parts.base if parts.sessions is not None else None,
        )


def _of_log(writer: AccessWriter) -> str:
    """For ``health/ready``, which anyone may ask: without the path."""
    return f"access log: {'written' if writer.well else 'cannot be written'}"


def _of_sinks(sinks: Sequence[AuditSink]) -> list[str]:
    return [f"audit log: {'copied' if all(sink.well for sink in sinks) else 'cannot be copied'}"] if sinks else []


async def ended(what: str, stop: Callable[[], Awaitable[None]], limit: float) -> None:
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
