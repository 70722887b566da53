"""The measurement of what the autoscaler's tick costs measures all of it, so that its figures mean what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import autoscale_tick
    finally:
        sys.path.remove(str(BENCHMARKS))
    return autoscale_tick


def test_every_part_of_the_tick_is_there(benchmark: Any) -> None:
    """Five services, three of them with calls: each part runs. What has no calls is not decided about."""
    cost = benchmark.cost_of_tick(services=5, replicas=3, busy=0.6, ticks=4, runs=1)
    assert cost.tick > 0
    assert cost.held > 0
    assert cost.saving > 0
    assert all(seconds > 0 for seconds in cost.parts.values()), cost.parts
    quiet = benchmark.cost_of_tick(services=2, replicas=3, busy=0.0, ticks=4, runs=1)
    assert quiet.parts["the decision"] == 0
    assert quiet.parts["whether anything is new"] > 0
