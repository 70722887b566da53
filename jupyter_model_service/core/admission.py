"""Whether a call for which no replica is free is held or refused."""

from __future__ import annotations

from .message import Refusal

__all__ = ["admit", "expired", "no_replica"]

RETRY_WHEN_FULL = 1.0
RETRY_WHEN_NONE = 5.0


def admit(*, serving: int, wanted: bool, waiting: int, queue: int, unavailable: str, key: str) -> Refusal | None:
    """``None``: hold the caller in the queue. ``serving`` counts the replicas that serve now (all full), ``wanted``
    says whether there will be one (``routing.Endpoint``)."""
    if serving == 0 and not wanted:
        return no_replica(unavailable=unavailable, key=key)
    if waiting >= queue:
        what = "every replica is busy" if serving else "no replica is ready yet"
        return Refusal(
            503,
            "queue_full",
            f"Service {key}: {what} and {waiting} callers wait already; try again later.",
            RETRY_WHEN_FULL if serving else RETRY_WHEN_NONE,
        )
    return None


def no_replica(*, unavailable: str, key: str) -> Refusal:
    """``unavailable`` is the engine's reason."""
    message = unavailable or f"Service {key} has no replica that could answer."
    return Refusal(503, "no_replica", message, RETRY_WHEN_NONE)


def expired(*, serving: int, unavailable: str, key: str, seconds: float) -> Refusal:
    """The answer to a caller who waited for ``seconds`` in vain."""
    if serving:
        message = f"Service {key}: every replica stayed busy for {seconds:g} s; try again later."
    else:
        message = f"{unavailable or f'Service {key} has no replica that could answer.'} Waited {seconds:g} s for one."
    return Refusal(503, "queue_timeout", message, RETRY_WHEN_FULL if serving else RETRY_WHEN_NONE)
