"""Replicas that are killed, paused and cut off, under the load of 50 callers, on a real Hub with a real engine.

"No failed call": no POST fails; a stream breaks only where its own replica was killed, and its caller sees it as
incomplete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .deployment import Deployment, eventually
from .stage import Stage, created_at, under_load


@pytest.fixture(scope="module")
def stage(hub: Deployment) -> Iterator[Stage]:
    stage = Stage(hub, "m", 3, interval=10)  # the default: health checks alone would be too late
    yield stage
    stage.close()


def test_docker_kill_of_one_of_three_fails_no_call(stage: Stage) -> None:
    """Out of rotation within 1 s, its replacement's container asked for within 3 s; nothing of it is left."""
    stage.ready(3)
    victim, container = next(iter(stage.containers().items()))
    before = stage.ids()
    at = 0.0

    def kill() -> None:
        nonlocal at
        at = time.time()
        container.kill()
        eventually(lambda: stage.ids() - before, "the replacement's container", 30)
        stage.ready(3)

    tally = under_load(stage, kill).tally
    assert tally.failures == []
    assert len(tally.broken_streams) <= 10
    (fresh,) = [c for c in stage.containers().values() if c.id not in before]
    out = min(
        event.at
        for event in stage.events(victim)
        if event.kind in ("replica.unhealthy", "replica.failed") and event.at >= at
    )
    print(f"out of rotation after {out - at:.2f} s, container asked for after {created_at(fresh) - at:.2f} s")
    assert out - at < 1
    assert created_at(fresh) - at < 3
    assert fresh.id[:12] in tally.versions, "the replacement got calls, too"
    (why,) = [event.message for event in stage.events(victim) if event.kind == "replica.failed"]
    assert "exit code 137" in why
    eventually(lambda: f"ms-{victim}" not in stage.hub.servers("alice"), "its server record gone")
    assert stage.hub.engine.containers.list(all=True, filters={"id": container.id}) == []


OUT = 4.0  # seconds until no new call goes to a replica that has gone silent


def silenced(stage: Stage, silence: Callable[[Any], None]) -> None:
    """Out of rotation within 4 s; only what was in flight there may fail, or is replayed; replaced, with nothing left."""
    stage.ready(3)
    victim, container = next(iter(stage.containers().items()))
    before = stage.ids()
    at = 0.0

    def cut_off() -> None:
        nonlocal at
        at = time.time()
        silence(container)
        eventually(lambda: stage.ids() - before, "the replacement's container", 60)
        stage.ready(3)

    told = under_load(stage, cut_off)
    tally = told.tally
    out = min(e.at for e in stage.events(victim) if e.kind in ("replica.unhealthy", "replica.failed") and e.at >= at)
    (fresh,) = [c for c in stage.containers().values() if c.id not in before]
    print(
        f"out of rotation after {out - at:.2f} s, container asked for after {created_at(fresh) - at:.2f} s; "
        f"{len(tally.failures)} calls and {len(tally.broken_streams)} streams broken, slowest {tally.slowest:.1f} s"
    )
    assert out - at <= OUT
    assert len(tally.failures) + len(tally.broken_streams) <= 50, "none but those in flight there"
    assert not [failure for failure in tally.failures if failure.kind == "post"], "a POST without an answer is replayed"
    assert fresh.id[:12] in tally.versions, "the replacement got calls, too"
    eventually(lambda: f"ms-{victim}" not in stage.hub.servers("alice"), "its server record gone", 90)
    gone = {"id": container.id}
    eventually(lambda: not stage.hub.engine.api.containers(all=True, filters=gone), "its container gone", 90)


def test_docker_pause_of_one_of_three(stage: Stage) -> None:
    silenced(stage, lambda container: container.pause())


def test_docker_network_disconnect_of_one_of_three(stage: Stage) -> None:
    network = stage.hub.engine.networks.get(stage.hub.network.name)
    silenced(stage, lambda container: network.disconnect(container, force=True))
