"""What counts as a visit, where it may lead, and codes that are good once."""

from __future__ import annotations

import tracemalloc

import pytest

from jupyter_model_service.core.message import Headers, RequestHead
from jupyter_model_service.core.visits import (
    CODE_SECONDS,
    MOST_CODES,
    Codes,
    Grant,
    cookie,
    counts,
    safe_next,
    state_of,
    wants_page,
)

OWN = "https://chat--ann.models.example.org"
SIBLING = b"https://evil--bob.models.example.org"


def head(method: bytes = b"GET", *, upgrade: bytes | None = None, **said: bytes) -> RequestHead:
    headers: Headers = [(name.replace("_", "-").encode(), value) for name, value in said.items()]
    return RequestHead(method, 11, b"/", headers=headers, upgrade=upgrade)


def fetch(site: bytes, mode: bytes, dest: bytes, **more: bytes) -> dict[str, bytes]:
    return {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest, **more}


@pytest.mark.parametrize(
    ("call", "does"),
    [
        (head(**fetch(b"none", b"navigate", b"document")), True),
        (head(**fetch(b"cross-site", b"navigate", b"document")), True),
        (head(**fetch(b"same-site", b"navigate", b"document")), True),
        (head(**fetch(b"same-origin", b"cors", b"empty")), True),
        (head(b"POST", **fetch(b"same-origin", b"cors", b"empty", Origin=OWN.encode())), True),
        (head(upgrade=b"websocket", Origin=OWN.encode()), True),
        (head(upgrade=b"websocket", Origin=SIBLING), False),
        (head(upgrade=b"websocket"), False),
        (head(upgrade=b"websocket", Origin=OWN.encode(), Sec_Fetch_Site=b"same-site"), False),
        (head(**fetch(b"same-site", b"navigate", b"iframe")), False),
        (head(**fetch(b"same-site", b"no-cors", b"image")), False),
        (head(**fetch(b"same-site", b"cors", b"empty", Origin=SIBLING)), False),
        (head(b"POST", **fetch(b"same-site", b"navigate", b"document", Origin=SIBLING)), False),
        (head(b"POST", **fetch(b"same-site", b"navigate", b"document")), False),
        (head(b"POST", **fetch(b"same-origin", b"cors", b"empty", Origin=b"null")), False),
        (head(Accept=b"text/html"), True),
        (head(Accept=b"*/*"), False),
        (head(b"POST", Accept=b"text/html"), False),
        (head(Accept=b"text/html", Origin=SIBLING), False),
        (head(b"POST", Origin=OWN.encode()), True),
    ],
)
def test_a_cookie_counts_where_the_page_itself_or_the_visitor_calls(call: RequestHead, does: bool) -> None:
    assert counts(call, OWN) is does


def test_what_is_said_twice_does_not_count() -> None:
    twice = head(Origin=OWN.encode())
    twice.headers.append((b"origin", OWN.encode()))
    assert counts(twice, OWN) is False
    assert wants_page(head(**fetch(b"same-site", b"navigate", b"iframe"), Accept=b"text/html")) is False


def test_what_was_judged_once_is_judged_so_for_that_origin_and_those_words_alone() -> None:
    """A page's calls are judged by what they say, which is remembered: of each word that may differ."""
    said = {**fetch(b"same-origin", b"cors", b"empty"), "Origin": OWN.encode()}
    beside = SIBLING.decode()
    for _ in range(2):
        assert counts(head(b"POST", **said), OWN) is True
        assert counts(head(b"POST", **said), beside) is False
        assert counts(head(b"POST", **{**said, "Origin": SIBLING}), beside) is True
        assert counts(head(b"POST", **{**said, "Origin": SIBLING}), OWN) is False
        assert counts(head(b"POST", **{**said, "Sec_Fetch_Site": b"same-site"}), OWN) is False
        opens = fetch(b"cross-site", b"navigate", b"document")
        assert counts(head(**opens), OWN) is True
        assert counts(head(b"POST", **opens), OWN) is False
        assert counts(head(upgrade=b"websocket", **opens), OWN) is False
        assert counts(head(**{**opens, "Sec_Fetch_Mode": b"no-cors"}), OWN) is False
        assert counts(head(**{**opens, "Sec_Fetch_Dest": b"iframe"}), OWN) is False
        assert counts(head(Accept=b"text/html"), OWN) is True
        assert counts(head(Accept=b"*/*"), OWN) is False


