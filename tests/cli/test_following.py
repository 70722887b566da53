"""Lines that wait: progress, how they end, Ctrl-C, closed pipes, and the display on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ..client.fake_gateway import FakeGateway, audited, event, replica, service
from .conftest import COMMAND, Ran

Line = Callable[..., Ran]
ACTION = {"index": 1, "count": 2, "label": "run_command pip3 install einops"}


@contextmanager
def meanwhile(fake: FakeGateway, *states: dict[str, Any], looks: int = 2) -> Iterator[None]:
    """Publish these states as soon as somebody listens and has looked: at the start, and when the stream was open."""

    def act() -> None:
        assert fake.stream_opened.wait(30)
        look = ("GET", f"api/v1/services/{states[0]['owner']}/{states[0]['name']}")
        until(lambda: [(method, path) for method, path, *_ in fake.requests].count(look) >= looks)
        for state in states:
            fake.publish("service", state)

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join(30)


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- how it ends ---------------------------------------------------------------------------------------------


def test_create_tells_each_change_once_and_ends_with_how_to_call_it(line: Line, fake: FakeGateway) -> None:
    preparing = service(state="starting", replica_list=[replica("demo-a", "preparing", action=ACTION)])
    with meanwhile(
        fake,
        preparing,
        preparing,
        service(state="starting", replica_list=[replica("demo-a", "loading", reason="its port is closed")]),
        service(replica_list=[replica("demo-a")]),
    ):
        ran = line("create", ".", "--timeout", "60")
    assert ran.status == 0
    told = [re.sub(r"^ *[\d.]+ m?s  ", "", text) for text in ran.err.splitlines()]
    assert told == [
        "demo is starting",
        "demo-a preparing 1/2: run_command pip3 install einops",
        "demo-a loading: its port is closed",
        "demo is ready",
        "demo-a ready",
    ]
    assert re.match(r"demo is ready: 1 of 1 replicas after [\d.]+ m?s\.\n", ran.out)
    assert "generate-token demo --output demo.token" in ran.out
    assert 'curl -H "Authorization: Bearer $(cat demo.token)" http://127.0.0.1:1/endpoints/ada/demo/' in ran.out


def test_a_public_service_is_called_without_a_token(line: Line, fake: FakeGateway) -> None:
    with meanwhile(fake, service(public=True)):
        ran = line("create", ".", "--public")
    assert ran.out.endswith("Call it (add a path that the model has):\n  curl http://127.0.0.1:1/endpoints/ada/demo/\n")


def test_a_service_that_browsers_open_is_told_with_its_page(line: Line, fake: FakeGateway) -> None:
    page = "http://demo--ada.localhost:1/"
    with meanwhile(fake, service(public=True, page=page)):
        ran = line("create", ".", "--public")
    assert f"Endpoint: http://127.0.0.1:1/endpoints/ada/demo/\nPage: {page}\nCall it" in ran.out
    assert re.search(rf"^ +Page: +{page}$", line("info", "demo").out, re.MULTILINE)
    fake.services["ada/demo"] = service()
    assert "Page" not in line("info", "demo").out


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ({"path": "/health?a=1&b=2"}, "Call it:\n  curl 'http://127.0.0.1:1/endpoints/ada/demo/health?a=1&b=2'\n"),
        (None, "Call it (add a path that the model has):\n  curl http://127.0.0.1:1/endpoints/ada/demo/\n"),
    ],
)
def test_the_call_that_is_proposed_is_one_that_the_model_answers(
    line: Line, fake: FakeGateway, check: Any, told: str
) -> None:
    """The health check's path of the active revision: the bare endpoint is a 404 for most models."""
    revisions = [
        {"number": number, "created_at": 1.0, "folder": "/m", "model_name": "m", "definition": {"health_check": each}}
        for number, each in ((1, check), (2, {"path": "/other"}))
    ]
    with meanwhile(fake, service(public=True, revisions=revisions)):
        ran = line("create", ".", "--public")
    assert ran.out.endswith(told)


