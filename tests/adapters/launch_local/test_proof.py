"""What is never touched, and what lies about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_model_service.adapters.processes import Process, Snapshot, numbering
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.ports import Seen

from .bench import LINUX, Bench, eventually


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_that_got_the_runners_number_is_not_touched(bench: Bench, bystander: subprocess.Popen[bytes]) -> None:
    pid = bystander.pid
    for wrong in (started_of(pid) - 1, None):
        folder = bench.directory / "chat-a"
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps({"launcher": {"numbering": numbering(), "cwd": os.getcwd()}}))
        model = {"pid": pid, "pgid": pid, "started": wrong}
        state = {"pid": pid, "started": wrong, "control": {"host": "127.0.0.1", "port": 1}, "model": model}
        (folder / "runner.json").write_text(json.dumps(state))
        assert bench.find() == {"chat-a": Seen("chat-a", None, False)}
        bench.stop()
        assert bystander.poll() is None
        assert not folder.exists()


def test_a_zombie_is_no_runner(bench: Bench, bystander: subprocess.Popen[bytes]) -> None:
    """In a container whose first process reaps nothing, what a killed gateway leaves stays in the table."""
    folder = bench.directory / "chat-a"
    folder.mkdir(parents=True)
    notes = {"numbering": numbering(), "cwd": "/", "address": ["127.0.0.1", 2], "gpus": []}
    (folder / "spec.json").write_text(json.dumps({"launcher": notes}))
    marks = {"pid": bystander.pid, "started": started_of(bystander.pid), "control": {"host": "127.0.0.1", "port": 1}}
    (folder / "runner.json").write_text(json.dumps(marks))
    if LINUX:
        assert bench.find()["chat-a"].placement
    bystander.kill()
    eventually(lambda: psutil.Process(bystander.pid).status() == psutil.STATUS_ZOMBIE)
    assert bench.find() == {"chat-a": Seen("chat-a", None, False)}
    bench.stop()


def process_of(pid: int) -> Process:
    return Process(pid, started_of(pid))


def started_of(pid: int) -> int:
    if not LINUX:
        return int(psutil.Process(pid).create_time() * 1000)
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.skipif(not LINUX, reason="sessions as the kernel shows them")
def test_an_orphan_of_the_group_number_is_believed_only_where_it_fits(bench: Bench) -> None:
    """A daemon whose session leader is gone looks like what a killed runner leaves, but for age and folder."""
    script = (
        "import os, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), os.getpgid(0), flush=True)\ntime.sleep(300)"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=bench.folder, start_new_session=True
    )
    assert daemon.stdout
    pid, group = map(int, daemon.stdout.readline().split())
    daemon.wait()
    born = started_of(pid)
    folder = str(bench.folder)
    look = Snapshot("/nowhere")
    try:
        assert look.group(group, born, group, folder) == [process_of(pid)]
        assert look.group(group, born + 1, group, folder) == []
        assert look.group(group, born, group, "/elsewhere") == []
        assert look.group(group, born, pid, folder) == []
        assert look.group(group, None, group, folder) == []
    finally:
        os.kill(pid, signal.SIGKILL)
        daemon.stdout.close()


def test_a_signal_for_a_process_that_is_no_more_reaches_nobody(bystander: subprocess.Popen[bytes]) -> None:
    right = process_of(bystander.pid)
    wrong = Process(right.pid, right.started - 1)
    assert right.lives()
    assert not wrong.lives()
    wrong.signal(signal.SIGKILL)
    time.sleep(0.05)
    assert bystander.poll() is None
    right.signal(signal.SIGKILL)
    assert bystander.wait(30) == -signal.SIGKILL


def test_the_family_of_a_process_never_includes_us() -> None:
    parent = process_of(os.getppid())
    assert not {os.getpid(), os.getppid()} & {p.pid for p in Snapshot("/nowhere").family([parent])}


def test_replicas_of_another_data_directory_are_not_ours(bench: Bench, tmp_path: Path) -> None:
    """Two gateways of one user, the same replica id in both."""
    (tmp_path / "two").mkdir()
    other = Bench(tmp_path / "two")
    bench.start()
    placement = other.start()
    bench.stop()
    assert bench.find() == {}
    assert other.find() == {"chat-a": Seen("chat-a", placement, True)}
    other.stop()
    assert other.processes() == []


def test_half_written_directories_are_found_and_removed(bench: Bench) -> None:
    contents = {
        "one": {},
        "two": {"spec.json": '{"protocol": 1, "la'},
        "three": {"spec.json": "[]", "runner.json": "{}"},
    }
    for name, files in contents.items():
        (bench.directory / name).mkdir(parents=True)
        for file, text in files.items():
            (bench.directory / name / file).write_text(text)
    (bench.directory / ".gone-four-1f").mkdir()
    (bench.directory / "a file").write_text("")
    assert bench.find() == {name: Seen(name, None, False) for name in contents}
    for name in contents:
        bench.stop(name)
    assert bench.find() == {}
    assert [path.name for path in bench.directory.iterdir()] == ["a file"]


def test_a_process_whose_directory_is_gone_is_found_and_ended(bench: Bench) -> None:
    marks = {"MODEL_SERVICE_REPLICA": "chat-a", "MODEL_SERVICE_DIRECTORY": str(bench.directory)}
    lost = subprocess.Popen(["sleep", "300"], env={**os.environ, **marks})
    assert eventually(bench.find) == {"chat-a": Seen("chat-a", None, True)}
    bench.stop()
    assert lost.wait(30) == -signal.SIGKILL
    assert bench.find() == {}


def test_the_runners_own_output_stays_small(bench: Bench) -> None:
    bench.start()
    output = bench.directory / "chat-a" / "output.log"
    output.write_bytes(b"x" * 100_000)
    assert bench.find()["chat-a"].alive
    assert output.stat().st_size == 0
    bench.stop()


@pytest.mark.parametrize("replica", ["", "..", "../x", "a/b", ".hidden", "a" * 101])
def test_an_id_that_is_no_name_of_a_directory_is_refused(bench: Bench, replica: str) -> None:
    with pytest.raises(InvalidRequest):
        bench.start(replica=replica)
    with pytest.raises(InvalidRequest):
        bench.stop(replica)
