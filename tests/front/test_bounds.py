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


def test_without_a_share_there_is_no_limit_but_that_of_all() -> None:
    assert most_of_one(9, 1.0) is None
    assert [most_of_one(most, 1 / 3) for most in (3000, 9, 1)] == [1000, 3, 1]
