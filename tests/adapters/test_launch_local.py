"""Replicas as processes: what they are given, what survives, what ends, and what is never touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.adapters.local_files import PORTS, free_port
from jupyter_model_service.adapters.processes import Process, Snapshot, numbering
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Mount, Resources, Revision
from jupyter_model_service.errors import InvalidRequest, LaunchError
from jupyter_model_service.ports import Placement, Seen, StartRequest

LINUX = sys.platform.startswith("linux")

MODEL = """
import os, signal, socket, subprocess, sys, time
port, host, *how = sys.argv[1:]
if "deaf" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "leaks" in how:  # a child in a session of its own, deaf as well
    subprocess.Popen([sys.executable, __file__, "0", "127.0.0.1", "deaf"], start_new_session=True)
server = socket.create_server((host, int(port)))
with open(f"seen-{os.getpid()}.txt", "w") as file:
    file.write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
os.rename(file.name, "seen.txt" if port != "0" else "leaked.txt")
while True:
    time.sleep(60)
"""


def eventually(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it was not seen in time"
        time.sleep(0.01)
    return seen


def accepts(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class Bench:
    """One data directory and one model folder; ``launcher()`` is the launcher of the next gateway."""

    def __init__(self, path: Path) -> None:
        self.directory = path / "replicas"
        self.folder = path / "model folder"
        self.folder.mkdir()
        (self.folder / "server.py").write_text(MODEL)

    def launcher(self, **options: Any) -> LocalLauncher:
        return LocalLauncher(self.directory, **options)

    def revision(self, *how: str, host: str = "0.0.0.0", **fields: Any) -> Revision:
        command = (sys.executable, "/models/server.py", "8000", host, *how)
        definition = Definition(name="m", model_path="/models", port=8000, start_command=command)
        return Revision(1, str(self.folder), definition, 0.0, **fields)

    def start(self, *how: str, replica: str = "chat-a", **fields: Any) -> Placement:
        """Each call and each look runs in an event loop of its own: none of them may matter to a replica."""
        return asyncio.run(self.launcher().start(self.request(*how, replica=replica, **fields)))

    def request(self, *how: str, replica: str = "chat-a", **fields: Any) -> StartRequest:
        return StartRequest(replica, "ann", "chat", self.revision(*how, **fields), "5e" * 32)

    def find(self) -> dict[str, Seen]:
        return {seen.replica: seen for seen in asyncio.run(self.launcher().find())}

    def stop(self, replica: str = "chat-a") -> None:
        asyncio.run(self.launcher().stop(replica, None))

    def runner(self, replica: str = "chat-a") -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.directory / replica / "runner.json").read_text())
        return value

    def model_pid(self, replica: str = "chat-a") -> int:
        def pid() -> int | None:
            model = self.runner(replica)["model"]
            return model["pid"] if model else None

        return int(eventually(pid))

    def processes(self) -> list[int]:
        """Everything that carries this directory's mark, by another way of looking than the launcher's."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("MODEL_SERVICE_DIRECTORY") == str(self.directory) and lives(process.pid):
                    found.append(process.pid)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for pid in bench.processes():  # whatever a failed test left
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_model_is_served_at_its_address_on_loopback_only(bench: Bench) -> None:
    placement = bench.start()
    eventually(lambda: accepts(placement.address))
    assert placement.address[0] == placement.control[0] == "127.0.0.1"
    assert asyncio.run(bench.launcher().exposed("chat-a", placement)) == []
    bench.stop()
    assert not accepts(placement.address)
    assert bench.processes() == []
    assert list(bench.directory.iterdir()) == []


def test_the_model_gets_its_environment_and_none_of_our_secrets(bench: Bench) -> None:
    secrets = ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER", "JPY_API_TOKEN", "JUPYTER_TOKEN", "JPY_PARENT_PID")
    ours = {**os.environ, **dict.fromkeys(secrets, "s3cret"), "MODEL_SERVICE_X": "s3cret", "KEPT": "yes"}
    launcher = bench.launcher(environment=ours)
    request = bench.request(environment=(("OWN", "a=b"), ("CACHE", "/models/cache")))
    placement = asyncio.run(launcher.start(request))
    seen = bench.folder / "seen.txt"
    eventually(seen.exists)
    values = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert "s3cret" not in values.values()
    assert request.secret not in seen.read_text()
    assert (values["KEPT"], values["OWN"], values["CACHE"]) == ("yes", "a=b", f"{bench.folder}/cache")
    assert values["PORT"] == values["MODEL_SERVICE_PORT"] == str(placement.address[1])
    assert values["BACKEND_MODEL_PATH"] == str(bench.folder)
    assert values["MODEL_SERVICE_REPLICA"] == "chat-a"
    bench.stop()


