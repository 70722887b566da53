"""What is told of a service that is followed, state by state, and what is said while nothing changes."""

from __future__ import annotations

import io
import time
from typing import Any

from jupyter_model_service.cli.news import News, under_way
from jupyter_model_service.cli.progress import Watcher

from ..client.fake_gateway import replica, service


def starting(*replicas: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return service(state="starting", replica_list=list(replicas), reason=reason)


def told(*states: dict[str, Any]) -> list[str]:
    news = News()
    return [text for state in states for text in news.of(state)]


def test_a_countdown_is_no_news() -> None:
    """Each state of a pause names another number of seconds."""
    pauses = [starting(reason=f"no port is free; next attempt in {n} s") for n in (8, 7, 6)]
    assert told(*pauses) == ["demo is starting: no port is free; next attempt in 8 s"]
    other = starting(reason="the launcher is gone; next attempt in 5 s")
    assert told(*pauses, other)[1:] == ["demo is starting: the launcher is gone; next attempt in 5 s"]


def test_five_attempts_are_five_failures_and_one_pause() -> None:
    """Not told once more for the service, nor when its replica is cleaned away, nor when the pause is over."""
    states = []
    for n in range(5):
        name, why = f"demo-{n}", "the server exited with code 1"
        failed = replica(name, "failed", reason=why)
        states += [
            starting(replica(name, "loading")),
            starting(failed, reason=f"{why}; next attempt in {2**n} s"),
            starting({**failed, "phase": "gone"}, reason=f"{why}; next attempt in {2**n - 0.5} s"),
        ]
    lines = told(*states)
    assert sum("exited with code 1" in line for line in lines) == 5
    assert [line for line in lines if line.startswith("demo is")] == [
        "demo is starting",
        "demo is starting: next attempt in 1 s",
    ]


def test_what_to_do_about_a_failure_is_said_once() -> None:
    """Each attempt listens at another port, and is given up for the same."""
    why = "listens on 0.0.0.0:{}, where others reach it without a token: give the server its address"
    states = [starting(replica(f"demo-{n}", "failed", reason=why.format(41000 + n))) for n in range(3)]
    other = starting(replica("demo-9", "failed", reason="listens on 0.0.0.0:41009: or not"))
    lines = [line for line in told(starting(), *states, other) if line.startswith("demo-")]
    assert lines == [
        f"demo-0 failed: {why.format(41000)}",
        "demo-1 failed: listens on 0.0.0.0:41001, where others reach it without a token (as before)",
        "demo-2 failed: listens on 0.0.0.0:41002, where others reach it without a token (as before)",
        "demo-9 failed: listens on 0.0.0.0:41009: or not",
    ]


def test_a_failure_that_was_there_before_is_told_with_the_service() -> None:
    """Nobody has seen its replica's line."""
    gone = replica("demo-a", "gone", reason="exited with code 1")
    assert told(starting(gone, reason="exited with code 1; next attempt in 2 s")) == [
        "demo is starting: exited with code 1; next attempt in 2 s"
    ]


def test_no_phase_is_shown_after_a_later_one() -> None:
    """A state that was asked for may be older than one that came by itself."""
    phases = ["starting", "requested", "starting", "loading", "preparing", "ready", "loading", "unhealthy", "ready"]
    lines = told(*[starting(replica("demo-a", phase)) for phase in phases])
    assert lines[1:] == ["demo-a starting", "demo-a loading", "demo-a ready", "demo-a unhealthy", "demo-a ready"]
    assert lines[0] == "demo is starting"


class Impatient(Watcher):
    quiet_seconds = 0.05


def test_a_line_says_that_it_goes_on_while_nothing_changes() -> None:
    """Without it, a model that loads for 20 minutes looks hung."""
    errors = io.StringIO()
    watcher = Impatient(io.StringIO(), errors, as_json=False)
    with watcher.following("ada/demo", "create"):
        watcher.changed(starting(replica("demo-a", "loading", reason="its port is closed")))
        deadline = time.monotonic() + 30
        while errors.getvalue().count("still: ") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    lines = [line.split("  ")[-1] for line in errors.getvalue().splitlines()]
    assert lines[:2] == ["demo is starting", "demo-a loading: its port is closed"]
    assert set(lines[2:]) == {"still: demo is starting, 0 of 1 ready; demo-a loading: its port is closed"}
    written = errors.getvalue()
    time.sleep(0.15)
    assert errors.getvalue() == written, "nothing more once the following is over"
    assert Watcher.quiet_seconds == 15


def test_a_service_that_waits_for_a_gpu_says_so_once() -> None:
    """Each minute one more attempt, with a name of its own: an hour of them is no news."""
    reason = "waits for a GPU: 1 GPU is needed, and none is free"
    states = [starting(replica("demo-0", "requested")), starting(replica("demo-0", "starting"))]
    for number in range(1, 20):
        states.append(service(state="starting", reason=f"{reason}; next attempt in about {number} s"))
        states += [
            service(state="starting", reason=reason, replica_list=[replica(f"demo-{number}", phase, reason=why)])
            for phase, why in (("requested", None), ("starting", None), ("failed", "could not be started: none"))
        ]
    states.append(starting(replica("demo-x", "loading", address="127.0.0.1:1")))
    lines = told(*states)
    assert lines[0] == "demo is starting"
    assert sum("waits for a GPU: 1 GPU is needed, and none is free" in line for line in lines) == 1
    assert [line for line in lines if line.startswith("demo-") and not line.startswith("demo-0")] == ["demo-x loading"]
    assert "waits for a GPU" in under_way(states[-3])
