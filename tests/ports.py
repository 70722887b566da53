"""Ports for servers that a test starts and that cannot take port 0."""

from __future__ import annotations

import random
import socket

#: Below what the system gives to whoever asks for any (32768 and up: another test's kernels took one of those between
#: the choice and the start of the server) and below what replicas get (20,000 and up).
RANGE = (12_000, 19_999)


def free_port() -> int:
    """One that nobody has on any of this machine's addresses."""
    for _ in range(200):
        port = random.SystemRandom().randint(*RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port of {RANGE[0]} to {RANGE[1]} is free")
