"""Figures of GPUs that a replica's own runner cannot see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.host_gpus import HostGpus, LeasesWithHostGpus
from jupyter_model_service.core.reports import GpuSample, LeaseEvent, LeaseSample
from jupyter_model_service.ports import Lease


class Clock(SystemClock):
    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


async def until(look: Callable[[], Any]) -> Any:
    while not (seen := look()):
        await asyncio.sleep(0.02)
    return seen


def helpers() -> list[int]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any("sample_gpus" in word for word in child.cmdline()):
                found.append(child.pid)
    return found


def with_gpus(library: str, body: Callable[[HostGpus, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        gpus = HostGpus(clock, library)
        try:
            await asyncio.wait_for(body(gpus, clock), 60)
        finally:
            await gpus.stop()
        assert helpers() == []

    asyncio.run(run())


def test_figures_by_uuid_follow_the_devices(fake_nvml: Any) -> None:
    fake_nvml.show("GPU-a", 10)
    fake_nvml.show("GPU-b", 20, used=3 << 30)

    async def body(gpus: HostGpus, clock: Clock) -> None:
        assert helpers() == []  # nobody has asked yet
        assert gpus.figures(["GPU-b"]) is None
        found = await until(lambda: gpus.figures(["GPU-b", "GPU-a"]))
        assert [gpu.uuid for gpu in found] == ["GPU-b", "GPU-a"]
        assert found[0] == GpuSample("GPU-b", 20.0, 3 << 30, 8 << 30)
        assert gpus.figures(["GPU-a", "GPU-gone"]) is None  # half of it is not known: no mean of the other half
        assert gpus.figures([]) is None
        fake_nvml.show("GPU-a", 99)
        await until(lambda: gpus.figures(["GPU-a"]) == (GpuSample("GPU-a", 99.0, 1 << 30, 8 << 30),))

    with_gpus(fake_nvml.library, body)


def test_figures_by_number_are_those_of_the_device_with_that_number(fake_nvml: Any) -> None:
    """As an administrator names GPUs whose Hub sees none; also where one before it tells nothing."""
    fake_nvml.show("GPU-a", 255)
    fake_nvml.show("GPU-b", 20)
    fake_nvml.show("GPU-c", 30)

    async def body(gpus: HostGpus, clock: Clock) -> None:
        found = await until(lambda: gpus.figures(["2", "1"]))
        assert [gpu.uuid for gpu in found] == ["GPU-c", "GPU-b"]
        assert gpus.figures(["1", "3"]) is None
        assert gpus.figures(["GPU-"]) is None  # the beginning of all of them is none of them

    with_gpus(fake_nvml.library, body)


def test_a_helper_that_nobody_needs_ends_and_comes_back(fake_nvml: Any) -> None:
    fake_nvml.show("GPU-a", 10)

    async def body(gpus: HostGpus, clock: Clock) -> None:
        await until(lambda: gpus.figures(["GPU-a"]))
        clock.ahead += 31.0
        await until(lambda: not helpers())
        clock.ahead += 6.0
        assert gpus.figures(["GPU-a"]) is None  # what was known is stale
        clock.ahead += 61.0
        await until(lambda: gpus.figures(["GPU-a"]))

    with_gpus(fake_nvml.library, body)


@pytest.mark.parametrize("fault", ["FAKE_CRASH", "FAKE_FAIL", "FAKE_HANG", "no library"])
def test_without_a_driver_they_are_unknown(fake_nvml: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """And nobody is asked again and again."""
    fake_nvml.show("GPU-a", 10)
    monkeypatch.setenv(fault.replace(" ", "_"), "1")
    library = fake_nvml.library if fault != "no library" else "/nowhere/libnvidia-ml.so.1"

    async def body(gpus: HostGpus, clock: Clock) -> None:
        assert gpus.figures(["GPU-a"]) is None
        if fault == "FAKE_HANG":
            await until(helpers)
        seen = set(helpers())  # one that crashes may be gone before anybody has looked
        for _ in range(50):
            assert gpus.figures(["GPU-a"]) is None
            seen.update(helpers())
            await asyncio.sleep(0.01)
        assert len(seen) <= 1

    with_gpus(library, body)


class Inner:
    """Leases that the test speaks for."""

    def __init__(self) -> None:
        self.say: dict[str, Callable[[LeaseEvent], None]] = {}

    def open(
        self, replica: str, control: tuple[str, int], secret: str, on_event: Callable[[LeaseEvent], None]
    ) -> Lease:
        self.say[replica] = on_event
        return None  # type: ignore[return-value]


def test_only_what_a_runner_does_not_know_is_filled_in(fake_nvml: Any) -> None:
    fake_nvml.show("GPU-a", 10)
    own = (GpuSample("GPU-a", 55.0, 1, 2),)

    async def body(gpus: HostGpus, clock: Clock) -> None:
        inner = Inner()
        leases = LeasesWithHostGpus(inner, gpus, lambda replica: {"blind": ["GPU-a"]}.get(replica, []))
        heard: dict[str, list[LeaseEvent]] = {"blind": [], "plain": []}
        for replica, events in heard.items():
            leases.open(replica, ("127.0.0.1", 1), "secret", events.append)
        inner.say["plain"](LeaseSample(None, 7))
        inner.say["blind"](LeaseSample(own, 7))
        assert heard == {"blind": [LeaseSample(own, 7)], "plain": [LeaseSample(None, 7)]}
        assert helpers() == []
        inner.say["blind"](LeaseSample(None, 7, 1.5, 2.5))
        assert heard["blind"][-1] == LeaseSample(None, 7, 1.5, 2.5)
        await until(lambda: gpus.figures(["GPU-a"]))
        for unknown in (None, ()):
            inner.say["blind"](LeaseSample(unknown, 7, 1.5, 2.5))
            assert heard["blind"][-1] == LeaseSample((GpuSample("GPU-a", 10.0, 1 << 30, 8 << 30),), 7, 1.5, 2.5)

    with_gpus(fake_nvml.library, body)
