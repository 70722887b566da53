"""The reference of the model definition is what the software does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.yaml_document import read_yaml
from jupyter_model_service.core.definition import parse

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "definition.md").read_text("utf-8")


def run(*arguments: str, script: Path = DOCS / "generate_definition.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60)


def test_the_tables_are_those_of_the_parser() -> None:
    answer = run("--check")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_page_that_is_out_of_date_is_noticed_and_mended(tmp_path: Path) -> None:
    script = tmp_path / "generate_definition.py"
    script.write_text((DOCS / "generate_definition.py").read_text("utf-8"))
    page = tmp_path / "definition.md"
    page.write_text(PAGE.replace("2000 and 2001 are reserved", "no port is reserved", 1))
    answer = run("--check", script=script)
    assert answer.returncode == 1
    assert "is out of date" in answer.stderr
    assert run(script=script).returncode == 0
    assert page.read_text("utf-8") == PAGE


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(models:.*?)```", PAGE, re.DOTALL))
def test_every_example_is_a_definition(example: str) -> None:
    document: Any = read_yaml(example)
    _, warnings = parse(document.data, document.lines, document.spelling)
    assert warnings == ()
