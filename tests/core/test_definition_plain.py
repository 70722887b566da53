"""A definition survives being stored, and being written as a document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from jupyter_model_service.core.definition import (
    Definition,
    definition_from_plain,
    definition_to_plain,
    json_schema,
    parse,
)

from .definitions import definitions, document_of


@given(definitions())
def test_a_definition_is_the_same_after_json(definition: Definition) -> None:
    assert definition_from_plain(json.loads(json.dumps(definition_to_plain(definition)))) == definition


@given(definitions())
def test_a_definition_written_as_a_document_is_read_the_same_and_fits_the_schema(definition: Definition) -> None:
    document = document_of(definition)
    assert parse(document)[0] == definition
    assert list(Draft202012Validator(json_schema()).iter_errors(document)) == []


def test_what_an_older_version_stored_gets_the_defaults_of_today() -> None:
    assert definition_from_plain({"name": "m", "model_path": "/models", "port": 8000}) == Definition(
        "m", "/models", 8000
    )


def test_the_plain_form_shares_nothing_with_the_definition() -> None:
    definition, _ = parse(
        {
            "models": [
                {
                    "name": "m",
                    "service": {"port": 80, "pre_start_actions": [{"action": "log", "args": {"message": "x"}}]},
                }
            ]
        }
    )
    plain = definition_to_plain(definition)
    plain["pre_start_actions"][0]["args"]["message"] = "y"
    assert definition.pre_start_actions[0].args["message"] == "x"


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"name": "m"},
        {"name": "m", "model_path": "/m", "port": 1, "colour": "red"},
        {"name": "m", "model_path": "/m", "port": 1, "pre_start_actions": ["x"]},
        {"name": "m", "model_path": "/m", "port": 1, "health_check": {"route": "/"}},
        {"name": "m", "model_path": "/m", "port": 1, "serving": 3},
        None,
    ],
)
def test_what_is_no_stored_definition_is_refused_with_one_error(plain: Any) -> None:
    with pytest.raises(ValueError, match="this is not a stored definition"):
        definition_from_plain(plain)
