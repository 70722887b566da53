"""The card that stays current while a verb goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from jupyter_model_service.commands import UsageError
from jupyter_model_service.notebook.following import CardWatcher

from ..client.fake_gateway import replica, service


class Place:
    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def show(self, bundle: dict[str, str]) -> None:
        self.shown.append(dict(bundle))


class Watcher(CardWatcher):
    tick = 0.01
    each = 0.05


def watcher(place: Place, allow_stdin: bool = False) -> Watcher:
    return Watcher(SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=allow_stdin)), lambda: place)  # type: ignore[arg-type,return-value]


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.005)


LOADING = service(state="starting", ready=0, replica_list=[replica("demo-abc123", "loading", reason="<b>weights")])


def test_the_card_shows_each_phase_and_leaves_a_line_with_what_happened() -> None:
    place = Place()
    watching = watcher(place)
    with watching.following("ada/demo", "create"):
        assert "asking the gateway" in place.shown[0]["text/plain"]
        watching.changed(LOADING)
        until(lambda: "loading: <b>weights" in place.shown[-1]["text/plain"])
        assert "&lt;b&gt;weights" in place.shown[-1]["text/html"]
        assert "interrupting the kernel stops the watching" in place.shown[-1]["text/html"]
        before = len(place.shown)
        until(lambda: len(place.shown) > before + 2)  # its clock goes on while nothing happens
        watching.changed(service(replica_list=[replica("demo-abc123")]))
    last = place.shown[-1]
    assert last["text/plain"].startswith("create ada/demo: ready, 1 of 1 replicas ready after ")
    assert "<details>" in last["text/html"]
    assert "demo-abc123 loading" in last["text/html"]
    assert "<b>" not in last["text/html"]
    quiet = len(place.shown)
    time.sleep(0.1)
    assert len(place.shown) == quiet


def test_one_that_is_interrupted_says_that_it_is_not_watched() -> None:
    place = Place()
    watching = watcher(place)

    def interrupted() -> None:
        with watching.following("ada/demo", "scale"):
            watching.changed(LOADING)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert place.shown[-1]["text/plain"].startswith("scale ada/demo: not watched any more after ")


def test_a_copy_is_shown_from_its_first_word_on() -> None:
    place = Place()
    with watcher(place).copying():
        pass
    assert place.shown == []
    with watcher(place).copying() as tell:
        tell({"files": 3, "bytes": 2048, "of_files": 10, "of_bytes": 4096})
        assert "3 of 10 files" in place.shown[0]["text/plain"]
    assert "done after" in place.shown[-1]["text/plain"]


def test_nobody_is_asked_where_nobody_can_answer() -> None:
    with pytest.raises(UsageError, match="say --yes"):
        watcher(Place()).confirm("Delete it?")
