"""``v1/``, the address of all services: the body names the model, and the call goes on as one to its own address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, OTHER, OWNER, SLOW, TOKEN, Answer, Site, Wire, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]
BODY = b'{"messages": [{"role": "user", "content": "\\u00fc \\"model\\": {"}], "model": "o/n", "stream": false}'


def named(
    path: str = "v1/chat/completions",
    *headers: str,
    body: bytes = BODY,
    method: str = "POST",
    token: str | None = TOKEN,
    prefix: str = "/",
) -> bytes:
    lines = [f"{method} {prefix}{path} HTTP/1.1", "Host: front.test"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body and not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


async def call(here: Site, *args: Any, **options: Any) -> Answer:
    wire = await here.send(named(*args, **options))
    try:
        return await wire.answer(options.get("method", "POST"))
    finally:
        wire.close()


def refused(answer: Answer) -> tuple[int, str | None]:
    """Checked to have OpenAI's form."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "type", "param"}
    assert error["type"] in ("invalid_request_error", "authentication_error", "permission_error", "server_error")
    assert error["param"] == ("model" if error["code"].startswith("model_") else None)
    return answer.status, answer.code


def to_o_n(model: bytes = b"o/n") -> bytes:
    return BODY.replace(b"o/n", model)


def test_a_call_is_as_one_to_the_services_own_address(run: Run) -> None:
    """To the replica there is no difference, byte by byte; nor is there to the caller and to the figures."""

    async def body() -> None:
        async with site(Replica()) as here:
            path = "v1/chat%2Fcompletions?a=%20&b"
            lines = ("X-A: 1", "X-Request-Id: r-1", "Content-Type: application/json")
            got = await call(here, path, *lines, token=FORWARDER)
            direct = await (await here.send(named(f"endpoints/o/n/{path}", *lines, token=FORWARDER))).answer()
            first, second = here.replicas[0].seen
            assert first.raw_head == second.raw_head
            assert first.body == second.body == BODY
            assert f"POST /{path} HTTP/1.1\r\n".encode() in first.raw_head
            assert b"X-Forwarded-Prefix: /endpoints/o/n\r\n" in first.raw_head
            assert (got.status, got.headers, got.body) == (direct.status, direct.headers, direct.body)
            assert here.meter.calls == [("o/n", here.backends[0].revision, 200)] * 2
            assert here.endpoint.traffic.finished == 2

    run(body())


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_in_pieces(run: Run, size: int, chunked: bool) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            lines = ("Transfer-Encoding: chunked",) if chunked else ()
            head, _, sent = named("v1/x", *lines).partition(b"\r\n\r\n")
            wire = await here.send(head + b"\r\n\r\n")
            for start in range(0, len(sent), size):
                piece = sent[start : start + size]
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await asyncio.sleep(0)
            if chunked:
                await wire.send(b"0\r\n\r\n")
            got = await wire.answer()
            assert got.json()["body"].encode() == BODY
            await wire.send(named("v1/again"))
            assert (await wire.answer()).json()["target"] == "/v1/again"
            assert here.front.web.backend.started == 0

    run(body())


def test_calls_one_after_another_and_pipelined_ones(run: Run) -> None:
    """Each goes where its own body says, its answer in its turn; a refused one does not end the connection."""

    async def body() -> None:
        async with site(Replica("one")) as here:
            second = await Replica("two").start()
            here.routing.put(Endpoint("o", "other", True, Serving(), [second.backend()]))
            try:
                wire = await here.send(
                    named("v1/a")
                    + named("v1/b", body=to_o_n(b"o/other"))
                    + named("v1/c", body=to_o_n(b"o/none"))
                    + here.request("/d")
                    + named("v1/models", method="GET", body=b"")
                    + named("v1/e", body=to_o_n(b"n"))
                )
                said = [await wire.answer() for _ in range(6)]
                assert [each.status for each in said] == [200, 200, 404, 200, 200, 200]
                assert [each.json()["replica"] for each in (said[0], said[1], said[3], said[5])] == [
                    "one", "two", "one", "one",
                ]  # fmt: skip
                assert refused(said[2]) == (404, "model_not_found")
                assert [each["id"] for each in said[4].json()["data"]] == ["o/n", "o/other"]
            finally:
                await second.stop()

    run(body())


