"""Every way in which a model server, its children or the runner itself can end."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
LEAKING = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in (1, 2): os.close(fd)
            time.sleep(300)
        os._exit(0)
time.sleep(0.3)
print("leaked", flush=True)
time.sleep(float(sys.argv[1]))
"""


def started(lease, wait_for, word="up"):
    wait_for(lambda: word in lease.logs()[0], f"the model's {word!r}")


@pytest.mark.parametrize("code", [0, 1, 7])
def test_an_exit_status_is_reported(start_runner, code):
    ended = start_runner(["sh", "-c", f"echo bye; exit {code}"]).run_to_the_end()
    assert (ended["stage"], ended["code"], ended["signal"], ended["action"]) == ("serve", code, None, None)
    assert ended["message"] == f"the start command ended with exit status {code}"
    assert ended["tail"] == ["bye"]
    assert ended["oom"] is False


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGPIPE"])
def test_a_signal_is_reported_by_name(start_runner, name):
    ended = start_runner(["sh", "-c", f"kill -{name[3:]} $$; sleep 60"]).run_to_the_end()
    assert (ended["code"], ended["signal"]) == (None, name)
    assert ended["message"] == f"the start command was ended by {name}"


def test_kill_9_of_the_model_is_seen_at_once(start_runner):
    runner = start_runner(["sleep", "60"])
    lease = runner.lease()
    state = runner.first_state if runner.first_state["phase"] == "loading" else lease.phase("loading")
    os.kill(state["model_pid"], signal.SIGKILL)
    assert lease.exit()["signal"] == "SIGKILL"
    assert runner.state["phase"] == "exited"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["no-such-server"], 127, "no-such-server cannot run: there is no such command in PATH"),
        (["./missing.sh"], 127, "./missing.sh cannot run: there is no such file"),
        (["./plain.txt"], 126, "./plain.txt cannot run: it is not an executable file"),
        (["./orphan.sh"], 127, "./orphan.sh cannot run: the interpreter that its first line names is missing"),
        (["./noise.bin"], 126, "./noise.bin cannot run: it is no program for this machine"),
    ],
)
def test_a_command_that_cannot_run_says_why(start_runner, tmp_path, command, code, words):
    work = tmp_path / "work"
    work.mkdir()
    (work / "plain.txt").write_text("#!/bin/sh\n")
    (work / "orphan.sh").write_text("#!/no/such/interpreter\n")
    (work / "noise.bin").write_bytes(b"\x00\x01\x02\x03")
    (work / "orphan.sh").chmod(0o755)
    (work / "noise.bin").chmod(0o755)
    ended = start_runner(command).run_to_the_end()
    assert (ended["stage"], ended["code"], ended["signal"]) == ("serve", code, None)
    assert ended["message"].startswith("the start command: " + words)


def test_a_working_directory_that_is_missing_says_so(start_runner, tmp_path):
    ended = start_runner(["true"], cwd=str(tmp_path / "nowhere")).run_to_the_end()
    assert f"the working directory {tmp_path / 'nowhere'} cannot be entered" in ended["message"]


def test_leaked_children_die_with_the_model(start_runner, is_alive, wait_for):
    """Double-forked children in sessions of their own are gone before ``exited`` is said."""
    runner = start_runner([sys.executable, "-c", LEAKING, "1"])
    lease = runner.lease()
    started(lease, wait_for, "leaked")
    leaked = [pid for pid in runner.relatives() if pid != runner.process.pid]
    assert len(leaked) == 4
    assert lease.exit()["code"] == 0
    assert not [pid for pid in leaked if is_alive(pid)]


def test_a_stop_takes_leaked_children_too(start_runner, is_alive, wait_for):
    runner = start_runner([sys.executable, "-c", LEAKING, "300"])
    lease = runner.lease()
    started(lease, wait_for, "leaked")
    lease.send({"t": "stop", "grace": 30})
    began = time.monotonic()
    assert lease.exit()["signal"] == "SIGTERM"
    assert time.monotonic() - began < 15  # those that never heard the SIGTERM do not use up the grace
    assert not [pid for pid in runner.relatives() if pid != runner.process.pid]


def test_a_stop_lets_the_model_end_by_itself(start_runner, wait_for):
    code = "trap 'echo cleaned up; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    runner = start_runner(["sh", "-c", code])
    lease = runner.lease()
    started(lease, wait_for)
    lease.send({"t": "stop", "grace": 30})
    assert lease.phase("stopping")["exit"] is None
    ended = lease.exit()
    assert (ended["code"], ended["signal"]) == (0, None)
    assert ended["tail"][-1] == "cleaned up"


def test_a_stop_gives_the_grace_to_the_server_behind_a_shell(start_runner, wait_for):
    """``sh -c 'server; …'`` dies of SIGTERM at once; the server in its group still cleans up."""
    server = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.5); print('cleaned up', flush=True); sys.exit()\n"
        "signal.signal(15, end)\nprint('up', flush=True)\ntime.sleep(300)"
    )
    runner = start_runner(["bash", "-c", f'{sys.executable} -c "$0"; echo never', server])
    lease = runner.lease()
    started(lease, wait_for)
    lease.send({"t": "stop", "grace": 30})
    assert lease.exit()["tail"] == ["up", "cleaned up"]


