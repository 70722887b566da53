"""The supervisor with real processes: a gateway that is killed refuses nobody, and nothing outlives its parent."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service.app.supervisor import BIND_PATIENCE, LISTEN_VARIABLE, bind
from jupyter_model_service.errors import Conflict

from .conftest import until

#: Stands for the gateway: answers with its process id on the socket that it was given. Writes down each of its starts.
GATEWAY = """
import os, pathlib, signal, socket, sys, threading, time
with open("starts", "a") as starts:
    starts.write(f"{os.getpid()} {time.time()}\\n")
count = len(open("starts").readlines())
if pathlib.Path("wrong").exists():
    sys.exit(2)
if pathlib.Path("crashes").exists() and count <= int(pathlib.Path("crashes").read_text()):
    sys.exit(1)
if pathlib.Path("deaf").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(0.4)  # what a gateway takes at least to come up
listener = socket.socket(fileno=int(os.environ["MODEL_SERVICE_LISTEN_FD"]))
listener.setblocking(True)
def last_calls(*_):
    listener.close()
    pathlib.Path("closed").touch()
    time.sleep(600)
if pathlib.Path("busy").exists():
    signal.signal(signal.SIGTERM, last_calls)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(str(os.getpid()).encode())
"""

SUPERVISOR = """
import pathlib, sys, time
from jupyter_model_service.app import supervisor
pauses = supervisor.Supervisor._pause
def pause(self, seconds):
    with open("pauses", "a") as file:
        file.write(f"{seconds}\\n")
    return pauses(self, seconds)
supervisor.Supervisor._pause = pause
address = ("127.0.0.1", int(sys.argv[1]))
while pathlib.Path("starting").exists():
    time.sleep(0.01)
say = lambda s: print(s, flush=True)
made = supervisor.Supervisor([sys.executable, "gateway.py"], address, say=say, parent=supervisor.parent_told())
sys.exit(made.run())
"""

PARENT = """
import os, subprocess, sys, time
told = {**os.environ, "MODEL_SERVICE_PARENT": str(os.getpid())}
subprocess.Popen([sys.executable, "supervisor.py", sys.argv[1]], env=told)
print("started", flush=True)
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.started: list[subprocess.Popen[str]] = []
        for name, text in (("gateway.py", GATEWAY), ("supervisor.py", SUPERVISOR), ("parent.py", PARENT)):
            (folder / name).write_text(text)

    def run(self, script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, script, str(self.port)], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def starts(self) -> list[tuple[int, float]]:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "starts").read_text().splitlines()
            return [(int(line.split()[0]), float(line.split()[1])) for line in lines]
        return []

    def pauses(self) -> list[float]:
        """What the supervisor waited for, in order."""
        with contextlib.suppress(FileNotFoundError):
            return [float(line) for line in (self.folder / "pauses").read_text().splitlines()]
        return []

    def ask(self, patience: float = 30.0) -> int:
        """The process id of whoever answers. A refused connection raises."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
            return int(connection.recv(100) or b"0")

    def answers(self) -> int | None:
        with contextlib.suppress(OSError):
            return self.ask(5.0)
        return None

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.cwd() == str(self.folder):
                    found.append(process)
        return found

    def port_is_free(self) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
            return True

    def close(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in self.started:
            started.wait(30)
            if started.stdout is not None:
                started.stdout.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def load(scene: Scene, answers: list[Any], stop: threading.Event) -> list[threading.Thread]:
    def call() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                answers.append((scene.ask(), time.monotonic() - began))
            except OSError as error:
                answers.append((error, time.monotonic() - began))
            time.sleep(0.002)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    return threads


def test_a_killed_gateway_refuses_no_connection(scene: Scene) -> None:
    """kill -9 under load, three times: no refusal, the next gateway answers within 5 s, and only calls that it had
    taken already may break."""
    scene.run("supervisor.py")
    until(scene.answers)
    answers: list[Any] = []
    stop = threading.Event()
    threads = load(scene, answers, stop)
    for _ in range(3):
        former = scene.starts()[-1][0]
        until(lambda former=former: any(who == former for who, _ in answers[-20:]))
        os.kill(former, signal.SIGKILL)
        until(lambda former=former: scene.starts()[-1][0] != former)
        until(lambda: any(who == scene.starts()[-1][0] for who, _ in answers[-20:]))
    stop.set()
    for thread in threads:
        thread.join()
    assert not [who for who, _ in answers if isinstance(who, ConnectionRefusedError)]
    assert max(seconds for _, seconds in answers) < 5
    broken = [who for who, _ in answers if who == 0 or isinstance(who, OSError)]
    assert len(broken) <= 3 * 4
    assert len({who for who, _ in answers if isinstance(who, int) and who}) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_and_frees_the_port(scene: Scene, number: signal.Signals) -> None:
    supervisor = scene.run("supervisor.py")
    until(scene.answers)
    supervisor.send_signal(number)
    assert supervisor.wait(30) == 0
    assert scene.processes() == []
    assert scene.port_is_free()


def test_what_started_it_is_killed_and_nothing_is_left(scene: Scene) -> None:
    """The Hub is killed with -9: supervisor and gateway are gone at once, the port is free for the next."""
    parent = scene.run("parent.py")
    until(scene.answers)
    parent.kill()
    parent.wait()
    until(lambda: not scene.processes(), 20)
    assert scene.port_is_free()


def test_a_parent_that_is_killed_while_the_interpreter_starts_leaves_nothing(scene: Scene) -> None:
    """The kernel tells nobody who has not asked yet, and by then the parent is another: it was told which one it was."""
    (scene.folder / "starting").touch()
    parent = scene.run("parent.py")
    until(lambda: len(scene.processes()) == 2)
    parent.kill()
    parent.wait()
    (scene.folder / "starting").unlink()
    until(lambda: not scene.processes(), 20)
    assert scene.starts() == []
    assert scene.port_is_free()


def test_a_parent_that_is_killed_while_the_port_is_waited_for_leaves_nothing(scene: Scene) -> None:
    """The former gateway still holds the port when the second Hub in a row is killed: nobody takes it afterwards."""
    orphan = bind("127.0.0.1", scene.port)
    parent = scene.run("parent.py")
    until(scene.pauses)
    parent.kill()
    parent.wait()
    orphan.close()
    until(lambda: not scene.processes(), 20)
    assert scene.starts() == []
    assert scene.port_is_free()


def test_a_signal_ends_the_wait_for_the_port(scene: Scene) -> None:
    with bind("127.0.0.1", scene.port):
        supervisor = scene.run("supervisor.py")
        until(scene.pauses)
        supervisor.terminate()
        assert supervisor.wait(30) == 0


def test_a_killed_supervisor_takes_the_gateway_along(scene: Scene) -> None:
    supervisor = scene.run("supervisor.py")
    until(scene.answers)
    supervisor.kill()
    supervisor.wait()
    until(lambda: not scene.processes(), 20)
    assert scene.port_is_free()


def test_the_port_of_an_orphan_is_waited_for(scene: Scene) -> None:
    """The next Hub starts its gateway while the former one's still holds the port."""
    orphan = bind("127.0.0.1", scene.port)
    supervisor = scene.run("supervisor.py")
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.wait(1.5)
    assert scene.starts() == []
    orphan.close()
    until(scene.answers)
    assert supervisor.poll() is None


