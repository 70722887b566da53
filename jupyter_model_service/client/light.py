"""Synchronous calls on the standard library: one connection per call, nothing heavy to import.

The command line answers in a third of the time that importing httpx and pydantic alone would take, and a stream can
be read with a deadline of its own for every piece, which httpx does not offer. No proxy is used.
"""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import GatewayUnavailable, NotFound, Unauthenticated
from . import calls
from .address import Locator
from .calls import Call, Key
from .events import RawChange, Reconnect, StreamParser
from .exchange import (
    ANSWER_LIMIT,
    CONNECT_SECONDS,
    STREAM_SILENCE,
    Answer,
    Broken,
    Request,
    Unreachable,
    conversation,
    refused,
    stream_request,
)
from .folders import AskMode, Steps
from .patience import TICK, Patience, Tell
from .waiting import Following


class Connection:
    """Plain JSON in and out; the typed :class:`~.sync.Client` and the command line both stand on it.

    Safe to use from several threads: nothing is shared but the address.
    """

    def __init__(self, locator: Locator) -> None:
        self.locator = locator
        self._owner: str | None = None
        self._mode: str | None = None

    def send(self, call: Call[Any], tell: Tell = lambda copy: None) -> Any:
        """The answer's plain JSON. ``tell`` is called with what is heard of the copy that the answer waits for."""
        if call.copied is None:
            return self._send(call, None)
        patience = Patience(self, call.copied, tell)
        try:
            return self._send(call, patience)
        finally:
            patience.close()

    def _send(self, call: Call[Any], patience: Patience | None) -> Any:
        talk = conversation(self.locator, call)
        try:
            request = next(talk)
            while True:
                try:
                    answer = _exchange(request, patience)
                except (Unreachable, Broken) as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(answer)
        except StopIteration as end:
            return end.value

    def complete(self, steps: Steps) -> dict[str, Any]:
        """What a gateway has to be told, with what only a hub's has to be told besides."""
        outcome: Any = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, AskMode):
                    outcome = self.mode()
                else:
                    outcome = self.send(step) if isinstance(step, Call) else step.read()
        except StopIteration as end:
            return dict(end.value)

    def mode(self) -> str:
        """``embedded`` or ``hub``."""
        if self._mode is None:
            self._mode = str(self.send(calls.info())["mode"]) if self.locator.explicit else "embedded"
        return self._mode

    def last_logs(self, key: Key, replica: str | None, tail: int) -> Any:
        """The end of a replica's log, as ``LogAnswer`` in plain JSON."""
        pages = calls.last_logs(key, replica, tail)
        try:
            call = next(pages)
            while True:
                call = pages.send(self.send(call))
        except StopIteration as end:
            return end.value

    def key(self, name: str) -> Key:
        """``(owner, name)``; a name without an owner is one of the caller's own."""
        owner, name = calls.split_name(name)
        if owner is None:
            owner = self.owner()
        return owner, name

    def owner(self) -> str:
        if self._owner is None:
            self._owner = str(self.send(calls.info())["owner"])
        return self._owner

    def watch(self, deadline: float | None = None) -> Iterator[RawChange]:
        """Changes as they happen, until the monotonic ``deadline``. Connects again by itself, with a ``resync``
        after every connection; raises ``GatewayUnavailable`` when the gateway stays away."""
        reconnect = Reconnect()
        while not _over(deadline):
            try:
                for change in self._stream(deadline):
                    reconnect.heard()
                    yield change
            except (Unreachable, Broken, GatewayUnavailable) as error:
                pause = reconnect.lost(time.monotonic(), error)
                time.sleep(pause if deadline is None else min(pause, max(0.0, deadline - time.monotonic())))
                self.locator.forget()

    def changes(self, opened: Callable[[socket.socket], None]) -> Iterator[RawChange]:
        """Of one connection, as long as it lasts; ``opened`` gets its socket."""
        return self._stream(None, opened)

    def _stream(
        self, deadline: float | None, opened: Callable[[socket.socket], None] = lambda sock: None
    ) -> Iterator[RawChange]:
        address = self.locator.current()
        parser = StreamParser()
        with _open(stream_request(address), deadline, opened=opened) as (response, read):
            if response.status != 200:
                answer = Answer(response.status, _headers(response), response.read(ANSWER_LIMIT))
                error = refused(address, answer)
                if isinstance(error, Unauthenticated):
                    raise Broken(error.message)  # a restarted gateway has another token
                raise error
            while not _over(deadline):
                try:
                    chunk = read()
                except TimeoutError as error:
                    if _over(deadline):
                        return
                    raise Broken(f"nothing was heard for {STREAM_SILENCE:g} s") from error
                if not chunk:
                    raise Broken("the event stream ended")
                yield from parser.feed(chunk)

    def follow(self, following: Following) -> Iterator[Mapping[str, Any]]:
        """Each new state of the service, until ``following.finished()``. Raises ``WaitTimeout``, and ``NotFound``
        when the service is deleted by somebody else."""
        deadline = time.monotonic() + following.seconds
        if self._look(following):
            yield following.last or {}
        if following.finished():
            return
        for change in self.watch(deadline):
            if change.kind == "resync":
                new = self._look(following)
            elif change.key != following.name:
                continue
            elif change.kind == "service":
                new = following.take(change.data)
            elif change.kind == "removed":
                following.gone()
                return
            else:
                continue
            if new:
                yield following.last or {}
            if following.finished():
                return
        raise following.late()

    def _look(self, following: Following) -> bool:
        try:
            return following.take(self.send(calls.get(following.key)))
        except NotFound:
            following.gone()
            return False


