"""In a real kernel: the example notebook as it stands, and an interrupted cell."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from jupyter_model_service.notebook.masking import masked

from ..client.fake_gateway import FakeGateway, service

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebooks" / "quickstart.ipynb"


@pytest.fixture(autouse=True)
def same_python(tmp_path: Path) -> Iterator[None]:
    """The kernel is this interpreter with this tree, whatever is installed as `python3`."""
    folder = tmp_path / "jupyter_data_dir" / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "test", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        yield


def outputs(notebook: Any) -> list[str]:
    """What each code cell shows as text, errors included."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            told = [each.get("text") or each.get("evalue") or each.data["text/plain"] for each in cell.outputs]
            found.append("\n".join(told))
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_notebook_goes_from_an_empty_folder_to_a_called_endpoint(tmp_path: Path) -> None:
    """Against a real gateway and a real model server, as papermill and nbconvert run it: nobody answers or interrupts."""
    notebook = nbformat.read(NOTEBOOK, 4)
    work = tmp_path / "work"
    work.mkdir()
    notebook.cells.append(nbformat.v4.new_code_cell("assert token.token.startswith('jms_') and len(token.token) > 20"))
    try:
        NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(work)}}).execute()
    finally:
        stop = [sys.executable, "-m", "jupyter_model_service.cli", "gateway", "--stop"]
        subprocess.run(stop, capture_output=True, timeout=60)
    told = "\n".join(outputs(notebook))
    for sentence in (
        "greeting is ready: 1 of 1 replicas",
        '"outputs": 42',
        "greeting is ready: 2 of 2 replicas",
        "is ready after",
        "jms_…****",
        "{'outputs': 3",
        "Deleted ",
    ):
        assert sentence in told
    file = tmp_path / "executed.ipynb"
    nbformat.write(notebook, file)
    text = file.read_text()
    assert masked(text) == text, "a token is in the notebook"
    assert text.count("application/vnd.jupyter.error") == 0


def test_the_example_notebook_is_kept_without_outputs() -> None:
    """They would hold folders and addresses of whoever ran it last."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_the_quick_start_has_the_first_three_cells() -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text()
    section = page.partition("## In a notebook: three cells")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```ipython\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert len(blocks) == 3
    assert blocks == cells[:3]


@pytest.mark.timeout(120)
def test_interrupting_the_kernel_stops_the_watching_and_not_the_service(tmp_path: Path) -> None:
    """One line, no traceback; the cells that follow are not run; the service is as it was."""
    with FakeGateway(tmp_path / "jupyter_data_dir" / "model-service") as fake:
        fake.services["ada/demo"] = service(state="starting", ready=0)
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=60)
            client.execute("%load_ext jupyter_model_service", reply=True, timeout=30)
            asked = client.execute("%model_service restart demo")
            assert fake.stream_opened.wait(30)
            _until_shown(client, asked)
            manager.interrupt_kernel()
            reply = _reply(client, asked)
            assert reply["status"] == "error"
            assert reply["ename"] == "StoppedWatching"
            assert reply["traceback"] == [
                "StoppedWatching: No longer watching; restart of ada/demo goes on. Look with: %model_service info demo"
            ]
            again = _reply(client, client.execute("x = %model_service list"))
            assert again["status"] == "ok"
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        assert fake.services["ada/demo"]["state"] == "starting"
        assert [
            method for method, path, *_ in fake.requests if path.endswith(("stop", "demo")) and method != "GET"
        ] == []


def _reply(client: Any, asked: str) -> dict[str, Any]:
    while True:
        message = client.get_shell_msg(timeout=30)
        if message["parent_header"]["msg_id"] == asked:
            return dict(message["content"])


def _until_shown(client: Any, asked: str) -> None:
    """The card is updated in place: it has a display id, and each update is of it."""
    card = None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            message = client.get_iopub_msg(timeout=5)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "display_data":
            card = message["content"]["transient"]["display_id"]
        if (
            message["msg_type"] == "update_display_data"
            and "demo is starting" in message["content"]["data"]["text/plain"]
        ):
            assert message["content"]["transient"]["display_id"] == card
            return
    raise AssertionError("the card was never updated")
