"""What is seen while a verb runs: in a notebook a card that stays current, elsewhere the command line's lines."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..cli.news import under_way
from ..cli.progress import Watcher, copied, watcher_for
from ..cli.text import clean
from ..client.units import show_duration
from ..commands import Observer, UsageError
from . import html
from .cards import service_card
from .html import tag
from .masking import masked_output
from .words import in_words

__all__ = ["CardWatcher", "Place", "observer_for", "somebody_there"]

Json = Mapping[str, Any]
Bundle = Mapping[str, str]


class Place:
    """One output of a cell, shown anew each time. Frontends that cannot change an output keep its first state."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, bundle: Bundle) -> None:
        if self._handle is None:
            from IPython.display import DisplayHandle

            make: Any = DisplayHandle  # which has no types
            self._handle = make()
            self._handle.display(dict(bundle), raw=True)
        else:
            self._handle.update(dict(bundle), raw=True)


def observer_for(shell: Any) -> Observer:
    """A kernel's outputs can be changed; on a terminal the command line's own display is right."""
    if getattr(shell, "kernel", None) is not None:
        return CardWatcher(shell)
    if sys.stdout.isatty():
        return watcher_for(sys.stdout, sys.stderr, as_json=False)
    return Watcher(masked_output(sys.stdout), masked_output(sys.stderr), as_json=False)


def somebody_there(shell: Any) -> bool:
    """Whether a person could answer or interrupt: nbconvert and papermill say that nobody can."""
    kernel = getattr(shell, "kernel", None)
    return sys.stdin.isatty() if kernel is None else bool(getattr(kernel, "_allow_stdin", False))


class CardWatcher(Watcher):
    """The observer of a notebook. ``place`` makes the output that the card is shown in."""

    tick = 0.2  # seconds between two looks at whether there is news
    each = 1.0  # seconds after which the card is shown anew for its clock alone
    each_later = 5.0  # the same, once a minute has passed: a model that loads for an hour is no flood of messages

    def __init__(self, shell: Any, place: Callable[[], Place] = Place) -> None:
        output = masked_output(sys.stdout)
        super().__init__(output, output, as_json=False)
        self._shell = shell
        self._make_place = place
        self._service: Json | None = None
        self._told: list[str] = []
        self._copying: str | None = None

    def _begin(self) -> None:
        super()._begin()
        self._service, self._told, self._copying = None, [], None

    # --- what is shown -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def following(self, name: str, verb: str) -> Iterator[None]:
        self._begin()
        place, how = self._make_place(), "not watched any more"
        try:
            with self._live(place, lambda: self._current(verb, name)):
                yield
            how = self._outcome(verb)
        finally:
            place.show(self._summary(f"{verb} {name}: {how} after {self._elapsed()}"))

    @contextlib.contextmanager
    def copying(self) -> Iterator[Callable[[Json], None]]:
        """The card begins with the first word about a copy: most folders are copied in no time."""
        self._begin()
        with contextlib.ExitStack() as stack:
            place = self._make_place()

            def tell(copy: Json) -> None:
                first, self._copying = self._copying is None, copied(copy)
                if first:
                    stack.enter_context(self._live(place, self._current_copy))

            yield tell
        if self._copying is not None:
            told = f"{clean(self._copying)}: done after {self._elapsed()}"
            place.show({"text/plain": told, "text/html": tag("div", told)})

    @contextlib.contextmanager
    def _live(self, place: Place, current: Callable[[], Bundle]) -> Iterator[None]:
        """Shows what is current until the end of the block, from a thread: the main one waits for the gateway. The
        thread belongs to the cell (its context), else its output would go astray."""
        place.show(current())
        ended = threading.Event()
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._refresh, place, current, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(2)

    def _refresh(self, place: Place, current: Callable[[], Bundle], ended: threading.Event) -> None:
        seen: object = None
        shown = time.monotonic()
        while not ended.wait(self.tick):
            now = time.monotonic()
            news = (self._service, self._copying)
            if news != seen or now - shown >= (self.each if now - self._began < 60 else self.each_later):
                seen, shown = news, now
                place.show(current())

    def changed(self, service: Json) -> None:
        elapsed = self._elapsed()
        self._told += [f"{elapsed:>12}  {text}" for text in self._news.of(service)]
        self._service = self._news.forward(service)

    def _elapsed(self) -> str:
        return show_duration(time.monotonic() - self._began)

    def _current(self, verb: str, name: str) -> Bundle:
        service = self._service
        if service is None:
            told = f"{verb} {name}: asking the gateway"
            return {"text/plain": told, "text/html": html.card(told)}
        clock = f"{verb}: {self._elapsed()} so far; interrupting the kernel stops the watching, not the service"
        foot = tag("div", clock, style=f"color:{html.FAINT};margin-top:6px")
        text = f"{in_words(under_way(service))}  ({self._elapsed()})"
        return {"text/plain": text, "text/html": service_card(service, foot, brief=True, at=time.time())}

    def _current_copy(self) -> Bundle:
        told = f"{clean(self._copying)}  ({self._elapsed()})"
        return {"text/plain": told, "text/html": html.card(told)}

    def _outcome(self, verb: str) -> str:
        service = self._service
        if verb == "delete" or service is None:
            return "done"
        counts = service["replicas"]
        return f"{service['state']}, {counts['ready']} of {counts['want']} replicas ready"

    def _summary(self, told: str) -> Bundle:
        """One line that stays, with what happened behind it: the result itself is shown by the cell."""
        if not self._told:
            return {"text/plain": told, "text/html": tag("div", told)}
        summary = tag("summary", told, style=f"color:{html.FAINT}")
        return {"text/plain": told, "text/html": tag("details", summary, html.pre(in_words("\n".join(self._told))))}

    # --- the rest ------------------------------------------------------------------------------------------

    def pictures(self) -> bool:
        return True

    def notice(self, sentence: str) -> None:
        self._say(in_words(clean(sentence)))

    def confirm(self, question: str) -> bool:
        if not somebody_there(self._shell):
            raise UsageError("Nobody can be asked here: say --yes to delete without a question.", "delete")
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
