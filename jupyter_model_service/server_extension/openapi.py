"""One OpenAPI 3.1 document of all that a page in Jupyter may ask for: the gateway's control API as it is forwarded, and
the extension's own routes. The panel's types are generated from it."""

from __future__ import annotations

from typing import Any

from ..web.openapi import document
from ..web.routes import ROUTES, Access, Route
from ..wire import workbench as wire
from .workbench_queries import PathQuery

__all__ = ["WORKBENCH_ROUTES", "openapi_document"]

_ROOT = "workbench/v1"


def _route(method: str, path: str, name: str, summary: str, **rest: Any) -> Route:
    """Who may is Jupyter's business here; its own check comes before."""
    return Route(method, f"{_ROOT}/{path}", name, summary, None, Access.MANAGER, **rest)


WORKBENCH_ROUTES: tuple[Route, ...] = (
    _route("GET", "site", "site", "What this Jupyter server offers", answer=wire.SiteInfo),
    _route(
        "GET",
        "folder",
        "look_at_folder",
        "What a folder holds: its definition with all problems, what could be drafted, and the kept sample requests",
        query=PathQuery,
        answer=wire.FolderInfo,
        statuses=(404,),
    ),
    _route(
        "POST",
        "checks",
        "check_definition",
        "Check the text of a folder's definition that is not saved yet; nothing is written",
        request=wire.CheckRequest,
        answer=wire.CheckInfo,
        statuses=(404,),
    ),
    _route(
        "POST",
        "drafts",
        "draft",
        "Draft a definition, and a server where there is none; nothing is written unless `write`",
        request=wire.DraftRequest,
        answer=wire.DraftInfo,
        statuses=(404, 409),
    ),
    _route(
        "PUT",
        "requests",
        "keep_requests",
        "Keep the folder's sample requests, in the place of those that it has",
        query=PathQuery,
        request=wire.SampleRequests,
        answer=wire.KeptRequests,
        statuses=(404,),
    ),
    _route(
        "POST",
        "dry-runs",
        "start_dry_run",
        "Start the folder's server here, see that it is well, send a sample call, and stop it again",
        request=wire.DryRunRequest,
        answer=wire.DryRunStarted,
        status=201,
        statuses=(404, 422),
    ),
    _route(
        "GET",
        "dry-runs/{id}",
        "get_dry_run",
        "A dry run so far; with `Accept: text/event-stream` all of it as it comes",
        answer=wire.DryRunState,
    ),
    _route("DELETE", "dry-runs/{id}", "stop_dry_run", "Stop a dry run, wherever it is", answer=wire.DryRunState),
)

_STREAMED = (wire.DryRunPhase, wire.DryRunLog, wire.DryRunAnswer, wire.DryRunOutcome)

_STREAM = """\
The state so far. As `text/event-stream`: `phase` (a `DryRunPhase`), `log` (a `DryRunLog`) and `answer` (a
`DryRunAnswer`) from the beginning on, then `outcome` (a `DryRunOutcome`), with which the stream ends. A comment comes
each 10 seconds.
"""


def openapi_document() -> dict[str, Any]:
    """Paths are relative to ``model-service/`` of a Jupyter server."""
    found = document((*ROUTES, *WORKBENCH_ROUTES), _STREAMED)
    streamed = found["paths"][f"/{_ROOT}/dry-runs/{{id}}"]["get"]["responses"]["200"]
    streamed["description"] = _STREAM
    streamed["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return found
