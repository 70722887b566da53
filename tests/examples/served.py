"""Runs an example's model server by hand: a real uvicorn process on a free port of the loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def served(folder: Path, app: str, log: Path, seconds: float, **environment: str) -> Iterator[str]:
    """The base URL of the server, as soon as it says that it runs."""
    argv = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), app, "--host", "127.0.0.1", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, env={**os.environ, **environment})
        try:
            deadline = time.monotonic() + seconds
            while not (started := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{app} did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield started[1]
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
