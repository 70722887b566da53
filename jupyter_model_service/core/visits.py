"""Signing in to the pages of a service that has a host of its own: what counts as a visit, and one-time codes. Pure.

The Hub knows the person, the service's host does not: a code that is good once, soon, for that one service and for the
browser that asked for it crosses from the one to the other, and becomes a cookie of that host alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from hmac import compare_digest

from .message import RequestHead
from .who_asks import Asker, asker_at, opens_page, said_in_raw

__all__ = [
    "ENTER", "NONCE_COOKIE", "VISIT_COOKIE", "Codes", "Grant", "cookie", "counts", "safe_next", "state_of",
    "visit_said", "wants_page",
]  # fmt: skip

ENTER = b"/.model-service/enter"  # where a code is taken, at a service's own host
VISIT_COOKIE = b"__Host-model-service-visit"
NONCE_COOKIE = b"__Host-model-service-nonce"
CODE_SECONDS = 30.0
MOST_CODES = 10_000
_MOST_NEXT = 2048
_HERS = (Asker.PAGE, Asker.PERSON)
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def cookie(head: RequestHead, name: bytes) -> str | None:
    """Its value. ``None`` for one that came twice: a page of a host beside this one may have set one (tossing)."""
    found = None
    for line in head.cookies:
        if name not in line:
            continue
        for each in line.split(b";"):
            key, equals, value = each.partition(b"=")
            if equals and key.strip() == name:
                if found is not None:
                    return None
                found = value.strip()
    return found.decode("ascii", "replace") if found else None


def wants_page(head: RequestHead) -> bool:
    """Whether somebody opens a page by this, in a window of its own: no frame, no script, no form."""
    return opens_page(said_in_raw(head.method, head.headers, upgrade=head.upgrade is not None))


def counts(head: RequestHead, own_origin: str) -> bool:
    """Whether a cookie that came with this call is the visitor's wish: a page of ``own_origin`` made the call, or she
    followed a link or typed the address. A page of a host beside it (the same site to browsers, so that ``SameSite``
    is of no help) can do no more than link."""
    return asker_at(own_origin, head.method, head.headers, head.upgrade is not None) in _HERS


def visit_said(head: RequestHead, own_origin: str) -> str | None:
    """The cookie of a visit, where it counts. A head is looked at once, however often it comes on its connection."""
    said = head.visit
    if said is None or said[0] != own_origin:
        sealed = cookie(head, VISIT_COOKIE)
        head.visit = said = own_origin, sealed if sealed is not None and counts(head, own_origin) else None
    return said[1]


def safe_next(path: str) -> str:
    """A path of the same host, or ``/``: nothing that a browser reads as another host (``//x``, ``/\\x``)."""
    return path if len(path) <= _MOST_NEXT and _PATH.fullmatch(path) else "/"


def state_of(nonce: str) -> str:
    """What of a browser's nonce others may see."""
    return hashlib.sha256(nonce.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Grant:
    """``state`` is of the browser that asked, ``token`` of the person who signed in there."""

    service_id: str
    state: str
    token: str = field(repr=False)


class Codes:
    """Each is good once, within ``seconds``. ``now`` is monotonic seconds. Of codes only digests are kept; the tokens
    are there as they are, and no longer than their codes are good: :meth:`forget` is to be called when that is over,
    since nobody comes for the token of somebody who closed the window on the way."""

    def __init__(self, seconds: float = CODE_SECONDS) -> None:
        self.seconds = seconds
        self._given: OrderedDict[str, tuple[float, Grant]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._given)

    def give(self, code: str, grant: Grant, now: float) -> None:
        """``code``: 32 random bytes as text. The oldest goes where there are too many."""
        self.forget(now)
        self._given[state_of(code)] = (now + self.seconds, grant)
        while len(self._given) > MOST_CODES:
            self._given.popitem(last=False)

    def take(self, code: str, *, service_id: str, nonce: str | None, now: float) -> str | None:
        """The person's token. A code that was tried is gone, whoever tried it."""
        until, grant = self._given.pop(state_of(code), (0.0, None))
        if grant is None or now >= until or nonce is None or grant.service_id != service_id:
            return None
        return grant.token if compare_digest(grant.state, state_of(nonce)) else None

    def forget(self, now: float) -> None:
        """Those that are good no more; they are in the order of their ends."""
        while self._given and next(iter(self._given.values()))[0] <= now:
            self._given.popitem(last=False)
