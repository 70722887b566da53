"""Writes the tables of ``docs/autoscaling-reference.md`` from the tables of metrics and keys that the software reads.

python docs/generate_autoscaling.py           writes them
python docs/generate_autoscaling.py --check   exits with 1 where they are not what would be written
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_model_service.core.scaling.keys import BACKEND_AI_RULE
from jupyter_model_service.core.scaling.metrics import BACKEND_AI_METRICS, METRICS, REFUSED_METRICS

PAGE = Path(__file__).with_name("autoscaling-reference.md")


def metrics() -> str:
    rows = ["| metric | unit | of | meaning |", "| --- | --- | --- | --- |"]
    for metric in METRICS.values():
        of = "a replica" if metric.of == "replicas" else "the service"
        rows.append(f"| `{metric.name}` | {metric.unit} | {of} | {metric.meaning} |")
    return "\n".join(rows)


def backend_ai_keys() -> str:
    rows = ["| Backend.AI's key | what becomes of it |", "| --- | --- |"]
    rows += [f"| `{key.name}` | {key.meaning} |" for key in BACKEND_AI_RULE]
    return "\n".join(rows)


def backend_ai_metrics() -> str:
    rows = ["| Backend.AI's metric | here |", "| --- | --- |"]
    rows += [f"| `{theirs}` | `{ours}` |" for theirs, ours in BACKEND_AI_METRICS.items()]
    rows += [f"| `{theirs}` | refused: it {reason} |" for theirs, reason in REFUSED_METRICS.items()]
    return "\n".join(rows)


PARTS = {"metrics": metrics, "backend_ai_keys": backend_ai_keys, "backend_ai_metrics": backend_ai_metrics}


def generated(page: str) -> str:
    """The page with every marked part as it should be."""

    def part(match: re.Match[str]) -> str:
        return f"<!-- begin {match[1]} -->\n\n{PARTS[match[1]]()}\n\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin (\w+) -->.*?<!-- end \1 -->", part, page, flags=re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    arguments = parser.parse_args(argv)
    page = PAGE.read_text("utf-8")
    fresh = generated(page)
    missing = [name for name in PARTS if f"<!-- begin {name} -->" not in page]
    if missing:
        print(f"{PAGE}: has no place for {', '.join(missing)}", file=sys.stderr)
        return 1
    if arguments.check:
        if page != fresh:
            print(f"{PAGE}: is out of date; run python docs/generate_autoscaling.py", file=sys.stderr)
        return int(page != fresh)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
