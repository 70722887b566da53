"""How often an address may send tokens that turn out to be wrong. Pure: the time is a parameter.

Only wrong ones count, and each once: a program that repeats a token which has expired guesses nothing, and must not
take the place of the others at its address.
"""

from __future__ import annotations

from collections import OrderedDict

from .fairness import line_of
from .message import Refusal

__all__ = ["Guesses", "too_many"]

_REMEMBERED = 4  # wrong tokens of an address that may be sent again
_LONGEST = 60.0  # seconds that an address waits at most: others may be behind it


def too_many(seconds: float) -> Refusal:
    """The same for every token that would have to be looked up, right or wrong."""
    message = "Too many unknown tokens came from this address: wait, and send only tokens that are known to be good."
    return Refusal(429, "too_many_attempts", message, seconds)


class Guesses:
    """At most ``burst`` wrong tokens of an address at once, and ``per_second`` after that, for the ``most`` addresses
    that sent one last. IPv6 counts by network (``fairness.line_of``).

    It is counted when the answer is known: of those that are asked for at once nobody knows yet which are wrong, and a
    thousand good ones may come through one proxy when a gateway begins. Whoever sent many at once waits the longer.
    """

    __slots__ = ("_burst", "_of", "_per_second", "_size")

    def __init__(self, *, most: int = 10_000, burst: int = 20, per_second: float = 0.5) -> None:
        self._size, self._burst, self._per_second = most, burst, per_second
        # By address: wrong tokens that still count, since when (monotonic), and hashes of the last ones, which Python
        # keys anew in each process.
        self._of: OrderedDict[bytes, tuple[float, float, tuple[int, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def may_ask(self, address: bytes, token: str, now: float) -> float | None:
        """``None``, or how many seconds ``address`` has to wait until it may have a token looked up. To be asked only
        for one of which nothing is known (``ports.Identity.met``)."""
        found = self._of.get(line_of(address))
        if found is None or hash(token) in found[2]:
            return None
        over = self._count(found, now) + 1 - self._burst
        return over / self._per_second if over > 0 else None

    def failed(self, address: bytes, token: str, now: float) -> None:
        """Its token is nobody's."""
        line, key = line_of(address), hash(token)
        found = self._of.get(line, (0.0, now, ()))
        if key in found[2]:
            return
        count = min(self._count(found, now) + 1, self._burst - 1 + _LONGEST * self._per_second)
        self._of[line] = (count, now, (*found[2], key)[-_REMEMBERED:])
        self._of.move_to_end(line)
        if len(self._of) > self._size:
            self._of.popitem(last=False)

    def _count(self, found: tuple[float, float, tuple[int, ...]], now: float) -> float:
        return max(0.0, found[0] - (now - found[1]) * self._per_second)
