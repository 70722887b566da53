"""A model that is nobody's friend: its page and its answers try all that would act with the rights of whoever looks.

What its page reports is not believed for more than it can see itself; what reached somebody else is asked there, what was
left in the browser is looked for there, and where the browser was led is watched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "DEFINITION", "ITS_OWN", "MODEL", "Aims", "attempts", "escaped", "own_leads", "page", "planted", "succeeded", "untried",
]  # fmt: skip

DEFINITION = """\
models:
- name: hostile
  model_path: /models
  service: {start_command: [python3, /models/model.py, "{port}", /models, HERE], port: 8000}
"""

#: Whatever is asked for, with each header by which it could reach further; ``/to`` leads where it is told to, ``/seen``
#: is what it was sent so far.
MODEL = """
import http.server, json, pathlib, sys, urllib.parse

folder = pathlib.Path(sys.argv[2])
seen = []

class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
        kind, data = "text/html", b"<p>nothing</p>"
        path, _, query = self.path.partition("?")
        if path == "/seen":
            kind, data = "application/json", json.dumps(seen).encode()
        else:
            seen.append([self.command, self.path, dict(self.headers), body])
            name = path.strip("/") or "page.html"
            if name in ("page.html", "worker.js"):
                data = (folder / name).read_bytes()
                kind = "text/javascript" if name.endswith("js") else "text/html"
        self.send_response(302 if path == "/to" else 200)
        if path == "/to":
            self.send_header("Location", urllib.parse.parse_qs(query)["where"][0])
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Content-Security-Policy", "default-src * 'unsafe-inline'"),
            ("Access-Control-Allow-Origin", self.headers.get("Origin", "*")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Service-Worker-Allowed", "/"),
            ("Cross-Origin-Opener-Policy", "unsafe-none"),
            *(("Set-Cookie", cookie) for cookie in json.loads((folder / "cookies.json").read_text())),
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

#: With each answer. Their value is ``planted``, wherever they are found afterwards.
_PLANTED = (
    "planted=planted; Path=/",
    "_xsrf=planted; Path=/",
    "_xsrf=planted; Path=/hub/",
    "jupyterhub-session-id=planted; Path=/",
    "jupyterhub-hub-login=planted; Path=/hub/",
    "jupyterhub-user-alice=planted; Path=/user/alice/",
    "model-service-page=planted; Path=/",
    "model-service-page=planted; Path=/services/model-service/",
    "__Host-model-service-visit=planted; Path=/; Secure",
    "tossed=planted; Path=/; Domain=models.localhost",
    "tossed=planted; Path=/; Domain=localhost",
    "tossed=planted; Path=/; Domain=site.localhost",
    "jupyterhub-hub-login=planted; Path=/hub/; Domain=site.localhost",
    "username-127-0-0-1-8888=planted; Path=/",
)

#: What a page does with its own model, which it may where it has an origin of its own.
ITS_OWN = frozenset({"own cookies", "own storage", "own worker", "own worker for all", "own model", "own root"})


@dataclass(frozen=True)
class Aims:
    """Addresses of others, by what one would call them: ``read`` is read, ``change`` is sent POSTs and forms, ``sockets``
    are opened, ``lead`` is where the model sends the browser, ``windows`` are names of windows that others have open,
    ``cookies`` are set by a script. An address with a query is told there by what it was read: ``&by=…``."""

    read: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, str] = field(default_factory=dict)
    sockets: Mapping[str, str] = field(default_factory=dict)
    lead: Mapping[str, str] = field(default_factory=dict)
    windows: Sequence[str] = ()
    cookies: Sequence[str] = ()


def page(aims: Aims, here: str = "127.0.0.1") -> dict[str, str]:
    """Files of the model's folder. ``here`` is where its server listens."""
    html = _PAGE.replace("AIMS", json.dumps(asdict(aims)).replace("<", "\\u003c"))
    definition = DEFINITION.replace("HERE", here)
    cookies = json.dumps(_PLANTED)
    return {
        "model.py": MODEL, "page.html": html, "worker.js": _WORKER, "cookies.json": cookies,
        "model-definition.yaml": definition,
    }  # fmt: skip


# --- what became of it -----------------------------------------------------------------------------------


_READ = ("read", "frame", "import", "no-cors", "image", "window")
_CHANGE = ("post", "post JSON", "delete", "post no-cors", "beacon", "form window", "form frame", "form JSON frame")
_LED = ("fetch", "frame", "window")


