"""The whole on a real Hub: a data scientist in her notebook's container, and callers outside."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from .deployment import Deployment, Notebook, eventually

MODEL = """
import http.server, json, os, pathlib, sys, time

WORD = pathlib.Path(__file__).with_name("word.txt").read_text().strip()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/stream"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(5):
                piece = f"data: {number} {time.time()}\\n\\n".encode()
                self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
                self.wfile.flush()
                time.sleep(0.3)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        seen = {"word": WORD, "host": os.uname().nodename, "headers": dict(self.headers), "uid": os.getuid()}
        seen["token"] = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

print("model is up with", WORD, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""

DEFINITION = """\
models:
  - name: Parrot
    model_path: /models
    service:
      start_command: ["python3", "server.py", "{port}"]
      port: 8000
      health_check:
        path: /health
        interval: 1
"""

FOLDER = "models/parrot"


def put_model(notebook: Notebook, word: str) -> None:
    notebook.write(f"{FOLDER}/server.py", MODEL)
    notebook.write(f"{FOLDER}/model-definition.yaml", DEFINITION)
    notebook.write(f"{FOLDER}/word.txt", word)


def called(url: str, token: str | None, path: str = "who", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return httpx.get(url + path, headers=headers, timeout=30, trust_env=False, **options)


def info(notebook: Notebook, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(notebook.cli("info", name, "--json").stdout)
    return found


def replica_containers(hub: Deployment) -> list[Any]:
    return [c for c in hub.containers(all=False) if "org.jupyter.model-service.replica" in c.labels]


def gateways(hub: Deployment) -> list[psutil.Process]:
    """The gateway itself, below its supervisor; none or two for a moment while one is started."""
    found = []
    for process in hub.processes():
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            lines = [" ".join(each.cmdline()) for each in (process, parent) if each is not None]
            if len(lines) == 2 and all("jupyter_model_service.app" in line for line in lines):
                found.append(process)
    return found


def gateway_of(hub: Deployment) -> psutil.Process:
    return eventually(lambda: gateways(hub), "a gateway")[0]


class Callers:
    """A few callers who never stop; ``failed`` has what went wrong, ``longest`` how long the slowest call took."""

    def __init__(self, url: str, token: str, threads: int = 3) -> None:
        self.url, self.token = url, token
        self.good = 0
        self.failed: list[tuple[float, str]] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(threads)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                answer = called(self.url, self.token)
                if answer.status_code == 200:
                    self.good += 1
                else:
                    self.failed.append((time.time(), f"{answer.status_code} {answer.text[:200]}"))
            except httpx.HTTPError as error:
                self.failed.append((time.time(), f"{type(error).__name__}: {error}"))
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.02)

    def more(self, count: int = 10) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.good + count
        eventually(lambda: self.good >= wanted, f"{count} more answers; failed: {self.failed[-3:]}")


@pytest.fixture(scope="module")
def alice(hub: Deployment) -> Notebook:
    return hub.notebook("alice")


@pytest.fixture(scope="module")
def parrot(hub: Deployment, alice: Notebook) -> Iterator[dict[str, Any]]:
    """``alice/parrot`` with two replicas, made by her in her notebook's terminal."""
    put_model(alice, "hello")
    said = alice.cli("create", FOLDER, "-n", "parrot", "--replicas", "2")
    yield {"said": said.stdout, **info(alice, "parrot")}
    alice.cli("delete", "parrot", "--yes", check=False)


@pytest.fixture(scope="module")
def token(alice: Notebook, parrot: dict[str, Any]) -> str:
    return alice.cli("generate-token", "parrot", "--quiet", "--expires", "1h").stdout.strip()


# --- what people do --------------------------------------------------------------------------------------


def test_from_a_terminal_in_the_notebook_to_an_endpoint(
    hub: Deployment, alice: Notebook, parrot: Any, token: str
) -> None:
    """Two replicas of her notebook's own image, called through the Hub's proxy with a token for that endpoint."""
    assert parrot["state"] == "ready"
    assert parrot["owner"] == "alice"
    assert parrot["replicas"] == {"want": 2, "ready": 2, "total": 2}
    assert parrot["endpoint"] == f"{hub.service_url}endpoints/alice/parrot/"
    assert parrot["revisions"][0]["image"] == hub.image
    answer = called(parrot["endpoint"], token)
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert seen["word"] == "hello"
    assert seen["token"] == ""
    assert "authorization" not in {name.lower() for name in seen["headers"]}
    named = [name for name in hub.servers("alice") if name]
    assert len([name for name in named if name.startswith("ms-parrot-")]) == 2
    assert all(c.image.tags and hub.image in c.image.tags for c in replica_containers(hub))


def test_a_stream_arrives_as_it_is_made(parrot: Any, token: str) -> None:
    """Through the Hub's proxy and the gateway: each piece when it was sent, not all at the end."""
    arrived = []
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", parrot["endpoint"] + "stream", headers=headers, timeout=30, trust_env=False) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                arrived.append((time.time(), float(line.split()[2])))
    assert len(arrived) == 5
    assert max(got - made for got, made in arrived) < 0.25


def test_who_may_call_and_manage(hub: Deployment, alice: Notebook, parrot: Any, token: str) -> None:
    url, services = parrot["endpoint"], f"{hub.service_url}api/v1/services"

    def status(address: str, bearer: str | None) -> int:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.get(address, headers=headers, timeout=30, trust_env=False).status_code

    bob, admin, hers = hub.token("bob"), hub.token("admin"), hub.token("alice")
    assert [status(url, who) for who in (None, "wrong", bob, hers, admin, token)] == [401, 401, 404, 200, 200, 200]
    manage = [status(f"{services}/alice/parrot", who) for who in (bob, hers, admin, token)]
    assert manage == [404, 200, 200, 403]
    # The system user's token opens one endpoint and is nobody at the Hub.
    assert status(f"{hub.service_url}endpoints/alice/other/", token) == 404
    assert hub.api("GET", "/users", token=token).status_code == 403
    whole = httpx.get(f"{hub.service_url}metrics", headers={"Authorization": f"Bearer {hers}"}, trust_env=False)
    assert whole.status_code == 403


def test_a_token_expires_and_is_revoked_at_once(alice: Notebook, hub: Deployment, parrot: Any) -> None:
    text = alice.cli("generate-token", "parrot", "--quiet", "--name", "short", "--expires", "1h").stdout.strip()
    assert called(parrot["endpoint"], text).status_code == 200
    alice.cli("revoke-token", "parrot", "short")
    assert called(parrot["endpoint"], text).status_code == 401
    # It goes from the Hub, too, soon.
    eventually(lambda: hub.api("GET", "/user", token=text).status_code == 403, "a token that the Hub has forgotten")


def test_a_second_revision_brings_the_changed_folder_without_a_failed_call(
    hub: Deployment, alice: Notebook, parrot: Any, token: str
) -> None:
    put_model(alice, "goodbye")
    with Callers(parrot["endpoint"], token) as callers:
        callers.more()
        alice.cli("update", "parrot")
        callers.more()
    assert callers.failed == []
    assert called(parrot["endpoint"], token).json()["word"] == "goodbye"
    assert info(alice, "parrot")["revision"] == 2


def test_health_says_whether_the_hub_answers(hub: Deployment, parrot: Any) -> None:
    answer = httpx.get(f"{hub.service_url}health/ready", trust_env=False)
    assert (answer.status_code, answer.text) == (200, "ok\nhub: answers\n")


# --- its end -----------------------------------------------------------------------------------------------


def test_delete_leaves_nothing(hub: Deployment, parrot: Any, token: str) -> None:
    """No container, no named server, no volume of the service; the token opens nothing, here or at the Hub."""
    hub.notebook("alice").cli("delete", "parrot", "--yes")
    assert replica_containers(hub) == []
    eventually(lambda: not [name for name in hub.servers("alice") if name.startswith("ms-")], "no server of ours")
    assert called(parrot["endpoint"], token).status_code == 401
    eventually(lambda: hub.api("GET", "/user", token=token).status_code == 403, "a token that the Hub has forgotten")
