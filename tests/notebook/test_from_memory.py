"""The example notebooks of ``deploy``: executed as they stand, and kept with outputs that tell nothing of who ran them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_model_service.notebook.masking import masked

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "examples" / "notebooks"

#: What must be seen, in this order.
TABLES = (
    "visitors: checked and saved after",
    "visitors is ready: 1 of 1 replicas",
    '"outputs": [\n    "yes",\n    "no"\n  ]',
    "inputs[0] lacks city and has an unknown town; a row has age, city, visits",
    "update ada/visitors: ready",
    "0.65",
    "Deleted ada/visitors.",
    "'model.skops'",
)
MODULES = (
    "sums: checked and saved after",
    "sums is ready: 1 of 1 replicas",
    '"outputs": [',
    "400 application/json",
    "Guard failed: input.size()[1] == 2",
    "update ada/sums: ready",
    "Deleted ada/sums.",
    "mood is ready: 1 of 1 replicas",
    '"label": "bad"',
    "update ada/mood: ready",
    'ad"',  # sad or glad
    "Deleted ada/mood.",
)
CASES = [
    pytest.param("from-memory.ipynb", TABLES, (), id="tables"),
    pytest.param("from-memory-torch.ipynb", MODULES, ("torch", "transformers"), id="torch", marks=pytest.mark.torch),
]


def seen(notebook: Any) -> str:
    told = []
    for cell in notebook.cells:
        for each in cell.get("outputs", ()):
            told.append(each.get("text") or each.get("evalue") or each.data["text/plain"])
    return "\n".join(told)


def in_order(sentences: tuple[str, ...], text: str) -> None:
    at = 0
    for sentence in sentences:
        found = text.find(sentence, at)
        assert found >= 0, f"no {sentence!r} in {text[at:]}"
        at = found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "sentences", "needed"), CASES)
def test_a_notebook_deploys_calls_updates_and_deletes_what_it_has_in_memory(
    name: str, sentences: tuple[str, ...], needed: tuple[str, ...], tmp_path: Path
) -> None:
    for package in needed:
        pytest.importorskip(package)
    kernel = tmp_path / "jupyter_data_dir" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "test", "language": "python"}))
    notebook = nbformat.read(NOTEBOOKS / name, 4)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.setenv("LOGNAME", "ada")
        try:
            NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(work)}}).execute()
        finally:
            stop = [sys.executable, "-m", "jupyter_model_service.cli", "gateway", "--stop"]
            subprocess.run(stop, capture_output=True, timeout=60)
    in_order(sentences, seen(notebook))
    text = nbformat.writes(notebook)
    assert masked(text) == text, "a token is in the notebook"


@pytest.mark.parametrize(("name", "sentences", "needed"), CASES)
def test_a_notebook_is_kept_as_it_was_executed(name: str, sentences: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """With its outputs, in one run from above, and without tokens and folders of whoever ran it."""
    notebook = nbformat.read(NOTEBOOKS / name, 4)
    in_order(sentences, seen(notebook))
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    text = nbformat.writes(notebook)
    assert masked(text) == text
    assert not re.search(r"jm[sc]_\w{20}", text)
    assert re.findall(r"(?<![\w.:/-])/(?:tmp|home|root|work|usr|var|Users)/|site-packages", text) == []
