"""The whole error tree. Imports nothing, so that every layer may raise from it.

    ModelServiceError
    ├── DefinitionError          422 invalid_definition      the folder's definition has problems (all listed)
    ├── InvalidRequest           400 invalid_request         the request itself is wrong
    ├── Unauthenticated          401 unauthenticated         no token, or one that is not (any more) valid
    ├── Forbidden                403 forbidden               a valid token, but not for this
    ├── NotFound                 404 not_found
    ├── Conflict                 409 conflict                the name is taken, the state does not allow it
    ├── TooLarge                 413 too_large
    ├── TooManyAttempts          429 too_many_attempts       too many wrong tokens came from this address
    ├── TooMuchAtOnce            429 too_much_at_once        what she asked for before is not taken yet
    ├── Overloaded               503 overloaded              try later (``retry_after`` seconds)
    ├── LaunchError              502 launch_failed           a replica could not be started (``stage``)
    ├── UpstreamError            502 replica_died            a replica broke a call
    ├── StoreError               500 store                   the database cannot be used
    │   └── NoSpace                                          its disk, or that of the copies, is full
    ├── HubUnavailable           503 hub_unavailable         the JupyterHub does not answer, or says "later"
    ├── HubRefused               502 hub_refused             the JupyterHub refused a request of ours (``hub_status``)
    ├── WaitTimeout              504 timeout                 (client side) what was waited for did not happen in time
    └── GatewayUnavailable       503 gateway_unavailable     (client side) nothing answers where the gateway should be

Each class has a stable ``code`` (for programs) and the HTTP ``status`` that ``web/errors.py`` and the
front answer with; ``str(error)`` is the sentence for people: what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Conflict",
    "DefinitionError",
    "Forbidden",
    "GatewayUnavailable",
    "HubRefused",
    "HubUnavailable",
    "InvalidRequest",
    "LaunchError",
    "ModelServiceError",
    "NoSpace",
    "NotFound",
    "Overloaded",
    "Problem",
    "StoreError",
    "TooLarge",
    "TooManyAttempts",
    "TooMuchAtOnce",
    "Unauthenticated",
    "UpstreamError",
    "WaitTimeout",
]


class ModelServiceError(Exception):
    """Base of every error that may be shown to a user. ``code`` is stable, ``status`` is HTTP's. ``problems`` are what
    the message tells, one by one, where it tells of several places."""

    code = "internal"
    status = 500
    retry_after: float | None = None  # seconds
    problems: tuple[Problem, ...] = ()

    def __init__(self, message: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if retry_after is not None:
            self.retry_after = retry_after


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a definition file: where it is, and what would be right.

    ``where`` is the path inside the document (``models[0].service.port``), ``line`` is 1-based
    (``None`` when the problem is something that is missing from the whole file).
    """

    where: str
    message: str
    file: str | None = None
    line: int | None = None
    severity: str = "error"  # "error" | "warning"

    def __str__(self) -> str:
        place = ":".join(str(p) for p in (self.file, self.line) if p is not None)
        return ": ".join(p for p in (place, self.where, self.message) if p)


class DefinitionError(ModelServiceError):
    """The model folder cannot be served as it is; ``problems`` holds every reason, not only the first."""

    code = "invalid_definition"
    status = 422

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class InvalidRequest(ModelServiceError):
    code = "invalid_request"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)


class Unauthenticated(ModelServiceError):
    code = "unauthenticated"
    status = 401


class Forbidden(ModelServiceError):
    code = "forbidden"
    status = 403


class NotFound(ModelServiceError):
    code = "not_found"
    status = 404


class Conflict(ModelServiceError):
    code = "conflict"
    status = 409


class TooLarge(ModelServiceError):
    code = "too_large"
    status = 413


class TooManyAttempts(ModelServiceError):
    code = "too_many_attempts"
    status = 429


class TooMuchAtOnce(ModelServiceError):
    """Whoever asks has not taken yet what she asked for before, or others have not."""

    code = "too_much_at_once"
    status = 429
    retry_after = 5.0


class Overloaded(ModelServiceError):
    code = "overloaded"
    status = 503
    retry_after = 1.0


class LaunchError(ModelServiceError):
    """A replica could not be started. ``stage`` names the step, such as ``spawn`` or ``prepare``.

    ``place``: there is no room for it now (no GPU is free), and nothing is wrong with the revision."""

    code = "launch_failed"
    status = 502

    def __init__(self, message: str, *, stage: str = "spawn") -> None:
        super().__init__(message)
        self.stage = stage


class UpstreamError(ModelServiceError):
    code = "replica_died"
    status = 502


class StoreError(ModelServiceError):
    code = "store"
    status = 500


class NoSpace(StoreError):
    """The disk is full, or would be; nothing was changed."""

    code = "no_space"


class HubUnavailable(ModelServiceError):
    """Whether what was asked for happened is not known, unless ``sent`` is False: then it did not."""

    code = "hub_unavailable"
    status = 503
    retry_after = 5.0

    def __init__(self, message: str, *, retry_after: float | None = None, sent: bool = True) -> None:
        super().__init__(message, retry_after=retry_after)
        self.sent = sent


class HubRefused(ModelServiceError):
    """``hub_status`` is what the Hub answered: 400, 403, 404 …, or 500 for a server that it could not start."""

    code = "hub_refused"
    status = 502

    def __init__(self, message: str, *, hub_status: int = 0) -> None:
        super().__init__(message)
        self.hub_status = hub_status


class GatewayUnavailable(ModelServiceError):
    code = "gateway_unavailable"
    status = 503


class WaitTimeout(ModelServiceError, TimeoutError):
    """What a client waited for did not happen in time; the service goes on all the same."""

    code = "timeout"
    status = 504
