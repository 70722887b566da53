"""The Makefile's own set-up, with a pip that only says when it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("demo", "hub", "test")
#: Fails where another one is there, for which it leaves time.
PIP = f"""#!/bin/sh
[ "$1 $2" = "-m pip" ] || exec {sys.executable} "$@"
mkdir "$BUSY" || exit 9
sleep 0.3
rmdir "$BUSY"
echo "$@" >> "$BUSY.log"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_targets_made_beside_each_other_install_one_after_the_other(tmp_path: Path) -> None:
    """As `make -j2 lint` wants two of them: pips beside each other in one environment fail, or leave half of it."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP)
    python.chmod(0o755)
    stamps = [python.parents[1] / f".installed-{extra}" for extra in EXTRAS]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    environment["BUSY"] = str(tmp_path / "busy")
    command = ["make", "-j3", f"VENV={python.parents[1]}", *map(str, stamps)]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    assert all(stamp.exists() for stamp in stamps)
    installed = (tmp_path / "busy.log").read_text().splitlines()
    assert sorted(line.rpartition(".[")[2] for line in installed) == [f"{extra}]" for extra in EXTRAS]