def test_a_runner_hears_no_signal_that_is_meant_for_us(bench: Bench) -> None:
    """Ctrl-C and a closed terminal reach the gateway's process group and session."""
    pid = bench.start().handle["pid"]
    assert os.getsid(pid) == os.getpgid(pid) == pid
    bench.stop()


def test_a_port_that_was_given_away_is_not_given_again() -> None:
    assert free_port(set(PORTS)) not in PORTS
    assert free_port(set(PORTS) - {20_007, 31_001, *range(22_000, 24_000)}) in {20_007, 31_001, *range(22_000, 24_000)}


def test_what_holds_the_secret_is_for_this_user_only(bench: Bench) -> None:
    bench.start()
    folder = bench.directory / "chat-a"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "spec.json").stat().st_mode) == 0o600
    assert "5e5e" not in " ".join(psutil.Process(bench.runner()["pid"]).cmdline())
    bench.stop()


def test_many_starts_at_once_collide_nowhere(bench: Bench) -> None:
    async def body() -> list[Placement]:
        launcher = bench.launcher()
        starts = [launcher.start(bench.request(replica=f"chat-{n}")) for n in range(6)]
        placements = await asyncio.gather(*starts)
        assert len(await launcher.find()) == 6
        return list(placements)

    placements = asyncio.run(body())
    assert len({p.address[1] for p in placements}) == 6
    eventually(lambda: all(accepts(placement.address) for placement in placements))

    async def end() -> None:
        launcher = bench.launcher()
        await asyncio.gather(*(launcher.stop(f"chat-{n}", None) for n in range(6)))

    asyncio.run(end())
    assert bench.processes() == []


# --- the gateway dies --------------------------------------------------------------------------------------

GATEWAY = """
import asyncio, pathlib, sys
from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.ports import StartRequest
directory, folder = sys.argv[1:]
command = (sys.executable, "/models/server.py", "8000", "0.0.0.0")
revision = Revision(1, folder, Definition("m", "/models", 8000, command), 0.0)
launcher = LocalLauncher(pathlib.Path(directory))
print("ready", flush=True)
asyncio.run(launcher.start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32)))
print("started", flush=True)
sys.stdin.read()
"""


