"""A command line against a gateway that a test scripts: in this process, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_model_service.cli import main

from ..client.fake_gateway import FakeGateway

COMMAND = [sys.executable, "-m", "jupyter_model_service.cli"]


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def plain_environment(tmp_path: Path) -> Iterator[None]:
    """A data directory of the test's own, and nothing of the developer's terminal."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MODEL_SERVICE_URL", "MODEL_SERVICE_TOKEN", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGateway]:
    with FakeGateway(tmp_path / "jupyter" / "model-service") as fake:
        yield fake


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run one line in this process."""

    def run(*words: str) -> Ran:
        status = main(words)
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def process() -> Callable[..., Ran]:
    """Run one line as a process."""

    def run(*words: str, **environment: str) -> Ran:
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
