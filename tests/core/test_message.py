"""Heads are judged strictly; what a parser already refuses is in ``tests/front/test_strict.py``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.message import BadMessage, RequestHead
from jupyter_model_service.core.read_answer import read_answer
from jupyter_model_service.core.read_request import read_request


def request(*headers: tuple[bytes, bytes], method: bytes = b"GET", version: str = "1.1") -> RequestHead:
    return read_request(method, version, b"/", [(b"Host", b"h"), *headers])


def test_what_travels_on_and_what_does_not() -> None:
    head = request(
        (b"A", b"1 "),
        (b"Connection", b"X-Hop , keep-alive"),
        (b"x-hop", b"1"),
        (b"A", b"2"),
        (b"Keep-Alive", b"3"),
        (b"Authorization", b"Bearer t"),
        (b"Cookie", b"a=1"),
        (b"X-Forwarded-For", b"1.1.1.1"),
        (b"X-Request-Id", b"id-1"),
    )
    assert head.headers == [(b"A", b"1"), (b"A", b"2")]
    assert (head.authorization, head.cookies, head.request_id) == ([b"Bearer t"], [b"a=1"], b"id-1")
    assert head.forwarded == [(b"x-forwarded-for", b"1.1.1.1")]


def test_nobody_hides_by_connection_what_a_proxy_says_of_her() -> None:
    """The Hub's proxy passes Connection on as it came."""
    said = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-proto", b"https"), (b"via", b"1.1 a")]
    names = (b"upgrade", *(name for name, _ in said))
    head = request(*said, (b"Connection", b", ".join(names)), (b"Upgrade", b"websocket"))
    assert head.forwarded == said


def test_what_only_a_proxy_may_say_does_not_travel_on_in_any_spelling() -> None:
    """To WSGI and CGI, X_Real_IP is X-Real-IP."""
    claims = (
        b"X-Real-IP X-Client-IP True-Client-IP X-Original-URL X-Rewrite-URL Remote-User X-Remote-User Forwarded X-Scheme"
        b" X-Forwarded-Host X-Forwarded-User X-Model-Service-Replica X-Request-Id Content-Length Transfer-Encoding"
    ).split()
    for claim in claims:
        for name in (claim.replace(b"-", b"_", 1), claim.replace(b"-", b"_").upper()):
            if b"_" in name:
                head = request((name, b"6"), (b"X_Own", b"1"), (b"User_Agent", b"2"))
                assert head.headers == [(b"X_Own", b"1"), (b"User_Agent", b"2")], name
                assert (head.forwarded, head.request_id, head.length, head.chunked) == ([], None, None, False)
    for claim in claims[:9]:
        assert request((claim, b"6")).headers == [], claim


@pytest.mark.parametrize("bad", [b"", b"a b", b"a" * 129, b"a\x80", b"a;b"])
def test_a_request_id_that_is_not_sane_is_not_kept(bad: bytes) -> None:
    assert request((b"X-Request-Id", bad)).request_id is None


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [("1.1", b"", True), ("1.1", b"Close", False), ("1.0", b"", False), ("1.0", b"Keep-Alive", True),
     ("1.1", b"keep-alive, close", False), ("1.0", b"keep-alive, close", False)],
)  # fmt: skip
def test_keep_alive(version: str, connection: bytes, keep: bool) -> None:
    """RFC 9112 §9.3."""
    assert request((b"Connection", connection), version=version).keep_alive is keep
    assert read_answer(200, version, b"OK", [(b"Connection", connection)], to_head=False).keep is keep


@pytest.mark.parametrize(
    ("upgrade", "connection", "extra", "version", "taken"),
    [
        (b"websocket", b"Upgrade", (), "1.1", b"websocket"),
        (b"websocket", b"keep-alive, upgrade", (), "1.1", b"websocket"),
        (b"websocket", b"keep-alive", (), "1.1", None),
        (b"websocket", b"Upgrade", (), "1.0", None),
        (b"h2c", b"Upgrade, HTTP2-Settings", (), "1.1", None),
        (b"websocket, HTTP/2.0", b"Upgrade", (), "1.1", None),
        (b"TLS/1.0", b"Upgrade", (), "1.1", None),
        (b"websocket", b"Upgrade", ((b"Content-Length", b"5"),), "1.1", None),
        (b"websocket", b"Upgrade", ((b"Content-Length", b"0"),), "1.1", b"websocket"),
    ],
)
def test_which_offers_to_upgrade_are_taken(
    upgrade: bytes, connection: bytes, extra: tuple[tuple[bytes, bytes], ...], version: str, taken: bytes | None
) -> None:
    """Never another version of HTTP: calls inside it would be out of sight."""
    assert request((b"Upgrade", upgrade), (b"Connection", connection), *extra, version=version).upgrade == taken


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"SOURCE", b"DESCRIBE", b"PLAY"])
def test_methods_that_have_no_place_here(method: bytes) -> None:
    with pytest.raises(BadMessage) as bad:
        request(method=method)
    assert bad.value.refusal.status == 400


