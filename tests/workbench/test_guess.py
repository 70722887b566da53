"""What is made of a folder's listing."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from jupyter_model_service.adapters.yaml_document import read_yaml
from jupyter_model_service.workbench.draft import draft
from jupyter_model_service.workbench.folder import listing_of, look
from jupyter_model_service.workbench.guess import Guess, Listing, guesses

CONFIG = json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})


def best(listing: Listing) -> Guess:
    return guesses(listing)[0]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("from fastapi import FastAPI\napp = FastAPI()\n", {"app": "main:app", "health": "/openapi.json"}),
        (
            "api: FastAPI = fastapi.FastAPI(title='x')\n@api.get('/healthz')\n",
            {"app": "main:api", "health": "/healthz"},
        ),
        ("app = Starlette(routes=[])\n", {"app": "main:app", "health": ""}),
    ],
)
def test_an_asgi_application_is_found_with_its_variable_and_its_health_path(text: str, fields: dict[str, str]) -> None:
    found = best(Listing(("main.py",), {"main.py": text}))
    assert (found.kind, dict(found.fields)) == ("fastapi", fields)
    assert "main.py" in found.reason


def test_an_application_that_only_a_comment_names_is_none() -> None:
    assert best(Listing(("a.py",), {"a.py": "# app = FastAPI()\ndef f():\n    app = FastAPI()\n"})).fields == {}


def test_a_language_model_is_for_transformers_and_for_vllm() -> None:
    listing = Listing(("llm/config.json", "llm/model.safetensors"), {"llm/config.json": CONFIG})
    found = guesses(listing)
    assert [each.kind for each in found] == ["transformers", "vllm"]
    assert (found[0].fields["path"], found[0].fields["task"]) == ("llm", "text-generation")
    assert found[1].fields == {"model": "/models/llm"}


@pytest.mark.parametrize(
    "config", ["", "{", "[]", pytest.param("[" * 190_000, id="deep"), '{"architectures": []}', '{"architectures": [1]}']
)
def test_a_config_that_describes_no_model_is_none(config: str) -> None:
    listing = Listing(("config.json", "model.safetensors"), {"config.json": config})
    assert best(listing).kind == "fastapi"


def test_weights_that_are_pickles_are_no_model_of_transformers() -> None:
    listing = Listing(("config.json", "pytorch_model.bin"), {"config.json": CONFIG})
    assert best(listing).kind == "fastapi"


@pytest.mark.parametrize(
    ("file", "kind", "fields", "said"),
    [
        ("iris.skops", "scikit-learn", {"file": "iris.skops"}, "skops"),
        ("iris.joblib", "scikit-learn", {"file": "iris.joblib"}, "runs whatever code"),
        ("net.pt2", "torch", {"file": "net.pt2"}, "torch.export"),
        ("net.pth", "torch", {"file": "model.pt2"}, "save the model with torch.export.save"),
        ("start.sh", "command", {"command": "PORT={port} sh start.sh"}, "start.sh"),
    ],
)
def test_a_file_tells_its_kind(file: str, kind: str, fields: dict[str, str], said: str) -> None:
    found = best(Listing((file,)))
    assert (found.kind, dict(found.fields)) == (kind, fields)
    assert said in found.reason


def test_other_programs_become_commands() -> None:
    flask = best(Listing(("web.py",), {"web.py": "app = Flask(__name__)\n@app.route('/ping')\n"}))
    assert flask.fields == {"command": "flask --app web:app run --host 0.0.0.0 --port {port}", "health": "/ping"}
    own = best(Listing(("server.py",), {"server.py": "parser.add_argument('--port')"}))
    assert own.fields == {"command": "python3 server.py --port {port}"}


@pytest.mark.parametrize(
    "worst",
    [
        ".get('/" + "health" * 30_000,
        ".get('/" + "a" * 180_000 + "\n" + ".get('/health/" * 1_000,
        (".get('/" + "-" * 1_900 + "\n") * 100,
        ".get(" + " " * 190_000,
        (".get(" + " " * 1_900 + "\n") * 100,
        ".get(" * 40_000,
        "a:" * 90_000,
        ("a" + " " * 1_900 + "\n") * 100,
        ("a:" + " " * 1_900 + "\n") * 100,
        "a" + "\n" * 190_000,
        "a=\n" * 60_000,
        "a=" + "b" * 190_000,
        ("a: " + "a" * 1_900 + "\n") * 100,
    ],
    ids=range(13),
)
def test_no_file_keeps_the_server_busy(worst: str) -> None:
    """All of Jupyter waits meanwhile: 30 kB of such a line once took 10 s. Here are 200 kB, twice."""
    for head in ("app = FastAPI()\n", "app = Flask()\n", ""):
        begun = time.process_time()
        guesses(Listing(("app.py",), {"app.py": f"{head}{worst}"[:200_000]}))
        assert time.process_time() - begun < 3.0


def test_a_route_of_many_lines_is_found() -> None:
    text = 'app = FastAPI()\n@app.get(\n    "/v1/predict",\n)\n@app.get(\n    "/v1/readyz",\n)\n'
    assert best(Listing(("app.py",), {"app.py": text})).fields["health"] == "/v1/readyz"


NASTY = ["a;touch${IFS}PWNED;b", "$(touch PWNED)", "`touch PWNED`", "a'b", "--x", "my app", "my-app", "été", "a.b", "1"]


@pytest.mark.parametrize("name", NASTY)
def test_a_file_is_only_named_to_the_shell(name: str, tmp_path: Path) -> None:
    """A definition that is written for a folder is run by whoever has it; the folder may be somebody else's."""
    (tmp_path / f"{name}.py").write_text("app = Flask(__name__)\n")
    found = best(listing_of(tmp_path))
    files = draft(found.kind, found.fields, folder="x").files
    command = read_yaml(files[0].text).data["models"][0]["service"]["start_command"]
    stub = "flask() { for each; do printf '%s\\n' \"$each\"; done; }\n"
    done = subprocess.run(["sh", "-c", stub + command], cwd=tmp_path, capture_output=True, text=True, check=True)
    app = "été:app" if name == "été" else f"./{name}.py:app"
    assert done.stdout.splitlines() == ["--app", app, "run", "--host", "0.0.0.0", "--port", "{port}"]
    assert [each.name for each in tmp_path.iterdir()] == [f"{name}.py"]


