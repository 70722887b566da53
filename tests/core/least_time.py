"""How long something takes that must not hold up the event loop, whoever asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable


def took(work: Callable[[], object]) -> float:
    """Seconds, of several times the least."""
    found = []
    for _ in range(20):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)
