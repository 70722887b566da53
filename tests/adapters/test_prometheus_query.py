"""Queries to a server that speaks Prometheus' HTTP API, over real sockets."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.prometheus_query import PrometheusQueries
from jupyter_model_service.core.scaling.promql import query_from
from jupyter_model_service.ports import AskedQuery, NoQueries, Queries

QUERIES = {
    "load": 'sum(busy{service="{owner}/{service}"})',
    "pods": 'avg(busy{pod=~"{replicas}"})',
    "price": "max(price)",
}
NOT_YET = "it has not been asked yet"
CHAT, CODE = AskedQuery("load", "alice", "chat"), AskedQuery("load", "alice", "code")


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1_700_000_000.1, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


class Server:
    """``answers`` maps a query to what it gives: JSON, or ``(status, bytes)``; ``asked`` has every query."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.default: Any = vector("7.5")
        self.asked: list[str] = []
        self.seen: list[dict[str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                outer.seen.append({"path": self.path, **dict(self.headers)})
                outer.asked.append(form["query"][0])
                outer.go_on.wait(30)
                answer = outer.answers.get(form["query"][0], outer.default)
                if isinstance(answer, dict):
                    answer = 200 if answer["status"] == "success" else 400, json.dumps(answer).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            def log_message(self, *args: object) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


Body = Callable[[PrometheusQueries], Awaitable[None]]


def asking(url: str, body: Body, *, interval: float = 0.05, timeout: float = 10.0, **more: Any) -> None:
    async def run() -> None:
        given = {name: query_from(name, text) for name, text in QUERIES.items()}
        queries = PrometheusQueries(url, given, clock=SystemClock(), interval=interval, timeout=timeout, **more)
        queries.start()
        try:
            await asyncio.wait_for(body(queries), 60)
        finally:
            await queries.stop()

    asyncio.run(run())


async def until(look: Callable[[], object]) -> None:
    while not look():
        await asyncio.sleep(0.01)


def test_what_is_wanted_is_asked_again_and_again(server: Server) -> None:
    """The value follows; what nobody wants is not asked."""
    server.answers['sum(busy{service="alice/chat"})'] = vector("12.25")

    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        assert queries.value("load", "alice", "chat") is None
        assert queries.reason("load", "alice", "chat") == NOT_YET
        await until(lambda: queries.value("load", "alice", "chat") == 12.25)
        assert queries.reason("load", "alice", "chat") == ""
        server.answers['sum(busy{service="alice/chat"})'] = vector("3")
        await until(lambda: queries.value("load", "alice", "chat") == 3.0)
        assert set(server.asked) == {'sum(busy{service="alice/chat"})'}
        assert server.seen[0]["path"] == "/prom/api/v1/query"

    asking(server.url + "/prom/", body)


def test_something_new_is_asked_at_once_and_what_is_not_wanted_is_forgotten(server: Server) -> None:
    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        await until(lambda: queries.value("load", "alice", "chat"))
        queries.want([CODE])  # the next round would be in an hour
        await until(lambda: queries.value("load", "alice", "code"))
        assert queries.value("load", "alice", "chat") is None
        queries.want([CODE, CODE, AskedQuery("none", "alice", "chat")])
        queries.want([CHAT, CODE])
        await until(lambda: queries.value("load", "alice", "chat"))
        assert [query.partition("alice/")[2][:4] for query in server.asked] == ["chat", "code", "chat"]

    asking(server.url, body, interval=3600.0)


def test_one_text_is_asked_once_for_all_services(server: Server) -> None:
    async def body(queries: PrometheusQueries) -> None:
        names = [f"s{number}" for number in range(50)]
        queries.want([AskedQuery("price", "alice", name) for name in names])
        await until(lambda: all(queries.value("price", "alice", name) == 7.5 for name in names))
        assert server.asked == ["max(price)"]

    asking(server.url, body, interval=3600.0)


def test_replicas_are_those_of_now(server: Server) -> None:
    async def body(queries: PrometheusQueries) -> None:
        queries.want([AskedQuery("pods", "alice", "chat")])
        await until(lambda: "no replica is ready" in queries.reason("pods", "alice", "chat"))
        assert server.asked == []
        queries.want([AskedQuery("pods", "alice", "chat", ("chat-b", "chat-a"))])
        await until(lambda: queries.value("pods", "alice", "chat") == 7.5)
        assert server.asked[0] == 'avg(busy{pod=~"chat-a|chat-b"})'

    asking(server.url, body)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (vector(), "no such series"),
        (vector("1", "2"), "gives 2 series, and must give one"),
        (vector("NaN"), "the query gives NaN"),
        (vector("+Inf"), "the query gives +Inf"),
        (vector("many"), "cannot be read"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "gives a matrix"),
        ({"status": "success", "data": []}, "cannot be read"),
        ({"status": "error", "error": "parse error:\n unexpected {"}, "refuses the query: parse error: unexpected {"),
        ((200, b"<html>"), "is none (status 200)"),
        ((502, b""), "is none (status 502)"),
        ((401, b"{}"), "set prometheus_token_file"),
        ((200, b'"' + b"x" * (2 << 20)), "longer than 1 MiB"),
    ],
)
def test_what_is_no_number_is_unknown_with_a_reason(server: Server, answer: Any, why: str) -> None:
    """Also where a number was known before: it is not kept, and comes back with the next good answer."""

    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        await until(lambda: queries.value("load", "alice", "chat") == 7.5)
        server.default = answer
        await until(lambda: queries.value("load", "alice", "chat") is None)
        assert why in queries.reason("load", "alice", "chat")
        server.default = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "2.5"]}}
        await until(lambda: queries.value("load", "alice", "chat") == 2.5)

    asking(server.url, body)


