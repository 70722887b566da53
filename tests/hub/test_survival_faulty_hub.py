"""A Hub that answers 429, 500 or slowly, and a gateway whose disk is full: what serves goes on serving.

The gateway runs beside the Hub and asks it through a small proxy of the test's, which can be told what to answer.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import http.server
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from jupyter_model_service.errors import ModelServiceError

from .deployment import Deployment, Setup, eventually
from .stage import Stage, traces, under_load

# The Hub's own limit, so that its own 429 is seen; its own Retry-After would be 30 to 60 s.
SETUP = Setup(
    managed=False,
    config="c.JupyterHub.concurrent_spawn_limit = 1\n"
    "c.JupyterHub.tornado_settings = {'spawn_throttle_retry_range': (1, 2)}",
)


class Between:
    """Passes everything on to the Hub, unless ``status`` is set; each answer ``delay`` seconds late."""

    def __init__(self, host: str, port: int) -> None:
        self.status: int | None = None
        self.delay = 0.0
        self.seen: list[int] = []  # statuses of the Hub's answers to starts
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                time.sleep(between.delay)
                if between.status is not None:
                    self.send_response(between.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.close_connection = True
                try:
                    upstream = http.client.HTTPConnection(host, port, timeout=120)
                    upstream.request(self.command, self.path, body, dict(self.headers))
                    came = upstream.getresponse()
                except OSError:
                    return  # as a Hub that is not there
                with contextlib.closing(upstream), contextlib.suppress(OSError):
                    if self.command == "POST" and "/servers/" in self.path:
                        between.seen.append(came.status)
                    self.send_response_only(came.status)
                    for name, value in came.getheaders():
                        if name.lower() not in ("transfer-encoding", "connection"):
                            self.send_header(name, value)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    while piece := came.read1(65536):
                        self.wfile.write(piece)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer

            def log_message(self, *arguments: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heal(self) -> None:
        self.status, self.delay = None, 0.0


@pytest.fixture(scope="module")
def site(make_deployment: Callable[..., Deployment]) -> Iterator[tuple[Deployment, Between]]:
    """The gateway's data lie on a small disk of their own."""
    from .conftest import running

    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    deployment = make_deployment(SETUP)
    between = Between(deployment.network.address, deployment.hub_port)
    data = deployment.folder / "model-service"
    data.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(data)], check=True)
    running.append(deployment)
    try:
        deployment.start()
        file = data / "gateway.env"
        text = file.read_text()
        told = text.replace(deployment.hub_api, f"http://127.0.0.1:{between.port}/hub/api")
        assert told != text
        file.write_text(told)
        deployment.start_gateway()
        yield deployment, between
    finally:
        deployment.close()
        running.remove(deployment)
        between.server.shutdown()
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture(scope="module")
def stage(site: tuple[Deployment, Between]) -> Iterator[Stage]:
    stage = Stage(site[0], "m", 2)
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def healed(site: tuple[Deployment, Between]) -> Iterator[Between]:
    yield site[1]
    site[1].heal()


def test_a_hub_that_says_later_is_asked_later(stage: Stage, healed: Between) -> None:
    """It starts one server at a time and answers 429 to all others: all come up, each once."""
    healed.seen.clear()
    stage.client.scale(stage.key, 5)
    stage.ready(5, 120)
    assert 429 in healed.seen
    assert stage.info().restarts == 0
    told = [event.message for event in stage.events() if event.kind == "replica.waiting"]
    assert any('says "later": status 429' in message for message in told), told
    assert len([name for name in stage.hub.servers("alice") if name.startswith("ms-")]) == 5
    assert len(stage.containers()) == 5
    stage.client.scale(stage.key, 2)
    stage.ready(2)


@pytest.mark.parametrize("fault", [500, 503, 429])
def test_a_hub_that_fails_keeps_nobody_from_a_replica_that_serves(stage: Stage, healed: Between, fault: int) -> None:
    """One of two is killed while the Hub answers nothing but errors: no call fails, and the replacement comes when
    the Hub is well again, with no double and nothing left of the dead one."""
    stage.ready(2)
    victim, container = next(iter(stage.containers().items()))
    restarts = stage.info().restarts

    def kill() -> None:
        healed.status = fault
        container.kill()
        eventually(lambda: stage.info().replicas.ready == 1, "one ready replica", 30)
        time.sleep(4.0)  # for some attempts
        seen = stage.info()
        assert (seen.state, seen.replicas.ready) == ("degraded", 1)
        healed.heal()

    tally = under_load(stage, kill).tally
    began = time.monotonic()
    seen = stage.ready(2, 90)
    print(
        f"{fault}: two ready again {time.monotonic() - began:.1f} s after the Hub is well; {seen.restarts - restarts}"
    )
    assert tally.failures == []
    assert victim not in stage.containers()
    servers = sorted(name for name in stage.hub.servers("alice") if name.startswith("ms-"))
    assert servers == sorted(f"ms-{replica}" for replica in stage.containers())


def test_a_slow_hub_slows_no_call(stage: Stage, healed: Between) -> None:
    """Every answer 3 s late: no call fails, a killed replica is replaced all the same."""
    stage.ready(2)
    healed.delay = 3.0
    _, container = next(iter(stage.containers().items()))

    def kill() -> None:
        container.kill()
        eventually(lambda: stage.info().replicas.ready == 1, "one ready replica", 30)
        stage.ready(2, 90)

    tally = under_load(stage, kill).tally
    assert tally.failures == []
    assert tally.slowest < 5


def test_a_full_disk_of_the_gateway_refuses_changes_and_no_call(stage: Stage) -> None:
    """One sentence for who wants a change; callers notice nothing; afterwards everything is as it was."""
    stage.ready(2)
    before = stage.ids()
    filler = stage.hub.folder / "model-service" / "filler"

    def without_room() -> bool:
        """The database's log keeps the room that it once had, up to 1 MiB: changes would go on until that is used."""
        with contextlib.closing(sqlite3.connect(stage.hub.folder / "model-service" / "state.db")) as database:
            (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def fill() -> None:
        eventually(without_room, "a log without room of its own")
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        for change in (
            lambda: stage.client.scale(stage.key, 3),
            lambda: stage.client.generate_token(stage.key, token_name="another"),
            lambda: stage.client.stop(stage.key),
        ):
            with pytest.raises(ModelServiceError) as told:
                change()
            print(told.value)
            assert os.strerror(errno.ENOSPC).lower() in str(told.value).lower() or "full" in str(told.value)
            assert "\n" not in str(told.value)

    try:
        tally = under_load(stage, fill).tally
    finally:
        filler.unlink()
    assert tally.failures == []
    assert stage.ids() == before
    assert stage.info().replicas.want == 2
    eventually(lambda: stage.client.scale(stage.key, 1).replicas.want == 1, "a change that is kept")
    stage.ready(1)


def test_nothing_is_left_of_all_that(stage: Stage) -> None:
    stage.client.delete(stage.key)
    eventually(lambda: not traces(stage.hub), "nothing left of the service", 60)
