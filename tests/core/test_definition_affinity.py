"""The block `serving.affinity` of a definition: read, described for editors, its problems."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from jupyter_model_service.core.affinity import Affinity
from jupyter_model_service.core.definition import json_schema, parse
from jupyter_model_service.errors import DefinitionError

from .test_definition_parse import service

PLACE = "models[0].service.serving.affinity"


def block(**keys: Any) -> dict[str, Any]:
    return service(serving={"affinity": keys, "autoscaling": {"min": 0, "max": 4}})


def fits(document: Any) -> bool:
    return Draft202012Validator(json_schema()).is_valid(document)


@pytest.mark.parametrize(
    ("keys", "read"),
    [
        ({"by": "prefix"}, Affinity("prefix", None, 2000, 1.25)),
        ({"by": "prefix", "characters": 300, "bound": 2}, Affinity("prefix", None, 300, 2.0)),
        ({"by": "header", "name": "X-Session"}, Affinity("header", "X-Session")),
        ({"by": "cookie"}, Affinity("cookie")),
        ({"by": "cookie", "bound": 1.5}, Affinity("cookie", None, None, 1.5)),
    ],
)
def test_what_is_read(keys: dict[str, Any], read: Affinity) -> None:
    """Of a service that is autoscaled, too."""
    definition, warnings = parse(block(**keys))
    assert (definition.serving.affinity, warnings) == (read, ())
    assert definition.serving.autoscaling is not None
    assert fits(block(**keys))


def test_without_it_there_is_none() -> None:
    assert parse(service())[0].serving.affinity is None
    assert parse(service(serving={"affinity": None}))[0].serving.affinity is None


@pytest.mark.parametrize(
    ("keys", "where", "says"),
    [
        ({}, ".by", "is missing"),
        ({"by": "heder", "name": "X"}, ".by", 'must be header, cookie or prefix, not "heder"; did you mean header?'),
        ({"by": ["header"], "name": "X"}, ".by", "must be header, cookie or prefix, not a list"),
        ({"by": "header"}, ".name", "is missing: which header is it?"),
        ({"by": "header", "name": None}, ".name", "is missing: which header is it?"),
        ({"by": "header", "name": "a b"}, ".name", "must be the name of a header"),
        ({"by": "header", "name": "a:b"}, ".name", "must be the name of a header"),
        ({"by": "prefix", "characters": 0}, ".characters", "must be a whole number of at least 1"),
        ({"by": "prefix", "bound": 0.5}, ".bound", "must be a number of at least 1"),
    ],
)
def test_what_is_wrong_is_told_and_fits_no_schema(keys: dict[str, Any], where: str, says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(block(**keys))
    (problem,) = caught.value.problems
    assert problem.where == PLACE + where
    assert problem.message.startswith(says)
    assert not fits(block(**keys))


@pytest.mark.parametrize("name", ["Authorization", "Host", "Connection", "X-Forwarded-For", "X_Real_IP"])
def test_a_header_that_does_not_reach_the_model_is_no_good(name: str) -> None:
    with pytest.raises(DefinitionError, match="must be a header that goes on to the model"):
        parse(block(by="header", name=name))


def test_a_cookie_goes_on_to_the_model_and_has_a_word_of_its_own() -> None:
    with pytest.raises(DefinitionError, match="cannot be the header of all cookies; say by: cookie"):
        parse(block(by="header", name="Cookie"))


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"by": "prefix", "name": "X"}, ".name"),
        ({"by": "header", "name": "X-A", "characters": 9}, ".characters"),
        ({"by": "cookie", "name": "session"}, ".name"),
    ],
)
def test_what_has_no_effect_is_told(keys: dict[str, Any], where: str) -> None:
    _, (warning,) = parse(block(**keys))
    assert (warning.where, warning.severity) == (PLACE + where, "warning")
    assert "no effect" in warning.message
