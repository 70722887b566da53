"""What a replica says before its answer: informational answers, and what it says before it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.front.server import FrontSettings

from .site import site, within
from .upstreams import Handler, Raw, Replica, Seen, answer, serve_one

Run = Callable[[Any], Any]

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


async def hints_for_ever(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    while True:
        writer.write(HINT)
        await writer.drain()
        with contextlib.suppress(asyncio.TimeoutError):
            if not await asyncio.wait_for(seen.reader.read(1), 0.05):
                replica.hung_up.set()
                return False


def test_informational_answers_are_no_beginning_of_the_answer(run: Run) -> None:
    """A server that says 102 or 103 again and again while its model hangs: the limit of the first byte runs on."""

    async def body() -> None:
        async with site(Replica(handlers={"/x": hints_for_ever}), serving=Serving(first_byte_timeout=0.3)) as here:
            got = await here.call("/x")
            assert (got.status, got.code) == (504, "first_byte_timeout")
            await within(here.replicas[0].hung_up.wait())

    run(body())


def hints(count: int, *, apart: bool) -> Handler:
    async def handler(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        for _ in range(count):
            writer.write(HINT)
            if apart:
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.write(answer(b"final"))
        return True

    return handler


@pytest.mark.parametrize("apart", [False, True])
def test_only_so_many_informational_answers_are_passed_on(run: Run, apart: bool) -> None:
    """32 for each call, on the same connection too; one more, and the answer is bad."""

    async def body() -> None:
        handlers = {"/32": hints(32, apart=apart), "/33": hints(33, apart=apart)}
        async with site(Replica(handlers=handlers)) as here:
            for _ in range(2):
                wire = await here.send(here.request("/32"))
                for _ in range(32):
                    assert (await wire.head()).status == 103
                assert (await wire.answer()).body == b"final"
            assert here.replicas[0].connections == 1
            got = await here.call("/33")
            assert (got.status, got.code) == (502, "bad_answer")
            assert here.backends[0].failures == 1

    run(body())


async def forged(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(
        b"HTTP/1.1 103 Early Hints\r\nX-Model-Service-Error: forged\r\nLink: </a.css>\r\n"
        b"x-model-service-replica: forged\r\nSet-Cookie: a=1\r\nConnection: X-Hop\r\nX-Hop: gone\r\n\r\n"
    )
    writer.write(answer(b"final"))
    return True


@pytest.mark.parametrize("shared", [False, True])
def test_an_informational_answer_says_nothing_in_the_gateways_name(run: Run, shared: bool) -> None:
    """Nor for a whole address that others share."""

    async def body() -> None:
        settings = FrontSettings(shared_origin=shared)
        async with site(Replica(handlers={"/x": forged}), settings=settings) as here:
            hint = await (await here.send(here.request("/x"))).head()
            cookie = [] if shared else [("Set-Cookie", "a=1")]
            assert (hint.status, hint.headers) == (103, [("Link", "</a.css>"), *cookie])

    run(body())


@pytest.mark.parametrize("unasked", [answer(b"bye", status="408 Request Timeout"), answer(b"eno")])
def test_a_connection_on_which_something_was_said_before_the_request_serves_no_other_call(
    run: Run, unasked: bytes
) -> None:
    """A server that gives an idle connection up, with words, just as a call is about to be written to it: what it says
    to that call would be the next one's."""

    async def body() -> None:
        async with site() as here:
            raw = Raw()
            here.backends.append(raw.backend)
            request = here.request("/x", method="POST", body=b"abc")
            with contextlib.closing(socket.create_connection(("127.0.0.1", here.port))) as caller:

                async def came() -> bytes:
                    return await asyncio.to_thread(caller.recv, 1 << 16)

                caller.sendall(request)
                first = await raw.accept()
                await serve_one(first, b"one")
                assert (await came()).endswith(b"one")
                caller.sendall(request)
                first.sendall(unasked)
                assert (await came()).endswith(unasked[-3:])
                caller.sendall(request)
                second = await raw.accept()
                await serve_one(second, b"two")
                assert (await came()).endswith(b"two")
                first.close()
                second.close()
            raw.close()

    run(body())
