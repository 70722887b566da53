"""The tables in the documents are those of the software."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {  # script → its page, and something in a generated part of it with what could stand there instead
    "generate_definition.py": ("definition.md", "2000 and 2001 are reserved", "no port is reserved"),
    "generate_autoscaling.py": ("autoscaling-reference.md", "| `queued` |", "| `waiting` |"),
    "generate_first_model.py": ("first-model.md", "| `allow_pickle` |", "| `pickle` |"),
    "generate_cli.py": ("cli.md", "`--replicas N`", "`--copies N`"),
}


def run(script: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("script", PAGES)
def test_a_page_is_up_to_date_and_make_writes_it(script: str) -> None:
    assert run(DOCS / script, "--check") == (0, "")
    assert f"docs/{script}\n" in (DOCS.parent / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("script", PAGES)
def test_a_page_that_is_out_of_date_is_noticed_and_mended(tmp_path: Path, script: str) -> None:
    name, there, instead = PAGES[script]
    for file in (script, "generated_parts.py"):
        shutil.copy(DOCS / file, tmp_path)
    page, text = tmp_path / name, (DOCS / name).read_text("utf-8")
    page.write_text(text.replace(there, instead, 1), "utf-8")
    status, said = run(tmp_path / script, "--check")
    assert status == 1
    assert said == f"{page}: is out of date; run python docs/{script}\n"
    assert run(tmp_path / script) == (0, "")
    assert page.read_text("utf-8") == text


@pytest.mark.parametrize("script", PAGES)
def test_a_page_without_a_place_for_a_part_is_left_as_it_is(tmp_path: Path, script: str) -> None:
    name = PAGES[script][0]
    for file in (script, "generated_parts.py"):
        shutil.copy(DOCS / file, tmp_path)
    (tmp_path / name).write_text("A page.\n", "utf-8")
    status, said = run(tmp_path / script)
    assert status == 1
    assert "has no place for " in said
    assert (tmp_path / name).read_text("utf-8") == "A page.\n"