def test_the_rest_of_a_body_is_not_waited_for(run: Run) -> None:
    """A name at its beginning sends the call on; the rest streams, and may be as long as it likes."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(named_within=1000)) as here:
            start = b'{"model": "o/n", "image": "'
            rest = b"x" * (3 << 20) + b'"}'
            head = named("swallow", body=b"").replace(b"POST /swallow", b"POST /v1/swallow")
            head = head.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % (len(start) + len(rest)))
            here.replicas[0].handlers["/v1/swallow"] = here.replicas[0].handlers["/swallow"]
            here.replicas[0].release.set()
            wire = await here.send(head + start)
            await until(lambda: here.replicas[0].seen, "the call on its replica")
            await wire.send(rest)
            assert (await wire.answer()).body == b"%d" % (len(start) + len(rest))

    run(body())


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("size", [1 << 20, 100])
def test_how_far_a_name_may_be(run: Run, extra: int, size: int) -> None:
    """Where it ends in the last byte that is looked at it is found, and one byte later it is not."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(named_within=3000)) as here:
            tail = b'","model":"n"'
            start = b'{"a":"'
            sent = start + b"x" * (3000 - len(start) - len(tail) + extra) + tail + b"}"
            data = named("v1/audio/speech", body=sent)
            wire = await here.wire()
            for at in range(0, len(data), size):
                await wire.send(data[at : at + size])
                await asyncio.sleep(0)
            got = await wire.answer()
            if extra:
                assert refused(got) == (413, "model_not_in_reach")
                assert "…/endpoints/OWNER/NAME/v1/audio/speech" in got.json()["error"]["message"]
                assert here.replicas[0].connections == 0
            else:
                assert got.json()["body"].encode() == sent

    run(body())


def test_a_body_that_never_names_one_is_not_read_to_its_end(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            head = named("v1/x", "Transfer-Encoding: chunked", body=b"")
            wire = await here.send(head + b"100000\r\n" + (b'{"a":"' + b"x" * (1 << 20))[: 1 << 20] + b"\r\n")
            await asyncio.sleep(0.05)
            assert len(here.front.calls) == 1, "1 MiB is within reach"
            await wire.send(b"2\r\nxx\r\n")
            assert refused(await wire.answer()) == (413, "model_not_in_reach")
            assert await wire.closed()

    run(body())


def test_the_services_own_replay_limit_holds_then(run: Run) -> None:
    """A call whose replica dies is sent once more, if its body is within the limit of its service."""

    async def body() -> None:
        for limit, statuses in ((1 << 20, 200), (10, 502)):
            async with site(Replica("a"), Replica("b"), serving=Serving(replay_limit=limit)) as here:
                for replica in here.replicas:
                    replica.handlers["/v1/drop"] = replica.handlers["/drop"]
                here.replicas[1].handlers["/v1/drop"] = here.replicas[1].handlers["*"]
                here.backends[1].started = 5
                got = await call(here, "v1/drop")
                assert got.status == statuses
                if statuses == 200:
                    assert got.json()["body"].encode() == BODY
                    assert here.meter.retries == ["died"]
                else:
                    assert refused(got) == (502, "replica_died")

    run(body())


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "jms_bad", "x" * 5000])
@pytest.mark.parametrize("path", ["v1/x", "v1/models", "v1/models/o/n", "v1/files"])
def test_without_a_valid_token_nothing_is_read_or_told(run: Run, token: str | None, path: str) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            look = path != "v1/x"
            head = named(path, body=b"", method="GET" if look else "POST", token=token)
            if not look:
                head = head.replace(b"\r\n\r\n", b"\r\nContent-Length: 90\r\nExpect: 100-continue\r\n\r\n")
            wire = await here.send(head)
            got = await wire.head()  # no "100 Continue" before it
            await wire.body(got)
            assert refused(got) == (401, "unauthenticated")
            assert got.one("WWW-Authenticate") == "Bearer"
            assert here.meter.refusals == [("/", "unauthenticated")]
            assert here.replicas[0].connections == 0

    run(body())


