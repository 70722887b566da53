"""Databases as a clean end and as a kill leave them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from .samples import fill


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that was closed, and the key of what is sealed in it."""
    folder = tmp_path_factory.mktemp("closed")
    asyncio.run(fill(folder / "state.db"))
    assert sorted(f.name for f in folder.iterdir()) == ["state.db", "state.key"]
    return folder


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from samples import SERVICE, REVISION, events
from jupyter_model_service.adapters.store import SqlStore

async def main():
    store = await SqlStore.open(Path(sys.argv[1]))
    await store.add_service(SERVICE, REVISION)
    for n in range(20):
        await store.add_events(events(1 + 3 * n, 3))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database whose process was killed: all of the above is in the log only."""
    folder = tmp_path_factory.mktemp("killed")
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder / "state.db"), str(Path(__file__).parent)], timeout=60
    )
    assert child.returncode == -9
    assert (folder / "state.db-wal").stat().st_size > 50_000
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"
