"""Memory, GPUs and out-of-memory kills: known where the system tells them, never harmful where it does not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

ZERO = {"uuid": "GPU-zero", "utilization": 10.0, "memory_used": 1 << 33, "memory_total": 150 << 30}
ONE = {"uuid": "GPU-one", "utilization": 20.0, "memory_used": 2 << 33, "memory_total": 150 << 30}


@pytest.fixture
def nvml(fake_nvml) -> str:
    fake_nvml.show("GPU-zero", 10, used=1 << 33, total=150 << 30)
    fake_nvml.show("GPU-one", 20, used=2 << 33, total=150 << 30)
    return fake_nvml.library


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [ZERO, ONE]),
        ("1", [ONE]),
        ("GPU-one,0", [ONE, ZERO]),
        ("", []),
        ("-1", []),
        ("0,7,1", [ZERO]),
        ("nonsense", []),
    ],
)
def test_gpu_figures_of_the_visible_devices(start_runner, nvml, visible, expected):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    runner = start_runner(
        ["sleep", "60"],
        environ={"MODEL_SERVICE_NVML": nvml},
        environment=environment,
        unset=["CUDA_VISIBLE_DEVICES"],
    )
    assert runner.lease().until("beat", lambda m: m["gpus"] is not None)["gpus"] == expected


def test_gpu_figures_follow_the_device(start_runner, nvml, fake_nvml):
    lease = start_runner(["sleep", "60"], environ={"MODEL_SERVICE_NVML": nvml}, unset=["CUDA_VISIBLE_DEVICES"]).lease()
    assert lease.until("beat", lambda m: m["gpus"] is not None)["gpus"][0]["utilization"] == 10.0
    fake_nvml.show("GPU-zero", 95)
    lease.until("beat", lambda m: m["gpus"][0]["utilization"] == 95.0)


@pytest.mark.parametrize("fault", ["FAKE_HANG", "FAKE_CRASH", "FAKE_FAIL", "no library"])
def test_a_faulty_nvml_harms_nothing(start_runner, nvml, fault, tmp_path):
    """It may hang, crash, fail or be no library at all: beats go on, figures stay unknown, the end is clean."""
    library = nvml if fault != "no library" else str(tmp_path / "none.so")
    runner = start_runner(["sleep", "60"], environ={"MODEL_SERVICE_NVML": library, fault: "1"})
    lease = runner.lease()
    began = time.monotonic()
    for _ in range(3):
        assert lease.until("beat")["gpus"] is None
    assert time.monotonic() - began < 10
    lease.send({"t": "stop", "grace": 5})
    assert lease.exit()["signal"] == "SIGTERM"
    lease.send({"t": "collected"})
    assert runner.process.wait(30) == 0


def test_the_gpu_helper_survives_the_models_end_and_not_the_runners(start_runner, nvml, wait_for, is_alive):
    import psutil

    runner = start_runner(["true"], environ={"MODEL_SERVICE_NVML": nvml})
    runner.run_to_the_end()
    helpers = psutil.Process(runner.process.pid).children()
    assert len(helpers) == 1

    def has_no_socket() -> bool:
        try:
            files = [os.readlink(f) for f in Path(f"/proc/{helpers[0].pid}/fd").iterdir()]
        except FileNotFoundError:  # it closes one just now
            return False
        return not [name for name in files if name.startswith("socket:")]

    wait_for(has_no_socket, "a helper that has closed what it was born with")  # the runner's port dies with the runner
    assert runner.lease().until("beat", lambda m: m["gpus"] is not None)
    runner.process.kill()
    runner.process.wait(30)
    wait_for(lambda: not is_alive(helpers[0].pid), "the helper's end")


def test_memory_of_the_whole_tree_is_reported(start_runner):
    child = "x = bytearray(40_000_000); import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    runner = start_runner([sys.executable, "-c", code])
    beat = runner.lease().until("beat", lambda m: m["rss"] > 45_000_000)
    assert beat["rss"] < 200_000_000


BURN = "import time\nwhile time.process_time() < {seconds}: pass"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_cpu_time_of_those_that_have_ended_counts(start_runner, tmp_path):
    """Ten children that live shorter than a beat, one of them left to the runner to wait for, and the model itself."""
    short = tmp_path / "short.py"
    short.write_text(BURN.format(seconds=0.1))
    code = f"""
import os, subprocess, sys, time
for _ in range(9):
    subprocess.run([sys.executable, {str(short)!r}], check=True)
if os.fork() == 0:
    os.execv('/bin/sh', ['sh', '-c', f'{{sys.executable}} {short} & exit 0'])
