"""``make gpu-check`` where there is no GPU: it says so; with a stand-in for NVIDIA's library it goes its whole way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVER = """
import http.server, os, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        pathlib.Path(sys.argv[2]).touch()
        time.sleep(0.1)
        self.do_GET()
    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
DEFINITION = """
models:
- name: pretends
  model_path: /models
  service:
    start_command: [python, /models/server.py, "{{port}}", {called}]
    port: 8000
    health_check: {{path: /health, interval: 1}}
"""


def gpu_check(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), *options]
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=400)


def test_without_a_gpu_it_says_so() -> None:
    done = gpu_check(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stdout == (
        "This machine has no NVIDIA GPU that this process may use, or no driver for it: nothing was checked.\n"
    )


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_its_whole_way_with_a_gpu_that_pretends(fake_nvml: Any, tmp_path: Path) -> None:
    """The GPU is busy while somebody has called within the last two seconds. A stand-in cannot show that the figures of
    a real driver are read right: that takes a real one."""
    model, called, page = tmp_path / "model", tmp_path / "called", tmp_path / "page.md"
    model.mkdir()
    (model / "server.py").write_text(SERVER)
    (model / "model-definition.yaml").write_text(DEFINITION.format(called=called))
    fake_nvml.show("GPU-pretends", 3)
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.2):
            busy = called.exists() and time.time() - called.stat().st_mtime < 2.0
            fake_nvml.show("GPU-pretends", 95 if busy else 3)

    working = threading.Thread(target=work)
    working.start()
    try:
        done = gpu_check(
            "--model", str(model), "--write", str(page), "--results", str(tmp_path), **fake_nvml.environment
        )
    finally:
        over.set()
        working.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The GPU drove it up and down" in done.stdout
    told = page.read_text()
    assert "- 1 → 2: " in told
    assert "- 2 → 1: " in told
    assert "| busy | " in told
    assert "gpu_util" in told
    assert (tmp_path / "gpu-check.json").exists()
