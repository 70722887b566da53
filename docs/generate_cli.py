"""Writes the reference part of ``docs/cli.md`` from the grammar that the command line parses with.
``--check``: only tells whether it is what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generated_parts import main

from jupyter_model_service.cli import gateway
from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.grammar import PROGRAM, Parser, verb_parsers

PAGE = Path(__file__).with_name("cli.md")


def synopsis(parser: Parser) -> str:
    """``create FOLDER [-n NAME] …``: not argparse's own usage line, which is broken differently by every Python."""
    words = [parser.prog]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        words.append(_optional(action) if action.option_strings else _positional(action))
    return " ".join(words)


def _positional(action: argparse.Action) -> str:
    return f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)


def _optional(action: argparse.Action) -> str:
    repeated = "..." if isinstance(action, argparse._AppendAction) else ""
    return f"[{_spelled(action, action.option_strings[0])}]{repeated}"


def _spelled(action: argparse.Action, option: str) -> str:
    return option if action.nargs == 0 else f"{option} {action.metavar}"


def section(verb: str, parser: Parser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        spelled = [_spelled(action, option) for option in action.option_strings] or [str(action.metavar)]
        rows.append(f"| {', '.join(f'`{each}`' for each in spelled)} | {action.help} |")
    table = "\n".join(["| argument | meaning |", "| --- | --- |", *rows])
    return f"### `{verb}`\n\n{parser.description}\n\n```\n{synopsis(parser)}\n```\n\n{table}"


def reference() -> str:
    parser = build_parser({"gateway": (gateway.SUMMARY, gateway.DETAILS, gateway.arguments)}, PROGRAM)
    return "\n\n".join(section(verb, sub) for verb, sub in verb_parsers(parser).items())


if __name__ == "__main__":
    sys.exit(main(__file__, PAGE, {"reference": reference}))
