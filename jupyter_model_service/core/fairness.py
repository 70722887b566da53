"""Whose turn it is among those who wait: one call of each caller after another, and each caller's in the order in which
they came. Nothing there takes longer the more of them wait. And who gives way where they share a room that is full.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from functools import lru_cache
from typing import Generic, TypeVar

from .peer import bare, ip_of

__all__ = ["Room", "Turns", "line_of"]

Item = TypeVar("Item")
Who = TypeVar("Who")


@lru_cache(1024)
def line_of(address: bytes) -> bytes:
    """In whose line somebody is of whom nothing but an address is known, as a proxy may write it: of IPv6 the network
    (/64), as everybody there has 2^64 addresses; and without the port, of which everybody has many."""
    ip = ip_of(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return b"%b/64" % str(ipaddress.IPv6Address(int(ip) >> 64 << 64)).encode()
    if ip is not None:
        return str(ip).encode()
    host = bare(address)
    return address if not host or b":" in host else host


class Turns(Generic[Who, Item]):
    """Round-robin over callers: the one call of a caller waits for one call of each other one at most, not for all the
    500 that came before it. Those that are put ``first`` are in nobody's line, and before all the others.

    Items of nobody (``None``) have a line of their own, and give way to no one.
    """

    __slots__ = ("_firsts", "_lines", "_most", "_sizes", "_whose")

    def __init__(self) -> None:
        # Ordered ones, as the first of a plain dict is found slowly when many before it were taken out.
        self._firsts: OrderedDict[Item, None] = OrderedDict()
        self._lines: OrderedDict[Who | None, OrderedDict[Item, None]] = OrderedDict()  # the next one's first
        self._whose: dict[Item, Who | None] = {}
        self._sizes: dict[int, OrderedDict[Who, None]] = {}  # who has how many in line
        self._most = 0  # the largest of these

    def __len__(self) -> int:
        return len(self._firsts) + len(self._whose)

    def __contains__(self, item: Item) -> bool:
        return item in self._firsts or item in self._whose

    def add(self, item: Item, who: Who | None) -> None:
        """At the end of the line of ``who``."""
        line = self._lines.get(who)
        if line is None:
            line = self._lines[who] = OrderedDict()
        line[item] = None
        self._whose[item] = who
        self._resized(who, len(line) - 1, len(line))

    def add_first(self, item: Item) -> None:
        """Before all lines, behind those that are there already."""
        self._firsts[item] = None

    def firsts(self) -> list[Item]:
        return list(self._firsts)

    def turn(self) -> Item | None:
        """The next one, of those in line."""
        for line in self._lines.values():
            return next(iter(line))
        return None

    def served(self, item: Item) -> bool:
        """Take it out; its caller has had a turn. ``False`` if it is not there."""
        if item not in self._whose:
            return self.remove(item)
        who = self._whose[item]
        self.remove(item)
        if who in self._lines:
            self._lines.move_to_end(who)
        return True

    def remove(self, item: Item) -> bool:
        """Take it out, wherever it is. ``False`` if it is not there."""
        if item in self._firsts:
            del self._firsts[item]
            return True
        if item not in self._whose:
            return False
        who = self._whose.pop(item)
        line = self._lines[who]
        del line[item]
        if not line:
            del self._lines[who]
        self._resized(who, len(line) + 1, len(line))
        return True

    def greediest(self, who: Who) -> Item | None:
        """The last one of whoever has most in line, where ``who`` has a better right to its place: with that place
        ``who`` has fewer than the other one keeps, or as many."""
        if self._most < len(self._lines.get(who, ())) + 2:
            return None
        most = next(iter(self._sizes[self._most]))
        return next(reversed(self._lines[most]))

    def _resized(self, who: Who | None, before: int, after: int) -> None:
        if who is None:
            return
        if before:
            same = self._sizes[before]
            del same[who]
            if not same:
                del self._sizes[before]
        if after:
            self._sizes.setdefault(after, OrderedDict())[who] = None
        if after > self._most or self._most not in self._sizes:
            self._most = after


class Room(Generic[Who, Item]):
    """``size`` bytes for what all callers together have sent and nobody can take yet; ``taken`` of them are."""

    __slots__ = ("_items", "size", "taken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._items: dict[Item, tuple[int, Who]] = {}

    def hold(self, item: Item, who: Who, size: int) -> None:
        """So much of it in all."""
        before = self._items.get(item)
        self.taken += size - (0 if before is None else before[0])
        self._items[item] = (size, who)

    def leave(self, item: Item) -> None:
        """Nothing of it any more, if there was something."""
        self.taken -= self._items.pop(item, (0, None))[0]

    def too_much(self) -> Item | None:
        """What has to go while more is taken than there is: the largest item of whoever has most. So who sends without
        end makes room for all others. It takes time only then, 1 ms for 5,000 items."""
        if self.taken <= self.size:
            return None
        of_each: Counter[Who] = Counter()
        for size, who in self._items.values():
            of_each[who] += size
        most = max(of_each, key=of_each.__getitem__)
        theirs = {item: size for item, (size, who) in self._items.items() if who == most}
        return max(theirs, key=theirs.__getitem__)
