"""The parts of one user's own gateway: replicas are processes, whoever holds the control token is the user."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket

from ..adapters.definition_file import DefinitionFiles
from ..adapters.launch_local import LocalLauncher
from ..adapters.snapshots import LocalSnapshots
from ..config import GatewaySettings
from ..core.access import Caller
from ..engine.engine import Engine
from ..engine.settings import EngineSettings
from ..engine.tokens import EndpointTokens, digest_of
from .assembly import Assemble, Assembly, Site
from .attachments import Attachments
from .files import DataDirectory
from .gateway import ended

__all__ = ["own_gateway"]


def own_gateway(settings: GatewaySettings, files: DataDirectory) -> Assemble:
    async def assemble(site: Site) -> Assembly:
        token = f"jmc_{secrets.token_urlsafe(32)}"
        # This token is in the hands of the user's Jupyter servers, which pass on calls of browsers.
        owner = Caller(settings.owner, manages=frozenset({settings.owner}), forwards=True)
        tokens = EndpointTokens(site.store, site.clock, {digest_of(token): owner})
        attachments = Attachments(keep=settings.keep, patience=settings.attach_timeout, alone=site.end)
        listener = files.listener(settings.host, settings.port)
        return Assembly(
            mode="embedded",
            owner=settings.owner,
            listener=listener,
            base=_url(listener),
            launcher=LocalLauncher(files.replicas, abandon_after=settings.abandon_after),
            storage=LocalSnapshots(files.revisions, settings.snapshots, database=site.store.identity),
            definitions=DefinitionFiles(),
            tokens=tokens,
            identity=tokens,
            settings=EngineSettings(max_replicas=settings.max_replicas, revisions_kept=settings.revisions_kept),
            attach=attachments.attach,
            attached=attachments.__len__,
            kept=lambda: attachments.keep,
            announced=token,
            begin=lambda engine, undo: _watch(attachments, engine, undo),
        )

    return assemble


def _watch(attachments: Attachments, engine: Engine, undo: contextlib.AsyncExitStack) -> None:
    task = asyncio.get_running_loop().create_task(attachments.watch(), name="attachments")

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    undo.push_async_callback(ended, "the watch over attachments", stop, 5.0)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