@given(st.lists(st.tuples(st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"content-length"]), st.binary(max_size=9)), max_size=3))  # fmt: skip
def test_a_framing_is_clear_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever is said about the length, at most one way to read it is left."""
    try:
        head = request(*headers)
    except BadMessage:
        return
    assert head.length is None or not head.chunked
    assert len(headers) <= 1
    if head.length is not None:
        assert str(head.length).encode() == headers[0][1].strip().lstrip(b"0") or head.length == 0


@pytest.mark.parametrize(
    ("status", "to_head", "headers", "expected"),
    [
        (200, False, [(b"Content-Length", b"5")], (5, False, False)),
        (200, False, [(b"Content-Length", b"0")], (0, False, False)),
        (200, False, [(b"Transfer-Encoding", b"Chunked")], (None, True, False)),
        (200, False, [], (None, False, True)),
        (200, True, [(b"Content-Length", b"5")], (5, False, False)),
        (200, True, [], (None, False, False)),
        (200, True, [(b"Transfer-Encoding", b"chunked")], (None, False, False)),
        (204, False, [(b"Content-Length", b"5")], (None, False, False)),
        (304, False, [(b"Content-Length", b"5")], (5, False, False)),
        (304, False, [(b"Transfer-Encoding", b"chunked")], (None, False, False)),
        (103, False, [], (None, False, False)),
    ],
)
def test_where_an_answer_ends(
    status: int, to_head: bool, headers: list[tuple[bytes, bytes]], expected: tuple[int | None, bool, bool]
) -> None:
    answer = read_answer(status, "1.1", b"OK", headers, to_head=to_head)
    assert (answer.length, answer.chunked, answer.until_close) == expected
    assert answer.has_body is (status == 200 and not to_head)  # an empty one is one


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Content-Length", b"5"), (b"Content-Length", b"5")],
        [(b"Content-Length", b"+5")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"gzip")],
    ],
)
def test_an_answer_with_an_unclear_framing_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadMessage) as bad:
        read_answer(200, "1.1", b"OK", headers, to_head=False)
    assert bad.value.refusal.status == 502


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (0, []),
        (99, []),
        (600, []),
        (999, []),
        (100, [(b"Content-Length", b"0")]),
        (110, [(b"content-length", b"5")]),
        (199, [(b"Transfer-Encoding", b"chunked")]),
    ],
)
def test_a_status_that_http_has_not_and_an_informational_body(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """RFC 9110 §15: 100 to 599; §15.2: a 1xx ends with its head."""
    for to_head in (False, True):
        with pytest.raises(BadMessage) as bad:
            read_answer(status, "1.1", b"OK", headers, to_head=to_head)
        assert (bad.value.refusal.status, bad.value.refusal.code) == (502, "bad_answer")


def test_hop_by_hop_headers_of_an_answer() -> None:
    """And what the server said about its keep-alive limit is understood."""
    named = [
        (b"Connection", b"keep-alive, X-Hop"),
        (b"X-Hop", b"1"),
        (b"A", b"2"),
        (b"Keep-Alive", b"timeout=5, max=9"),
    ]
    answer = read_answer(200, "1.1", b"OK", [*named, (b"Content-Length", b"0")], to_head=False)
    assert (answer.headers, answer.keep, answer.keep_seconds) == ([(b"A", b"2")], True, 5.0)
    plain = read_answer(200, "1.1", b"OK", [(b"Connection", b"close"), (b"A", b"2")], to_head=False)
    assert (plain.headers, plain.keep) == ([(b"A", b"2")], False)


def test_a_reason_with_control_characters_is_dropped() -> None:
    assert read_answer(200, "1.1", b"O\0K", [], to_head=False).reason == b""
    assert read_answer(200, "1.1", b"Fine \xe9", [], to_head=False).reason == b"Fine \xe9"
