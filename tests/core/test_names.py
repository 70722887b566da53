"""Names of services and owners."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.names import (
    RESERVED_SERVICE_NAMES,
    SERVICE_NAME_PATTERN,
    check_service_name,
    owner_from,
    service_name_from,
)
from jupyter_model_service.errors import InvalidRequest


@pytest.mark.parametrize("name", ["a", "tiny-chat", "koalpaca-5-8b-model", "a1-2b", "x" * 20])
def test_a_valid_name_passes(name: str) -> None:
    check_service_name(name)
    assert re.fullmatch(SERVICE_NAME_PATTERN, name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", 'The service name is empty; give one such as "tiny-chat".'),
        ("Tiny", 'The service name "Tiny" must begin with a lower-case letter; "tiny" would do.'),
        ("7b", 'The service name "7b" must begin with a lower-case letter; "model-7b" would do.'),
        ("-a", 'The service name "-a" must begin with a lower-case letter; "a" would do.'),
        ("a/b", 'The service name "a/b" must have only lower-case letters, digits and hyphens; "a-b" would do.'),
        ("a_b", 'The service name "a_b" must have only lower-case letters, digits and hyphens; "a-b" would do.'),
        (
            "a\n",
            'The service name "a?" must have only lower-case letters, digits and hyphens; "a" would do.',
        ),
        (
            "a--b",
            'The service name "a--b" must have hyphens only one by one between letters and digits; "a-b" would do.',
        ),
        ("a-", 'The service name "a-" must have hyphens only one by one between letters and digits; "a" would do.'),
        (
            "x" * 21,
            f'The service name "{"x" * 21}" is 21 characters long, and 20 are the most; "{"x" * 20}" would do.',
        ),
        (
            "n" * 300,
            f'The service name "{"n" * 37}..." is 300 characters long, and 20 are the most; "{"n" * 20}" would do.',
        ),
        ("metrics", 'The service name "metrics" is reserved; choose another, such as "metrics-model".'),
    ],
)
def test_a_wrong_name_gets_one_sentence_and_a_name_that_would_do(name: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_service_name(name)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("KoAlpaca-5.8B-model", "koalpaca-5-8b-model"),
        ("tiny-chat", "tiny-chat"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama-llama-3-1"),
        ("my-wonderful-language-model", "my-wonderful"),
        ("supercalifragilisticexpialidocious", "supercalifragilistic"),
        ("7b chat", "model-7b-chat"),
        ("Äpfel & Öl", "apfel-ol"),
        ("코알파카", "model"),
        ("", "model"),
        ("!!!", "model"),
        ("API", "api-model"),
    ],
)
def test_the_default_name_is_made_from_the_model_name(model: str, name: str) -> None:
    assert service_name_from(model) == name


@given(st.text() | st.sampled_from(sorted(RESERVED_SERVICE_NAMES)))
def test_the_default_name_is_always_valid(model: str) -> None:
    name = service_name_from(model)
    check_service_name(name)
    assert re.fullmatch(SERVICE_NAME_PATTERN, name)


@given(st.from_regex(SERVICE_NAME_PATTERN, fullmatch=True).filter(lambda n: n not in RESERVED_SERVICE_NAMES))
def test_a_valid_name_is_its_own_default(name: str) -> None:
    assert service_name_from(name) == name


@pytest.mark.parametrize("user", ["ann", "Ann.Lee-2", "a", "x" * 64])
def test_a_plain_user_name_stays_as_it_is_in_urls(user: str) -> None:
    assert owner_from(user) == user


@pytest.mark.parametrize(
    ("user", "begin"),
    [
        ("María López", "maria-lopez~"),
        ("a@b.org", "a-b-org~"),
        ("..", "user~"),
        ("", "user~"),
        ("x" * 65, "x" * 40 + "~"),
    ],
)
def test_any_other_user_name_becomes_a_slug_with_a_hash(user: str, begin: str) -> None:
    owner = owner_from(user)
    assert owner.startswith(begin)
    assert re.fullmatch("[0-9a-f]{16}", owner.removeprefix(begin))


@given(st.text(st.characters()), st.text(st.characters()))
def test_owners_are_safe_in_urls_and_differ_between_users(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", owner_from(one))
    assert (owner_from(one) == owner_from(other)) == (one == other)


@given(st.text(st.characters()))
def test_a_user_cannot_be_named_like_the_owner_that_stands_for_another_user(user: str) -> None:
    owner = owner_from(user)
    assert owner == user or owner_from(owner) != owner
