"""A look at the GPUs of the Hub's machine: by a job, once for all who ask, and told also while it cannot be had anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.host_gpus import HostGpus
from jupyter_model_service.adapters.hub_jobs import HubJobs
from jupyter_model_service.adapters.hub_looks import AGAIN, FRESH, HubLooks
from jupyter_model_service.core.gpu_looks import SeenGpu
from jupyter_model_service.core.hub_options import LookOptions
from jupyter_model_service.testing.hub import FakeHub, hub_parts

TOKEN_USER = "model-service-tokens"


class Hours(SystemClock):
    """The machine's clock, which a test may put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["ann", TOKEN_USER], interrupt=0.02, slow_spawn=0.1) as hub:
        hub.engine.gpus = [{"id": "GPU-0", "name": "H200", "memory": 1 << 30, "holders": []}]
        yield hub


def looking(hub: FakeHub, folder: Path, body: Callable[[HubLooks, Hours], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = Hours()
        looks = HubLooks(HubJobs(hub_parts(hub, folder).servers), TOKEN_USER, clock, HostGpus(clock, "none.so"))
        try:
            await body(looks, clock)
        finally:
            await looks.stop()

    asyncio.run(main())


def jobs(hub: FakeHub) -> int:
    return sum(isinstance(each, LookOptions) for each in hub.engine.started)


def test_who_looks_at_once_causes_one_job_and_nothing_of_it_stays(hub: FakeHub, tmp_path: Path) -> None:
    async def body(looks: HubLooks, clock: Hours) -> None:
        told = await asyncio.gather(*(looks.look() for _ in range(20)))
        assert {each.gpus for each in told} == {(SeenGpu("GPU-0", "H200", 1 << 30),)}
        assert told[0].at is not None
        assert told[0].problem == ""
        assert await looks.look() == told[0]
        assert jobs(hub) == 1
        clock.ahead = FRESH + 1
        await looks.look()
        assert jobs(hub) == 2
        assert [each.user for each in hub.engine.started] == [TOKEN_USER] * 2

    looking(hub, tmp_path, body)
    assert hub.servers() == {}


def test_what_was_seen_last_is_told_with_why_it_is_not_known_anew(hub: FakeHub, tmp_path: Path) -> None:
    async def body(looks: HubLooks, clock: Hours) -> None:
        first = await looks.look()
        hub.engine.script.error = ("gpus", "NVIDIA's driver does not say which GPUs there are.")
        clock.ahead = FRESH + 1
        told = await looks.look()
        assert (told.gpus, told.at) == (first.gpus, first.at)
        assert told.problem == "NVIDIA's driver does not say which GPUs there are."
        await looks.look()
        assert jobs(hub) == 2, "not asked again at once"
        hub.engine.script.error = None
        clock.ahead += AGAIN + 1
        assert (await looks.look()).problem == ""

    looking(hub, tmp_path, body)


def test_an_answer_that_is_none_of_ours_is_a_problem_and_no_fault(hub: FakeHub, tmp_path: Path) -> None:
    hub.engine.gpus = [{"id": "GPU-0"}]

    async def body(looks: HubLooks, clock: Hours) -> None:
        told = await looks.look()
        assert told.gpus is None
        assert told.problem == "The look at GPUs failed; the gateway's log says why."

    looking(hub, tmp_path, body)
