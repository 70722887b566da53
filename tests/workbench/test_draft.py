"""What is drafted for each kind: it can be served, explains itself, and never takes the place of what is there."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path

import pytest

from jupyter_model_service.adapters.definition_file import load_definition
from jupyter_model_service.errors import Conflict, InvalidRequest
from jupyter_model_service.workbench.draft import Draft, draft, write
from jupyter_model_service.workbench.kinds import KINDS, Kind
from jupyter_model_service.workbench.samples import read_samples

NEEDED = {"command": {"command": "python3 serve.py --port {port}"}, "torch": {"allow_code": "yes"}}
ODD = 'a "quote" \\ {x} é #: -'


def made(kind: str, folder: str = "my model", present: tuple[str, ...] = (), **fields: str | int) -> Draft:
    return draft(kind, {**NEEDED.get(kind, {}), **fields}, folder=folder, present=present)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["", "iris", ODD, "yes", "7"])
def test_every_kind_can_be_served_as_it_is_drafted(kind: Kind, name: str, tmp_path: Path) -> None:
    """The definition has no problem and no warning, Python reads the server, the samples are read again."""
    found = made(kind.name, name=name)
    assert set(found.names()) <= set(kind.writes)
    assert write(found, tmp_path, force=False) == found.names()
    definition, warnings = load_definition(str(tmp_path))
    assert (definition.name, definition.port, warnings) == (name or "my model", 8000, ())
    assert len(read_samples(tmp_path)) == 1
    for file in found.files:
        if file.name.endswith(".py"):
            ast.parse(file.text)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_key_of_a_definition_is_explained_above_its_line(kind: Kind) -> None:
    file = made(kind.name).files[0]
    lines = file.text.splitlines()
    explained = {note.line for note in file.notes}
    numbers = {
        number
        for number, line in enumerate(lines, 1)
        if re.match(r"\s*-?\s*[a-z_]+:", line) and line.strip() not in ("models:", "service:")
    }
    assert len(numbers) > 3
    assert numbers <= explained
    assert [lines[number - 1] for number in numbers if not lines[number - 2].lstrip().startswith("# ")] == []


def test_odd_names_of_files_stay_what_they_are() -> None:
    """In Python's text and in the words about it."""
    for kind, field, value in (
        ("scikit-learn", "file", 'a"""\\b é.skops'),
        ("torch", "file", '"\\.pt2'),
        ("transformers", "path", '"é\\'),
    ):
        text = next(file.text for file in made(kind, **{field: value}).files if file.name == "serve.py")
        constants = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        assert value in constants


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("fastapi", {"app": "app"}, "MODULE:VARIABLE"),
        ("fastapi", {"app": ""}, "Application is missing"),
        ("fastapi", {"port": 2000}, "reserved"),
        ("fastapi", {"port": "x"}, "no port"),
        ("fastapi", {"port": True}, "no port"),
        ("fastapi", {"health": "health"}, "no path"),
        ("fastapi", {"prot": 1}, "no field 'prot'"),
        ("vllm", {"options": "--a 'b"}, "close the quote"),
        ("command", {"command": ""}, "Command is missing"),
        ("command", {"command": "serve"}, "{port}"),
        ("command", {"command": "a\nb"}, "one line"),
        ("scikit-learn", {"file": "../model.skops"}, "not in the folder"),
        ("scikit-learn", {"file": "/model.skops"}, "not in the folder"),
        ("scikit-learn", {"file": "model.joblib"}, "is a pickle"),
        ("scikit-learn", {"method": "fit"}, "none of predict"),
        ("scikit-learn", {"example": "a"}, "is no JSON"),
        ("torch", {"file": "model.pt"}, "torch.export.save"),
        ("torch", {"dtype": "float"}, "none of float32"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(kind: str, fields: dict[str, str | int], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made(kind, **fields)
    assert said in refused.value.message
    assert refused.value.message.endswith(".")


def test_a_pickle_is_loaded_by_those_who_say_so() -> None:
    for file, library in (("a.joblib", "joblib.load"), ("a.pkl", "pickle.load")):
        found = made("scikit-learn", file=file, allow_pickle="yes")
        assert library in found.files[1].text
        assert "skops" not in found.files[1].text + found.files[2].text


def test_a_file_of_torch_is_loaded_by_those_who_say_that_it_is_theirs() -> None:
    with pytest.raises(InvalidRequest, match="can run any code as you: for a file of your own, set allow_code to yes"):
        made("torch", allow_code="no")
    with pytest.raises(InvalidRequest, match="allow_code"):
        draft("torch", {}, folder="net")
    assert "torch.export.load" in made("torch", allow_code="yes").files[1].text


def test_an_application_that_is_there_is_used_and_not_written() -> None:
    for present, app in ((("app.py",), "app:app"), (("pkg/__init__.py",), "pkg:app"), ((), "pkg.main:app")):
        assert "model-requests.json" in made("fastapi", present=present, app=app).names()
        assert not [name for name in made("fastapi", present=present, app=app).names() if name.endswith(".py")]


def test_requirements_are_pinned_by_what_is_installed_without_its_local_part() -> None:
    found = draft("torch", NEEDED["torch"], folder="x", versions={"torch": "2.9.1+cpu"})
    assert next(file.text for file in found.files if file.name == "requirements.txt").splitlines()[1:] == [
        "torch==2.9.1"
    ]


def test_nothing_that_is_there_is_written_over_unless_told(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text("mine")
    found = made("scikit-learn")
    assert "serve.py" not in write(found, tmp_path, force=False)
    assert (tmp_path / "serve.py").read_text() == "mine"
    (tmp_path / "requirements.txt").unlink()
    with pytest.raises(Conflict):
        write(found, tmp_path, force=False)
    assert not (tmp_path / "requirements.txt").exists()
    assert write(found, tmp_path, force=True) == found.names()
    assert (tmp_path / "serve.py").read_text() != "mine"


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    """Also one that leads nowhere yet."""
    folder = tmp_path / "folder"
    folder.mkdir()
    target = tmp_path / "target"
    (folder / "serve.py").symlink_to(target)
    found = made("scikit-learn")
    assert "serve.py" not in write(found, folder, force=False)
    write(found, folder, force=True)
    assert not target.exists()
    assert not (folder / "serve.py").is_symlink()


def test_force_leaves_one_definition(tmp_path: Path) -> None:
    """Two spellings of its name would be two definitions."""
    (tmp_path / "model-definition.yml").write_text("old")
    with pytest.raises(Conflict, match=r"model-definition\.yml"):
        write(made("vllm"), tmp_path, force=False)
    write(made("vllm"), tmp_path, force=True)
    assert sorted(os.listdir(tmp_path)) == ["model-definition.yaml", "model-requests.json"]


def test_vllm_is_asked_by_the_name_that_it_serves() -> None:
    """It is not run here: the definition is what can be held."""
    found = made("vllm", name="llama", model="org/llama", options="--max-model-len 8192")
    assert "vllm, serve, org/llama, --served-model-name, llama" in found.files[0].text
    assert '--max-model-len, "8192"' in found.files[0].text
    request = json.loads(found.files[1].text)["requests"][0]
    assert (request["path"], request["body"]["model"]) == ("/v1/chat/completions", "llama")
