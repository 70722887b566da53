"""What is shown while a service is followed: one line per change, or on a terminal a display that stays current."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any

from ..client.units import show_duration, show_size
from ..commands import UsageError
from .audit import entry_line
from .news import ENDED, News, under_way, waiting
from .render import describe_replica, event_line
from .scaling import decision_block, pictured
from .text import Paint, clean, clean_log, colours

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Mapping[str, Any]
COPYING = "copying the folder's files"
_SHOWN = 12  # replicas of one service that a display has room for


class Watcher:
    """The observer of a terminal session. Progress and notices go to ``errors`` (stderr), so that what a program reads
    from ``output`` is the result alone."""

    quiet_seconds = 15.0  # after which a line says that it goes on
    copy_seconds = 5.0  # between two lines about a copy

    def __init__(self, output: IO[str], errors: IO[str], *, as_json: bool) -> None:
        self._output = output
        self._errors = errors
        self._as_json = as_json
        self._paint = Paint(colours(output))
        self._began = 0.0
        self._news = News()
        self._spoken = 0.0  # monotonic, of the last line
        self._still = "asking the gateway"  # what a line would say while nothing changes
        self._last_replica: str | None = None

    # --- while a folder is copied --------------------------------------------------------------------------

    @contextlib.contextmanager
    def copying(self) -> Iterator[Callable[[Json], None]]:
        self._begin()
        yield self._copied

    def _copied(self, copy: Json) -> None:
        """A line now and then, the first as soon as anything is copied: most folders are in no time, and before the
        first file others may have their turn."""
        now = time.monotonic()
        if not _begun(copy) and now - self._spoken < self.copy_seconds:
            return
        if self._still != COPYING or now - self._spoken >= self.copy_seconds:
            self._still = COPYING
            self._tell(copied(copy))

    # --- following a service -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def following(self, name: str, verb: str) -> Iterator[None]:
        self._begin()
        ended = threading.Event()
        thread = threading.Thread(target=self._say_still, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(1)

    def _begin(self) -> None:
        self._began = self._spoken = time.monotonic()
        self._news = News()
        self._still = "asking the gateway"

    def _say_still(self, ended: threading.Event) -> None:
        """A model that loads for 20 minutes changes nothing for 20 minutes: silence would look like a hang."""
        while not ended.wait(max(0.01, self._spoken + self.quiet_seconds - time.monotonic())):
            if time.monotonic() - self._spoken >= self.quiet_seconds:
                self._tell(f"still: {self._still}")

    def changed(self, service: Json) -> None:
        news = self._news.of(service)
        self._still = under_way(self._news.forward(service))
        for text in news:
            self._tell(text)

    def _tell(self, text: str) -> None:
        self._spoken = time.monotonic()
        self._say(f"{show_duration(self._spoken - self._began):>12}  {text}")

    # --- the rest ------------------------------------------------------------------------------------------

    def lines(self, answer: Json) -> None:
        if self._as_json:
            self._print(json.dumps(answer))
            return
        if answer["replica"] != self._last_replica:
            self._last_replica = answer["replica"]
            self._say(f"--- {answer['replica']} ---")
        if answer.get("lost"):
            self._say(f"--- {answer['lost']} older lines are no longer kept ---")
        terminal = self._output.isatty()
        for line in answer["lines"]:
            self._output.write(clean_log(line, terminal=terminal) + "\n")
        self._output.flush()

    def event(self, event: Json) -> None:
        self._print(json.dumps(event) if self._as_json else event_line(event, self._paint))

    def entry(self, entry: Json) -> None:
        self._print(json.dumps(entry) if self._as_json else entry_line(entry, self._paint))

    def decision(self, decision: Json) -> None:
        self._print(json.dumps(decision) if self._as_json else decision_block(decision, self._paint))

    def pictures(self) -> bool:
        return self._output.isatty() and pictured(self._output)

    def notice(self, sentence: str) -> None:
        self._say(clean(sentence))

    def confirm(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise UsageError("Nobody can be asked here: say --yes to delete without a question.", "delete")
        self._errors.write(f"{question} [y/N] ")
        self._errors.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _print(self, text: str) -> None:
        self._output.write(text + "\n")
        self._output.flush()

    def _say(self, text: str) -> None:
        self._errors.write(text + "\n")
        self._errors.flush()


class LiveWatcher(Watcher):
    """A display of what each replica is doing right now and for how long; failures stay above it as lines."""

    def __init__(self, output: IO[str], errors: IO[str], *, as_json: bool) -> None:
        super().__init__(output, errors, as_json=as_json)
        self._service: Json | None = None
        self._console: Console | None = None
        self._copy: str | None = None

    @contextlib.contextmanager
    def following(self, name: str, verb: str) -> Iterator[None]:
        self._begin()
        with self._live():
            yield
        self._console = None

    def _live(self) -> AbstractContextManager[object]:
        from rich.console import Console  # 60 ms, for terminals only
        from rich.live import Live
        from rich.spinner import Spinner

        self._console = Console(file=self._errors, highlight=False)
        self._spinner = Spinner("dots")
        return Live(get_renderable=self._display, console=self._console, refresh_per_second=8, transient=True)

    @contextlib.contextmanager
    def copying(self) -> Iterator[Callable[[Json], None]]:
        """The display begins with the first word about a copy: most folders are copied in no time."""
        with contextlib.ExitStack() as shown:
            self._begin()

            def tell(copy: Json) -> None:
                if self._console is None:
                    shown.enter_context(self._live())
                self._copy = copied(copy)

            yield tell
        self._console, self._copy = None, None

    def changed(self, service: Json) -> None:
        news = self._news.of(service)
        ended = {r["id"] for r in service["replica_list"] if r["phase"] in ENDED and r["reason"]}
        if self._console is not None:
            from rich.text import Text

            for text in news:
                if text.partition(" ")[0] in ended:
                    self._console.print(Text(text, style="red"))
        self._service = self._news.forward(service)

    def notice(self, sentence: str) -> None:
        if self._console is None:
            super().notice(sentence)
        else:
            from rich.text import Text

            self._console.print(Text(clean(sentence)))

    def _display(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        elapsed = show_duration(time.monotonic() - self._began)
        service = self._service
        if self._copy is not None:
            self._spinner.update(text=Text(f"{self._copy}  {elapsed}"))
            return self._spinner
        if service is None:
            self._spinner.update(text=Text(f"asking the gateway  {elapsed}"))
            return self._spinner
        counts = service["replicas"]
        head = f"{service['name']} is {service['state']}, {counts['ready']} of {counts['want']} ready"
        self._spinner.update(text=Text(f"{head}{waiting(service)}  {elapsed}"))
        alive = [replica for replica in service["replica_list"] if replica["phase"] not in ENDED]
        table = Table.grid(padding=(0, 2))
        now = time.time()
        for replica in alive[:_SHOWN]:
            style = "green" if replica["phase"] == "ready" else ""
            doing = Text(describe_replica(replica), style=style, no_wrap=True, overflow="ellipsis")
            table.add_row(Text("  " + replica["id"]), Text(show_duration(now - replica["since"])), doing)
        if len(alive) > _SHOWN:
            table.add_row(Text(f"  and {len(alive) - _SHOWN} more"))
        return Group(self._spinner, table)


def copied(copy: Json) -> str:
    """``copying the folder's files: 1,203 of 5,000 files, 120 MB of 300 MB``. What was expected is left out where it
    was too little, and figures where there are none yet."""
    if not _begun(copy) and copy.get("of_files") is None:
        return COPYING
    files, size = f"{copy['files']:,}", show_size(copy["bytes"])
    of_files, of_bytes = copy.get("of_files"), copy.get("of_bytes")
    if of_files is not None and of_bytes is not None and of_files >= copy["files"] and of_bytes >= copy["bytes"]:
        files, size = f"{files} of {of_files:,}", f"{size} of {show_size(of_bytes)}"
    return f"{COPYING}: {files} {'file' if files == '1' else 'files'}, {size}"


def _begun(copy: Json) -> bool:
    return bool(copy["files"] or copy["bytes"])


def watcher_for(output: IO[str], errors: IO[str], *, as_json: bool) -> Watcher:
    """The display needs a terminal that can move its cursor; everything else gets lines."""
    kind = LiveWatcher if colours(errors) or (errors.isatty() and _can_move()) else Watcher
    return kind(output, errors, as_json=as_json)


def _can_move() -> bool:
    import os

    return os.environ.get("TERM") not in (None, "", "dumb")
