"""The JSON Schema says the same as the parser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from jupyter_model_service.core.definition import Definition, HealthCheck, Serving, json_schema, parse
from jupyter_model_service.core.definition.keys import ACTIONS, HEALTH_CHECK, MODEL, SERVICE, SERVING, TOP
from jupyter_model_service.errors import DefinitionError

from .test_definition_parse import ARTICLE, action, service


def fits(document: Any) -> bool:
    return Draft202012Validator(json_schema()).is_valid(document)


def is_right(document: Any) -> bool:
    try:
        parse(document)
    except DefinitionError:
        return False
    return True


def property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from property_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from property_names(value)


def test_the_schema_is_a_schema_and_plain_json() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


@pytest.mark.parametrize("owner", [Definition, HealthCheck, Serving])
def test_every_field_is_in_the_schema(owner: Any) -> None:
    assert {field.name for field in dataclasses.fields(owner)} <= set(property_names(json_schema()))


def test_every_key_and_action_is_in_the_schema_with_its_kebab_case_twin() -> None:
    names = set(property_names(json_schema()))
    keys = [*TOP, *MODEL, *SERVICE, *HEALTH_CHECK, *SERVING, *(key for keys in ACTIONS.values() for key in keys)]
    assert {key.name for key in keys} <= names
    assert {key.name.replace("_", "-") for key in keys} <= names
    assert "command" in names  # the legacy name of start_command


def test_the_table_has_the_fields_of_the_dataclasses_and_no_others() -> None:
    assert {key.name for key in SERVING} == {field.name for field in dataclasses.fields(Serving)}
    assert {key.name for key in HEALTH_CHECK} == {"enable", *(field.name for field in dataclasses.fields(HealthCheck))}
    assert {key.name for key in (*MODEL, *SERVICE)} == {
        "service",
        "metadata",
        *(field.name for field in dataclasses.fields(Definition)),
    }


def test_the_article_definition_fits() -> None:
    assert fits(ARTICLE)


@pytest.mark.parametrize(
    "document",
    [
        service(),
        service(start_command="a b", shell=""),
        service(start_command="a b", shell=None),
        service(**{"start-command": ["a", 8000]}),
        service(command=["a"]),
        service(health_check={}),
        service(health_check=None),
        service(health_check={"enable": False}),
        service(serving={"concurrency": None}),
        service(future_key=1),
        action("write_file", filename="a", body="x", mode=644),
        action("log", message="x"),
        {"models": [{"name": "x", "model-path": "/models/a", "service": {"port": 80}, "metadata": {"a": 1}}]},
    ],
)
def test_what_the_parser_takes_fits(document: Any) -> None:
    # Unquoted numbers are text where text is wanted; their spelling comes from the file.
    spelling = {("models", 0, "service", "start-command", 1): "8000"} | {
        ("models", 0, "service", "pre_start_actions", 0, "args", "mode"): "644"
    }
    parse(document, spelling=spelling)
    assert fits(document)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"models": []},
        {"models": [{"name": "x"}]},
        {"models": service()["models"] * 2},
        service(port=...),
        service(port=0),
        service(port=2000),
        service(port=70_000),
        service(port="8000"),
        service(start_command=[]),
        service(shell="bash -e"),
        service(pre_start_actions={}),
        action("run_comand", command=["a"]),
        action("run_command", command="a"),
        action("run_command"),
        action("write_file", filename="a", body="x", mode="999"),
        service(health_check={"interval": 3}),
        service(health_check={"path": "health"}),
        service(health_check={"path": "/", "interval": 0}),
        service(health_check={"path": "/", "expected_status_code": 100}),
        service(health_check={"path": "/", "enable": "yes"}),
        service(serving={"concurrency": 0}),
        service(serving={"queue_timeout": 0}),
        service(serving={"retry": "no"}),
    ],
)
def test_what_the_parser_refuses_does_not_fit(document: Any) -> None:
    assert not is_right(document)
    assert not fits(document)
