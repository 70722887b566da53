"""Waiting for an answer that comes when a folder is copied, perhaps hours later: what is heard of the copy meanwhile,
and whether the gateway lives at all. A call that is answered soon costs nothing of this."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import GatewayUnavailable, ModelServiceError
from .calls import Copied, read_copy
from .events import RawChange, Reconnect
from .exchange import Broken, Unreachable

__all__ = ["LISTEN_AFTER", "TICK", "OnCopy", "Patience", "Tell", "reading"]

LISTEN_AFTER = 1.0  # seconds without an answer
TICK = 0.2  # seconds between two looks at what was heard
Tell = Callable[[Mapping[str, Any]], None]
if TYPE_CHECKING:
    from ..wire import CopyInfo

    OnCopy = Callable[[CopyInfo], None]
else:
    OnCopy = object  # pydantic is imported with the first answer


def reading(on_copy: OnCopy | None) -> Tell:
    """What is told as plain JSON, as ``CopyInfo``."""
    return (lambda copy: on_copy(read_copy(copy))) if on_copy is not None else (lambda copy: None)


class Stream(Protocol):
    def owner(self) -> str: ...
    def changes(self, opened: Callable[[socket.socket], None]) -> Iterator[RawChange]: ...


class Patience:
    """For one call. ``tell`` gets each ``CopyInfo`` (plain JSON) about its copy, in the thread that waits."""

    def __init__(self, stream: Stream, copied: Copied, tell: Tell) -> None:
        self._stream = stream
        self._copied = copied
        self._tell = tell
        self._began = time.monotonic()
        self._heard: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._socket: socket.socket | None = None
        self._lost: GatewayUnavailable | None = None

    def tick(self) -> None:
        """Called while there is no answer. Raises ``Broken`` when the gateway has been silent for so long that none
        will come."""
        if self._thread is None and time.monotonic() - self._began >= LISTEN_AFTER:
            self._thread = threading.Thread(target=self._listen, name="copy progress", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Empty):
            while True:
                self._tell(self._heard.get_nowait())
        if self._lost is not None:
            raise Broken(self._lost.message)

    def close(self) -> None:
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        if self._thread is not None:
            self._thread.join(1.0)

    def _listen(self) -> None:
        reconnect = Reconnect()
        reconnect.heard()
        while not self._ended.is_set():
            try:
                self._take_changes(reconnect)
            except (Unreachable, Broken, GatewayUnavailable) as error:
                try:
                    pause = reconnect.lost(time.monotonic(), error)
                except GatewayUnavailable as lost:
                    self._lost = lost
                    return
                self._ended.wait(pause)
            except ModelServiceError:
                return  # nothing to be heard here; the answer will come all the same

    def _take_changes(self, reconnect: Reconnect) -> None:
        owner = self._stream.owner()
        for change in self._stream.changes(self._opened):
            reconnect.heard()
            if self._ended.is_set():
                return
            if change.kind == "copying" and not change.data.get("over") and self._copied.fits(change.data, owner):
                self._heard.put(change.data)

    def _opened(self, sock: socket.socket) -> None:
        self._socket = sock
