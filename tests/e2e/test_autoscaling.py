"""Autoscaling with real processes: to zero and back, by hand, explained, over a restart of the gateway, and refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jupyter_model_service.client import Client
from jupyter_model_service.errors import InvalidRequest, LaunchError, NotFound

from .conftest import Gateway, eventually
from .scaling_site import Callers, Scaled, model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEEN = 150.0  # seconds until something is taken away: a minute has to be seen first
TO_ZERO: dict[str, Any] = {"min": 0, "max": 2, "target_concurrency": 4, "idle_after": 5, "down_delay": 0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    gateway.start()
    try:
        yield gateway
        gateway.stop()
        eventually(lambda: not gateway.processes(), "no process left of any replica", 10)
    finally:
        for process in gateway.processes():
            process.kill()
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()


@pytest.fixture(scope="module")
def owner(site: Gateway) -> Iterator[Client]:
    with site.client() as client:
        yield client


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    callers = Callers()
    yield callers
    callers.close()


@pytest.fixture(scope="module")
def fail_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While it is there, no replica of ``broken`` can start."""
    return tmp_path_factory.mktemp("fail") / "fail"


@pytest.fixture(scope="module")
def fleet(
    owner: Client, callers: Callers, fail_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Scaled]:
    """Those that go to zero are made first: that takes a minute for all of them together."""
    folder = model_folder(tmp_path_factory.mktemp("models") / "model")
    for name in ("sleeper", "broken", "hands"):
        environment = {"FAIL_FILE": str(fail_file)} if name == "broken" else {"START_SECONDS": "0.5"}
        owner.create(folder, name, public=True, environment=environment)
    for name in ("sleeper", "broken"):
        owner.autoscale(name, **TO_ZERO)
    for name in ("sleeper", "broken", "hands"):
        owner.wait_ready(name, timeout=60)
    return {name: Scaled(owner, name, callers) for name in ("sleeper", "broken", "hands")}


# --- by hand -------------------------------------------------------------------------------------------------


def test_a_count_that_is_set_by_hand_is_held_until_it_is_resumed(fleet: dict[str, Scaled], site: Gateway) -> None:
    """The target wants one, the bounds allow four, and three it is; said at the scaling, in info, and in explain."""
    service = fleet["hands"]
    set_ = site.cli("autoscale", "hands", "--min", "1", "--max", "2", "--down-delay", "0")
    assert set_.returncode == 0
    assert "Bounds:       1 to 2 replicas" in set_.stdout
    scaled = site.cli("scale", "hands", "3")
    assert scaled.returncode == 0
    assert "Held at 3 replicas, since it was scaled by hand; go on with: " in scaled.stdout
    service.until(3)
    info = service.client.autoscaling("hands")
    assert info is not None
    assert info.held
    eventually(lambda: "stays at 3: target wants 1 " in service.reason(), "a decision about what is held")
    assert service.decisions()[-1].bound == "it is held where it was scaled to by hand"
    assert "(held)" in site.cli("list").stdout
    resumed = site.cli("autoscale", "hands", "--resume")
    assert "Held:" not in resumed.stdout
    service.until(2)  # at once: that is the most that there may be
    assert service.client.events("hands")[-1].kind.startswith("replica.")
    told = [event.message for event in service.client.events("hands") if event.kind == "service.autoscaling"]
    assert told[-1] == "autoscaling goes on; scaled to 2 replicas: max is 2"


def test_it_can_be_ended_and_then_the_count_stays(fleet: dict[str, Scaled], site: Gateway) -> None:
    service = fleet["hands"]
    ended = site.cli("autoscale", "hands", "--off")
    assert service.client.autoscaling("hands") is None
    count = service.counts()[0]  # on a slow machine, a minute may have been seen by now
    assert ended.stdout.endswith(f"hands is not autoscaled any more: it stays at {count} until it is scaled.\n")
    assert "is not autoscaled" in site.cli("explain", "hands").stdout


