"""What is written down of an action: what changed and nothing else, in one line that nobody can break, and bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_model_service.core.audit import MOST_FOLDED, Entry, Folding, bounded, differences, json_line


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


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_line_is_json_that_every_reader_takes(odd: float) -> None:
    """Python reads and writes NaN; Go, Rust and what collects logs refuse the line."""

    def refused(constant: str) -> None:
        raise AssertionError(constant)

    made = entry(after={"tried": {"replicas": odd, "above": [1.5]}})
    for line in (json_line(made), json_line(bounded(made))):
        told = json.loads(line, parse_constant=refused)["after"]["tried"]
        assert told["replicas"] in ("NaN", "Infinity", "-Infinity")
        assert told["above"] == [1.5]


def test_what_no_database_takes_is_made_such_that_it_does() -> None:
    """Half a character, a value of no JSON type, a name and a state without end."""
    kept = bounded(entry(who="\ud800" + "w" * 5000, after={"\udc00": {1, 2}, "emoji": "😀"}))
    assert len(kept.who) == 300
    json_line(kept).decode()
    assert kept.after is not None
    assert kept.after["emoji"] == "😀"
    kept.who.encode()


def test_nothing_is_hidden_behind_something_long() -> None:
    """An owner who changes the image and thirty thousand characters of names at once is told to have changed the
    image."""
    names = [f"NAME_{number:04}" for number in range(4000)]
    kept = bounded(entry(after={"environment": names, "image": "evil/image", "replicas": 3}))
    assert kept.after == {"environment": {"too_long": 52_000}, "image": "evil/image", "replicas": 3}
    many = bounded(entry(after={f"key{number}": "v" * 90 for number in range(1000)}))
    assert many.after is not None
    assert set(many.after) == {"too_long", "keys"}
    assert len(many.after["keys"]) == 50


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
    for n in range(49_000):
        folding.add(entry(address=f"2001:db8:{n:x}::1", who=f"u{n}"))
    assert len(folding) <= MOST_FOLDED + 1
    before = len(folding)
    for n in range(1_000):
        folding.add(entry(address=f"10.0.0.{n % 4}", action="delete_service"))
    assert len(folding) <= before + 5
    assert sum(each.count for each in folding.due()) == 100_000
    assert not folding._targets


def test_one_caller_makes_few_entries_whatever_she_tries_and_from_how_many_addresses_of_a_network() -> None:
    """Each operation with each name, from 2^16 of the 2^64 addresses that everybody with IPv6 has: she would push all
    others' denials into the entry of "others", and the log to the end of the disk."""
    folding = Folding()
    for n in range(20_000):
        folding.add(entry(address=f"2001:db8::{n:x}", action=f"operation{n % 45}", target=f"bob/s{n}"))
    assert len(folding) <= 20 + 45
    folding.add(entry(address="10.0.0.9", who="eva", target="bob/chat"))
    found = folding.due()
    assert found[-1] == entry(address="10.0.0.9", who="eva", target="bob/chat")
    assert sum(each.count for each in found) == 20_001
    assert found[0].address == "2001:db8::0"
