"""Which replica gets the next call. One router sees every call, so its in-flight counts are exact and the plain
minimum beats sampling (power of two choices is for counts that are out of date)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the routing table holds definitions, and those ask for affinity, which is built on this
    from .routing import Backend

__all__ = ["begins_trial", "ejection", "pick", "proven", "tier"]

EJECT_AFTER = 3  # consecutive 502/503/504 or broken connections; never plain 500s: a bad input causes those
EJECT_SECONDS = 10.0
EJECT_MOST = 60.0
REFUSED_SECONDS = 2.0  # a refused connection: the engine looks at the replica meanwhile


def pick(backends: Sequence[Backend], now: float, cap: int | None, tried: Collection[Backend] = ()) -> Backend | None:
    """The least busy replica, the one with fewer calls so far on a tie; ``None`` when all that may be used are full.

    Suspect replicas serve only when no better one is left, and those that are out only after them: the pool is never
    empty while a replica serves. A better one that is full makes the caller wait, not go to a worse one.
    ``tried`` are left out altogether. ``now`` is monotonic, ``cap`` the calls at once per replica.
    """
    best: Backend | None = None
    best_tier = 3
    for backend in backends:
        if not backend.serving or backend.lost or (tried and backend in tried):
            continue
        # Those that are well are judged without a call: this is the hot path.
        its_tier = tier(backend, now, cap) if backend.ejected_until else 1 if backend.suspect else 0
        if its_tier > best_tier:
            continue
        if its_tier < best_tier:
            best_tier, best = its_tier, None
        if cap is not None and backend.in_flight >= cap:
            continue
        if best is None or (backend.in_flight, backend.started) < (best.in_flight, best.started):
            best = backend
    return best


def tier(backend: Backend, now: float, cap: int | None) -> int:
    """How good a replica is that serves: 0 well, 1 suspect, 2 out.

    After its ejection it is half open: as good as any for one call, its trial, and out while that is on its way. Where
    it is full with calls from before, it cannot take that one, and nobody is to wait for it.
    """
    until = backend.ejected_until
    if until and (until > now or backend.trial is not None or (cap is not None and backend.in_flight >= cap)):
        return 2
    return 1 if backend.suspect else 0


def begins_trial(backend: Backend, now: float) -> bool:
    """Whether a call that is sent to it now is its trial."""
    return backend.trial is None and 0.0 < backend.ejected_until <= now


def proven(backend: Backend, now: float) -> bool:
    """It answered a call well. ``True`` if it was half open, and is as good as any from now on; an ejection that is
    not over stays: it may have been a call from before."""
    backend.failures = 0
    if not 0.0 < backend.ejected_until <= now:
        return False
    backend.ejected_until = 0.0
    backend.trial = None
    return True


def ejection(backend: Backend, backends: Sequence[Backend], now: float, *, refused: bool) -> float:
    """For how long ``backend`` is left out after a failure (seconds, 0: not at all).

    At most half of the serving replicas are out at once, those with a trial on its way included. ``backend.failures``
    already counts this failure. One that fails when it is half open is out again.
    """
    serving = [b for b in backends if b.serving and not b.lost]
    out = sum(1 for b in serving if b is not backend and (b.ejected_until > now or b.trial is not None))
    if (out + 1) * 2 > len(serving):
        return 0.0
    if backend.failures >= EJECT_AFTER:
        return min(EJECT_SECONDS * (backend.failures - EJECT_AFTER + 1), EJECT_MOST)
    if refused:
        return REFUSED_SECONDS
    return EJECT_SECONDS if 0.0 < backend.ejected_until <= now else 0.0
