"""Every signal drives a real service up and down again, each by a rule of its own, all of them at once on one gateway:
nothing is taken away before a minute was seen, and the clock that a schedule goes by has minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jupyter_model_service.client import Client
from jupyter_model_service.wire import DecisionInfo

from .conftest import Gateway, eventually
from .scaling_site import Callers, FakePrometheus, Scaled, model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEEN = 100.0  # seconds until something is taken away, on a busy machine
QUICK: dict[str, Any] = {"min": 1, "max": 2, "target": False, "down_delay": 0}
RULES: dict[str, dict[str, float]] = {
    "concurrency": {"above": 2.5, "below": 0.5},
    "calls_per_second": {"above": 4, "below": 1},
    "queued": {"above": 1.5, "below": 0.5},
    "latency_p50": {"above": 0.3, "below": 0.2},
    "errors": {"above": 0.5, "below": 0.2},
    "cpu_util": {"above": 15, "below": 6},
    "memory": {"above": 150 << 20, "below": 100 << 20},
}
GPU_RULES: dict[str, dict[str, float]] = {
    "gpu_util": {"above": 80, "below": 30},
    "gpu_memory": {"above": 80, "below": 30},
}
PROMETHEUS = "prometheus:pressure"
Runs = dict[str, Future[list[DecisionInfo]]]


@pytest.fixture(scope="module")
def gpus(shared_nvml: Any) -> Any:
    """Two idle ones, or ``None``: this machine cannot pretend to have any."""
    if shared_nvml is not None:
        shared_nvml.show("GPU-0", 0, used=0)
        shared_nvml.show("GPU-1", 0, used=0)
    return shared_nvml


@pytest.fixture(scope="module")
def prometheus() -> Iterator[FakePrometheus]:
    fake = FakePrometheus()
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, gpus: Any, prometheus: FakePrometheus) -> Iterator[Client]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    configuration = tmp_path_factory.mktemp("configuration")
    (configuration / "jupyter_model_service_config.py").write_text(
        f"c.ModelService.prometheus_url = {prometheus.url!r}\n"
        "c.ModelService.prometheus_queries = {'pressure': 'sum(pressure{service=\"{service}\"})'}\n"
        "c.ModelService.prometheus_interval = 1.0\n"
    )
    gateway.environment["JUPYTER_CONFIG_DIR"] = str(configuration)
    if gpus is not None:
        gateway.environment["MODEL_SERVICE_NVML"] = gpus.library
    gateway.start()
    try:
        with gateway.client() as client:
            yield client
        gateway.stop()
        eventually(lambda: not gateway.processes(), "no process left of any replica", 10)
    finally:
        for process in gateway.processes():
            process.kill()
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    callers = Callers(100)
    yield callers
    callers.close()


@pytest.fixture(scope="module")
def fleet(client: Client, callers: Callers, gpus: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scaled]:
    """A service for each signal, by its metric; all of them have been looked at from about the same time on."""
    folder = model_folder(tmp_path_factory.mktemp("models") / "model")
    narrow = model_folder(tmp_path_factory.mktemp("narrow") / "model", concurrency=1)
    rules = {**RULES, **(GPU_RULES if gpus is not None else {}), PROMETHEUS: {"above": 10, "below": 5}}
    policies = {
        metric: {**QUICK, "rules": [{"metric": metric, "window": 2, "cooldown": 2, **rule}]}
        for metric, rule in rules.items()
    }
    # For a minute from the next one on, by cron, whose fields are minutes; 15 s are for the machine to get there.
    begin = datetime.now(timezone.utc) + timedelta(seconds=75)
    schedule = {"when": f"{begin.minute} {begin.hour} * * *", "duration": 60, "min": 2, "max": 2}
    policies["schedule"] = {"min": 1, "max": 1, "target": False, "schedules": [schedule]}
    policies["target"] = {"min": 1, "max": 2, "target_concurrency": 2, "down_delay": 0}
    found = {}
    for number, (metric, policy) in enumerate(policies.items()):
        name = f"m{number}-" + metric.replace("_", "-").partition(":")[0]
        device = "1" if metric == "gpu_memory" else "0"
        client.create(
            narrow if metric == "queued" else folder, name, public=True, environment={"CUDA_VISIBLE_DEVICES": device}
        )
        client.autoscale(name, **policy)
        found[metric] = Scaled(client, name, callers)
    for service in found.values():
        client.wait_ready(service.name, timeout=60)
    return found


def up_and_down(
    service: Scaled, press: Callable[[], Any], release: Callable[[], Any] = lambda: None
) -> list[DecisionInfo]:
    """Two replicas while it is pressed, one when it is not; the last two changes."""

    def unhurried() -> None:
        """For a minute, beside nine others: as fast as it can it takes half a core."""
        release()
        time.sleep(0.5)

    service.until(2, 90, meanwhile=press)
    service.until(1, SEEN, meanwhile=unhurried)
    return service.changes()[-2:]


@pytest.fixture(scope="module")
def runs(fleet: dict[str, Scaled], gpus: Any, prometheus: FakePrometheus) -> Iterator[Runs]:
    """What becomes of each service, by its metric. A quantile or share is of all calls of the last minute, so that good
    calls have to outnumber the bad ones; and memory is the mean of one replica that takes 400 MiB and one that has none.
    """

    def calls(metric: str, count: int, path: str) -> Callable[[], Any]:
        return lambda: fleet[metric].many(count, path)

    def shows(device: str, use: int, used: int) -> Callable[[], Any]:
        return lambda: gpus.show(device, use, used=used << 30, total=100 << 30) if gpus is not None else None

    plans: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "concurrency": (calls("concurrency", 8, "hold?seconds=0.6"), lambda: None),
        "calls_per_second": (calls("calls_per_second", 10, "hold?seconds=0.05"), lambda: None),
        "queued": (calls("queued", 6, "hold?seconds=0.4"), lambda: None),
        "latency_p50": (calls("latency_p50", 5, "hold?seconds=0.6"), calls("latency_p50", 30, "quick")),
        "errors": (calls("errors", 4, "fail"), calls("errors", 30, "quick")),
        "cpu_util": (calls("cpu_util", 2, "burn?seconds=1.5"), lambda: None),
        "memory": (lambda: None, calls("memory", 4, "shrink")),
        "gpu_util": (shows("GPU-0", 90, 0), shows("GPU-0", 10, 0)),
        "gpu_memory": (shows("GPU-1", 0, 95), shows("GPU-1", 0, 10)),
        PROMETHEUS: (lambda: setattr(prometheus, "value", 20.0), lambda: setattr(prometheus, "value", 1.0)),
    }
    assert fleet["memory"].many(1, "grow?mb=400") == [200]
    with ThreadPoolExecutor(len(plans)) as pool:
        yield {metric: pool.submit(up_and_down, fleet[metric], *plans[metric]) for metric in plans if metric in fleet}


def test_the_target_alone(fleet: dict[str, Scaled], runs: Runs) -> None:
    """No rule at all: 12 calls at once are far too many for 2 per replica."""
    service = fleet["target"]
    service.until(2, 90, meanwhile=lambda: service.many(12, "hold?seconds=0.5"))
    up = service.changes()[0]
    assert {wish.source for wish in up.wishes} & {"target", "panic"}
    service.until(1, 150)
    assert service.changes()[-1].wishes[0].source == "target"


@pytest.mark.parametrize("metric", [*RULES, *GPU_RULES, PROMETHEUS])
def test_a_rule_on(metric: str, runs: Runs) -> None:
    """Up while it is pressed and down when it is not, and both times the rule says so."""
    if metric not in runs:
        pytest.skip("needs a C compiler for a stand-in of NVML")
    up, down = runs[metric].result()
    assert (up.before, up.count, down.before, down.count) == (1, 2, 2, 1)
    for change, wanted in ((up, 2), (down, 1)):
        wish = next(each for each in change.wishes if each.source == "rule r1")
        assert wish.count == wanted
        assert change.reason.startswith(f"from {change.before} to {change.count}: rule r1 wants {wanted} ")


def test_a_query_is_asked_about_the_service_that_scales_by_it(
    fleet: dict[str, Scaled], prometheus: FakePrometheus, runs: Runs
) -> None:
    runs[PROMETHEUS].result()
    assert prometheus.queries
    assert all(fleet[PROMETHEUS].name in query for query in prometheus.queries)


def test_the_clock(fleet: dict[str, Scaled]) -> None:
    """Two replicas from the minute on that the schedule says, and one when it is over: both within seconds."""
    service = fleet["schedule"]
    eventually(lambda: len(service.changes()) == 2, "the schedule has begun and ended", 150)
    up, down = service.changes()
    assert (up.before, up.count, down.before, down.count) == (1, 2, 2, 1)
    assert up.at % 60 < 10
    assert 50 < down.at - up.at < 70
    assert up.bound is not None
    assert up.bound.startswith("schedule s1: ")
    changes_at = service.client.autoscaling(service.name).bounds.changes_at  # type: ignore[union-attr]
    assert changes_at is not None
    assert 86_000 < changes_at - time.time() < 86_400
