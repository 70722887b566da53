"""The command line as a program: words in, text on standard output, an exit status.

0: done. 1: it failed; one sentence on standard error says why. 2: the line itself is wrong. 130: the person (Ctrl-C)
or the reader of the output (a closed pipe) ended it. With ``--json`` standard output holds nothing but JSON, errors
included.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..client.address import Locator
from ..client.light import Connection
from ..commands import HelpShown, Result, Session, StoppedWatching, UsageError, build_parser, parse, run
from ..commands.grammar import PROGRAM
from ..commands.results import ServiceResult
from ..errors import DefinitionError, ModelServiceError
from . import gateway
from .text import Paint, clean, colours, json_text

FINE, FAILED, WRONG_USE, ENDED_FROM_OUTSIDE = 0, 1, 2, 130


def run_line(words: Sequence[str]) -> int:
    """Carry out one line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A label in Korean must not end in a traceback on a terminal that only knows ASCII.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(list(words))
        sys.stdout.flush()
        return status
    except StoppedWatching as stopped:
        _say(stopped.sentence)
        return ENDED_FROM_OUTSIDE
    except KeyboardInterrupt:
        return ENDED_FROM_OUTSIDE
    except BrokenPipeError:
        # Python would try to flush once more on its way out, and complain.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ENDED_FROM_OUTSIDE


def _run(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        if words[:1] == ["gateway"] and not gateway.handled_here(words):
            return gateway.run_program(words[1:])
        parser = build_parser({"gateway": (gateway.SUMMARY, gateway.DETAILS, gateway.arguments)})
        if not words:
            sys.stderr.write(parser.format_help())
            return WRONG_USE
        return _carry_out(parse(parser, words))
    except HelpShown as shown:
        sys.stdout.write(shown.text)
        return FINE
    except UsageError as error:
        more = f"{PROGRAM} {error.verb} --help" if error.verb else f"{PROGRAM} --help"
        return _refuse(error, f"{clean(error.message)} See: {more}", as_json, WRONG_USE)
    except DefinitionError as error:
        problems = [clean(problem) for problem in error.problems]
        head = f"{len(problems)} problems:\n" if len(problems) > 1 else ""
        return _refuse(error, head + "\n".join(problems), as_json, FAILED)
    except ModelServiceError as error:
        return _refuse(error, "\n".join(clean(line) for line in error.message.splitlines()), as_json, FAILED)


def _carry_out(arguments: argparse.Namespace) -> int:
    from .progress import watcher_for

    if arguments.verb == "gateway":
        result = gateway.run(arguments)
    else:
        watcher = watcher_for(sys.stdout, sys.stderr, as_json=arguments.json)
        connection = Connection(Locator(data_dir=arguments.data_dir))
        result = run(Session(connection, watcher), arguments)
    _show(result, arguments)
    return FINE if result.ok else FAILED


def _show(result: Result, arguments: argparse.Namespace) -> None:
    from .render import render, render_failure

    if isinstance(result, ServiceResult) and result.outcome is not None and not result.ok:
        _say(render_failure(result, result.outcome, Paint(colours(sys.stderr))))
    if arguments.json:
        content = result.to_json()
        if content is not None:
            sys.stdout.write(json_text(content) + "\n")
        return
    quiet = getattr(arguments, "quiet", False)
    text = render(result, Paint(colours(sys.stdout)), quiet=quiet, terminal=sys.stdout.isatty())
    if text:
        # Line by line: under PYTHONUNBUFFERED, Python loses the rest of a long text when a pipe takes a part of it.
        for each in text.split("\n"):
            sys.stdout.write(each + "\n")


def _refuse(error: ModelServiceError, sentence: str, as_json: bool, status: int) -> int:
    if as_json:
        body: dict[str, Any] = {"code": error.code, "message": error.message}
        body["problems"] = [dataclasses.asdict(problem) for problem in error.problems]
        sys.stdout.write(json_text({"error": body}) + "\n")
    _say(sentence)
    return status


def _say(text: str) -> None:
    with suppress(BrokenPipeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
