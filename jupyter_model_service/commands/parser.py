"""The parser that the grammar is built on, and the arguments that many verbs share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from ..client.waiting import WAIT_SECONDS
from ..errors import ModelServiceError
from . import values

PROGRAM = "jupyter model-service"


class UsageError(ModelServiceError):
    """The line itself is wrong; ``verb`` is the one whose ``--help`` would tell."""

    code = "usage"
    status = 400

    def __init__(self, message: str, verb: str | None = None) -> None:
        super().__init__(message)
        self.verb = verb


class HelpShown(Exception):
    """Somebody asked for help: ``text`` is what to show."""

    def __init__(self, text: str) -> None:
        super().__init__("help was asked for")
        self.text = text


class _Format(argparse.HelpFormatter):
    """The same text on every terminal, wide enough for the longest verb."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=26, width=100)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises where the original prints and exits."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Format)
        super().__init__(**options, allow_abbrev=False)
        self._mixing = False
        self._given: Sequence[str] = ()

    @property
    def verb(self) -> str | None:
        return self.prog.removeprefix(PROGRAM).strip() or None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Options may also stand before an argument that can be left out (``update demo --detach FOLDER``): argparse
        takes it for left out there."""
        given = list(sys.argv[1:] if args is None else args)
        self._given = self._given or given
        optional = any(action.nargs == argparse.OPTIONAL for action in self._get_positional_actions())
        if self._mixing or not optional or {"-h", "--help"} & set(given):
            return super().parse_known_args(given, namespace)
        self._mixing = True  # it asks this very method twice, for options and for arguments
        try:
            return self.parse_known_intermixed_args(given, namespace)
        finally:
            self._mixing = False

    def error(self, message: str) -> NoReturn:
        raise UsageError(_sentence(message) + self._taken_for_an_option(message), self.verb)

    def _taken_for_an_option(self, message: str) -> str:
        """argparse says of ``--expires -1d`` that there is nothing behind ``--expires``."""
        found = re.match(r"argument (?:-\w/)?(--[\w-]+): expected one argument", message)
        pairs = zip(self._given, self._given[1:], strict=False)
        value = next((value for option, value in pairs if found and option == found[1]), "")
        if not re.match(r"-[^-]", value) or value in self._option_string_actions:
            return ""
        return f" {value!r} begins with '-', as options do: where it is meant, write {found and found[1]}={value}."

    def print_help(self, file: Any = None) -> NoReturn:
        raise HelpShown(self.format_help())


def _sentence(message: str) -> str:
    """argparse's message without its jargon, as a sentence."""
    message = message.removeprefix("argument ").replace(
        "the following arguments are required:", "what is missing here:"
    )
    return (message[:1].upper() + message[1:]).rstrip(".") + "."


def near(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'create'?"``, or nothing."""
    import difflib  # only where something is wrong

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


def name_argument(parser: Parser, text: str = "the service: NAME, or OWNER/NAME for somebody else's") -> None:
    parser.add_argument("name", metavar="NAME", type=values.service, help=text)


def waiting_arguments(parser: Parser, what: str = "ready", *, copies: bool = False) -> None:
    only = ", only until the folder's files are copied" if copies else ""
    parser.add_argument("--detach", action="store_true", help=f"do not wait until the service is {what}{only}")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=values.patience,
        default=WAIT_SECONDS,
        help="wait no longer than this, such as 90s, 10m or 2h (default: 1h); the service goes on all the same",
    )
