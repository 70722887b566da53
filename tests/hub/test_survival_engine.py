"""A Docker engine that is stopped, killed and started again, and one whose disk is full: right state, no leak."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from .deployment import Deployment, Setup, ended, eventually
from .own_engine import OwnEngine, lacking
from .stage import Stage, traces

SPACE = 5 << 30  # bytes; the notebook's image takes 0.6 GB, and as much while it is loaded


@pytest.fixture(scope="module")
def engine(docker_engine: Any) -> Iterator[OwnEngine]:
    """On a small disk of its own."""
    if (why := lacking()) is not None:
        pytest.skip(why)
    made = OwnEngine()
    data = made.folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPACE}", "tmpfs", str(data)], check=True)
    try:
        made.start()
        yield made
    finally:
        if made.folder.exists():
            made.close()


@pytest.fixture(scope="module")
def site(engine: OwnEngine, make_deployment: Callable[..., Deployment]) -> Iterator[Deployment]:
    from .conftest import running

    deployment = make_deployment(Setup(), engine)
    running.append(deployment)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()
        running.remove(deployment)


@pytest.fixture(scope="module")
def stage(site: Deployment) -> Stage:
    return Stage(site, "m", 2)


def status(stage: Stage) -> int:
    """Of a call that waits for a replica for five seconds, and not for the service's own minute."""
    headers = {"Authorization": f"Bearer {stage.token}", "Prefer": "wait=5"}
    try:
        return httpx.get(stage.direct + "pid", headers=headers, timeout=60, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


@contextlib.contextmanager
def filled(engine: OwnEngine, left: int) -> Iterator[None]:
    """The engine's disk, but for so many bytes."""
    file = engine.folder / "data" / "filler"
    stat = os.statvfs(file.parent)
    size = stat.f_bavail * stat.f_frsize - left
    assert size > 0
    try:
        with open(file, "wb") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
        yield
    finally:
        file.unlink()


def as_it_should_be(stage: Stage, count: int) -> None:
    """So many replicas serve, each with one container and one record; nothing else of ours is there."""
    stage.ready(count, 120)
    servers = sorted(name for name in stage.hub.servers("alice") if name.startswith("ms-"))
    eventually(
        lambda: (
            sorted(n for n in stage.hub.servers("alice") if n.startswith("ms-"))
            == sorted(f"ms-{replica}" for replica in stage.containers())
        ),
        f"no record but those of the replicas that run, of {servers}",
    )
    eventually(lambda: len(traces(stage.hub)) == 2 * count + 2, f"nothing left over of {traces(stage.hub)}")
    assert status(stage) == 200


def test_a_full_disk_of_the_engine_stops_no_replica_and_is_said_in_one_sentence(
    stage: Stage, engine: OwnEngine
) -> None:
    """Nearly full: no snapshot is begun. Full: what serves goes on, and one more waits for room with its reason."""
    as_it_should_be(stage, 2)
    before = stage.ids()
    with filled(engine, 1 << 29):
        stage.alice.write("models/m/weights", "new")
        refused = stage.alice.cli("update", "m", check=False)
        print(refused.stderr)
        assert refused.returncode == 1
        assert "space" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    with filled(engine, 0):
        stage.client.scale(stage.key, 3)
        reason = eventually(
            lambda: [e.message for e in stage.events() if e.kind == "replica.failed" and "space" in e.message],
            "a reason",
        )[0]
        print(reason)
        assert "\n" not in reason
        assert [status(stage) for _ in range(5)] == [200] * 5
        assert before <= stage.ids()
    as_it_should_be(stage, 3)
    stage.client.scale(stage.key, 2)
    as_it_should_be(stage, 2)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_replicas_come_back_with_their_engine(stage: Stage, engine: OwnEngine, how: str) -> None:
    """Every container ends with it. The same endpoint and token serve again, of the same revision; nothing is left of
    what was before, and while the engine is away the reason is shown."""
    as_it_should_be(stage, 2)
    before = stage.ids()
    getattr(engine, how)()
    if how == "stop":
        eventually(lambda: stage.info().replicas.ready == 0, "no replica", 30)

        def reasons() -> str:
            seen = stage.info()
            return " ".join([seen.reason or "", *(replica.reason or "" for replica in seen.replica_list)])

        told = eventually(lambda: "engine" in reasons() and reasons(), "a reason", 60)
        print(told)
        assert stage.info().state != "failed"
        assert status(stage) == 503
    else:
        time.sleep(5.0)  # containers run on until the next engine ends them
    began = time.monotonic()
    engine.start()
    stage.ready(2, 120)
    print(f"{how}: ready {time.monotonic() - began:.1f} s after the engine was started")
    as_it_should_be(stage, 2)
    assert not stage.ids() & before
    assert stage.info().revision == 1


def test_nothing_is_left_of_all_that(stage: Stage, engine: OwnEngine, docker_engine: Any) -> None:
    """Neither of the service on that engine, nor of the engine on this machine, whose own one was never touched."""
    hub = stage.hub
    stage.client.delete(stage.key)
    eventually(lambda: not traces(hub), "nothing left of the service", 60)
    stage.client.close()
    assert stage.alice.container.name not in [
        c.name for c in docker_engine.containers.list(all=True, ignore_removed=True)
    ]
    assert "docker0" in psutil.net_if_addrs()  # which another engine may remove at its start
    links = [name for name in psutil.net_if_addrs() if name.startswith("br-")]
    processes = engine.processes()
    engine.kill()

    hub.close()
    engine.close()

    assert docker_engine.ping()
    assert processes
    assert all(ended(process.pid) for process in processes)
    assert not engine.folder.exists()
    assert f"br-{hub.network.id[:12]}" in links
    assert f"br-{hub.network.id[:12]}" not in psutil.net_if_addrs()
