"""What the runner reads and writes: its specification, ``runner.json``, the children's environment."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest


def test_runner_json_is_private_and_follows_the_phases(start_runner, wait_for):
    old = os.umask(0)
    try:
        runner = start_runner(["sleep", "60"])
    finally:
        os.umask(old)
    lease = runner.lease()
    if runner.first_state["phase"] != "loading":
        lease.phase("loading")
    state = runner.state
    file = runner.folder / "runner.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(state) == {"protocol", "replica", "pid", "started", "control", "model", "phase"}
    assert (state["protocol"], state["replica"], state["pid"]) == (1, runner.replica, runner.process.pid)
    for part in (state, state["model"]):
        fields = Path(f"/proc/{part['pid']}/stat").read_text().rpartition(")")[2].split()
        assert part["started"] == int(fields[19])
    model = state["model"]
    assert model["pgid"] == model["pid"]
    wait_for(lambda: os.getpgid(model["pid"]) == model["pgid"], "the model in a group of its own")
    assert runner.secret not in file.read_text()
    assert runner.spec_file.exists()
    assert sorted(path.name for path in runner.folder.iterdir()) == ["output.log", "runner.json", "spec.json"]


def test_the_children_see_what_the_specification_says_and_no_secret(start_runner):
    runner = start_runner(
        ["env"],
        environment={"BACKEND_MODEL_NAME": "tiny", "KEEP": "new"},
        unset=["GONE"],
        environ={"GONE": "x", "KEEP": "old", "INHERITED": "yes", "MODEL_SERVICE_SPEC": "{}"},
    )
    runner.run_to_the_end()
    seen = dict(line.partition("=")[::2] for line in runner.logged())
    assert seen["BACKEND_MODEL_NAME"] == "tiny"
    assert seen["KEEP"] == "new"
    assert seen["INHERITED"] == "yes"
    assert seen["MODEL_SERVICE_REPLICA"] == runner.replica
    assert "GONE" not in seen
    assert "MODEL_SERVICE_SPEC" not in seen
    assert runner.secret not in "\n".join(f"{k}={v}" for k, v in seen.items())


def test_a_child_starts_clean(start_runner):
    """No file of the runner is open in it, nothing to read on its input, no signal blocked or ignored."""
    runner = start_runner(["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"])
    runner.run_to_the_end()
    masks = {name: int(mask, 16) for name, mask in (line.split() for line in runner.logged())}
    # The 31 standard signals; those above belong to the C library, and whoever started us may have ignored them.
    assert {name: mask & 0x7FFFFFFF for name, mask in masks.items()} == {"SigBlk:": 0, "SigIgn:": 0}
    code = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:-1], os.read(0, 1))"
    runner = start_runner([sys.executable, "-c", code])
    runner.run_to_the_end()
    assert runner.logged() == ["[0, 1, 2] b''"]


def test_the_specification_may_come_by_the_environment(run_file, tmp_path):
    spec = {
        "protocol": 1,
        "replica": "r",
        "secret": "ab" * 32,
        "control": {"host": "127.0.0.1", "port": 0},
        "directory": str(tmp_path),
        "cwd": str(tmp_path),
        "command": ["sh", "-c", 'echo "${MODEL_SERVICE_SPEC-none}" > seen'],
        "keep": 0,
    }
    environment = {**os.environ, "MODEL_SERVICE_SPEC": json.dumps(spec)}
    done = subprocess.run([sys.executable, str(run_file)], env=environment, timeout=60, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "seen").read_text() == "none\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "protocol 1"),
        ('{"protocol": 2}', "protocol 1"),
        ('{"protocol": 1, "replica": "r"}', "lacks 'secret'"),
        ('{"protocol": 1, "replica": "r", "secret": "hush", "control": "hush"}', "wrong type"),
        (
            '{"protocol": 1, "replica": "r", "secret": "hush", "control": {"host": "h", "port": "hush"}}',
            "wrong type",
        ),
    ],
)
def test_a_bad_specification_is_refused_in_one_sentence(run_file, tmp_path, text, words):
    file = tmp_path / "spec.json"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, str(run_file), "--spec", str(file)], timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr


def test_wrong_use_is_refused(run_file, tmp_path):
    for arguments in ([], ["--spec"], ["--spec", str(tmp_path / "missing")]):
        done = subprocess.run([sys.executable, str(run_file), *arguments], timeout=60, capture_output=True)
        assert done.returncode == 2
        assert done.stderr.startswith(b"runner: ")


def test_a_directory_that_cannot_be_written_is_said_at_once(start_runner, tmp_path):
    runner = start_runner(["true"], directory=str(tmp_path / "missing"))
    assert runner.process.wait(30) == 1
    assert "cannot write runner.json" in runner.diagnostics.read_text()


def test_a_directory_that_vanishes_later_does_no_harm(start_runner, tmp_path):
    directory = tmp_path / "shortly"
    directory.mkdir()
    read = tmp_path / "read"
    waits = f"until [ -e {read} ]; do sleep 0.02; done; rm -r {directory}; exit 3"
    runner = start_runner(["sh", "-c", waits], directory=str(directory))
    port = None
    while port is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port = json.loads((directory / "runner.json").read_text())["control"]["port"]
    read.touch()
    (runner.folder / "runner.json").write_text(json.dumps({"control": {"host": "127.0.0.1", "port": port}}))
    assert runner.run_to_the_end()["code"] == 3
    assert "cannot write runner.json" in "".join(runner.logged())
