"""The examples' definition files: right for the parser and for the JSON Schema."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from jupyter_model_service.adapters.definition_file import DefinitionFiles
from jupyter_model_service.core.definition import Action, Definition, HealthCheck, json_schema
from jupyter_model_service.core.names import service_name_from

from .served import EXAMPLES

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/model-definition.yaml"))


def load(folder: Path) -> Definition:
    definition, warnings = asyncio.run(DefinitionFiles().load(str(folder)))
    # The weights of koalpaca are made on demand and not part of the repository.
    assert [w for w in warnings if "there is no such folder" not in w.message] == []
    return definition


def test_there_are_the_examples_that_the_documents_speak_of() -> None:
    assert [folder.name for folder in FOLDERS] == ["koalpaca", "tiny-chat"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_definition_is_right_for_parser_and_schema(folder: Path) -> None:
    definition = load(folder)
    assert definition.pre_start_actions == (
        Action("run_command", {"command": ["pip3", "install", "-r", "/models/requirements.txt"], "echo": False}),
    )
    document = yaml.safe_load((folder / "model-definition.yaml").read_text("utf-8"))
    errors = Draft202012Validator(json_schema()).iter_errors(json.loads(json.dumps(document)))
    assert [error.message for error in errors] == []


def test_the_tutorial_definition_is_the_one_of_the_article() -> None:
    definition = load(EXAMPLES / "koalpaca")
    assert definition.name == "KoAlpaca-5.8B-model"
    assert definition.model_path == "/models/KoAlpaca-Ployglot-5.8B"
    assert definition.start_command == (
        "uvicorn", "--app-dir", "/models", "chatbot-api:app", "--port", "8000", "--host", "0.0.0.0",
    )  # fmt: skip
    assert (definition.port, definition.health_check) == (8000, HealthCheck("/health", max_retries=10))
    assert service_name_from(definition.name) == "koalpaca-5-8b-model"
