"""Routing and header rules, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.forwarding import (
    answer_head,
    bearer_token,
    called_host,
    clean_cookies,
    held_bytes,
    informational_head,
    protocol_token,
    request_head,
    route,
    seen_at,
    settled_for,
)
from jupyter_model_service.core.message import AnswerHead, RequestHead
from jupyter_model_service.core.origin import OF_THE_ORIGIN
from jupyter_model_service.core.peer import Peer
from jupyter_model_service.core.read_answer import read_answer
from jupyter_model_service.core.trailers import answer_end

BASE = b"/p/endpoints/"


@pytest.mark.parametrize(
    ("target", "owner", "name", "path", "prefix"),
    [
        (b"/p/endpoints/o/n/", "o", "n", b"/", b"/p/endpoints/o/n"),
        (b"/p/endpoints/o/n/a/b?c=/d", "o", "n", b"/a/b?c=/d", b"/p/endpoints/o/n"),
        (b"/p/endpoints/o/n//x", "o", "n", b"//x", b"/p/endpoints/o/n"),
        (b"/p/endpoints/o/n/../../y", "o", "n", b"/../../y", b"/p/endpoints/o/n"),
        (b"/p/endpoints/o/n/%2e%2E%00", "o", "n", b"/%2e%2E%00", b"/p/endpoints/o/n"),
        (b"/p/endpoints/%6f/%6E/x", "o", "n", b"/x", b"/p/endpoints/%6f/%6E"),
        (b"/p/endpoints/%ff/n/x", "�", "n", b"/x", b"/p/endpoints/%ff/n"),
        (b"/p/endpoints/a%2Fb/n/x", "a/b", "n", b"/x", b"/p/endpoints/a%2Fb/n"),
    ],
)
def test_an_endpoints_path_reaches_the_replica_as_it_was_written(
    target: bytes, owner: str, name: str, path: bytes, prefix: bytes
) -> None:
    """Only owner and name are decoded, to find the service; nothing is normalised."""
    place = route(target, BASE)
    assert place is not None
    assert (place.owner, place.name, place.path, place.prefix) == (owner, name, path, prefix)
    assert place.redirect is None


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"/p/endpoints/o/n", b"/p/endpoints/o/n/"),
        (b"/p/endpoints/o/n?a/b", b"/p/endpoints/o/n/?a/b"),
    ],
)
def test_without_the_slash_it_redirects(target: bytes, location: bytes) -> None:
    place = route(target, BASE)
    assert place is not None
    assert place.redirect == location


@pytest.mark.parametrize(
    "target",
    [b"/", b"*", b"/p/endpoints", b"/p/endpoints/", b"/p/endpoints/o", b"/p/endpoints/o/", b"/p/endpoints//n/x",
     b"/p/endpoints/o//x", b"/p/endpoints/?o/n/x", b"/p/endpoints/o?/n/x", b"/endpoints/o/n/x", b"//p/endpoints/o/n/",
     b"/p/endpoints/o/?n/x", b"/P/endpoints/o/n/"],
)  # fmt: skip
def test_everything_else_is_for_the_web_part(target: bytes) -> None:
    assert route(target, BASE) is None


@given(st.binary(max_size=40))
def test_any_target_is_routed_without_an_error(tail: bytes) -> None:
    """And prefix and path together are the target, byte for byte."""
    place = route(BASE + tail, BASE)
    if place is not None and place.redirect is None:
        assert place.prefix + place.path == BASE + tail


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([b"Bearer abc"], "abc"),
        ([b"bearer  abc "], "abc"),
        ([b"token abc"], "abc"),
        ([], None),
        ([b"Bearer abc", b"Bearer abc"], None),
        ([b"Bearer"], None),
        ([b"Basic YTpi"], None),
        ([b"Bearer \xff"], None),
        ([b"Bearer " + b"x" * 4097], None),
    ],
)
def test_bearer_token(values: list[bytes], token: str | None) -> None:
    assert bearer_token(values) == token


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"_xsrf=1; a=1", b"a=1"),
        (b"username-localhost-8888=x;jupyterhub-session-id=y; jupyterhub-user-me=z", b""),
        (b'Username-x=1; a="1;2"', b'a="1; 2"'),
        (b"a=_xsrf=1; =empty; ;", b"a=_xsrf=1"),
        (b"__Host-jupyterhub-user-me=z; __Secure-_xsrf=1; __Host-mine=1", b"__Host-mine=1"),
    ],
)
def test_jupyters_cookies_are_taken_out(cookie: bytes, left: bytes) -> None:
    assert clean_cookies(cookie) == left


def test_a_trusted_peers_word_is_kept_and_added_to() -> None:
    """An untrusted one's is replaced; the web part gets the token and every cookie."""
    head = RequestHead(b"GET", 11, b"/p/endpoints/o/n/x", host=b"h")
    head.forwarded = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2"), (b"x-forwarded-port", b"443")]
    head.authorization = [b"Bearer t"]
    head.cookies = [b"_xsrf=1"]
    known = {"target": b"/x", "prefix": b"/p/endpoints/o/n", "request_id": b"id"}
    trusted = request_head(head, peer=Peer(b"3.3.3.3", True), via=b"us", **known)  # type: ignore[arg-type]
    assert b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3\r\n" in trusted
    assert b"X-Forwarded-Port: 443\r\n" in trusted
    assert b"Bearer" not in trusted
    assert b"Cookie" not in trusted
    untrusted = request_head(head, peer=Peer(b"3.3.3.3"), via=None, **known)  # type: ignore[arg-type]
    assert b"X-Forwarded-For: 3.3.3.3\r\n" in untrusted
    assert b"443" not in untrusted
    assert b"Authorization: Bearer t\r\n" in untrusted
    assert b"Cookie: _xsrf=1\r\n" in untrusted