def test_a_failed_start_ends_with_the_reason_and_the_log(line: Line, fake: FakeGateway) -> None:
    exit = {"stage": "serve", "code": 1, "tail": ["Traceback", "ModuleNotFoundError: No module named 'torch'"]}
    gone = replica("demo-a", "gone", reason="exited with code 1 while loading", exit=exit)
    with meanwhile(fake, service(state="failed", reason="replica demo-a exited with code 1", replica_list=[gone])):
        ran = line("create", ".", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["state"] == "failed", "a program gets the service, not an error document"
    assert "demo is failed: replica demo-a exited with code 1\n" in ran.err
    assert "  | ModuleNotFoundError: No module named 'torch'\n" in ran.err
    assert "demo-a gone: exited with code 1 while loading" in ran.err
    assert ran.err.endswith("Mend the folder, then: jupyter model-service update demo\n")


def test_the_log_that_is_shown_is_that_of_the_replica_in_the_reason(line: Line, fake: FakeGateway) -> None:
    """Another replica failed later, and one of the former revision, too: what they said explains nothing."""

    def gone(id: str, revision: int, said: str, **more: Any) -> dict[str, Any]:
        return replica(id, "gone", revision=revision, exit={"stage": "serve", "code": 1, "tail": [said]}, **more)

    seen = [gone("demo-a", 2, "this one"), gone("demo-b", 2, "another", since=9e9), gone("demo-c", 1, "an old one")]
    note = "revision 2 was taken back, revision 1 serves on: replica {} exited with code 1"
    fake.services["ada/demo"] = service(revision=2, state="updating")
    fake.answers["POST", "api/v1/services/ada/demo/update"] = (202, service(revision=2, state="updating"), {})
    shown = {}
    for id in ("demo-a", "demo-c", "demo-x"):
        with meanwhile(fake, service(revision=1, note=note.format(id), replica_list=seen)):
            ran = line("update", "demo")
        shown[id] = [text for text in ran.err.splitlines() if text.startswith("  | ")]
    assert shown == {"demo-a": ["  | this one"], "demo-c": [], "demo-x": []}
    assert not [path for _, path, *_ in fake.requests if path.endswith("/logs")], "and no other log is asked for"


EXIT = {"stage": "serve", "code": 1, "tail": ["x"]}


@pytest.mark.parametrize("verb", ["create", "update", "start", "restart"])
@pytest.mark.parametrize(
    ("failed", "told"),
    [
        (replica("demo-a", "gone", address="127.0.0.1:1", exit=EXIT), "Mend the folder, then: {} update demo"),
        (replica("demo-a", "gone"), "When that is mended: {} restart demo"),
    ],
)
def test_what_to_do_next_depends_on_what_is_wrong(
    line: Line, fake: FakeGateway, verb: str, failed: dict[str, Any], told: str
) -> None:
    """A replica that could not even be started is no matter of the folder."""
    if verb != "create":
        fake.services["ada/demo"] = service(state="starting")
        fake.answers["POST", f"api/v1/services/ada/demo/{verb}"] = (202, service(state="starting"), {})
    with meanwhile(fake, service(state="failed", reason="replica demo-a failed", replica_list=[failed])):
        ran = line(verb, "." if verb == "create" else "demo")
    assert ran.err.endswith(told.format("jupyter model-service") + "\n")


def test_a_failure_is_told_once_and_the_pause_before_the_next_attempt_too(line: Line, fake: FakeGateway) -> None:
    why = "exited with code 1"
    failed, gone = (replica("demo-a", phase, reason=why) for phase in ("failed", "gone"))
    pause = "replica demo-a exited with code 1; next attempt in 2 s"
    with meanwhile(
        fake,
        service(state="starting", replica_list=[replica("demo-a", "loading")]),
        service(state="starting", replica_list=[failed]),
        service(state="starting", replica_list=[gone], reason=pause),
        service(replica_list=[gone, replica("demo-b")]),
    ):
        ran = line("create", ".")
    assert ran.err.count(why) == 1
    assert "demo-a failed: exited with code 1\n" in ran.err
    assert "demo is starting: next attempt in 2 s\n" in ran.err


def test_the_log_of_a_replica_that_is_just_being_ended_is_asked_for_by_name(line: Line, fake: FakeGateway) -> None:
    fake.log = ["the last words"]
    ending = replica("demo-a", "failed", address="127.0.0.1:1")
    with meanwhile(
        fake, service(state="failed", reason="replica demo-a did not become healthy", replica_list=[ending])
    ):
        ran = line("create", ".")
    assert "  | the last words\n" in ran.err
    asked = [str(each) for each in fake.requests if str(each[1]).endswith("/logs")]
    assert asked
    assert all("demo-a" in each for each in asked)


def test_an_update_that_is_taken_back_fails_and_says_what_goes_on_serving(line: Line, fake: FakeGateway) -> None:
    fake.answers["POST", "api/v1/services/ada/demo/update"] = (202, service(state="updating", revision=2), {})
    fake.services["ada/demo"] = service(state="updating", revision=2)
    with meanwhile(
        fake, service(revision=1, note="revision 2 was taken back, revision 1 serves on: exited with code 7")
    ):
        ran = line("update", "demo")
    assert (ran.status, ran.out) == (1, "")
    assert "demo was not updated: revision 2 was taken back, revision 1 serves on: exited with code 7\n" in ran.err


def test_restart_waits_until_every_former_replica_has_gone(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-a")])
    with meanwhile(
        fake,
        service(replica_list=[replica("demo-a", "draining"), replica("demo-b")]),
        service(replica_list=[replica("demo-b")]),
        looks=3,
    ):
        ran = line("restart", "demo")
    assert ran.status == 0
    assert "demo-a draining" in ran.err


def test_stop_and_delete_wait_for_the_end(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-a", "draining")])
    with meanwhile(fake, service(state="stopped")):
        ran = line("stop", "demo")
    assert (ran.status, ran.out.split(";")[0]) == (0, "demo is stopped")
    fake.stream_opened.clear()

    def remove() -> None:
        fake.stream_opened.wait(30)
        fake.publish("removed", {"service": "ada/demo"})

    thread = threading.Thread(target=remove)
    thread.start()
    ran = line("delete", "demo", "-y")
    assert (ran.status, ran.out) == (0, "Deleted ada/demo.\n")
    thread.join()


def test_the_time_limit_ends_the_waiting_not_the_service(line: Line, fake: FakeGateway) -> None:
    ran = line("create", ".", "--timeout", "0.3s")
    assert (ran.status, ran.out) == (1, "")
    assert "demo is starting, not ready, after 0.3 s; it goes on all the same." in ran.err
    assert not [method for method, *_ in fake.requests if method == "DELETE"]


def test_a_gateway_that_is_restarted_meanwhile_is_followed_on(line: Line, fake: FakeGateway) -> None:
    def restart() -> None:
        fake.stream_opened.wait(30)
        fake.restarted("jmc_of-the-next-gateway")
        fake.drop_streams()
        fake.stream_opened.wait(30)
        fake.publish("service", service())

    thread = threading.Thread(target=restart)
    thread.start()
    assert line("create", ".").status == 0
    thread.join()


# --- Ctrl-C and closed pipes -----------------------------------------------------------------------------------


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,
    )


def test_ctrl_c_leaves_the_service_going_and_says_so(fake: FakeGateway) -> None:
    process = start("create", ".")
    assert fake.stream_opened.wait(30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("No longer watching; create of ada/demo goes on. Look with: jupyter model-service info demo\n")
    assert "Traceback" not in err
    assert not [method for method, *_ in fake.requests if method == "DELETE"]


@pytest.mark.parametrize("words", [["logs", "demo", "-f"], ["events", "demo", "-f"]])
def test_following_ends_cleanly_by_ctrl_c_and_by_a_closed_pipe(fake: FakeGateway, words: list[str]) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-aaaaaa")])
    fake.log = ["hello"]
    fake.events = [event(1, message="hello")]
    process = start(*words)
    assert "hello" in process.stdout.readline()  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err

    fake.stream_opened.clear()
    process = start(*words)
    assert "hello" in process.stdout.readline()  # type: ignore[union-attr]
    process.stdout.close()  # type: ignore[union-attr]
    if words[0] == "events":
        assert fake.stream_opened.wait(30)
        fake.publish("event", event(2))
    fake.log.append("more")
    assert process.wait(timeout=30) == 130
    assert "Traceback" not in process.stderr.read()  # type: ignore[union-attr]
    process.stderr.close()  # type: ignore[union-attr]


def test_a_reader_that_leaves_early_is_no_error(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.log = ["x" * 200] * 20_000
    process = start("logs", "demo", "--tail", "all")
    process.stdout.readline()  # type: ignore[union-attr]
    process.stdout.close()  # type: ignore[union-attr]
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == ""  # type: ignore[union-attr]
    process.stderr.close()  # type: ignore[union-attr]


# --- following logs and events -----------------------------------------------------------------------------------


def test_events_go_on_over_a_lost_connection_and_none_comes_twice(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.events = [event(n, message=f"number {n}") for n in (1, 2, 3)]
    process = start("events", "demo", "-f", "--tail", "2", "--json")
    stream = process.stdout
    assert stream is not None
    assert [json.loads(stream.readline())["id"] for _ in range(2)] == [2, 3]
    fake.publish("event", event(4))
    fake.publish("event", event(4))
    fake.publish("event", event(5, "other"))
    assert json.loads(stream.readline())["id"] == 4
    fake.events += [event(4), event(6)]  # 6 happens while nobody listens
    fake.drop_streams()
    assert json.loads(stream.readline())["id"] == 6
    fake.publish("removed", {"service": "ada/demo"})
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("tail", ["0", "2"])
def test_the_audit_log_goes_on_over_a_restart_and_no_entry_comes_twice(fake: FakeGateway, tail: str) -> None:
    """One line of JSON for each, as whatever reads on wants them."""
    fake.audit = [audited(n) for n in range(1, 6)]
    process = start("admin", "audit", "-f", "--tail", tail, "--json")
    stream = process.stdout
    assert stream is not None
    assert [json.loads(stream.readline())["id"] for _ in range(int(tail))] == [4, 5][: int(tail)]
    if tail == "0":
        until(lambda: [path for _, path, *_ in fake.requests].count("api/v1/admin/audit") >= 2)
    fake.audit += [audited(n) for n in range(6, 1500)]
    assert [json.loads(stream.readline())["id"] for _ in range(6, 1500)] == list(range(6, 1500))
    fake.restarted("another")
    fake.audit.append(audited(1500))
    assert json.loads(stream.readline())["id"] == 1500
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False)


def test_logs_go_on_with_the_next_replica(fake: FakeGateway) -> None:
    logs = {"demo-a": ["a1"], "demo-b": ["b1"]}
    usual = fake.of_service

    def of_service(
        method: str, key: str, found: dict[str, Any], rest: list[str], query: dict[str, str], body: Any
    ) -> Any:
        if rest != ["logs"]:
            return usual(method, key, found, rest, query, body)
        name = query.get("replica", "demo-a")
        lines = logs[name][int(query["after"]) :]
        return 200, {"replica": name, "lines": lines, "next": len(logs[name]), "lost": 0}, {}

    fake.of_service = of_service  # type: ignore[method-assign]
    fake.services["ada/demo"] = service(replica_list=[replica("demo-a")])
    process = start("logs", "demo", "-f")
    stream = process.stdout
    assert stream is not None
    assert stream.readline() == "a1\n"
    logs["demo-a"].append("a2")
    assert stream.readline() == "a2\n"
    logs["demo-a"].append("a3, the last")
    fake.services["ada/demo"] = service(replica_list=[replica("demo-a", "gone"), replica("demo-b")])
    assert [stream.readline(), stream.readline()] == ["a3, the last\n", "b1\n"]
    del fake.services["ada/demo"]
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines() == ["--- demo-a ---", "--- demo-b ---", "There is no service ada/demo."]


# --- on a terminal -----------------------------------------------------------------------------------------------


def on_terminal(words: list[str], **environment: str) -> tuple[int, str]:
    """Run with all three streams on a pseudo-terminal; returns the status and everything written."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **environment}
    process = subprocess.Popen([*COMMAND, *words], stdin=follower, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    written = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other side is closed: Linux says EIO
                break
            if not piece:
                break
            written += piece
            if b"[y/N]" in piece:
                os.write(leader, b"n\n")
        elif process.poll() is not None:
            break
    os.close(leader)
    return process.wait(timeout=30), written.decode()


def test_a_terminal_shows_what_each_replica_is_doing(fake: FakeGateway) -> None:
    doing = [replica("demo-a", "preparing", action=ACTION), replica("demo-b", "loading")]

    def act() -> None:
        fake.stream_opened.wait(30)
        until(lambda: len(fake.requests) >= 4)
        fake.publish("service", service(state="starting", want=2, replica_list=doing))
        time.sleep(0.6)  # the display is drawn eight times a second
        crashed = replica("demo-c", "gone", reason="exited with code 1")
        fake.publish("service", service(state="starting", want=2, replica_list=[*doing, crashed]))
        time.sleep(0.3)
        fake.publish("service", service(want=2, replica_list=[replica("demo-a"), replica("demo-b")]))

    thread = threading.Thread(target=act)
    thread.start()
    status, text = on_terminal(["create", ".", "--replicas", "2"])
    thread.join()
    assert status == 0
    assert "demo is starting, 0 of 2 ready" in text
    assert "preparing 1/2: run_command pip3 install einops" in text
    assert "demo-c gone: exited with code 1" in text
    assert "\x1b[?25h" in text, "the cursor is given back"
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "demo is ready: 2 of 2 replicas after" in shown
    assert "\x1b[32mready" in text


def test_colours_are_for_terminals_that_want_them(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    assert "\x1b[32mready\x1b[0m" in on_terminal(["list"])[1]
    assert "\x1b[" not in on_terminal(["list"], NO_COLOR="1")[1]
    assert "\x1b[" not in on_terminal(["list"], TERM="dumb")[1]


def test_a_models_output_cannot_steer_the_terminal_but_may_be_coloured(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.log = ["\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J\x9bm end"]
    text = on_terminal(["logs", "demo"])[1]
    assert "\x1b[31mred\x1b[0m m end" in text
    assert not any(part in text for part in ("\x1b]", "\x07", "\x1b[2J", "\x9b"))


def test_a_terminal_is_asked_before_deleting(fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    status, text = on_terminal(["delete", "demo"])
    assert status == 0
    assert "Delete ada/demo with its tokens and its history? [y/N]" in text
    assert "Nothing was deleted." in text
    assert not [method for method, *_ in fake.requests if method == "DELETE"]


@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["waits", "detached"])
@pytest.mark.parametrize(
    ("typed", "now"),
    [
        (("scale", "demo", "2"), "demo is to have 2 replicas"),
        (("update", "demo", "--visibility", "private"), "demo is private, at revision 1"),
        (("rollback", "demo"), "demo is at revision 1"),
    ],
    ids=["scale", "update", "rollback"],
)
def test_what_was_done_to_a_stopped_service_is_told_with_that_it_is_stopped(
    line: Line, fake: FakeGateway, typed: tuple[str, ...], now: str, detach: tuple[str, ...]
) -> None:
    gone = "It is not shared any more with dave, the group class."
    fake.services["ada/demo"] = service(state="stopped", want=2, notices=[gone] if typed[0] == "update" else [])
    ran = line(*typed, *detach)
    assert (ran.status, ran.out) == (0, f"{now}, and is stopped. Start it: jupyter model-service start demo\n")
    assert (gone in ran.err) is (typed[0] == "update")
