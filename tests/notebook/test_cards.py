"""What is told in a card, in words that are still right when the notebook is read a week later."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.notebook.suggesting import cell_for, suggested_cell
from jupyter_model_service.notebook.words import in_words

from ..client.fake_gateway import FakeGateway, event, replica, service, use
from .conftest import Ran

Cell = Callable[[str], Ran]


def bundle(thing: Any) -> dict[str, str]:
    return dict(thing._repr_mimebundle_())


def test_what_can_change_says_when_it_was_so(fake: FakeGateway, cell: Cell) -> None:
    """A service that was ready yesterday is not ready for that. What is always true has no time."""
    fake.services["ada/demo"] = service(replica_list=[replica("demo-abc123")])
    fake.events = [event(1)]
    for line in ("info demo", "list", "events demo", "logs demo", "tokens demo", "info", "scale demo 1 --detach"):
        before = int(time.time())
        fake.log = ["a line"]
        face = cell(f"%model_service {line}").result
        for told in bundle(face).values():
            when = re.search(r"as of (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", told)
            assert when is not None, line
            assert before <= time.mktime(time.strptime(when[1], "%Y-%m-%d %H:%M:%S")) <= time.time()
    for line in ("get-endpoint demo", "list -q"):
        assert "as of" not in "".join(bundle(cell(f"%model_service {line}").result).values())


def test_one_that_is_shown_again_is_as_old_as_it_was(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service(replica_list=[{**replica("demo-abc123"), "since": time.time() - 3000}])
    face = cell("%model_service info demo").result
    face._at -= 1200
    assert ">30 min 0" in bundle(face)["text/html"]


def test_calls_that_are_under_way_are_not_called_calls(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-abc123", in_flight=3)])
    shown = bundle(cell("%model_service info demo").result)
    assert ">In flight</th>" in shown["text/html"]
    assert "IN FLIGHT" in shown["text/plain"]
    listed = bundle(cell("%model_service list").result)["text/html"]
    assert ">Access</th>" in listed
    assert "Calls" not in listed  # none is pictured


def test_the_dot_of_a_state_is_a_letter(fake: FakeGateway, cell: Cell) -> None:
    """What shows a notebook that is not trusted takes ``background`` away, and a dot that is one with it."""
    fake.services["ada/demo"] = service()
    shown = bundle(cell("%model_service info demo").result)["text/html"]
    assert re.search(r'<span style="color:[^"]+" aria-hidden="true">●</span>&nbsp;ready', shown)


def test_a_card_leads_to_the_page_where_there_is_one(fake: FakeGateway, cell: Cell) -> None:
    """And to no script, whatever the gateway says. At the endpoint's own address a page has no origin."""
    link = '<a href="http://demo--ada.localhost:1/" rel="noopener noreferrer" target="_blank"'
    for page, there in (("http://demo--ada.localhost:1/", True), (None, False), ("javascript:alert(1)", False)):
        fake.services["ada/demo"] = service(public=True, page=page)
        for line in ("info demo", "list"):
            shown = bundle(cell(f"%model_service {line}").result)["text/html"]
            assert (link in shown) is there, (line, page)
            assert 'href="javascript' not in shown
            assert 'href="http://127.0.0.1:1/endpoints' not in shown


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_not_there_or_empty_is_one_line_that_says_what_to_do(
    fake: FakeGateway, cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a model"
    if there:
        folder.mkdir()
    problem = {"where": "", "message": "there is no such folder", "file": str(folder), "line": None}
    body = {"error": {"code": "invalid_definition", "message": "x", "problems": [problem]}}
    for path in ("api/v1/validate", "api/v1/services"):
        fake.answers["POST", path] = (422, body, {"X-Model-Service-Error": "invalid_definition"})
    for verb in ("validate", "create"):
        ran = cell(f"%model_service {verb} 'a model'")
        told = ran.out + ran.err
        assert told.startswith(f"DefinitionError: {folder}: there is no such folder. ")
        assert told.endswith("%model_service init 'a model'\n")
        assert told.count("\n") == 1
    folder.mkdir(exist_ok=True)
    (folder / "model-definition.yml").touch()
    ran = cell("%model_service validate 'a model'")
    assert ran.out + ran.err == f"DefinitionError: {folder}: there is no such folder\n"  # init would write nothing


def test_without_a_gateway_a_missing_folder_starts_none(cell: Cell, tmp_path: Path) -> None:
    ran = cell(f"%model_service create {tmp_path}/nope")
    assert (ran.out + ran.err).endswith(f"%model_service init {tmp_path}/nope\n")
    assert (ran.out + ran.err).count("\n") == 1
    assert not (tmp_path / "jupyter_data_dir" / "model-service" / "gateway.json").exists()


def test_what_is_done_to_one_that_is_stopped_stops_no_notebook(fake: FakeGateway, cell: Cell) -> None:
    stopped = fake.services["ada/demo"] = service(state="stopped", want=2)
    fake.answers["PUT", "api/v1/services/ada/demo/scale"] = (202, stopped, {})
    ran = cell("%model_service scale demo 2")
    assert "demo is to have 2 replicas, and is stopped. Start it: %model_service start demo" in repr(ran.result)


def test_one_that_is_stopped_says_how_to_start_it(fake: FakeGateway, cell: Cell) -> None:
    for verb, method, line, stopped in (
        ("stop", "POST", "start demo", service(state="stopped", ready=0)),
        ("scale", "PUT", "scale demo 1", service(state="stopped", want=0)),
    ):
        fake.services["ada/demo"] = stopped
        fake.answers[method, f"api/v1/services/ada/demo/{verb}"] = (202, stopped, {})
        ran = cell(f"%model_service {verb} demo {'0' if verb == 'scale' else ''}")
        assert f"Start it again: %model_service {line}" in repr(ran.result)


def test_words_of_the_shell_become_those_of_a_notebook() -> None:
    told = "It stays when this command ends; `jupyter model-service gateway --stop` ends it. jupyter model-service list"
    here = "It stays when this notebook is closed; `!jupyter model-service gateway --stop` ends it. %model_service list"
    assert in_words(told) == here
    assert in_words(here) == here


SAMPLES = [
    ({"method": "POST", "path": "/predict", "body": {"inputs": [40, 2]}}, 'predict\n{"inputs": [40, 2]}'),
    ({"method": "GET", "path": "/health"}, "health"),
    ({"method": "GET", "path": "/"}, ""),
    ({"method": "PUT", "path": "/a?b='c", "body": "text"}, "'a?b='\"'\"'c' --method PUT\ntext"),
    ({"method": "POST", "path": "/x", "headers": {"X-A": "1 2"}, "body": [1]}, "x --header 'X-A:1 2'\n[1]"),
    ({"method": "GET", "path": "/%7Bx%7D"}, "%7Bx%7D"),
    ({"method": "GET", "path": "/--data-dir=x"}, "/--data-dir=x"),
    ({"method": "GET", "path": "/x", "headers": {"Authorization": "Bearer x", "cookie": "y"}}, "x"),
    ({"method": "GET", "path": "/x", "headers": {"X-A": "{1}"}}, None),
    ({"method": "GET", "path": "/x", "headers": {"--data-dir=x": "1"}}, None),
    ({"method": "POST", "path": "/x", "body": " "}, None),
    ({"method": "POST", "path": "/x", "body": ">>> 1"}, None),
]


@pytest.mark.parametrize(("sample", "expected"), SAMPLES)
def test_a_sample_request_becomes_a_cell_that_sends_it(
    fake: FakeGateway, cell: Cell, sample: dict[str, Any], expected: str | None
) -> None:
    suggested = cell_for("demo", sample)
    assert suggested == ("" if expected is None else f"%%model_service demo {expected}".strip())
    seen: list[object] = []

    def endpoint(handler: BaseHTTPRequestHandler, path: str, raw: bytes) -> None:
        seen.append((handler.command, handler.path.removeprefix("/endpoints/ada/demo"), handler.headers.get("X-A")))
        fake.send(handler, 200, b"", {})

    fake.endpoint = endpoint
    if suggested:
        assert cell(suggested).error is None
        assert seen == [(sample["method"], sample["path"], sample.get("headers", {}).get("X-A"))]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ('/{open("PWNED","w")}', "/%7Bopen(%22PWNED%22,%22w%22)%7D"),
        ("/$cell/${cell}", "/%24cell/%24%7Bcell%7D"),
        ("/`touch PWNED`", "/%60touch%20PWNED%60"),
        ("/a b", "/a%20b"),
        ("/--data-dir=.", "/--data-dir=."),
        ("/-h", "/-h"),
    ],
)
def test_nothing_of_a_health_path_runs_where_the_cards_line_is_pasted(
    fake: FakeGateway, cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, sent: str
) -> None:
    """The definition may be somebody else's; IPython runs what is in braces, and expands dollars."""
    monkeypatch.chdir(tmp_path)
    revision = {"number": 1, "definition": {"health_check": {"path": path}}, "folder": "/nowhere", "model_name": "demo"}
    fake.services["ada/demo"] = service(revisions=[{**revision, "created_at": 1.0}])
    suggested = suggested_cell(fake.services["ada/demo"])
    seen: list[str] = []

    def endpoint(handler: BaseHTTPRequestHandler, _: str, raw: bytes) -> None:
        seen.append(handler.path.removeprefix("/endpoints/ada/demo"))
        fake.send(handler, 200, b"", {})

    fake.endpoint = endpoint
    assert cell(suggested).error is None
    assert seen == [sent]
    assert not (tmp_path / "PWNED").exists()


