"""What goes out slowly: files that are made while they are sent, and long answers.

For whoever takes nothing of what she asked for little is kept, and not for long; others she does not hold up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..errors import TooMuchAtOnce
from .download import Download

__all__ = ["Sending"]

log = logging.getLogger(__name__)

PIECE = 256 << 10  # bytes of a long answer that are given to the connection at once
_SHORT = 32 << 10  # bytes of an answer of which nothing is kept account


class Sending:
    """Of one application. ``of_services`` and ``of_everything``: how many files of single services, and of all of them,
    may be under way at once, ``of_one`` how many of one caller: owners do not keep auditors out. ``unread``: bytes of
    long answers that wait for their readers, of one caller ``unread_of_one``. ``stalled``: seconds in which each piece
    of 256 KiB has to be taken: who is slower than that gets no more."""

    def __init__(
        self,
        *,
        of_services: int = 20,
        of_everything: int = 10,
        of_one: int = 2,
        unread: int = 128 << 20,
        unread_of_one: int = 8 << 20,
        stalled: float = 30.0,
    ) -> None:
        self._most = {False: of_services, True: of_everything}
        self._of_one = of_one
        self._files: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
        self._unread: Counter[str] = Counter()
        self._most_unread = unread
        self._unread_of_one = unread_of_one
        self._stalled = stalled

    @property
    def files(self) -> int:
        """That are under way."""
        return sum(each.total() for each in self._files.values())

    @property
    def unread(self) -> int:
        """Bytes of long answers that wait for their readers."""
        return self._unread.total()

    def check(self, whose: str) -> None:
        """Before anything is made for her: ``TooMuchAtOnce`` while what she asked for before waits for her."""
        if self._unread[whose] >= self._unread_of_one:
            raise TooMuchAtOnce(
                f"Answers of {self._unread[whose] >> 20} MiB to {whose or 'you'} are not read yet: read them, or close "
                "their connections, and ask again."
            )

    async def file(
        self, handler: RequestHandler, file: Download, whose: str, still: Callable[[], Awaitable[object]]
    ) -> None:
        """``still`` raises when whoever takes it may not read it any more: it may take long. What cannot be sent to its
        end is broken off, so that nobody takes a part for the whole. ``TooMuchAtOnce``: nothing is read for it."""
        with self._place(file.of_everything, whose):
            async with aclosing(file.pieces) as pieces:
                piece = await anext(pieces, None)  # where that fails, it can still be said
                handler.set_header("Content-Type", file.kind)
                handler.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
                try:
                    while piece is not None:
                        handler.write(piece)
                        await asyncio.wait_for(handler.flush(), self._stalled)
                        await still()
                        piece = await anext(pieces, None)
                except Exception as error:
                    log.warning("%s was not sent to its end: %s", file.name, error or type(error).__name__)
                    handler.detach().close()
                    return
                handler.finish()

    @contextmanager
    def _place(self, of_everything: bool, whose: str) -> Iterator[None]:
        files, most = self._files[of_everything], self._most[of_everything]
        if self._files[False][whose] + self._files[True][whose] >= self._of_one:
            raise TooMuchAtOnce(
                f"{self._of_one} downloads of {whose or 'yours'} are under way, and more may not be at once: take "
                "one to its end, or end it, and ask again."
            )
        if files.total() >= most:
            raise TooMuchAtOnce(f"There are {most} downloads under way already: ask again when one of them has ended.")
        files[whose] += 1
        try:
            yield
        finally:
            files[whose] -= 1
            if not files[whose]:
                del files[whose]

    async def answer(self, handler: RequestHandler, body: bytes | str, whose: str, *, refuses: bool) -> None:
        """Finish with ``body``. ``refuses``: ``TooMuchAtOnce`` where it does not go with what is not read yet; what was
        done is answered all the same."""
        body = body.encode() if isinstance(body, str) else body
        if len(body) <= _SHORT:
            handler.finish(body)
            return
        if refuses:
            self._refuse(len(body), whose)
        handler.set_header("Content-Length", str(len(body)))
        left = len(body)
        self._unread[whose] += left
        try:
            for start in range(0, len(body), PIECE):
                piece = body[start : start + PIECE]
                handler.write(piece)
                await asyncio.wait_for(handler.flush(), self._stalled)
                left -= len(piece)
                self._unread[whose] -= len(piece)
            handler.finish()
        except (asyncio.TimeoutError, TimeoutError, StreamClosedError) as error:  # two classes before Python 3.11
            if not isinstance(error, StreamClosedError):
                log.warning("An answer of %d bytes was not taken by %s", len(body), whose or "nobody who is known")
            handler.detach().close()
        finally:
            self._unread[whose] -= left
            if not self._unread[whose]:
                del self._unread[whose]

    def _refuse(self, size: int, whose: str) -> None:
        hers = self._unread[whose]
        if hers and hers + size > self._unread_of_one:
            self.check(whose)
            raise TooMuchAtOnce(
                f"This answer has {size >> 10} KiB, and {hers >> 10} KiB of others to {whose or 'you'} are not read "
                "yet: read them, or close their connections, and ask again."
            )
        if self.unread and self.unread + size > self._most_unread:
            raise TooMuchAtOnce("Too many long answers wait for their readers: ask again soon.")
