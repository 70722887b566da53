"""The command line: ``jupyter model-service VERB …``. Renders what :mod:`..commands` gives back; see :func:`main`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._version import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one line (``sys.argv`` by default) and return its exit status. Never raises for what a user may do."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-V"]):
        print(f"jupyter model-service {__version__}")
        return 0
    from .program import run_line  # 80 ms that a version number does not need

    return run_line(words)
