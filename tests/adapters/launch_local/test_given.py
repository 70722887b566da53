"""What a replica is given, and what is refused before it starts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service.adapters import local_look
from jupyter_model_service.adapters.launch_local import LocalLauncher
from jupyter_model_service.adapters.local_files import PORTS, free_port
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.policy import Held
from jupyter_model_service.core.revision import Kept, Mount, Resources, Revision
from jupyter_model_service.errors import InvalidRequest, LaunchError
from jupyter_model_service.ports import Placement, Seen, StartRequest
from jupyter_model_service.runner import runner_command

from .bench import Bench, accepts, eventually, lives


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
    ours["MODEL_SERVICE_NVML"] = "/no/library.so"  # where it is, is for the runner
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
    assert values["MODEL_SERVICE_NVML"] == "/no/library.so"
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


def test_nothing_is_open_to_others_whatever_the_umask_is(bench: Bench) -> None:
    former = os.umask(0)
    try:
        bench.start()
    finally:
        os.umask(former)
    eventually((bench.folder / "seen.txt").exists)  # so the runner has made all that it makes
    folder = bench.directory / "chat-a"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop("chat-a") == modes.pop("env") == 0o700
    assert set(modes) >= {"spec.json", "runner.json", "output.log"}
    assert set(modes.values()) == {0o600}
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


def test_a_replica_that_is_about_to_start_is_no_leftover(bench: Bench) -> None:
    """Its directory is there and its process is not: whoever looks now must not clear it away."""
    go_on = threading.Event()

    def gpus() -> list[str]:
        go_on.wait(60)
        return ["0"]

    async def body() -> None:
        launcher = bench.launcher(gpus=gpus)
        task = asyncio.create_task(launcher.start(bench.request(resources=Resources(gpus=1))))
        while not await launcher.find():
            await asyncio.sleep(0.01)
        assert await launcher.find() == [Seen("chat-a", None, True)]
        go_on.set()
        placement = await task
        assert await launcher.find() == [Seen("chat-a", placement, True)]

    asyncio.run(body())
    bench.stop()


def test_a_runner_that_ends_at_once_is_reported_with_its_last_words(bench: Bench, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("raise SystemExit('the stars are wrong')\n")
    with pytest.raises(LaunchError, match=r"ended at once \(status 1\): the stars are wrong") as caught:
        asyncio.run(bench.launcher(command=lambda python, spec: [python, str(runner)]).start(bench.request()))
    assert caught.value.stage == "runner"
    assert bench.find() == {}


def test_a_runner_that_says_nothing_is_given_up_and_ended(bench: Bench, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(300)\n")
    with pytest.raises(LaunchError, match=r"said nothing for 0\.2 s"):
        asyncio.run(
            bench.launcher(command=lambda python, spec: [python, str(runner)], start_timeout=0.2).start(bench.request())
        )
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


def test_replicas_run_in_the_copy_of_their_revision_and_say_when_it_is_gone(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bench.folder, copy)
    kept = Kept("copy", str(copy), files=1)
    placement = bench.start(kept=kept)
    eventually(lambda: accepts(placement.address))
    eventually(lambda: (copy / "seen.txt").exists())
    assert not (bench.folder / "seen.txt").exists()
    bench.stop()
    gone = bench.revision(kept=Kept("copy", str(tmp_path / "gone")))
    with pytest.raises(LaunchError, match=r"files of revision 1 are gone from .*gone: update the service"):
        bench.start(kept=gone.kept)
    with pytest.raises(InvalidRequest, match="files of revision 1 are gone"):
        bench.launcher().check(gone)
    assert bench.find() == {}
    shutil.rmtree(bench.folder)
    assert bench.launcher().check(bench.revision(kept=kept)) == []


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


def test_what_is_not_enforced_is_said(bench: Bench) -> None:
    mounts = (Mount("/data", "/mnt/data", True),)
    said = bench.launcher().check(bench.revision(mounts=mounts, resources=Resources(cpus=2.5, memory=1 << 30)))
    assert len(said) == 3
    assert "/data at /mnt/data is not enforced" in said[0]
    assert "2.5 CPUs is not enforced" in said[1]
    assert "memory limit of 1 GiB is not enforced" in said[2]


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
    refused("2 GPUs are asked for, and this machine has none", resources=Resources(gpus=2))
    refused("is no folder: it would be", definition=Definition("m", "/models/weights", 8000, ("run", "8000")))
    refused("says which port", definition=Definition("m", "/models", 8000, ("run",)))
    two = bench.launcher(gpus=lambda: ["0", "1"])
    with pytest.raises(InvalidRequest, match="3 GPUs are asked for, and this machine has 2"):
        two.check(bench.revision(resources=Resources(gpus=3)), replicas=0)
    with pytest.raises(InvalidRequest, match="3 replicas with 1 GPU each are asked for, and this machine has 2"):
        two.check(bench.revision(resources=Resources(gpus=1)), replicas=3)


def test_the_room_on_the_gpus_of_this_machine_is_told_from_memory(bench: Bench) -> None:
    """The driver is asked at the check only, as it may take seconds."""
    asked: list[int] = []

    def gpus() -> list[str]:
        asked.append(1)
        return ["0", "1"]

    launcher, one = bench.launcher(gpus=gpus), bench.revision(resources=Resources(gpus=1))
    assert launcher.room(one, Held(2, 2)) is None, "nobody has looked yet"
    launcher.check(one)
    assert launcher.room(one, Held(2, 2)) == 0
    assert launcher.room(bench.revision(), Held(2, 2)) is None
    assert len(asked) == 1


def test_two_replicas_never_share_the_gpus_that_they_asked_for(bench: Bench) -> None:
    async def body() -> None:
        launcher = bench.launcher(gpus=lambda: ["0", "1", "2"])
        one = await launcher.start(bench.request(replica="chat-a", resources=Resources(gpus=1)))
        two = await launcher.start(bench.request(replica="chat-b", resources=Resources(gpus=2)))
        assert (one.handle["gpus"], two.handle["gpus"]) == (["0"], ["1", "2"])
        spec = json.loads((bench.directory / "chat-b" / "spec.json").read_text())
        assert spec["environment"]["CUDA_VISIBLE_DEVICES"] == "1,2"
        with pytest.raises(LaunchError, match="1 GPU is needed, and none of this machine's 3 is free"):
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


@pytest.mark.parametrize("slow", ["Snapshot", "runner_in"])
def test_a_gpu_is_not_given_twice_when_a_replica_comes_up_while_the_next_one_is_placed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """On a busy machine a look at 300 processes may take longer than a runner's start, which it then has not seen, while
    its file is there already; and the start may be over between two questions about it."""
    looked, up, placing = threading.Event(), threading.Event(), threading.Event()
    real = getattr(local_look, slow)

    def looks(*args: Any) -> Any:
        seen = real(*args)
        if placing.is_set() and not looked.is_set():  # the second one's first look, and the first one is not up yet
            looked.set()
            assert up.wait(30)
        return seen

    def command(python: str, spec: Path) -> Sequence[str]:
        if spec.parent.name == "chat-a":
            placing.set()  # it has its GPU, and its runner starts when the other one has begun to look
            assert looked.wait(30)
        return runner_command(python, spec)

    async def body() -> None:
        launcher = bench.launcher(gpus=lambda: ["0", "1"], command=command)
        one = asyncio.ensure_future(launcher.start(bench.request(replica="chat-a", resources=Resources(gpus=1))))
        while not placing.is_set():
            await asyncio.sleep(0.001)
        monkeypatch.setattr(local_look, slow, looks)
        two = asyncio.ensure_future(launcher.start(bench.request(replica="chat-b", resources=Resources(gpus=1))))
        first = await one
        up.set()
        assert [first.handle["gpus"], (await two).handle["gpus"]] == [["0"], ["1"]]
        for replica in "ab":
            await launcher.stop(f"chat-{replica}", None)

    asyncio.run(body())
    assert bench.processes() == []


def test_a_gpu_is_taken_while_a_process_of_a_killed_runner_lives(bench: Bench) -> None:
    """The runner's end kills the model's first process alone: a worker that it started keeps its memory of the GPU. Who
    needs this one waits until the worker is ended, which takes moments, and is told that none is free if it is not."""
    asked = asyncio.Event()

    def gpus() -> list[str]:
        loop.call_soon_threadsafe(asked.set)
        return ["0", "1"]

    async def body() -> None:
        launcher = bench.launcher(gpus=gpus)
        one = await launcher.start(bench.request("leaks", replica="chat-a", resources=Resources(gpus=1)))
        eventually((bench.folder / "leaked.txt").exists)
        os.kill(one.handle["pid"], signal.SIGKILL)
        eventually(lambda: not lives(one.handle["pid"]))
        two = await launcher.start(bench.request(replica="chat-b", resources=Resources(gpus=1)))
        assert two.handle["gpus"] == ["1"]
        with pytest.raises(LaunchError, match="1 GPU is needed, and none of this machine's 2 is free"):
            await launcher.start(bench.request(replica="chat-c", resources=Resources(gpus=1)))
        asked.clear()
        three = asyncio.ensure_future(launcher.start(bench.request(replica="chat-c", resources=Resources(gpus=1))))
        await asked.wait()
        await launcher.stop("chat-a", None)
        assert (await three).handle["gpus"] == ["0"]
        for replica in "bc":
            await launcher.stop(f"chat-{replica}", None)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(body())
    finally:
        loop.close()
    assert bench.processes() == []