def gateway(bench: Bench) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(bench.directory), str(bench.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_replica_outlives_the_killed_gateway_and_is_found_again(bench: Bench) -> None:
    process = gateway(bench)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    pids = (bench.runner()["pid"], bench.model_pid())
    end(process)
    seen = bench.find()["chat-a"]
    assert seen.alive
    assert seen.placement
    assert (seen.placement.handle["pid"], bench.model_pid()) == pids
    address = seen.placement.address
    eventually(lambda: accepts(address))
    bench.stop()
    assert not accepts(address)
    assert bench.processes() == []


@pytest.mark.parametrize("milliseconds", [0, 2, 5, 10, 15, 20, 30, 45, 60, 90])
def test_a_gateway_killed_in_the_middle_of_a_start_leaves_nothing_that_cannot_be_found(
    bench: Bench, milliseconds: int
) -> None:
    process = gateway(bench)
    time.sleep(milliseconds / 1000)
    end(process)
    found = bench.find()
    assert found.keys() <= {"chat-a"}
    if not found:
        assert bench.processes() == []
        assert not (bench.directory / "chat-a").exists()
    elif not found["chat-a"].alive:
        assert bench.processes() == []
    bench.stop()
    assert bench.processes() == []
    assert bench.find() == {}
    assert not (bench.directory / "chat-a").exists()


# --- the runner dies -----------------------------------------------------------------------------------------


def test_a_killed_runner_is_seen_as_dead_and_reaped_while_we_live(bench: Bench) -> None:
    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(bench.request())
        pid = placement.handle["pid"]
        os.kill(pid, signal.SIGKILL)
        for _ in range(1000):
            if not psutil.pid_exists(pid):
                break
            await asyncio.sleep(0.01)
        assert not psutil.pid_exists(pid)
        assert await launcher.find() == [Seen("chat-a", None, False)]
        assert await launcher.start(bench.request()) != placement

    asyncio.run(body())
    bench.stop()


@pytest.mark.skipif(not LINUX, reason="who ends the model of a killed runner is the kernel of Linux")
def test_what_a_killed_runner_leaves_is_ended_and_the_port_is_free_within_two_seconds(bench: Bench) -> None:
    placement = bench.start("deaf", "leaks")
    eventually(lambda: accepts(placement.address))
    eventually((bench.folder / "leaked.txt").exists)
    assert len(bench.processes()) == 3
    began = time.monotonic()
    os.kill(placement.handle["pid"], signal.SIGKILL)
    bench.stop()
    assert time.monotonic() - began < 2.0
    assert not accepts(placement.address)
    assert bench.processes() == []
    with socket.create_server(placement.address):
        pass


@pytest.mark.parametrize("how", [("deaf",), ("deaf", "leaks"), ()])
def test_a_forced_stop_takes_two_seconds_at_most(bench: Bench, how: tuple[str, ...]) -> None:
    placement = bench.start(*how)
    eventually(lambda: accepts(placement.address))
    began = time.monotonic()
    bench.stop()
    assert time.monotonic() - began < 2.0
    assert not accepts(placement.address)
    assert bench.processes() == []


def test_a_stopped_runner_and_its_model_are_ended_too(bench: Bench) -> None:
    """SIGSTOP: a paused process hears SIGTERM only when it goes on, SIGKILL at once."""
    placement = bench.start()
    for pid in (bench.model_pid(), placement.handle["pid"]):
        os.kill(pid, signal.SIGSTOP)
    bench.stop()
    assert bench.processes() == []


@pytest.mark.skipif(not LINUX, reason="start times of the kernel")
@pytest.mark.parametrize("first", ["", "runner", "both"])
def test_the_recorded_group_is_ended_even_when_its_marks_are_gone(bench: Bench, first: str) -> None:
    """A server that sets its title overwrites its environment; here ``env -i`` does. ``first``: killed before."""
    (bench.folder / "bare.sh").write_text("env -i sleep 300 & exec env -i sleep 301\n")
    command = ("sh", "/models/bare.sh", "{port}")
    revision = Revision(1, str(bench.folder), Definition("m", "/models", 8000, command), 0.0)
    placement = asyncio.run(bench.launcher().start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32)))
    leader = bench.model_pid()
    members = eventually(lambda: two([p for p in psutil.pids() if pgid(p) == leader and named(p, "sleep")]))
    if first:
        os.kill(placement.handle["pid"], signal.SIGKILL)
        eventually(lambda: not lives(leader))
    if first == "both":  # and the next process has the leader's number: then nothing is proven
        spec = bench.directory / "chat-a" / "spec.json"
        spec.write_text(spec.read_text().replace(numbering(), "another boot"))
    bench.stop()
    try:
        assert [lives(p) for p in members] == [first == "both" and p != leader for p in members]
        assert not lives(placement.handle["pid"])
    finally:
        for pid in members:
            if lives(pid) and pgid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


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


def two(found: list[int]) -> list[int]:
    return found if len(found) == 2 else []


