"""The data directory: one gateway, private files, a kept port, and one sentence when the disk says no."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_model_service.app.files import DataDirectory
from jupyter_model_service.discovery import find_gateway
from jupyter_model_service.errors import Conflict, ModelServiceError


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DataDirectory]:
    with DataDirectory(tmp_path / "data", tmp_path) as held:
        yield held


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_that_is_made_is_private(files: DataDirectory) -> None:
    """Whatever the umask says."""
    former = os.umask(0)
    try:
        files.announce("http://127.0.0.1:1/", "jmc_x")
        files.listener("127.0.0.1", 0).close()
    finally:
        os.umask(former)
    assert mode(files.path) == 0o700
    assert mode(files.runtime_file) == 0o600
    assert mode(files.port_file) == 0o600


def test_what_is_announced_is_what_clients_find(files: DataDirectory) -> None:
    """And nothing is found after it was withdrawn."""
    files.announce("http://127.0.0.1:1234/", "jmc_x")
    found = find_gateway(files.path)
    assert found is not None
    assert (found.url, found.token, found.pid) == ("http://127.0.0.1:1234/", "jmc_x", os.getpid())
    files.withdraw()
    assert find_gateway(files.path) is None
    assert not list(files.path.glob("*json*"))


def test_a_second_gateway_is_told_who_runs(files: DataDirectory, tmp_path: Path) -> None:
    files.announce("http://127.0.0.1:1234/", "jmc_x")
    with pytest.raises(Conflict, match=f"process {os.getpid()} at http://127.0.0.1:1234/"):
        DataDirectory(files.path, tmp_path).__enter__()
    assert find_gateway(files.path) is not None


def test_what_a_killed_gateway_left_does_not_hinder(tmp_path: Path) -> None:
    """Its runtime file is removed; the lock went with its process."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    stale = {"url": "http://127.0.0.1:1/", "token": "t", "pid": os.getpid(), "create_time": 1.0, "version": "0"}
    (folder / "gateway.json").write_text(json.dumps(stale))
    (folder / "gateway.json").chmod(0o600)
    (folder / "gateway.lock").touch()
    with DataDirectory(folder, tmp_path) as files:
        assert not files.runtime_file.exists()


def test_the_port_is_kept(files: DataDirectory) -> None:
    """So that endpoints keep their addresses over restarts."""
    first = files.listener("127.0.0.1", 0)
    port = first.getsockname()[1]
    first.close()
    second = files.listener("127.0.0.1", 0)
    assert second.getsockname()[1] == port
    second.close()


