"""Every test of the front runs on plain asyncio and on uvloop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .site import run_on


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    caplog.set_level(logging.INFO, "jupyter_model_service.front")  # why a replica took no connection, beside a failure
    return lambda body: run_on(request.param, body)
