"""What the page says of affinity by prompts is what its benchmark finds, in small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "affinity.py"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_of_affinity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_prompts_find_more_of_themselves_without_a_crowd(benchmark: Any) -> None:
    """Of a few of the conversations, with smaller caches."""
    options = benchmark.parser().parse_args(["--conversations", "150", "--cache", "20000"])
    found = {name: benchmark.simulate(wish, options) for name, wish in benchmark.WAYS.items()}
    least, bounded, _, free = found.values()
    assert bounded[0] > 1.25 * least[0]
    assert bounded[1] < least[1]
    assert least[2] < bounded[2] < free[2]
    assert all(f"| {name} |" in PAGE.read_text() for name in found)


def test_a_cache_keeps_what_was_read_last(benchmark: Any) -> None:
    cache = benchmark.Cache(3)
    one, two = [str(n) for n in range(32)], [str(n) for n in range(100, 132)]
    assert (cache.read(one), cache.read(one), cache.read(one[:20])) == (0, 32, 16)
    assert (cache.read(two), cache.read(two)) == (0, 32)
    assert cache.read(one) == 16, "its end left first"
