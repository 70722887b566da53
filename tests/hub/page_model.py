"""A model with a page, for tests in a browser: it says what it is sent, and its page does what pages do.

    python3 page_model.py PORT

``/seen`` is every call so far: method, path, headers.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import sys
import time

PAGE = """<!doctype html><title>busy</title><body><script>
const report = {};
const attempt = async (name, what) => {
  const late = new Promise((_, reject) => setTimeout(() => reject('no answer'), 10000));
  try { report[name] = await Promise.race([what(), late]); } catch (error) { report[name] = 'failed: ' + error; }
};
window.ended = {};
const sse = new EventSource('events');
const socket = new WebSocket(location.href.replace('http', 'ws').replace(/[?#].*/, '') + 'socket');
socket.onclose = () => { window.ended.socket = Date.now(); };
sse.onerror = () => { window.ended.events = Date.now(); sse.close(); };
(async () => {
  await Promise.all([
    attempt('fetch', async () => (await (await fetch('echo?of=page')).json()).headers),
    attempt('post', async () => (await fetch('echo', {method: 'POST', body: 'x'})).status),
    attempt('events', () => new Promise(resolve => { sse.onmessage = event => resolve(event.data); })),
    attempt('socket', () => new Promise(resolve => { socket.onmessage = event => resolve(event.data); })),
    attempt('module', async () => (await import('/module.js')).word),
    attempt('worker', async () => { await navigator.serviceWorker.register('/worker.js'); return 'registered'; }),
    attempt('storage', async () => { localStorage.setItem('x', '1'); return localStorage.getItem('x'); }),
  ]);
  report.cookies = document.cookie;
  report.address = location.href;
  report.referrer = document.referrer;
  const shown = document.createElement('pre');
  shown.id = 'report';
  shown.textContent = JSON.stringify(report);
  document.body.append(shown);
  document.title = 'done';
})();
</script>"""
FILES = {
    "/": ("text/html", PAGE),
    "/module.js": ("text/javascript", "export const word = 'imported';"),
    "/worker.js": ("text/javascript", "self.addEventListener('fetch', () => {});"),
}
seen: list[list[object]] = []


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path == "/seen":
            self._answer("application/json", json.dumps(seen))
            return
        if path != "/health":
            seen.append([self.command, self.path, dict(self.headers)])
        if path == "/events":
            self._events()
        elif path == "/socket" and "Sec-WebSocket-Key" in self.headers:
            self._socket()
        elif path in FILES:
            self._answer(*FILES[path])
        else:
            self._answer("application/json", json.dumps({"path": self.path, "headers": dict(self.headers)}))

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("Set-Cookie", "mine=1; Path=/")
        self.end_headers()
        self.wfile.write(text.encode())

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"d\r\ndata: begun\n\n\r\n")
            time.sleep(1)

    def _socket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.write(b"\x81\x06opened")
        self.close_connection = True
        while self.rfile.read(1):
            pass

    def log_message(self, *arguments: object) -> None:
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Model).serve_forever()