def test_a_server_that_hangs_makes_it_unknown_and_is_not_asked_by_all(server: Server) -> None:
    """Forty services would wait for it one after the other, eight at a time; all are known again soon after."""

    async def body(queries: PrometheusQueries) -> None:
        names = [f"s{number}" for number in range(40)]
        queries.want([CHAT])
        await until(lambda: queries.value("load", "alice", "chat"))
        server.go_on.clear()
        server.asked.clear()
        queries.want([AskedQuery("load", "alice", name) for name in names])
        await until(lambda: all("within 1 s" in queries.reason("load", "alice", name) for name in names))
        assert len(server.asked) <= 16  # eight at once, and at most one more round of them has begun
        server.go_on.set()
        await until(lambda: all(queries.value("load", "alice", name) for name in names))

    asking(server.url, body, interval=2.0, timeout=1.0)


def test_a_number_gets_old(server: Server) -> None:
    """It is known for two rounds and a time limit after it came, even if nobody can say why no other comes."""

    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        await until(lambda: queries.value("load", "alice", "chat"))
        server.go_on.clear()
        queries._timeout = 60.0  # the question that is on its way hangs for longer than the number is fresh
        await until(lambda: len(server.asked) >= 2)
        queries._timeout = 0.1
        await until(lambda: queries.value("load", "alice", "chat") is None)
        assert "s old" in queries.reason("load", "alice", "chat")

    asking(server.url, body, timeout=0.1)


def test_nobody_there(unused_tcp_port_closed: str) -> None:
    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT, CODE])
        await until(lambda: all(queries.reason("load", "alice", name) != NOT_YET for name in ("chat", "code")))
        for name in ("chat", "code"):
            assert queries.reason("load", "alice", name) == "Prometheus cannot be reached (ConnectError)"
            assert queries.value("load", "alice", name) is None

    asking(unused_tcp_port_closed, body)


@pytest.fixture
def unused_tcp_port_closed() -> Iterator[str]:
    """An address that nobody listens at, and nobody else can take meanwhile."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_the_token_is_sent_and_read_anew(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")

    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        await until(lambda: server.seen and server.seen[-1].get("Authorization") == "Bearer first")
        file.write_text("second")
        await until(lambda: server.seen[-1].get("Authorization") == "Bearer second")
        sent = [seen.get("Authorization") for seen in server.seen]
        assert sent == sorted(sent), "the first one never comes back"

    asking(server.url, body, token_file=file)


def test_it_ends_while_it_asks(server: Server) -> None:
    server.go_on.clear()
    ends_at: list[float] = []

    async def body(queries: PrometheusQueries) -> None:
        queries.want([CHAT])
        await until(lambda: server.asked)
        ends_at.append(time.monotonic())

    asking(server.url, body, timeout=50.0)
    assert time.monotonic() - ends_at[0] < 25, "not when its question is answered, or its time is over"
    assert len(server.asked) == 1


def test_names_are_told_and_others_have_a_reason() -> None:
    found: list[Queries] = [
        PrometheusQueries("http://x", {}, clock=SystemClock(), timeout=1.0, interval=1.0),
        NoQueries(),
    ]
    for queries in found:
        queries.want([CHAT])
        assert list(queries.names) == []
        assert queries.value("load", "alice", "chat") is None
        assert queries.reason("load", "alice", "chat") == "the administrator allows no query load"