@pytest.mark.parametrize(
    "lines", [(b"hub.example.org, b:8000",), (b"hub.example.org", b"b:8000"), (b"", b"hub.example.org")]
)
def test_behind_two_proxies_the_caller_called_what_the_first_says(lines: tuple[bytes, ...]) -> None:
    """Each adds what it was called by itself. The same for the model, for where it leads, and for whose host it is."""
    head = RequestHead(b"GET", 11, b"/p/endpoints/o/n/x", host=b"10.0.0.1:8910")
    head.forwarded = [(b"x-forwarded-host", line) for line in lines]
    head.forwarded += [(b"x-forwarded-proto", b"https,http"), (b"x-forwarded-prefix", b"/hub/, /x")]
    peer, prefix = Peer(b"3.3.3.3", True), b"/p/endpoints/o/n"
    told = request_head(head, peer=peer, via=b"us", target=b"/x", prefix=prefix, request_id=b"id")
    assert b"X-Forwarded-Host: hub.example.org\r\n" in told
    assert b"X-Forwarded-Proto: https\r\n" in told
    assert b"X-Forwarded-Prefix: /hub/p/endpoints/o/n\r\n" in told
    assert called_host(head, peer) == b"hub.example.org"
    assert called_host(head, Peer(b"3.3.3.3")) == b"10.0.0.1:8910"
    assert seen_at(head, peer, prefix) == (b"/hub/p/endpoints/o/n", True)
    answer = AnswerHead(303, b"See Other", headers=[(b"Location", b"https://hub.example.org/login")])
    settled = settled_for(answer, head, target=b"/x", prefix=prefix, peer=peer)
    assert settled.headers == [(b"Location", b"https://hub.example.org/hub/p/endpoints/o/n/login")]


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (b"chat, v1.token.websocket.jupyter.org.s3cret, superchat", b"Sec-WebSocket-Protocol: chat, superchat\r\n"),
        (b"V1.Token.WebSocket.Jupyter.Org.s3cret", b""),
        (b"chat", b"Sec-WebSocket-Protocol: chat\r\n"),
        (b"bearer.s3cret,chat", b"Sec-WebSocket-Protocol: chat\r\n"),
        (b"chat, Bearer.s3cret,bearer.s3cret2", b"Sec-WebSocket-Protocol: chat\r\n"),
        (b"bearer.s3cret", b""),
    ],
)
def test_a_token_among_the_protocols_of_a_websocket_stays_here(offered: bytes, told: bytes) -> None:
    head = RequestHead(b"GET", 11, b"/x", host=b"h", headers=[(b"Sec-WebSocket-Protocol", offered)])
    sent = request_head(head, target=b"/x", prefix=b"", peer=Peer(b"p"), request_id=b"i", via=b"us")
    assert told in sent
    assert b"s3cret" not in sent
    assert (b"Protocol" in sent) is bool(told)


