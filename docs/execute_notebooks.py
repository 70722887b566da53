"""Executes those notebooks of ``examples/notebooks`` whose outputs are kept, each in an empty folder.

python docs/execute_notebooks.py [NAME …]     writes their outputs anew; needs skops, pandas, torch and transformers
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
KEPT = ("from-memory.ipynb", "from-memory-torch.ipynb")


def execute(name: str) -> None:
    notebook = nbformat.read(FOLDER / name, 4)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        kernel = root / "data" / "kernels" / "python3"
        kernel.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": "Python 3", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        (root / "work").mkdir()
        os.environ.update(
            JUPYTER_DATA_DIR=str(root / "data"),
            JUPYTER_RUNTIME_DIR=str(root / "runtime"),
            IPYTHONDIR=str(root / "ipython"),
            LOGNAME="ada",  # whose services they are
        )
        try:
            NotebookClient(
                notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(root / "work")}}
            ).execute()
        finally:
            stop = [sys.executable, "-m", "jupyter_model_service.cli", "gateway", "--stop"]
            subprocess.run(stop, capture_output=True, timeout=60)
    for cell in notebook.cells:
        if cell.cell_type == "code":  # progress bars, and what packages warn of on this machine
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, FOLDER / name)


if __name__ == "__main__":
    for each in sys.argv[1:] or KEPT:
        execute(each)