# --- the socket ------------------------------------------------------------------------------------------


def _exchange(request: Request, patience: Patience | None = None) -> Answer:
    deadline = time.monotonic() + request.seconds
    with _open(request, deadline, patience=patience) as (response, read):
        pieces, size = [], 0
        try:
            while piece := read():
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_LIMIT:
                    raise Broken("the answer is too large")
        except TimeoutError as error:
            raise Broken(f"not complete after {request.seconds:g} s") from error
        return Answer(response.status, _headers(response), b"".join(pieces))


def _wait_for_answer(sock: socket.socket, deadline: float, patience: Patience) -> None:
    """Until its first byte. Bytes of TLS that carry none of it end the wait, too: then the socket's own limit holds."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while not selector.select(TICK):
            patience.tick()
            if time.monotonic() > deadline:
                raise TimeoutError


@contextlib.contextmanager
def _open(
    request: Request,
    deadline: float | None,
    *,
    patience: Patience | None = None,
    opened: Callable[[socket.socket], None] = lambda sock: None,
) -> Iterator[tuple[http.client.HTTPResponse, Callable[[], bytes]]]:
    """Sends the request; gives the response, and a function that reads the next piece of its body (empty at the end,
    ``TimeoutError`` at the deadline or after ``request.seconds`` of silence)."""
    parts = urlsplit(request.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    left = request.seconds if deadline is None else min(request.seconds, max(0.01, deadline - time.monotonic()))
    connection = kind(parts.hostname or "", parts.port, timeout=min(CONNECT_SECONDS, left))
    try:
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(error.strerror or str(error) or type(error).__name__) from error
        sock = connection.sock
        sock.settimeout(left)
        opened(sock)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(request.method, target, request.body, dict(request.headers))
            if patience is not None and deadline is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                _wait_for_answer(sock, deadline, patience)
            response = connection.getresponse()
        except TimeoutError as error:
            raise Broken(f"no answer within {left:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Broken(str(error) or type(error).__name__) from error

        def read() -> bytes:
            if deadline is not None:
                sock.settimeout(min(request.seconds, max(0.01, deadline - time.monotonic())))
            try:
                piece = response.read1(1 << 16)
                if not piece and response.length:  # read1 takes an early end for the end
                    raise Broken(f"{response.length} bytes of it are missing")
                return piece
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise Broken(str(error) or type(error).__name__) from error

        try:
            yield response, read
        finally:
            response.close()
    finally:
        connection.close()


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