os.wait()
{BURN.format(seconds=0.4)}
print('used', sum(os.times()[:4]), flush=True)
time.sleep(60)
"""
    runner = start_runner([sys.executable, "-c", code])
    lease = runner.lease()
    before, line = -1.0, ""
    while not line:
        beat = lease.until("beat")
        assert beat["cpu"] >= before
        before = beat["cpu"]
        line = next((each for each in lease.logs()[0] if each.startswith("used")), "")
    used = float(line.split()[1]) + 0.1  # the orphan's, which the model cannot know
    assert used > 1.3
    beat = lease.until("beat", lambda m: m["cpu"] > used - 0.05)
    assert beat["cpu"] < used + 0.3  # starting the orphan and its shell costs, too
    later = lease.until("beat", lambda m: m["cpu_at"] > beat["cpu_at"])
    assert later["cpu"] - beat["cpu"] < 0.3  # it sleeps: nothing that has ended is counted again


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_time_that_the_kernel_drops_hides_no_later_work(start_runner, tmp_path):
    """A server that ignores SIGCHLD loses its workers' time: what was counted stays, and what comes is on top."""
    worker = tmp_path / "worker.py"
    worker.write_text("open('burnt', 'w')\n".join([BURN.format(seconds=1.0) + "\n", "time.sleep(60)\n"]))
    code = f"""
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
worker = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, {str(worker)!r}])
while not os.path.exists('counted'): time.sleep(0.02)
os.kill(worker, signal.SIGKILL)
while os.path.exists(f'/proc/{{worker}}'): time.sleep(0.02)
open('gone', 'w')
while not os.path.exists('on'): time.sleep(0.02)
{BURN.format(seconds=0.5)}
time.sleep(60)
"""
    runner = start_runner([sys.executable, "-c", code])
    work = tmp_path / "work"
    lease = runner.lease()
    lease.until("beat", lambda m: m["cpu"] >= 1.0 and (work / "burnt").exists())
    counted = lease.until("beat")["cpu"]
    (work / "counted").touch()
    lease.until("beat", lambda m: (work / "gone").exists())
    for _ in range(3):
        assert lease.until("beat")["cpu"] >= counted
    (work / "on").touch()
    lease.until("beat", lambda m: m["cpu"] > counted + 0.4)


def test_without_proc_use_is_unknown(start_runner, run_file, tmp_path):
    copy = tmp_path / "runner.py"
    copy.write_text(run_file.read_text().replace('"/proc/self/stat"', '"/nowhere/self/stat"'))
    beat = start_runner(["sleep", "60"], script=copy).lease().until("beat")
    assert (beat["rss"], beat["cpu"], beat["cpu_at"]) == (None, None, None)


def write_group(tmp_path, version: int, kills: int) -> None:
    folder = tmp_path / "root" / ("memory/jobs/a" if version == 1 else "jobs/a")
    folder.mkdir(parents=True, exist_ok=True)
    name, text = ("memory.oom_control", "under_oom 0\n") if version == 1 else ("memory.events", "oom 9\n")
    (folder / name).write_text(f"{text}oom_kill {kills}\n")
    (tmp_path / "membership").write_text("5:cpu,memory:/jobs/a\n" if version == 1 else "0::/jobs/a\n")


@pytest.mark.parametrize("version", [1, 2])
def test_a_fresh_out_of_memory_kill_explains_an_end(run_module, tmp_path, version):
    write_group(tmp_path, version, kills=3)
    watch = run_module.OomWatch(str(tmp_path / "root"), str(tmp_path / "membership"))
    assert not watch.explains_the_end()
    write_group(tmp_path, version, kills=4)
    assert watch.explains_the_end()
    watch._seen_at -= 11.0
    assert not watch.explains_the_end()


def test_without_a_control_group_nothing_is_claimed(run_module, tmp_path):
    assert not run_module.OomWatch(str(tmp_path), str(tmp_path / "none")).explains_the_end()


def test_an_out_of_memory_kill_is_said_in_the_end(start_runner, run_file, tmp_path):
    """The control group is a stand-in folder, which the model writes to where the kernel would."""
    groups = tmp_path / "cgroup"
    groups.mkdir()
    (groups / "memory.events").write_text("oom_kill 0\n")
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.oom_control").write_text("oom_kill 0\n")
    copy = Path(tmp_path, "copy")
    copy.mkdir()
    source = run_file.read_text()
    assert 'CGROUP_ROOT = "/sys/fs/cgroup"' in source
    (copy / "runner.py").write_text(source.replace("/sys/fs/cgroup", str(groups)))
    kill = f"echo oom_kill 1 | tee {groups}/memory.events {groups}/memory/memory.oom_control; kill -9 $$"
    runner = start_runner(["sh", "-c", kill], script=copy / "runner.py")
    ended = runner.run_to_the_end()
    if not os.path.exists("/proc/self/cgroup"):
        pytest.skip("needs control groups")
    assert (ended["signal"], ended["oom"]) == ("SIGKILL", True)
    assert ended["message"] == "the start command was ended by SIGKILL because memory ran out"