def test_a_body_is_asked_for_when_its_caller_is_known(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            for token in (TOKEN, SLOW):
                wire = await here.send(
                    named("v1/x", "Expect: 100-continue", f"Content-Length: {len(BODY)}", body=b"", token=token)
                )
                if token == SLOW:
                    await until(lambda: here.tokens.asked)
                    assert not here.front.connections or wire.reader._buffer == b""  # type: ignore[attr-defined]
                    here.tokens.answer.set()
                assert (await wire.head()).status == 100
                assert here.replicas[0].seen == [] or token == SLOW
                await wire.send(BODY)
                got = await wire.head()
                await wire.body(got)
                assert got.status == 200, "and no second 100"
                assert got.json()["body"].encode() == BODY

    run(body())


def test_a_large_body_that_comes_while_its_caller_is_asked_for(run: Run) -> None:
    """It is held back until then, and read after it."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            sent = b'{"a":"' + b"x" * 900_000 + b'","model":"o/n"}'
            wire = await here.wire()
            sending = asyncio.ensure_future(wire.send(named("v1/x", body=sent, token=SLOW)))
            await until(lambda: any(not each.body_allowed for each in here.front.connections), "held back")
            here.tokens.answer.set()
            await sending
            assert (await wire.answer()).status == 200
            assert here.tokens.asked == [SLOW, SLOW], "and again when its model is known"

    run(body())


def test_a_token_that_ends_while_a_body_names_its_model_lets_nobody_in(run: Run) -> None:
    """A body takes a minute, if its sender likes."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            sent = named("v1/x", body=b'{"model":"o/n"}', token=TOKEN)
            await wire.send(sent[:-5])
            await until(lambda: any(call.named is not None and call.named.reading for call in here.front.calls))
            here.tokens.ended.add(TOKEN)
            await wire.send(sent[-5:])
            assert (await wire.answer()).status == 401
            assert not here.replicas[0].seen

    run(body())


def test_an_identity_that_does_not_answer(run: Run) -> None:
    """503, but for a public service."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(identity_timeout=0.1)) as here:
            here.tokens.error = OSError("the hub is down")
            assert refused(await call(here, token=SLOW)) == (503, "identity_unavailable")
            here.endpoint.publish(True)
            assert (await call(here, token=SLOW)).status == 200
            assert refused(await call(here, token=SLOW, body=to_o_n(b"o/private"))) == (503, "identity_unavailable")

    run(body())


def test_a_service_that_one_may_not_use_is_as_one_that_is_not_there(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            answers = [
                (await call(here, token=OTHER, body=to_o_n(model))).body.replace(b"model %b," % model, b"model M,")
                for model in (b"o/n", b"n", b"o/nothing", b"nothing")
            ]
            assert len(set(answers)) == 1
            for path in ("v1/models/o/n", "v1/models/o%2Fn", "v1/models/n", "v1/models/no"):
                assert refused(await call(here, path, method="GET", body=b"", token=OTHER)) == (404, "model_not_found")
            assert (await call(here, "v1/models", method="GET", body=b"", token=OTHER)).json()["data"] == []
            assert here.replicas[0].connections == 0

    run(body())


def test_public_services_need_no_token(run: Run) -> None:
    """Nor a good one, as clients of OpenAI's always send something; private ones beside them stay unseen."""

    async def body() -> None:
        async with site(Replica(), public=True) as here:
            here.routing.put(Endpoint("o", "private", False, Serving(), []))
            for token in (None, "none", OTHER):
                for model in (b"o/n", b"n"):
                    assert (await call(here, token=token, body=to_o_n(model))).status == 200
                listed = await call(here, "v1/models", method="GET", body=b"", token=token)
                assert [each["id"] for each in listed.json()["data"]] == ["o/n"]
                got = await call(here, token=token, body=to_o_n(b"o/private"))
                assert refused(got) == ((401, "unauthenticated") if token != OTHER else (404, "model_not_found"))
            assert not any(
                name.lower() == "authorization" for seen in here.replicas[0].seen for name, _ in seen.headers
            )

    run(body())


def test_what_a_forwarder_says_is_believed(run: Run) -> None:
    """Of a private service, and of a public one."""

    async def body() -> None:
        async with site(Replica()) as here:
            for public in (False, True):
                here.endpoint.publish(public)
                await call(here, "v1/x", "X-Forwarded-Prefix: /user/o/model-service", token=FORWARDER)
                await call(here, "v1/x", "X-Forwarded-Prefix: /user/o/model-service", token=OWNER)
            prefixes = [seen.one("X-Forwarded-Prefix") for seen in here.replicas[0].seen]
            assert prefixes == ["/user/o/model-service/endpoints/o/n", "/endpoints/o/n"] * 2

    run(body())


def test_below_a_prefix(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), prefix="/services/models/") as here:
            got = await call(here, "v1/x?y", prefix="/services/models/")
            assert got.json()["target"] == "/v1/x?y"
            assert dict(got.json()["headers"])["X-Forwarded-Prefix"] == "/services/models/endpoints/o/n"
            listed = await call(here, "v1/models", method="GET", body=b"", prefix="/services/models/")
            assert len(listed.json()["data"]) == 1
            await call(here, "v1/x")
            await call(here, "v1", prefix="/services/models/")
            assert here.web.paths() == ["/v1/x", "/services/models/v1"], "anything else is the control API's"

    run(body())


