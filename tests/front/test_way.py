"""What is said of the way that a call and its answer took: ``Via``, ``X-Request-Id``, and the traces of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.front.server import FrontSettings

from .site import FORWARDER, OWNER, TOKEN, Answer, Site, site
from .upstreams import Handler, Replica, Seen, answer

Run = Callable[[Any], Any]
BELIEVED = FrontSettings(trusted_proxies=("127.0.0.0/8",))


def told(got: Answer, name: str) -> list[str]:
    """What the replica was told, each line."""
    return [value for key, value in got.json()["headers"] if key.lower() == name.lower()]


async def both(here: Site, *headers: str, token: str | None = TOKEN) -> tuple[Answer, list[str]]:
    got = await here.call("/x", *headers, token=token)
    assert got.status == 200
    return got, told(got, "Via")


def test_the_gateway_names_itself_to_the_replica_and_to_the_caller(run: Run) -> None:
    """RFC 9110 §7.6.3: with the version in which each got it; two gateways have two names."""

    async def body() -> None:
        async with site(Replica()) as here, site(Replica()) as there:
            got, via = await both(here)
            us = here.front.via.decode()
            assert via == got.all("Via") == [f"1.1 {us}"]
            old = await here.send(here.request("/x").replace(b"HTTP/1.1", b"HTTP/1.0"))
            got = await old.answer()
            assert (told(got, "Via"), got.all("Via")) == ([f"1.0 {us}"], [f"1.1 {us}"])
            assert there.front.via != here.front.via
            # Our own word came no way.
            assert (await here.call("/x", token=None)).all("Via") == []
            web = await (await here.send("GET /api HTTP/1.1\r\nHost: h\r\nVia: 1.1 a\r\n\r\n")).answer()
            assert (told(web, "Via"), web.all("Via")) == ([], [])

    run(body())


async def behind_others(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(b"x", "via: 1.0 fred", "Via: 1.1 nowhere.test (Apache/1.1)"))
    return True


async def of_old(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"))
    return False


def test_the_chain_of_an_answer_goes_on(run: Run) -> None:
    """Ours after those that were there, and with the version that the replica spoke."""

    async def body() -> None:
        async with site(Replica(handlers={"/chain": behind_others, "/old": of_old})) as here:
            us = here.front.via.decode()
            got = await here.call("/chain")
            assert got.all("Via") == ["1.0 fred", "1.1 nowhere.test (Apache/1.1)", f"1.1 {us}"]
            assert (await here.call("/old")).all("Via") == [f"1.0 {us}"]

    run(body())


def test_a_callers_chain_is_kept(run: Run) -> None:
    """Of anybody: it is no matter of belief, and a loop is seen by it. No Connection takes it away: a call that goes in
    a circle would not be seen."""
    chain = ("Via: 1.0 fred, 1.1 p.test:80 (a, b)", "via: HTTP/2.0 q", "Via:")

    async def body() -> None:
        for settings in (BELIEVED, None):
            async with site(Replica(), settings=settings) as here:
                us = here.front.via.decode()
                for more in ((), ("Connection: Via",)):
                    got = (await both(here, *chain, *more))[1]
                    assert got == [f"1.0 fred, 1.1 p.test:80 (a, b), HTTP/2.0 q, 1.1 {us}"]
                assert (await both(here, chain[1], token=OWNER))[1] == [f"HTTP/2.0 q, 1.1 {us}"]

    run(body())


def back_again(here: Site) -> Handler:
    """A replica that is a proxy, and sends what it gets to where it came from."""

    async def handler(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        got = await here.call("/round", *(f"Via: {value}" for value in seen.all("Via")))
        writer.write(answer(got.body, status=f"{got.status} X"))
        return True

    return handler


@pytest.mark.parametrize("believed", [True, False])
def test_a_call_that_goes_round_for_ever_is_refused(run: Run, believed: bool) -> None:
    """Also where nobody believes the replica that sends it back."""

    async def body() -> None:
        async with site(Replica(), settings=BELIEVED if believed else None) as here:
            here.replicas[0].handlers["/round"] = back_again(here)
            got = await here.call("/round")
            assert (got.status, got.json()["error"]["code"]) == (508, "loop")
            us = f"1.1 {here.front.via.decode()}"
            assert [seen.one("Via") for seen in here.replicas[0].seen] == [us, f"{us}, {us}", f"{us}, {us}, {us}"]

    run(body())


@pytest.mark.parametrize("believed", [True, False])
def test_only_our_own_name_makes_a_loop(run: Run, believed: bool) -> None:
    """As the name of who received it, more than twice; who invents that fails this call, and no other one."""

    async def body() -> None:
        async with site(Replica(), settings=BELIEVED if believed else None) as here:
            us = here.front.via.decode()
            for chain in (f"1.1 {us}, 1.1 {us}", f"1.1 a ({us}), {us}, 1.1 {us}x, 1.1 {us}, , 1.1 {us}"):
                assert (await here.call("/x", f"Via: {chain}")).status == 200
            got = await here.call("/x", f"Via: 1.1 {us} (x), 1.0 {us},  1.1  {us}")
            assert (got.status, got.code) == (508, "loop")
            assert here.meter.refusals == [("o/n", "loop")]
            assert (await here.call("/x", f"Via: 1.1 {us}")).status == 200

    run(body())


def test_a_request_id_is_the_gateways_own(run: Run) -> None:
    """A caller's goes to the model under another name: whoever looks into a log can rely on ours being there once."""

    async def body() -> None:
        async with site(Replica()) as here:
            wire = await here.wire()
            ids = set()
            for _ in range(3):
                await wire.send(here.request("/x", "X-Request-Id: my-id-1"))
                got = await wire.answer()
                ids.add(got.one("X-Request-Id"))
                assert told(got, "X-Request-Id") == got.all("X-Request-Id")
                assert told(got, "X-Client-Request-Id") == ["my-id-1"]
            assert len(ids) == 3
            assert "my-id-1" not in ids
            got = await here.call("/x", "X-Request-Id: a", "x-client-request-id: b")
            assert told(got, "X-Client-Request-Id") == ["b"]
            got = await here.call("/x", "X-Request-Id: not sane")
            assert told(got, "X-Client-Request-Id") == []
            refused = await here.call("/x", "X-Request-Id: my-id-1", token=None)
            assert refused.one("X-Request-Id") not in (None, "my-id-1")
            web = await (await here.send("GET /api HTTP/1.1\r\nHost: h\r\nX-Request-Id: my-id-1\r\n\r\n")).answer()
            assert told(web, "X-Request-Id") == web.all("X-Request-Id") != ["my-id-1"]

    run(body())


