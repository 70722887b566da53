"""What is written down of an action: what changed and nothing else, in one line that nobody can break, and bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_model_service.core.audit import LARGEST, MOST_FOLDED, Entry, Folding, bounded, differences, json_line


def entry(**given: Any) -> Entry:
    usual: dict[str, Any] = {"at": 5.0, "who": "", "address": "10.0.0.1", "action": "get_service", "status": 401}
    return Entry(**{**usual, **given})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {"a": 1}, (None, {"a": 1})),
        ({"a": 1}, None, ({"a": 1}, None)),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ({"b": 2}, {"b": 3})),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "z": 2}}, ({"a": {"y": 2}}, {"a": {"z": 2}})),
        ({"a": 1}, {"a": 1}, ({}, {})),
    ],
)
def test_only_what_is_not_the_same_is_said(before: Any, after: Any, expected: Any) -> None:
    """All of it where something was made or ended."""
    assert differences(before, after) == expected


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    """Neither an end of line nor an escape of a terminal comes out as it went in."""
    evil = 'x"}\n{"who":"admin\u2028\x1b[2J\x00'
    line = json_line(entry(who=evil, target=evil, after={evil: evil}))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.isascii()
    assert not any(byte < 32 for byte in line[:-1])
    assert json.loads(line)["who"] == evil


def test_what_no_database_takes_is_made_such_that_it_does() -> None:
    """Half a character, a value of no JSON type, a name and a state without end."""
    kept = bounded(entry(who="\ud800" + "w" * 5000, after={"\udc00": {1, 2}, "emoji": "😀"}))
    assert len(kept.who) == 300
    json_line(kept).decode()
    assert kept.after is not None
    assert kept.after["emoji"] == "😀"
    kept.who.encode()
    huge = bounded(entry(after={"replicas": 1, "x": "y" * LARGEST}))
    assert huge.after == {"too_long": LARGEST + 24, "keys": ["replicas", "x"]}


def test_denials_of_one_kind_are_one_entry_with_their_number() -> None:
    folding = Folding(60.0)
    for _ in range(3):
        folding.add(entry())
    folding.add(entry(address="10.0.0.2"))
    folding.add(entry(at=30.0, action="delete_service"))
    assert folding.due(64.9) == []
    assert folding.next_at() == 65.0
    assert [(each.address, each.count) for each in folding.due(65.0)] == [("10.0.0.1", 3), ("10.0.0.2", 1)]
    assert [(each.action, each.count) for each in folding.due()] == [("delete_service", 1)]
    assert folding.next_at() is None


def test_a_hundred_thousand_denials_stay_few_and_none_is_missing() -> None:
    """Names that are tried, and addresses of a whole network: what is too much to tell apart is counted together."""
    folding = Folding()
    for n in range(50_000):
        folding.add(entry(target=f"bob/s{n}", status=404))
    assert len(folding) == 21
    for n in range(50_000):
        folding.add(entry(address=f"2001:db8::{n:x}", who=f"u{n}"))
    assert len(folding) <= MOST_FOLDED + 1
    assert sum(each.count for each in folding.due()) == 100_000
    assert not folding._targets
