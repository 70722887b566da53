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
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Asker", "Said", "Verdict", "asker_at", "at_authority", "opens_page", "said_in", "said_in_raw", "who_asks"]


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


# Verdicts that are always the same ones.
_OPENS = Verdict(Asker.PERSON, "it opens a window")
_BY_ORIGIN = Verdict(Asker.PAGE, "its Origin")
_BY_SITE = Verdict(Asker.PAGE, "its Sec-Fetch-Site")
_TYPED = Verdict(Asker.PERSON, "its Sec-Fetch-Site")

_LONGEST = 300  # bytes of a sign that are looked at: an origin is shorter, and so is whatever else a browser says
_Sign = bytes | None


def said_in(method: str, headers: Iterable[tuple[str, str]], *, upgrade: bool = False) -> Said:
    """``headers`` are the request's, name and value; ``upgrade``: it opens a WebSocket."""
    raw = ((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)
    return said_in_raw(method.encode("latin-1", "replace"), raw, upgrade=upgrade)


def said_in_raw(method: bytes, headers: Iterable[tuple[bytes, bytes]], *, upgrade: bool = False) -> Said:
    """The same, as it came."""
    return _said(method, *_signs(headers), upgrade)


def asker_at(own_origin: str, method: bytes, headers: Iterable[tuple[bytes, bytes]], upgrade: bool) -> Asker:
    """Who asks what came to ``own_origin``, for each call of a visit: one page's calls say the same over and over, so
    that it is judged once."""
    return _known_asker(own_origin, method[:_LONGEST], *_signs(headers), upgrade)


def _signs(headers: Iterable[tuple[bytes, bytes]]) -> tuple[_Sign, _Sign, _Sign, _Sign, bool]:
    """Of a dozen headers those few, which are known from most others by their length; as the fields of :class:`Said`
    from ``origin`` to ``html``, where ``b""`` was said twice."""
    origin: _Sign = None
    site: _Sign = None
    mode: _Sign = None
    to: _Sign = None
    accept: _Sign = None
    for name, value in headers:
        length = len(name)
        if length == 14:
            name = name.lower()
            if name == b"sec-fetch-site":
                site = value[:_LONGEST] if site is None else b""
            elif name == b"sec-fetch-mode":
                mode = value[:_LONGEST] if mode is None else b""
            elif name == b"sec-fetch-dest":
                to = value[:_LONGEST] if to is None else b""
        elif length == 6:
            name = name.lower()
            if name == b"origin":
                origin = value[:_LONGEST] if origin is None else b""
            elif name == b"accept":
                accept = value if accept is None else b""
    return origin, site, mode, to, accept is not None and b"text/html" in accept


def _said(method: bytes, origin: _Sign, site: _Sign, mode: _Sign, to: _Sign, html: bool, upgrade: bool) -> Said:
    return Said(
        method.decode("latin-1"),
        origin if origin is None else origin.decode("latin-1").strip(),
        site if site is None else site.decode("latin-1").strip(),
        mode if mode is None else mode.decode("latin-1").strip(),
        to if to is None else to.decode("latin-1").strip(),
        html,
        upgrade,
    )


@lru_cache(1024)  # 2 MB at most
def _known_asker(
    own_origin: str,
    method: bytes,
    origin: _Sign,
    site: _Sign,
    mode: _Sign,
    to: _Sign,
    html: bool,
    upgrade: bool,
) -> Asker:
    return who_asks(_said(method, origin, site, mode, to, html, upgrade), own_origin.__eq__).asker


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
        return _BY_ORIGIN if said.site != "none" else _foreign(said)
    if opens_page(said):
        return _OPENS
    if not near:
        return _foreign(said)
    if said.site is None:
        if said.origin is None:
            return Verdict(Asker.UNSAID, "it has neither Sec-Fetch-Site nor Origin")
        return _BY_ORIGIN
    return _BY_SITE if said.site == "same-origin" else _TYPED


def _foreign(said: Said) -> Verdict:
    return Verdict(Asker.FOREIGN, f"its Sec-Fetch-Site is {(said.site or '')[:100]!a}")