@pytest.mark.parametrize("public", [False, True])
def test_a_request_id_of_those_who_are_believed_is_kept(run: Run, public: bool) -> None:
    """Proxies by their address, and a Jupyter server by its token."""

    async def body() -> None:
        said = ("X-Request-Id: id-of-proxy",)
        async with site(Replica(), settings=BELIEVED, public=public) as here:
            got = await here.call("/x", *said)
            assert told(got, "X-Request-Id") == got.all("X-Request-Id") == ["id-of-proxy"]
            assert told(got, "X-Client-Request-Id") == []
            assert (await here.call("/x", *said, token="jms_bad")).one("X-Request-Id") == "id-of-proxy"
            made = await here.call("/x", "X-Request-Id: not sane")
            assert (made.one("X-Request-Id") or "").isalnum()
        async with site(Replica(), public=public) as here:
            wire = await here.wire()
            for token, kept in ((FORWARDER, True), (OWNER, False), (FORWARDER, True)):
                await wire.send(here.request("/x", *said, token=token))
                got = await wire.answer()
                assert (told(got, "X-Request-Id") == got.all("X-Request-Id") == ["id-of-proxy"]) is kept

    run(body())


def test_traces_of_others_pass_untouched(run: Run) -> None:
    """W3C Trace Context: we are no part of the trace, so both go on as they came, to the byte, each line of them."""
    trace = (
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "TraceState: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "tracestate: last=1",
        "baggage: k=v;p=1",
    )

    async def body() -> None:
        async with site(Replica()) as here:
            assert (await here.call("/x", *trace)).status == 200
            raw = here.replicas[0].seen[0].raw_head.decode()
            assert "\r\n".join(["", *trace, ""]) in raw

    run(body())
