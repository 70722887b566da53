"""Who asks, as far as browsers say it: nothing that another origin's page can make one send changes anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.message import RequestHead
from jupyter_model_service.core.visits import counts
from jupyter_model_service.core.who_asks import Asker, Said, at_authority, opens_page, said_in, who_asks
from jupyter_model_service.server_extension.isolation import cross_site, foreign_origin

OWN, HOST = "https://chat--ann.models.example.org", "chat--ann.models.example.org"
FOREIGN = (
    "null",
    "https://evil.example",
    "https://evil--bob.models.example.org",
    f"https://{HOST}:444",
    f"{OWN}.evil",
    "",
)
MODES = ("navigate", "cors", "no-cors", "same-origin", "websocket", "x")
DESTS = ("document", "iframe", "embed", "object", "empty", "image", "script", "worker", "websocket", "x")
CHANGING = ("POST", "PUT", "PATCH", "DELETE", "PROPPATCH")


def own(origin: str) -> bool:
    return origin == OWN


@st.composite
def of_elsewhere(draw: st.DrawFn) -> Said:
    """What a browser says when a page of another origin makes it ask: a current one always its site, one that does not
    the origin of whatever is more than a plain GET (Fetch §3.1), each of them of WebSockets."""
    method = draw(st.sampled_from(("GET", "HEAD", "OPTIONS", *CHANGING)))
    upgrade = method == "GET" and draw(st.booleans())
    must = upgrade or method not in ("GET", "HEAD")
    origin = draw(st.sampled_from(FOREIGN) if must else st.sampled_from((None, *FOREIGN)))
    if draw(st.booleans()):
        site = draw(st.sampled_from(("cross-site", "same-site")))
        mode, to = draw(st.sampled_from(MODES)), draw(st.sampled_from(DESTS))
    else:
        site = mode = to = None
    return Said(method, origin, site, mode, to, draw(st.booleans()), upgrade)


def headers_of(said: Said) -> dict[str, str]:
    given = {
        "Host": HOST,
        "Origin": said.origin,
        "Sec-Fetch-Site": said.site,
        "Sec-Fetch-Mode": said.mode,
        "Sec-Fetch-Dest": said.to,
        "Accept": "text/html" if said.html else "*/*",
    }
    return {name: value for name, value in given.items() if value is not None}


def head_of(said: Said) -> RequestHead:
    headers = [(name.encode(), value.encode()) for name, value in headers_of(said).items()]
    return RequestHead(said.method.encode(), 11, b"/", headers=headers, upgrade=b"websocket" if said.upgrade else None)


@given(of_elsewhere())
def test_no_page_of_another_origin_changes_anything(said: Said) -> None:
    """It is somebody's own wish only where a page is opened, by GET, in a window of its own; and so say all three."""
    asker = who_asks(said, own).asker
    assert asker is not Asker.PAGE
    if said.method != "GET" or said.upgrade:
        assert asker is Asker.FOREIGN or (said.method == "HEAD" and asker is Asker.UNSAID)
    assert counts(head_of(said), OWN) is (asker is Asker.PERSON)
    if asker is Asker.PERSON:
        assert opens_page(said)
    elif said.upgrade:
        assert foreign_origin(headers_of(said))
    elif asker is Asker.FOREIGN:
        assert cross_site(said.method, headers_of(said))


_ANY = st.one_of(st.none(), st.text(max_size=20), st.sampled_from((*FOREIGN, OWN, *MODES, *DESTS, "same-origin", "none", "cross-site", "same-site")))  # fmt: skip


@given(st.builds(Said, st.sampled_from(CHANGING), _ANY, _ANY, _ANY, _ANY, st.booleans(), st.booleans()))
def test_whatever_is_said_one_sign_against_it_is_enough(said: Said) -> None:
    """Nothing that changes something is its own page's with a word that speaks for another, or that nobody knows."""
    asker, why = who_asks(said, own)
    if said.origin not in (None, OWN) or said.site not in (None, "same-origin", "none"):
        assert asker is Asker.FOREIGN
    if asker is Asker.PAGE:
        assert said.origin == OWN or said.site == "same-origin"
    assert why.isascii()
    assert len(why) < 1000


