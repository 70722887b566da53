"""The name of a model in a body that comes in pieces: the same as whoever reads the whole of it would find."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_model_service.core.model_field import Found, ModelOfForm, ModelOfJson, scanner

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(['"', "\\", '\\"', "model", '{"model": "x"}', "\u2028😀", "\\\\"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda deeper: st.one_of(
        st.lists(deeper, max_size=4),
        st.dictionaries(TEXTS, deeper, max_size=4),
        st.fixed_dictionaries({"model": deeper}),
    ),
    max_leaves=12,
)
MEMBERS = st.lists(
    st.tuples(st.one_of(TEXTS, st.just("model"), st.just("Model")), st.one_of(VALUES, TEXTS)), max_size=6
)
BLANKS = st.text(alphabet=" \t\r\n", max_size=3)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def escaped(text: str) -> str:
    """As JSON may write it, too."""
    return '"' + "".join(f"\\u{ord(each):04x}" if ord(each) < 0x10000 else each for each in text) + '"'


@st.composite
def documents(draw: Callable[..., Any]) -> bytes:
    """Objects of any members, keys repeated, written in any of the ways that JSON has."""
    parts = []
    for key, value in draw(MEMBERS):
        write = draw(st.sampled_from([json.dumps, escaped]))
        indent = draw(st.sampled_from([None, 2]))
        a, b, c, d = (draw(BLANKS) for _ in range(4))
        said = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)
        parts.append(f"{a}{write(key)}{b}:{c}{said}{d}")
    text = draw(BLANKS) + "{" + ",".join(parts) + ("" if parts else draw(BLANKS)) + "}" + draw(BLANKS)
    return text.encode("utf-8", "surrogatepass")


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[a:b] for a, b in pairwise(ends)]


def found(field: ModelOfJson | ModelOfForm, body: list[bytes]) -> tuple[Found, str]:
    for piece in body:
        if (result := field.feed(piece)) is not Found.MORE:
            assert field.feed(b"more") is result, "what it said is final"
            assert field.end() is result
            return result, field.name
    return field.end(), field.name


def expected(body: bytes) -> tuple[Found, str]:
    """By reading all of it: of several the first counts."""
    for key, value in json.loads(body, object_pairs_hook=lambda pairs: Pairs(pairs)).pairs:
        if key == "model":
            return (Found.NAME, value) if isinstance(value, str) else (Found.NO_TEXT, "")
    return Found.NOTHING, ""


class Pairs:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


@settings(max_examples=250, deadline=None)
@given(documents(), CUTS)
@example(b'{"a":[["]"]],"b":"\\\\","model":"x"}', [9, 10, 19, 20, 21])
@example(b'{"messages":[{"content":"}"}],"n":1,"model":"a\\"b"}', list(range(60)))
def test_it_is_what_reading_the_whole_body_finds(body: bytes, cuts: list[int]) -> None:
    want = expected(body)
    assert found(ModelOfJson(), [body]) == want
    assert found(ModelOfJson(), pieces(body, cuts)) == want
    assert found(ModelOfJson(), [body[i : i + 1] for i in range(len(body))]) == want


def test_it_may_be_cut_anywhere() -> None:
    """In two places at once, also behind a backslash of what is nested, and in it."""
    body = b'{"a\\"":["\\"]\\\\",{"\\u00fc":"}"}],"b":"\\\\\\"","\\u006dodel":"x\\"/y"}'
    assert expected(body) == (Found.NAME, 'x"/y')
    for first in range(len(body)):
        for second in range(first, len(body)):
            cut = [body[:first], body[first:second], body[second:]]
            assert found(ModelOfJson(), cut) == (Found.NAME, 'x"/y'), cut


@settings(max_examples=250, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(list('{}[]":,\\ 1model\n')), max_size=40)), CUTS)
def test_what_is_no_json_says_the_same_however_it_is_cut(body: bytes | list[str], cuts: list[int]) -> None:
    raw = body if isinstance(body, bytes) else ("{" + "".join(body)).encode()
    whole = found(ModelOfJson(), [raw])
    assert found(ModelOfJson(), pieces(raw, cuts)) == whole
    assert found(ModelOfJson(), [raw[i : i + 1] for i in range(len(raw))]) == whole
    try:
        is_object = isinstance(json.loads(raw.decode("utf-8")), dict)
    except ValueError:
        return
    if not is_object:
        assert whole == (Found.MALFORMED, "")


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", Found.MALFORMED),
        (b"  ", Found.MALFORMED),
        (b'["model"]', Found.MALFORMED),
        (b'"model"', Found.MALFORMED),
        (b"model=x", Found.MALFORMED),
        (b'{"model"', Found.MALFORMED),
        (b'{"model":', Found.MALFORMED),
        (b'{"model":"x', Found.MALFORMED),
        (b'{"model":,"a":1}', Found.MALFORMED),
        (b'{"model" "x"}', Found.MALFORMED),
        (b'{,"model":"x"}', Found.MALFORMED),
        (b'{"a":1,}', Found.MALFORMED),
        (b"{'model':'x'}", Found.MALFORMED),
        (b'{"model":"a\\x"}', Found.MALFORMED),
        (b'{"model":"a\xff"}', Found.MALFORMED),
        (b'{"model":"a\nb"}', Found.MALFORMED),
        (b'{"a":{"model":"x"}}', Found.NOTHING),
        (b'{"a":[{"model":"x"},"model"],"Model":"y","models":"z"}', Found.NOTHING),
        (b"{}", Found.NOTHING),
        (b'{"model":null}', Found.NO_TEXT),
        (b'{"model":["x"]}', Found.NO_TEXT),
        (b'{"model":{"model":"x"}}', Found.NO_TEXT),
    ],
)
def test_bodies_without_a_name(body: bytes, result: Found) -> None:
    assert found(ModelOfJson(), [body]) == (result, "")
    assert found(ModelOfJson(), [body[i : i + 1] for i in range(len(body))]) == (result, "")


@pytest.mark.parametrize("split", [False, True])
def test_the_first_name_counts_and_nothing_after_it_is_waited_for(split: bool) -> None:
    body = b'{"stream": true, "model": "a/b", "model": "c", "messages": ['
    assert found(ModelOfJson(), [body[i : i + 1] for i in range(len(body))] if split else [body]) == (
        Found.NAME,
        "a/b",
    )


def test_a_name_without_end_is_cut() -> None:
    """No service is called like that, and 1 MiB of it need not be kept."""
    field = ModelOfJson()
    assert field.feed(b'{"model":"') is Found.MORE
    for _ in range(100):
        assert field.feed(b"x" * 1000) is Found.MORE
    assert field.feed(b'"') is Found.NAME
    assert field.name == "x" * 1024


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b"x" * (1 << 20),
        b'{"a":"' + b"\\\\" * (1 << 19),
        b'{"a":"' + b'\\"' * (1 << 19),
        b'{"a":' + b"[" * (1 << 20),
        b'{"a":[' + b"[]," * (1 << 18),
        b'{"a":[' + b'"",' * (1 << 18),
        b'{"a":["' + b"\\n" * (1 << 19),
        b" " * (1 << 20),
    ],
    ids=lambda body: body[:12].decode(),
)
@pytest.mark.parametrize("size", [1 << 20, 4096])
def test_no_body_takes_long(body: bytes, size: int) -> None:
    """Each byte is looked at a few times at most: 1 MiB takes some 0.1 s, and what is quadratic took minutes."""
    field = ModelOfJson()
    began = process_time()
    for start in range(0, len(body), size):
        assert field.feed(body[start : start + size]) is Found.MORE
    assert process_time() - began < 10.0


@pytest.mark.parametrize("value", [b"0", b'""', b"[]", b'"\\n"', b"{}"])
def test_an_object_of_very_many_members_is_not_followed_to_its_end(value: bytes) -> None:
    """1 MiB of them took 2 s."""
    member = b'"a": %b,' % value
    assert found(ModelOfJson(), [b"{" + member * 999 + b'"model":"x"']) == (Found.NAME, "x")
    for size in (1, 1 << 20):
        body = b"{" + member * 1000 + b'"model":"x"'
        cut = [body[i : i + size] for i in range(0, len(body), size)]
        assert found(ModelOfJson(), cut) == (Found.TOO_FAR, "")


# --- forms ------------------------------------------------------------------------------------------------------------

B = "B-1"
TYPE = b'multipart/form-data; charset=utf-8; boundary="B-1"'


def part(content: bytes, *lines: str) -> bytes:
    return "\r\n".join([f"--{B}", *lines, "", ""]).encode() + content + b"\r\n"


FILE = part(
    b"RIFF\r\n--B-\r\n\r\nmodel", 'Content-Disposition: form-data; name="file"; filename="model"', "Content-Type: a/b"
)
NAMED = part(b"whisper", 'Content-Disposition: form-data; name="model"')
LAST = f"--{B}--\r\n".encode()


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (NAMED + FILE + LAST, (Found.NAME, "whisper")),
        (FILE + NAMED, (Found.NAME, "whisper")),
        (b"preamble\r\n" + FILE + NAMED, (Found.MORE, "")),
        (
            part(b"a/b", "content-type: text/plain", "content-disposition:form-data;name=model") + LAST,
            (Found.NAME, "a/b"),
        ),
        (part("ü".encode(), 'Content-Disposition: form-data; name="model"') + NAMED + LAST, (Found.NAME, "ü")),
        (part(b"", 'Content-Disposition: form-data; name="model"') + LAST, (Found.NAME, "")),
        (part(b"x", 'Content-Disposition: form-data; name="model"; filename="m"') + LAST, (Found.NOTHING, "")),
        (part(b"x", 'Content-Disposition: form-data; name="models"') + LAST, (Found.NOTHING, "")),
        (part(b"x", 'Content-Disposition: attachment; name="model"') + LAST, (Found.NOTHING, "")),
        (part(b'name="model"', 'Content-Disposition: form-data; name="a"') + LAST, (Found.NOTHING, "")),
        (FILE + LAST + NAMED, (Found.NOTHING, "")),
        (FILE, (Found.MALFORMED, "")),
        (b"", (Found.MALFORMED, "")),
        (part(b"", *["X: y"] * 3000), (Found.MALFORMED, "")),
    ],
)
def test_a_forms_field(body: bytes, want: tuple[Found, str]) -> None:
    if want[0] is Found.MORE:  # the value's end is not there yet
        want = (Found.NAME, "whisper")
        body += LAST
    body = body if want[1] != "whisper" or LAST in body else body + LAST
    assert found(scanner(TYPE), [body]) == want
    for size in (1, 2, 3, 7):
        assert found(scanner(TYPE), [body[i : i + size] for i in range(0, len(body), size)]) == want


def test_which_scanner() -> None:
    """JSON is what nothing else is said of, as ``curl -d`` does."""
    for kind in (b"", b"application/json; charset=utf-8", b"application/x-www-form-urlencoded", b"text/plain"):
        assert isinstance(scanner(kind), ModelOfJson)
    assert found(scanner(b"Multipart/Form-Data; Boundary=B-1"), [NAMED + LAST]) == (Found.NAME, "whisper")
    assert found(scanner(b"multipart/form-data"), [NAMED + LAST]) == (Found.MALFORMED, "")


def test_a_forms_name_without_end_is_cut_and_a_large_file_is_let_by() -> None:
    field = scanner(TYPE)
    assert field.feed(part(b"x" * 5000, 'Content-Disposition: form-data; name="model"')[:3000]) is Found.NAME
    assert set(field.name) == {"x"}
    field = scanner(TYPE)
    assert field.feed(FILE[:-2]) is Found.MORE
    for _ in range(64):
        assert field.feed(b"\r\n-" * 5000) is Found.MORE
    assert found(field, [b"\r\n" + NAMED + LAST]) == (Found.NAME, "whisper")


def test_a_form_of_more_parts_than_anybody_has_is_not_searched() -> None:
    """Each part costs a look at all that came with it, so there is an end of them: 256 KiB of empty ones took 0.5 s."""
    other = b"\r\n--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1"
    named = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    for parts, want in ((99, (Found.NAME, "whisper")), (100, (Found.TOO_FAR, ""))):
        field = ModelOfForm(b"b")
        assert field.feed(other * parts + named) is want[0]
        assert field.name == want[1]
