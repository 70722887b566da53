"""Ports for servers that a test starts and that cannot take port 0."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

#: Below what the system gives to whoever asks for any (32768 and up: another test's kernels took one of those between
#: the choice and the start of the server) and below what replicas get (20,000 and up).
RANGE = (12_000, 19_999)
#: The last ones, whose servers may not run yet: of four for a Hub two were the same, once in some 1,300 Hubs.
_given: deque[int] = deque(maxlen=200)


def free_port() -> int:
    """One that nobody has on any of this machine's addresses, nor was given a moment ago; processes that share the
    tests (pytest-xdist) have each their own."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    mine = range(RANGE[0] + int(worker.removeprefix("gw")), RANGE[1] + 1, int(workers))
    for _ in range(200):
        port = random.SystemRandom().choice(mine)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            _given.append(port)
            return port
    raise OSError(f"no port of {RANGE[0]} to {RANGE[1]} is free")
