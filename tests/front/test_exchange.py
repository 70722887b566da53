"""HTTP/1.1 as an intermediary: what a replica gets and what a caller gets back."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.front.server import FrontSettings

from .site import TOKEN, Answer, site, until, within
from .upstreams import Handler, Replica, Seen, answer

Run = Callable[[Any], Any]


def test_a_call_reaches_the_replica_and_its_answer_comes_back(run: Run) -> None:
    """Path, query and bytes are untouched; the counters and the meter know of it."""

    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call("/a%2Fb/./../c?x=%20&token=abc", "X-Mine: 1", method="POST", body=b"\0\xffhi")
            assert got.status == 200
            assert got.json()["target"] == "/a%2Fb/./../c?x=%20&token=abc"
            assert got.json()["body"] == "\0\xffhi"
            assert ["X-Mine", "1"] in got.json()["headers"]
            assert got.one("X-Model-Service-Replica") == "r1"
            assert here.meter.calls == [("o/n", 1, 200)]
            assert here.meter.first_bytes[0] is not None
            assert here.backends[0].started == 1
            assert here.backends[0].answered_at > 0

    run(body())


def test_a_connection_serves_many_calls_on_both_sides(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            for number in range(20):
                await wire.send(here.request(f"/{number}"))
                assert (await wire.answer()).json()["target"] == f"/{number}"
            assert here.replicas[0].connections == 1

    run(body())


def test_pipelined_calls_are_answered_in_order(run: Run) -> None:
    """Also those that end at once (401) between those that wait."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            calls = [
                here.request("/1", method="POST", body=b"one"),
                here.request("/2", token=None),
                here.request("/3"),
                *[here.request(f"/{n}", token=None) for n in range(2000)],
                here.request("/last", method="POST", body=b"last"),
            ]
            await wire.send(b"".join(calls))
            assert (await wire.answer()).json()["body"] == "one"
            assert (await wire.answer()).status == 401
            assert (await wire.answer()).json()["target"] == "/3"
            for _ in range(2000):
                assert (await wire.answer()).status == 401
            assert (await wire.answer()).json()["body"] == "last"

    run(body())


