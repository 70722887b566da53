"""Whether a call for which no replica is free is held or refused, for how long, and when its caller may try again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .message import Headers, Refusal

if TYPE_CHECKING:  # the routing table holds definitions, and those ask here what a probe is
    from .routing import Endpoint

__all__ = [
    "admit",
    "admit_look",
    "asleep",
    "expired",
    "has_room_for_some",
    "in_vain",
    "is_look",
    "is_of_probes",
    "no_replica",
    "opens_page",
    "places",
    "ready_in",
    "ready_when",
    "start_failed",
    "too_large",
]

RETRY_WHEN_FULL = 1.0  # where nothing is known of how long calls take
RETRY_WHEN_NONE = 5.0  # also until a start when none has been seen, so that nobody knows what one takes
RETRY_WHEN_ASLEEP = 30.0  # of a look at a service that only calls wake

COLD_CALLERS = 100  # at most so many are held while a service comes back from zero …
COLD_PER_SLOT = 10  # … and so many times what its first replica takes at once: the others would wait for those anyway

LOOKS = 4  # at most so many looks wait for a busy replica: they take places that callers want

_LOOKS = (b"GET", b"HEAD")
_OF_PROBES = re.compile(r"/(metrics|ping|status|alive|up|startup)|/(health|ready|live)[a-z_-]*", re.IGNORECASE)


def is_look(method: bytes, target: bytes, health_path: str) -> bool:
    """Whether a request looks at a replica's health or metrics only: no call, so it wakes nothing and counts for no
    scaling. ``health_path`` is the definition's, ``""`` where it has none. A preflight (``OPTIONS``) is none of them:
    the call that follows would not come to a service that its answer leaves asleep."""
    if method not in _LOOKS:
        return False
    path = target.partition(b"?")[0]
    return path == b"/metrics" or (health_path != "" and path == health_path.partition("?")[0].encode())


def is_of_probes(path: str) -> bool:
    """Whether a path is plainly there for probes alone, as its last part says (``/health``, ``/v2/health/ready``)."""
    path = path.partition("?")[0].rstrip("/")
    return _OF_PROBES.fullmatch(path[max(0, path.rfind("/")) :]) is not None


def too_large(limit: int, size: int) -> Refusal | None:
    """The refusal of a body that is longer than the ``limit`` of its service; ``size`` is what its head says of it, or
    how much of it has come."""
    if size <= limit:
        return None
    message = f"The request's body is longer than the {limit} bytes that this service takes (serving.body_limit)."
    return Refusal(413, "body_too_large", message)


def service_busy(key: str, most: int) -> Refusal:
    """It has its share of what all services have together."""
    message = f"{key} has {most:,} calls open, which is the most that one service may have here; try again."
    return Refusal(503, "service_busy", message, 1.0)


def owner_busy(owner: str, most: int) -> Refusal:
    """All services of its owner have theirs."""
    message = f"The services of {owner} have {most:,} calls open, which is the most that one owner's may have here"
    return Refusal(503, "service_busy", f"{message}; try again.", 1.0)


def opens_page(target: bytes, headers: Headers) -> bool:
    """Whether what has the form of a look is a browser that opens a page: the front page of a model, whose health path
    is ``/``, would never wake it."""
    if is_of_probes(target.decode("latin-1")):
        return False
    return any(name.lower() == b"accept" and b"text/html" in value.lower() for name, value in headers)


def ready_in(start_seconds: float | None, elapsed: float) -> float:
    """Seconds until a replica is ready whose start takes ``start_seconds`` (``None``: nobody knows) and began
    ``elapsed`` seconds ago; at least 1, also where it takes longer than those before it."""
    return RETRY_WHEN_NONE if start_seconds is None else max(1.0, start_seconds - elapsed)


def ready_when(endpoint: Endpoint, now: float, missing_since: float | None) -> float:
    """The same for a service: since when it comes back from zero counts, else since when a caller found no replica."""
    since = endpoint.woken_at if endpoint.woken_at is not None else missing_since
    # A start that this very call brought about is a little younger than the call.
    return ready_in(endpoint.start_seconds, max(0.0, now - since) if since is not None else 0.0)


def places(queue: int, concurrency: int | None, *, waking: bool) -> int:
    """How many callers may wait, in the queue of a service and, ``waking``, for its start from zero."""
    if not waking:
        return queue
    return min(queue, COLD_CALLERS if concurrency is None else min(COLD_CALLERS, COLD_PER_SLOT * concurrency))


def admit(
    *,
    serving: int,
    wanted: bool,
    waiting: int,
    queue: int,
    unavailable: str,
    key: str,
    stopped: bool = False,
    ready_in: float = RETRY_WHEN_NONE,
    free_in: float = RETRY_WHEN_FULL,
) -> Refusal | None:
    """``None``: hold the caller in the queue. ``serving`` counts the replicas that serve now (all full), ``wanted``
    says whether there will be one (``routing.Endpoint``), ``ready_in`` seconds from now; ``free_in`` so many one that
    is full has got through all who wait (``pace.turn_in``)."""
    if serving == 0 and not wanted:
        return no_replica(unavailable=unavailable, key=key, stopped=stopped)
    if waiting >= queue:
        what = "every replica is busy" if serving else "no replica is ready yet"
        return Refusal(
            503,
            "queue_full",
            f"Service {key}: {what} and {_wait_already(waiting)}; try again later.",
            free_in if serving else ready_in,
        )
    return None


def has_room_for_some(refusal: Refusal, *, is_call: bool) -> bool:
    """Whether who has a better right to a place than others may have theirs (``fairness.Turns.greediest``): calls, in
    a queue that is full."""
    return is_call and refusal.code == "queue_full"


def _wait_already(callers: int) -> str:
    if callers == 0:
        return "no caller may wait (serving.queue)"
    return "1 caller waits already" if callers == 1 else f"{callers} callers wait already"


def admit_look(
    *,
    serving: int,
    waiting: int,
    key: str,
    unavailable: str = "",
    stopped: bool = False,
    free_in: float = RETRY_WHEN_FULL,
) -> Refusal | None:
    """The same for a look at health or metrics: it waits for a busy replica, never for one that is to come, whose
    absence is its answer. ``waiting`` counts looks only."""
    if serving == 0:
        return no_replica(unavailable=unavailable or f"Service {key}: no replica is ready.", key=key, stopped=stopped)
    if waiting >= LOOKS:
        message = f"Service {key}: every replica is busy and {waiting} other looks at its health or metrics wait."
        return Refusal(503, "queue_full", message, free_in)
    return None


def no_replica(*, unavailable: str, key: str, stopped: bool = False) -> Refusal:
    """``unavailable`` is the engine's reason; ``stopped``: its owner wants no replica, and nobody knows until when."""
    message = unavailable or f"Service {key} has no replica that could answer."
    return Refusal(503, "no_replica", message, None if stopped else RETRY_WHEN_NONE)


