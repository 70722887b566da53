"""Pre-start actions: their order, what they do, and how a failing one ends the start."""

from __future__ import annotations

import stat
import sys


def run_command(*words: str, **more):
    ref = more.pop("ref", None)
    return {"action": "run_command", "args": {"command": list(words), **more}, "ref": ref}


def test_actions_run_in_order_and_each_is_a_state(start_runner):
    runner = start_runner(
        ["sh", "-c", "cat order; sleep 60"],
        actions=[
            run_command("sh", "-c", "sleep 0.5; echo one >> order"),
            {"action": "write_file", "args": {"filename": "order", "body": ["two"], "append": True}},
            run_command("sh", "-c", "sleep 0.5; echo three >> order"),
        ],
    )
    lease = runner.lease()
    seen = [runner.first_state]
    while seen[-1]["phase"] != "loading":
        seen.append(lease.until("state"))
    steps = [(s["action"], s["label"]) for s in seen if s["phase"] == "preparing" and s["action"]]
    assert steps[-1] == (3, "run_command sh -c sleep 0.5; echo three >> order")
    assert [step for step, _ in steps] == sorted({step for step, _ in steps})
    assert all(s["actions"] == 3 for s in seen)
    assert all(s["model_pid"] is None and s["prepared_after"] is None for s in seen[:-1])
    assert seen[-1]["prepared_after"] >= 1.0
    assert seen[-1]["model_pid"]


def test_the_command_starts_after_the_actions_and_sees_what_they_made(start_runner, wait_for):
    runner = start_runner(
        ["cat", "made/here/file"],
        actions=[
            {"action": "mkdir", "args": {"path": "made/here"}},
            {"action": "mkdir", "args": {"path": "made/here"}},
            {"action": "write_file", "args": {"filename": "made/here/file", "body": ["a", "b"]}},
            {"action": "write_file", "args": {"filename": "made/here/file", "body": "c", "append": True}},
            {"action": "log", "args": {"message": "nearly there"}},
            {"action": "log", "args": {"message": "detail", "debug": True}},
        ],
    )
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged() == ["nearly there", "debug: detail", "a", "b", "c"]


def test_a_written_file_replaces_the_former_and_has_the_mode_asked_for(start_runner, tmp_path):
    (tmp_path / "work").mkdir()
    target = tmp_path / "work" / "run.sh"
    target.write_text("a much longer former content\n")
    args = {"filename": str(target), "body": ["#!/bin/sh", "echo it ran"], "mode": "750"}
    runner = start_runner(["./run.sh"], actions=[{"action": "write_file", "args": args}])
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged() == ["it ran"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert target.read_text() == "#!/bin/sh\necho it ran\n"


def test_results_take_the_place_of_their_names_and_other_braces_stay(start_runner):
    runner = start_runner(
        ["sh", "-c", 'echo "$@"', "sh", "{who}", "${{ who }}", "${{who}}", '{"who": {x}}', "{script}", "{out}"],
        actions=[
            run_command("sh", "-c", "echo '  {script}'; echo noise >&2", ref="who"),
            {"action": "write_tempfile", "args": {"body": "print('from {who}')"}, "ref": "script"},
            run_command(sys.executable, "{script}", ref="out"),
        ],
    )
    assert runner.run_to_the_end()["code"] == 0
    lines = runner.logged()
    script = next(runner.folder.glob("action-*.py"))
    assert "noise" in lines
    assert "from {script}" in lines  # what an action printed is not searched for names again
    assert lines[-1] == f'{{script}} {{script}} {{script}} {{"who": {{x}}}} {script} from {{script}}'


def test_echo_shows_the_command_itself(start_runner):
    runner = start_runner(["true"], actions=[run_command("echo", "hello", echo=True), run_command("echo", "you")])
    runner.run_to_the_end()
    assert runner.logged() == ["$ echo hello", "hello", "you"]


def test_a_failing_command_fails_the_start_with_its_last_words(start_runner):
    runner = start_runner(
        ["touch", "started"],
        actions=[run_command("true"), run_command("sh", "-c", "seq 1 80; echo no such package >&2; exit 3")],
    )
    ended = runner.run_to_the_end()
    assert (ended["stage"], ended["action"], ended["code"], ended["signal"]) == ("prepare", 2, 3, None)
    assert ended["message"].startswith("pre-start action 2 of 2 (run_command sh -c seq 1 80;")
    assert ended["message"].endswith("ended with exit status 3")
    assert ended["tail"] == [str(n) for n in range(32, 81)] + ["no such package"]
    assert not (runner.folder.parent / "work" / "started").exists()
    assert runner.state["model"] is None


def test_a_command_that_does_not_exist_fails_the_start(start_runner):
    ended = start_runner(["true"], actions=[run_command("no-such-tool", "x")]).run_to_the_end()
    assert (ended["stage"], ended["action"], ended["code"]) == ("prepare", 1, 127)
    assert "no-such-tool cannot run: there is no such command in PATH" in ended["message"]


def test_a_file_that_cannot_be_written_fails_the_start(start_runner):
    action = {"action": "write_file", "args": {"filename": "missing/file", "body": []}}
    ended = start_runner(["true"], actions=[action]).run_to_the_end()
    assert (ended["stage"], ended["action"], ended["code"], ended["signal"]) == ("prepare", 1, None, None)
    assert "missing/file: No such file or directory" in ended["message"]


def test_writing_to_a_pipe_that_nobody_reads_fails_instead_of_hanging(start_runner, tmp_path):
    import os

    (tmp_path / "work").mkdir()
    os.mkfifo(tmp_path / "work" / "fifo")
    action = {"action": "write_file", "args": {"filename": "fifo", "body": ["x"]}}
    ended = start_runner(["true"], actions=[action]).run_to_the_end()
    assert "fifo" in ended["message"]


def test_an_unknown_action_fails_the_start(start_runner):
    ended = start_runner(["true"], actions=[{"action": "pray", "args": {}}]).run_to_the_end()
    assert "does not know the action 'pray'" in ended["message"]


def test_a_daemon_that_an_action_starts_lives_until_the_model_ends(start_runner, is_alive, wait_for):
    runner = start_runner(
        ["sh", "-c", "read x < daemon.pid; echo $x; kill -0 $x && sleep 60"],
        actions=[run_command("sh", "-c", "setsid sleep 300 & echo $! > daemon.pid")],
    )
    lease = runner.lease()
    lines = wait_for(lambda: lease.logs()[0], "the daemon's pid")
    assert is_alive(int(lines[0]))
    lease.send({"t": "stop", "grace": 5})
    lease.exit()
    assert not is_alive(int(lines[0]))


def test_a_stop_ends_an_action_that_takes_too_long(start_runner, wait_for):
    runner = start_runner(["true"], actions=[run_command("sh", "-c", "echo up; sleep 300")])
    lease = runner.lease()
    wait_for(lambda: lease.logs()[0] == ["up"], "the action's output")
    lease.send({"t": "stop", "grace": 5})
    ended = lease.exit()
    assert (ended["stage"], ended["signal"], ended["action"]) == ("prepare", "SIGTERM", 1)
    assert ended["message"].endswith("when it was stopped")
    assert not [pid for pid in runner.relatives() if pid != runner.process.pid]
