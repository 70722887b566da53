"""Writes the reference part of ``docs/cli.md`` from the grammar that the command line parses with.

python docs/generate_cli.py           writes it
python docs/generate_cli.py --check   exits with 1 where it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_model_service.cli import gateway
from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.grammar import PROGRAM, Parser, verb_parsers

PAGE = Path(__file__).with_name("cli.md")
BEGIN, END = "<!-- begin reference -->", "<!-- end reference -->"


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    arguments = parser.parse_args(argv)
    page = PAGE.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{PAGE}: has no place for the reference", file=sys.stderr)
        return 1
    fresh = f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"
    if arguments.check:
        if page != fresh:
            print(f"{PAGE}: is out of date; run python docs/generate_cli.py", file=sys.stderr)
        return int(page != fresh)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
