"""Who asks for what, as far as a browser says it: ``Sec-Fetch-*`` (W3C Fetch Metadata §2), ``Origin`` (Fetch §3.1) and
the method. Pure.

Wherever a cookie says who somebody is, another site's page may have made her browser send it: ``SameSite`` does not
help between hosts of one site. This is the one place that judges it: for visits of services (:mod:`visits`), our own
pages (``web/page.py``) and the Jupyter server's handlers (``server_extension/isolation.py``). Every sign that is there
has to speak for it; one that was given twice, or that nobody knows, speaks against it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Asker", "Said", "Verdict", "at_authority", "opens_page", "said_in", "said_in_raw", "who_asks"]


class Asker(enum.Enum):
    PAGE = "a page of this origin"
    PERSON = "somebody, who opens a page"  # typed its address, or followed a link, wherever that stands
    UNSAID = "nobody who says it"  # a program, or a browser of before 2020 that gets or sends what is plain
    FOREIGN = "a page of another origin"


class Said(NamedTuple):
    """``None`` for what was not said, ``""`` for what was said twice. ``html``: it would take a page for an answer."""

    method: str
    origin: str | None = None
    site: str | None = None
    mode: str | None = None
    to: str | None = None
    html: bool = False
    upgrade: bool = False


class Verdict(NamedTuple):
    """``why``: what of the request says so, as the end of a sentence."""

    asker: Asker
    why: str


_FIELDS = {b"origin": 0, b"sec-fetch-site": 1, b"sec-fetch-mode": 2, b"sec-fetch-dest": 3, b"accept": 4}


def said_in(method: str, headers: Iterable[tuple[str, str]], *, upgrade: bool = False) -> Said:
    """``headers`` are the request's, name and value; ``upgrade``: it opens a WebSocket."""
    raw = ((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)
    return said_in_raw(method.encode("latin-1", "replace"), raw, upgrade=upgrade)


def said_in_raw(method: bytes, headers: Iterable[tuple[bytes, bytes]], *, upgrade: bool = False) -> Said:
    """The same, as it came: asked for each call of a visit, so that of a dozen headers only those few are read."""
    found: list[str | None] = [None] * len(_FIELDS)
    for name, value in headers:
        at = _FIELDS.get(name.lower())
        if at is not None:
            found[at] = value.decode("latin-1").strip() if found[at] is None else ""
    origin, site, mode, to, accept = found
    return Said(method.decode("latin-1"), origin, site, mode, to, "text/html" in (accept or ""), upgrade)


def at_authority(*authorities: str) -> Callable[[str], bool]:
    """Whether an origin is one of these (host and port), where the scheme is not known: a proxy ends TLS."""
    own = {authority.lower() for authority in authorities if authority}

    def is_own(origin: str) -> bool:
        try:
            return urlsplit(origin).netloc.lower() in own
        except ValueError:
            return False

    return is_own


def opens_page(said: Said) -> bool:
    """Whether somebody opens a page by this, in a window of its own: no frame, no script, no form."""
    if said.method != "GET" or said.upgrade:
        return False
    if said.mode is None and said.to is None:  # a browser that does not say
        return said.origin is None and said.html
    return said.mode == "navigate" and said.to == "document"


def who_asks(said: Said, is_own: Callable[[str], bool]) -> Verdict:
    """``is_own``: whether an origin is the one that is asked. A page of another origin can make a browser do one thing
    alone that is not :attr:`Asker.FOREIGN`: open a page, by ``GET``, in a window of its own."""
    if said.origin is not None and not is_own(said.origin):
        return Verdict(Asker.FOREIGN, f"its Origin is {said.origin[:100]!a}" if said.origin else "it has two Origins")
    near = said.site in (None, "same-origin", "none")
    if said.upgrade:  # of which every browser says the origin
        if not near:
            return _foreign(said)
        if said.origin is None:
            return Verdict(Asker.UNSAID, "it has no Origin")
        return Verdict(Asker.PAGE, "its Origin") if said.site != "none" else _foreign(said)
    if opens_page(said):
        return Verdict(Asker.PERSON, "it opens a window")
    if not near:
        return _foreign(said)
    if said.site is None:
        if said.origin is None:
            return Verdict(Asker.UNSAID, "it has neither Sec-Fetch-Site nor Origin")
        return Verdict(Asker.PAGE, "its Origin")
    return Verdict(Asker.PAGE if said.site == "same-origin" else Asker.PERSON, "its Sec-Fetch-Site")


def _foreign(said: Said) -> Verdict:
    return Verdict(Asker.FOREIGN, f"its Sec-Fetch-Site is {(said.site or '')[:100]!a}")
