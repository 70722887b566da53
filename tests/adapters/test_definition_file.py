"""Definitions in real folders: what is found, what is refused, and the sentence that says why."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import definition_file
from jupyter_model_service.adapters.definition_file import DefinitionFiles, GivenDefinitions
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Kept
from jupyter_model_service.errors import DefinitionError, InvalidRequest, ModelServiceError, Problem
from jupyter_model_service.ports import GivenDefinition

GOOD = "models:\n  - name: m\n    service: {port: 8000, start_command: [serve, on, 1.10]}\n"


def load(folder: str | Path) -> Definition:
    definition, warnings = asyncio.run(DefinitionFiles().load(str(folder)))
    assert warnings == ()
    return definition


def problems(folder: str | Path) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        asyncio.run(DefinitionFiles().load(str(folder)))
    return list(caught.value.problems)


def problem(folder: str | Path) -> str:
    (only,) = problems(folder)
    return str(only)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("name", ["model-definition.yaml", "model-definition.yml"])
def test_both_endings_are_read(folder: Path, name: str) -> None:
    (folder / name).write_text(GOOD)
    assert load(folder) == Definition("m", "/models", 8000, ("serve", "on", "1.10"))


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(folder: Path) -> None:
    (folder / "model-definition.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(folder).name == "m"


def test_a_relative_folder_is_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert problem("nothing") == f"{folder / 'nothing'}: there is no such folder"


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert problem("~/nothing") == f"{folder / 'nothing'}: there is no such folder"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_folder_must_be_named(name: str) -> None:
    assert problem(name) == "name the model folder: the path of a directory"


def test_a_file_is_no_folder(folder: Path) -> None:
    file = folder / "weights.bin"
    file.touch()
    assert problem(file) == f"{file}: is not a folder"
    definition = folder / "model-definition.yaml"
    definition.touch()
    assert problem(definition) == f"{definition}: is not a folder; give the folder that it is in: {folder}"
    assert problem(definition / "x") == f"{definition / 'x'}: the folder cannot be read: not a directory"


def test_a_folder_without_a_definition(folder: Path) -> None:
    told = f"{folder}: the folder has no model-definition.yaml, which says how to serve it"
    assert problem(folder) == told
    (folder / "model_definition.yaml").touch()
    assert problem(folder) == told + "; rename model_definition.yaml if that is it"


def test_a_folder_with_two_definitions(folder: Path) -> None:
    (folder / "model-definition.yaml").write_text(GOOD)
    (folder / "model-definition.yml").write_text(GOOD)
    assert problem(folder) == (
        f"{folder}: the folder has both model-definition.yaml and model-definition.yml; keep one of them"
    )


def test_a_broken_link_is_a_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "model-definition.yaml").symlink_to("nowhere")
    assert problem(folder) == f"{folder / 'model-definition.yaml'}: cannot be read: no such file or directory"


def test_what_is_no_regular_file_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "model-definition.yaml")
    assert problem(folder) == f"{folder / 'model-definition.yaml'}: is not a regular file"
    (folder / "model-definition.yaml").unlink()
    (folder / "model-definition.yaml").mkdir()
    assert problem(folder) == f"{folder / 'model-definition.yaml'}: cannot be read: is a directory"


def test_a_file_that_is_too_large(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_bytes(b"#" * (1 << 20))
    assert "the file is empty" in problem(folder)
    file.write_bytes(b"#" * ((1 << 20) + 1))
    assert problem(folder) == f"{file}: is larger than 1 MiB; it should hold only the definition"


def test_a_file_that_is_not_utf_8(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_bytes("models:\n- name: 모델\n".encode("euc-kr"))
    assert problem(folder) == f"{file}:2: is not UTF-8 text here; save the file as UTF-8"


def test_bad_yaml_is_said_with_its_line(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_text("models:\n  - name: m\n  service: {}\n")
    (only,) = problems(folder)
    assert (only.file, only.line) == (str(file), 3)
    assert only.message.startswith("is not valid YAML: ")


@pytest.mark.parametrize(("text", "what"), [("- a\n", "a list"), ("hello\n", '"hello"'), ("3\n", "3")])
def test_a_file_of_the_wrong_kind(folder: Path, text: str, what: str) -> None:
    (folder / "model-definition.yaml").write_text(text)
    assert f"model-definition.yaml:1: the file must hold a mapping, not {what}; " in problem(folder)


def test_all_problems_are_reported_at_once_with_file_and_line_in_the_order_of_the_file(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_text(
        "models:\n"
        "  - name: m\n"
        "    model_path: models\n"
        "    service:\n"
        "      helth_check: {path: /}\n"
        "      port: 2000\n"
        "      port: 8000\n"
        "      note: x\n"
    )
    assert [(p.file, p.line, p.where, p.severity) for p in problems(folder)] == [
        (str(file), 3, "models[0].model_path", "error"),
        (str(file), 5, "models[0].service.helth_check", "error"),
        (str(file), 6, "models[0].service.port", "error"),
        (str(file), 7, "models[0].service.port", "error"),
        (str(file), 8, "models[0].service.note", "warning"),
    ]


def test_a_key_that_is_there_twice_is_an_error_even_when_all_else_is_right(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_text("models:\n  - name: m\n    service:\n      port: 8000\n      port: 8001\n")
    assert problem(folder) == f"{file}:5: models[0].service.port: is there twice (first in line 4); keep one"


def test_the_listing_that_lost_its_indentation_is_told_where_each_key_belongs(folder: Path) -> None:
    (folder / "model-definition.yaml").write_text(
        'models:\n- name: "m"\nmodel_path: "/models/m"\nservice:\nport: 8000\nhealth_check:\npath: /health\n'
    )
    told = {p.where: p.message.split(";")[0] for p in problems(folder)}
    assert told["model_path"] == "belongs in models[]"
    assert told["port"] == "belongs in models[].service"
    assert told["path"] == "belongs in models[].service.health_check"


def test_warnings_name_the_file_too(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_text(GOOD + "note: x\n")
    _, (only,) = asyncio.run(DefinitionFiles().load(str(folder)))
    assert str(only) == f"{file}:4: note: is not a known key and has no effect; known here: models"


def test_a_model_path_that_is_not_in_the_folder_is_a_warning(folder: Path) -> None:
    file = folder / "model-definition.yaml"
    file.write_text(GOOD.replace("service:", "model_path: /models/weights\n    service:"))
    _, (only,) = asyncio.run(DefinitionFiles().load(str(folder)))
    assert str(only) == (
        f"{file}:3: models[0].model_path: stands for {folder / 'weights'}, and there is no such folder; "
        "a replica starts in it, so make it first"
    )
    (folder / "weights").mkdir()
    load(folder)


def test_a_file_system_that_hangs_ends_in_an_error_and_not_in_a_wait(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read itself cannot be made to hang here, so the time limit is shortened and the reading held up."""
    freed = threading.Event()
    monkeypatch.setattr(definition_file, "READ_TIMEOUT", 0.05)
    monkeypatch.setattr(definition_file, "load_definition", lambda folder: freed.wait(20))

    async def body() -> str:
        try:
            await DefinitionFiles().load(str(folder))
        except DefinitionError as error:
            return str(error)
        finally:
            freed.set()
        return "read"

    assert asyncio.run(body()) == f"{folder}: could not be read within 0 s; is the file system well?"