# --- what there is --------------------------------------------------------------------------------------------------


def test_the_list_of_models(run: Run) -> None:
    """By owner and name, with what OpenAI's has of each, and one of them by its id or its name."""

    async def body() -> None:
        async with site(Replica()) as here:
            for owner, name, public in (
                ("o", "b", False),
                ("p", "mine", False),
                ("a", "open", True),
                ("o", "a", False),
            ):
                here.routing.put(Endpoint(owner, name, public, Serving(), [], created_at=1700000000.9))
            wire = await here.send(named("v1/models?limit=5", method="GET", body=b"", token=OWNER))
            got = await wire.answer()
            listed = got.json()
            assert listed["object"] == "list"
            assert [each["id"] for each in listed["data"]] == ["a/open", "o/a", "o/b", "o/n"]
            want = {"id": "o/a", "object": "model", "created": 1700000000, "owned_by": "o"}
            assert listed["data"][1] == want
            assert (got.one("Content-Type"), got.one("Cache-Control")) == ("application/json", "no-store")
            for path in ("models/o/a", "models/o%2Fa", "models/a", "models/%61?x"):
                await wire.send(named(f"v1/{path}", method="GET", body=b"", token=OWNER))
                assert (await wire.answer()).json() == want, path
            for path in ("models", "models/a"):
                await wire.send(named(f"v1/{path}", method="HEAD", body=b"", token=OWNER))
                head = await wire.head()
                assert (head.status, int(head.one("Content-Length") or 0) > 50) == (200, True)
            assert here.front.web.backend.started == 0

    run(body())


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "POST"])
@pytest.mark.parametrize(("token", "place"), [(OTHER, "o/other"), (TOKEN, "OWNER/NAME"), (OWNER, "OWNER/NAME")])
def test_what_has_no_body_is_told_the_services_own_address(run: Run, method: str, token: str, place: str) -> None:
    """Which one that is, where the token is for one alone."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(named("v1/responses/r-1?x=1", method=method, body=b"", token=token))
            got = await wire.answer(method)
            if method == "HEAD":
                assert (got.status, got.one("X-Model-Service-Error")) == (404, "not_by_name")
            else:
                assert refused(got) == (404, "not_by_name")
                assert f"…/endpoints/{place}/v1/responses/r-1." in got.json()["error"]["message"]
            await wire.send(named())
            assert (await wire.answer()).status == 200

    run(body())


def test_options(run: Run) -> None:
    """Which methods there are; a page of another origin is not let in, as there is no model to ask."""

    async def body() -> None:
        async with site(Replica()) as here:
            lines = ("Origin: http://page.test", "Access-Control-Request-Method: POST")
            for path, allowed in (("v1/models", "OPTIONS, GET, HEAD"), ("v1/x", "OPTIONS, POST, PUT, PATCH, DELETE")):
                wire = await here.send(named(path, *lines, method="OPTIONS", body=b""))
                got = await wire.answer("OPTIONS")
                assert (got.status, got.one("Allow"), got.one("Content-Length")) == (204, allowed, None)
                assert not [name for name, _ in got.headers if name.lower().startswith("access-control")]
                await wire.send(named(path, *lines, method="OPTIONS", body=b"", token=None))
                assert (await wire.answer("OPTIONS")).status == 401

    run(body())


# --- bodies that name nothing -----------------------------------------------------------------------------------------

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nn\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("sent", "line", "want"),
    [
        (b"[1]", "X: y", (400, "model_missing")),
        (b"hello", "Content-Type: text/plain", (400, "model_missing")),
        (b'{"a": 1}', "X: y", (400, "model_missing")),
        (b'{"model": 1}', "X: y", (400, "model_missing")),
        (b'{"model": "', "X: y", (400, "model_missing")),
        (b'{"model": ""}', "X: y", (400, "model_missing")),
        (
            FORM.replace(b"\r\nn\r\n", b"\r\n\r\n"),
            "Content-Type: multipart/form-data; boundary=b",
            (400, "model_missing"),
        ),
        (b'{"model": "%b"}' % (b"x" * 2000), "X: y", (404, "model_not_found")),
        (b'{"model": "o/\\ud800"}', "X: y", (404, "model_not_found")),
        (b'{"model": "o/n/"}', "X: y", (404, "model_not_found")),
        (BODY, "Content-Encoding: gzip", (415, "model_unreadable")),
        (FORM.replace(b'"model"', b'"x"'), "Content-Type: multipart/form-data; boundary=b", (400, "model_missing")),
        (FORM, "Content-Type: multipart/form-data", (400, "model_missing")),
    ],
)
def test_bodies_that_name_no_model(run: Run, sent: bytes, line: str, want: tuple[int, str]) -> None:
    """A clean refusal each, after which the connection serves the next call."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(named("v1/x", line, body=sent))
            got = await wire.answer()
            assert refused(got) == want
            assert len(got.body) < 500
            await wire.send(named())
            assert (await wire.answer()).status == 200
            assert here.meter.refusals == [("/", want[1])]

    run(body())


