"""Visits as sealed cookies: all that there is of one is in the visitor's browser (``ports.Visits``)."""

from __future__ import annotations

from collections import OrderedDict

from ..ports import Clock, Visit
from .key_file import SealError
from .sealing import Sealer, key_for

__all__ = ["SealedVisits"]

_MOST = 10_000
_LONGEST = 4096  # characters: a browser keeps no longer cookie
_NONE = (0.0, None)


class _Cookies(OrderedDict[str, tuple[float, Visit]]):
    """By their text, as its digest would have to be taken for each call. Only what we sealed ourselves comes in, and
    the token that it holds stands beside it. The time of a look-up tells nothing of them: a text is found by Python's
    keyed hash of it before any of it is compared. They are shown nowhere."""

    def __repr__(self) -> str:
        return f"<{len(self)} visits>"


class SealedVisits:
    """``key`` is the gateway's; what is sealed for a ``purpose`` is read with a key of its own that is made of it, so
    that nothing else that the key seals can stand for a visit."""

    def __init__(self, key: str, clock: Clock, purpose: str = "visit") -> None:
        self._sealer = Sealer(key_for(purpose, key))
        self._clock = clock
        self._known = _Cookies()

    def seal(self, service_id: str, token: str, expires: float) -> str:
        return self._sealer.seal({"s": service_id, "t": token, "e": expires})

    def known(self, cookie: str) -> Visit | None:
        until, visit = self._known.get(cookie, _NONE)
        return visit if self._clock.now() < until else None

    def resolve(self, cookie: str) -> Visit | None:
        if len(cookie) > _LONGEST:
            return None
        try:
            plain = self._sealer.open(cookie)
            until, visit = float(plain["e"]), Visit(str(plain["s"]), str(plain["t"]))
        except (SealError, KeyError, TypeError, ValueError):
            return None
        if self._clock.now() >= until:
            return None
        self._known[cookie] = (until, visit)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return visit
