"""`make hub ONCE=1`, less its set-up: the tour ends well, and leaves nothing on the engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .deployment import PREFIX, PROXY, ROOT, Network


def test_the_tour_ends_well_and_leaves_nothing(
    docker_engine: Any, network: Network, notebook_image: Callable[[int], str], tmp_path: Path
) -> None:
    """alice deploys tiny-chat with its package, it answers with her token, not to bob; all is gone afterwards."""
    if not PROXY.exists():
        pytest.skip("JupyterHub's proxy is not installed in .hub: make .hub/.installed-proxy")
    name = f"{PREFIX}{network.session}-tour"
    command = [sys.executable, str(ROOT / "deploy" / "hub" / "run.py"), "--once", "--folder", str(tmp_path / "site")]
    command += ["--name", name, "--image", notebook_image(6)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=240)

    log = tmp_path / "site" / "hub.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-8000:] if log.exists() else "")
    assert "Hello, and welcome! 👋" in done.stdout  # the sign is from the package that its requirements.txt adds
    assert "(without a token it answers 401, to bob's own token 403)" in done.stdout
    label = {"label": f"org.jupyter.model-service.hub={(tmp_path / 'site' / 'hub-label').read_text()}"}
    for kind in (docker_engine.containers, docker_engine.volumes, docker_engine.networks):
        options = {"all": True} if kind is docker_engine.containers else {}
        assert kind.list(filters={"name": name}, **options) == []
        assert kind.list(filters=label, **options) == []
