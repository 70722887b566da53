"""How far the copy of a folder is, for who waits for it and for the service's history; and until when it can be given
up. A copy is no service yet, or not a revision yet: nothing here is stored."""

from __future__ import annotations

from collections.abc import Callable

from ..core.sentences import counted, in_bytes
from ..ports import Clock
from .bus import Bus
from .views import CopyView

SHOWN_AFTER = 0.5  # seconds; most copies take less, and nobody need hear of them
HISTORY_FIRST = 2.0  # seconds until a copy is worth a line of history; then twice as long, and so on


class Copying:
    """One copy, from the moment that somebody waits for it. ``history`` takes a line now and then. ``decided``: its
    caller may leave, it is finished all the same."""

    def __init__(
        self,
        key: str,
        folder: str,
        clock: Clock,
        bus: Bus,
        history: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        self.decided = False
        self.key = key
        self.number = 1
        self._clock = clock
        self._bus = bus
        self._history = history
        self.began = self.heard_at = clock.monotonic()  # ``heard_at``: of the last word about the copy
        self._history_at = HISTORY_FIRST
        self._files = self._bytes = 0
        self._of: tuple[int, int] | None = None
        self._told = False

    def begins(self) -> None:
        """To copy, after its definition was read."""
        self.heard_at = self._clock.monotonic()

    def expected(self, files: int, size: int) -> None:
        self._of = files, size
        self.progress(0, 0)

    def progress(self, files: int, size: int) -> None:
        self.heard_at = self._clock.monotonic()
        self._files, self._bytes = files, size
        seconds = self.heard_at - self.began
        if seconds >= SHOWN_AFTER:
            self._tell(over=False)
        if seconds >= self._history_at:
            self._history_at = 2 * seconds
            self._history(
                f"copying the files of revision {self.number}: {counted(files, 'file')}, {in_bytes(size)} so far"
            )

    def over(self) -> None:
        if self._told:
            self._tell(over=True)

    def _tell(self, *, over: bool) -> None:
        self._told = True
        of_files, of_bytes = self._of if self._of is not None else (None, None)
        seconds = self._clock.monotonic() - self.began
        view = CopyView(self.key, self.folder, self.number, self._files, self._bytes, of_files, of_bytes, seconds, over)
        self._bus.copying(self.key, view)
