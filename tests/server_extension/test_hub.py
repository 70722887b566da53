"""The extension in a server of a hub: it starts no gateway, forwards to the hub's with this server's token for nobody but
the server's user, and adds what only this server can read."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service.fingerprint import fingerprint
from jupyter_model_service.server_extension.completing import complete

from ..client.fake_gateway import FakeGateway, service
from .conftest import eventually, port_of

TEXT = "models:\n  - name: demo\n    service: {start_command: [python, serve.py], port: 8000}\n"
#: Jupyter signs a visitor in by what she says that she is: the Hub's own way in a test's clothes.
VISITORS = """
from jupyter_server.auth import IdentityProvider, User
class Visitors(IdentityProvider):
    def get_user(self, handler):
        name = handler.request.headers.get("X-Visitor")
        return User(username=name) if name else None
    def is_token_authenticated(self, handler):
        return True
    token_authenticated = True
"""


class Lab:
    def __init__(self, folder: Path, gateway: FakeGateway) -> None:
        self.folder, self.gateway = folder, gateway
        (folder / "visitors.py").write_text(VISITORS)
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "JUPYTERHUB_USER": "ada",
            "JUPYTERHUB_API_TOKEN": gateway.token,
            "JUPYTER_IMAGE_SPEC": "site/notebook:7",
            "MODEL_SERVICE_URL": gateway.url.rstrip("/"),
        }
        environment.pop("MODEL_SERVICE_TOKEN", None)
        for kind in ("data", "runtime", "config"):
            environment[f"JUPYTER_{kind.upper()}_DIR"] = str(folder / kind)
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.ip=127.0.0.1", "--allow-root"]
        command += ["--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
        command += ["--ServerApp.identity_provider_class=visitors.Visitors", "--ServerApp.disable_check_xsrf=True"]
        command += ["--ServerApp.jpserver_extensions=jupyter_model_service=True"]
        self.log = folder / "jupyter.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        port = port_of(self.process, folder / "runtime", self.log)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        eventually(self._up, "a Jupyter server that answers", 60)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.client.get("/api/status", headers={"X-Visitor": "ada"}).status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, method: str, path: str, body: Any = None, visitor: str = "ada") -> httpx.Response:
        return self.client.request(method, f"/model-service/{path}", json=body, headers={"X-Visitor": visitor})

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with FakeGateway(token="hub-token-of-adas-server") as gateway:
        info = {"version": "0", "mode": "hub", "owner": "ada", "pid": 1, "launcher": "hub", "started_at": 1.0}
        gateway.answers["GET", "api/v1/"] = (200, info, {})
        made = Lab(tmp_path_factory.mktemp("lab"), gateway)
        yield made
        made.close()


@pytest.fixture
def model(lab: Lab) -> Path:
    folder = lab.folder / "model"
    folder.mkdir(exist_ok=True)
    (folder / "model-definition.yaml").write_text(TEXT)
    return folder


def sent(lab: Lab, path: str) -> Any:
    return [body for _, asked, _, body in lab.gateway.requests if asked == path][-1]


def test_the_hubs_gateway_is_used_and_none_is_started(lab: Lab) -> None:
    answer = lab.ask("GET", "api/v1/services")
    assert answer.status_code == 200
    assert not (lab.folder / "data" / "model-service").exists()
    assert "/attach" not in str(lab.gateway.requests)


def test_the_offer_names_the_image_of_this_server(lab: Lab) -> None:
    """Which only this server knows; the rest is the gateway's."""
    offer = {"containers": True, "max_replicas": 10, "public": False}
    lab.gateway.answers["GET", "api/v1/offer"] = (200, offer, {})
    assert lab.ask("GET", "api/v1/offer").json() == {**offer, "own_image": "site/notebook:7"}


def test_what_the_server_does_itself_is_for_its_user_only(lab: Lab, model: Path) -> None:
    site = lab.ask("GET", "workbench/v1/site").json()
    assert (site["mode"], site["user"], site["root"]) == ("hub", "ada", str(lab.folder.resolve()))
    assert lab.ask("GET", "workbench/v1/folder?path=model").json()["name"] == "demo"
    asked = {"path": "", "kind": "fastapi", "write": True}
    answer = lab.ask("POST", "workbench/v1/drafts", asked, visitor="bob")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert not (lab.folder / "model-definition.yaml").exists()