def attempts(aims: Aims) -> set[str]:
    """All that the page has to have tried, by the names of its report."""
    names = {*ITS_OWN, "opener", "steer opener", "window around"}
    names |= {f"{how} {name}" for name in aims.read for how in _READ}
    names |= {f"{how} {name}" for name in aims.change for how in _CHANGE}
    names |= {f"socket {name}" for name in aims.sockets}
    names |= {f"led by {how} {name}" for name in aims.lead for how in _LED}
    return names | {f"named window {name}" for name in aims.windows}


def untried(report: Mapping[str, Any], aims: Aims) -> set[str]:
    """What of it the page did not get to: where nothing was tried, nothing was refused."""
    return (attempts(aims) ^ {*report}) | {name for name, told in report.items() if "no window" in str(told)}


def succeeded(report: Mapping[str, Any], besides: Collection[str] = ()) -> dict[str, Any]:
    """What went well for the page, other than what it may."""
    return {name: told for name, told in report.items() if not str(told).startswith("failed") and name not in besides}


def own_leads(aims: Aims) -> set[str]:
    """Attempts that lead to a place of the same address: at a host of its own that is the model's."""
    relative = [name for name, url in aims.lead.items() if url.startswith((".", "/")) and not url.startswith("//")]
    return {f"led by {how} {name}" for name in relative for how in _LED}


def escaped(hops: Iterable[tuple[str, str]], root: str) -> set[str]:
    """Where at the address that the model shares with others its answers have led the browser. ``root`` is its own part
    of it; ``hops``: each redirect, from where to where. To other hosts it may lead, as any link does."""
    here = urlsplit(root).netloc
    return {
        to for start, to in hops if start.startswith(root) and urlsplit(to).netloc == here and not to.startswith(root)
    }


