"""The extension's own routes, ``model-service/workbench/v1/…``: what this Jupyter server does itself, with the user's
rights and in its own environment. No gateway has a part in it. The work is done in ``workbench/``, which is loaded with
the first call.

Whoever may use them may run programs here, as with Jupyter's own kernels and terminals: Jupyter's authorizers are asked
about ``model-service``, with ``write`` for everything that changes or runs something.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.auth.decorator import authorized
from tornado import iostream, web

from .._version import __version__
from ..adapters.daemon_threads import in_thread
from ..client.folders import USER_VARIABLE
from ..errors import InvalidRequest, ModelServiceError, TooLarge
from .control import ProgramHandler

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..workbench.dry_runs import DryRuns, Told

__all__ = ["WORKBENCH", "Workbench"]

log = logging.getLogger(__name__)

_MAX_BODY = 16 << 20  # bytes; sample requests may hold pictures
_FILE_SECONDS = 30.0  # a network file system may hang for ever
_HEARTBEAT = 10.0  # seconds
_STALLED = 30.0  # seconds that a reader of events may take nothing

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")


class Workbench:
    """What the handlers share: the dry runs of this server, once there was one."""

    _runs: DryRuns | None = None

    @property
    def runs(self) -> DryRuns:
        from ..workbench.dry_runs import DryRuns

        self._runs = self._runs or DryRuns()
        return self._runs

    async def stop(self) -> None:
        if self._runs is not None:
            await self._runs.close()


class WorkbenchHandler(ProgramHandler):
    """Errors of ours and bodies that make no sense become ``wire.ErrorAnswer`` as the gateway's do."""

    parsed_with: tuple[type[BaseModel], ...] = ()

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        if not self._finished:
            self.refuse_visitor()

    @property
    def runs(self) -> DryRuns:
        shared: Workbench = self.settings["model_service_workbench"]
        return shared.runs

    @property
    def root(self) -> str:
        """Where Jupyter's files are, without links; empty where they are in no folder."""
        root = getattr(self.contents_manager, "root_dir", "") or ""
        return os.path.realpath(os.path.expanduser(root)) if root else ""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        from ..web.errors import refusal

        error = kwargs.get("exc_info", (None, None, None))[1]
        if error is None or isinstance(error, web.HTTPError):
            super().write_error(status_code, **kwargs)
            return
        mistakes = [model.__name__ for model in self.parsed_with]
        if not isinstance(error, ModelServiceError) and getattr(error, "title", None) not in mistakes:
            id = secrets.token_hex(4)
            log.error("request %s of the workbench failed", id, exc_info=error)
            self.refuse(500, "internal", f"Something failed in the Jupyter server; its log says more under {id}.")
            return
        refused = refusal(error, "-", self.parsed_with)
        self.set_status(refused.status)
        for name, value in refused.headers.items():
            self.set_header(name, value)
        self.answer(refused.answer)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What is unexpected is logged by ``refusal``."""
        if isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)

    def body(self, model: type[M]) -> M:
        if len(self.request.body) > _MAX_BODY:
            raise TooLarge(f"The body may have at most {_MAX_BODY >> 20} MiB.")
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise InvalidRequest("The body has to be JSON, with the header `Content-Type: application/json`.")
        self.parsed_with = (model,)
        return model.model_validate_json(self.request.body or b"{}")

    def answer(self, content: BaseModel) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(content.model_dump_json())

    def path_argument(self) -> str:
        return self.get_query_argument("path", "", strip=False)

    async def folder(self, path: str) -> Path:
        from ..workbench.folder import below

        return await self.in_thread(below, self.root, path)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.wait_for(in_thread("model folder", function, *arguments), _FILE_SECONDS)
        except asyncio.TimeoutError:
            raise InvalidRequest(
                f"The folder could not be read within {_FILE_SECONDS:.0f} s; is the file system well?"
            ) from None


def _path_of(folder: Path, root: str) -> str:
    """As Jupyter's contents name it."""
    path = folder.relative_to(root).as_posix()
    return "" if path == "." else path


class SiteHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        from ..wire import workbench as wire
        from ..workbench.kinds import KINDS

        kinds = [
            wire.KindInfo(
                name=kind.name,
                title=kind.title,
                help=kind.help,
                writes=list(kind.writes),
                fields=[
                    wire.FieldInfo.model_validate(
                        {
                            "name": field.name,
                            "label": field.label,
                            "help": field.help,
                            "type": field.kind,
                            "default": field.default,
                            "required": field.required,
                            "choices": list(field.choices),
                        }
                    )
                    for field in kind.fields
                ],
            )
            for kind in KINDS
        ]
        remote = self.link.remote
        user = os.environ.get(USER_VARIABLE) if remote else None
        self.answer(
            wire.SiteInfo(
                version=__version__,
                mode="hub" if remote else "embedded",
                user=user or getpass.getuser(),
                root=self.root,
                kinds=kinds,
            )
        )


class FolderHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        from ..workbench.folder import look

        folder = await self.folder(self.path_argument())
        here = not self.link.remote
        self.answer(await self.in_thread(lambda: look(folder, _path_of(folder, self.root), here=here)))


class ChecksHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        from ..wire import workbench as wire
        from ..workbench.folder import checked

        asked = self.body(wire.CheckRequest)
        folder, here = await self.folder(asked.path), not self.link.remote
        self.answer(await self.in_thread(lambda: checked(folder, asked.text, here=here)))


class DraftsHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        from ..wire import workbench as wire
        from ..workbench.folder import drafted

        asked = self.body(wire.DraftRequest)
        folder = await self.folder(asked.path)
        found = await self.in_thread(drafted, folder, asked.kind, asked.fields, asked.write, asked.force)
        self.answer(found)


class RequestsHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def put(self) -> None:
        from ..wire import workbench as wire
        from ..workbench.samples import keep_samples

        asked = self.body(wire.SampleRequests)
        folder = await self.folder(self.path_argument())
        self.answer(await self.in_thread(keep_samples, folder, asked.requests))


class DryRunsHandler(WorkbenchHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        from ..wire import workbench as wire
        from ..workbench.dry_run import prepared

        asked = self.body(wire.DryRunRequest)
        folder = await self.folder(asked.path)
        plan = await self.in_thread(prepared, folder, asked.request)
        id = self.runs.start(plan, _path_of(folder, self.root), asked.timeout)
        self.set_status(201)
        self.answer(wire.DryRunStarted(id=id))


class DryRunHandler(WorkbenchHandler):
    _reading: asyncio.Task[None] | None = None

    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        state = self.runs.state(id)
        if "text/event-stream" not in self.request.headers.get("Accept", ""):
            self.answer(state)
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        self._reading = asyncio.create_task(self._tell(self.runs.follow(id)))
        await asyncio.wait({self._reading})

    @web.authenticated
    @authorized
    async def delete(self, id: str) -> None:
        self.answer(await self.runs.stop(id))

    async def _tell(self, told: AsyncIterator[Told]) -> None:
        coming = asyncio.ensure_future(anext(told, None))
        try:
            while True:
                # Not wait_for(anext(...)): a heartbeat must not cancel the read and lose what comes with it.
                await asyncio.wait({coming}, timeout=_HEARTBEAT)
                if not coming.done():
                    await self._send(": still here\n\n")
                    continue
                found = coming.result()
                if found is None:
                    return
                coming = asyncio.ensure_future(anext(told, None))
                kind = type(found).__name__.removeprefix("DryRun").lower()
                await self._send(f"event: {kind}\ndata: {found.model_dump_json()}\n\n")
        except iostream.StreamClosedError:
            pass  # the reader has gone
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            self.detach().close()  # it takes nothing any more: what waits for it goes, too
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            await told.aclose()  # type: ignore[attr-defined]

    async def _send(self, text: str) -> None:
        self.write(text)
        await asyncio.wait_for(self.flush(), _STALLED)

    def on_connection_close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        super().on_connection_close()


_BELOW = r"/model-service/workbench/v1"
WORKBENCH: list[tuple[str, type[WorkbenchHandler]]] = [
    (rf"{_BELOW}/site", SiteHandler),
    (rf"{_BELOW}/folder", FolderHandler),
    (rf"{_BELOW}/checks", ChecksHandler),
    (rf"{_BELOW}/drafts", DraftsHandler),
    (rf"{_BELOW}/requests", RequestsHandler),
    (rf"{_BELOW}/dry-runs", DryRunsHandler),
    (rf"{_BELOW}/dry-runs/([0-9a-f]+)", DryRunHandler),
]
