"""``%%model_service NAME [path]``: the cell is the body of a call, and its answer is shown as it comes."""

from __future__ import annotations

import argparse
import codecs
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from ..cli.text import clean_log
from ..client.endpoint import interrupted
from ..client.sync import Client
from ..commands import StoppedWatching, values
from ..commands.parser import Parser, UsageError, name_argument
from ..errors import InvalidRequest
from . import html
from .answer import Answer, Events
from .following import Place
from .masking import MaskedPieces
from .words import MAGIC

__all__ = ["Answer", "Events", "build_parser", "call"]

_EACH = 0.1  # seconds between two states of what is shown
_EACH_LATER = 1.0  # the same, where only the count of what is not shown changes
_SHARE = 10  # of the time at least so many parts go to reading, for one that goes to showing
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
        epilog=f"What else can be done with a service: {MAGIC} --help.",
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


def call(arguments: argparse.Namespace, cell: str, *, place: Place | None, write: Callable[[str], object]) -> Answer:
    """Send it and read the answer to its end. It is shown in ``place`` as it comes; where there is none, what is
    streamed goes to ``write``, without tokens. Raises the errors of the tree, and ``StoppedWatching`` for one
    that was interrupted."""
    if arguments.path.startswith("//"):
        raise InvalidRequest(f"{arguments.path[:60]!r} is no path below the endpoint: begin it with one / or none.")
    path = quote(arguments.path, safe="/?&=%+:,;@!$'()*~-._")
    method = (arguments.method or ("POST" if cell.strip() else "GET")).upper()
    if not (method.isascii() and method.isalpha()):
        raise UsageError(f"{method[:40]!r} is no method: write one such as GET, POST or PUT.")
    options, note = _sent(cell, dict(arguments.headers))
    called = f"{method} {arguments.name}/{path.lstrip('/')}"
    began = time.monotonic()
    with (
        Client(data_dir=arguments.data_dir) as client,
        client.stream(method, arguments.name, path, timeout=arguments.timeout, **options) as response,
    ):
        answer = Answer(called, response.status_code, response.headers, note=note)
        reading = _Reading(answer, response, began, place, write)
        try:
            reading.run()
        except httpx.TransportError as error:
            answer.ended = "broke off"
            raise interrupted(error) from error
        except KeyboardInterrupt:
            answer.ended = "interrupted"
            raise StoppedWatching(f"{called}: interrupted; what had come until then is shown.") from None
        finally:
            answer.seconds = time.monotonic() - began
            reading.show_end()
    return answer


def _sent(cell: str, headers: dict[str, str]) -> tuple[dict[str, Any], str]:
    """What ``Client.stream`` takes, and a word about it."""
    if not cell.strip():
        return {"headers": headers}, ""
    if "content-type" in map(str.lower, headers):
        return {"headers": headers, "content": cell.encode()}, ""
    kind, note = _kind_of(cell)
    return {"headers": {"Content-Type": kind, **headers}, "content": cell.encode()}, note


def _kind_of(cell: str) -> tuple[str, str]:
    """The media type that it is sent as; and a word about it, where JSON seems to have been meant."""
    try:
        json.loads(cell)
    except ValueError as error:
        where = f", line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        meant = cell.lstrip()[:1] in ("{", "[")
        return "text/plain; charset=utf-8", f"sent as text: not JSON{where}" if meant else ""
    return "application/json", ""


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
        self._pieces = MaskedPieces()

    def run(self) -> None:
        answer, events = self._answer, Events()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces: list[bytes] = []
        due = time.monotonic() + _EACH
        try:
            for piece in self._response.iter_bytes():
                if answer.first_byte is None:
                    answer.first_byte = time.monotonic() - self._began
                pieces.append(piece)
                new = answer.take(decoder.decode(piece), events) if answer.readable else ""
                if self._place is None and answer.streamed:
                    self._print(new)
                elif self._place is not None and (now := time.monotonic()) >= due and answer.readable:
                    self._show(self._place)
                    shown = time.monotonic()
                    due = shown + max(_EACH_LATER if answer.cut else _EACH, _SHARE * (shown - now))
            answer.take(decoder.decode(b"", True), events)
        finally:
            answer.content = b"".join(pieces)

    def _show(self, place: Place) -> None:
        answer = self._answer
        answer.seconds = time.monotonic() - self._began
        self._shown = True
        body = answer.body()
        place.show({"text/plain": body, "text/html": html.card(f"{answer.called} …", html.pre(body))})

    def _print(self, new: str) -> None:
        cleaned = "\n".join(clean_log(line, terminal=True) for line in new.split("\n"))
        if told := self._pieces.feed(cleaned):
            self._write(told)
        self._answer.printed = True

    def show_end(self) -> None:
        """The whole answer is shown by the cell; of one that broke off, what had come stays here."""
        answer = self._answer
        if self._place is None:
            if answer.printed:
                self._write(f"{self._pieces.end()}\n")
            elif answer.ended:
                self._write(f"{answer!r}\n")
        elif answer.ended:
            self._place.show({"text/plain": repr(answer), "text/html": answer.html()})
        elif self._shown:
            self._place.show({"text/plain": answer.head(), "text/html": html.tag("div", answer.head())})
