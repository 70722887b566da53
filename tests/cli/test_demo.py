"""The tour as ``make demo`` runs it, with its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.slow
def test_the_demo_proposes_only_what_works_in_it_and_leaves_no_token(tmp_path: Path) -> None:
    """What `create` proposes would look in the user's own Jupyter data. A second demo says that it deletes."""
    folder = tmp_path / "demo"
    deleting = "Deleting the tiny-chat of an earlier demo first."
    for again in (False, True):
        command = [sys.executable, str(DEMO), "--once", "--folder", str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=180)
        assert ran.returncode == 0, ran.stderr
        assert "generate-token" not in ran.stdout
        assert ran.stdout.count("curl") == 1
        assert (deleting in ran.stdout) is again
        assert f"$(cat {folder / 'token'})" in ran.stdout
        assert not (folder / "token").exists()
