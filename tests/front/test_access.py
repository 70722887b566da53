"""Who may call: bearer tokens in the header only, decided before anything is sent to a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, OTHER, OWNER, SLOW, TOKEN, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("header", "readable"),
    [
        (None, False),
        ("Authorization: Bearer jms_bad", True),
        ("Authorization: Basic jms_good", False),
        ("Authorization: jms_good", False),
        ("Authorization: Bearer", False),
        (f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}", False),
        ("Authorization: Bearer jms_g\xffod", False),
        ("Authorization: Bearer " + "x" * 5000, False),
        (f"Cookie: token={TOKEN}", False),
    ],
)
def test_without_a_valid_token_nothing_is_sent(run: Run, header: str | None, readable: bool) -> None:
    """401, the same for a private endpoint and for one that does not exist; never a token from the query. Whoever sent
    a token is told that it is not good (any more), and not to send one."""

    async def body() -> None:
        async with site(Replica()) as here:
            headers = [header] if header else []
            got = await here.call("/x?token=jms_nobodys&access_token=jms_nobodys", *headers, token=None)
            assert (got.status, got.code, got.one("WWW-Authenticate")) == (401, "unauthenticated", "Bearer")
            data = here.request("/x?token=jms_nobodys", *headers, token=None).replace(b"/o/n/", b"/o/missing/")
            missing = await (await here.send(data)).answer()
            assert (missing.status, missing.body) == (401, got.body)
            at_v1 = await (await here.send(data.replace(b"/endpoints/o/missing/x", b"/v1/models"))).answer()
            told = "The token is unknown, has expired or was revoked" if readable else "A token is needed here"
            for answer in (got, at_v1):
                assert answer.json()["error"]["message"].startswith(told)
            assert here.replicas[0].connections == 0
            assert here.meter.refusals == [("o/n", "unauthenticated"), *[("/", "unauthenticated")] * 2]

    run(body())


def test_a_token_for_another_service_and_a_service_that_does_not_exist(run: Run) -> None:
    """The same 404 for who may not call it as for who might, were it there; the connection goes on."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", token=OTHER, method="POST", body=b"secret"))
            got = await wire.answer()
            assert (got.status, got.code) == (404, "not_found")
            await wire.send(here.request("/x", token=OTHER).replace(b"/o/n/", b"/o/missing/"))
            missing = await wire.answer()
            assert (missing.status, missing.code) == (404, "not_found")
            assert missing.body == got.body.replace(b"o/n", b"o/missing")
            await wire.send(here.request("/x").replace(b"/o/n/", b"/o/gone/"))
            got = await wire.answer()
            assert (got.status, got.code) == (404, "not_found")
            await wire.send(
                here.request("/x", token=None).replace(
                    b"\r\n\r\n", f"\r\nAuthorization: token {TOKEN}\r\n\r\n".encode()
                )
            )
            assert (await wire.answer()).status == 200
            assert here.replicas[0].paths() == ["/x"]

    run(body())


def test_a_public_endpoint_needs_no_token_and_passes_none_on(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), public=True) as here:
            got = await here.call("/x", token=None)
            assert got.status == 200
            got = await here.call("/x", token="jms_bad")
            assert got.status == 200
            assert "authorization" not in {name.lower() for name, _ in got.json()["headers"]}
            assert here.tokens.asked == []

    run(body())


