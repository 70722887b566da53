"""Which environment a replica may be given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jupyter_model_service.core.environment import check_environment
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("", "x", "An environment variable has an empty name: give it one, or take it away."),
        ("A=B", "x", 'The name of the environment variable "A=B" has "=": use letters, digits and underscores.'),
        ("A\0", "x", 'variable "A?" has control characters'),
        ("A\nB", "x", 'variable "A?B" has control characters'),
        ("N\x1b" * 200, "x", f'variable "{"N?" * 18}N..." has control characters'),
        ("A\ud800", "x", 'variable "A?" has control characters'),
        (
            "BACKEND_MODEL_PATH",
            "secret",
            "The environment variable BACKEND_MODEL_PATH is set for each replica and cannot be given",
        ),
        ("MODEL_SERVICE_PORT", "secret", "variable MODEL_SERVICE_PORT is set for each replica and cannot be given"),
        ("A", "secret" * 30_000, "The environment variable A has 180,003 bytes with its name"),
        ("A", "secret\0", "The value of the environment variable A has a NUL character, which no program can be given"),
    ],
)
def test_what_no_program_can_be_given_is_one_sentence_without_the_value(name: str, value: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_environment({"FINE": "1", name: value})
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidRequest):
        RevisionChange(environment={name: value})


def test_a_value_may_be_as_large_as_a_program_can_be_given() -> None:
    """The limit is that of the system: one byte more, and no program starts. The total is ours."""
    most = "x" * (131_072 - len("NAME=\0"))
    check_environment({"NAME": most})
    with pytest.raises(
        InvalidRequest, match="NAME has 131,073 bytes with its name, and a program can be given 131,072"
    ):
        check_environment({"NAME": most + "x"})
    with pytest.raises(InvalidRequest, match="has 131,074 bytes"):
        check_environment({"NAME": most[:-1] + "€"})
    if sys.platform == "linux":
        subprocess.run(["true"], env={"NAME": most}, check=True)
        with pytest.raises(OSError, match="Argument list too long"):
            subprocess.run(["true"], env={"NAME": most + "x"}, check=True)
    check_environment({f"N{number}": "x" * 104_853 for number in range(10)})
    with pytest.raises(InvalidRequest, match="have 1,048,580 bytes together"):
        check_environment({f"N{number}": "x" * 104_854 for number in range(10)})


def test_names_together_are_few_enough_to_be_told_of_each_revision() -> None:
    check_environment({f"N{number:07}": "" for number in range(2048)})
    with pytest.raises(InvalidRequest, match="have 16,385 bytes together, and 16,384 is the most"):
        check_environment({"N": "", **{f"N{number:07}": "" for number in range(2048)}})


def test_every_value_that_a_program_can_be_given_is_taken() -> None:
    environment = {"A": "", "B_1": "two\nlines = \x1b \U0001f600", "with blank": "x", "Größe": "1"}
    check_environment(environment)
    for name, value in environment.items():
        assert os.fsencode(f"{name}={value}").count(b"\0") == 0
    assert RevisionChange(environment=environment).environment == environment
