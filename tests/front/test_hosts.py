"""A host of its own for each service: what is at it, for whom, and what its model may say there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.front.server import FrontSettings

from .site import OTHER, TOKEN, Answer, Site, site
from .upstreams import Replica, Seen

Run = Callable[[Any], Any]
HOSTS = Hosts("https://*.models.example.org")
OWN = "n--o.models.example.org"
SAID = (
    "Set-Cookie: mine=1; Path=/", "Set-Cookie: theirs=1; Domain=models.example.org",
    "Set-Cookie: __Host-model-service-visit=forged; Path=/; Secure", "Set-Cookie: jupyterhub-session-id=1",
    "Service-Worker-Allowed: /", "Clear-Site-Data: *", "Strict-Transport-Security: max-age=1",
    "Access-Control-Allow-Origin: *", "Location: /hub/logout", "Link: </a>; rel=preload",
)  # fmt: skip


async def _says(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    lines = ["HTTP/1.1 302 Found", "Content-Length: 0", *SAID, "", ""]
    hints = ["HTTP/1.1 103 Early Hints", *SAID[1:3], "Link: </a>; rel=preload", "", ""]
    writer.write("\r\n".join([*hints, *lines]).encode())
    return True


async def at(here: Site, host: str, path: str = "/echo", *headers: str, token: str | None = TOKEN) -> Answer:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    wire = await here.send("\r\n".join([*lines, "", ""]))
    try:
        return await wire.answer()
    finally:
        wire.close()


def test_a_host_is_its_service_from_the_root_on(run: Run) -> None:
    """Every byte of the target, also what looks like our own addresses; and no prefix is told."""

    async def body() -> None:
        async with site(Replica(), hosts=HOSTS) as here:
            for path in ("/", "/a/../b?x=%2F", "/endpoints/o/n/", "/v1/models", "/api/v1/services", "/health/ready"):
                assert (await at(here, OWN, path)).status in (200, 404)
                seen = here.replicas[0].seen[-1]
                assert (seen.target, seen.one("X-Forwarded-Prefix"), seen.one("Authorization")) == (path, None, None)
                assert seen.one("X-Forwarded-Host") == OWN
            assert not here.web.seen
            assert (await here.call("/x")).status in (200, 404)  # the address by path goes on
            assert here.replicas[0].seen[-1].one("X-Forwarded-Prefix") == "/endpoints/o/n"

    run(body())


@pytest.mark.parametrize("host", ["none--o.models.example.org", f"{OWN}.", f"x.{OWN}", ".models.example.org"])
def test_a_host_of_no_service_is_like_that_of_one_that_is_not_the_callers(run: Run, host: str) -> None:
    """Byte for byte, with and without a token; and nothing of the gateway itself is there."""

    async def body() -> None:
        async with site(Replica(), hosts=HOSTS) as here:
            for path in ("/", "/api/v1/services", "/health/ready", "/v1/models", "/endpoints/o/n/x", "*"):
                for token, status in ((OTHER, 404), (None, 401), ("bad", 401)):
                    nowhere = await at(here, host, path.replace("*", "/"), token=token)
                    theirs = await at(here, OWN, path.replace("*", "/"), token=token)
                    assert (nowhere.status, nowhere.body) == (theirs.status, theirs.body)
                    assert nowhere.status == status
            assert (await at(here, host, token=TOKEN)).status == 404
            assert not here.web.seen
            assert not here.replicas[0].seen

    run(body())


def test_what_is_about_a_server_as_a_whole_is_no_models(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), hosts=HOSTS) as here:
            wire = await here.send(f"OPTIONS * HTTP/1.1\r\nHost: {OWN}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
            assert (await wire.answer()).status == 404
            assert not here.replicas[0].seen

    run(body())


@pytest.mark.parametrize("shared", [True, False], ids=["hub", "own"])
def test_what_a_model_says_there_holds_for_its_host_alone(run: Run, shared: bool) -> None:
    """Its pages are sandboxed no more there, and at the address by path as before."""

    async def body() -> None:
        settings = FrontSettings(shared_origin=shared)
        async with site(Replica(handlers={"/says": _says}), settings=settings, hosts=HOSTS) as here:
            wire = await here.send(f"GET /says HTTP/1.1\r\nHost: {OWN}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
            hints, got = await wire.head(), await wire.answer()
            assert (hints.status, hints.all("Set-Cookie"), hints.all("Link")) == (103, [], ["</a>; rel=preload"])
            assert got.all("Set-Cookie") == ["mine=1; Path=/"]
            assert (got.one("Service-Worker-Allowed"), got.one("Location")) == ("/", "/hub/logout")
            for name in ("Clear-Site-Data", "Strict-Transport-Security", "Access-Control-Allow-Origin"):
                assert got.one(name) is None, name
            assert got.one("Content-Security-Policy") is None
            if shared:
                by_path = await here.call("/says")
                assert by_path.all("Set-Cookie") == []
                assert "sandbox" in str(by_path.one("Content-Security-Policy"))
                assert by_path.one("Location") == "/endpoints/o/n/hub/logout"

    run(body())


def test_cookies_that_are_ours_or_the_hubs_reach_no_model_there(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), hosts=HOSTS) as here:
            cookies = "a=1; __Host-model-service-visit=s; model-service-page=p; jupyterhub-user-x=y; _xsrf=2; b=3"
            assert (await at(here, OWN, "/", f"Cookie: {cookies}")).status in (200, 404)
            assert here.replicas[0].seen[-1].one("Cookie") == "a=1; b=3"

    run(body())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_proxy_that_is_believed_may_say_which_host_was_called(run: Run, trusted: bool) -> None:
    """Anybody else may say what she likes."""

    async def body() -> None:
        settings = FrontSettings(trusted_proxies=("127.0.0.1",) if trusted else ())
        async with site(Replica(), settings=settings, hosts=HOSTS) as here:
            await at(here, "10.0.0.1:8910", "/health/x", f"X-Forwarded-Host: {OWN}")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == ((1, 0) if trusted else (0, 1))
            await at(here, OWN, "/health/x", "X-Forwarded-Host: hub.example.org")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == (1, 1)
            # Neither is remembered of the host that the call itself was for.
            await at(here, OWN, "/health/x")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == (2, 1)
            await at(here, "10.0.0.1:8910", "/health/x")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == (2, 2)
            await at(here, "10.0.0.1:8910", "/health/x", f"X-Forwarded-Host: {OWN}")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == ((3, 2) if trusted else (2, 3))

    run(body())


def test_behind_two_proxies_the_host_is_the_first_that_one_of_them_saw(run: Run) -> None:
    """Each adds the host by which it was called itself."""

    async def body() -> None:
        settings = FrontSettings(trusted_proxies=("127.0.0.1",))
        async with site(Replica(), settings=settings, hosts=HOSTS) as here:
            for number, said in enumerate((f"{OWN}, inner.local", f"{OWN} ,10.0.0.2:8000")):
                await at(here, "10.0.0.1:8910", "/health/x", f"X-Forwarded-Host: {said}")
                assert (len(here.replicas[0].seen), len(here.web.seen)) == (number + 1, 0)
            await at(here, "10.0.0.1:8910", "/health/x", f"X-Forwarded-Host: hub.example.org, {OWN}")
            assert (len(here.replicas[0].seen), len(here.web.seen)) == (2, 1)

    run(body())


def test_without_hosts_of_their_own_a_host_says_nothing(run: Run) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            assert (await at(here, OWN, "/health/x")).status in (200, 404)
            assert len(here.web.seen) == 1
            assert not here.replicas[0].seen

    run(body())


def test_a_token_in_an_address_there_is_refused_as_elsewhere(run: Run) -> None:
    async def body() -> None:
        async with site(Replica(), hosts=HOSTS) as here:
            for token in (TOKEN, None):
                assert (await at(here, OWN, f"/x?token={TOKEN}", token=token)).status == 400
            assert not here.replicas[0].seen
            await at(here, OWN, "/x?token=of-the-models-own")
            assert len(here.replicas[0].seen) == 1

    run(body())


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"])
def test_at_a_name_of_its_own_a_page_reads_nothing_of_this_machine(run: Run, host: str) -> None:
    """Whoever owns a name makes it lead here; a page there can send whatever it likes, but no token that is good."""

    async def body() -> None:
        settings = FrontSettings(of_this_machine=True)
        async with site(Replica(), hosts=HOSTS, settings=settings) as here:
            here.endpoint.publish(True)
            for path in ("/endpoints/o/n/x", "/v1/models"):
                for more in ((), ("Authorization: Bearer wrong",), ("X-Forwarded-Host: localhost",)):
                    got = await at(here, host, path, *more, token=None)
                    assert got.status in (401, 403), (path, more)
                    assert "o/n" not in got.body.decode()
                assert (await at(here, host, path)).status == 200, "a token is no page's"
                for own in ("127.0.0.1:8000", "LOCALHOST", "[::1]:8000", "a.localhost:1"):
                    assert (await at(here, own, path, token=None)).status == 200, own

    run(body())
