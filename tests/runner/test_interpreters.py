"""The runner on every Python that is here, as it comes into images: from 3.8 on, run as a script or imported."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]


def interpreter(version: str) -> str:
    places = [shutil.which(f"python{version}") or ""]
    places += glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    for place in places:
        if place and subprocess.run([place, "-c", ""], capture_output=True, timeout=60).returncode == 0:
            return place
    pytest.skip(f"needs Python {version}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_life(start_runner, run_file, tmp_path, version, wait_for):
    python = interpreter(version)
    copy = tmp_path / "somewhere" / "runner.py"
    copy.parent.mkdir()
    shutil.copy(run_file, copy)
    runner = start_runner(
        ["sh", "-c", "python3 -c 'import sys; print(sys.version_info[:2], sys.prefix)'; sleep 60"],
        python=python,
        script=copy,
        overlay=str(tmp_path / "env"),
        actions=[{"action": "run_command", "args": {"command": ["python", "-c", "print(5)"]}, "ref": "five"}],
    )
    lease = runner.lease()
    lines = wait_for(lambda: len(lease.logs()[0]) >= 2 and lease.logs()[0], "the model's words")
    assert lines == ["5", f"({version.replace('.', ', ')}) {tmp_path / 'env'}"]
    assert lease.until("beat")["rss"] > 0
    lease.send({"t": "stop", "grace": 5})
    assert lease.exit()["signal"] == "SIGTERM"
    lease.send({"t": "collected"})
    assert runner.process.wait(30) == 0
    assert runner.diagnostics.read_text() == ""


def test_it_listens_soon_and_stays_small(start_runner):
    """60 ms and 12 MB on an idle machine; here with room for a busy one."""
    began = time.monotonic()
    runner = start_runner(["sleep", "60"])
    assert runner.address[1] > 0
    assert time.monotonic() - began < 5
    runner.lease().until("beat")
    rollup = Path(f"/proc/{runner.process.pid}/smaps_rollup")
    if not rollup.exists():
        pytest.skip("needs /proc/<pid>/smaps_rollup")
    own = sum(int(line.split()[1]) for line in rollup.read_text().splitlines() if line.startswith("Private_"))
    assert own < 12_000  # KiB that nobody else shares