@pytest.mark.parametrize(
    ("said", "asker"),
    [
        (Said("POST", OWN), Asker.PAGE),
        (Said("POST", OWN, "same-origin"), Asker.PAGE),
        (Said("POST", None, "same-origin", "navigate", "document"), Asker.PAGE),
        (Said("POST"), Asker.UNSAID),
        (Said("POST", OWN, "same-site"), Asker.FOREIGN),
        (Said("POST", "null", "same-origin"), Asker.FOREIGN),
        (Said("GET", None, "none", "navigate", "document"), Asker.PERSON),
        (Said("GET", None, "cross-site", "navigate", "document"), Asker.PERSON),
        (Said("GET", "https://evil.example", "cross-site", "navigate", "document"), Asker.FOREIGN),
        (Said("GET", None, "same-origin", "cors", "empty"), Asker.PAGE),
        (Said("GET", html=True), Asker.PERSON),
        (Said("GET"), Asker.UNSAID),
        (Said("GET", OWN, upgrade=True), Asker.PAGE),
        (Said("GET", upgrade=True), Asker.UNSAID),
        (Said("GET", OWN, "none", upgrade=True), Asker.FOREIGN),
        (Said("GET", None, "cross-site", upgrade=True), Asker.FOREIGN),
    ],
)
def test_who_asks(said: Said, asker: Asker) -> None:
    assert who_asks(said, own).asker is asker


def test_what_is_said_twice_counts_for_nothing() -> None:
    said = said_in("POST", [("Origin", OWN), ("origin", OWN), ("SEC-FETCH-SITE", " same-origin "), ("X", "y")])
    assert said == Said("POST", "", "same-origin")
    assert who_asks(said, own) == (Asker.FOREIGN, "it has two Origins")


OPENED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("method", "rest", "name", "other", "word", "once", "twice"),
    [
        ("POST", {}, "Origin", "https://evil.example", OWN, Asker.PAGE, Asker.FOREIGN),
        ("POST", {}, "Sec-Fetch-Site", "cross-site", "same-origin", Asker.PAGE, Asker.FOREIGN),
        ("GET", OPENED, "Sec-Fetch-Mode", "no-cors", "navigate", Asker.PERSON, Asker.FOREIGN),
        ("GET", OPENED, "Sec-Fetch-Dest", "iframe", "document", Asker.PERSON, Asker.FOREIGN),
        ("GET", {}, "Accept", "image/png", "text/html", Asker.PERSON, Asker.UNSAID),
    ],
)
def test_none_of_two_words_counts_whichever_comes_last(
    method: str, rest: dict[str, str], name: str, other: str, word: str, once: Asker, twice: Asker
) -> None:
    """A proxy may join, or a server take, the one or the other."""
    given = [(each, value) for each, value in rest.items() if each != name]
    assert who_asks(said_in(method, [*given, (name, word)]), own).asker is once
    for both in ((other, word), (word, other), (word, word)):
        said = said_in(method, [*given, *((name, value) for value in both)])
        assert who_asks(said, own).asker is twice, both


@pytest.mark.parametrize(
    ("authority", "origin", "is_own"),
    [
        ("lab.example:8888", "https://Lab.Example:8888", True),
        ("Lab.example", "http://lab.example", True),
        ("lab.example", "http://lab.example:8888", False),
        ("lab.example", "null", False),
        ("", "null", False),
        ("", "", False),
        ("lab.example", "http://[", False),
    ],
)
def test_an_origin_of_an_authority(authority: str, origin: str, is_own: bool) -> None:
    assert at_authority(authority)(origin) is is_own
    assert at_authority("other.example", authority)(origin) is is_own
