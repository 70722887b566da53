"""The verbs about autoscaling: what is sent, and what people are shown."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service import wire
from jupyter_model_service.cli.scaling import pictured, show_value, sparkline
from jupyter_model_service.commands.scaling import follow, local_zone
from jupyter_model_service.errors import NotFound

from ..client.fake_gateway import FakeGateway, autoscaling, decision, refusal, replica, service
from .conftest import Ran

Line = Callable[..., Ran]
BASE = "api/v1/services/ada/demo"
NOON = 1750000000.0  # 2025-06-15 15:06:40 UTC, a Sunday


@pytest.fixture(autouse=True)
def demo(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(want=2)


def sent(fake: FakeGateway) -> list[tuple[str, str, Any]]:
    return [(method, path, body) for method, path, _, body in fake.requests if method != "GET"]


def scaled(fake: FakeGateway, **changes: Any) -> None:
    bounds = {"min": 2, "max": 8, "why_min": "min of schedule s1", "changes_at": time.time() + 7200}
    schedule = {"id": "s1", "when": "Mon-Fri 08:00-19:00", "timezone": "Asia/Seoul", "min": 2}
    content = {
        "min": 0, "max": 8, "aim": 5.6, "bounds": bounds, "schedules": [schedule], "last": "stays at 2: no calls",
        "last_at": NOON, "rules": [{"id": "r1", "metric": "gpu_util", "above": 80.0, "below": 30.0}], **changes,
    }  # fmt: skip
    fake.services["ada/demo"] = service(want=2, autoscaling=autoscaling(**content))


# --- wrong lines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rule"], "What is missing here: VERB."),
        (["rule", "ad", "demo"], "There is no verb 'ad' of rule. Did you mean 'add'?"),
        (["rule", "add", "demo"], "What is missing here: --metric."),
        (["rule", "add", "demo", "--metric", "x", "--step", "0"], "'0' is not a number from 1 to 100"),
        (["rule", "add", "demo", "--metric", "x", "--above", "much"], "'much' is no value of a metric"),
        (["rule", "add", "demo", "--metric", "x", "--abov", "1"], "takes no option '--abov'. Did you mean '--above'?"),
        (["schedule", "add", "demo"], "What is missing here: WHEN."),
        (["schedule", "add", "demo", "0 8 * * *", "--for", "11"], ""),
        (["autoscale", "demo", "--min", "-1"], "'-1' is not a number from 0 to 100"),
        (["autoscale", "demo", "--target-concurrency", "0"], "'0' is no number of calls at once"),
        (["autoscale", "demo", "--target-concurrency", "4", "--no-target"], "not allowed with"),
        (["autoscale", "demo", "--off", "--resume"], "not allowed with"),
        (["autoscale", "demo", "--off", "--max", "3"], "--off goes with no other option."),
        (["autoscale", "demo", "--resume", "--min", "0"], "--resume goes with no other option."),
        (["explain", "demo", "--last", "101"], "'101' is not a number from 1 to 100"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_changes_nothing(
    line: Line, fake: FakeGateway, words: list[str], sentence: str
) -> None:
    if not sentence:  # 11 seconds of a schedule are for the gateway to refuse
        fake.answers["POST", f"{BASE}/autoscaling/schedules"] = refusal(400, "invalid_request", "Too short.")
        assert line(*words).err == "Too short.\n"
        return
    ran = line(*words)
    assert (ran.status, ran.out) == (2, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
    assert "--help" in ran.err
    assert sent(fake) == []


def test_a_bad_rule_is_the_gateways_sentence(line: Line, fake: FakeGateway) -> None:
    told = 'rule: metric "gpu_utl" is unknown; did you mean "gpu_util"?'
    fake.answers["POST", f"{BASE}/autoscaling/rules"] = refusal(400, "invalid_request", told)
    ran = line("rule", "add", "demo", "--metric", "gpu_utl", "--above", "80")
    assert (ran.status, ran.out, ran.err) == (1, "", told + "\n")


# --- what is sent --------------------------------------------------------------------------------------------


def test_the_options_of_autoscale_are_the_policy(line: Line, fake: FakeGateway) -> None:
    line("autoscale", "demo", "--min", "0", "--max", "8", "--target-concurrency", "4")
    line("autoscale", "demo", "--idle-after", "90", "--down-delay", "0")
    line("autoscale", "demo", "--no-target")
    bodies = [body for _, _, body in sent(fake)]
    assert bodies[0] == {"min": 0, "max": 8, "target": True, "target_concurrency": 4.0}
    assert bodies[1:] == [{"idle_after": 90.0, "down_delay": 0.0}, {"target": False}]


def test_the_forms_of_thresholds(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(autoscaling=autoscaling(max=8))
    """Those with a unit go to the gateway as they are: it knows that of the metric."""
    for metric, above in (("x", "80"), ("x", "-1"), ("gpu_util", "80%"), ("memory", "512m"), ("latency_p50", "1m30s")):
        assert line("rule", "add", "demo", "--metric", metric, f"--above={above}").status == 0
    assert [body["above"] for _, _, body in sent(fake)] == [80.0, -1.0, "80%", "512m", "1m30s"]


def test_rules_and_schedules_are_added_listed_and_removed(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(autoscaling=autoscaling(max=8))
    added = line("rule", "add", "demo", "--metric", "gpu_util", "--above", "80", "--step", "2", "--cooldown", "10m")
    assert added.out.startswith("Added rule r1: gpu_util above 80 % adds 2; mean of 60s, rests 10m.\n")
    line("rule", "add", "demo", "--metric", "memory", "--below", "1g", "--min", "1", "--max", "4", "--window", "30s")
    assert line("rule", "list", "demo").out.splitlines() == [
        "RULE  METRIC    ABOVE  BELOW    STEP  COOLDOWN  WINDOW  REPLICAS",
        "r1    gpu_util  80 %   -        2     10m       60s     -",
        "r2    memory    -      1.0 GiB  1     5m        30s     1 at least, 4 at most",
    ]
    assert [r["id"] for r in json.loads(line("rule", "list", "demo", "--json").out)["rules"]] == ["r1", "r2"]
    assert line("rule", "remove", "demo", "r1").out == "Removed rule r1 of ada/demo.\n"
    added = line("schedule", "add", "demo", "0 8 * * 1-5", "--for", "11h", "--min", "2", "--timezone", "Asia/Seoul")
    assert added.out == "Added schedule s1: 0 8 * * 1-5 for 11h, time of Asia/Seoul: 2 at least.\n"
    assert (
        line("schedule", "list", "demo").out.splitlines()[1] == "s1        0 8 * * 1-5 for 11h  Asia/Seoul  2 at least"
    )
    line("schedule", "remove", "demo", "s1")
    assert line("schedule", "list", "demo").out.startswith("No schedules yet: ")
    wire.RuleInfo.model_validate_json(line("rule", "add", "demo", "--metric", "queued", "--above", "1", "--json").out)


def test_what_a_change_does_besides_is_told_beside_its_answer(line: Line, fake: FakeGateway) -> None:
    told = "It was not autoscaled before, and is now."
    info = autoscaling(max=8, notices=[told], rules=[{"id": "r1", "metric": "queued", "above": 1}])
    fake.answers["POST", f"{BASE}/autoscaling/rules"] = (201, info, {})
    ran = line("rule", "add", "demo", "--metric", "queued", "--above", "1", "--json")
    assert told in ran.err
    assert json.loads(ran.out)["id"] == "r1"
    fake.answers["POST", f"{BASE}/update"] = (202, service(notices=["model-definition.yaml:7: x has no effect."]), {})
    ran = line("update", "demo", "--cpu", "2", "--detach")
    assert "model-definition.yaml:7: x has no effect." in ran.err


def test_a_service_that_does_not_scale_has_no_rules_to_list(line: Line) -> None:
    ran = line("rule", "list", "demo")
    assert (ran.status, ran.err) == (1, "ada/demo is not autoscaled: it has neither rules nor schedules.\n")


def test_a_schedule_has_the_time_zone_of_the_machine_or_asks_for_one(
    line: Line, fake: FakeGateway, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for given, zone in (("Asia/Seoul", "Asia/Seoul"), (":/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
                            ("UTC", "UTC"), ("", "UTC"), ("JST-9", None), ("../../etc/passwd", None)):  # fmt: skip
            patch.setenv("TZ", given)
            assert local_zone() == zone
        ran = line("schedule", "add", "demo", "Mon 08:00-09:00", "--min", "2")
        assert ran.err.startswith("The name of this machine's time zone is not known: add --timezone")
        assert (ran.status, sent(fake)) == (2, [])
        patch.setenv("TZ", "Asia/Seoul")
        line("schedule", "add", "demo", "Mon 08:00-09:00", "--min", "2")
        assert sent(fake)[-1][2]["timezone"] == "Asia/Seoul"
        patch.delenv("TZ")
        assert local_zone(str(tmp_path / "localtime")) == "UTC"
        (tmp_path / "localtime").write_bytes(b"a copy")
        assert local_zone(str(tmp_path / "localtime")) is None


# --- what people see -----------------------------------------------------------------------------------------


def test_the_policy_says_what_holds_now_and_until_when(line: Line, fake: FakeGateway) -> None:
    scaled(fake)
    ran = line("autoscale", "demo")
    facts = dict(each.strip().split(":", 1) for each in ran.out.split("\n\n")[0].splitlines()[1:])
    assert facts["State"].strip() == "ready, 2 of 2 replicas ready"
    assert facts["Bounds"].strip() == "2 to 8 replicas (min of schedule s1)"
    assert "Asia/Seoul, in 1 h 59 min" in facts["Next change"]
    assert facts["Target"].strip() == "5.6 calls at once for each replica (auto)"
    assert facts["Fewer"].strip() == "not below what was wanted in the last 5m; none when no call came for 15m"
    assert facts["Last"].strip() == "15:06:40  stays at 2: no calls"
    assert "r1    gpu_util  80 %   30 %" in ran.out
    assert "s1        Mon-Fri 08:00-19:00  Asia/Seoul  2 at least" in ran.out
    assert sent(fake) == []
    wire.AutoscalingInfo.model_validate_json(line("autoscale", "demo", "--json").out)


def test_the_next_change_is_told_in_the_schedules_own_time(line: Line, fake: FakeGateway) -> None:
    """19:00 in Seoul is 10:00 UTC, which is what the machine has."""
    scaled(fake, bounds={"min": 2, "max": 8, "changes_at": 1782122400.0})  # 2026-06-22 10:00 UTC
    assert "Next change:  Mon 2026-06-22 19:00 Asia/Seoul, in " in line("autoscale", "demo").out


def test_a_service_that_does_not_scale_is_told_how_to_begin(line: Line) -> None:
    ran = line("autoscale", "demo")
    assert ran.status == 0
    assert ran.out.startswith("demo is not autoscaled: it has the 2 replicas that it was given.\n")
    assert json.loads(line("autoscale", "demo", "--json").out) == {"autoscaling": None}
    assert line("explain", "demo").out.startswith("demo is not autoscaled")


def test_scaling_by_hand_says_that_it_holds_and_how_to_go_on(line: Line, fake: FakeGateway) -> None:
    scaled(fake, held=True)
    told = "eld at 2 replicas, since it was scaled by hand; go on with: jupyter model-service autoscale demo --resume"
    assert told in line("scale", "demo", "2").out
    assert told in line("scale", "demo", "2", "--detach").out
    assert told in line("info", "demo").out
    assert told.removeprefix("eld ") in line("autoscale", "demo").out
    assert "2/2 (held)" in line("list").out
    line("autoscale", "demo", "--resume")
    assert ("POST", f"{BASE}/autoscaling/resume", {}) in sent(fake)
    assert "eld at" not in line("scale", "demo", "2").out


def test_the_end_of_autoscaling_says_what_stays(line: Line, fake: FakeGateway) -> None:
    scaled(fake)
    assert line("autoscale", "demo", "--off").out == (
        "ada/demo is not autoscaled any more: it stays at 2 until it is scaled.\n"
    )
    assert sent(fake) == [("DELETE", f"{BASE}/autoscaling", None)]


def test_lists_show_what_is_idle_and_between_what_it_scales(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service("demo", "idle", want=0, autoscaling=autoscaling(min=0, max=8))
    fake.services["ada/fixed"] = service("fixed")
    rows = line("list").out.splitlines()
    assert rows[1].split()[:4] == ["demo", "idle", "0/0", "(0-8)"]
    assert rows[2].split()[:3] == ["fixed", "ready", "1/1"]
    assert "Autoscaling:  0-8 replicas (why so many: jupyter model-service explain demo)" in line("info", "demo").out


def test_a_service_that_went_to_sleep_while_it_was_waited_for_is_no_failure(line: Line, fake: FakeGateway) -> None:
    idle = service("demo", "idle", want=0, autoscaling=autoscaling(min=0))
    fake.answers["POST", "api/v1/services"] = 201, idle, {}
    fake.services["ada/demo"] = idle
    ran = line("create", ".")
    assert ran.status == 0
    assert ran.out.startswith("demo is idle: the next call starts a replica.\nEndpoint: ")


# --- explaining ----------------------------------------------------------------------------------------------

WISHES = [
    {"source": "target", "count": 4, "why": "9.5 calls at once, 4 per replica"},
    {"source": "rule r1", "count": None, "why": "gpu_util is unknown: replica demo-a1b2c3 was given no GPU"},
]
DECIDED = decision(
    NOON + 4,
    3,
    1,
    reason="from 1 to 3: target wants 4, but max is 3",
    wishes=WISHES,
    measured={"demand": 9.5, "gpu_util": None, "service_time": 0.25},
    bounds={"min": 0, "max": 3},
    bound="max is 3",
)


def test_a_decision_is_explained_whole(line: Line, fake: FakeGateway) -> None:
    scaled(fake)
    fake.decisions = [DECIDED]
    head, block = line("explain", "demo").out.rstrip("\n").split("\n\n")
    assert head == "ada/demo is ready, 2 of 2 replicas ready; 2 to 8 replicas (min of schedule s1) now"
    assert block.splitlines() == [
        "15:06:44  from 1 to 3: target wants 4, but max is 3",
        "  measured  demand 9.5, service_time 250 ms; unknown: gpu_util",
        "  wanted    SOURCE   WANTS  WHY",
        "            target   4      9.5 calls at once, 4 per replica",
        "            rule r1  -      gpu_util is unknown: replica demo-a1b2c3 was given no GPU",
        "  allowed   0 to 3 replicas; what cut it: max is 3",
    ]


def test_the_last_decisions_are_shown_and_how_long_each_held(line: Line, fake: FakeGateway) -> None:
    scaled(fake)
    quiet = decision(NOON + 18, reason="stays at 1: 1.5 calls at once", since=NOON + 6)
    fake.decisions = [decision(NOON), DECIDED, quiet]
    blocks = line("explain", "demo", "--last", "2").out.split("\n\n")[1:]
    assert blocks[0].startswith("15:06:44  from 1 to 3")
    assert blocks[1] == "15:06:46 to 15:06:58  stays at 1: 1.5 calls at once\n"
    raw = json.loads(line("explain", "demo", "--last", "2", "--json").out)["decisions"]
    assert [each["at"] for each in raw] == [NOON + 4, NOON + 18]


def test_an_explanation_can_be_followed_over_a_restart_until_the_service_goes(fake: FakeGateway) -> None:
    """Each decision once; one of which only the figures change is no new one."""
    from jupyter_model_service.client.address import Locator
    from jupyter_model_service.client.light import Connection

    fake.decisions = [decision(1.0), decision(2.0, 2), decision(3.0)]

    def then(steps: list[Callable[[], Any]]) -> Callable[[float], None]:
        return lambda seconds: steps.pop(0)()

    steps = [
        lambda: fake.decisions.append(decision(4.0, since=3.0)),
        lambda: fake.decisions.append(decision(6.0, 2, 1)),
        lambda: fake.answers.update({("GET", f"{BASE}/decisions"): (503, b"<html>", {})}),
        lambda: (fake.answers.clear(), setattr(fake, "decisions", [decision(9.0, 2)])),
        lambda: fake.services.clear(),
    ]
    seen: list[float] = []
    followed = follow(Connection(Locator(data_dir=fake.data_dir)), ("ada", "demo"), 2, then(steps))
    with pytest.raises(NotFound):
        seen.extend(each["at"] for each in followed)
    assert seen == [2.0, 3.0, 6.0, 9.0]


# --- pictures ------------------------------------------------------------------------------------------------


def test_a_sparkline_keeps_every_burst_and_shows_what_is_not_known() -> None:
    assert sparkline([0.0, 4.0, 8.0, None]) == "▁▄█ "
    assert sparkline([None, None]) == "  "
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([0.0] * 99 + [5.0] + [0.0] * 100, 20).count("█") == 1
    assert len(sparkline([1.0] * 100, 20)) == 20
    assert sparkline([]) == ""


def test_pictures_need_an_output_that_has_the_letters() -> None:
    assert pictured(io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert not pictured(io.TextIOWrapper(io.BytesIO(), "latin-1"))


def test_figures_have_the_unit_of_their_metric() -> None:
    shown = [show_value(*each) for each in (("rule r1: gpu_util", 81.25), ("memory", 2.0**31), ("latency_p95", 0.25),
                                            ("errors", 0.05), ("queued", 3.0), ("gpu_util", None), ("latency_p50", 0.00515),
                                            ("latency_p99", 0.9999), ("latency_p99", 1.5), ("latency_p95", 0.0))]  # fmt: skip
    assert shown == ["81.2 %", "2.0 GiB", "250 ms", "5 %", "3", "unknown", "5.15 ms", "1 s", "1.5 s", "0 s"]


def test_a_replica_that_drains_does_not_hide_that_a_service_is_idle(line: Line, fake: FakeGateway) -> None:
    idle = service("demo", "idle", want=0, reason="idle since 15:06: the next call starts a replica",
                   replica_list=[replica("demo-aaaaaa", "draining")])  # fmt: skip
    fake.services["ada/demo"] = idle
    assert "State:        idle, 0 of 0 replicas ready" in line("info", "demo").out