def test_what_a_service_says_of_itself_is_not_taken_for_the_line_that_calls_it(
    fake: FakeGateway, cell: Cell, tmp_path: Path
) -> None:
    """The text of ``create`` is made of its parts, not cut at words that an address may have, too."""
    endpoint = "http://127.0.0.1:1/endpoints/ada/demo/\nCall it/"
    fake.services["ada/demo"] = service(endpoint=endpoint)
    fake.answers["POST", "api/v1/services"] = (201, fake.services["ada/demo"], {})
    told = repr(cell(f"%model_service create {tmp_path}").result)
    assert f"Endpoint: {endpoint}\nCall it:\n%%model_service demo" in told
    assert "curl" not in told


def test_create_suggests_a_call_with_a_body_of_the_folder(fake: FakeGateway, cell: Cell, tmp_path: Path) -> None:
    """Of the sample requests, the first that is a cell anybody reads; without one, a look at the model's health."""
    requests = [{"name": "long", "method": "POST", "path": "/long", "body": "x" * 2000}]
    requests.append({"name": "one", "method": "POST", "path": "/predict", "body": '{"inputs": [1, 2]}'})
    file = tmp_path / "model-requests.json"
    file.write_text(json.dumps({"version": 1, "requests": requests}))
    definition = {"health_check": {"path": "/health"}}
    folder = {"folder": str(tmp_path), "created_at": 1.0, "model_name": "demo"}
    fake.services["ada/demo"] = service(revisions=[{"number": 1, "definition": definition, **folder}])
    fake.answers["POST", "api/v1/services"] = (201, fake.services["ada/demo"], {})
    made = cell(f"%model_service create {tmp_path}").result
    assert 'Call it:\n%%model_service demo predict\n{"inputs": [1, 2]}' in repr(made)
    assert "%%model_service demo predict\n{&quot;inputs&quot;: [1, 2]}" in bundle(made)["text/html"]
    file.write_text("[")
    assert "Call it:\n%%model_service demo health" in repr(made)
    file.unlink()
    assert "Call it:\n%%model_service demo health" in repr(made)


def test_a_rotated_token_is_not_shown_and_the_former_is_named(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service()
    cell("%model_service generate-token demo")
    face = cell("%model_service rotate-token demo t0 --overlap 2h").result
    assert face.token == "jms_secret2"
    for told in (*bundle(face).values(), str(face.data)):
        assert "jms_secret2" not in told
    assert "The former, t0, still is good for 2 h 00 min." in bundle(face)["text/plain"]


def test_who_called_how_often_is_a_table(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service()
    fake.uses = [use("user", "<b>", 30, 3)]
    shown = bundle(cell("%model_service uses demo").result)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shown["text/html"])
    assert cells[:4] == ["&lt;b&gt;", "3", "3", "0"]
    assert "WHO" in shown["text/plain"]
    fake.uses = []
    assert "Nobody called ada/demo" in bundle(cell("%model_service uses demo").result)["text/html"]