def test_a_port_that_stays_taken_is_said_in_one_sentence() -> None:
    with bind("127.0.0.1", free_port()) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(Conflict, match=rf"cannot listen on 127\.0\.0\.1:{port} \(Address already in use\)"):
            bind("127.0.0.1", port, patience=0.3)
    assert BIND_PATIENCE == 10.0


def test_a_gateway_that_keeps_crashing_is_started_ever_less_often(scene: Scene) -> None:
    """At once after the first crash, then with growing pauses; calls wait meanwhile and are answered in the end."""
    (scene.folder / "crashes").write_text("4")
    scene.run("supervisor.py")
    assert until(scene.answers) == scene.starts()[-1][0]
    times = [at for _, at in scene.starts()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 4
    assert [gap >= pause for gap, pause in zip(gaps, (0.2, 0.5, 1.0, 2.0), strict=True)] == [True] * 4


def test_a_crash_after_a_steady_time_counts_as_the_first(scene: Scene) -> None:
    (scene.folder / "crashes").write_text("2")
    script = (scene.folder / "supervisor.py").read_text()
    (scene.folder / "supervisor.py").write_text(
        "import jupyter_model_service.app.supervisor as s\nassert s.STEADY == 30.0\ns.STEADY = 2.0\n" + script
    )
    scene.run("supervisor.py")
    until(scene.answers)
    assert scene.pauses() == [0.0, 0.2, 0.5]
    steady, began = scene.starts()[-1]
    until(lambda: time.time() > began + 2.5)
    os.kill(steady, signal.SIGKILL)
    until(lambda: len(scene.starts()) == 4)
    assert scene.pauses() == [0.0, 0.2, 0.5, 0.2]


def test_the_port_is_free_while_the_gateway_ends_its_last_calls(scene: Scene) -> None:
    """The gateway closes its socket first; the supervisor holds none either, so that no caller waits in vain."""
    (scene.folder / "busy").touch()
    supervisor = scene.run("supervisor.py")
    until(scene.answers)
    supervisor.terminate()
    until((scene.folder / "closed").exists)
    until(scene.port_is_free, 10)  # it would be killed after 20 s
    assert supervisor.poll() is None


def test_settings_that_cannot_be_used_end_it(scene: Scene) -> None:
    (scene.folder / "wrong").touch()
    supervisor = scene.run("supervisor.py")
    assert supervisor.wait(30) == 2
    assert len(scene.starts()) == 1


def test_a_gateway_that_does_not_end_is_killed(scene: Scene) -> None:
    (scene.folder / "deaf").touch()
    script = (scene.folder / "supervisor.py").read_text()
    (scene.folder / "supervisor.py").write_text(
        "import jupyter_model_service.app.supervisor as s\ns.END_PATIENCE = 1.0\n" + script
    )
    supervisor = scene.run("supervisor.py")
    until(scene.answers)
    supervisor.terminate()
    assert supervisor.wait(30) == 0
    assert scene.processes() == []


def test_a_socket_that_is_none_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Somebody set the supervisor's variable by hand."""
    from jupyter_model_service.app.supervisor import inherited_listener
    from jupyter_model_service.errors import InvalidRequest

    with open(tmp_path / "file", "w") as file:
        for given in ("x", "99999", str(file.fileno())):
            os.environ[LISTEN_VARIABLE] = given
            with pytest.raises(InvalidRequest, match=LISTEN_VARIABLE):
                inherited_listener()
    assert inherited_listener() is None
