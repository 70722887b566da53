"""Every test of the front runs on plain asyncio and on uvloop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .site import run_on


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return lambda body: run_on(request.param, body)