def test_callers_who_come_while_it_starts_from_zero_are_held_whoever_had_it_started(
    owner: Client, callers: Callers, tmp_path: Path
) -> None:
    """Its owner here, and then a new policy: they wait for longer than ``queue_timeout``, and are answered."""
    folder = model_folder(tmp_path / "model", queue_timeout=0.5)
    owner.create(folder, "slow", replicas=0, public=True, environment={"START_SECONDS": "2"})
    service = Scaled(owner, "slow", callers)
    for wake in (lambda: owner.scale("slow", 1), lambda: owner.autoscale("slow", min=1, max=1)):
        wake()
        assert set(service.many(5, "quick")) == {200}
        owner.scale("slow", 0)
        eventually(lambda: service.counts() == (0, 0), "it has no replica")
    owner.delete("slow")


# --- wrong rules ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            "rule add sleeper --metric gpu_utl --above 80",
            1,
            'metric is "gpu_utl", which is not known; did you mean gpu_util',
        ),
        ("rule add sleeper --metric gpu_util", 1, "The rule has no threshold; give above"),
        ("rule add sleeper --metric queued --above 1 --below 3", 1, "above is 1, less than below, which is 3"),
        ("rule add sleeper --metric gpu_util --above 120", 1, "gpu_util (percent) is never above 100"),
        ("rule add sleeper --metric prometheus:x --above 1", 1, "no query is allowed on this installation"),
        ("rule add sleeper --metric queued --above 1 --step 0", 2, "'0' is not a number from 1 to 100"),
        ("rule add hands --metric queued --above 1", 1, "say with the rule's max how many replicas there may be"),
        ("autoscale sleeper --min 3 --max 2", 1, "min is 3, above max, which is 2; lower it or raise max."),
        ("schedule add sleeper Mon-Frid_08:00-19:00 --min 1", 1, "no day of the week; did you mean Fri?"),
        ("schedule add sleeper 61_8_*_*_* --for 1h --min 1", 1, "has no minute that cron knows"),
        ("schedule add sleeper 0_8_*_*_* --min 1", 1, "a cron expression only says when a schedule begins"),
        ("schedule add sleeper Mon_08:00-09:00 --min 1 --timezone Asia/Soul", 1, "did you mean Asia/Seoul?"),
        ("schedule add sleeper Mon_08:00-09:00 --min 5", 1, "above the service's max of 2"),
        ("schedule add sleeper Mon_08:00-09:00", 1, "has neither min nor max"),
        ("rule remove sleeper r7", 1, "There is no rule"),
        ("rule list nobody", 1, "There is no service"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    fleet: dict[str, Scaled], site: Gateway, words: str, status: int, sentence: str
) -> None:
    before = fleet["sleeper"].client.autoscaling("sleeper")
    ran = site.cli(*(word.replace("_", " ") if ":" in word or "*" in word else word for word in words.split()))
    assert (ran.returncode, ran.stdout) == (status, "")
    assert sentence in ran.stderr
    assert ran.stderr.count("\n") == 1
    after = fleet["sleeper"].client.autoscaling("sleeper")
    assert before is not None
    assert after is not None
    assert (after.rules, after.schedules, after.min, after.max) == (before.rules, before.schedules, 0, 2)


def test_rules_in_backend_ais_words_are_taken_or_refused_with_the_reason(fleet: dict[str, Scaled]) -> None:
    client = fleet["sleeper"].client
    v1 = {"metric_source": "KERNEL", "metric_name": "cuda_util", "threshold": "20", "comparator": "lt",
          "step_size": -1, "cooldown_seconds": 60}  # fmt: skip
    (rule,) = client.add_rule("sleeper", v1).rules
    assert (rule.metric, rule.above, rule.below, rule.step, rule.cooldown) == ("gpu_util", None, 20.0, 1, 60.0)
    client.remove_rule("sleeper", rule.id)
    with pytest.raises(InvalidRequest, match=r"net_rx.*is not measured here"):
        client.add_rule("sleeper", {**v1, "metric_name": "net_rx"})


# --- to zero and back ----------------------------------------------------------------------------------------


def idle(service: Scaled) -> None:
    eventually(lambda: service.client.get(service.name).state == "idle", f"{service.name} is idle", SEEN)
    eventually(lambda: not service.client.get(service.name).replicas.total, f"{service.name} has no process left")


