"""A hostile model page in a real browser, served through the Jupyter server with the visitor signed in.

It tries everything that would act with her rights; each attempt must fail. Needs Chromium and playwright.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from .test_jupyter_server import Jupyter, jupyters  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PAGE = """<!doctype html><title>hostile</title><body><script>
const report = {};
const attempt = async (name, what) => {
  const late = new Promise((_, reject) => setTimeout(() => reject('no answer'), 5000));
  try { report[name] = await Promise.race([what(), late]); } catch (error) { report[name] = 'failed: ' + error; }
};
const root = ROOT;
(async () => {
  await attempt('cookies', async () => document.cookie);
  await attempt('storage', async () => { localStorage.setItem('x', '1'); return 'stored'; });
  await attempt('terminals', async () => (await fetch(root + 'api/terminals', {credentials: 'include'})).status);
  await attempt('new terminal', async () =>
    (await fetch(root + 'api/terminals', {method: 'POST', credentials: 'include'})).status);
  await attempt('form', async () => {
    const form = document.createElement('form');
    form.method = 'POST'; form.action = root + 'api/terminals'; form.target = '_blank';
    document.body.append(form);
    form.submit(); return 'sent';
  });
  await attempt('control api', async () =>
    (await fetch(root + 'model-service/api/v1/services', {credentials: 'include'})).status);
  await attempt('kernel socket', () => new Promise((resolve) => {
    const socket = new WebSocket(root.replace('http', 'ws') + 'terminals/websocket/1');
    socket.onopen = () => resolve('open'); socket.onerror = () => resolve('failed: socket');
  }));
  await attempt('service worker', async () => { await navigator.serviceWorker.register('sw.js'); return 'registered'; });
  await attempt('opener', async () => { window.top.location.href; return window.parent === window ? 'alone' : 'framed'; });
  const shown = document.createElement('pre');
  shown.id = 'report';
  shown.textContent = JSON.stringify(report);
  document.body.append(shown);
})();
</script>"""

MODEL = """
import http.server, sys

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = open('/models/page.html'.replace('/models', sys.argv[2]), 'rb').read()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(data)))
        self.send_header('Content-Security-Policy', "default-src * 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(data)

http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Page).serve_forever()
"""

DEFINITION = """\
models:
- name: hostile
  service: {start_command: [python, /models/page.py, "8000", /models], port: 8000}
"""


@pytest.fixture
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as running:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = running.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield browser
        browser.close()


def test_a_hostile_page_acts_with_nobodys_rights(
    jupyters: Callable[..., Jupyter],  # noqa: F811
    browser: object,
) -> None:
    server = jupyters()
    folder = server.folder / "hostile"
    folder.mkdir()
    (folder / "page.py").write_text(MODEL)
    (folder / "page.html").write_text(PAGE.replace("ROOT", json.dumps(server.base)))
    (folder / "model-definition.yaml").write_text(DEFINITION)
    with server.client() as client:
        client.create(str(folder), name="hostile")
        owner = client.wait_ready("hostile", timeout=60).owner
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(f"{server.base}no-such-page?token={server.token}")  # signs in; API answers forbid all scripts
    signed_in = page.evaluate("async () => (await fetch('/api/terminals', {credentials: 'include'})).status")
    assert signed_in == 200, "the visitor herself may"
    page.goto(f"{server.base}model-service/endpoints/{owner}/hostile/")
    page.wait_for_selector("#report", timeout=60_000)
    report = json.loads(page.inner_text("#report"))
    for name in ("cookies", "storage", "terminals", "new terminal", "control api", "kernel socket", "service worker"):
        assert str(report[name]).startswith("failed"), (name, report)
    status, _, body = server.fetch("api/terminals")
    assert (status, json.loads(body)) == (200, []), "no terminal came to be, by the form neither"
