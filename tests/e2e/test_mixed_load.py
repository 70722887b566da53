"""The one-minute form of ``benchmarks/mixed_load.py``: every kind of call at once, while replicas are killed, hung, made to
answer 503, scaled, updated and drained one after the other."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SECONDS = 30.0  # and as much longer as it takes until everything was done once


@pytest.fixture(scope="module")
def mixed() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import mixed_load
        import mixed_tally
    finally:
        sys.path.remove(str(BENCHMARKS))
    return SimpleNamespace(load=mixed_load, tally=mixed_tally)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_mixed_load_fails_no_call_and_leaves_nothing_behind(mixed: Any) -> None:
    """No failed call as ``docs/reliability.md`` has it; every counter back at 0; no object of a call, descriptor, task or
    thread left, and no memory but for what was learnt."""
    report = mixed.load.run(SECONDS, every=1.5)
    print(report.text())
    assert report.judge() == [], report.text()
    assert len(report.deeds) >= 8, "each thing was done"
    assert len(report.tally.versions) >= 2, "an update came in between"


def test_what_counts_as_a_failed_call(mixed: Any) -> None:
    """A stream breaks only where its replica was ended, and a call that met two such, or was too long to be kept, is
    refused as documented; anything else counts."""
    tally = mixed.tally.Tally()
    tally.fail("events", "broken", began=1.0, replica="m-1")
    tally.fail("events", "broken", began=1.0, replica="m-2")
    tally.fail("events", "broken before its head", began=1.0)
    tally.fail("json", "502", began=1.0, code="replica_died", size=10)
    tally.fail("upload", "502", began=1.0, code="replica_died", size=20 << 20)
    tally.fail("json", "504", began=1.0, code="first_byte_timeout", size=10)
    assert len(tally.failed()) == 6
    tally.trouble.ended["m-1"] = 2.0
    assert [failure.detail for failure in tally.failed()] == ["broken", "broken before its head", "502", "504"]
    tally.trouble.ended["m-3"] = 0.5  # before that call
    assert len(tally.failed()) == 4
    tally.trouble.ended["m-4"] = 3.0
    assert [failure.detail for failure in tally.failed()] == ["broken", "broken before its head", "504"]


def test_what_is_left_behind_is_seen(mixed: Any) -> None:
    """The judge is worth as much as what it would not let through."""
    before = {
        "rss_mb": 80.0,
        "descriptors": 20,
        "threads": 3,
        "workers": 6,
        "tasks": 15,
        **dict.fromkeys(mixed.load.OF_CALLS, 0),
    }
    whole = {kind.replace("_", " "): 1 for kind in mixed.load.CALLERS}

    def judged(tally: Any = None, **changed: Any) -> list[str]:
        after = {**before, **{name: value for name, value in changed.items() if name in before}}
        others = {name: value for name, value in changed.items() if name not in before}
        tally = mixed.tally.Tally()
        tally.whole.update(whole)
        found: list[str] = mixed.load.Report(1.0, tally, before, after, **others).judge()
        return found

    assert judged() == []
    for wrong in (
        {"Call": 1},
        {"Upstream": 2},
        {"descriptors": 40},
        {"tasks": 30},
        {"threads": 6},
        {"workers": 60},
        {"rss_mb": 200.0},
        {"in_flight": {"gateway: m-1": 1}},
        {"metrics": {"model_service_queue_length": 1.0}},
        {"problems": ["left behind: a process"]},
        {"log": "ERROR asyncio: Task exception was never retrieved"},
    ):
        assert len(judged(**wrong)) == 1, wrong
    whole.pop("websocket")
    assert judged() == ["no call of the kind websocket was whole"]
