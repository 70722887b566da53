"""For whom the gateway stays: real processes that come and go."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from jupyter_model_service.app.attachments import Attachments
from jupyter_model_service.errors import InvalidRequest

Server = tuple["subprocess.Popen[bytes]", int, float]


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Two processes that stand for Jupyter servers."""
    made: list[Server] = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        made.append((process, process.pid, psutil.Process(process.pid).create_time()))
    yield made
    for process, _, _ in made:
        process.kill()
        process.wait()


def watched(*, keep: bool = False, patience: float = 60.0) -> tuple[Attachments, list[str]]:
    said: list[str] = []
    return Attachments(keep=keep, patience=patience, alone=said.append, interval=0.01), said


async def a_while(attachments: Attachments, seconds: float = 0.3) -> bool:
    """Whether the watch came to its end within the time."""
    try:
        await asyncio.wait_for(attachments.watch(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def test_it_ends_when_the_last_server_has_gone(servers: list[Server]) -> None:
    """Killed without a word, and not even reaped by its parent: a zombie is gone, too."""
    attachments, said = watched()

    async def body() -> None:
        for _, pid, begun in servers:
            attachments.attach(pid, begun, False)
        assert len(attachments) == 2
        servers[0][0].kill()
        assert not await a_while(attachments)
        assert len(attachments) == 1
        servers[1][0].kill()
        assert await a_while(attachments, 20)

    asyncio.run(body())
    assert said == ["the last Jupyter server has gone"]


def test_a_server_that_attaches_again_is_counted_once(servers: list[Server]) -> None:
    attachments, _ = watched()
    attachments.attach(servers[0][1], servers[0][2], False)
    attachments.attach(servers[0][1], servers[0][2], False)
    assert len(attachments) == 1


def test_nobody_came(servers: list[Server]) -> None:
    """Only after the patience, and the sentence says what to do."""
    attachments, said = watched(patience=0.2)
    assert asyncio.run(a_while(attachments, 20))
    assert "--keep" in said[0]
    patient, _ = watched(patience=60)
    assert not asyncio.run(a_while(patient))


def test_kept_it_stays(servers: list[Server]) -> None:
    """By its own option, or because any server asked for it, and then for good."""
    alone, said = watched(keep=True, patience=0.0)
    assert not asyncio.run(a_while(alone))
    asked, _ = watched(patience=0.0)
    asked.attach(servers[0][1], servers[0][2], True)
    asked.attach(servers[1][1], servers[1][2], False)
    for process, _, _ in servers:
        process.kill()
    assert not asyncio.run(a_while(asked))
    assert asked.keep
    assert said == []


def test_only_a_living_process_can_attach(servers: list[Server]) -> None:
    """No such pid, another process with the pid, nonsense: one sentence, and nothing is attached."""
    attachments, _ = watched()
    begun = psutil.Process(os.getpid()).create_time()
    for pid, create_time in ((os.getpid(), begun - 60), (-1, begun), (2**80, begun), (os.getpid(), float("nan"))):
        with pytest.raises(InvalidRequest, match="no process"):
            attachments.attach(pid, create_time, True)
    assert len(attachments) == 0
    assert not attachments.keep
