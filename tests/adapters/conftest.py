"""What tests of the adapters share."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from .hub_setting import Run, played


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Plays a test in a setting with a Hub (``hub_setting.Setting``)."""
    return functools.partial(played, tmp_path)
