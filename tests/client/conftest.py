"""Both clients behind one way to call them, so that every behaviour is tested for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.client import AsyncClient, Client

from .fake_gateway import FakeGateway


class Face:
    """``face.create(folder)`` calls the sync client, or runs the async one's coroutine on a loop of its own."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.runner = asyncio.new_event_loop() if isinstance(client, AsyncClient) else None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        if self.runner is None:
            return method
        return lambda *args, **options: self.runner.run_until_complete(method(*args, **options))

    def take(self, count: int, **options: Any) -> list[Any]:
        """The first changes of a watch."""
        if self.runner is None:
            changes = self.client.watch(**options)
            found = []
            for change in changes:
                found.append(change)
                if len(found) == count:
                    break
            changes.close()
            return found

        async def collect() -> list[Any]:
            found: list[Any] = []
            changes = self.client.watch(**options)
            async for change in changes:
                found.append(change)
                if len(found) == count:
                    break
            await changes.aclose()
            return found

        return self.runner.run_until_complete(collect())

    def streamed(self, *args: Any, **options: Any) -> list[str]:
        if self.runner is None:
            with self.client.stream(*args, **options) as response:
                return list(response.iter_lines())

        async def read() -> list[str]:
            async with self.client.stream(*args, **options) as response:
                return [line async for line in response.aiter_lines()]

        return self.runner.run_until_complete(read())

    def done(self) -> None:
        if self.runner is None:
            self.client.close()
        else:
            self.runner.run_until_complete(self.client.close())
            self.runner.run_until_complete(self.runner.shutdown_asyncgens())
            self.runner.run_until_complete(self.runner.shutdown_default_executor())
            self.runner.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGateway]:
    with FakeGateway(tmp_path / "model-service") as fake:
        yield fake


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return Client if request.param == "sync" else AsyncClient


@pytest.fixture
def face(kind: Any, fake: FakeGateway) -> Iterator[Face]:
    """A client that found the fake by its runtime file."""
    face = Face(kind(data_dir=fake.data_dir))
    yield face
    face.done()
