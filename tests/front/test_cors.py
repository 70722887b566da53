"""Pages of other origins: closed to all, whatever the model says, but to those that the service's owner lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from .site import OTHER, site
from .upstreams import Replica, Seen

Run = Callable[[Any], Any]
APP = "https://app.example.org"
EVIL = "https://evil.test"
ASK = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")


async def open_to_all(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """A model that lets every page in, with credentials."""
    lines = b"".join(
        b"%b: %b\r\n" % pair
        for pair in (
            (b"Access-Control-Allow-Origin", b"*"),
            (b"access-control-allow-credentials", b"true"),
            (b"ACCESS-CONTROL-ALLOW-METHODS", b"*"),
            (b"Access-Control-Allow-Headers", b"*"),
            (b"Access-Control-Expose-Headers", b"*"),
            (b"Access-Control-Max-Age", b"99999"),
            (b"Access-Control-Allow-Private-Network", b"true"),
        )
    )
    writer.write(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\n\r\nok")
    return True


def told(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers if name.lower().startswith("access-control")}


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("origins", [(), (APP,)])
def test_a_model_lets_no_page_in(run: Run, public: bool, origins: tuple[str, ...]) -> None:
    async def body() -> None:
        async with site(Replica(handlers={"/open": open_to_all})) as here:
            here.endpoint.publish(public)
            here.endpoint.origins = origins
            for method in ("GET", "OPTIONS"):
                got = await here.call("/open", f"Origin: {EVIL}", *ASK, method=method)
                assert (got.status, told(got)) == (200, {})

    run(body())


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_what_only_looks_like_a_question_is_a_call(run: Run, method: str) -> None:
    """It needs a token, and goes to the model."""

    async def body() -> None:
        async with site(Replica("r1")) as here:
            here.endpoint.origins = (APP,)
            got = await here.call("/x", f"Origin: {APP}", *ASK, method=method, token=None)
            assert got.status == 401
            got = await here.call("/x", f"Origin: {APP}", *ASK, method=method)
            assert (got.status, got.one("X-Model-Service-Replica")) == (200, "r1")

    run(body())


def test_a_page_of_the_list_asks_and_calls_with_a_token(run: Run) -> None:
    """Its question has no token, and is answered without the model; every answer says that the page may read it, also
    why it is refused."""

    async def body() -> None:
        async with site(Replica(handlers={"/open": open_to_all})) as here:
            here.endpoint.origins = (APP,)
            asked = await here.call("/x", f"Origin: {APP}", *ASK, method="OPTIONS", token=None)
            assert (asked.status, asked.one("Vary")) == (204, "Origin")
            assert told(asked) == {
                "access-control-allow-origin": APP,
                "access-control-allow-methods": "POST",
                "access-control-allow-headers": "authorization",
                "access-control-max-age": "600",
            }
            assert here.replicas[0].paths() == []
            got = await here.call("/open", f"Origin: {APP}", "Prefer: wait=5")
            assert (got.status, got.one("Vary"), told(got)["access-control-allow-origin"]) == (200, "Origin", APP)
            assert "access-control-allow-credentials" not in told(got)
            for token, status in ((None, 401), (OTHER, 404)):
                refused = await here.call("/x", f"Origin: {APP}", token=token)
                assert (refused.status, told(refused)["access-control-allow-origin"]) == (status, APP)

    run(body())


def test_a_page_that_is_not_on_the_list_learns_nothing(run: Run) -> None:
    """Its question is a call like any other: without a token it is refused, as where there is no such service, or none
    with a list. Whoever may call is told that another page would be answered otherwise."""

    async def body() -> None:
        async with site(Replica()) as here:
            here.endpoint.origins = (APP,)
            asked = await here.call("/x", f"Origin: {EVIL}", *ASK, method="OPTIONS", token=None)
            assert (asked.status, asked.one("Vary"), told(asked)) == (401, None, {})
            stranger = await here.call("/x", f"Origin: {EVIL}", token=OTHER)
            assert (stranger.status, stranger.one("Vary"), told(stranger)) == (404, None, {})
            let_in = await here.call("/x", f"Origin: {EVIL}")
            assert (let_in.status, let_in.one("Vary"), told(let_in)) == (200, "Origin", {})
            here.endpoint.origins = ()
            closed = await here.call("/x", f"Origin: {APP}", *ASK, method="OPTIONS", token=None)
            assert (closed.status, closed.one("Vary"), told(closed)) == (401, None, {})

    run(body())
