"""``%%model_service NAME [path]``: the cell is the body of a call, and its answer is shown as it comes."""

from __future__ import annotations

import argparse
import base64
import codecs
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from ..cli.text import clean, clean_log
from ..client.endpoint import interrupted
from ..client.sync import Client
from ..commands import StoppedWatching, values
from ..commands.parser import Parser, UsageError, name_argument
from ..errors import InvalidRequest
from . import html
from .cards import MAGIC
from .following import Place
from .html import Html
from .masking import masked

__all__ = ["Answer", "Events", "build_parser", "call"]

_SHOWN = 20_000  # characters of an answer
_IMAGE = 5 << 20  # bytes of an answer that is a picture
_EACH = 0.1  # seconds between two states of what is shown
_SECONDS = 300.0


@values.checked
def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise InvalidRequest(f"{text[:60]!r} is no header: write NAME:VALUE.")
    return name.strip(), value.strip()


def build_parser() -> Parser:
    parser = Parser(
        prog=f"%{MAGIC}",
        description="Send the cell to a service, with your own rights: no token is needed. A cell that is JSON is sent "
        "as JSON, any other as text; one that is blank as a GET. The answer is shown as it comes, and given back.",
    )
    name_argument(parser)
    parser.add_argument("path", metavar="PATH", nargs="?", default="", help="below the endpoint, such as predict?top=3")
    parser.add_argument("--method", metavar="METHOD", help="default: POST, and GET for a blank cell")
    parser.add_argument(
        "--header",
        metavar="NAME:VALUE",
        dest="headers",
        action="append",
        default=[],
        type=_header,
        help="may be repeated",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=values.patience,
        default=_SECONDS,
        help="give up when nothing came for so long, such as 90s (default: 5m)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="the gateway's folder")
    return parser


class Events:
    """Text of an event stream in, the data of its events out."""

    def __init__(self) -> None:
        self._rest = ""
        self._data: list[str] = []

    def feed(self, text: str) -> list[str]:
        *lines, self._rest = (self._rest + text).replace("\r\n", "\n").split("\n")
        found = []
        for line in lines:
            name, _, value = line.partition(":")
            if not line and self._data:
                found.append("\n".join(self._data))
                self._data = []
            elif name == "data":
                self._data.append(value.removeprefix(" "))
        return found


class Answer:
    """What the model answered. ``first_byte`` is when its body began, ``seconds`` how long it all took; ``events`` the
    data of each event, where it is an event stream."""

    def __init__(self, called: str, status: int, headers: Mapping[str, str]) -> None:
        self.called = called
        self.status = status
        self.headers = dict(headers)
        self.content = b""
        self.text = ""
        self.events: list[str] = []
        self.first_byte: float | None = None
        self.seconds = 0.0
        #: What is read in an answer: the text, or what the events of a chat come to.
        self.told = ""
        self._printed = False

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
        first = "" if self.first_byte is None else f", the first byte after {self.first_byte:.3g} s"
        return masked(clean(f"{self.called}: {self.status} {self.kind} in {self.seconds:.3g} s{first}"))

    def body(self) -> str:
        """For people, cut where it is long."""
        told = self.told
        if self.kind.endswith("json") and len(told) <= _SHOWN:
            try:
                told = json.dumps(json.loads(told), indent=2, ensure_ascii=False)
            except ValueError:
                pass  # then as it is
        if self.content and not self.readable:
            return f"{len(self.content)} bytes, which .content has."
        cut = f"\n… ({len(told)} characters in all, which .text has)" if len(told) > _SHOWN else ""
        return masked("\n".join(clean_log(line, terminal=True) for line in told[:_SHOWN].split("\n")) + cut)

    @property
    def readable(self) -> bool:
        return not self.kind.startswith(("image/", "audio/", "video/")) and self.kind != "application/octet-stream"

    def __repr__(self) -> str:
        return self.head() if self._printed else f"{self.head()}\n{self.body()}".rstrip()

    def _html(self) -> Html:
        head = html.join([html.state("ready" if self.ok else "failed"), Html("&ensp;"), self.head()])
        return html.card(head, html.pre(self.body()))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        if self.kind in ("image/png", "image/jpeg") and len(self.content) <= _IMAGE:
            return {"text/plain": repr(self), self.kind: base64.b64encode(self.content).decode()}
        return {"text/plain": repr(self), "text/html": self._html()}

    # --- while it comes ------------------------------------------------------------------------------------

    def take(self, piece: str, events: Events) -> str:
        """What is new for a reader."""
        self.text += piece
        if not self.streamed:
            new = piece
        else:
            found = events.feed(piece)
            self.events += found
            new = "".join(map(_said, found))
        self.told += new
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


def call(arguments: argparse.Namespace, cell: str, *, place: Place | None, write: Callable[[str], object]) -> Answer:
    """Send it and read the answer to its end. It is shown in ``place`` as it comes; where there is none, what is
    streamed goes to ``write``. Raises the errors of the tree, and ``StoppedWatching`` for an interrupted one."""
    path = quote(arguments.path, safe="/?&=%+:,;@!$'()*~-._")
    method = (arguments.method or ("POST" if cell.strip() else "GET")).upper()
    if not (method.isascii() and method.isalpha()):
        raise UsageError(f"{method[:40]!r} is no method: write one such as GET, POST or PUT.")
    headers = {} if not cell.strip() else {"Content-Type": _kind_of(cell)}
    headers.update(arguments.headers)
    options: dict[str, Any] = {"headers": headers, **({"content": cell.encode()} if cell.strip() else {})}
    called = f"{method} {arguments.name}/{path.lstrip('/')}"
    began = time.monotonic()
    with (
        Client(data_dir=arguments.data_dir) as client,
        client.stream(method, arguments.name, path, timeout=arguments.timeout, **options) as response,
    ):
        answer = Answer(called, response.status_code, response.headers)
        reading = _Reading(answer, response, began, place, write)
        try:
            reading.run()
        except httpx.TransportError as error:
            raise interrupted(error) from error
        except KeyboardInterrupt:
            raise StoppedWatching(f"{called}: interrupted; what had come until then is shown.") from None
        finally:
            answer.seconds = time.monotonic() - began
            reading.show_end()
    return answer


def _kind_of(cell: str) -> str:
    try:
        json.loads(cell)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"


class _Reading:
    """Reads one answer and shows it meanwhile."""

    def __init__(
        self,
        answer: Answer,
        response: httpx.Response,
        began: float,
        place: Place | None,
        write: Callable[[str], object],
    ) -> None:
        self._answer = answer
        self._response = response
        self._began = began
        self._place = place
        self._write = write
        self._shown = False
        self._whole = False

    def run(self) -> None:
        answer, events = self._answer, Events()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces: list[bytes] = []
        last = time.monotonic()
        try:
            for piece in self._response.iter_bytes():
                if answer.first_byte is None:
                    answer.first_byte = time.monotonic() - self._began
                pieces.append(piece)
                new = answer.take(decoder.decode(piece), events) if answer.readable else ""
                if self._place is None and answer.streamed:
                    self._write("\n".join(clean_log(line, terminal=True) for line in new.split("\n")))
                    answer._printed = True
                elif self._place is not None and time.monotonic() - last >= _EACH and answer.readable:
                    last = time.monotonic()
                    self._show(self._place)
            answer.take(decoder.decode(b"", True), events)
            self._whole = True
        finally:
            answer.content = b"".join(pieces)

    def _show(self, place: Place) -> None:
        answer = self._answer
        answer.seconds = time.monotonic() - self._began
        self._shown = True
        place.show({"text/plain": answer.body(), "text/html": html.card(f"{answer.called} …", html.pre(answer.body()))})

    def show_end(self) -> None:
        """The whole answer is shown by the cell; of one that broke off, what had come stays here."""
        answer = self._answer
        if self._place is None:
            if answer._printed:
                self._write("\n")
        elif not self._whole:
            self._place.show({"text/plain": repr(answer), "text/html": answer._html()})
        elif self._shown:
            self._place.show({"text/plain": answer.head(), "text/html": html.tag("div", answer.head())})
