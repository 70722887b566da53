"""For the whole suite."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Under nohup, or as a background job of a script, SIGINT is ignored, and every program that a test starts inherits that:
# what is tested with Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are judged by what they show, not by how long a busy machine takes for one of them (200 ms by default).
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For two workers (`make test`): a file's tests stay together, and all tests with a Hub, which share what is dear."""
    here = Path(__file__).parent
    for item in items:
        file = item.path.relative_to(here)
        item.add_marker(pytest.mark.xdist_group("hub" if file.parts[0] == "hub" else str(file)))