def test_a_form_names_its_model_too(run: Run) -> None:
    """As a recording is sent to be transcribed."""

    async def body() -> None:
        async with site(Replica()) as here:
            got = await call(
                here, "v1/audio/transcriptions", "Content-Type: multipart/form-data; boundary=b", body=FORM
            )
            assert got.json()["body"].encode("latin-1") == FORM

    run(body())


# --- names ------------------------------------------------------------------------------------------------------------


def test_an_ambiguous_name_is_asked_about(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.routing.put(Endpoint("p", "n", True, Serving(), []))
            assert (await call(here, body=to_o_n(b"n"))).status == 200, "a stranger's public one is never meant"
            here.front.callers.known = lambda token: Caller("all", manages_all=True)
            assert refused(await call(here, body=to_o_n(b"n"))) == (400, "model_ambiguous")
            assert (await call(here, body=to_o_n(b"o/n"))).status == 200

    run(body())


# --- time, and callers who leave ----------------------------------------------------------------------------------------


def test_a_body_that_stands_still_has_a_limit(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(body_timeout=0.3)) as here:
            wire = await here.send(named()[:-40])
            for _ in range(8):  # longer than the limit, but something comes
                await asyncio.sleep(0.1)
                await wire.send(b" ")
            assert len(here.front.calls) == 1
            assert refused(await wire.answer()) == (408, "body_timeout")
            assert await wire.closed()
            assert here.replicas[0].connections == 0

    run(body())


def test_a_model_has_to_be_named_within_a_time(run: Run) -> None:
    """Also where something comes all the time."""

    async def body() -> None:
        settings = FrontSettings(naming_timeout=0.5, body_timeout=0.4, tick=0.05)
        async with site(Replica(), settings=settings) as here:
            wire = await here.send(named()[:-40])
            answer = asyncio.ensure_future(wire.answer())
            while not answer.done():
                await wire.send(b" ")
                await asyncio.sleep(0.05)
            assert refused(await answer) == (408, "model_timeout")
            assert here.replicas[0].connections == 0

    run(body())


def long(size: int, token: str | None = TOKEN) -> bytes:
    """A call whose model is not named in its first ``size`` bytes, which is all that is sent of it."""
    start = b'{"a":"'
    head = named("v1/x", f"Content-Length: {size + 1000}", body=b"", token=token)
    return head + start + b"x" * (size - len(start))


def test_bodies_that_name_no_model_yet_share_a_room(run: Run) -> None:
    """Who has sent most gives way to others; what names its model at once, or is over, takes nothing of it."""

    async def body() -> None:
        async with site(Replica(), public=True, settings=FrontSettings(naming_room=100_000)) as here:
            room = here.front.naming
            much = [await here.send(long(40_000)) for _ in range(2)]
            await until(lambda: room.taken == 80_000)
            other = await here.send(long(30_000, token=OTHER))
            got = await asyncio.wait(
                {asyncio.ensure_future(wire.answer()) for wire in much}, return_when="FIRST_COMPLETED"
            )
            (refusal,) = (task.result() for task in got[0])
            assert refused(refusal) == (503, "overloaded")
            assert refusal.one("Retry-After") == "5"
            assert room.taken == 70_000
            assert (await call(here)).status == 200
            huge = b'{"model": "n", "a": "%b"}' % (b"x" * 200_000)
            assert (await call(here, body=huge)).status == 200
            assert room.taken == 70_000
            await other.send(b'","model":"o/n"}'.ljust(1000))
            assert (await other.answer()).status == 200
            await until(lambda: room.taken == 40_000)
            for task in got[1]:
                task.cancel()
            for wire in much:
                wire.close()
            await until(lambda: room.taken == 0)

    run(body())


def test_one_body_for_which_there_is_no_room(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(naming_room=10_000)) as here:
            assert refused(await (await here.send(long(20_000))).answer()) == (503, "overloaded")
            assert here.front.naming.taken == 0
            assert (await call(here)).status == 200

    run(body())


@pytest.mark.parametrize("state", ["reading", "asking"])
def test_a_caller_who_leaves_before_it_is_known_what_for(run: Run, state: str) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            wire = await here.send(named(token=SLOW if state == "asking" else TOKEN)[:-40])
            await until(lambda: here.front.calls)
            wire.close()
            await here.still()
            assert here.replicas[0].connections == 0
            assert here.meter.calls == []

    run(body())


def test_who_calls_is_known_too_late(run: Run) -> None:
    """Nothing goes on: a task that was done waiting is not ended by its cancellation (Python before 3.12)."""

    async def body() -> None:
        async with site(Replica()) as here:
            for turns in range(8):
                here.tokens.answer = asyncio.Event()
                wire = await here.send(named("v1/models", method="GET", body=b"", token=SLOW))
                await until(lambda n=turns: len(here.tokens.asked) > n)  # type: ignore[misc]
                [call] = here.front.calls
                here.tokens.answer.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                in_time = call.done
                call.shut()
                assert (await wire.answer()).status == (200 if in_time else 503)
                wire.close()
                await until(lambda w=wire: w.writer.transport.is_closing() and not here.front._tasks)  # type: ignore[misc]
                assert bool(call.known_as) is in_time
            assert in_time, "the last one"

    run(body())


def test_a_malformed_chunk_and_the_end_of_the_gateway(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(named("v1/x", "Transfer-Encoding: chunked", body=b"") + b'5\r\n{"a":\r\n')
            await until(lambda: here.front.calls)
            await wire.send(b"zz\r\n")
            assert refused(await wire.answer()) == (400, "bad_request")
            wire = await here.send(named()[:-40])
            await until(lambda: here.front.calls)
            stopping = asyncio.ensure_future(here.front.stop(0.0))
            assert refused(await wire.answer()) == (503, "shutting_down")
            await stopping

    run(body())


def test_refusals_of_the_service_have_openais_form_too(run: Run) -> None:
    async def body() -> None:
        async with site(serving=Serving(queue=0)) as here:
            got = await call(here)
            assert refused(got) == (503, "no_replica")
            assert got.one("Retry-After") == "5"
            got = await here.call()
            assert set(got.json()["error"]) == {"code", "message"}, "others as ever"
            assert here.meter.refusals == [("o/n", "no_replica")] * 2

    run(body())


def test_a_thousand_services_are_listed_at_once(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            for number in range(1000):
                here.routing.put(Endpoint("o", f"s{number}", False, Serving(), []))
            got = await call(here, "v1/models", method="GET", body=b"", token=OWNER)
            ids = [each["id"] for each in json.loads(got.body)["data"]]
            assert len(ids) == 1001
            assert ids == sorted(ids)
            for number in range(1000):
                here.routing.remove("o", f"s{number}")
            assert refused(await call(here, token=OWNER, body=to_o_n(b"s5"))) == (404, "model_not_found")
            assert here.routing.called("s5") == []

    run(body())


def test_a_wire_is_a_wire(run: Run) -> None:
    """HTTP/1.0 callers, and those who ask for the connection's end."""

    async def body() -> None:
        async with site(Replica()) as here:
            for data in (named().replace(b"HTTP/1.1", b"HTTP/1.0"), named("v1/x", "Connection: close")):
                wire: Wire = await here.send(data)
                assert (await wire.answer()).status == 200
                assert await wire.closed()

    run(body())