def woken(service: Scaled) -> None:
    """It has been to zero and back, by an earlier test or now."""
    if not any(each.count == 1 for each in service.changes()):
        idle(service)
        assert service.call("hello").result().status_code == 200


def test_a_call_wakes_a_service_that_is_at_zero(fleet: dict[str, Scaled], site: Gateway) -> None:
    """It is held while the replica starts, and answered by it; others that come meanwhile are, too."""
    service = fleet["sleeper"]
    idle(service)
    listed = next(line for line in site.cli("list").stdout.splitlines() if line.startswith("sleeper"))
    assert listed.split()[1:4] == ["idle", "0/0", "(0-2)"]
    assert service.changes()[-1].reason.startswith("from 1 to 0: idle wants 0 (no call for ")
    began = time.monotonic()
    answers = [each.result() for each in [service.call("hello") for _ in range(3)]]
    assert [each.status_code for each in answers] == [200, 200, 200]
    assert 0.5 <= time.monotonic() - began < 20
    assert service.counts() == (1, 1)
    up = service.changes()[-1]
    assert (up.before, up.count) == (0, 1)
    assert up.wishes[-1].source == "call"


def test_a_start_that_fails_tells_its_callers_the_reason_at_once(fleet: dict[str, Scaled], fail_file: Path) -> None:
    """And when what was wrong is mended, the next call is answered."""
    service = fleet["broken"]
    idle(service)
    fail_file.touch()
    began = time.monotonic()
    answers = [each.result() for each in [service.call("hello") for _ in range(2)]]
    assert time.monotonic() - began < 30  # it would be held for five minutes
    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "its last replica exited with code 1 while loading" in answer.json()["error"]["message"]
    assert service.client.get("broken").state == "idle"
    fail_file.unlink()
    eventually(lambda: service.call("hello").result().status_code == 200, "the next call is answered", 60)


def test_what_happened_is_explained(fleet: dict[str, Scaled], site: Gateway) -> None:
    service = fleet["sleeper"]
    woken(service)
    ran = site.cli("explain", "sleeper", "--last", "100")
    head, *blocks = ran.stdout.split("\n\n")
    assert "sleeper is " in head
    assert len(blocks) == len(service.decisions()) or len(blocks) == len(service.decisions()) - 1
    (down, *_) = [block for block in blocks if "from 1 to 0: idle wants 0 (no call for " in block] or [ran.stdout]
    assert "\n  measured  demand 0, " in down
    assert "\n  wanted    SOURCE  WANTS  WHY\n" in down
    assert "\n  allowed   0 to 2 replicas; nothing was cut" in down
    told = "nothing is taken away before 60 s have been seen"
    (kept, *_) = [block for block in blocks if told in block] or [ran.stdout]
    assert "stays at 1: idle wants 0 " in kept
    as_json = json.loads(site.cli("explain", "sleeper", "--last", "3", "--json").stdout)["decisions"]
    assert len(as_json) == 3
    assert as_json[-1]["bounds"]["max"] == 2