@pytest.mark.parametrize("path", ["api/v1/services", "endpoints/ada/demo/x", "endpoints/ada/demo/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_visitor_is_not_forwarded_with_the_rights_of_whose_server_it_is(lab: Lab, method: str, path: str) -> None:
    before = len(lab.gateway.requests)
    answer = lab.ask(method, path, {} if method == "POST" else None, visitor="bob")
    assert answer.status_code == 403
    assert "whose server this is" in answer.json()["error"]["message"]
    assert len(lab.gateway.requests) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["endpoints/ada/demo/x", "endpoints/ada/demo"])
def test_a_connection_on_which_a_call_was_refused_is_good_for_the_next(lab: Lab, method: str, path: str) -> None:
    """Who is told no before her body has come would else meet a closed connection, and perhaps not even hear the no."""
    address = (lab.client.base_url.host, lab.client.base_url.port or 0)
    connection = http.client.HTTPConnection(*address, timeout=30)
    visitor = {"X-Visitor": "ada" if path.endswith("demo") else "bob"}
    for _ in range(3):
        connection.putrequest(method, f"/model-service/{path}")
        for name, value in (visitor | ({"Content-Length": "2"} if method == "POST" else {})).items():
            connection.putheader(name, value)
        connection.endheaders()
        if method == "POST":
            time.sleep(0.05)  # the head is alone with the server, as on any real network
            connection.send(b"{}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == (308 if path.endswith("demo") else 403)
        assert not answer.will_close
    connection.close()


def test_a_large_body_that_is_refused_is_not_read_and_the_connection_ends(lab: Lab) -> None:
    address = (lab.client.base_url.host, lab.client.base_url.port or 0)
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.putrequest("POST", "/model-service/endpoints/ada/demo/x")
    connection.putheader("X-Visitor", "bob")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (403, "close")
    connection.close()


def test_a_create_from_the_browser_gets_definition_and_image(lab: Lab, model: Path) -> None:
    answer = lab.ask("POST", "api/v1/services", {"folder": str(model), "replicas": 2, "public": False})
    assert answer.status_code == 201, answer.text
    body = sent(lab, "api/v1/services")
    assert body["definition"] == {"file": "model-definition.yaml", "text": TEXT}
    assert (body["image"], body["replicas"]) == ("site/notebook:7", 2)


def test_an_update_and_a_validation_from_the_browser_get_the_definition(lab: Lab, model: Path) -> None:
    revision = {"number": 1, "created_at": 1.0, "folder": str(model), "model_name": "demo"}
    lab.gateway.services["ada/demo"] = service("demo", revisions=[revision])
    lab.gateway.answers["POST", "api/v1/services/ada/demo/update"] = (202, service("demo", revision=2), {})
    lab.gateway.answers["POST", "api/v1/validate"] = (200, {"name": "demo", "definition": {}, "warnings": []}, {})
    assert lab.ask("POST", "api/v1/services/ada/demo/update", {"cpus": 2}).status_code == 202
    assert sent(lab, "api/v1/services/ada/demo/update")["definition"]["text"] == TEXT
    assert lab.ask("POST", "api/v1/validate", {"folder": str(model)}).status_code == 200
    assert sent(lab, "api/v1/validate")["definition"]["text"] == TEXT


def test_a_folder_that_cannot_be_served_is_told_with_its_problem(lab: Lab) -> None:
    answer = lab.ask("POST", "api/v1/services", {"folder": str(lab.folder / "nothing")})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_definition"
    assert [problem["message"] for problem in error["problems"]] == ["there is no such folder"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"folder": 3}', b"\xff"])
def test_what_makes_no_sense_is_left_for_the_gateway_to_refuse(body: bytes) -> None:
    """Nobody is asked, nothing is read."""
    assert complete("http://127.0.0.1:1/", "token", "api/v1/services", body) == body


def test_a_changed_folder_is_told_by_the_server_that_sees_it(lab: Lab, model: Path) -> None:
    """Of her own services: another user's folder of the same name is another folder."""
    seen = fingerprint(str(model))
    files = {"kind": "copy", "source": "snapshot", "path": "ms-1-r1", "fingerprint": seen}
    revision = {"number": 1, "created_at": 1.0, "folder": str(model), "model_name": "demo", "files": files}
    lab.gateway.services["ada/demo"] = service("demo", revisions=[revision])
    lab.gateway.services["bob/demo"] = service("demo", owner="bob", revisions=[revision])
    assert lab.ask("GET", "api/v1/services/ada/demo").json()["folder_changed"] is False
    (model / "new.py").write_text("x")
    answer = lab.ask("GET", "api/v1/services/ada/demo")
    assert answer.json()["folder_changed"] is True
    assert answer.headers["Cache-Control"] == "no-store"
    assert lab.ask("GET", "api/v1/services/bob/demo").json()["folder_changed"] is None
    assert lab.ask("GET", "api/v1/services/ada/none").status_code == 404
