"""What became of the calls of ``mixed_load.py``, and which of it must not happen."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

REPLAY_LIMIT = 4 << 20  # bytes; what models/mixed says


@dataclass
class Trouble:
    """What was done to the replicas, by id: ``ended`` had their connections broken, from these times on; ``sick`` were
    told to answer 503."""

    ended: dict[str, float] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)

    def since(self, moment: float) -> int:
        return sum(at >= moment for at in self.ended.values())


@dataclass
class Failure:
    """``at`` and ``began`` are monotonic; ``replica`` is the one whose stream broke, ``code`` the front's own word for
    what became of a call with a body of so many bytes."""

    kind: str
    detail: str
    at: float
    began: float
    replica: str = ""
    code: str = ""
    size: int = 0

    def counts(self, trouble: Trouble) -> bool:
        """Whether it must not happen: judged afterwards, when everything is known of the replicas."""
        if self.replica:
            return self.replica not in trouble.ended
        # Too long to be kept, and its replica was ended; or it met two that were: the documented ends of such calls.
        most = 1 if self.size > REPLAY_LIMIT else 2
        return self.code != "replica_died" or trouble.since(self.began) < most


@dataclass
class Tally:
    trouble: Trouble = field(default_factory=Trouble)
    began: float = field(default_factory=time.monotonic)
    whole: Counter[str] = field(default_factory=Counter)
    of_the_model: Counter[str] = field(default_factory=Counter)  # 503s of replicas that were told to, by replica
    failures: list[Failure] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    processes: set[int] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    aborted: int = 0

    def fail(self, kind: str, detail: str, *, began: float | None = None, **known: Any) -> None:
        now = time.monotonic()
        self.failures.append(Failure(kind, detail, now, now if began is None else began, **known))

    def failed(self) -> list[Failure]:
        return [failure for failure in self.failures if failure.counts(self.trouble)]

    def told(self) -> list[str]:
        """Each failure: when (seconds from the start), of what, how, and whether it counts."""
        words = {True: "FAILED ", False: "allowed"}
        return [
            f"{each.at - self.began:6.1f} s  {words[each.counts(self.trouble)]}  {each.kind}: {each.detail}"
            for each in self.failures
        ]
