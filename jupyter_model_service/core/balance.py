"""Which replica gets the next call. One router sees every call, so its in-flight counts are exact and the plain
minimum beats sampling (power of two choices is for counts that are out of date)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .routing import Backend

__all__ = ["ejection", "pick"]

EJECT_AFTER = 3  # consecutive 502/503/504 or broken connections; never plain 500s: a bad input causes those
EJECT_SECONDS = 10.0
EJECT_MOST = 60.0
REFUSED_SECONDS = 2.0  # a refused connection: the engine looks at the replica meanwhile


def pick(backends: Sequence[Backend], now: float, cap: int | None, tried: Collection[Backend] = ()) -> Backend | None:
    """The least busy replica, the one with fewer calls so far on a tie; ``None`` when all that may be used are full.

    Suspect replicas serve only when no better one is left, and ejected ones only after those: the pool is never
    empty while a replica serves. A better one that is full makes the caller wait, not go to a worse one.
    ``tried`` are left out altogether. ``now`` is monotonic, ``cap`` the calls at once per replica.
    """
    best: Backend | None = None
    best_tier = 3
    for backend in backends:
        if not backend.serving or backend.lost or (tried and backend in tried):
            continue
        tier = 2 if backend.ejected_until > now else 1 if backend.suspect else 0
        if tier > best_tier:
            continue
        if tier < best_tier:
            best_tier, best = tier, None
        if cap is not None and backend.in_flight >= cap:
            continue
        if best is None or (backend.in_flight, backend.started) < (best.in_flight, best.started):
            best = backend
    return best


def ejection(backend: Backend, backends: Sequence[Backend], now: float, *, refused: bool) -> float:
    """For how long ``backend`` is left out after a failure (seconds, 0: not at all).

    At most half of the serving replicas are out at once. ``backend.failures`` already counts this failure.
    """
    serving = [b for b in backends if b.serving and not b.lost]
    out = sum(1 for b in serving if b is not backend and b.ejected_until > now)
    if (out + 1) * 2 > len(serving):
        return 0.0
    if backend.failures >= EJECT_AFTER:
        return min(EJECT_SECONDS * (backend.failures - EJECT_AFTER + 1), EJECT_MOST)
    return REFUSED_SECONDS if refused else 0.0