def test_a_model_that_ignores_sigterm_is_killed_after_the_grace(start_runner, wait_for):
    runner = start_runner([sys.executable, "-c", STUBBORN])
    lease = runner.lease()
    started(lease, wait_for)
    began = time.monotonic()
    lease.send({"t": "stop", "grace": 0.6})
    ended = lease.exit()
    assert time.monotonic() - began >= 0.5
    assert ended["signal"] == "SIGKILL"
    assert ended["message"] == "the start command was ended by SIGKILL when it was stopped"


def test_a_second_stop_can_only_shorten_the_grace(start_runner, wait_for):
    runner = start_runner([sys.executable, "-c", STUBBORN])
    lease = runner.lease()
    started(lease, wait_for)
    began = time.monotonic()
    for grace in (300, 0.3, 300):
        lease.send({"t": "stop", "grace": grace})
    lease.exit()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("grace", [None, "x", True, -1, float("nan"), float("inf")])
def test_an_odd_grace_still_stops(start_runner, wait_for, grace):
    runner = start_runner(["sleep", "300"])
    lease = runner.lease()
    lease.send({"t": "stop", "grace": grace})
    assert lease.exit()["signal"] in ("SIGTERM", "SIGKILL")


def test_a_stopped_process_is_woken_to_hear_the_sigterm(start_runner, wait_for):
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); print('up', flush=True); time.sleep(300)"
    )
    runner = start_runner([sys.executable, "-c", code])
    lease = runner.lease()
    started(lease, wait_for)
    os.kill(runner.state["model"]["pid"], signal.SIGSTOP)
    lease.send({"t": "stop", "grace": 30})
    assert lease.exit()["code"] == 5


def test_sigterm_to_the_runner_stops_the_model_and_ends_it(start_runner, wait_for):
    runner = start_runner([sys.executable, "-c", STUBBORN], stop_grace=0.5)
    lease = runner.lease()
    started(lease, wait_for)
    runner.process.terminate()
    assert lease.exit()["signal"] == "SIGKILL"
    assert runner.process.wait(30) == 0
    assert not runner.relatives()
    assert runner.state["phase"] == "exited"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the parent-death signal of Linux")
def test_kill_9_of_the_runner_ends_the_model(start_runner, is_alive, wait_for):
    runner = start_runner([sys.executable, "-c", STUBBORN])
    started(runner.lease(), wait_for)
    model = runner.state["model"]["pid"]
    assert is_alive(model)
    runner.process.kill()
    assert runner.process.wait(30) == -signal.SIGKILL
    wait_for(lambda: not is_alive(model), "the model's death")


def test_the_end_waits_to_be_collected(start_runner):
    runner = start_runner(["sh", "-c", "echo last words; exit 4"])
    first = runner.run_to_the_end()
    again = runner.lease()
    assert runner.first_state["exit"] == first
    again.send({"t": "collected"})
    assert runner.process.wait(30) == 0


def test_an_end_that_nobody_collects_is_kept_for_a_while_only(start_runner):
    runner = start_runner(["true"], keep=1.0)
    began = time.monotonic()
    assert runner.process.wait(30) == 0
    assert time.monotonic() - began > 0.9


def test_collected_before_the_end_changes_nothing(start_runner, is_alive):
    runner = start_runner(["sleep", "300"])
    lease = runner.lease()
    lease.send({"t": "collected"})
    lease.until("beat")
    assert is_alive(runner.state["model"]["pid"])


def test_a_runner_without_any_gateway_ends_itself(start_runner):
    runner = start_runner(["sleep", "300"], abandon_after=1.0)
    assert runner.process.wait(30) == 0
    assert not runner.relatives()


def test_a_lease_keeps_a_runner_from_ending_itself(start_runner):
    runner = start_runner(["sleep", "300"], abandon_after=1.0)
    lease = runner.lease()
    for _ in range(3):
        lease.until("beat")
    assert runner.process.poll() is None
    lease.close()
    assert runner.process.wait(30) == 0


def test_user_signals_reach_the_model(start_runner, wait_for):
    code = "trap 'echo reloaded' HUP; echo up; while :; do sleep 0.05; done"
    runner = start_runner(["sh", "-c", code])
    lease = runner.lease()
    started(lease, wait_for)
    runner.process.send_signal(signal.SIGHUP)
    started(lease, wait_for, "reloaded")
    assert runner.process.poll() is None, "it was for the model alone"


def test_a_crowd_of_short_lived_orphans_is_reaped(start_runner, wait_for):
    import psutil

    runner = start_runner(["sh", "-c", "for i in $(seq 50); do (true &) ; done; echo up; sleep 60"])
    lease = runner.lease()
    started(lease, wait_for)
    wait_for(lambda: len(psutil.Process(runner.process.pid).children()) == 1, "all orphans reaped")
    assert runner.process.poll() is None
    assert runner.state["phase"] != "exited", "an orphan's end is not the model's"
