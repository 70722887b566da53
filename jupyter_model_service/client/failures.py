"""Turn an answer that is not a success back into the error that the server raised: the same tree, the same code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import errors
from ..errors import DefinitionError, GatewayUnavailable, ModelServiceError, Problem

#: The header that marks an answer as ours and not the model's; its value is the code.
OURS = "x-model-service-error"

_CLASSES = [
    kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if isinstance(kind, type) and issubclass(kind, ModelServiceError) and kind is not ModelServiceError
]
_BY_CODE: dict[str, type[ModelServiceError]] = {kind.code: kind for kind in _CLASSES}
#: For a code that this version does not know; where two classes share a status, the more general one.
_BY_STATUS: dict[int, type[ModelServiceError]] = {kind.status: kind for kind in _CLASSES}
_BY_STATUS |= {429: errors.TooManyAttempts, 500: errors.StoreError, 502: errors.UpstreamError, 503: errors.Overloaded}


def error_from(status: int, headers: Mapping[str, str], body: bytes, where: str) -> ModelServiceError:
    """The error that this answer stands for. ``headers`` have lower-case names; ``where`` is the URL asked."""
    content = _error_body(body)
    if content is None:
        return GatewayUnavailable(
            f"{where} answered {status} with something that is not a model-service gateway's: is the address right?"
        )
    code, message = str(content.get("code") or ""), str(content.get("message") or f"The gateway answered {status}.")
    problems = [_problem(each) for each in content.get("problems") or () if isinstance(each, Mapping)]
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ModelServiceError)
    if issubclass(kind, DefinitionError):
        return DefinitionError(problems or [Problem("", message)])
    error = kind(message)
    error.problems = tuple(problems)
    error.code = code or kind.code
    error.status = status
    error.retry_after = _seconds(headers.get("retry-after"))
    return error


def _error_body(body: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    inner = content.get("error") if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) and "code" in inner else None


def _problem(content: Mapping[str, Any]) -> Problem:
    line = content.get("line")
    file = content.get("file")
    return Problem(
        where=str(content.get("where", "")),
        message=str(content.get("message", "")),
        file=None if file is None else str(file),
        line=line if isinstance(line, int) else None,
        severity=str(content.get("severity", "error")),
    )


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:  # an HTTP date: only proxies in between send one
        return None
