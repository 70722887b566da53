"""What ``make bench-front`` says is what was measured: its reading of generators, its figures, its judgement. And what
``make bench-access`` measures is what it says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import access
        import front_load
        import front_proxies
        import front_report
        import front_upstream
        import tables
    finally:
        sys.path.remove(str(BENCHMARKS))
    return SimpleNamespace(
        access=access,
        load=front_load,
        proxies=front_proxies,
        report=front_report,
        upstream=front_upstream,
        tables=tables,
    )


@contextlib.contextmanager
def upstream(benchmark: Any) -> Iterator[int]:
    """The server of streams, in a thread of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(benchmark.upstream.Stream, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


# --- generators ------------------------------------------------------------------------------------------------


def test_what_wrk_says_at_its_end_is_read(benchmark: Any) -> None:
    """Calls per second are of the time that wrk itself took; answers of status 400 and above are failed calls."""
    said = (
        "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n"
        'wrk-report {"calls": 3000, "us": 2000000, "failed": 7, "p50_us": 1500, "p99_us": 20500, "mean_us": 1750.5}\n'
    )
    found = benchmark.load.wrk_report(said)
    assert found == {
        "calls": 3000, "seconds": 2.0, "calls_per_s": 1500.0, "failed": 7,
        "p50_ms": 1.5, "p99_ms": 20.5, "mean_ms": 1.7505,
    }  # fmt: skip
    with pytest.raises(RuntimeError, match="unable to connect"):
        benchmark.load.wrk_report("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_wrks_script_sends_the_paths_with_the_callers_token(benchmark: Any) -> None:
    target = benchmark.proxies.Target(1, "/endpoints/o/n", "Authorization: Bearer jms_x")
    text = benchmark.load.script(target, ["/a", "/b"], 10)
    assert '{"/endpoints/o/n/a", "/endpoints/o/n/b"}' in text
    assert '{["Authorization"] = "Bearer jms_x"}' in text
    assert 'wrk.format("POST", path, headers, body)' in text
    assert 'string.rep("x", 10)' in text
    assert '"GET"' in benchmark.load.script(target, ["/a"], 0)
    with pytest.raises(ValueError, match="not for wrk"):
        benchmark.load.script(target, ['/"..os.exit().."'], 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nX: y\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", None),
    ],
)
def test_an_answer_is_over_when_all_of_it_is_there(benchmark: Any, data: bytes, status: int | None) -> None:
    with upstream(benchmark) as port:
        line = benchmark.load._Line(port)
        line.data = data
        assert line.whole() == status
        line.socket.close()


def test_an_open_loop_does_not_wait_for_slow_answers(benchmark: Any) -> None:
    """A server that sleeps 0.1 s for each connection in turn: calls come at their moments all the same, and the time
    that they waited for one another counts."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,)).start()

    lock = threading.Lock()

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                with lock:
                    time.sleep(0.1)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        target = benchmark.proxies.Target(listening.getsockname()[1])
        found = benchmark.load.open_loop(target, "/", rate=40, seconds=0.3)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
    assert found["asked"] == len(benchmark.load.moments(40, 0.3)) > 6
    assert found["calls"] == found["asked"]
    assert found["p99_ms"] > 300, "the last one waited for those before it"


def test_moments_are_drawn_once_for_all_proxies_and_keep_the_rate(benchmark: Any) -> None:
    moments = benchmark.load.moments(500, 10)
    assert moments == benchmark.load.moments(500, 10) == sorted(moments)
    assert 4700 < len(moments) < 5300
    assert moments[-1] < 10


@pytest.mark.parametrize("sockets", [False, True], ids=["events", "WebSockets"])
def test_streams_are_counted_between_the_marks(benchmark: Any, sockets: bool) -> None:
    marks: list[float] = []
    with upstream(benchmark) as port:
        target = benchmark.proxies.Target(port)
        found = benchmark.load.streams(
            target, count=5, seconds=0.4, sockets=sockets, mark=lambda: marks.append(time.monotonic())
        )
    assert len(marks) == 2
    assert found["asked"] == 20
    assert 10 <= found["calls"] <= 25
    assert found["failed"] == 0
    assert 0 < found["p50_ms"] <= found["p99_ms"] < 1000


def test_frames_come_in_any_pieces_and_are_unmasked(benchmark: Any) -> None:
    frame, frames_of = benchmark.upstream.frame, benchmark.upstream.frames_of
    masked = (
        bytes([0x81, 0x80 | 5])
        + b"\x01\x02\x03\x04"
        + bytes(b ^ m for b, m in zip(b"hello", b"\1\2\3\4\1", strict=True))
    )
    data = masked + frame(2, b"x" * 300) + frame(1, b"own", masked=True) + frame(9, b"")
    found, left = [], b""
    for byte in data:
        more, left = frames_of(left + bytes([byte]))
        found += more
    assert found == [(1, b"hello"), (2, b"x" * 300), (1, b"own"), (9, b"")]
    assert left == b""


# --- proxies ---------------------------------------------------------------------------------------------------


def test_a_proxy_that_is_not_here_is_left_out_by_name(benchmark: Any, tmp_path: Path) -> None:
    def absent(_place: object) -> None:
        benchmark.proxies.program("no-such-proxy")

    place = benchmark.proxies.Place(tmp_path, 1, 2, 0, 1)
    starts: dict[str, Callable[[Any], Any]] = {**benchmark.proxies.STARTS, "haproxy": absent}
    with contextlib.ExitStack() as stack:
        found, missing = benchmark.proxies.start(stack, place, ["direct", "haproxy"], starts)
    assert list(found) == ["direct"]
    assert missing == {"haproxy": "no-such-proxy is not installed (apt-get install no-such-proxy)"}


def test_one_that_goes_on_after_its_turn_is_ended_with_it(benchmark: Any, tmp_path: Path) -> None:
    """And the others are the same ones, turn after turn."""
    running: list[str] = []

    @contextlib.contextmanager
    def begun(name: str, _place: object) -> Any:
        running.append(name)
        try:
            yield benchmark.proxies.Proxy(name, "1", None, None, list)
        finally:
            running.remove(name)

    starts = {key: functools.partial(begun, key) for key in ("nginx", "jsp")}
    place = benchmark.proxies.Place(tmp_path, 1, 2, 0, 1)
    with contextlib.ExitStack() as stack:
        found, _ = benchmark.proxies.start(stack, place, ["nginx", "jsp"], starts)
        assert running == ["nginx"]
        with found["nginx"].turn() as first, found["nginx"].turn() as second:
            assert first is second
        with found["jsp"].turn() as third, found["nginx"].turn():
            assert running == ["nginx", "jsp"]
        with found["jsp"].turn() as fourth:
            assert third is not fourth
        assert running == ["nginx"]
    assert running == []


# --- figures ---------------------------------------------------------------------------------------------------


def closed(rate: float, per_cpu: float = 1000.0, p50: float = 1.0) -> dict[str, float]:
    return {"calls": rate, "calls_per_s": rate, "calls_per_cpu_s": per_cpu, "p50_ms": p50, "p99_ms": 2 * p50}


def test_rounds_are_put_together(benchmark: Any) -> None:
    """Medians; calls per CPU-second from the sums, and failures are never averaged away."""
    first = {"calls": 100, "calls_per_s": 100.0, "cpu_s": 0.1, "calls_per_cpu_s": 1000.0, "failed": 0}
    second = {"calls": 300, "calls_per_s": 300.0, "cpu_s": 0.9, "calls_per_cpu_s": 333.0, "failed": 1}
    found = benchmark.report.put_together([first, second])
    assert (found["calls_per_s"], found["calls_per_cpu_s"], found["failed"]) == (200.0, 400.0, 1)


def test_a_generator_that_was_the_limit_is_told(benchmark: Any) -> None:
    rows = {"c32": {"direct": closed(29_000), "nginx": closed(20_000), "ours": closed(10_000)}}
    (said,) = benchmark.report.notes(rows, 0.0)
    assert "32 connections: the generator was the limit (direct is 1.45 × nginx" in said
    rows["c32"]["direct"] = closed(30_000)
    assert benchmark.report.notes(rows, 0.0) == []


def test_failed_and_lost_calls_and_others_at_work_are_told(benchmark: Any) -> None:
    rows = {
        "c1": {"ours": closed(10) | {"failed": 3}},
        "sse": {"nginx": {"asked": 1000, "calls": 900, "others": 0.3}},
    }
    lost, failed, others = benchmark.report.notes(rows, 0.0)
    assert "nginx passed on 90%" in lost
    assert "3 calls through ours failed" in failed
    assert "not to be kept" in others
    assert "not to be kept" in benchmark.report.notes({}, 0.5)[0]


def rows_of_a_run() -> dict[str, dict[str, dict[str, float]]]:
    return {
        "c1": {"direct": closed(1, p50=0.1), "nginx": closed(1, p50=0.2), "ours": closed(1, p50=0.4)},
        "c32": {
            "nginx": closed(30_000, 30_000), "chp": closed(2_000, 2_000), "jsp": closed(400, 400),
            "ours": closed(11_000, 13_500),
        },
        "open": {"direct": {"p50_ms": 0.2, "p99_ms": 1.0}, "ours": {"p50_ms": 0.5, "p99_ms": 7.0}},
        "table": {"1x4": closed(10_000), "1000x10": closed(9_500), "1000x10 all": closed(5_000)},
        "idle": {"ours": {"kb_each": 4.5}},
    }  # fmt: skip


def test_each_figure_that_is_asked_for_is_judged(benchmark: Any) -> None:
    """Ratios of ours to theirs, latencies over direct; what is "less is better" the other way round."""
    judged = {each["what"]: (each["value"], each["met"]) for each in benchmark.report.judged(rows_of_a_run())}
    assert judged == {
        "calls per CPU-second at 32 connections, of nginx's": (0.45, True),
        "calls/s at 32 connections, of configurable-http-proxy's": (5.5, True),
        "… of jupyter-server-proxy's": (27.5, False),
        "added latency at 1 connection over direct, of nginx's": (3.0, False),
        "open loop at 500/s: added p50": (0.3, True),
        "open loop at 500/s: added p99": (6.0, False),
        "calls/s with 1,000 services × 10 replicas, of the 1 × 4 figure": (0.95, True),
        "memory per idle connection": (4.5, False),
    }


def test_calls_to_all_services_in_turn_say_how_many_opened_a_connection_and_are_not_judged(benchmark: Any) -> None:
    """A large table is judged by calls to one service; with all of them, cold connections are what is seen."""
    rows = {
        "table": {
            "1x4": {**closed(10_000), "calls": 30_000, "opened": 0},
            "1000x10": closed(9_500),
            "1000x10 all": {**closed(1_500, 3_200), "calls": 4_500, "opened": 4_410},
        }
    }
    targets = benchmark.report.judged(rows)
    assert [each["what"] for each in targets] == ["calls/s with 1,000 services × 10 replicas, of the 1 × 4 figure"]
    page = benchmark.report.markdown({"rows": rows, "targets": targets, "notes": [], "missing": {}})
    assert "| 1 service × 4 replicas | 10,000 (1,000) | 0 |" in page
    assert "| 1,000 × 10, one called | 9,500 (1,000) | – |" in page
    assert "| 1,000 × 10, all called in turn | 1,500 (3,200) | 98 |" in page
    assert "cold connections" in page
    del rows["table"]["1000x10 all"]
    assert "cold connections" not in benchmark.report.markdown(
        {"rows": rows, "targets": [], "notes": [], "missing": {}}
    )


def test_nginx_tells_how_many_connections_it_accepted(benchmark: Any) -> None:
    status = (
        "Active connections: 3 \nserver accepts handled requests\n 4411 4410 9000 \nReading: 0 Writing: 1 Waiting: 2 \n"
    )
    assert benchmark.load.accepted_of(status) == 4411


def test_the_page_gets_all_of_it_in_its_place(benchmark: Any) -> None:
    rows = rows_of_a_run()
    results = {
        "rows": rows, "idle": 5000, "targets": benchmark.report.judged(rows),
        "notes": ["c1: something"], "missing": {"haproxy": "haproxy is not installed"},
    }  # fmt: skip
    page = benchmark.tables.front("before\n<!-- front -->\nold\n<!-- end of front -->\nafter", results)
    assert page.startswith("before\n<!-- front -->\n")
    assert page.endswith("<!-- end of front -->\nafter")
    assert "\nold\n" not in page
    assert "| **ours** | 1.00 (1,000) | 11,000 (13,500) |" in page
    assert "| … of jupyter-server-proxy's | **27.50 ×** | 30 × |  | **no** |" in page
    assert "| memory per idle connection | **4.50 KB** | ≤ 4 KB |  | **no** |" in page
    assert "* c1: something\n* Left out: haproxy is not installed." in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines if "**ours**" in line} == {3, 4}, "no cell is missing"
    assert benchmark.tables.front(page, results) == page


# --- the cost of a decision -----------------------------------------------------------------------------------


def test_the_cost_of_a_decision_is_of_each_kind_that_the_page_tells(
    benchmark: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its short form, which judges nothing: that every decision is the right one. It ends by itself where one is not."""
    assert benchmark.access.main(["--runs", "1", "--limit", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    kinds = [re.sub(r" +[0-9.]+ µs$", "", line) for line in lines]
    page = (BENCHMARKS.parent / "docs" / "performance.md").read_text("utf-8")
    told = page.split("\n## Who may call\n")[1].split("\n## ")[0]
    assert len(kinds) == 13
    assert [kind for kind in kinds if f"| {kind} |" not in told] == []


def test_a_decision_that_is_wrong_is_not_measured(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark.access, "decide", lambda *given: True)
    with pytest.raises(SystemExit, match="the decision is wrong"):
        benchmark.access.main(["--runs", "1"])


def test_a_decision_that_costs_too_much_is_told_by_the_status(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark.access, "microseconds", lambda work, runs: 5.1)
    assert benchmark.access.main([]) == 1
    assert benchmark.access.main(["--limit", "6"]) == 0
