"""Whose turn it is among those who wait."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_model_service.core.fairness import Room, Turns, line_of


def order(turns: Turns[str, str]) -> list[str]:
    """All that wait, as they are served."""
    served = []
    while (item := next(iter(turns.firsts()), None) or turns.turn()) is not None:
        assert turns.served(item)
        served.append(item)
    return served


def test_callers_take_turns_and_the_calls_of_each_go_in_their_order() -> None:
    turns: Turns[str, str] = Turns()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.add(item, item[0])
    turns.add_first("again")
    turns.add_first("again 2")
    assert len(turns) == 8
    assert order(turns) == ["again", "again 2", "a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(turns) == 0


def test_one_call_waits_for_one_of_each_other_caller_and_not_for_500() -> None:
    turns: Turns[str, str] = Turns()
    for number in range(500):
        turns.add(f"a{number}", "a")
    for _ in range(3):
        item = turns.turn()
        assert item is not None
        turns.served(item)
    turns.add("b", "b")
    assert order(turns).index("b") == 1


def test_who_leaves_takes_nobodys_turn() -> None:
    turns: Turns[str, str] = Turns()
    for item in ("a1", "a2", "b1", "b2"):
        turns.add(item, item[0])
    assert turns.remove("a1")
    assert not turns.remove("a1")
    assert not turns.served("a1")
    assert turns.turn() == "a2", "it is still the turn of a"
    assert turns.remove("a2")
    assert order(turns) == ["b1", "b2"]


def test_the_greediest_gives_its_last_place_to_who_has_two_fewer() -> None:
    turns: Turns[str, str] = Turns()
    for item in ("a1", "a2", "a3", "b1"):
        turns.add(item, item[0])
    assert turns.greediest("new") == "a3"
    assert turns.greediest("b") == "a3"
    assert turns.greediest("a") is None
    turns.remove("a3")
    assert turns.greediest("b") is None, "two and one: to take one would turn that round"
    assert turns.greediest("new") == "a2"
    turns.remove("a2")
    assert turns.greediest("new") is None, "one each"


def test_what_was_served_before_and_what_is_nobodys_gives_way_to_no_one() -> None:
    turns: Turns[str, str] = Turns()
    for number in range(5):
        turns.add_first(f"again {number}")
        turns.add(f"look {number}", None)
    assert turns.greediest("new") is None
    turns.add("a", "a")
    assert order(turns)[5:8] == ["look 0", "a", "look 1"]


class Loud:
    """Notes each comparison."""

    compared = 0

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        Loud.compared += 1
        return self is other


def test_nothing_is_looked_for_among_the_others() -> None:
    """A search through 2,000 of them would compare each; a table has to only where two come to the same place."""
    turns: Turns[str, Loud] = Turns()
    items = [Loud() for _ in range(2000)]
    for item in items:
        turns.add(item, "a")
    Loud.compared = 0
    for item in items[1000:] + items[999::-1]:
        assert turns.remove(item)
        turns.greediest("b")
        turns.turn()
    assert Loud.compared < 2000
    assert len(turns) == 0


class AsAList(RuleBasedStateMachine):
    """Against lists in which everything is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns[str, int] = Turns()
        self.firsts: list[int] = []
        self.ring: list[str | None] = []
        self.lines: dict[str | None, list[int]] = {}
        self.number = 0

    @rule(who=st.sampled_from(["a", "b", "c", None]))
    def add(self, who: str | None) -> None:
        self.number += 1
        self.turns.add(self.number, who)
        self.lines.setdefault(who, []).append(self.number)
        if who not in self.ring:
            self.ring.append(who)

    @rule()
    def add_first(self) -> None:
        self.number += 1
        self.turns.add_first(self.number)
        self.firsts.append(self.number)

    @rule()
    def serve(self) -> None:
        item = self.turns.turn()
        if item is None:
            assert not self.ring
            return
        who = self.ring.pop(0)
        assert item == self.lines[who].pop(0)
        assert self.turns.served(item)
        if self.lines[who]:
            self.ring.append(who)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if not self.number:
            return
        item = data.draw(st.integers(1, self.number))
        line = next((line for line in (self.firsts, *self.lines.values()) if item in line), None)
        assert (item in self.turns) is (line is not None)
        assert self.turns.remove(item) is (line is not None)
        if line is not None:
            line.remove(item)
            self.ring = [who for who in self.ring if self.lines[who]]

    @invariant()
    def they_agree(self) -> None:
        assert self.turns.firsts() == self.firsts
        assert len(self.turns) == len(self.firsts) + sum(map(len, self.lines.values()))
        assert self.turns.turn() == (self.lines[self.ring[0]][0] if self.ring else None)

    @invariant()
    def the_greediest_has_most(self) -> None:
        taken = Counter({who: len(line) for who, line in self.lines.items() if who is not None})
        most = max(taken.values(), default=0)
        for who in ("a", "b", "c", "new"):
            gives = self.turns.greediest(who)
            if gives is None:
                assert most < taken[who] + 2
            else:
                assert most >= taken[who] + 2
                assert gives in [self.lines[each][-1] for each in taken if taken[each] == most]


TestAsAList = AsAList.TestCase


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (b"10.0.0.7", b"10.0.0.7"),
        (b"10.0.0.7:4711", b"10.0.0.7"),
        (b"::ffff:10.0.0.7", b"10.0.0.7"),
        (b"[::ffff:10.0.0.7]:4711", b"10.0.0.7"),
        (b"2001:db8:1:2:3:4:5:6", b"2001:db8:1:2::/64"),
        (b"2001:DB8:1:2::", b"2001:db8:1:2::/64"),
        (b"[2001:db8:1:2::9]:80", b"2001:db8:1:2::/64"),
        (b"[2001:db8:1:2::9]", b"2001:db8:1:2::/64"),
        (b"fe80::1%eth0", b"fe80::/64"),
        (b"fe80::1%eth0%", b"fe80::/64"),
        (b"::1", b"::/64"),
        (b"somebody", b"somebody"),
        (b"a:b:c", b"a:b:c"),
        (b"\xff::\xff", b"\xff::\xff"),
        (b"[", b"["),
        (b"", b""),
    ],
)
def test_whoever_has_an_address_has_its_network(address: bytes, line: bytes) -> None:
    """A port tells one connection from another, not one caller; nor do the 2^64 addresses of an IPv6 network."""
    assert line_of(address) == line


# --- a room that all share ---------------------------------------------------------------------------


def test_the_largest_of_whoever_has_most_gives_way() -> None:
    """Not the largest of all: who sends much in small pieces is not better off than who sends one body."""
    room: Room[str, str] = Room(100)
    for item, size in (("a1", 30), ("a2", 35), ("b1", 25)):
        room.hold(item, item[0], size)
    assert room.too_much() is None
    room.hold("b1", "b", 35)
    assert room.taken == 100
    assert room.too_much() is None, "just full"
    room.hold("b1", "b", 40)
    assert room.too_much() == "a2"
    room.leave("a2")
    room.leave("a2")
    assert (room.taken, room.too_much()) == (70, None)
    room.hold("b2", "b", 31)
    assert room.too_much() == "b1"
    for item in ("a1", "b1", "b2"):
        room.leave(item)
    assert (room.taken, room.too_much()) == (0, None)
