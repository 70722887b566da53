"""Finding and starting gateways: what is believed, and that two starters end with one gateway."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from jupyter_model_service import discovery
from jupyter_model_service.discovery import explicit_gateway, find_gateway, start_gateway
from jupyter_model_service.errors import GatewayUnavailable

from .fake_gateway import FakeGateway, write_private

#: Stands in for ``jupyter_model_service.app``: takes the lock, serves health, writes the runtime file.
STAND_IN = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
import psutil
from filelock import FileLock, Timeout

directory = Path(sys.argv[sys.argv.index("--data-dir") + 1])
if os.environ.get("FAIL"):
    print("a line before", flush=True)
    sys.exit("The database state.db is newer than this gateway: upgrade it.")
if os.environ.get("HANG"):
    time.sleep(600)
lock = FileLock(directory / "gateway.lock")
try:
    lock.acquire(timeout=0)
except Timeout:
    sys.exit("A gateway runs already.")
time.sleep(float(os.environ.get("SLOW", "0")))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
me = psutil.Process()
content = {"url": f"http://127.0.0.1:{server.server_port}/", "token": "jmc_x", "pid": me.pid,
           "create_time": me.create_time(), "version": "0", "keep": "--keep" in sys.argv}
partial = directory / "gateway.new"
partial.touch(0o600)
partial.write_text(json.dumps(content))
partial.rename(directory / "gateway.json")
server.serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory for which ``python -m jupyter_model_service.app`` is the stand-in. Ends what was started."""
    fakes = tmp_path / "python"
    (fakes / "jupyter_model_service").mkdir(parents=True)
    real = Path(discovery.__file__).parent
    (fakes / "jupyter_model_service" / "__init__.py").write_text(f"__path__.append({str(real)!r})\n")
    (fakes / "jupyter_model_service" / "app.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(fakes))
    directory = tmp_path / "data" / "model-service"
    yield directory
    for process in psutil.process_iter():
        try:
            if str(directory) in process.cmdline() and process.pid != os.getpid():
                process.kill()
        except psutil.Error:
            continue


def test_a_living_gateway_is_found(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as fake:
        found = find_gateway(tmp_path)
        assert found is not None
        assert (found.url, found.token, found.pid) == (fake.url, fake.token, os.getpid())
        assert fake.token not in repr(found)


def test_no_file_and_a_dead_process_are_no_gateway(tmp_path: Path) -> None:
    assert find_gateway(tmp_path) is None
    with FakeGateway(tmp_path) as fake:
        with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
            process.wait()
        fake.announce(pid=process.pid)
        assert find_gateway(tmp_path) is None


def test_a_process_that_reuses_the_pid_is_not_taken_for_the_gateway(tmp_path: Path) -> None:
    with FakeGateway(tmp_path) as fake:
        fake.announce(create_time=psutil.Process().create_time() - 3600)
        assert find_gateway(tmp_path) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    with FakeGateway(tmp_path) as fake:
        os.chmod(tmp_path / "gateway.json", mode)
        with pytest.raises(GatewayUnavailable, match=r"is open to other users \(mode 06.., not 0600\)") as caught:
            find_gateway(tmp_path)
        assert fake.token not in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    with FakeGateway(tmp_path):
        os.chown(tmp_path / "gateway.json", 12345, 12345)
        with pytest.raises(GatewayUnavailable, match="belongs to another user"):
            find_gateway(tmp_path)


def test_a_link_and_a_pipe_are_refused(tmp_path: Path) -> None:
    """A link could lead to a file that somebody else writes; reading a pipe would wait for ever."""
    write_private(tmp_path / "elsewhere.json", "{}")
    (tmp_path / "gateway.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(GatewayUnavailable, match=r"gateway\.json is a symbolic link"):
        find_gateway(tmp_path)
    (tmp_path / "gateway.json").unlink()
    os.mkfifo(tmp_path / "gateway.json", 0o600)
    with pytest.raises(GatewayUnavailable, match="not a regular file"):
        find_gateway(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"url": "http://127.0.0.1:1/"}', '{"url": "ftp://x", "token": "t", "pid": 1, '
     '"create_time": 1, "version": "0"}', "x" * 100_000],
)  # fmt: skip
def test_nonsense_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "gateway.json", text)
    with pytest.raises(GatewayUnavailable) as caught:
        find_gateway(tmp_path)
    assert "\n" not in str(caught.value)
    assert "remove it" in str(caught.value)


def test_the_environment_names_a_gateway_whole_or_not_at_all() -> None:
    assert explicit_gateway({}) is None
    assert explicit_gateway({"MODEL_SERVICE_URL": " http://h/ ", "MODEL_SERVICE_TOKEN": "t\n"}) == ("http://h/", "t")
    with pytest.raises(GatewayUnavailable, match="set both"):
        explicit_gateway({"MODEL_SERVICE_URL": "http://h/"})


def test_a_gateway_is_started_and_outlives_its_starter(stand_in: Path) -> None:
    starter = "import sys; from pathlib import Path; from jupyter_model_service.discovery import start_gateway\n"
    starter += "print(start_gateway(Path(sys.argv[1]), keep=True, timeout=60).pid)"
    done = subprocess.run([sys.executable, "-c", starter, str(stand_in)], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    found = find_gateway(stand_in)
    assert found is not None
    assert found.pid == int(done.stdout)
    assert json.loads(found.path.read_text())["keep"] is True
    assert os.getsid(found.pid) == found.pid, "it has a session of its own, so that Ctrl-C does not reach it"
    assert stand_in.stat().st_mode & 0o777 == 0o700
    assert (stand_in / "gateway.log").stat().st_mode & 0o777 == 0o600
    assert start_gateway(stand_in, keep=False, timeout=30).pid == found.pid, "a running one is taken as it is"


def test_starters_at_the_same_moment_end_with_one_gateway(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "0.7")
    pids: list[int] = []

    def start() -> None:
        pids.append(start_gateway(stand_in, keep=True, timeout=60).pid)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(pids) == 3
    assert len(set(pids)) == 1
    assert len(gateways(stand_in)) == 1, "those that came too late have ended"


def test_a_gateway_that_fails_is_quoted(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(stand_in / "gateway.log", "what an earlier one said\n")
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(GatewayUnavailable) as caught:
        start_gateway(stand_in, keep=True, timeout=60)
    assert str(caught.value) == (
        "The gateway did not start (exit status 1): The database state.db is newer than this gateway: upgrade it."
    )


def test_a_gateway_that_never_answers_is_given_up_and_ended(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANG", "1")
    began = time.monotonic()
    with pytest.raises(GatewayUnavailable, match=r"did not answer within 0\.5 s"):
        start_gateway(stand_in, keep=True, timeout=0.5)
    assert time.monotonic() - began < 20
    assert gateways(stand_in) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GatewayUnavailable, match="cannot be written"):
        start_gateway(tmp_path / "file" / "model-service", keep=True)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_folder_and_the_log_of_a_start_have_their_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """The folders above are as the umask says, but of use to the user; an umask is a process's, hence another one."""
    folder = tmp_path / "above" / "data"
    starter = "import sys; from pathlib import Path; from jupyter_model_service.discovery import _open_log\n"
    starter += "_open_log(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", starter, str(folder)], check=True, timeout=60, umask=umask)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (folder.parent, folder, folder / "gateway.log")]
    assert modes == [0o777 & ~umask | 0o700, 0o700, 0o600]


def test_a_log_that_somebody_planted_is_refused_and_starts_nothing(stand_in: Path) -> None:
    """What the gateway prints would be appended to whatever the link leads to; a pipe would make the starter wait."""
    stand_in.mkdir(mode=0o700, parents=True)
    elsewhere = stand_in.parent / "authorized_keys"
    elsewhere.write_text("mine\n")
    log = stand_in / "gateway.log"
    log.symlink_to(elsewhere)
    with pytest.raises(GatewayUnavailable, match=r"gateway\.log is a symbolic link, and the gateway makes none there"):
        start_gateway(stand_in, keep=True, timeout=20)
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(GatewayUnavailable, match=r"gateway\.log is not a regular file"):
        start_gateway(stand_in, keep=True, timeout=20)
    assert elsewhere.read_text() == "mine\n"
    assert gateways(stand_in) == []


def gateways(directory: Path) -> list[int]:
    """Living processes that were started for this folder."""
    found = []
    for process in psutil.process_iter():
        with ignored():
            if str(directory) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@contextmanager
def ignored() -> Iterator[None]:
    try:
        yield
    except psutil.Error:
        pass
