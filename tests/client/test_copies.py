"""A call that is answered when a folder is copied: waited for as long as it takes, told of meanwhile, never repeated."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service import wire
from jupyter_model_service.client import AsyncClient, Client, aio, patience, stepping
from jupyter_model_service.client.events import Reconnect
from jupyter_model_service.errors import GatewayUnavailable

from .fake_gateway import FakeGateway, refusal, service

FOLDER = "/models/koala"


def copy(files: int = 1, key: str = "ada/demo", folder: str = FOLDER, **more: Any) -> dict[str, Any]:
    content = {"service": key, "folder": folder, "revision": 1, "files": files, "bytes": 10 * files, "seconds": 1.0}
    return wire.CopyInfo.model_validate({**content, **more}).model_dump(mode="json")


class Slow:
    """A gateway that answers when it is told to, or after it has published what a test gives."""

    def __init__(self, fake: FakeGateway) -> None:
        self.fake = fake
        self.answered = threading.Event()
        fake.answers["POST", "api/v1/services"] = self.create
        fake.answers["POST", "api/v1/services/ada/demo/update"] = self.create

    def create(self, body: Any) -> Any:
        assert self.answered.wait(60)
        return 201, service("demo", "starting"), {}

    def posts(self) -> int:
        return sum(method == "POST" for method, *_ in self.fake.requests)

    def says(self, *copies: dict[str, Any]) -> None:
        """To whoever listens, then answers."""

        def act() -> None:
            assert self.fake.stream_opened.wait(30)
            for each in copies:
                self.fake.publish("copying", each)
                time.sleep(0.3)
            self.answered.set()

        threading.Thread(target=act, daemon=True).start()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    with FakeGateway(tmp_path) as fake:
        slow = Slow(fake)
        yield slow
        slow.answered.set()


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for module in (aio, patience):
        monkeypatch.setattr(module, "LISTEN_AFTER", 0.1)
    return str(request.param)


def do(way: str, slow: Slow, verb: str, *given: Any, **options: Any) -> Any:
    assert slow.fake.data_dir is not None
    if way == "sync":
        with Client(data_dir=slow.fake.data_dir) as client:
            return getattr(client, verb)(*given, **options)

    async def call() -> Any:
        async with AsyncClient(data_dir=slow.fake.data_dir) as client:
            return await getattr(client, verb)(*given, **options)

    return asyncio.run(call())


def test_what_is_heard_of_the_copy_is_told_in_the_callers_own_thread(way: str, slow: Slow) -> None:
    told: list[tuple[int, int | None, bool]] = []
    here = threading.get_ident()

    def on_copy(info: wire.CopyInfo) -> None:
        told.append((info.files, info.of_files, threading.get_ident() == here))

    slow.says(copy(1, of_files=3), copy(2, of_files=3), copy(2, over=True))
    made = do(way, slow, "create", FOLDER, on_copy=on_copy)
    assert made.name == "demo"
    assert told == [(1, 3, True), (2, 3, True)]
    assert slow.posts() == 1


def test_only_of_that_copy(way: str, slow: Slow) -> None:
    """Not of another folder, of another user's folder of the same name, of another service of the caller's."""
    told: list[int] = []
    slow.says(copy(1, folder="/other"), copy(2, key="bob/demo"), copy(3, key="ada/other"), copy(4))
    do(way, slow, "create", FOLDER, "demo", on_copy=lambda info: told.append(info.files))
    assert told == [4]


def test_an_update_is_known_by_its_service(way: str, slow: Slow) -> None:
    told: list[int] = []
    slow.says(copy(1, key="ada/other"), copy(2, folder="/elsewhere"))
    do(way, slow, "update", "demo", on_copy=lambda info: told.append(info.files))
    assert told == [2]


def test_a_stream_that_breaks_off_is_no_reason_to_give_up(way: str, slow: Slow) -> None:
    told: list[int] = []

    def act() -> None:
        assert slow.fake.stream_opened.wait(30)
        slow.fake.drop_streams()
        assert slow.fake.stream_opened.wait(30)
        slow.fake.publish("copying", copy(7))
        time.sleep(0.5)
        slow.answered.set()

    threading.Thread(target=act, daemon=True).start()
    do(way, slow, "create", FOLDER, on_copy=lambda info: told.append(info.files))
    assert told == [7]
    assert slow.posts() == 1


def test_a_gateway_without_a_stream_is_waited_for_all_the_same(way: str, slow: Slow) -> None:
    slow.fake.answers["GET", "api/v1/"] = refusal(403, "forbidden", "Not you.")
    threading.Timer(1.0, slow.answered.set).start()
    assert do(way, slow, "create", FOLDER, "demo", on_copy=lambda info: None).name == "demo"


def test_a_gateway_that_is_gone_is_not_waited_for(way: str, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer will not come, though the connection is open: a minute is enough, a second here."""
    monkeypatch.setattr(Reconnect.__init__, "__defaults__", (1.0,))
    slow.fake.answers["GET", "api/v1/events"] = refusal(503, "overloaded", "Too many streams.")
    handle = slow.fake.stream
    slow.fake.stream = lambda handler: handler.wfile.close()  # type: ignore[method-assign]
    try:
        with pytest.raises(GatewayUnavailable):
            do(way, slow, "create", FOLDER, "demo")
    finally:
        slow.fake.stream = handle  # type: ignore[method-assign]
    assert slow.posts() == 1


def test_an_answer_that_comes_at_once_needs_no_stream(way: str, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens after a second; a minute here, as a busy machine may take a second for the answer."""
    monkeypatch.setattr("jupyter_model_service.client.patience.LISTEN_AFTER", 60.0)
    monkeypatch.setattr("jupyter_model_service.client.aio.LISTEN_AFTER", 60.0)
    slow.answered.set()
    do(way, slow, "create", FOLDER, "demo")
    assert not slow.fake.stream_opened.is_set()
    assert [path for _, path, *_ in slow.fake.requests] == ["api/v1/services"]


def test_what_on_copy_raises_gives_the_call_up(way: str, slow: Slow) -> None:
    class Enough(Exception):
        pass

    def on_copy(info: wire.CopyInfo) -> None:
        raise Enough

    slow.says(copy(1), copy(2))
    with pytest.raises(Enough):
        do(way, slow, "create", FOLDER, on_copy=on_copy)


def test_a_look_that_survives_its_cancellation_is_cancelled_again() -> None:
    """As ``wait_for`` did before Python 3.12: a call that was answered would otherwise not return."""

    async def body() -> None:
        async def stubborn() -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(stepping.end(task), 10)
        assert task.cancelled()

    asyncio.run(body())