def test_pipelined_calls_reach_the_replica_one_after_another(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang") + here.request("/second"))
            await until(lambda: here.replicas[0].seen)
            await asyncio.sleep(0.05)
            assert here.replicas[0].paths() == ["/hang"]
            here.replicas[0].release.set()
            assert (await wire.answer()).body == b"r1"
            assert (await wire.answer()).json()["target"] == "/second"

    run(body())


def test_a_request_may_come_byte_by_byte(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            wire.writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
            for byte in here.request("/slowly", method="POST", body=b"abc"):
                wire.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            got = await wire.answer()
            assert (got.json()["target"], got.json()["body"]) == ("/slowly", "abc")

    run(body())


def test_chunked_bodies_both_ways(run: Run) -> None:
    """Re-framed from what was parsed; extensions are gone."""

    async def body() -> None:
        async with site(Replica()) as here:
            head = here.request("/up", "Transfer-Encoding: chunked", method="PUT")
            wire = await here.send(head + b"3;ext=1\r\nabc\r\n")
            await until(lambda: here.replicas[0].seen)
            await wire.send(b"0002\r\nde\r\n0\r\nTrailer-Field: x\r\n\r\n")
            got = await wire.answer()
            assert got.json()["body"] == "abcde"
            sent = dict(got.json()["headers"])
            assert sent["Transfer-Encoding"] == "chunked"
            assert "Content-Length" not in sent
            await wire.send(here.request("/chunked"))
            got = await wire.answer()
            assert (got.body, got.complete, got.one("Trailer"), got.trailers) == (b"abcde", True, None, [])
            await wire.send(here.request("/status?200"))
            got = await wire.answer()
            assert (got.status, got.one("T")) == (200, None)
            assert here.replicas[0].connections == 1

    run(body())


def test_answers_without_a_body(run: Run) -> None:
    """HEAD, 204 and 304 leave the connection in step."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", method="HEAD"))
            got = await wire.answer("HEAD")
            assert int(got.one("Content-Length") or 0) > 10
            for code in (204, 304):
                await wire.send(here.request(f"/status?{code}"))
                got = await wire.answer()
                assert (got.status, got.one("X-Kept"), got.one("Transfer-Encoding")) == (code, "yes", None)
            await wire.send(here.request("/chunked", method="HEAD"))
            assert (await wire.answer("HEAD")).status == 200
            await wire.send(here.request("/after"))
            assert (await wire.answer()).json()["target"] == "/after"

    run(body())


def test_informational_answers(run: Run) -> None:
    """103 is passed on, the replica's 100 is not: the body had been asked for already. 1.0 callers get neither."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/1xx"))
            hint = await wire.head()
            assert (hint.status, hint.one("Link")) == (103, "</a.css>")
            final = await wire.head()
            assert final.status == 200
            old = here.request("/1xx").replace(b"HTTP/1.1", b"HTTP/1.0")
            wire = await here.send(old)
            assert (await wire.head()).status == 200

    run(body())


def test_expect_is_answered_after_admission_only(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            head = here.request("/up", "Content-Length: 3", "Expect: 100-continue", method="PUT")
            wire = await here.send(head)
            assert (await wire.head()).status == 100
            await wire.send(b"abc")
            got = await wire.answer()
            assert got.json()["body"] == "abc"
            assert "Expect" not in dict(got.json()["headers"])
            refused = await here.send(head.replace(b"jms_good", b"jms_bad"))
            got = await refused.answer()
            assert (got.status, got.one("Connection")) == (401, "close")
            assert await refused.closed()
            unknown = await here.send(head.replace(b"100-continue", b"magic"))
            assert (await unknown.answer()).status == 417

    run(body())


def test_http_1_0_callers(run: Run) -> None:
    """A body of unknown length ends with the connection; keep-alive only where it was asked for."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/chunked").replace(b"HTTP/1.1", b"HTTP/1.0"))
            got = await wire.answer()
            assert (got.body, got.one("Transfer-Encoding"), got.one("Connection")) == (b"abcde", None, "close")
            keep = here.request("/x", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
            wire = await here.send(keep)
            assert (await wire.answer()).one("Connection") == "keep-alive"
            await wire.send(here.request("/y").replace(b"HTTP/1.1", b"HTTP/1.0"))
            got = await wire.answer()
            assert (got.json()["target"], got.one("Connection")) == ("/y", "close")
            assert await wire.closed()

    run(body())


def test_connection_close_is_honoured(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", "Connection: close"))
            got = await wire.answer()
            assert (got.status, got.one("Connection"), got.complete) == (200, "close", True)
            assert await wire.closed()

    run(body())


async def of_old(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """An HTTP/1.0 server, which does not say of each connection that it keeps it, and closes none by itself."""
    headers = ["Connection: Keep-Alive"] if "keep" in seen.target else []
    writer.write(answer(seen.target.encode(), *headers).replace(b"HTTP/1.1", b"HTTP/1.0"))
    return True


def test_a_replica_that_speaks_http_1_0(run: Run) -> None:
    """Its connection is used again only where it says that it may be; the caller is answered in HTTP/1.1."""

    async def body() -> None:
        async with site(Replica(handlers={"/keep": of_old, "/old": of_old})) as here:
            wire = await here.wire()
            for path in ("/keep", "/keep", "/keep", "/old", "/old", "/keep"):
                await wire.send(here.request(path))
                got = await wire.answer()
                assert (got.body, got.complete, got.one("Connection")) == (path.encode(), True, None)
            assert here.replicas[0].connections == 3

    run(body())


def test_small_pieces_are_not_held_back_by_the_kernel(run: Run) -> None:
    """TCP_NODELAY on both connections: Nagle's algorithm and delayed acknowledgements together cost 40 ms a piece."""

    async def body() -> None:
        async with site(Replica()) as here:
            await (await here.send(here.request("/x"))).answer()
            (caller,) = here.front.connections
            replica = here.front.pool(here.backends[0]).take(monotonic())
            assert replica is not None
            for connection in (caller, replica):
                assert connection.transport is not None
                sock = connection.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            replica.abort()

    run(body())


def test_an_answer_until_close_is_whole_for_the_caller(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/until-close"))
            got = await wire.answer()
            assert (got.body, got.complete, got.one("Transfer-Encoding")) == (b"to the end", True, "chunked")
            await wire.send(here.request("/next"))
            assert (await wire.answer()).status == 200

    run(body())


def test_a_caller_who_said_all_and_closed_its_side_gets_its_answer(run: Run) -> None:
    """printf … | nc: one request with Connection: close (or HTTP/1.0), then FIN."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/hang", "Connection: close"))
            wire.writer.write_eof()
            await until(lambda: here.replicas[0].seen)
            await asyncio.sleep(0.05)
            here.replicas[0].release.set()
            assert (await wire.answer()).body == b"r1"
            assert await wire.closed()

    run(body())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_who_closed_its_side_during_the_answer_gets_it_whole(run: Run, version: str) -> None:
    """Whether FIN comes before or after the answer's head is chance."""

    async def body() -> None:
        async with site(Replica()) as here:
            request = here.request("/huge?5000000", "Connection: close").replace(
                b"HTTP/1.1", f"HTTP/{version}".encode()
            )
            wire = await here.send(request)
            got = await wire.head()
            wire.writer.write_eof()
            await wire.body(got)
            assert (len(got.body), got.complete) == (5_000_000, True)
            assert await wire.closed()

    run(body())


def test_who_asked_once_and_left_is_noticed_by_what_is_written(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/sse", "Connection: close"))
            await wire.head()
            wire.writer.close()
            replica = here.replicas[0]
            for _ in range(500):
                replica.release.set()
                await asyncio.sleep(0.01)
                if replica.hung_up.is_set():
                    break
            assert replica.hung_up.is_set()

    run(body())


def test_a_fin_that_counts_as_leaving_never_makes_an_answer_look_whole(run: Run) -> None:
    """For an HTTP/1.0 caller an answer without a length ends where the connection does."""

    async def body() -> None:
        async with site(Replica()) as here:
            request = here.request("/sse", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
            wire = await here.send(request)
            got = await wire.head()
            assert not got.one("Transfer-Encoding")
            await within(wire.reader.readuntil(b"data: 0\n\n"))
            wire.writer.write_eof()
            with pytest.raises(ConnectionResetError):
                await within(wire.reader.read(-1))

    run(body())


def test_an_answer_before_the_end_of_the_body(run: Run) -> None:
    """The caller reads it whole although it is still sending; the connection does not go on."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/early", "Content-Length: 50000000", method="PUT") + b"x" * 1000)
            got = await wire.answer()
            assert (got.status, got.body, got.one("Connection")) == (413, b"too large", "close")
            await wire.send(b"x" * 100_000)
            assert await wire.closed()

    run(body())


async def early_and_keeps(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Answers before the body came, and takes whatever follows for the next request."""
    writer.write(answer(b"early"))
    return True


def test_a_connection_with_an_unfinished_body_is_not_used_again(run: Run) -> None:
    """What is left of the body would be read as the next request."""

    async def body() -> None:
        async with site(Replica(handlers={"/early-keep": early_and_keeps})) as here:
            wire = await here.send(here.request("/early-keep", "Content-Length: 9", method="PUT") + b"abc")
            assert (await wire.answer()).body == b"early"
            got = await here.call("/x")
            assert (got.json()["method"], got.json()["target"]) == ("GET", "/x")
            assert here.replicas[0].connections == 2

    run(body())


def test_headers_of_an_answer(run: Run) -> None:
    """Hop-by-hop ones end here, our own names cannot be forged, repeated ones stay in order."""

    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call("/hostile")
            assert got.all("Set-Cookie") == ["a=1", "b=2"]
            assert got.one("Location") == "/elsewhere"
            assert got.one("X-Request-Id") != "forged"
            for name in ("X-Hop", "Keep-Alive", "X-Model-Service-Error", "Connection"):
                assert got.one(name) is None, name

    run(body())


def test_at_the_address_of_a_hub_a_models_pages_are_sandboxed(run: Run) -> None:
    """Else any user's public page acts with the rights of whoever looks at it while signed in to the Hub."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(shared_origin=True)) as here:
            got = await here.call("/hostile")
            assert got.all("Set-Cookie") == []
            assert (got.one("Content-Security-Policy") or "").startswith("sandbox ")
            assert got.one("Location") == "/endpoints/o/n/elsewhere"

    run(body())


def test_at_an_address_that_models_share_no_cookie_is_theirs(run: Run) -> None:
    """No model sets any there: what a browser sends is a site's sign-in, or of whatever else is at 127.0.0.1. What came
    by one that is at a host of its own is its own."""

    async def body() -> None:
        hosts = Hosts("http://*.localhost:8000")
        async with site(Replica(), settings=FrontSettings(shared_origin=True), hosts=hosts) as here:
            for _ in range(2):  # the second head is known
                got = await here.call("/x", "Cookie: _oauth2_proxy=secret; grafana_session=secret", "Cookie: a=secret")
                assert "secret" not in str(got.json()["headers"])
            own = f"Host: n--o.localhost:8000\r\nAuthorization: Bearer {TOKEN}\r\nCookie: a=1"
            await (await here.send(f"GET /x HTTP/1.1\r\n{own}\r\n\r\n")).answer()
            assert here.replicas[0].seen[-1].one("Cookie") == "a=1"

    run(body())


def test_what_a_proxy_says_of_whom_it_signed_in_is_no_models(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            said = ("X-Auth-Request-Access-Token: secret", "x-amzn-oidc-data: secret", "Cf-Access-Jwt-Assertion: secret",
                    "X_MS_Token_AAD_Id_Token: secret", "X-Goog-IAP-JWT-Assertion: secret",
                    "X-WebAuth-User: secret", "X_Authenticated_User: secret", "X-Proxy-User: secret",
                    "Remote-Groups: secret", "Remote_Email: secret", "X-Remote-Group: secret")  # fmt: skip
            assert "secret" not in str((await here.call("/x", *said)).json()["headers"])

    run(body())


MOUNTED = (
    "SCRIPT_NAME Script-Name X-Script-Name PATH_INFO X-Original-URL X-Original-URI X-Rewrite-URL X_Request_Uri"
    " X-Replaced-Path X-Envoy-Original-Path X-HTTP-DestinationURL X-MS-Original-URL X-WAWS-Unencoded-URL"
    " X-Sendfile-Type X-Accel-Mapping X-Forwarded-Prefix X-Forwarded-Uri"
)


@pytest.mark.parametrize("name", MOUNTED.split())
def test_no_caller_says_how_a_model_is_mounted_nor_what_it_was_asked_for(run: Run, name: str) -> None:
    """gunicorn believes SCRIPT_NAME of 127.0.0.1, the gateway: a call of /v1/admin would be one of /admin."""

    async def body() -> None:
        async with site(Replica()) as here:
            other = name.swapcase().replace("_", "-") if "-" not in name else name.replace("-", "_")
            got = await here.call("/v1/admin", f"{name}: /evil", f"{other}: /evil", "X-Own: 1")
            assert "evil" not in str(got.json()["headers"])
            assert dict(got.json()["headers"])["X-Own"] == "1"

    run(body())


def test_headers_to_the_replica(run: Run) -> None:
    """No token, no Jupyter cookie, no hop-by-hop header, and no claim of an untrusted peer."""

    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call(
                "/x",
                "Cookie: keep=1; _xsrf=2; username-localhost-8888=3",
                "Cookie: jupyterhub-session-id=4",
                "Connection: X-Secret-Hop, keep-alive",
                "X-Secret-Hop: 1",
                "Proxy-Authorization: Basic x",
                "TE: gzip, deflate",
                "Keep-Alive: 3",
                "X-Forwarded-For: 6.6.6.6",
                "X-Forwarded-Host: evil",
                "X-Real-IP: 6.6.6.6",
                "Forwarded: for=6.6.6.6",
                "X-Model-Service-User: root",
                "X-XSRFToken: 2|secret",
                "X-Forwarded-Access-Token: secret",
                "x-forwarded-Email: me@secret",
                "X-Forwarded-User: secret",
                "X-Forwarded-Scheme: https",
                "Referer: http://127.0.0.1:8888/lab?token=secret#x",
                "X-Many: 1",
                "X-Many: 2",
                "X-Request-Id: not sane\x80",
            )
            headers = [tuple(pair) for pair in got.json()["headers"]]
            names = {name.lower() for name, _ in headers}
            assert not names & {
                "authorization", "x-secret-hop", "proxy-authorization", "te", "keep-alive", "connection",
                "x-real-ip", "forwarded", "x-model-service-user",
            }  # fmt: skip
            assert {name for name in names if name.startswith("x-forwarded-")} == {
                "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"
            }  # fmt: skip
            assert "secret" not in str(headers)
            assert dict(headers)["Referer"] == "http://127.0.0.1:8888/lab"
            assert [value for name, value in headers if name == "Cookie"] == ["keep=1"]
            assert [value for name, value in headers if name == "X-Many"] == ["1", "2"]
            plain = dict(headers)
            assert plain["Host"] == plain["X-Forwarded-Host"] == "front.test"
            assert plain["X-Forwarded-For"] == "127.0.0.1"
            assert plain["X-Forwarded-Proto"] == "http"
            assert plain["X-Forwarded-Prefix"] == "/endpoints/o/n"
            assert plain["X-Request-Id"] == got.one("X-Request-Id")
            assert plain["X-Request-Id"].isalnum()

    run(body())


def test_absolute_form(run: Run) -> None:
    """The target's host replaces the Host header; the replica gets the path."""

    async def body() -> None:
        async with site(Replica()) as here:
            data = here.request("/a?b").replace(b"GET /", b"GET http://real.test:81/")
            got = await (await here.send(data)).answer()
            assert got.json()["target"] == "/a?b"
            assert dict(got.json()["headers"])["Host"] == "real.test:81"

    run(body())


def test_the_endpoint_without_slash_redirects(run: Run) -> None:
    """308, so that a POST stays one."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("?a=b", method="POST", body=b"x"))
            got = await wire.answer()
            assert (got.status, got.one("Location")) == (308, "/endpoints/o/n/?a=b")
            assert got.body == b"The address of an endpoint ends with a slash: see the header Location.\n"
            await wire.send(here.request("/after"))
            assert (await wire.answer()).status == 200

    run(body())


def test_a_malformed_answer_is_a_502(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/bad"))
            got = await wire.answer()
            assert (got.status, got.code) == (502, "bad_answer")
            await wire.send(here.request("/after"))
            assert (await wire.answer()).status == 200

    run(body())


async def endless_head(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"y" * 5000 + b"\r\n")
        await writer.drain()


async def endless_field(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"y" * 5000)
        await writer.drain()


async def bare_switch(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 101 Go\r\n\r\nraw")
    return True


@pytest.mark.parametrize("handler", [endless_head, endless_field, bare_switch])
def test_an_answer_that_cannot_be_accepted_is_a_502(run: Run, handler: Handler) -> None:
    async def body() -> None:
        async with site(Replica(handlers={"/x": handler})) as here:
            got = await here.call("/x", "Connection: Upgrade", "Upgrade: shout")
            assert (got.status, got.code) == (502, "bad_answer")

    run(body())


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged" * 2


def with_body(start: bytes) -> Handler:
    """An informational answer with a body, which holds answers; then the real one."""

    async def handler(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(FORGED), FORGED) if b"chunked" in start else FORGED
        writer.write(start + body + answer(b"real"))
        return True

    return handler


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 110 X\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
        b"HTTP/1.1 100 X\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
        b"HTTP/1.1 199 X\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
        b"HTTP/1.1 099 OK\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
        b"HTTP/1.1 600 OK\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
        b"HTTP/1.1 101 X\r\nContent-Length: %d\r\n\r\n" % len(FORGED),
    ],
)
@pytest.mark.parametrize("upgrade", [False, True])
def test_no_answer_is_split_into_several(run: Run, start: bytes, upgrade: bool) -> None:
    """One request, one answer: an informational answer has no body that could be read as more of them."""

    async def body() -> None:
        async with site(Replica(handlers={"/split": with_body(start)})) as here:
            offer = ["Connection: Upgrade", "Upgrade: shout"] if upgrade else []
            wire = await here.send(here.request("/split", *offer))
            got = await wire.answer()
            assert (got.status, got.code, got.complete) == (502, "bad_answer", True)
            if not upgrade:  # after an offer the connection serves no more
                await wire.send(here.request("/after", "Connection: close"))
                got = await wire.answer()
                assert (got.status, got.json()["target"]) == (200, "/after")
            assert await wire.closed()

    run(body())


async def talkative(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Says more than its answer: at once (``?now``), or when nobody asked any more."""
    writer.write(answer(b"fine"))
    if "now" not in seen.target:
        await replica.release.wait()
    writer.write(answer(b"smuggled"))
    return True


@pytest.mark.parametrize("when", ["now", "later"])
def test_what_a_replica_says_unasked_reaches_nobody(run: Run, when: str) -> None:
    """The connection is given up: the next call on it would get that as its answer."""

    async def body() -> None:
        async with site(Replica(handlers={"/talk": talkative})) as here:
            assert (await here.call(f"/talk?{when}")).body == b"fine"
            here.replicas[0].release.set()
            await until(lambda: here.front.pool(here.backends[0]).unused)
            assert (await here.call("/x")).json()["target"] == "/x"

    run(body())


@pytest.mark.parametrize("path", ["/half", "/half-chunked"])
def test_a_broken_answer_never_looks_complete(run: Run, path: str) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            got = await here.call(path)
            assert (got.status, got.body, got.complete) == (200, b"half", False)
            await here.still()
            assert here.meter.statuses() == [502]

    run(body())


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_reset_in_an_answer_until_close_is_passed_on(run: Run, version: str) -> None:
    """For an HTTP/1.0 caller, to whom a plain close would be the proper end, as a reset."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/until-reset").replace(b"1.1\r\nHost", version.encode() + b"\r\nHost"))
            answer = await wire.head()
            await asyncio.sleep(0.05)
            here.replicas[0].release.set()
            if version == "1.0":
                with pytest.raises(ConnectionResetError):
                    await within(wire.reader.read(-1))
            else:
                await wire.body(answer)
                assert not answer.complete

    run(body())


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_until_close_of_a_replica_that_turns_out_dead_is_broken(run: Run, version: str) -> None:
    """Its end looks like any other; the report that its replica died comes a moment later."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/until-close").replace(b"1.1\r\nHost", version.encode() + b"\r\nHost"))
            answer = await wire.head()
            backend = here.endpoint.backends[0]
            backend.serving, backend.lost = False, True
            assert backend.on_lost is not None
            backend.on_lost()
            if version == "1.0":
                with pytest.raises(ConnectionResetError):
                    await within(wire.reader.read(-1))
            else:
                await wire.body(answer)
                assert not answer.complete

    run(body())


def test_what_is_no_endpoint_goes_to_the_web_part(run: Run) -> None:
    """Over the Unix socket, with the token and all cookies, without a replica's name."""

    async def body() -> None:
        async with site(Replica()) as here:
            data = (
                "POST /api/v1/services?x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer jmc_x\r\n"
                "Cookie: _xsrf=1\r\nContent-Length: 2\r\n\r\n{}"
            )
            got = await (await here.send(data)).answer()
            assert got.json()["replica"] == "web"
            headers = dict(got.json()["headers"])
            assert headers["Authorization"] == "Bearer jmc_x"
            assert headers["Cookie"] == "_xsrf=1"
            assert headers["X-Forwarded-For"] == "127.0.0.1"
            assert "X-Forwarded-Prefix" not in headers
            assert got.one("X-Model-Service-Replica") is None
            for path in ("/", "/endpoints", "/endpoints/", "/endpoints/o", "/endpoints/o/", "/endpoints?o/n/"):
                got = await (await here.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).answer()
                assert got.json()["target"] == path
            assert here.meter.calls == []

    run(body())


def test_a_prefix_stands_before_everything(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), prefix="/services/ms/") as here:
            data = here.request("/x").replace(b"/endpoints", b"/services/ms/endpoints")
            got = await (await here.send(data)).answer()
            assert got.json()["target"] == "/x"
            assert dict(got.json()["headers"])["X-Forwarded-Prefix"] == "/services/ms/endpoints/o/n"
            got = await (await here.send(here.request("/x"))).answer()
            assert got.json()["replica"] == "web"

    run(body())


def test_a_request_offering_h2c_is_answered_as_it_is(run: Run) -> None:
    """curl --http2 and Java offer it on every request, POST with a body too; what follows is still in step."""

    async def body() -> None:
        async with site(Replica()) as here:
            offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
            wire = await here.wire()
            chunked = here.request("/2", *offer, "Transfer-Encoding: chunked", method="PUT")
            await wire.send(
                here.request("/1", *offer, method="POST", body=b"hello")
                + chunked + b"3\r\nabc\r\n0\r\n\r\n"
                + here.request("/3", *offer)
                + here.request("/4")
            )  # fmt: skip
            got: list[Answer] = [await wire.answer() for _ in range(4)]
            assert [a.json()["body"] for a in got] == ["hello", "abc", "", ""]
            assert [a.json()["target"] for a in got] == ["/1", "/2", "/3", "/4"]
            names = {name.lower() for a in got for name, _ in a.json()["headers"]}
            assert not names & {"upgrade", "http2-settings", "connection"}

    run(body())


def test_a_big_body_arrives_as_it_was_sent(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            big = bytes(range(256)) * 20_000
            got = await here.call("/x", method="POST", body=big)
            assert got.json()["body"] == hashlib.sha256(big).hexdigest()

    run(body())


async def leads(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(b"", f"Location: {seen.target.partition('?')[2]}", status="307 X"))
    return True


def test_a_model_leads_to_no_other_place_at_an_address_that_it_shares(run: Run) -> None:
    """A browser would go there with the visitor's cookies, a program with the token that it called with."""
    shared = FrontSettings(shared_origin=True, trusted_proxies=("127.0.0.1",))
    said = ("X-Forwarded-Prefix: /base/", "X-Forwarded-Host: lab.example")

    async def body() -> None:
        async with site(Replica(handlers={"/leads": leads}), settings=shared) as here:
            for to, told in [
                ("/hub/logout", "/base/endpoints/o/n/hub/logout"),
                ("/base/endpoints/o/n/x", "/base/endpoints/o/n/x"),
                ("/base/endpoints/o/n/../other/", "/base/endpoints/o/n/base/endpoints/o/other/"),
                ("https://lab.example/hub", "https://lab.example/base/endpoints/o/n/hub"),
                ("https://other.example/hub", "https://other.example/hub"),
                ("https:/hub", None),
            ]:
                for _ in range(2):  # the second head is known
                    got = await here.call(f"/leads?{to}", *said)
                    assert (got.status, got.one("Location")) == (307, told)
            got = await here.call("/leads?/hub")
            assert got.one("Location") == "/endpoints/o/n/hub", "each caller has its own address of it"
        async with site(Replica(handlers={"/leads": leads})) as here:
            assert (await here.call("/leads?/hub")).one("Location") == "/hub", "an address of its own"

    run(body())