def start_failed(*, unavailable: str, key: str, retry_in: float) -> Refusal:
    """The replica that was to wake the service did not come up; for ``retry_in`` seconds no other is tried."""
    message = unavailable or f"Service {key} could not be woken: its replica did not come up."
    return Refusal(503, "start_failed", message, max(1.0, retry_in))


def asleep(key: str) -> Refusal:
    """The answer to a look."""
    message = f"Service {key} is asleep until a call comes, and a look at its health or metrics is no call."
    return Refusal(503, "asleep", message, RETRY_WHEN_ASLEEP)


def expired(
    *,
    serving: int,
    unavailable: str,
    key: str,
    seconds: float,
    ready_in: float = RETRY_WHEN_NONE,
    free_in: float = RETRY_WHEN_FULL,
) -> Refusal:
    """The answer to a caller who waited for ``seconds`` in vain."""
    if serving:
        message = f"Service {key}: every replica stayed busy for {seconds:g} s; try again later."
    else:
        message = f"{unavailable or f'Service {key} has no replica that could answer.'} Waited {seconds:g} s for one."
    return Refusal(503, "queue_timeout", message, free_in if serving else ready_in)


def in_vain(
    endpoint: Endpoint, now: float, waited: float, *, missing_since: float | None, died: bool, free_in: float
) -> Refusal:
    """The answer to a caller who need not wait (any more). ``died``: a replica had its call, and died under it;
    ``free_in``: seconds until one that is full now has got through all who wait."""
    if died:
        return Refusal(502, "replica_died", "The replica died under this call, and there is no other one.")
    unavailable, key = endpoint.unavailable, endpoint.key
    if not endpoint.wanted and not endpoint.ready:
        if endpoint.asleep:
            return start_failed(unavailable=unavailable, key=key, retry_in=endpoint.retry_at - now)
        return no_replica(unavailable=unavailable, key=key, stopped=endpoint.stopped)
    left = ready_when(endpoint, now, missing_since)
    seconds = round(waited)
    return expired(
        serving=endpoint.ready, unavailable=unavailable, key=key, seconds=seconds, ready_in=left, free_in=free_in
    )