@pytest.mark.parametrize(
    ("offered", "token"),
    [
        ([b"chat, bearer.jms_a-b.c_d"], "jms_a-b.c_d"),
        ([b"chat", b"BEARER.x"], "x"),
        ([b"bearer.x, bearer.x"], None),
        ([b"bearer.x", b"bearer.y"], None),
        ([b"bearer."], None),
        ([b"chat, bearer, bearerx, x.bearer.y"], None),
        ([b"bearer.\xff"], None),
        ([], None),
    ],
)
def test_a_token_among_the_protocols_is_the_one_that_is_there(offered: list[bytes], token: str | None) -> None:
    headers = [(b"X", b"bearer.z"), *((b"sec-webSocket-Protocol", each) for each in offered)]
    assert protocol_token(headers) == token


def test_a_model_at_the_address_of_a_hub_speaks_for_its_own_page_alone() -> None:
    """Its scripts have an origin of their own, and nothing that it says holds for the whole address."""
    said = [(name.title(), b"evil") for name in sorted(OF_THE_ORIGIN)]
    answer = AnswerHead(200, b"OK", [(b"Content-Type", b"text/html"), *said, (b"Location", b"/x")], length=3)
    told = {"version": 11, "keep_alive": True, "request_id": b"id", "via": b"us"}
    head, _, _ = answer_head(answer, replica=b"r", shared_origin=True, **told)  # type: ignore[arg-type]
    assert b"evil" not in head
    assert b"Content-Type: text/html\r\nLocation: /x\r\n" in head
    assert b"Content-Security-Policy: sandbox " in head
    assert b"allow-same-origin" not in head
    assert b"X-Content-Type-Options: nosniff\r\n" in head
    assert head.count(b"\r\n\r\n") == 1
    elsewhere, _, _ = answer_head(answer, replica=b"r", **told)  # type: ignore[arg-type]
    assert elsewhere.count(b"evil") == len(OF_THE_ORIGIN)
    ours, _, _ = answer_head(answer, replica=None, shared_origin=True, **told)  # type: ignore[arg-type]
    assert b"sandbox" not in ours, "the control API's pages are ours"
    hints = informational_head(AnswerHead(103, b"Early", said), shared_origin=True)
    assert hints == b"HTTP/1.1 103 Early\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (b"Set-Cookie", b"jupyterhub-session-id=x; Path=/hub"),
        (b"Clear-Site-Data", b'"cookies"'),
        (b"Service-Worker-Allowed", b"/"),
        (b"Refresh", b"0; url=/hub/logout"),
        (b"WWW-Authenticate", b'Basic realm="Hub"'),
        (b"WWW-AUTHENTICATE", b"Negotiate"),
        (b"Set-Login", b"logged-out"),
        (b"Secure-Session-Registration", b'(ES256);path="/start"'),
        (b"Sec-Session-Registration", b'(ES256);path="/start"'),
        (b"Shared-Storage-Write", b"clear"),
        (b"Speculation-Rules", b'"/rules.json"'),
        (b"Expect-CT", b"max-age=86400, enforce"),
    ],
)
def test_what_a_browser_takes_for_the_whole_address_is_dropped_there(said: bytes, value: bytes) -> None:
    """And passes where a model has an address of its own; behind a body it passes nowhere."""
    answer = AnswerHead(401, b"No", [(said, value)], length=0)
    told = {"version": 11, "keep_alive": True, "request_id": b"id", "via": b"us", "replica": b"r"}
    shared, _, _ = answer_head(answer, shared_origin=True, **told)  # type: ignore[arg-type]
    own, _, _ = answer_head(answer, **told)  # type: ignore[arg-type]
    line = b"%b: %b\r\n" % (said, value)
    assert (line in shared, line in own) == (False, True)
    assert answer_end([(said, value)], frozenset()) == b"0\r\n\r\n"