def test_what_is_remembered_of_what_callers_say_is_bounded() -> None:
    """However long it is, and however many ways there are to say it."""
    tracemalloc.start()
    try:
        for number in range(3000):
            long = b"%d" % number + b"x" * 30_000
            said = {"Origin": long, "Sec_Fetch_Site": long, "Sec_Fetch_Mode": long, "Sec_Fetch_Dest": long}
            assert counts(head(long, **said), OWN) is False
        assert tracemalloc.get_traced_memory()[0] < 5_000_000  # of 450 MB that were said
    finally:
        tracemalloc.stop()
    assert counts(head(b"POST", Origin=OWN.encode() + b"x" * 300), OWN) is False


def test_of_two_cookies_of_a_name_none_counts() -> None:
    one = RequestHead(b"GET", 11, b"/", cookies=[b"a=1; __Host-model-service-visit=x=y; b=2"])
    assert cookie(one, b"__Host-model-service-visit") == "x=y"
    for lines in ([b"v=1; v=2"], [b"v=1", b"v=1"], [b"v="], [b"v"], [b"V=1"], []):
        assert cookie(RequestHead(b"GET", 11, b"/", cookies=lines), b"v") is None


@pytest.mark.parametrize(
    "path",
    ["//evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test", "evil", "", "/a b", "/a\tb", "/\n/evil", "/é", "/a\\b", "/" * 3000],
)  # fmt: skip
def test_a_sign_in_leads_to_no_other_host(path: str) -> None:
    assert safe_next(path) == "/"


def test_a_sign_in_leads_back() -> None:
    assert safe_next("/a/b?c=%2F%2Fx&d=//e#f") == "/a/b?c=%2F%2Fx&d=//e#f"


def test_a_code_is_good_once_and_soon_for_one_service_and_one_browser() -> None:
    def codes() -> Codes:
        given = Codes()
        given.give("code", Grant("s1", state_of("nonce"), "token"), 100.0)
        return given

    right = {"service_id": "s1", "nonce": "nonce", "now": 100.0 + CODE_SECONDS - 0.1}
    once = codes()
    assert once.take("code", **right) == "token"  # type: ignore[arg-type]
    assert once.take("code", **right) is None  # type: ignore[arg-type]
    for wrong in ({"service_id": "s2"}, {"nonce": "other"}, {"nonce": None}, {"now": 100.0 + CODE_SECONDS}):
        tried = codes()
        assert tried.take("code", **{**right, **wrong}) is None  # type: ignore[arg-type]
        assert tried.take("code", **right) is None  # type: ignore[arg-type]
    assert codes().take("another", **right) is None  # type: ignore[arg-type]
    assert "token" not in repr(Grant("s1", "state", "token"))


def test_no_token_is_kept_longer_than_its_code_is_good() -> None:
    """Who closes the window on the way never comes for hers."""
    codes = Codes()
    for number in range(3):
        codes.give(f"code {number}", Grant("s1", state_of("nonce"), "token"), 100.0 + number)
    assert len(codes) == 3
    codes.forget(100.0 + CODE_SECONDS)
    assert len(codes) == 2
    assert codes.take("code 1", service_id="s1", nonce="nonce", now=100.5 + CODE_SECONDS) == "token"
    codes.give("another", Grant("s1", state_of("nonce"), "token"), 86_400.0)
    assert len(codes) == 1
    assert codes.take("another", service_id="s1", nonce="nonce", now=86_401.0) == "token"


def test_of_more_codes_than_are_remembered_the_oldest_is_good_no_more() -> None:
    """However many are asked for within the seconds in which each is good."""
    codes = Codes()
    for number in range(MOST_CODES + 1):
        codes.give(f"code {number}", Grant("s1", state_of("nonce"), "token"), 100.0)
    assert len(codes) == MOST_CODES
    taken = [codes.take(f"code {number}", service_id="s1", nonce="nonce", now=101.0) for number in (0, 1)]
    assert taken == [None, "token"]
