"""What is told of a refused request: what was wanted, no secrets, and little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from jupyter_model_service.core.tried import LARGEST, NAMED_ALONE, TOLD, UNTOLD, tried
from jupyter_model_service.web.routes import ROUTES

SECRET = "jms_" + "a1B2" * 11


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"role": "operator", "limits": None}, {"role": "operator", "limits": None}),
        ({"replicas": 3, "public": True, "cpus": 0.5}, {"replicas": 3, "public": True, "cpus": 0.5}),
        ({"rules": [{"methods": ["GET"], "path": "/a"}, 7]}, {"rules": [{"methods": ["GET"], "path": "/a"}, 7]}),
        ({"environment": {"KEY": "value", "TOKEN": "other"}}, {"environment": ["KEY", "TOKEN"]}),
        ({"environment": "KEY=value"}, {"environment": "…"}),
        ({"definition": {"file": "f", "text": "password: x"}}, {"definition": "…"}),
        ({"password": "x", "token": "y", "role": {"password": "x"}}, {"role": {}}),
        ({"folder": f"/f/{SECRET}/g"}, {"folder": "/f/…/g"}),
        ({"name": "jmc_short"}, {"name": "…"}),
        ({"text": "x y " * 100}, {"text": ("x y " * 100)[:99] + "…"}),
        ({"origins": list(range(30))}, {"origins": list(range(20))}),
        ({"replicas": 1 << 70}, {"replicas": "…"}),
        ({"replicas": float("nan"), "cpus": [float("inf"), 1e9]}, {"replicas": "…", "cpus": ["…", 1e9]}),
        ({"name": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, {"name": "…"}),
        ({"text": "it is dGhpcyBpcyBhIHNlY3JldA+k3y/zQ9== now"}, {"text": "it is … now"}),
        ({"path": "/a?token=0123456789abcdef&b=1"}, {"path": "/a?token=…&b=1"}),
        ({"text": "Password: hunter2 x"}, {"text": "Password: … x"}),
        (
            {
                "folder": "/home/Ann/models/llama3-8b/checkpoints/2026-11-23",
                "image": "quay.io/jupyter/scipy:2026-10-07",
            },
            {
                "folder": "/home/Ann/models/llama3-8b/checkpoints/2026-11-23",
                "image": "quay.io/jupyter/scipy:2026-10-07",
            },
        ),
        (
            {"limits": {"limits": {"limits": {"limits": {"role": 1}}}}},
            {"limits": {"limits": {"limits": {"limits": "…"}}}},
        ),
        ([1], {}),
        ("x", {}),
        (None, {}),
    ],
)
def test_what_was_tried_is_told(given: Any, told: dict[str, Any]) -> None:
    assert tried(given) == told


def test_what_is_too_much_is_told_by_its_fields() -> None:
    found = tried({"origins": ["x " * 50] * 20, "role": "caller"})
    assert found["fields"] == ["origins", "role"]
    assert found["too_long"] > LARGEST


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(SECRET),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(TOLD | NAMED_ALONE)) | st.text(), inner),
)


@given(_JSON)
def test_whatever_is_sent_little_is_told_and_no_token(given: Any) -> None:
    text = json.dumps(tried(given))
    assert len(text) < LARGEST + 2_000
    assert SECRET not in text


def _fields(model: type[BaseModel]) -> Iterator[str]:
    yield from model.model_fields
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            for inner in (kind, *get_args(kind)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from _fields(inner)


def test_of_each_field_of_a_request_it_is_decided_whether_it_may_be_told() -> None:
    """A new one is put into one of the three sets of ``core/tried.py``."""
    fields = {name for route in ROUTES if route.request is not None for name in _fields(route.request)}
    decided = TOLD | NAMED_ALONE | UNTOLD
    assert fields - decided == set()
    assert decided - fields == {"user", "no_public"}, (
        "the two of our pages' forms, and nothing that is no field any more"
    )
