"""How a prompt begins, whatever of its body is here."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.prompt import beginning

SYSTEM = {"role": "system", "content": "You are kind."}
FIRST = {"role": "user", "content": "What is a replica?"}
LATER = [{"role": "assistant", "content": "A copy."}, {"role": "user", "content": "Of what?"}]


def of(body: Any, characters: int = 1000) -> bytes | None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return beginning(data, characters, whole=True)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"prompt": "Once upon a time", "max_tokens": 3}, b"Once upon a time"),
        ({"model": "m", "temperature": 0.5, "stop": ["a", {"b": None}], "prompt": "Once"}, b"Once"),
        ({"prompt": ["first", "second"]}, b"first"),
        ({"prompt": [1, 2, 3], "max_tokens": 3}, b"[1, 2, 3]"),
        ({"messages": [SYSTEM, FIRST]}, b"You are kind.\nWhat is a replica?"),
        ({"messages": [SYSTEM, FIRST, *LATER]}, b"You are kind.\nWhat is a replica?"),
        ({"model": "m", "messages": [FIRST, *LATER]}, b"What is a replica?"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}, b"a"),
        ({"prompt": "\u00e9\ud83d\ude00"}, "\u00e9\U0001f600".encode()),
        (b' \n {"prompt" : "x"}', b"x"),
    ],
)
def test_the_prompt_is_found(body: Any, found: bytes) -> None:
    assert of(body) == found


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": "Once upon a time"},
        {"prompt": None},
        {"messages": []},
        {"messages": "hello"},
        [{"prompt": "x"}],
        b"not JSON at all",
        b'{"prompt',
        b"{]",
        b'{"a":1 "prompt":"x"}',
        b"\xff\xfe{\x00",
        b"[" * 60_000,
        b'{"a":' + b"[" * 60_000,
    ],
)
def test_of_any_other_body_it_is_how_that_begins(body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert of(data, 12) == data[:12]


def test_no_more_than_so_many_characters_count() -> None:
    assert of({"prompt": "abcdef"}, 3) == b"abc"
    assert of({"messages": [SYSTEM, FIRST]}, 15) == b"You are kind.\nW"
    assert of({"prompt": "\u00e9" * 9}, 2) == "\u00e9\u00e9".encode()


def test_a_conversation_begins_the_same_in_each_turn() -> None:
    """Also where its first words are fewer than those that count."""
    assert of({"messages": [SYSTEM, FIRST]}, 5000) == of({"messages": [SYSTEM, FIRST, *LATER, *LATER]}, 5000)
    assert of({"messages": [SYSTEM, FIRST]}, 5000) != of({"messages": [SYSTEM, LATER[1]]}, 5000)


def test_as_soon_as_it_is_known_no_more_is_waited_for() -> None:
    assert beginning(b'{"model":"m","prompt":"abcdef', 5, whole=False) == b"abcde"
    assert beginning(b'{"model":"m","prompt":"abcdef', 7, whole=False) is None
    assert beginning(b'{"model":"m","prompt":"abcdef"', 7, whole=False) == b"abcdef"
    assert beginning(b'{"messages":[{"role":"user","content":"abc"},{"ro', 7, whole=False) == b"abc"
    assert beginning(b'{"messages":[{"content":"abc', 3, whole=False) == b"abc"
    assert beginning(b"plain text", 5, whole=False) == b"plain"
    assert beginning(b"plain", 9, whole=False) is None
    assert beginning(b"", 9, whole=False) is None
    assert beginning(b"", 9, whole=True) == b""


TEXTS = st.text(st.sampled_from('ab"\\\n/\u00e9\U0001f600\ud83d{}[],:'), max_size=12)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"])},
        optional={"content": TEXTS | st.none() | st.lists(st.fixed_dictionaries({"text": TEXTS}), max_size=2)},
    ).flatmap(lambda message: st.permutations(list(message.items())).map(dict)),
    max_size=4,
)
PROMPTS = TEXTS | st.lists(TEXTS, max_size=2) | st.lists(st.integers(0, 99), max_size=4) | st.none()
BODIES = st.fixed_dictionaries(
    {}, optional={"model": TEXTS, "n": st.integers(), "prompt": PROMPTS, "messages": MESSAGES, "stop": st.lists(TEXTS)}
).flatmap(lambda body: st.permutations(list(body.items())).map(dict))


@given(BODIES, st.booleans(), st.integers(1, 30), st.data())
def test_what_is_known_of_a_part_is_that_of_the_whole(
    body: dict[str, Any], escaped: bool, characters: int, data: st.DataObject
) -> None:
    """Wherever it was cut: in a name, an escape, half of a character."""
    raw = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass" if not escaped else "strict")
    whole = beginning(raw, characters, whole=True)
    assert whole is not None
    cut = data.draw(st.integers(0, len(raw)))
    assert beginning(raw[:cut], characters, whole=False) in (None, whole)


@given(st.binary(max_size=60) | st.text('{}[]",:prompt 0123messages\\u', max_size=60).map(str.encode), st.booleans())
def test_nothing_that_a_caller_sends_breaks_it(data: bytes, whole: bool) -> None:
    found = beginning(data, 10, whole=whole)
    assert found is not None or not whole


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[' + b"{}," * 21_000,
        b"{" + b'"a":1,' * 10_900,
        b'{"messages":[{' + b'"a":1,' * 10_900,
        b'{"prompt":"' + b"\\n" * 32_000,
        b'{"prompt":' + b"9" * 65_000,
        b'{"prompt":' + b"[" * 65_000,
        b" " * 65_000,
    ],
)
def test_no_64_kb_take_long(body: bytes) -> None:
    """On the event loop: a member or message each took 30 ms; now it is below 1 ms. Of a processor's time: on a busy
    machine others have it meanwhile."""
    times = []
    for _ in range(5):
        began = time.thread_time()
        beginning(body, 16_384, whole=True)
        times.append(time.thread_time() - began)
    assert min(times) < 0.01