def test_followed_explanations_come_as_decisions_are_taken(fleet: dict[str, Scaled], site: Gateway) -> None:
    words = [
        sys.executable,
        "-m",
        "jupyter_model_service.cli",
        "explain",
        "sleeper",
        "--follow",
        "--json",
        "--last",
        "1",
    ]
    with subprocess.Popen(words, env=site.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            first = json.loads(following.stdout.readline())
            fleet["sleeper"].client.autoscale("sleeper", max=3)
            second = json.loads(following.stdout.readline())
        finally:
            following.kill()
    assert second["since"] > first["since"]
    assert second["bounds"]["max"] == 3


def test_figures_over_time_show_what_happened(fleet: dict[str, Scaled]) -> None:
    service = fleet["sleeper"]
    woken(service)
    idle(service)

    def ready() -> set[float | None]:
        return set(service.client.series("sleeper", since=time.time() - 300).values["replicas_ready"])

    eventually(lambda: ready() >= {0.0, 1.0}, "no replica, and one")
    series = service.client.series("sleeper", since=time.time() - 300)
    assert series.step == 2.0
    assert max(value for value in series.values["calls_per_second"] if value is not None) > 0


def test_prometheus_counts_what_was_decided(fleet: dict[str, Scaled]) -> None:
    service = fleet["sleeper"]
    woken(service)
    idle(service)
    client, headers = service.client, {"Authorization": f"Bearer {service.client.token}"}
    page = httpx.get(client.url + "metrics", headers=headers, trust_env=False).text
    counted = {
        (sample.name, sample.labels.get("direction")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.labels.get("service", "").endswith("/sleeper")
    }
    changes = service.changes()
    decided, cold_starts = "model_service_autoscaling_decisions_total", "model_service_cold_starts_total"
    assert counted[decided, "up"] == sum(each.count > each.before for each in changes) >= 1
    assert counted[decided, "down"] == sum(each.count < each.before for each in changes) >= 1
    assert counted[cold_starts, None] == sum(each.wishes[-1].source == "call" for each in changes) >= 1


def test_it_can_be_deleted_while_it_sleeps(fleet: dict[str, Scaled]) -> None:
    """And its endpoint is like one that there never was: without a token nobody is told which there are."""
    service = fleet["sleeper"]
    idle(service)
    service.client.delete("sleeper")
    with pytest.raises(NotFound):
        eventually(lambda: service.client.get("sleeper") is None, "the service is gone")
    assert service.call("hello").result().status_code == 401


# --- the definition, and a restart ---------------------------------------------------------------------------


def test_a_definition_brings_its_policy(owner: Client, callers: Callers, tmp_path: Path) -> None:
    policy = {"min": 1, "max": 2, "target_concurrency": 1, "rules": [{"metric": "queued", "above": 5}]}
    folder = model_folder(tmp_path / "model", autoscaling=policy)
    made = owner.create(folder, "defined", public=True)
    assert made.autoscaling is not None
    assert (made.autoscaling.max, made.autoscaling.aim, made.autoscaling.rules[0].metric) == (2, 1.0, "queued")
    owner.wait_ready("defined", timeout=60)
    service = Scaled(owner, "defined", callers)
    service.until(2, meanwhile=lambda: service.many(8, "hold?seconds=0.5"))
    owner.delete("defined")


def test_a_model_that_cannot_start_is_not_answered_with_more_of_it(owner: Client, tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    fail.touch()
    folder = model_folder(tmp_path / "model", autoscaling={"min": 2, "max": 8})
    owner.create(folder, "hopeless", public=True, environment={"FAIL_FILE": str(fail)})
    with pytest.raises(LaunchError, match="weights are missing"):
        owner.wait_ready("hopeless", timeout=90)
    assert not [each for each in owner.decisions("hopeless", limit=100) if each.count > 2]
    owner.delete("hopeless")


def test_a_gateway_that_is_restarted_in_a_burst_takes_nothing_away_before_it_has_seen_a_minute(
    gateway: Gateway, tmp_path: Path
) -> None:
    """Killed under load; the calls end with it, so that the new one sees none and could think that nobody calls."""
    callers = Callers()
    try:
        with gateway.client() as client:
            client.create(model_folder(tmp_path / "model"), "burst", public=True)
            client.autoscale("burst", min=1, max=3, target_concurrency=2, down_delay=0)
            client.wait_ready("burst", timeout=60)
            service = Scaled(client, "burst", callers)
            service.until(3, 60, meanwhile=lambda: service.many(16, "hold?seconds=0.5"))
        held = [service.call("hold?seconds=30") for _ in range(4)]
        gateway.kill()
        for each in held:
            with pytest.raises(httpx.TransportError):
                each.result()
        began = time.time()
        gateway.start()
        with gateway.client() as client:
            service = Scaled(client, "burst", callers)
            told = "nothing is taken away before 60 s have been seen"
            eventually(lambda: any(each.bound == told for each in service.decisions()), "a decision that waits")
            assert service.decisions()[-1].wishes[0].count == 1
            threading.Event().wait(max(0.0, began + 20 - time.time()))
            assert service.counts() == (3, 3)
            assert service.changes() == []
            service.until(2, SEEN)  # and by half at most, when the minute is over
            assert service.changes()[0].at - began > 60
    finally:
        callers.close()
