"""What is installed without an extra works without what the extras bring."""

from __future__ import annotations

import subprocess
import sys

import pytest

OF_A_HUB = ("docker", "dockerspawner", "jupyterhub", "pynvml")
PARTS = ("app.gateway", "app.own_gateway", "cli", "client", "notebook", "server_extension")


@pytest.mark.parametrize("part", PARTS)
def test_a_users_own_gateway_and_what_calls_it_want_nothing_of_a_hub(part: str) -> None:
    """All tests have every extra installed, so that nothing else would notice."""
    code = f"import sys; sys.modules.update(dict.fromkeys({OF_A_HUB!r})); import jupyter_model_service.{part}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
