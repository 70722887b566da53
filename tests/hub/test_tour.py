"""`make hub ONCE=1`, less its set-up: the tour ends well, and leaves nothing on the engine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .deployment import PREFIX, PROXY, ROOT, Network, eventually


def test_the_tour_ends_well_and_leaves_nothing(
    docker_engine: Any, network: Network, notebook_image: Callable[[int], str], tmp_path: Path
) -> None:
    """alice deploys tiny-chat with its package, it answers with her token and to her class, not to bob, and an
    administrator sees the rule; all is gone afterwards. Replicas do not reach each other, and the proxy's address is
    known, so that nothing is to be said of either. That calls have their callers' addresses in the log, by the proxy as
    at the service's own host, the tour looks at itself."""
    if not PROXY.exists():
        pytest.skip("JupyterHub's proxy is not installed in .hub: make .hub/.installed-proxy")
    name, folder = f"{PREFIX}{network.session}-tour", tmp_path / "site"
    command = [sys.executable, str(ROOT / "deploy" / "hub" / "run.py"), "--once", "--folder", str(folder)]
    command += ["--name", name, "--image", notebook_image(6)]
    label_file, log = folder / "hub-label", folder / "hub.log"

    with open(tmp_path / "said", "w+") as said:
        tour = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            eventually(lambda: tour.poll() is not None or (label_file.exists() and label_file.read_text()), "a Hub", 60)
            label = {"label": f"org.jupyter.model-service.hub={label_file.read_text() if tour.poll() is None else '-'}"}
            at_its_start = log.read_text() if log.exists() else ""
            tour.wait(timeout=240)
        finally:
            if tour.poll() is None:
                tour.terminate()
                tour.wait(timeout=90)
        said.seek(0)
        told = said.read()

    assert tour.returncode == 0, told + (log.read_text()[-8000:] if log.exists() else "")
    assert "Hello, and welcome! 👋" in told  # the sign is from the package that its requirements.txt adds
    assert "(without a token it answers 401; bob, with whom it is not shared, gets 404 as if it were not there)" in told
    assert "(carol, who is in that class, calls it with a token of her own)" in told
    assert re.search(r"^ +replicas +0 of 1 +for the group class$", told, re.MULTILINE)
    assert "(who called is known by her own address: not the proxy's, and not what she says of herself)" in told
    assert re.search(r"Its page is at http://tiny-chat--alice\.models\.localhost:\d+/, where a browser signs in", told)
    assert "Model service: " in at_its_start
    assert "reach each other" not in at_its_start
    assert "trusted_proxies is empty" not in at_its_start
    for kind in (docker_engine.containers, docker_engine.volumes, docker_engine.networks):
        options = {"all": True} if kind is docker_engine.containers else {}
        assert kind.list(filters={"name": name}, **options) == []
        assert kind.list(filters=label, **options) == []
    assert not folder.exists()
    (images,) = re.findall(r"docker image ls --quiet '(.*)'", told.splitlines()[-1])
    listed = subprocess.run(["docker", "image", "ls", "--quiet", images], capture_output=True, text=True, timeout=60)
    assert docker_engine.images.get(notebook_image(6)).id.removeprefix("sha256:")[:12] in listed.stdout.split()
