"""The limits of a policy that may differ for users and groups: of which kind each is, what it may be, how it is called.

Whoever reads one asks this table, so that all of them take and refuse the same: ``install()`` and its ``rules``, the
policy that the gateway is told, the control API, the command line, the form of the administrator's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from .bounds import LEAST_CPUS, LEAST_MEMORY, MOST_MEMORY

__all__ = ["LIMITS", "LONGEST_PATTERN", "MOST_PATTERNS", "NUMBERS", "RANGES", "Kind", "Limit", "Range"]

Kind = Literal["patterns", "count", "cpus", "bytes", "seconds", "flag"]

MOST_PATTERNS, LONGEST_PATTERN = 100_000, 4096  # in one list; characters


@dataclass(frozen=True)
class Range:
    """Both ends are within. ``whole``: of whole numbers only. ``told`` is what a value must be, for a sentence that
    says so of another; ``unit`` is that of the number, empty for what is only counted."""

    least: float
    most: float
    whole: bool
    told: str
    unit: str = ""

    def has(self, value: Any) -> bool:
        """Whether a value of any type is a number of it; a NaN is in no range."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.least <= value <= self.most


#: Of the kinds that are numbers. ``None`` is how "no limit" is written, so that no number has to be larger than these.
RANGES: Mapping[Kind, Range] = MappingProxyType(
    {
        "count": Range(0, 1_000_000, True, "a whole number from 0 to 1000000"),
        "cpus": Range(LEAST_CPUS, 100_000, False, "a number from 0.001 to 100000"),
        "bytes": Range(LEAST_MEMORY, MOST_MEMORY, True, "a size from 1 MiB to 1 EiB such as 8G", "bytes"),
        "seconds": Range(1, 100 * 365 * 86400, False, "a time from a second to 100 years such as 30d", "seconds"),
    }
)


@dataclass(frozen=True)
class Limit:
    """``name`` is that of the field of :class:`core.policy.Policy`. ``words`` are for a table or a form, ``about`` says
    what is limited. ``sum_of``: which figure of :class:`core.policy.Held` it bounds. ``as_a_notebook``: without a value
    something of the user's notebook holds, and no value is not more than any value."""

    name: str
    kind: Kind
    words: str
    about: str
    sum_of: Literal["services", "replicas", "gpus"] | None = None
    as_a_notebook: bool = False

    @property
    def range(self) -> Range:
        """Of a limit that is a number; ``KeyError`` for another."""
        return RANGES[self.kind]


_ALL = (
    Limit("allowed_images", "patterns", "images", "names and patterns of images", as_a_notebook=True),
    Limit("max_services_per_user", "count", "services", "her services, also those without a replica", "services"),
    Limit("max_replicas_per_user", "count", "replicas", "replicas of all her services together", "replicas"),
    Limit("max_gpus_per_user", "count", "GPUs", "GPUs of all her services together", "gpus"),
    Limit("max_gpus_per_replica", "count", "GPUs of a replica", "GPUs of one replica"),
    Limit("max_cpus", "cpus", "CPUs of a replica", "CPUs of one replica", as_a_notebook=True),
    Limit("max_memory", "bytes", "memory of a replica", "memory of one replica", as_a_notebook=True),
    Limit("allow_public", "flag", "public services", "whether her services may be made public"),
    Limit("longest_token", "seconds", "life of a token", "until a new token has expired"),
    Limit("idle_limit", "seconds", "idle at most", "without a call until a service is stopped"),
    Limit("longest_life", "seconds", "life of a service", "from its start until a service is stopped"),
)

#: By name, in the order in which they are shown.
LIMITS: Mapping[str, Limit] = MappingProxyType({each.name: each for each in _ALL})

#: Those that are numbers, which an administrator may lower for one user while the gateway runs.
NUMBERS = tuple(each for each in _ALL if each.kind in RANGES)
