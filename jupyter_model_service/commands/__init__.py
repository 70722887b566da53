"""The verbs that the command line and the notebook magics share: grammar, client calls, results. No printing."""

from __future__ import annotations

from .grammar import HelpShown, UsageError, build_parser, parse
from .results import Result
from .verbs import Observer, Session, StoppedWatching, run

__all__ = [
    "HelpShown",
    "Observer",
    "Result",
    "Session",
    "StoppedWatching",
    "UsageError",
    "build_parser",
    "parse",
    "run",
]
