"""The limit of open files that a gateway gives itself; in processes of their own, as it is one for each process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import resource, sys
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from jupyter_model_service.app.limits import raise_descriptor_limit
said = raise_descriptor_limit(*map(int, sys.argv[3:]))
print(said, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def raised(*figures: int) -> list[int]:
    """From a soft and a hard limit, and perhaps the bound: what is said to hold now, and what holds: soft and hard."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, figures)], capture_output=True, text=True, timeout=60, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize(("soft", "hard"), [(256, 700), (700, 700)])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int) -> None:
    assert raised(soft, hard) == [hard, hard, hard]


def test_it_is_bounded_and_never_lowered() -> None:
    assert raised(256, 700, 500) == [500, 500, 700]
    assert raised(600, 700, 500) == [600, 600, 700]
