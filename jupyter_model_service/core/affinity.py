"""Which replica a call had best go to, by what it says: the one where its session is, or where the beginning of its
prompt has been worked on before.

A header or a prompt has its replica by rendezvous hashing: each replica has a weight for each key, and the heaviest one
is the key's. So nothing has to be remembered, and when a replica leaves or comes, only the keys move that were its own,
or are from now on. A cookie says by itself which replica gave it out, so that its sessions move only when that one
leaves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from . import balance
from .forwarding import STICKY_COOKIE
from .message import BadMessage, RequestHead
from .read_request import read_request

if TYPE_CHECKING:  # the routing table holds definitions, and those ask here what a header is
    from .routing import Backend

__all__ = [
    "BOUND", "BY", "CHARACTERS", "NAME_PATTERN", "Affinity", "badge", "digest", "is_passed_on", "pick", "said",
    "sticky_cookie", "weight",
]  # fmt: skip

BY = ("header", "cookie", "prefix")
CHARACTERS = 2000  # of a prompt, where nothing is said: a system prompt is seldom longer
NAME_PATTERN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # of a header, to be matched whole (RFC 9110 §5.6.2)
BOUND = 1.25  # for prompts: what is cached is worth a wait, but not behind a queue


@dataclass(frozen=True)
class Affinity:
    """``serving.affinity`` of a definition. ``name`` of the header, ``characters`` of the prompt that count.
    ``bound``: a replica is given no more than so many times the mean of calls at once; ``None``: as many as it
    takes."""

    by: str
    name: str | None = None
    characters: int | None = None
    bound: float | None = None


def is_passed_on(name: str) -> bool:
    """Whether a header of that name is among those of a call that go to a model; others cannot be told apart here."""
    try:
        head = read_request(b"GET", "1.1", b"/", [(b"Host", b"h"), (name.encode(), b"1")])
    except BadMessage:
        return False
    return len(head.headers) == 1


def said(affinity: Affinity, head: RequestHead) -> bytes:
    """The value of the header, or of our cookie, of several the first; empty if there is none."""
    if affinity.by == "header":
        name = (affinity.name or "").lower().encode()
        return next((value for given, value in head.headers if given.lower() == name), b"")
    for cookies in head.cookies:
        for cookie in cookies.split(b";"):
            given, _, value = cookie.partition(b"=")
            if given.strip() == STICKY_COOKIE:
                return value.strip()
    return b""


def digest(said: bytes) -> bytes:
    """The key of what a call says; empty for a call that says nothing and may go anywhere."""
    return blake2b(said, digest_size=16).digest() if said else b""


def weight(key: bytes, backend: Backend) -> bytes:
    return blake2b(key + backend.replica.encode(), digest_size=8).digest()


@lru_cache(4096)
def badge(replica: str) -> bytes:
    """What our cookie says of a replica: the same wherever and whenever it is asked, and no name."""
    return blake2b(replica.encode(), digest_size=8, person=b"stickiness").hexdigest().encode()


def sticky_cookie(said: bytes, backend: Backend, backends: Sequence[Backend], *, path: bytes, secure: bool) -> bytes:
    """The line of an answer that keeps a caller on ``backend``; empty where the cookie that she has (``said``) is that
    of a replica which still serves, be it out or full for a moment."""
    if any(each.serving and not each.lost and badge(each.replica) == said for each in backends):
        return b""
    line = b"Set-Cookie: %b=%b; Path=%b/; HttpOnly; SameSite=Lax" % (STICKY_COOKIE, badge(backend.replica), path)
    return line + (b"; Secure\r\n" if secure else b"\r\n")


def pick(
    affinity: Affinity,
    key: bytes,
    backends: Sequence[Backend],
    now: float,
    cap: int | None,
    tried: Collection[Backend] = (),
) -> Backend | None:
    """Of the replicas that are well and have room, the one for ``key``: the heaviest, or the one that gave out the
    cookie, or else the least busy. ``None`` when all of them are full.

    Room is below ``cap``, and below ``bound`` times the mean, rounded up, with this call counted (as consistent hashing
    with bounded loads has it): wherever one is below its cap, one has room. Without a replica that is well the least
    busy of the others serves, as for any call. ``key`` is empty where the call says nothing, and may go anywhere.
    """
    if not key:
        return balance.pick(backends, now, cap, tried)
    well = [
        backend
        for backend in backends
        if backend.serving
        and not backend.lost
        and not (tried and backend in tried)
        and balance.tier(backend, now, cap) == 0
    ]
    if not well:
        return balance.pick(backends, now, cap, tried)
    most = math.inf if cap is None else cap
    if affinity.bound is not None:
        calls = sum(backend.in_flight for backend in well) + 1
        most = min(most, math.ceil(affinity.bound * calls / len(well)))
    free = [backend for backend in well if backend.in_flight < most]
    if len(free) < 2:
        return free[0] if free else None
    if affinity.by != "cookie":
        return max(free, key=lambda backend: weight(key, backend))
    home = next((backend for backend in free if badge(backend.replica) == key), None)
    return home or min(free, key=lambda backend: (backend.in_flight, backend.started))
