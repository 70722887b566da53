"""Every test of the front runs on plain asyncio and on uvloop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jupyter_model_service.core.limits import DAY
from jupyter_model_service.front import limiting

from .site import run_on


class Day:
    """The time of day by which calls of a day are counted: noon, in UTC, until a test says otherwise."""

    def __init__(self) -> None:
        self.now = 19_000 * DAY + DAY / 2  # Unix time

    @property
    def left(self) -> float:
        return DAY - self.now % DAY


@pytest.fixture(autouse=True)
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A count of a day is never one of two days here, whenever the tests are run."""
    day = Day()
    monkeypatch.setattr(limiting, "time", lambda: day.now)
    return day


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    caplog.set_level(logging.INFO, "jupyter_model_service.front")  # why a replica took no connection, beside a failure
    return lambda body: run_on(request.param, body)
