"""The served OpenAPI 3.1 document, made of the route table and the wire models alone."""

from __future__ import annotations

import http
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .. import wire
from .._version import __version__
from .errors import ERROR_HEADER
from .route import Access, Route

__all__ = ["document"]

_ERROR_TEXT = {
    400: "The request itself is wrong.",
    401: "No token, or one that is not (any more) valid.",
    403: "A valid token, but not for this.",
    404: "There is no such thing that the caller may know of.",
    409: "The name is taken, or the state does not allow it.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The definition in the folder has problems; all are listed.",
    429: "Too many unknown tokens came from this address.",
    500: "Something failed inside the gateway.",
    502: "The replica does not answer.",
    503: "Try again later.",
}

_DESCRIPTION = f"""\
The control API of jupyter-model-service. Times are Unix seconds, sizes bytes.

Every refusal of the gateway's own has the body `ErrorAnswer` and the header `{ERROR_HEADER}` with the same code.
"""


def document(routes: Sequence[Route], streamed: Sequence[type[BaseModel]] = ()) -> dict[str, Any]:
    """Everything a client generator needs. Addresses are relative to the gateway's prefix, wherever that is.
    ``streamed`` are models that no route names as its answer."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter-model-service",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "../..", "description": "this gateway, relative to this document"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes, streamed),
            "responses": {f"Error{status}": _error(status) for status in _ERROR_TEXT},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            str(route.status): _success(route),
            **{str(s): {"$ref": f"#/components/responses/Error{s}"} for s in route.errors_of()},
        },
        "x-access": route.access.value,
    }
    if route.request is not None:
        needed = any(field.is_required() for field in route.request.model_fields.values())
        operation["requestBody"] = {
            "required": needed,
            "content": {"application/json": {"schema": _ref(route.request)}},
        }
    if route.access is Access.ANYONE:
        operation["security"] = []
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    for name, schema in route.query.model_json_schema().get("properties", {}).items():
        text = schema.pop("description", None)
        schema.pop("title", None)
        found.append({"name": name, "in": "query", "schema": schema, **({"description": text} if text else {})})
    return found


def _success(route: Route) -> dict[str, Any]:
    text = http.HTTPStatus(route.status).phrase
    if route.status == 204:
        return {"description": text}
    if route.media_type == "text/event-stream":
        return {"description": _STREAM, "content": {route.media_type: {"schema": {"type": "string"}}}}
    if route.media_type != "application/json":
        return {"description": text, "content": {route.media_type: {"schema": {"type": "string"}}}}
    schema = _ref(route.answer) if route.answer is not None else {"type": "object"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _error(status: int) -> dict[str, Any]:
    return {
        "description": _ERROR_TEXT[status],
        "headers": {ERROR_HEADER: {"description": "the code of the error", "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": _ref(wire.ErrorAnswer)}},
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas(routes: Sequence[Route], streamed: Sequence[type[BaseModel]]) -> dict[str, Any]:
    # These travel in the event stream only, so no route names them as its answer.
    answers: set[type[BaseModel]] = {r.answer for r in routes if r.answer is not None}
    answers |= {wire.ErrorAnswer, wire.EventInfo, wire.CopyInfo, *streamed}
    requests: set[type[BaseModel]] = {r.request for r in routes if r.request is not None}
    wanted: list[tuple[type[BaseModel], Any]] = [(m, "serialization") for m in answers]
    wanted += [(m, "validation") for m in requests]
    wanted.sort(key=lambda pair: pair[0].__name__)
    _, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


_STREAM = """\
Server-sent events: `hello` once (data `{}`), then `service` (a `ServiceInfo`), `removed` (`{"service": "owner/name"}`),
`event` (an `EventInfo`), `copying` (a `CopyInfo`: how far the copy of a folder is, for a service that need not be there
yet) and `resync` (`{}`: changes were missed, list again). A comment comes each 10 seconds.
"""
