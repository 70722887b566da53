"""The article's tutorial, from its own folder and definition file, through the command line that the article shows."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .conftest import Gateway, eventually

FOLDER = Path(__file__).parents[2] / "examples" / "koalpaca"
LACKING = [name for name in ("torch", "transformers", "accelerate") if importlib.util.find_spec(name) is None]
QUESTION = {"messages": [{"role": "user", "content": "안녕하세요"}]}

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
]


def test_the_tutorial_serves_a_streamed_reply_as_in_the_article(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "koalpaca"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("KoAlpaca-*", "__pycache__"))
    subprocess.run([sys.executable, folder / "make_tiny_model.py"], check=True, capture_output=True, timeout=120)

    def cli(*arguments: str) -> str:
        done = gateway.cli(*arguments, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    cli("create", str(folder), "-n", "koalpaca", "--env", "HF_HUB_OFFLINE=1")
    endpoint = cli("get-endpoint", "koalpaca").strip()
    assert httpx.post(endpoint + "api/chat", json=QUESTION).status_code == 401
    token = cli("generate-token", "koalpaca", "--quiet").strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("POST", endpoint + "api/chat", json=QUESTION, headers=headers, timeout=120) as reply:
        assert reply.status_code == 200
        assert reply.headers["transfer-encoding"] == "chunked"
        assert "".join(reply.iter_text()).strip()
    assert httpx.get(endpoint + "health", headers=headers, timeout=30).json() == {"healthy": True}
    page = httpx.get(endpoint, headers=headers, timeout=30)
    assert page.headers["content-type"].startswith("text/html")

    cli("scale", "koalpaca", "2")
    info = json.loads(cli("info", "koalpaca", "--json"))
    assert (info["replicas"]["ready"], info["endpoint"]) == (2, endpoint)
    cli("update", "koalpaca", "--public")
    assert httpx.post(endpoint + "api/chat", json=QUESTION, timeout=120).status_code == 200
    cli("delete", "koalpaca", "--yes")
    eventually(lambda: not gateway.processes(), "nothing left", 20)
