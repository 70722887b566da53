"""What changed, as a line for people; with --json it is JSON."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_model_service.cli.audit import entry_line
from jupyter_model_service.cli.text import Paint, moment
from jupyter_model_service.core.audit_words import changed

RULES = [{"methods": ["GET", "HEAD"], "path": "/a"}]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, None, ""),
        ({"replicas": 1, "stopped": False}, {"replicas": 3, "stopped": True}, "replicas: 1 -> 3, stopped: no -> yes"),
        (
            {"shares": {}},
            {"shares": {"user:bob": {"role": "caller", "limits": None}}},
            "shares user:bob role: - -> caller",
        ),
        (
            {"shares": {"user:bob": {"role": "caller", "limits": {"in_flight": 2}}}},
            {"shares": {"user:bob": {"role": "viewer", "limits": None}}},
            "shares user:bob role: caller -> viewer, shares user:bob limits in_flight: 2 -> -",
        ),
        ({"environment": ["A"]}, {"environment": ["A", "B"]}, "environment: [A] -> [A, B]"),
        ({"limits": {}}, {"limits": {"max_cpus": 0.5}}, "limits max_cpus: - -> 0.5"),
        (None, {"replicas": 1, "image": None, "mounts": [], "public": False}, "replicas: 1, public: no"),
        ({"tokens": {"t1": {"name": "ci", "rules": RULES}}}, None, "tokens t1 name: ci, tokens t1 rules: [methods [GET, HEAD] path /a]"),
        (None, {"tried": {"role": "operator"}}, "tried role: operator"),
        ({"replicas": 1}, {"replicas": 2, "tried": {"replicas": 2}}, "replicas: 1 -> 2, tried replicas: 2"),
        ({"notice": None}, {"notice": "Ends, stopped: no -> yes"}, 'notice: - -> "Ends, stopped: no -> yes"'),
        ({"image": "no"}, {"image": "-"}, 'image: "no" -> "-"'),
        (
            {"tokens": {"t1": {"expires_at": 1_798_059_028.57}}},
            {"tokens": {"t1": {"expires_at": None}}},
            f"tokens t1 expires_at: {moment(1_798_059_028.57)} -> -",
        ),
        (None, {"tried": {"expires_in": 2592000, "id": "a7"}}, "tried expires_in: 30 days, tried id: a7"),
        (None, {"tried": {"expires_in": -1, "overlap": 1e300, "id": 5}}, "tried expires_in: -1, tried overlap: 1e+300, tried id: 5"),
        (None, {"name": "a\x1b[2J\nb"}, r'name: "a\u001b[2J\nb"'),
        (None, {"k, public: yes": 1}, '"k, public: yes": 1'),
        (None, {"folder": "/models/a.b", "image": "r.example/a:1@sha256:ab"}, "folder: /models/a.b, image: r.example/a:1@sha256:ab"),
    ],
)  # fmt: skip
def test_what_changed_is_said_in_words_that_nothing_in_it_can_add_to(before: Any, after: Any, said: str) -> None:
    line = entry_line({**ENTRY, "before": before, "after": after}, Paint(False))
    assert line.partition("  202")[2].strip() == said


def test_a_page_that_does_not_know_its_readers_zone_says_times_in_utc() -> None:
    assert changed({"expires_at": 1_798_059_028.57}, {}) == "expires_at: 2026-12-23 20:50:28 UTC"


def test_what_is_long_is_cut() -> None:
    line = entry_line({**ENTRY, "before": None, "after": {"text": "x" * 1000}}, Paint(False))
    assert len(line) < 400
    assert line.endswith("…")


ENTRY = {
    "at": 1_750_000_001.0,
    "who": "ada",
    "address": "10.0.0.7",
    "action": "scale_service",
    "target": "ada/demo",
    "status": 202,
    "code": "",
    "count": 1,
}
