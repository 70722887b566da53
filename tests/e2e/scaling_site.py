"""What the end-to-end tests of autoscaling stand on: callers that press, a Prometheus that says what a test tells
it to, and services that scale."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from jupyter_model_service.client import Client
from jupyter_model_service.wire import DecisionInfo

from .conftest import HERE, eventually

DEFINITION = """\
models:
- name: scaling
  model_path: /models
  service:
    start_command: [python, /models/server.py, --port, "8000"]
    port: 8000
    health_check:
      path: /health
      interval: 5
      max_wait_time: 5
      initial_delay: 60
    serving:
      stop_timeout: 1
      drain_timeout: 30
{serving}"""


def model_folder(folder: Path, **serving: Any) -> Path:
    """A folder around ``scaling_model.py``, with more keys of the definition's ``serving`` block."""
    folder.mkdir()
    shutil.copy(HERE / "scaling_model.py", folder / "server.py")
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in serving.items())
    (folder / "model-definition.yaml").write_text(DEFINITION.format(serving=lines))
    return folder


class Callers:
    """Calls at once, from threads: what they answered is nobody's business unless a test asks."""

    def __init__(self, at_once: int = 40) -> None:
        self._pool = ThreadPoolExecutor(at_once)
        self._http = httpx.Client(timeout=120, trust_env=False, limits=httpx.Limits(max_connections=at_once))

    def call(self, endpoint: str, path: str, **options: Any) -> Future[httpx.Response]:
        return self._pool.submit(self._http.get, endpoint + path, **options)

    def many(self, count: int, endpoint: str, path: str) -> list[int]:
        """The statuses of so many calls at once, when all of them are answered."""
        return [each.result().status_code for each in [self.call(endpoint, path) for _ in range(count)]]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._http.close()


class FakePrometheus:
    """Answers every query with ``value``; ``queries`` are those that were asked."""

    def __init__(self) -> None:
        self.value = 0.0
        self.queries: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                fake.queries.append(self.path + self.rfile.read(length).decode())
                sample = {"metric": {}, "value": [time.time(), str(fake.value)]}
                answer = {"status": "success", "data": {"resultType": "vector", "result": [sample]}}
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            do_POST = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Scaled:
    """One service, as its caller and its owner see it."""

    def __init__(self, client: Client, name: str, callers: Callers) -> None:
        self.client, self.name, self.callers = client, name, callers
        self.endpoint = client.endpoint(name)

    def counts(self) -> tuple[int, int]:
        """Wanted and ready."""
        replicas = self.client.get(self.name).replicas
        return replicas.want, replicas.ready

    def until(self, count: int, seconds: float = 30.0, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """``meanwhile`` keeps the pressure on."""

        def there() -> bool:
            meanwhile()
            return self.counts() == (count, count)

        try:
            eventually(there, f"{self.name} has {count} replicas", seconds)
        except AssertionError as error:
            told = "\n".join(f"{each.reason} {each.measured}" for each in self.decisions()[-8:])
            raise AssertionError(f"{error}\n{told}") from error

    def call(self, path: str, **options: Any) -> Future[httpx.Response]:
        return self.callers.call(self.endpoint, path, **options)

    def many(self, count: int, path: str) -> list[int]:
        return self.callers.many(count, self.endpoint, path)

    def decisions(self) -> Sequence[DecisionInfo]:
        return self.client.decisions(self.name, limit=100)

    def reason(self) -> str:
        """Of the last decision; empty where none was taken yet."""
        return next((each.reason for each in reversed(self.decisions())), "")

    def changes(self) -> list[DecisionInfo]:
        return [each for each in self.decisions() if each.changed]
