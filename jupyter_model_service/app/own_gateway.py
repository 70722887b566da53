"""The parts of one user's own gateway: replicas are processes, whoever holds the control token is the user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from ..adapters.definition_file import DefinitionFiles
from ..adapters.launch_local import LocalLauncher
from ..adapters.snapshots import LocalSnapshots
from ..config import GatewaySettings
from ..core.access import Caller
from ..core.hosts import Hosts, is_of_this_machine
from ..core.words import FOLDER
from ..engine.engine import Engine
from ..engine.settings import EngineSettings
from ..engine.tokens import EndpointTokens, digest_of
from ..front.settings import FrontSettings
from .assembly import Assemble, Assembly, Site
from .attachments import Attachments
from .files import DataDirectory
from .gateway import ended
from .offers import own_offer

__all__ = ["own_gateway"]

NO_MODELS = (
    f"there is no folder {FOLDER} on this machine: in the model's code use the variable BACKEND_MODEL_PATH, or a path "
    "relative to the model folder"
)

_PAGE_HELP = (
    "This service is private. Programs call it with a token, as 'Authorization: Bearer TOKEN'; you can try it in the "
    "panel in JupyterLab, and open its pages here when it is public (`update NAME --visibility public`)."
)


def own_gateway(settings: GatewaySettings, files: DataDirectory) -> Assemble:
    hint = "" if os.path.isdir(FOLDER) else NO_MODELS

    async def assemble(site: Site) -> Assembly:
        token = f"jmc_{secrets.token_urlsafe(32)}"
        # This token is in the hands of the user's Jupyter servers, which pass on calls of browsers.
        owner = Caller(settings.owner, manages=frozenset({settings.owner}), forwards=True)
        tokens = EndpointTokens(
            site.store, site.clock, {digest_of(token): owner}, None, site.uses.token, site.uses.token_today
        )
        attachments = Attachments(keep=settings.keep, patience=settings.attach_timeout, alone=site.end)
        listener = files.listener(settings.host, settings.port)
        return Assembly(
            mode="embedded",
            owner=settings.owner,
            listener=listener,
            base=_url(listener),
            launcher=LocalLauncher(files.replicas, abandon_after=settings.abandon_after),
            storage=LocalSnapshots(
                files.revisions,
                settings.snapshots,
                database=site.store.identity,
                leave_out=(files.path, Path(jupyter_runtime_dir())),
            ),
            definitions=DefinitionFiles(),
            tokens=tokens,
            identity=tokens,
            settings=EngineSettings(
                max_replicas=settings.max_replicas,
                revisions_kept=settings.revisions_kept,
                audit_kept=settings.audit_kept,
                hint_models=hint,
                copies_beside_store=True,
            ),
            attach=attachments.attach,
            attached=attachments.__len__,
            kept=lambda: attachments.keep,
            offer=own_offer(settings.max_replicas),
            front=FrontSettings(
                shared_origin=True, page_help=_PAGE_HELP, of_this_machine=is_of_this_machine(_host(listener))
            ),
            hosts=_hosts(listener),
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


def _hosts(listener: socket.socket) -> Hosts | None:
    """``*.localhost`` is 127.0.0.1 or ::1 to browsers (RFC 6761 §6.3), and no other address of the loopback."""
    host, port = listener.getsockname()[:2]
    return Hosts(f"http://*.localhost:{port}") if host in ("127.0.0.1", "::1") else None


def _host(listener: socket.socket) -> bytes:
    host = str(listener.getsockname()[0])
    return f"[{host}]".encode() if ":" in host else host.encode()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