def test_an_unknown_token_is_resolved_while_its_caller_waits(run: Run) -> None:
    """And a body that comes meanwhile is not lost."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            wire = await here.send(here.request("/x", token=SLOW, method="POST", body=b"b" * 200_000))
            await until(lambda: here.tokens.asked)
            assert here.replicas[0].connections == 0
            here.tokens.answer.set()
            assert (await wire.answer()).status == 200
            assert here.tokens.asked == [SLOW]

    run(body())


def test_an_identity_that_does_not_answer(run: Run) -> None:
    """503 after the time limit, or when it fails: never let through, never hanging."""

    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(identity_timeout=0.1)) as here:
            here.tokens.error = OSError("the hub is down")
            got = await here.call("/x", token=SLOW)
            assert (got.status, got.code) == (503, "identity_unavailable")
            assert got.one("Retry-After") == "1"
            here.tokens.answer = asyncio.Event()
            got = await here.call("/x", token=SLOW)
            assert (got.status, got.code) == (503, "identity_unavailable")
            assert here.replicas[0].connections == 0

    run(body())


def test_a_caller_who_leaves_while_the_token_is_resolved(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            wire = await here.send(here.request("/x", token=SLOW))
            await until(lambda: here.tokens.asked)
            wire.close()
            await here.still()
            here.tokens.answer.set()
            await asyncio.sleep(0.02)
            assert here.replicas[0].connections == 0

    run(body())


def test_a_service_removed_while_the_token_is_resolved(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            here.tokens.answer = asyncio.Event()
            wire = await here.send(here.request("/x", token=SLOW))
            await until(lambda: here.tokens.asked)
            here.routing.remove("o", "n")
            here.tokens.answer.set()
            assert (await wire.answer()).status == 404

    run(body())


def test_a_trusted_proxy_is_believed(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), settings=FrontSettings(trusted_proxies=("127.0.0.0/8",))) as here:
            got = await here.call(
                "/x",
                "X-Forwarded-For: 10.1.2.3",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: hub.example",
                "X-Forwarded-Prefix: /hub/",
            )
            headers = dict(got.json()["headers"])
            assert headers["X-Forwarded-For"] == "10.1.2.3, 127.0.0.1"
            assert headers["X-Forwarded-Proto"] == "https"
            assert headers["X-Forwarded-Host"] == "hub.example"
            assert headers["X-Forwarded-Prefix"] == "/hub/endpoints/o/n"

    run(body())


SAID = (
    "X-Forwarded-For: 10.1.2.3",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: hub.example",
    "X-Forwarded-Prefix: /user/ann/model-service",
)


@pytest.mark.parametrize("public", [False, True])
def test_what_a_forwarder_says_of_its_callers_is_believed_and_of_nobody_else(run: Run, public: bool) -> None:
    """The token tells who is one: the address is this machine's for every program on it."""

    async def body() -> None:
        async with site(Replica(), public=public) as here:
            got = await here.call("/x", *SAID, token=FORWARDER)
            headers = dict(got.json()["headers"])
            assert headers["X-Forwarded-For"] == "10.1.2.3, 127.0.0.1"
            assert headers["X-Forwarded-Proto"] == "https"
            assert headers["X-Forwarded-Host"] == "hub.example"
            assert headers["X-Forwarded-Prefix"] == "/user/ann/model-service/endpoints/o/n"
            for token in (TOKEN, OWNER, *([None, "nonsense"] if public else [])):
                headers = dict((await here.call("/x", *SAID, token=token)).json()["headers"])
                assert headers["X-Forwarded-For"] == "127.0.0.1"
                assert headers["X-Forwarded-Proto"] == "http"
                assert headers["X-Forwarded-Host"] == headers["Host"]
                assert headers["X-Forwarded-Prefix"] == "/endpoints/o/n"

    run(body())


def test_one_forwarded_call_makes_no_later_one_of_its_connection_believed(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", *SAID, token=FORWARDER))
            first = dict((await wire.answer()).json()["headers"])
            assert first["X-Forwarded-Host"] == "hub.example"
            await wire.send(here.request("/x", *SAID, token=TOKEN))
            second = dict((await wire.answer()).json()["headers"])
            assert second["X-Forwarded-Host"] == second["Host"]

    run(body())


def test_errors_to_head_have_no_body(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.send(here.request("/x", token=None, method="HEAD") + here.request("/y"))
            got = await wire.answer("HEAD")
            assert (got.status, got.one("X-Model-Service-Error")) == (401, "unauthenticated")
            assert (await wire.answer()).status == 200

    run(body())