def test_a_kept_port_that_is_taken_is_replaced_with_a_warning(
    files: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        files.port_file.write_text(f"{taken}\n")
        listener = files.listener("127.0.0.1", 0)
    assert listener.getsockname()[1] != taken
    assert int(files.port_file.read_text()) == listener.getsockname()[1]
    listener.close()
    assert str(taken) in caplog.text


def test_a_set_port_that_is_taken_is_an_error(files: DataDirectory) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {taken} of 127.0.0.1 cannot be used"):
            files.listener("127.0.0.1", taken)


@pytest.mark.parametrize("text", ["", "x", "-1", "70000", "\0"])
def test_a_damaged_port_file_is_no_obstacle(files: DataDirectory, text: str) -> None:
    files.port_file.write_text(text)
    with files.listener("127.0.0.1", 0) as listener:
        assert files.port_file.read_text() == f"{listener.getsockname()[1]}\n"


def test_the_socket_moves_where_its_path_is_short_enough(tmp_path: Path) -> None:
    """108 bytes are too many. The other place is private, the same each time, and cleared."""
    long = tmp_path / ("d" * 120)
    scratch = Path("/tmp")
    with DataDirectory(long, scratch) as files:
        path = files.web_socket()
        assert len(os.fsencode(path)) <= 107
        assert path.parent.parent == scratch
        assert mode(path.parent) == 0o700
        assert files.web_socket() == path
        path.touch()
        files.remove_web_socket(path)
        assert not path.parent.exists()


def test_the_socket_is_private_and_replaces_a_dead_one(files: DataDirectory) -> None:
    """Mode 0600 whatever the umask says, so that only this user can pass the front by."""
    former = os.umask(0)
    try:
        for _ in range(2):  # the first is left behind, as by kill -9
            path, listener = files.web_listener()
            assert mode(path) == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            listener.close()
    finally:
        os.umask(former)


def test_the_socket_stays_in_the_data_directory_where_it_fits(files: DataDirectory) -> None:
    assert files.web_socket() == files.path / "web.sock"


def test_a_folder_that_somebody_prepared_for_the_socket_is_refused(tmp_path: Path) -> None:
    """Anyone may make folders and links in /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch, DataDirectory(tmp_path / ("d" * 120), Path(scratch)) as f:
        folder = f.web_socket().parent
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(ModelServiceError, match="another"):
            f.web_socket()


def test_a_folder_that_others_can_write_is_refused_and_not_changed(tmp_path: Path) -> None:
    """``--data-dir /tmp`` must not close /tmp for everybody."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ModelServiceError, match="can be written by other users"):
        DataDirectory(folder, tmp_path).__enter__()
    assert mode(folder) == 0o777
    assert list(folder.iterdir()) == []


def test_a_place_that_is_no_folder_gets_one_sentence(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(ModelServiceError, match="cannot be written") as caught:
        DataDirectory(place, tmp_path).__enter__()
    assert "\n" not in str(caught.value)
    assert place.read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["gateway.lock", "gateway.json", "gateway.log", "gateway.port", "state.db", "state.key"]
)
def test_a_planted_link_or_pipe_gets_one_sentence(tmp_path: Path, name: str) -> None:
    """A link could lead what is written to any file of this user's, and opening a pipe would wait for ever."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    elsewhere.chmod(0o644)
    for plant in (
        lambda: (folder / name).symlink_to(elsewhere),
        lambda: (folder / name).symlink_to(tmp_path / "nothing"),
        lambda: os.mkfifo(folder / name),
    ):
        plant()
        with pytest.raises(ModelServiceError, match=rf"{name} is (a symbolic link|not a regular file)") as caught:
            DataDirectory(folder, tmp_path).__enter__()
        assert "\n" not in str(caught.value)
        (folder / name).unlink()
    assert (elsewhere.read_text(), mode(elsewhere)) == ("mine", 0o644)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "elsewhere"]
    with DataDirectory(folder, tmp_path):
        pass


def test_a_full_disk_leaves_the_former_file_and_no_half_one(files: DataDirectory) -> None:
    """A file-size limit of 0 stands for the full disk: every write fails, opening does not."""
    files.announce("http://127.0.0.1:1/", "jmc_former")
    former_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    former_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, former_limit[1]))
        with pytest.raises(ModelServiceError, match="cannot be written"):
            files.announce("http://127.0.0.1:2/", "jmc_next")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former_limit)
        signal.signal(signal.SIGXFSZ, former_handler)
    assert json.loads(files.runtime_file.read_text())["token"] == "jmc_former"
    assert sorted(p.name for p in files.path.iterdir()) == ["gateway.json", "gateway.lock"]


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """``kill -9`` leaves no lock behind, and a child of the holder does not keep it."""
    script = (
        "import pathlib, subprocess, sys, time\n"
        "from jupyter_model_service.app.files import DataDirectory\n"
        f"DataDirectory(pathlib.Path({str(tmp_path / 'data')!r}), pathlib.Path('/tmp')).__enter__()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = None
    try:
        assert holder.stdout is not None
        child = psutil.Process(int(holder.stdout.readline()))
        holder.kill()
        holder.wait()
        assert child.is_running()
        with DataDirectory(tmp_path / "data", tmp_path):
            pass
    finally:
        if child is not None:
            child.kill()  # before the pipe is read to its end: it holds that, too
        holder.kill()
        holder.communicate()