def planted(cookies: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> set[tuple[str, str]]:
    """Name and domain of cookies of the model's that a browser keeps for anybody but ``hosts``, which are its own."""
    return {
        (each["name"], each["domain"]) for each in cookies if each["value"] == "planted" and each["domain"] not in hosts
    }


#: ``report`` by attempt: what came of it, or ``failed: …``. Own doings first, under ``own …``; the title changes at
#: the end. Of windows eight are open at once.
_PAGE = """<!doctype html><title>busy</title><body><script>
const aims = AIMS, report = {};
const attempt = async (name, what) => {
  const late = new Promise((_, reject) => setTimeout(() => reject('no answer'), 6000));
  try { report[name] = String(await Promise.race([what(), late])); } catch (error) { report[name] = 'failed: ' + error; }
};
const moment = () => new Promise(resolve => setTimeout(resolve, 50));
const by = (url, how) => url.includes('?') ? `${url}&by=${how}` : url;
let count = 0;

const shown = async other => {
  try {
    for (let tries = 0; tries < 80; tries++) {
      if (other.closed) throw 'parted';
      if (other.location.href !== 'about:blank' && other.document.readyState === 'complete') {
        return 'read ' + other.document.body.innerText.slice(0, 80);
      }
      await moment();
    }
    throw 'nothing came';
  } finally {
    try { other.close(); } catch (_) {}
  }
};
const opened = (url, name = '_blank') => {
  const other = window.open(url, name);
  if (!other) throw 'no window';
  return other;
};
const framed = (start, name) => new Promise((resolve, reject) => {
  const made = document.createElement('iframe');
  made.name = name;
  const loaded = () => {
    try { resolve('read ' + made.contentDocument.body.innerText.slice(0, 80)); } catch (error) { reject(error); }
  };
  if (typeof start === 'string') { made.onload = loaded; made.src = start; document.body.append(made); return; }
  document.body.append(made);
  made.onload = loaded;
  start();
});
const form = (url, target, fields, kind = 'application/x-www-form-urlencoded') => {
  const made = document.createElement('form');
  made.method = 'POST'; made.action = url; made.target = target; made.enctype = kind;
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement('input');
    input.name = name; input.value = value;
    made.append(input);
  }
  document.body.append(made);
  made.submit();
};
const FIELDS = {name: 'x', text: 'Pay here', xsrf: 'planted', _xsrf: 'planted'};
const AS_JSON = {'{"name": "x", "': '": ""}'};
const image = url => new Promise((resolve, reject) => {
  const made = new Image();
  made.onload = () => resolve('shown'); made.onerror = () => reject('no image');
  made.src = url;
});
const socket = url => new Promise((resolve, reject) => {
  const made = new WebSocket(url);
  made.onopen = () => resolve('open');
  made.onerror = () => reject('socket');
});
const some = async works => {
  const one = async () => { for (let work; (work = works.shift());) await work(); };
  await Promise.all(Array.from({length: 8}, one));
};

(async () => {
  const worker = async scope => { await navigator.serviceWorker.register('worker.js', scope); return 'registered'; };
  await Promise.all([
    attempt('own cookies', async () => { document.cookie = 'mine=1'; return document.cookie; }),
    attempt('own storage', async () => { localStorage.setItem('x', '1'); return localStorage.getItem('x'); }),
    attempt('own worker', () => worker()),
    attempt('own worker for all', () => worker({scope: '/'})),
    attempt('own model', async () => (await fetch('echo?own', {credentials: 'include'})).status),
    attempt('own root', async () => (await fetch('/api/v1/services', {credentials: 'include'})).status),
  ]);
  for (const cookie of aims.cookies) try { document.cookie = cookie; } catch (_) {}
  const tries = [], windows = [];
  for (const [name, url] of Object.entries(aims.read)) {
    const blind = {mode: 'no-cors', credentials: 'include'};
    tries.push(attempt(`read ${name}`, async () => (await fetch(by(url, 'fetch'), {credentials: 'include'})).status));
    tries.push(attempt(`frame ${name}`, () => framed(by(url, 'frame'))));
    tries.push(attempt(`import ${name}`, async () => { await import(by(url, 'import')); return 'run'; }));
    tries.push(attempt(`no-cors ${name}`, async () => { throw (await fetch(by(url, 'no-cors'), blind)).type; }));
    tries.push(attempt(`image ${name}`, () => image(by(url, 'image'))));
    windows.push(() => attempt(`window ${name}`, () => shown(opened(by(url, 'window')))));
  }
  for (const [name, url] of Object.entries(aims.change)) {
    const how = {method: 'POST', credentials: 'include', body: '{}'};
    tries.push(attempt(`post ${name}`, async () => (await fetch(url, how)).status));
    const json = {...how, headers: {'Content-Type': 'application/json', 'X-XSRFToken': 'x'}};
    tries.push(attempt(`post JSON ${name}`, async () => (await fetch(url, json)).status));
    tries.push(attempt(`delete ${name}`, async () => (await fetch(url, {...how, method: 'DELETE'})).status));
    tries.push(attempt(`post no-cors ${name}`, async () => { throw (await fetch(url, {...how, mode: 'no-cors'})).type; }));
    tries.push(attempt(`beacon ${name}`, async () => { throw navigator.sendBeacon(url, '{}'); }));
    const [one, two] = [`frame${count++}`, `frame${count++}`];
    tries.push(attempt(`form frame ${name}`, () => framed(() => form(url, one, FIELDS), one)));
    tries.push(attempt(`form JSON frame ${name}`, () => framed(() => form(url, two, AS_JSON, 'text/plain'), two)));
    windows.push(() => attempt(`form window ${name}`, async () => {
      const target = `form${count++}`, other = opened('', target);
      form(url, target, FIELDS);
      return shown(other);
    }));
  }
  for (const [name, url] of Object.entries(aims.sockets)) tries.push(attempt(`socket ${name}`, () => socket(url)));
  for (const [name, url] of Object.entries(aims.lead)) {
    const to = 'to?where=' + encodeURIComponent(url);
    const fetched = async () => (await fetch(to + '&by=fetch', {credentials: 'include'})).status;
    tries.push(attempt(`led by fetch ${name}`, fetched));
    tries.push(attempt(`led by frame ${name}`, () => framed(to + '&by=frame')));
    windows.push(() => attempt(`led by window ${name}`, () => shown(opened(to + '&by=window'))));
  }
  for (const name of aims.windows) {
    windows.push(() => attempt(`named window ${name}`, async () => {
      const other = opened('', name);
      if (other.location.href === 'about:blank') { other.close(); throw 'nobody of that name'; }
      return 'read ' + other.document.body.innerText.slice(0, 80);
    }));
  }
  await Promise.all([...tries, some(windows)]);
  await attempt('window around', async () => window.parent === window ? Promise.reject('alone') : 'framed');
  await attempt('opener', async () => 'read ' + window.opener.document.body.innerText.slice(0, 80));
  await attempt('steer opener', async () => { window.opener.location.replace(location.href + 'echo?steered'); return 'gone'; });
  const told = document.createElement('pre');
  told.id = 'report';
  told.textContent = JSON.stringify(report);
  document.body.append(told);
  document.title = 'done';
})();
</script>"""
