"""The parts of a page that are written from tables of the software: between ``<!-- begin NAME -->`` and its end."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def main(script: str, page: Path, parts: Mapping[str, Callable[[], str]]) -> int:
    """Writes them. With ``--check`` it only tells whether all are what would be written; exit status 1: they are not,
    or the page has no place for one."""
    parser = argparse.ArgumentParser(description=f"Writes {', '.join(parts)} of {page.name}.")
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    arguments = parser.parse_args()
    text = page.read_text("utf-8")
    if missing := [name for name in parts if f"<!-- begin {name} -->" not in text]:
        print(f"{page}: has no place for {', '.join(missing)}", file=sys.stderr)
        return 1

    def part(found: re.Match[str]) -> str:
        return f"<!-- begin {found[1]} -->\n\n{parts[found[1]]()}\n\n<!-- end {found[1]} -->"

    fresh = re.sub(r"<!-- begin (\w+) -->.*?<!-- end \1 -->", part, text, flags=re.DOTALL)
    if not arguments.check:
        page.write_text(fresh, "utf-8")
    elif text != fresh:
        print(f"{page}: is out of date; run python docs/{Path(script).name}", file=sys.stderr)
        return 1
    return 0
