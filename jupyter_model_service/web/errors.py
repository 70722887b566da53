"""The one place where an error becomes a status, a code and a body.

Handlers raise, and who catches in between raises again: what is answered, and what the audit log says was, is decided
here alone. Messages of :class:`ModelServiceError` are written for people and
go out as they are. Anything unexpected becomes a 500 that says only where to look: its text may hold secrets.
"""

from __future__ import annotations

import difflib
import http
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from tornado.web import HTTPError

from ..errors import ModelServiceError, Problem
from ..wire import ErrorAnswer, ErrorBody, ProblemInfo

__all__ = ["ERROR_HEADER", "MethodNotAllowed", "Refusal", "UnsupportedMediaType", "classified", "refusal"]

log = logging.getLogger(__name__)

ERROR_HEADER = "X-Model-Service-Error"
PROBLEMS_TOLD = 20  # of one request; each may be compared with all names that are known

# For what Tornado itself refuses, such as a path that is no UTF-8 or a method that HTTP does not know.
_CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class MethodNotAllowed(ModelServiceError):
    """HTTP only: the address exists, but not with this method. ``allowed`` are those that it has."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"This address can be used with {self.allowed} only.")


class UnsupportedMediaType(ModelServiceError):
    """HTTP only: the body is not of the type that the operation reads."""

    code = "unsupported_media_type"
    status = 415


@dataclass(frozen=True)
class Refusal:
    """An error as it goes over the wire."""

    status: int
    answer: ErrorAnswer
    headers: Mapping[str, str] = field(default_factory=dict)


def classified(error: BaseException, models: Sequence[type[BaseModel]] = ()) -> tuple[int, str]:
    """The status and the code that any exception comes to; ``models`` as for :func:`refusal`."""
    if isinstance(error, ModelServiceError):
        return error.status, error.code
    if _parsed(error, models) is not None:
        return 400, "invalid_request"
    if isinstance(error, HTTPError) and error.status_code < 500:
        return error.status_code, _CODES.get(error.status_code, "invalid_request")
    return 500, "internal"


def _parsed(error: BaseException, models: Sequence[type[BaseModel]]) -> type[BaseModel] | None:
    """Of ``models`` the one that was given something else than it takes."""
    return next((m for m in models if isinstance(error, ValidationError) and error.title == m.__name__), None)


def refusal(error: BaseException, request_id: str, models: Sequence[type[BaseModel]] = ()) -> Refusal:
    """Turn any exception into what the caller sees. Unexpected ones are logged here, with the request id.

    ``models`` are those that the request was parsed with: a ``ValidationError`` of one of them is the caller's
    mistake, one of any other model is ours.
    """
    status, code = classified(error, models)
    if isinstance(error, ModelServiceError):
        refused = _refuse(status, code, error.message, error.problems, retry_after=error.retry_after)
        if isinstance(error, MethodNotAllowed):
            return replace(refused, headers={**refused.headers, "Allow": error.allowed})
        return refused
    parsed = _parsed(error, models)
    if isinstance(error, ValidationError) and parsed is not None:
        details = error.errors(include_url=False, include_input=False)
        found = tuple(_problem(parsed, detail) for detail in details[:PROBLEMS_TOLD])
        message = "The request cannot be used: " + "; ".join(_sentence(p) for p in found) + "."
        return _refuse(status, code, message, found)
    if status < 500:
        # Tornado's own message quotes what was sent.
        return _refuse(status, code, f"{http.HTTPStatus(status).phrase}.")
    log.error("request %s failed inside the gateway", request_id, exc_info=error)
    return _refuse(
        status, code, f"Something failed inside the gateway; its log says more under request id {request_id}."
    )


def _refuse(
    status: int, code: str, message: str, problems: Sequence[Problem] = (), *, retry_after: float | None = None
) -> Refusal:
    headers = {ERROR_HEADER: code}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if retry_after is not None or status in (429, 503):
        # Retry-After counts whole seconds: 0.2 becomes 1, never 0, which would mean "at once".
        headers["Retry-After"] = str(max(1, math.ceil(retry_after or 1.0)))
    infos = [
        ProblemInfo(where=p.where, message=p.message, file=p.file, line=p.line, severity=p.severity) for p in problems
    ]
    return Refusal(status, ErrorAnswer(error=ErrorBody(code=code, message=message, problems=infos)), headers)


def _sentence(problem: Problem) -> str:
    return f"{problem.where}: {problem.message}" if problem.where else problem.message


def _problem(model: type[BaseModel], detail: Mapping[str, Any]) -> Problem:
    """One finding of pydantic, without the value that was sent: an environment variable may be a secret."""
    path: tuple[int | str, ...] = detail["loc"]
    where = _where(path)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}" if known else "none is known"
        return Problem(where, f"unknown field ({hint})")
    if detail["type"] == "missing":
        return Problem(where, "this field is needed")
    message = str(detail["msg"])
    return Problem(where, message[:1].lower() + message[1:] if not message.startswith("JSON") else message)


def _where(path: Sequence[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _fields_at(model: type[BaseModel] | None, path: Sequence[int | str]) -> list[str]:
    """The field names of the (nested) model at this place of a request."""
    for part in path:
        if model is None:
            return []
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation if part in model.model_fields else None
            model = _model_in(annotation)
    return sorted(model.model_fields) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
