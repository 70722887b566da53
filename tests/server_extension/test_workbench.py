"""The extension's own routes in a real Jupyter server: shapes, who may, where it may look, and real dry runs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openapi_spec_validator
import psutil
import pytest
from tornado import web

from jupyter_model_service.server_extension.openapi import WORKBENCH_ROUTES, openapi_document
from jupyter_model_service.server_extension.workbench import WORKBENCH, WorkbenchHandler

from .conftest import eventually, port_of

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/health", "/hello") else 404)
        self.end_headers()
        self.wfile.write(b"hello" if self.path == "/hello" else b"")
print("the server begins")
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
DEFINITION = """
models:
  - name: Small one
    model_path: /models
    service:
      start_command: [python3, server.py, 0.0.0.0, "{port}"]
      port: 8000
      health_check: {path: /health}
"""


class Server:
    """A Jupyter server of its own, in which nothing is open to those who did not sign in."""

    def __init__(self, base: Path) -> None:
        self.root = (base / "root").resolve()
        self.root.mkdir()
        self.token = secrets.token_hex(16)
        environment = {**os.environ, "JUPYTER_TOKEN": self.token}
        for kind in ("data", "runtime", "config"):
            environment[f"JUPYTER_{kind.upper()}_DIR"] = str(base / kind)
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.ip=127.0.0.1", "--allow-root"]
        command += ["--ServerApp.port=0", f"--ServerApp.root_dir={self.root}"]
        command += ["--ServerApp.base_url=/user/ann/", "--ServerApp.allow_unauthenticated_access=False"]
        command += ["--ServerApp.jpserver_extensions=jupyter_model_service=True"]
        self.log = base / "jupyter.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        port = port_of(self.process, base / "runtime", self.log)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/user/ann/model-service/workbench/v1/",
            headers={"Authorization": f"token {self.token}"},
            trust_env=False,
            timeout=60,
        )
        eventually(self._up, "a Jupyter server that answers", 60)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.client.get("../../../api/status").status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, method: str, route: str, body: Any = None, **query: str) -> tuple[int, Any]:
        answer = self.client.request(method, route, json=body, params=query or None)
        return answer.status_code, answer.json()

    def make(self, folder: str) -> Path:
        made = self.root / folder
        made.mkdir(parents=True)
        (made / "server.py").write_text(SERVER)
        (made / "model-definition.yaml").write_text(DEFINITION)
        return made

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("workbench"))
    yield server
    server.end()


@pytest.fixture
def small(server: Server) -> Folder:
    """A folder with a model, of the test's own."""
    path = f"models/{secrets.token_hex(4)}"
    return Folder(server, path, server.make(path))


@dataclasses.dataclass
class Folder:
    server: Server
    path: str
    disk: Path

    def start(self, **asked: Any) -> str:
        status, started = self.server.ask("POST", "dry-runs", {"path": self.path, **asked})
        assert status == 201, started
        return str(started["id"])


def promised(name: str) -> dict[str, Any]:
    """The JSON schema of a successful answer, by the document."""
    document = openapi_document()
    for methods in document["paths"].values():
        for operation in methods.values():
            if operation["operationId"] == name:
                content = next(answer for status, answer in operation["responses"].items() if status < "300")["content"]
                return {**content["application/json"]["schema"], "components": document["components"]}
    raise AssertionError(name)


def test_the_document_has_exactly_the_routes_that_are_served() -> None:
    """Path by path and method by method."""
    told = {(route.method, re.sub(r"\{\w+\}", "x", route.path)) for route in WORKBENCH_ROUTES}
    names = ("get", "post", "put", "delete", "patch")
    served = {
        (name.upper(), pattern.removeprefix("/model-service/").replace("([0-9a-f]+)", "x"))
        for pattern, handler in WORKBENCH
        for name in names
        if name in vars(handler)
    }
    assert told == served


