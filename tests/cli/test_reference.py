"""``docs/cli.md`` against the grammar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jupyter_model_service.cli import gateway
from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.grammar import VERBS, verb_parsers
from jupyter_model_service.commands.verbs import _RUN

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_what_the_grammar_says() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate_cli.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reference_that_is_out_of_date_is_noticed(tmp_path: Path) -> None:
    script = tmp_path / "generate_cli.py"
    script.write_text((DOCS / "generate_cli.py").read_text("utf-8"), "utf-8")
    page = (DOCS / "cli.md").read_text("utf-8")
    (tmp_path / "cli.md").write_text(page.replace("`--replicas N`", "`--copies N`"), "utf-8")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "out of date" in done.stderr
    subprocess.run([sys.executable, script], check=True)
    assert (tmp_path / "cli.md").read_text("utf-8") == page


def test_every_verb_can_be_run_and_every_argument_is_explained() -> None:
    assert set(VERBS) == set(_RUN)
    parser = build_parser({"gateway": (gateway.SUMMARY, gateway.DETAILS, gateway.arguments)})
    for verb, sub in verb_parsers(parser).items():
        assert all(action.help for action in sub._actions), verb
