"""What ``deploy`` does before there is a service to follow, in words and from its first moment on: loading PyTorch and
following a model takes ten seconds and more, in which silence would look like a hang."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..client.units import show_duration
from ..commands import Observer
from . import html
from .following import CardWatcher, Place
from .html import tag

__all__ = ["Steps"]

TICK = 0.5  # seconds between two looks of the clock


class Steps:
    """The observer of ``deploy``: the one it is made of, but the steps end where following begins.

    In a notebook they are a card that stays current and becomes one line; elsewhere each is a line, with the time since
    the beginning.
    """

    def __init__(self, observer: Observer, name: str, place: Callable[[], Place] = Place) -> None:
        self._observer = observer
        self._name = name
        self._began = time.monotonic()
        self._told: list[str] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()  # nothing is shown after the last line
        self._place = place() if isinstance(observer, CardWatcher) else None
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def tell(self, what: str) -> None:
        """``what`` goes on from now: ``saving``."""
        line = f"{show_duration(time.monotonic() - self._began):>12}  {what}"
        self._told.append(what)
        if self._place is None:
            self._observer.notice(line)
            return
        self._show()
        if self._thread is None:
            run = contextvars.copy_context().run  # outputs belong to the cell, else they would go astray
            self._thread = threading.Thread(target=run, args=(self._keep_current,), daemon=True)
            self._thread.start()

    @contextmanager
    def following(self, name: str, verb: str) -> Iterator[None]:
        self.end(f"{self._name}: checked and saved")
        with self._observer.following(name, verb):
            yield

    def end(self, told: str) -> None:
        """With one line that stays. The first end holds."""
        with self._lock:
            if self._ended.is_set():
                return
            self._ended.set()
            if self._place is not None and self._told:
                text = f"{told} after {self._elapsed()}"
                self._place.show({"text/plain": text, "text/html": tag("div", text, style=f"color:{html.FAINT}")})
        if self._thread is not None:
            self._thread.join(2)

    def failed(self) -> None:
        self.end(f"{self._name}: ended while {self._told[-1]}" if self._told else "")

    def _keep_current(self) -> None:
        while not self._ended.wait(TICK):
            self._show()

    def _show(self) -> None:
        with self._lock:
            if self._place is None or self._ended.is_set():
                return
            text = f"{self._name}: {self._told[-1]}  ({self._elapsed()})"
            self._place.show({"text/plain": text, "text/html": html.card(text)})

    def _elapsed(self) -> str:
        return show_duration(time.monotonic() - self._began)
