"""The reference of metrics, rules and schedules is what the software does."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jupyter_model_service.adapters.yaml_document import read_yaml
from jupyter_model_service.core.scaling.policy import Schedule
from jupyter_model_service.core.scaling.reading import autoscaling_from_plain
from jupyter_model_service.core.scaling.schedules import check, state_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "autoscaling-reference.md").read_text("utf-8")
BERLIN = ZoneInfo("Europe/Berlin")


def test_the_example_is_taken() -> None:
    (example,) = re.findall(r"```yaml\n(rules:.*?)```", PAGE, re.DOTALL)
    document: Any = read_yaml(example).data
    policy = autoscaling_from_plain({"max": 4, **document})
    assert [(rule.above, rule.below, rule.step) for rule in policy.rules] == [(80, None, 1), (None, 20, 1), (10, 2, 2)]


def test_the_forms_of_schedules_are_taken() -> None:
    (table,) = re.findall(r"\| form \| means \|\n.*?\n\n", PAGE, re.DOTALL)
    forms = [form for row in table.strip().splitlines()[2:] for form in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert "duration: 39600" in forms
    for form in forms:
        if not form.startswith("duration"):
            text = form.replace("…", "10:00-11:00")
            check(Schedule("s1", text, duration=39_600.0 if text.startswith("0") else None, min=1))


@pytest.mark.parametrize(
    ("day", "window", "begin", "end"),
    [
        ("2026-03-29", "02:30-05:00", "03:00+02:00", "05:00+02:00"),
        ("2026-03-29", "01:00-02:30", "01:00+01:00", "03:00+02:00"),
        ("2026-03-29", "02:10-02:50", None, None),
        ("2026-10-25", "02:30-05:00", "02:30+02:00", "05:00+01:00"),
        ("2026-10-25", "01:00-02:30", "01:00+02:00", "02:30+01:00"),
        ("2026-10-25", "02:10-02:50", "02:10+02:00", "02:50+01:00"),
    ],
)
def test_what_is_said_of_changed_clocks_is_so(day: str, window: str, begin: str | None, end: str | None) -> None:
    assert PAGE.count(f"`{window}`") == 2  # in spring and in autumn
    schedule = Schedule("s1", f"daily {window}", "Europe/Berlin", min=1)
    midnight = datetime.fromisoformat(f"{day} 00:30").replace(tzinfo=BERLIN).timestamp()
    _, begins = state_of(schedule, midnight)
    assert begins is not None
    _, ends = state_of(schedule, begins)
    assert ends is not None
    told = [datetime.fromtimestamp(at, BERLIN).isoformat(sep=" ", timespec="minutes") for at in (begins, ends)]
    if begin is None:
        assert told[0].startswith("2026-03-30 ")
    else:
        assert told == [f"{day} {begin}", f"{day} {end}"]