def test_a_caller_without_host_gets_one_for_the_replica() -> None:
    """HTTP/1.0 needs none, HTTP/1.1 does."""
    head = RequestHead(b"GET", 10, b"/x")
    sent = request_head(head, target=b"/x", prefix=b"", peer=Peer(b"p"), request_id=b"i", via=b"us")
    assert sent.startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("framing", "version", "keep", "chunked", "stays", "line"),
    [
        ({"length": 3}, 11, True, False, True, b"Content-Length: 3"),
        ({"length": 3}, 11, False, False, False, b"Connection: close"),
        ({"length": 3}, 10, True, False, True, b"Connection: keep-alive"),
        ({"chunked": True}, 11, True, True, True, b"Transfer-Encoding: chunked"),
        ({"chunked": True}, 10, True, False, False, b"Connection: close"),
        ({"until_close": True}, 11, True, True, True, b"Transfer-Encoding: chunked"),
        ({"until_close": True}, 10, True, False, False, b"Connection: close"),
        ({}, 11, True, False, True, b"X-Request-Id: id"),
    ],
)
def test_framing_towards_the_caller(
    framing: dict[str, object], version: int, keep: bool, chunked: bool, stays: bool, line: bytes
) -> None:
    answer = AnswerHead(200, b"OK", [(b"A", b"1"), (b"A", b"2")], **framing)  # type: ignore[arg-type]
    head, goes_chunked, keeps = answer_head(
        answer, version=version, keep_alive=keep, request_id=b"id", via=b"us", replica=b"r"
    )
    assert (goes_chunked, keeps) == (chunked, stays)
    assert line in head.split(b"\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n")
    assert head.count(b"\r\n\r\n") == 1


def test_an_informational_answer() -> None:
    assert informational_head(AnswerHead(103, b"Early", [(b"Link", b"x")])) == b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "framing", "content_type", "to_head", "held"),
    [
        (200, (b"Content-Length", b"55"), b"application/json", False, 55),
        (200, (b"Content-Length", b"55"), None, False, 55),
        (500, (b"Content-Length", b"100"), None, False, 100),
        (200, (b"Content-Length", b"101"), None, False, 0),
        (200, (b"Content-Length", b"0"), None, False, 0),
        (200, (b"Content-Length", b"55"), None, True, 0),
        (304, (b"Content-Length", b"55"), None, False, 0),
        (204, (b"A", b"b"), None, False, 0),
        (200, (b"Transfer-Encoding", b"chunked"), None, False, 0),
        (200, (b"A", b"b"), None, False, 0),
        (200, (b"Content-Length", b"55"), b"Text/Event-Stream ;charset=utf-8", False, 0),
        (200, (b"Content-Length", b"55"), b"text/event-streams", False, 55),
    ],
)
def test_small_bodies_that_end_by_themselves_are_waited_for(
    status: int, framing: tuple[bytes, bytes], content_type: bytes | None, to_head: bool, held: int
) -> None:
    """Streams are not, and no more than the given size is."""
    headers = [(b"X-Long-Names", b"text/event-stream"), framing]
    headers += [(b"content-Type", content_type)] if content_type is not None else []
    answer = read_answer(status, "1.1", b"", headers, to_head=to_head)
    assert held_bytes(answer, most=100) == held
