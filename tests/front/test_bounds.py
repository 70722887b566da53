"""What one service may take of the gateway: so many calls, so that callers of the others find a place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.crowding import most_of_one
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.front.server import FrontSettings

from .site import OTHER, site, until
from .upstreams import Replica

Run = Callable[[Any], Any]


@pytest.mark.parametrize("path", ["/hang", "/metrics"])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_service_with_its_share_of_calls_leaves_the_others_theirs(run: Run, path: str, waiting: bool) -> None:
    """On replicas or in the queue, calls or looks; from the next end of one on, there is room for one more."""

    async def body() -> None:
        settings = FrontSettings(max_connections=9, share_per_service=1 / 3)
        serving = Serving(concurrency=1, queue=50) if waiting else Serving()
        hung, well = Replica(handlers={"/metrics": Replica("x").handlers["/hang"]}), Replica("r2")
        await well.start()
        async with site(hung, settings=settings, serving=serving) as here:
            other = Endpoint("o", "other", False, Serving(), [well.backend()])
            here.routing.put(other)
            wires = [await here.send(here.request(path)) for _ in range(3)]
            desk = here.front.desk(here.endpoint)
            await until(lambda: desk.held + here.endpoint.backends[0].in_flight == 3)
            got = await here.call(path)
            assert (got.status, got.code, got.one("Retry-After")) == (503, "service_busy", "1")
            assert "o/n has 3 calls open" in got.json()["error"]["message"]
            answer = await (await here.send(here.request("/x", token=OTHER).replace(b"/o/n/", b"/o/other/"))).answer()
            assert answer.status == 200
            for wire in wires:
                wire.close()
            await until(lambda: desk.held + here.endpoint.backends[0].in_flight == 0)
            assert (await here.call("/x")).status == 200
        await well.stop()

    run(body())


@pytest.mark.parametrize("path", ["/hang", "/metrics"])
def test_services_of_one_owner_with_their_share_leave_other_owners_theirs(run: Run, path: str) -> None:
    """Each of them is far from a service's own share, and the last one has no call open at all."""

    async def body() -> None:
        settings = FrontSettings(max_connections=9, share_per_service=2 / 3, share_per_owner=4 / 9)
        hung, well = Replica(handlers={"/metrics": Replica("x").handlers["/hang"]}), Replica("r2")
        await well.start()
        async with site(hung, settings=settings) as here:
            second = Endpoint("o", "second", True, Serving(concurrency=1), [here.endpoint.backends[0]])
            third = Endpoint("o", "third", True, Serving(), [well.backend()])
            other = Endpoint("p", "other", True, Serving(), [well.backend()])
            for endpoint in (second, third, other):
                here.routing.put(endpoint)

            def request(service: bytes, to: str = "/x") -> bytes:
                return here.request(to).replace(b"/o/n/", b"/%b/" % service)

            wires = [await here.send(here.request(path)) for _ in range(2)]
            wires += [await here.send(request(b"o/second", path)) for _ in range(2)]
            await until(lambda: here.endpoint.owned.open == 4)
            for service in (b"o/n", b"o/third"):
                got = await (await here.send(request(service))).answer()
                assert (got.status, got.code, got.one("Retry-After")) == (503, "service_busy", "1")
                assert "The services of o have 4 calls open" in got.json()["error"]["message"]
            assert (await (await here.send(request(b"p/other"))).answer()).status == 200
            wires.pop().close()
            await until(lambda: here.endpoint.owned.open == 3)
            assert (await (await here.send(request(b"o/third"))).answer()).status == 200
            for wire in wires:
                wire.close()
            await until(lambda: here.endpoint.owned.open == 0)
            assert other.owned.open == 0
        await well.stop()

    run(body())


def test_bodies_that_one_service_keeps_for_another_try_are_bounded_together(run: Run) -> None:
    """What has no room is passed on all the same, and its call is not sent again; small ones are always kept."""

    async def body() -> None:
        settings, serving = FrontSettings(kept_per_service=1 << 20), Serving(replay_limit=1 << 20)
        async with site(Replica("r1"), settings=settings, serving=serving) as here:
            kept = here.front.desk(here.endpoint).kept
            big, small = b"b" * 400_000, b"s" * 60_000
            wires = [await here.send(here.request("/hang", method="POST", body=big)) for _ in range(4)]
            wires += [await here.send(here.request("/hang", method="POST", body=small)) for _ in range(2)]
            await until(lambda: sum(call.body.done for call in here.front.calls) == 6)
            assert kept.taken == 2 * len(big)
            assert sorted(call.body.replayable for call in here.front.calls) == [False] * 2 + [True] * 4
            for wire in wires:
                wire.close()
            await until(lambda: kept.taken == 0)
            assert (await here.call("/echo", method="POST", body=big)).status == 200
            assert kept.taken == 0

    run(body())


def test_without_a_share_there_is_no_limit_but_that_of_all() -> None:
    assert most_of_one(9, 1.0) is None
    assert [most_of_one(most, 1 / 3) for most in (3000, 9, 1)] == [1000, 3, 1]