@pytest.mark.parametrize(
    ("name", "app"), [("my app", "my app:app"), ("in-1/my-app", "in-1.my-app:app"), ("a.b", ""), ("-x", "")]
)
def test_an_application_is_named_as_uvicorn_imports_it(name: str, app: str) -> None:
    """Any file that it can import, and nothing that it would take for an option or a package."""
    found = best(Listing((f"{name}.py",), {f"{name}.py": "app = FastAPI()\n"}))
    assert found.fields.get("app", "") == app
    if app:
        text = draft(found.kind, found.fields, folder="x", present=[f"{name}.py"]).files[0].text
        command = read_yaml(text).data["models"][0]["service"]["start_command"]
        assert command[:4] == ["uvicorn", "--app-dir", "/models", app]


def test_an_empty_folder_gets_a_beginning() -> None:
    assert [(each.kind, dict(each.fields)) for each in guesses(Listing(()))] == [("fastapi", {})]


def test_a_listing_follows_no_links_and_leaves_environments_out(tmp_path: Path) -> None:
    """A text is read from regular files of the folder only."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("app = FastAPI()")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "b.py").write_text("b")
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("")
    (folder / "env" / "c.py").write_text("c")
    (folder / "away").symlink_to(outside)
    (folder / "link.py").symlink_to(outside / "secret.py")
    (folder / ".hidden.py").write_text("h")
    found = listing_of(folder)
    assert found.files == ("inner/b.py", "link.py")
    assert found.texts == {"inner/b.py": "b"}


def test_what_is_no_text_is_left_out(tmp_path: Path) -> None:
    """A name that is not UTF-8, as old archives have, and halves of characters: an answer in JSON can have neither."""
    for name in (b"caf\xe9.skops", b"a\nb.skops", b"b.skops"):
        open(os.path.join(os.fsencode(tmp_path), name), "wb").close()
    (tmp_path / "model-definition.yaml").write_text(
        'models:\n- name: x\n  model_path: /models\n  service:\n    start_command: ["\\ud800"]\n    port: 8000\n'
    )
    assert listing_of(tmp_path).files == ("b.skops", "model-definition.yaml")
    found = json.loads(look(tmp_path, "x").model_dump_json())
    assert [guess["fields"] for guess in found["guesses"]] == [{"file": "b.skops"}]
    assert found["definition"]["start_command"] == ["?"]
