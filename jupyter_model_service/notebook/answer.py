"""What a model answered: for code with ``.status``, ``.json()`` and the rest, for people as text and as HTML."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ..cli.text import clean, clean_log, moment
from . import html
from .html import Html
from .masking import masked

__all__ = ["Answer", "Events"]

_SHOWN = 20_000  # characters of an answer
_IMAGE = 5 << 20  # bytes of an answer that is a picture


class Events:
    """Text of an event stream in, the data of its events out."""

    def __init__(self) -> None:
        self._rest: list[str] = []  # of a line that has no end yet; joined once, however many pieces it comes in
        self._data: list[str] = []

    def feed(self, text: str) -> list[str]:
        self._rest.append(text)
        if "\n" not in text:
            return []
        *lines, rest = "".join(self._rest).replace("\r\n", "\n").split("\n")
        self._rest = [rest]
        found = []
        for line in lines:
            name, _, value = line.partition(":")
            if not line and self._data:
                found.append("\n".join(self._data))
                self._data = []
            elif name == "data":
                self._data.append(value.removeprefix(" "))
        return found


class _Text:
    """A text that comes in pieces. It is joined when it is asked for: adding each to the one before copies 18 GB for
    6,000 pieces of 1 kB."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._start: list[str] = []  # what is shown, so that showing it joins nothing
        self.length = 0

    def add(self, piece: str) -> None:
        if self.length < _SHOWN:
            self._start.append(piece)
        self._pieces.append(piece)
        self.length += len(piece)

    def start(self) -> str:
        """Its first ``_SHOWN`` characters."""
        self._start = ["".join(self._start)[:_SHOWN]]
        return self._start[0]

    def whole(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return "".join(self._pieces)


class Answer:
    """What the model answered. ``first_byte`` is when its body began, ``seconds`` how long it all took; ``events`` the
    data of each event, where it is an event stream; ``at`` when it began (seconds since 1970). ``note`` is a word about
    what was sent."""

    def __init__(self, called: str, status: int, headers: Mapping[str, str], *, note: str = "") -> None:
        self.called = called
        self.status = status
        self.headers = dict(headers)
        self.content = b""
        self._text = _Text()
        self._told = _Text()
        self.events: list[str] = []
        self.first_byte: float | None = None
        self.seconds = 0.0
        self.note = note
        self.at = time.time()
        #: How it ended before its end: ``broke off`` or ``interrupted``.
        self.ended = ""
        self.printed = False

    @property
    def text(self) -> str:
        return self._text.whole()

    @property
    def told(self) -> str:
        """What is read in an answer: the text, or what the events of a chat come to."""
        return self._told.whole()

    @property
    def cut(self) -> bool:
        """Whether more came than is shown."""
        return self._told.length > _SHOWN

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def streamed(self) -> bool:
        return self.kind == "text/event-stream"

    def json(self) -> Any:
        """The body as JSON; ``ValueError`` when it is none."""
        return json.loads(self.text)

    def head(self) -> str:
        return masked(clean(f"{self.called}: {self.status} {self._how()}"))

    def _how(self) -> str:
        """All but the status: of what kind, how fast, and when."""
        first = "" if self.first_byte is None else f", the first byte after {self.first_byte:.3g} s"
        told = f"{self.kind} in {self.seconds:.3g} s{first}".strip()
        if self.ended:
            told = f"{self.kind}, {self.ended} after {self.seconds:.3g} s".removeprefix(", ")
        return f"{told} ({moment(self.at)})"

    def body(self) -> str:
        """For people, cut where it is long."""
        told = self._told.start()
        if self.kind.endswith("json") and not self.cut:
            try:
                told = json.dumps(json.loads(told), indent=2, ensure_ascii=False)
            except ValueError:
                pass  # then as it is
        if self.content and not self.readable:
            return f"{len(self.content)} bytes, which .content has."
        cut = f"\n… ({self._told.length} characters in all, which .text has)" if self.cut else ""
        return masked("\n".join(clean_log(line, terminal=True) for line in told[:_SHOWN].split("\n")) + cut)

    @property
    def readable(self) -> bool:
        return not self.kind.startswith(("image/", "audio/", "video/")) and self.kind != "application/octet-stream"

    def __repr__(self) -> str:
        note = f"\n({masked(self.note)})" if self.note else ""
        return self.head() + note if self.printed else f"{self.head()}{note}\n{self.body()}".rstrip()

    def html(self) -> Html:
        head = html.join([self._status(), Html("&ensp;"), self.called])
        note = html.tag("div", self.note) if self.note else ""
        foot = html.tag("div", self._how(), style=f"font-size:smaller;color:{html.FAINT};margin-top:4px")
        return html.card(head, note, html.pre(self.body()), foot)

    def _status(self) -> Html:
        """In the colour of how it went; a status of 200 is no success where the answer has no end."""
        if self.ended:
            return html.state(self.ended)
        named = self.status in HTTPStatus._value2member_map_
        words = f"{self.status} {HTTPStatus(self.status).phrase}" if named else str(self.status)
        return html.state(words, like="ready" if self.ok else "failed")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        if self.kind in ("image/png", "image/jpeg") and len(self.content) <= _IMAGE:
            return {"text/plain": repr(self), self.kind: base64.b64encode(self.content).decode()}
        return {"text/plain": repr(self), "text/html": self.html()}

    # --- while it comes ------------------------------------------------------------------------------------

    def take(self, piece: str, events: Events) -> str:
        """What is new for a reader."""
        self._text.add(piece)
        if not self.streamed:
            new = piece
        else:
            found = events.feed(piece)
            self.events += found
            new = "".join(map(_said, found))
        self._told.add(new)
        return new


def _said(event: str) -> str:
    """What an event of a chat adds to the answer; of any other, its data as a line."""
    if event == "[DONE]":
        return ""
    try:
        choice = json.loads(event)["choices"][0]
        said = choice["delta"].get("content") if "delta" in choice else choice["text"]
        return "" if said is None else str(said)
    except (ValueError, LookupError, TypeError, AttributeError):
        return event + "\n"