def pgid(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.getpgid(pid)
    return 0


def named(pid: int, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name() == name
    return False


# --- nobody else is touched --------------------------------------------------------------------------------


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


def process_of(pid: int) -> Process:
    return Process(pid, started_of(pid))


def started_of(pid: int) -> int:
    if not LINUX:
        return int(psutil.Process(pid).create_time() * 1000)
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


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


# --- what is left lying about ---------------------------------------------------------------------------------


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


# --- failures -------------------------------------------------------------------------------------------------


def test_a_runner_that_ends_at_once_is_reported_with_its_last_words(bench: Bench, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("raise SystemExit('the stars are wrong')\n")
    with pytest.raises(LaunchError, match=r"ended at once \(status 1\): the stars are wrong") as caught:
        asyncio.run(bench.launcher(runner=runner).start(bench.request()))
    assert caught.value.stage == "runner"
    assert bench.find() == {}


def test_a_runner_that_says_nothing_is_given_up_and_ended(bench: Bench, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(300)\n")
    with pytest.raises(LaunchError, match=r"said nothing for 0\.2 s"):
        asyncio.run(bench.launcher(runner=runner, start_timeout=0.2).start(bench.request()))
    assert bench.processes() == []
    assert bench.find() == {}


def test_no_interpreter_and_no_disk_are_one_sentence(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"No such file or directory \(/nowhere/python\)"):
        asyncio.run(bench.launcher(python="/nowhere/python").start(bench.request()))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LaunchError, match="Not a directory"):
        asyncio.run(LocalLauncher(blocked / "replicas").start(bench.request()))
    assert bench.find() == {}


def test_a_model_that_listens_on_every_address_is_told(bench: Bench) -> None:
    (bench.folder / "open.py").write_text(
        "import socket, sys, time\ns = socket.create_server(('', int(sys.argv[1])))\ntime.sleep(300)\n"
    )
    command = (sys.executable, "/models/open.py", "{port}")
    revision = Revision(1, str(bench.folder), Definition("m", "/models", 8000, command), 0.0)

    async def body() -> None:
        launcher = bench.launcher()
        placement = await launcher.start(StartRequest("chat-a", "ann", "chat", revision, "5e" * 32))
        said: Any = []
        for _ in range(1000):
            if said := await launcher.exposed("chat-a", placement):
                break
            await asyncio.sleep(0.02)
        assert said == [f"0.0.0.0:{placement.address[1]}"]

    asyncio.run(body())
    bench.stop()


# --- check and GPUs --------------------------------------------------------------------------------------------


def test_what_is_not_enforced_is_said(bench: Bench) -> None:
    mounts = (Mount("/data", "/mnt/data", True),)
    said = bench.launcher().check(bench.revision(mounts=mounts, resources=Resources(cpus=2.5, memory=1 << 30)))
    assert len(said) == 3
    assert "/data at /mnt/data is not enforced" in said[0]
    assert "2.5 CPUs is not enforced" in said[1]
    assert "memory limit of 1073741824 bytes is not enforced" in said[2]


def test_what_cannot_be_run_here_is_refused_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    launcher = bench.launcher(gpus=list)
    good = bench.revision()
    assert launcher.check(good) == []

    def refused(match: str, **fields: Any) -> None:
        with pytest.raises(InvalidRequest, match=match):
            launcher.check(Revision(**{**vars(good), **fields}))

    refused("local processes here; leave the image out", image="python:3.12")
    refused("There is no folder", folder=str(tmp_path / "nowhere"))
    refused("There is no folder", folder=str(bench.folder / "server.py"))
    refused("2 GPUs asked for, this machine has none", resources=Resources(gpus=2))
    refused("is no folder: it would be", definition=Definition("m", "/models/weights", 8000, ("run", "8000")))
    refused("says which port", definition=Definition("m", "/models", 8000, ("run",)))
    with pytest.raises(InvalidRequest, match="3 GPUs asked for, this machine has 2"):
        bench.launcher(gpus=lambda: ["0", "1"]).check(bench.revision(resources=Resources(gpus=3)))


def test_two_replicas_never_share_the_gpus_that_they_asked_for(bench: Bench) -> None:
    async def body() -> None:
        launcher = bench.launcher(gpus=lambda: ["0", "1", "2"])
        one = await launcher.start(bench.request(replica="chat-a", resources=Resources(gpus=1)))
        two = await launcher.start(bench.request(replica="chat-b", resources=Resources(gpus=2)))
        assert (one.handle["gpus"], two.handle["gpus"]) == (["0"], ["1", "2"])
        spec = json.loads((bench.directory / "chat-b" / "spec.json").read_text())
        assert spec["environment"]["CUDA_VISIBLE_DEVICES"] == "1,2"
        with pytest.raises(LaunchError, match="needs 1 GPU, and none of this machine's 3 is free"):
            await launcher.start(bench.request(replica="chat-c", resources=Resources(gpus=1)))
        os.kill(one.handle["pid"], signal.SIGKILL)
        again = bench.launcher(gpus=lambda: ["0", "1", "2"])
        for _ in range(1000):
            if not lives(one.handle["pid"]):
                break
            await asyncio.sleep(0.01)
        three = await again.start(bench.request(replica="chat-d", resources=Resources(gpus=1)))
        assert three.handle["gpus"] == ["0"]
        none = await again.start(bench.request(replica="chat-e"))
        assert "gpus" not in none.handle
        for replica in "abde":
            await again.stop(f"chat-{replica}", None)

    asyncio.run(body())
    assert bench.processes() == []