def test_the_definition_of_a_revision_is_that_of_its_copy(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is wrong with it is said of the folder: the copy is gone by then."""
    copy = tmp_path_factory.mktemp("copy")
    (folder / "model-definition.yaml").write_text(GOOD)
    (copy / "model-definition.yaml").write_text(GOOD.replace("name: m", "name: copied"))
    kept = Kept("copy", str(copy))

    def read(kept: Kept) -> Definition:
        return asyncio.run(DefinitionFiles().load(str(folder), None, kept))[0]

    assert (read(kept).name, read(Kept(why="too large")).name) == ("copied", "m")
    (copy / "model-definition.yaml").write_text("models: [")
    with pytest.raises(DefinitionError) as caught:
        read(kept)
    assert str(copy) not in str(caught.value)
    assert str(caught.value).startswith(f"{folder}/model-definition.yaml:1: ")
    (copy / "model-definition.yaml").unlink()
    with pytest.raises(DefinitionError, match=f"{folder}: the folder has no model-definition.yaml"):
        read(kept)


# --- a gateway that cannot read the folder -------------------------------------------------------------


def given(folder: str, text: str, file: str = "model-definition.yaml") -> tuple[Definition, Sequence[Problem]]:
    return asyncio.run(GivenDefinitions().load(folder, GivenDefinition(file, text)))


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("port: 8000", "port: many"), "models: [", GOOD + "serving: 3\n"])
def test_a_definition_that_was_sent_is_judged_like_one_that_was_read(folder: Path, text: str) -> None:
    """The same definition, problems, sentences, file names and lines."""
    (folder / "model-definition.yaml").write_text(text)

    def outcome(load: Callable[[], Any]) -> Any:
        try:
            return load()
        except DefinitionError as error:
            return error.problems

    read = outcome(lambda: asyncio.run(DefinitionFiles().load(str(folder))))
    assert outcome(lambda: given(str(folder), text)) == read
    assert str(folder) in str(read) or read == (read[0], ())


@pytest.mark.parametrize(
    ("folder", "file", "text", "message"),
    [
        ("models/chat", "model-definition.yaml", GOOD, "absolute path"),
        ("", "model-definition.yaml", GOOD, "absolute path"),
        ("/home/ann/chat", "../../etc/passwd", GOOD, "is no name of a definition"),
        ("/home/ann/chat", "model-definition.yaml", "#" * (1 << 20) + "\n", "larger than 1 MiB"),
    ],
)
def test_what_cannot_be_a_folders_definition_is_refused(folder: str, file: str, text: str, message: str) -> None:
    with pytest.raises(ModelServiceError, match=message):
        given(folder, text, file)


def test_the_definition_beside_a_whole_volume_is_the_one_that_was_sent() -> None:
    """It has no path here, so that problems are said of the volume."""
    definition, _ = given("volume:weights", GOOD)
    assert definition.port == 8000
    with pytest.raises(DefinitionError, match=r"volume:weights/model-definition\.yaml") as caught:
        given("volume:weights", GOOD.replace("port: 8000", "port: many"))
    assert caught.value.problems[0].line
    with pytest.raises(DefinitionError, match="absolute path"):
        given("volume:../weights", GOOD)


def test_a_client_that_sends_no_definition_is_told_what_to_send() -> None:
    with pytest.raises(
        InvalidRequest, match=r"cannot read /home/ann/chat: send the text of its model-definition\.yaml"
    ):
        asyncio.run(GivenDefinitions().load("/home/ann/chat"))