def test_the_page_lists_every_operation() -> None:
    """docs/api.md has one row for each, with the same words."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for route in WORKBENCH_ROUTES:
        assert f"| `{route.method}` | `{route.path}` | {route.summary} | {route.status} |" in page


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(openapi_document())


def test_the_site_tells_kinds_and_root(server: Server) -> None:
    status, site = server.ask("GET", "site")
    assert status == 200
    jsonschema.validate(site, promised("site"))
    assert (site["mode"], site["root"]) == ("embedded", str(server.root))
    assert [kind["name"] for kind in site["kinds"]][:2] == ["fastapi", "vllm"]


def test_a_folder_tells_its_definition_and_its_name(server: Server, small: Folder) -> None:
    """By its own path, and by that of its definition file."""
    for path in (small.path, f"{small.path}/model-definition.yaml"):
        status, found = server.ask("GET", "folder", path=path)
        assert status == 200
        jsonschema.validate(found, promised("look_at_folder"))
        assert (found["path"], found["folder"], found["name"]) == (small.path, str(small.disk), "small-one")
        assert (found["definition"]["port"], found["problems"]) == (8000, [])


def test_a_problem_of_the_definition_has_its_line(server: Server, small: Folder) -> None:
    (small.disk / "model-definition.yaml").write_text(DEFINITION.replace("port: 8000", "port: no"))
    _, found = server.ask("GET", "folder", path=small.path)
    assert found["definition"] is None
    assert [problem["line"] for problem in found["problems"]] == [7]


def test_a_definition_that_names_no_port_is_known_with_its_line(server: Server, small: Folder) -> None:
    """A local replica could not be started; a variable of the service may still say it, so it is told by itself."""
    text = DEFINITION.replace(', "{port}"', "")
    (small.disk / "model-definition.yaml").write_text(text)
    _, found = server.ask("GET", "folder", path=small.path)
    jsonschema.validate(found, promised("look_at_folder"))
    problem = found["port_problem"]
    assert (problem["line"], problem["where"]) == (6, "models[0].service.start_command")
    assert "environment variable whose value is {port}" in problem["message"]
    assert found["problems"] == []
    (small.disk / "model-definition.yaml").write_text("".join([*text.splitlines(True)[:5], "      port: 8000\n"]))
    _, found = server.ask("GET", "folder", path=small.path)
    assert (found["port_problem"], found["problems"][0]["line"]) == (None, 5)
    assert "add a start_command" in found["problems"][0]["message"]


def test_the_text_of_an_editor_is_checked_and_written_nowhere(server: Server, small: Folder) -> None:
    """Each problem with its line; where it may look, and how much, has its bounds."""
    before = sorted((each.name, each.read_bytes()) for each in small.disk.iterdir())
    _, found = server.ask("POST", "checks", {"path": small.path, "text": DEFINITION.replace("port: 8000", "port: no")})
    jsonschema.validate(found, promised("check_definition"))
    assert [problem["line"] for problem in found["problems"]] == [7]
    _, found = server.ask("POST", "checks", {"path": small.path, "text": DEFINITION.replace(', "{port}"', "")})
    assert (found["problems"], found["port_problem"]["line"]) == ([], 6)
    assert server.ask("POST", "checks", {"path": small.path, "text": "a: ["})[1]["problems"][0]["line"] is not None
    assert server.ask("POST", "checks", {"path": small.path, "text": DEFINITION})[1]["problems"] == []
    assert server.ask("POST", "checks", {"path": "../outside", "text": DEFINITION})[0] == 404
    status, refused = server.ask("POST", "checks", {"path": small.path, "text": "#" * ((1 << 20) + 1)})
    assert (status, "text" in refused["error"]["message"]) == (400, True)
    assert sorted((each.name, each.read_bytes()) for each in small.disk.iterdir()) == before


@pytest.mark.parametrize(
    "where", ["missing", "{}/../../../outside", "{}/link", "{}/.hidden", "{}/server.py", "{}\0", " "]
)
def test_what_lies_outside_is_not_there(where: str, server: Server, small: Folder) -> None:
    """Neither by dots, nor by a link, nor where Jupyter hides it; for reading and for everything else."""
    outside = server.root.parent / "outside"
    outside.mkdir(exist_ok=True)
    (small.disk / "link").symlink_to(outside)
    (small.disk / ".hidden").mkdir()
    path = where.format(small.path)
    for method, route, body in (
        ("GET", "folder", None),
        ("PUT", "requests", {"requests": []}),
        ("POST", "drafts", {"path": path, "kind": "fastapi", "write": True}),
        ("POST", "dry-runs", {"path": path}),
    ):
        status, answer = server.ask(method, route, body, **({"path": path} if method != "POST" else {}))
        assert (status, answer["error"]["code"]) == (404, "not_found"), (method, route)
    assert list(outside.iterdir()) == []


def test_a_definition_that_is_a_link_out_is_not_read(server: Server, small: Folder) -> None:
    secret = server.root.parent / "secret"
    secret.write_text("do not tell")
    (small.disk / "model-definition.yaml").unlink()
    (small.disk / "model-definition.yaml").symlink_to(secret)
    status, answer = server.ask("GET", "folder", path=small.path)
    assert (status, "leads out" in answer["error"]["message"]) == (404, True)
    (small.disk / "model-definition.yaml").unlink()
    (small.disk / "model-definition.yaml").symlink_to(small.disk / "other.yaml")
    (small.disk / "other.yaml").write_text(DEFINITION)
    assert server.ask("GET", "folder", path=small.path)[0] == 200


def test_a_draft_is_shown_and_only_then_written(server: Server) -> None:
    new = server.root / "new"
    new.mkdir()
    asked = {"path": "new", "kind": "fastapi", "fields": {"name": "Mine", "port": 9000}}
    status, shown = server.ask("POST", "drafts", asked)
    assert (status, shown["written"], list(new.iterdir())) == (200, [], [])
    jsonschema.validate(shown, promised("draft"))
    note = shown["files"][0]["notes"][0]
    assert "name: Mine" in shown["files"][0]["text"].splitlines()[note["line"] - 1]
    _, written = server.ask("POST", "drafts", {**asked, "write": True})
    assert set(written["written"]) == {"model-definition.yaml", "app.py", "requirements.txt", "model-requests.json"}
    status, refused = server.ask("POST", "drafts", {**asked, "write": True})
    assert (status, refused["error"]["code"]) == (409, "conflict")
    _, found = server.ask("GET", "folder", path="new")
    assert (found["definition"]["port"], found["requests"][0]["name"]) == (9000, "predict")


def test_sample_requests_are_kept(server: Server, small: Folder) -> None:
    kept = [{"name": "hello", "method": "GET", "path": "/hello", "headers": {}, "body": None}]
    answer = {"requests": kept, "left_out": []}
    assert server.ask("PUT", "requests", {"requests": kept}, path=small.path) == (200, answer)
    assert server.ask("GET", "folder", path=small.path)[1]["requests"] == kept
    secret = [{**kept[0], "headers": {"Authorization": "Bearer x"}}]
    status, answer = server.ask("PUT", "requests", {"requests": secret}, path=small.path)
    jsonschema.validate(answer, promised("keep_requests"))
    assert (status, answer) == (200, {"requests": kept, "left_out": ["Authorization"]})
    status, answer = server.ask("PUT", "requests", {"requests": [*kept, *kept]}, path=small.path)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    (small.disk / "model-requests.json").write_text("{")
    _, found = server.ask("GET", "folder", path=small.path)
    assert [problem["severity"] for problem in found["problems"]] == ["warning"]


def test_a_folder_of_somebody_who_means_harm_is_looked_at_all_the_same(server: Server, small: Folder) -> None:
    (small.disk / "config.json").write_text("[" * 190_000)
    body = f"{'[' * 500}{']' * 500}"
    (small.disk / "model-requests.json").write_text(
        f'{{"version": 1, "requests": [{{"name": "a", "path": "/", "body": {body}}}]}}'
    )
    open(os.path.join(os.fsencode(small.disk), b"a\xff.skops"), "wb").close()
    status, found = server.ask("GET", "folder", path=small.path)
    assert (status, found["name"], found["requests"]) == (200, "small-one", [])
    assert "nested more than 100 deep" in found["problems"][0]["message"]


def test_a_failure_of_its_own_is_not_told_as_the_gateways(caplog: pytest.LogCaptureFixture) -> None:
    """With a number that the log has, and without what went wrong, which may hold secrets."""

    class Broken(WorkbenchHandler):
        async def prepare(self) -> None:  # type: ignore[override]
            pass

        def get(self) -> None:
            raise RuntimeError("secret")

    async def asked() -> httpx.Response:
        application = web.Application([("/", Broken)], model_service_link=None)
        server = application.listen(0, "127.0.0.1")
        port = next(iter(server._sockets.values())).getsockname()[1]  # which no method tells
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await client.get(f"http://127.0.0.1:{port}/")
        finally:
            server.stop()

    answer = asyncio.run(asked())
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "internal")
    found = re.fullmatch(r"Something failed in the Jupyter server; its log says more under (\w{8})\.", error["message"])
    assert found
    assert found[1] in caplog.text


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("drafts", {"kind": "spreadsheet"}),
        ("drafts", {"kind": "fastapi", "fields": {"app": "; rm"}}),
        ("drafts", {"kind": "fastapi", "unknown": 1}),
        ("drafts", {"kind": 7}),
        ("dry-runs", {"request": {"name": "x", "path": "no slash"}}),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_a_sentence(
    route: str, body: dict[str, Any], server: Server, small: Folder
) -> None:
    status, answer = server.ask("POST", route, {"path": small.path, **body})
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    assert answer["error"]["message"].endswith(".")


def test_a_body_that_is_no_json_is_refused(server: Server) -> None:
    """A form of another site's page has another Content-Type."""
    for kind in ("text/plain", "application/json"):
        answer = server.client.post("drafts", content="{", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_a_definition_that_cannot_be_served_is_not_tried(server: Server, small: Folder) -> None:
    (small.disk / "model-definition.yaml").write_text("models: []")
    status, answer = server.ask("POST", "dry-runs", {"path": small.path})
    assert (status, answer["error"]["code"], answer["error"]["problems"][0]["line"]) == (422, "invalid_definition", 1)


@pytest.mark.parametrize("route", WORKBENCH_ROUTES, ids=lambda route: route.name)
def test_nobody_may_without_a_token(route: Any, server: Server, small: Folder) -> None:
    body = {"path": small.path, "kind": "fastapi", "write": True, "force": True}
    path = route.path.removeprefix("workbench/v1/").replace("{id}", "abc")
    answer = httpx.request(route.method, f"{server.client.base_url}{path}", json=body, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "jupyter")
    assert sorted(each.name for each in small.disk.iterdir()) == ["model-definition.yaml", "server.py"]


def test_a_cookie_alone_changes_nothing(server: Server, small: Folder) -> None:
    """Another site's page can send it along, but not the header that goes with it."""
    with httpx.Client(trust_env=False) as browser:
        base = str(server.client.base_url)
        browser.get(f"{base}../../../api/me", params={"token": server.token})
        assert browser.get(f"{base}site").status_code == 200
        asked = {"path": small.path, "kind": "fastapi", "write": True, "force": True}
        assert browser.post(f"{base}drafts", json=asked).status_code == 403
    assert (small.disk / "model-definition.yaml").read_text() == DEFINITION


# --- dry runs -----------------------------------------------------------------------------------------------


def living_in(folder: Path) -> list[int]:
    """Processes whose working directory it is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process.pid)
    return found


def events(server: Server, id: str) -> list[tuple[str, dict[str, Any]]]:
    answer = server.client.get(f"dry-runs/{id}", headers={"Accept": "text/event-stream"})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        kind, _, data = block.partition("\n")
        if kind.startswith("event: "):
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_dry_run_tells_all_of_it_and_leaves_nothing(server: Server, small: Folder) -> None:
    id = small.start(request={"name": "hello", "path": "/hello"})
    told = events(server, id)
    phases = [data["phase"] for kind, data in told if kind == "phase"]
    assert list(dict.fromkeys(phases)) == ["starting", "loading", "calling", "stopping"]
    answer = next(data for kind, data in told if kind == "answer")
    assert (answer["status"], answer["body"]) == (200, "hello")
    assert any("the server begins" in data["lines"] for kind, data in told if kind == "log")
    assert (told[-1][0], told[-1][1]["outcome"]) == ("outcome", "passed")
    components = openapi_document()["components"]
    for kind, data in told:
        schema = {"$ref": f"#/components/schemas/DryRun{kind.title()}", "components": components}
        jsonschema.validate(data, schema)
    status, state = server.ask("GET", f"dry-runs/{id}")
    jsonschema.validate(state, promised("get_dry_run"))
    assert (status, state["outcome"], state["answer"]["body"]) == (200, "passed", "hello")
    assert events(server, id) == told, "whoever comes late is told the same"
    assert living_in(small.disk) == []


def test_only_three_dry_runs_go_on_at_once_and_each_can_be_stopped(server: Server, small: Folder) -> None:
    (small.disk / "server.py").write_text("import time\ntime.sleep(600)")
    ids = [small.start() for _ in range(3)]
    status, answer = server.ask("POST", "dry-runs", {"path": small.path})
    assert (status, answer["error"]["code"]) == (409, "conflict")
    eventually(lambda: living_in(small.disk), "a server of a dry run")
    for id in ids:
        status, state = server.ask("DELETE", f"dry-runs/{id}")
        assert (status, state["outcome"]) == (200, "stopped")
    assert living_in(small.disk) == []
    server.ask("DELETE", f"dry-runs/{small.start()}")


def test_a_dry_run_that_is_not_there_is_not_found(server: Server) -> None:
    for method in ("GET", "DELETE"):
        status, answer = server.ask(method, "dry-runs/abc")
        assert (status, answer["error"]["code"]) == (404, "not_found")


def test_dry_runs_end_with_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    folder = server.make("small")
    (folder / "server.py").write_text("import time\ntime.sleep(600)")
    try:
        assert server.ask("POST", "dry-runs", {"path": "small"})[0] == 201
        eventually(lambda: living_in(folder), "a server of a dry run")
    finally:
        server.end()
    assert living_in(folder) == [], server.log.read_text()[-3000:]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_a_form_of_another_site_can_send_is_refused(server: Server, kind: str) -> None:
    """A browser sends these types for any page, without asking the server first; JSON it does not."""
    server.make(f"typed-{secrets.token_hex(4)}")
    answer = server.client.post("dry-runs", content=b'{"path": "typed"}', headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert "Content-Type: application/json" in answer.json()["error"]["message"]


def test_a_body_of_more_than_16_mib_is_refused(server: Server) -> None:
    server.make("large")
    body = {"requests": [{"name": "a", "method": "POST", "path": "/", "body": "x" * (16 << 20)}]}
    status, answer = server.ask("PUT", "requests", body, path="large")
    assert (status, answer["error"]["message"]) == (413, "The body may have at most 16 MiB.")
    assert not (server.root / "large" / "model-requests.json").exists()
