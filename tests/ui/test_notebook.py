"""The example notebook in JupyterLab: cards that come up, an answer that is read as it comes, charts; and all of it kept,
in a notebook that nobody trusts."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from .laboratory import ROOT, Laboratory
from .pictures import picture, wanted

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

NOTEBOOK = ROOT / "examples" / "notebooks" / "quickstart.ipynb"
CALL = """\
%%model_service chat v1/chat/completions
{"messages": [{"role": "user", "content": "What is a model service?"}], "stream": true}"""
ANSWER = "A model that answers calls: it is started, watched, and started again when it ends."
CHAT = f"""\
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in {ANSWER!r}.split():
            said = json.dumps({{"choices": [{{"delta": {{"content": word + " "}}}}]}})
            self.wfile.write(f"data: {{said}}\\n\\n".encode())
            time.sleep(0.1)
        self.wfile.write(b"data: [DONE]\\n\\n")

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


def chat(laboratory: Laboratory) -> None:
    """A service that streams, on its way up."""
    folder = laboratory.model_folder("chat")
    (folder / "server.py").write_text(CHAT)
    with laboratory.client() as client:
        client.create(str(folder), name="chat")


def copied(into: Path) -> None:
    """With one cell more, a call of that service."""
    notebook = json.loads(NOTEBOOK.read_text())
    more = {"cell_type": "code", "execution_count": None, "id": "streamed", "metadata": {}, "outputs": []}
    at = next(n for n, cell in enumerate(notebook["cells"]) if "info greeting" in "".join(cell["source"]))
    notebook["cells"].insert(at + 1, {**more, "source": CALL})
    into.write_text(json.dumps(notebook))


def called_for_a_while(laboratory: Laboratory) -> None:
    """So that its calls are a line in the picture."""
    with laboratory.client() as client:
        for n in range(300):
            client.call("greeting", "predict", json={"inputs": [n]})
            time.sleep(0.2 if n % 100 < 50 else 0.1)


class Notebook:
    """One that is open, whose cells are run one after another as with Shift-Enter."""

    def __init__(self, page: Any, path: str) -> None:
        page.evaluate("path => { void window.jupyterapp.commands.execute('docmanager:open', {path}); }", path)
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.locator(".lm-DockPanel .lm-TabBar-tab.lm-mod-current", has_text=path).wait_for()
        self.panel.locator(".jp-Cell").first.wait_for()
        self._page = page

    def output(self, source: str) -> Any:
        """Of the cell in whose source this is."""
        cell = self.panel.locator(".jp-CodeCell").filter(
            has=self._page.locator(".jp-InputArea", has_text=source.partition("\n")[0])
        )
        return cell.locator(".jp-OutputArea")

    def top(self, source: str) -> None:
        """Scrolls so that this cell is the first in view."""
        self.panel.locator(".jp-Cell", has_text=source).first.evaluate("cell => cell.scrollIntoView()")

    def run(self, source: str) -> Any:
        """Up to this cell; what it shows at the end. ``meanwhile`` has what it showed on the way there."""
        self._page.evaluate(
            """async source => {
                const {commands, shell} = window.jupyterapp;
                await shell.currentWidget.sessionContext.ready;
                const notebook = shell.currentWidget.content;
                const index = notebook.widgets.findIndex(each => each.model.sharedModel.getSource().includes(source));
                const {node} = notebook.widgets[index];
                window.meanwhile = [];
                new MutationObserver(() => window.meanwhile.push(node.textContent)).observe(node, {
                    childList: true, characterData: true, subtree: true
                });
                while (notebook.activeCellIndex < index) {
                    void commands.execute('notebook:run-cell-and-select-next');
                }
                void commands.execute('notebook:run-cell-and-select-next');
            }""",
            source,
        )
        return self.output(source)

    def meanwhile(self) -> list[str]:
        """Of the cell that was run last."""
        return list(self._page.evaluate("window.meanwhile"))


def test_the_example_notebook_shows_what_happens_and_keeps_it(page: Any, laboratory: Laboratory) -> None:
    """Run from top to bottom, then read by somebody who was sent it."""
    file = laboratory.root / "quickstart.ipynb"
    copied(file)
    chat(laboratory)
    notebook = Notebook(page, file.name)
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")

    card = notebook.run("%model_service create greeting")
    expect(card).to_contain_text(re.compile("greeting: ready, 1 of 1 replicas ready after"), timeout=30_000)
    assert any("so far; interrupting the kernel stops the watching" in each for each in notebook.meanwhile())
    expect(card.get_by_role("table", name="Replicas")).to_contain_text("greeting-")
    expect(card).to_contain_text("%%model_service greeting predict")
    expect(notebook.run("greeting predict")).to_contain_text('"outputs": 42')
    scaled = notebook.run("scale greeting 2")
    expect(scaled).to_contain_text("2 of 2 ready", timeout=30_000)
    if wanted():
        called_for_a_while(laboratory)
    info = notebook.run("%model_service info greeting")
    expect(info.get_by_role("img", name=re.compile("^calls: "))).to_be_visible(timeout=20_000)
    streamed = notebook.run(CALL)
    expect(streamed).to_contain_text(re.compile(f"200 OK.*{ANSWER}", re.S))
    begun = [each for each in notebook.meanwhile() if "v1/chat/completions …A model" in each]
    assert begun
    assert ANSWER not in begun[0]
    picture(page, "notebook", lambda: notebook.top("%model_service info greeting"))
    expect(notebook.run("delete greeting")).to_contain_text("Deleted", timeout=30_000)
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")
    assert "jms_" not in file.read_text().replace("jms_\\u2026", "").replace("jms_…", "")

    sent = json.loads(file.read_text())
    sent["cells"][0]["source"] = "From a colleague"
    (laboratory.root / "sent.ipynb").write_text(json.dumps(sent))
    notebook = Notebook(page, "sent.ipynb")
    kept = notebook.output("%model_service info greeting")
    kept.scroll_into_view_if_needed()
    expect(kept).to_contain_text("● ready")
    expect(kept).to_contain_text(re.compile(r"calls: [\d.]+/s now"))  # in the place of the picture
