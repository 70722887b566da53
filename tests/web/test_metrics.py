"""What Prometheus is told, read back with Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jupyter_model_service.adapters.metrics import METRICS, PrometheusMeter
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend, Endpoint, RoutingTable
from jupyter_model_service.core.scaling.signals import Bounds
from jupyter_model_service.testing import ManualClock

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"


@dataclass(frozen=True)
class Counts:
    want: int


@dataclass(frozen=True)
class Gpu:
    uuid: str
    utilization: float
    memory_used: int = 2 << 30
    memory_total: int = 8 << 30


@dataclass(frozen=True)
class Replica:
    phase: str
    revision: int = 1
    gpus: Sequence[Gpu] | None = None


@dataclass(frozen=True)
class Autoscaling:
    bounds: Bounds | None
    held: bool = False


@dataclass(frozen=True)
class View:
    owner: str
    name: str
    revision: int = 1
    stable_revision: int | None = 1
    replicas: Counts = Counts(1)
    replica_list: Sequence[Replica] = ()
    autoscaling: Autoscaling | None = None


class Shop:
    """A meter over a routing table and views that the test changes."""

    def __init__(self, linger: float = 300.0) -> None:
        self.routing = RoutingTable()
        self.views: list[View] = []
        self.clock = ManualClock()
        self.meter = PrometheusMeter(routing=self.routing, services=lambda: self.views, clock=self.clock, linger=linger)

    def add(self, name: str, **fields: object) -> Endpoint:
        endpoint = Endpoint("alice", name, False, Serving())
        self.routing.put(endpoint)
        self.views.append(View("alice", name, **fields))  # type: ignore[arg-type]
        return endpoint

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        text = self.meter.text().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted(labels.items()))))

    def services(self, prefix: str = "model_service_") -> set[str]:
        return {
            dict(labels)["service"]
            for name, labels in self.samples()
            if name.startswith(prefix) and "service" in dict(labels)
        }


def test_calls_are_counted_by_service_revision_and_class() -> None:
    shop = Shop()
    shop.add("chat")
    for status in (200, 204, 301, 404, 499, 503):
        shop.meter.call("alice", "chat", 1, status, 0.2, 0.1)
    shop.meter.call("alice", "chat", 2, 200, 0.2, 0.1)
    got = {
        (revision, status): shop.value(
            "model_service_requests_total", service="alice/chat", revision=revision, status=status
        )
        for revision in "12"
        for status in ("2xx", "3xx", "4xx", "5xx")
    }
    assert got == {
        ("1", "2xx"): 2,
        ("1", "3xx"): 1,
        ("1", "4xx"): 2,
        ("1", "5xx"): 1,
        ("2", "2xx"): 1,
        ("2", "3xx"): None,
        ("2", "4xx"): None,
        ("2", "5xx"): None,
    }


def test_latencies_fall_into_cumulated_buckets() -> None:
    """A bound belongs to its bucket; a call without a first byte is not in the first-byte histogram."""
    shop = Shop()
    shop.add("chat")
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.01)
    shop.meter.call("alice", "chat", 1, 200, 1000.0, None)
    labels = {"service": "alice/chat", "revision": "1"}
    assert shop.value("model_service_request_seconds_bucket", le="0.05", **labels) == 0
    assert shop.value("model_service_request_seconds_bucket", le="0.1", **labels) == 1
    assert shop.value("model_service_request_seconds_bucket", le="300.0", **labels) == 1
    assert shop.value("model_service_request_seconds_bucket", le="+Inf", **labels) == 2
    assert shop.value("model_service_request_seconds_count", **labels) == 2
    assert shop.value("model_service_request_seconds_sum", **labels) == pytest.approx(1000.1)
    assert shop.value("model_service_first_byte_seconds_count", **labels) == 1


def test_what_is_now_is_read_at_scrape_time() -> None:
    """Nothing is kept: a change shows in the next scrape, and a replica that has gone is in none."""
    shop = Shop()
    endpoint = shop.add("chat", replicas=Counts(3), replica_list=[Replica("ready"), Replica("ready"), Replica("gone")])
    endpoint.in_flight, endpoint.waiting = 4, 2
    assert shop.value("model_service_requests_in_flight", service="alice/chat") == 4
    assert shop.value("model_service_queue_length", service="alice/chat") == 2
    assert shop.value("model_service_replicas", service="alice/chat", phase="ready") == 2
    assert shop.value("model_service_replicas", service="alice/chat", phase="gone") is None
    assert shop.value("model_service_replicas_wanted", service="alice/chat") == 3
    endpoint.in_flight = 0
    shop.views[0] = View("alice", "chat", replica_list=[Replica("loading")])
    assert shop.value("model_service_requests_in_flight", service="alice/chat") == 0
    assert shop.value("model_service_replicas", service="alice/chat", phase="ready") is None
    assert shop.value("model_service_replicas", service="alice/chat", phase="loading") == 1


def test_the_other_counters() -> None:
    shop = Shop()
    shop.add("chat")
    shop.meter.retried("alice", "chat", "connect")
    shop.meter.refused("alice", "chat", "overloaded")
    shop.meter.restarted("alice", "chat")
    shop.meter.phase("alice", "chat", "loading", 7.0)
    service = {"service": "alice/chat"}
    assert shop.value("model_service_retries_total", reason="connect", **service) == 1
    assert shop.value("model_service_refusals_total", code="overloaded", **service) == 1
    assert shop.value("model_service_restarts_total", **service) == 1
    assert shop.value("model_service_phase_seconds_bucket", phase="loading", le="10.0", **service) == 1
    assert shop.value("model_service_phase_seconds_bucket", phase="loading", le="5.0", **service) == 0


def test_autoscaling_tells_its_bounds_its_changes_and_whether_it_is_held() -> None:
    shop = Shop()
    shop.add("chat", autoscaling=Autoscaling(Bounds(0, 8)))
    shop.add("code", autoscaling=Autoscaling(Bounds(2, 3), held=True))
    shop.add("fresh", autoscaling=Autoscaling(None))
    shop.add("fixed")
    for before, after in ((1, 2), (2, 5), (5, 2)):
        shop.meter.scaled("alice", "chat", before, after)
    shop.meter.cold_start("alice", "chat")
    chat, code, fresh, fixed = ({"service": f"alice/{name}"} for name in ("chat", "code", "fresh", "fixed"))
    names = [f"model_service_autoscaling_{what}" for what in ("min_replicas", "max_replicas", "held")]
    assert [shop.value(name, **chat) for name in names] == [0, 8, 0]
    assert [shop.value(name, **code) for name in names] == [2, 3, 1]
    assert [shop.value(name, **fresh) for name in names] == [None, None, 0]
    assert [shop.value(name, **fixed) for name in names] == [None, None, None]
    decisions = "model_service_autoscaling_decisions_total"
    assert (shop.value(decisions, direction="up", **chat), shop.value(decisions, direction="down", **chat)) == (2, 1)
    assert shop.value("model_service_cold_starts_total", **chat) == 1


def test_gpus_of_a_service_are_those_of_its_replicas_each_once() -> None:
    """Two replicas share GPU-1; what is unknown and what has gone is no zero."""
    shop = Shop()
    shared = Gpu("GPU-1", 80.0)
    replicas = [Replica("ready", gpus=[shared]), Replica("ready", gpus=[shared, Gpu("GPU-2", 20.0)])]
    shop.add("chat", replica_list=[*replicas, Replica("loading"), Replica("gone", gpus=[Gpu("GPU-3", 0.0)])])
    shop.add("code", replica_list=[Replica("ready")])
    assert shop.value("model_service_gpu_utilization_ratio", service="alice/chat") == pytest.approx(0.5)
    assert shop.value("model_service_gpu_memory_used_bytes", service="alice/chat") == 4 << 30
    assert shop.value("model_service_gpu_memory_bytes", service="alice/chat") == 16 << 30
    assert shop.value("model_service_gpu_utilization_ratio", service="alice/code") is None


def test_a_service_that_was_removed_leaves_no_series() -> None:
    """Neither after ``forget`` nor through calls that end later; its neighbour stays."""
    shop = Shop()
    for name in ("chat", "code"):
        shop.add(name)
        shop.meter.call("alice", name, 1, 200, 0.1, 0.1)
        shop.meter.retried("alice", name, "connect")
        shop.meter.refused("alice", name, "overloaded")
        shop.meter.restarted("alice", name)
        shop.meter.scaled("alice", name, 1, 2)
        shop.meter.cold_start("alice", name)
        shop.meter.phase("alice", name, "loading", 1.0)
    assert shop.services() == {"alice/chat", "alice/code"}
    shop.routing.remove("alice", "chat")
    shop.views = [v for v in shop.views if v.name != "chat"]
    shop.meter.forget("alice", "chat")
    assert shop.services() == {"alice/code"}
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    assert "alice/chat" not in shop.services()


def test_what_was_not_forgotten_goes_at_the_next_scrape() -> None:
    """Such as a service whose last call ended between its removal from the table and ``forget``."""
    shop = Shop()
    shop.add("chat")
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    shop.meter.restarted("alice", "chat")
    shop.routing.remove("alice", "chat")
    shop.views.clear()
    assert shop.services() <= {""}


def test_forget_alone_drops_the_series() -> None:
    """Before the next scrape: a service of the same name that comes at once starts from nothing."""
    shop = Shop()
    shop.add("chat")
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    shop.meter.forget("alice", "chat")
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    assert shop.value("model_service_requests_total", service="alice/chat", revision="1", status="2xx") == 1


def test_a_scanner_makes_no_series() -> None:
    """A thousand names that do not exist are one series without a name."""
    shop = Shop()
    shop.add("chat")
    before = len(shop.samples())
    for number in range(1000):
        shop.meter.refused("mallory", f"name{number}", "not_found")
        shop.meter.call("mallory", f"name{number}", 0, 404, 0.001, 0.001)
    assert shop.value("model_service_refusals_total", service="", code="not_found") == 1000
    assert shop.value("model_service_requests_total", service="", revision="0", status="4xx") == 1000
    assert len(shop.samples()) - before < 50


def test_the_series_of_a_replaced_revision_go_after_a_while() -> None:
    """Its last counts are still there for a scraper that comes each minute, and gone five minutes later."""
    shop = Shop(linger=300.0)
    endpoint = shop.add("chat", revision=1)
    endpoint.backends = [Backend("chat-a", 1, "127.0.0.1", 1)]
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    first = {"service": "alice/chat", "revision": "1", "status": "2xx"}
    shop.clock.advance(1000)
    assert shop.value("model_service_requests_total", **first) == 1
    endpoint.backends = [Backend("chat-b", 2, "127.0.0.1", 2)]
    shop.views = [View("alice", "chat", revision=2, stable_revision=2, replica_list=[Replica("gone", 1)])]
    shop.meter.call("alice", "chat", 2, 200, 0.1, 0.1)
    assert shop.value("model_service_requests_total", **first) == 1
    shop.clock.advance(299)
    assert shop.value("model_service_requests_total", **first) == 1
    shop.clock.advance(1)
    assert shop.value("model_service_requests_total", **first) is None
    assert shop.value("model_service_requests_total", **{**first, "revision": "2"}) == 1


def test_a_revision_that_a_draining_replica_still_runs_stays() -> None:
    shop = Shop(linger=0.0)
    endpoint = shop.add("chat", revision=2, stable_revision=2)
    endpoint.backends = [Backend("chat-a", 1, "127.0.0.1", 1, serving=False)]
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    assert shop.value("model_service_requests_total", service="alice/chat", revision="1", status="2xx") == 1


def test_of_an_access_log_is_told_what_it_lost_and_whether_it_is_written() -> None:
    """Nothing where there is none: a 0 would say that it is not written."""
    shop = Shop()
    assert "access_log" not in shop.meter.text().decode()
    shop.meter.watch_access_log(lambda: 7, lambda: False)
    assert shop.value("model_service_access_log_lost_total") == 7
    assert shop.value("model_service_access_log_writable") == 0
    shop.meter.watch_access_log(lambda: 7, lambda: True)
    assert shop.value("model_service_access_log_writable") == 1


def test_the_gateway_tells_about_itself() -> None:
    text = Shop().meter.text().decode()
    assert "model_service_gateway_info{version=" in text
    assert "process_resident_memory_bytes" in text


def test_every_metric_is_in_the_table_and_in_the_docs() -> None:
    """With exactly its labels: whoever adds one has to say what it means."""
    shop = Shop()
    gpus = [Gpu("GPU-1", 50.0)]
    shop.add("chat", replica_list=[Replica("ready", gpus=gpus)], autoscaling=Autoscaling(Bounds(1, 2)))
    shop.meter.call("alice", "chat", 1, 200, 0.1, 0.1)
    shop.meter.scaled("alice", "chat", 1, 2)
    shop.meter.cold_start("alice", "chat")
    shop.meter.retried("alice", "chat", "connect")
    shop.meter.refused("alice", "chat", "overloaded")
    shop.meter.broken("alice", "chat", "idle_timeout")
    shop.meter.restarted("alice", "chat")
    shop.meter.phase("alice", "chat", "loading", 1.0)
    shop.meter.watch_access_log(lambda: 0, lambda: True)
    found: dict[str, set[str]] = {}
    for name, labels in shop.samples():
        if name.startswith("model_service_"):
            plain = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count").removesuffix("_created")
            found.setdefault(plain, set()).update({label for label, _ in labels} - {"le"})
    assert found == {name: set(labels) for name, (labels, _) in METRICS.items()}
    page = DOCS.read_text()
    for name, (labels, _) in METRICS.items():
        assert f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} |" in page
