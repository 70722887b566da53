"""A model server on nothing but the standard library that causes whatever an autoscaler looks at.

``/hold?seconds=S`` answers after S seconds; ``/burn?seconds=S`` keeps a core busy meanwhile; ``/grow?mb=N`` takes memory and
``/shrink`` gives it back; ``/fail`` answers 500; all else answers at once. Each answer is the process' id. Environment:
START_SECONDS (before the port opens), FAIL_FILE (while there is such a file, it cannot start).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

taken: list[bytearray] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: float(value) for name, value in parse_qsl(parts.query)}
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path == "/hold":
            time.sleep(query["seconds"])
        elif parts.path == "/burn":
            end = time.monotonic() + query["seconds"]
            while time.monotonic() < end:
                sum(range(10_000))
        elif parts.path == "/grow":
            taken.append(bytearray(b"x") * (int(query["mb"]) << 20))
        elif parts.path == "/shrink":
            taken.clear()
        body = str(os.getpid()).encode()
        self.send_response(500 if parts.path == "/fail" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    if os.path.exists(os.environ.get("FAIL_FILE", "")):
        sys.exit("RuntimeError: the weights are missing")
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    Server(("127.0.0.1", port), Handler).serve_forever()
