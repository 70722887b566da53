"""What stands in a line of the access log, and what whoever calls cannot bring into it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.access_line import FIELDS, LONGEST_PATH, Entry, line, trace_id
from jupyter_model_service.core.ending import Broken
from jupyter_model_service.core.token_in_address import TOKEN_IN_ADDRESS

CALL = Entry(
    began=1000.0,
    ended=1002.5,
    first_byte=1000.25,
    waited=0.125,
    owner="alice",
    name="chat",
    revision=3,
    caller="token:ci",
    address=b"10.0.0.7",
    method=b"POST",
    target=b"/endpoints/alice/chat/v1/score?key=secret",
    status=200,
    code="",
    broken=None,
    bytes_in=57,
    bytes_out=1048576,
    replica="chat-abc123",
    tries=2,
    request_id=b"r-1",
    trace=b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    upgrade=b"",
)
TO_UNIX = 1_763_900_000.0


def read(**fields: Any) -> dict[str, Any]:
    text = line(CALL._replace(**fields), TO_UNIX)
    assert text.isascii()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert all(" " <= character <= "~" for character in text[:-1])
    found: dict[str, Any] = json.loads(text)
    assert tuple(found) == FIELDS
    return found


def test_a_whole_call() -> None:
    assert read() == {
        "time": "2025-11-23T12:30:00.000Z",
        "service": "alice/chat",
        "owner": "alice",
        "revision": 3,
        "caller": "token:ci",
        "address": "10.0.0.7",
        "method": "POST",
        "path": "/endpoints/alice/chat/v1/score",
        "status": 200,
        "code": None,
        "broken": None,
        "bytes_in": 57,
        "bytes_out": 1048576,
        "seconds": 2.5,
        "first_byte_seconds": 0.25,
        "wait_seconds": 0.125,
        "replica": "chat-abc123",
        "tries": 2,
        "request_id": "r-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "upgrade": None,
    }


def test_what_there_is_none_of_is_null() -> None:
    nothing = read(
        first_byte=None,
        owner="",
        name="",
        revision=0,
        caller="",
        method=b"",
        target=b"",
        replica="",
        request_id=b"",
        trace=b"",
        code="bad_request",
        broken=Broken.GONE,
        upgrade=b"websocket",
    )
    empty = ("service", "owner", "revision", "caller", "method", "path", "first_byte_seconds")
    assert [nothing[name] for name in (*empty, "replica", "request_id", "trace_id")] == [None] * 10
    assert (nothing["code"], nothing["broken"], nothing["upgrade"]) == ("bad_request", "caller_gone", "websocket")


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
        (1_709_164_800.5, "2024-02-29T00:00:00.500Z"),
    ],
)
def test_the_time_is_utc_to_the_millisecond(unix: float, text: str) -> None:
    assert json.loads(line(CALL._replace(began=0.0), unix))["time"] == text


@given(
    texts=st.lists(st.text(max_size=300), min_size=4, max_size=4),
    wires=st.lists(st.binary(max_size=1200), min_size=6, max_size=6),
)
def test_whatever_a_caller_says_stays_in_its_field(texts: list[str], wires: list[bytes]) -> None:
    """One line, ASCII, the same fields in the same order, each of a bounded length."""
    owner, name, caller, code = texts
    address, method, target, request_id, trace, upgrade = wires
    found = read(
        owner=owner,
        name=name,
        caller=caller,
        code=code,
        address=address,
        method=method,
        target=target,
        request_id=request_id[:128],
        trace=trace,
        upgrade=upgrade,
    )
    assert found["status"] == 200
    assert max(len(value) for value in found.values() if isinstance(value, str)) <= LONGEST_PATH


def test_a_break_in_a_name_makes_no_second_line() -> None:
    forged = 'x"}\n{"time":"now","status":200}\r\u2028\x1b[2J'
    assert read(caller=forged)["caller"] == forged
    assert read(target=b"/a\r\n{}\x00\xff")["path"] == "/a\r\n{}\x00\\xff"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/p?token=jms_a&x=/y?z", "/p"),
        (b"/p?", "/p"),
        (b"/?x", "/"),
        (b"/calls/jms_Ab-c_9/x", "/calls/[token]/x"),
        (b"/calls/jmc_" + b"A" * 2000, "/calls/[token]…"),
        (b"/a%3Fb", "/a%3Fb"),
        (b"*", "*"),
    ],
)
def test_no_query_and_no_token_of_ours_is_in_a_path(target: bytes, path: str) -> None:
    assert read(target=target)["path"] == path


def test_nothing_is_told_of_an_address_of_the_control_api_that_was_refused_for_the_token_in_it() -> None:
    there = TOKEN_IN_ADDRESS.code
    target = b"/api/v1/services/ann/chat/access/user/5e3c"
    assert read(target=target, owner="", name="", code=there, status=400)["path"] == "[token]"
    assert read(target=target, owner="", name="", code="", status=200)["path"] == target.decode()
    called = read(target=b"/endpoints/ann/chat/x?token=5e3c", owner="ann", name="chat", code=there, status=400)
    assert called["path"] == "/endpoints/ann/chat/x", "there it was in the query"


@pytest.mark.parametrize(
    "text", ["jms_SECRET-1", "jms%5FSECRET-1", "jmc_%53ECRET%2d1", "jms%255fSECRET-1", "x%6Ams_SECRET-1"]
)
def test_no_token_of_ours_is_in_a_line_however_it_was_written(text: str) -> None:
    """The front takes owner and name from the path, and undoes its percent-encoding once."""
    once = unquote(text)
    ways: tuple[dict[str, Any], ...] = (
        {"owner": once, "name": "n"},
        {"owner": "o", "name": once},
        {"method": text.encode()},
        {"address": once.encode()},
        {"upgrade": text.encode()},
        {"target": f"/endpoints/o/n/{text}/x%20y/{text}".encode()},
    )
    for fields in ways:
        said = str(read(**fields))
        assert "[token]" in said, fields
        assert "ECRET" not in unquote(unquote(said)), fields
    assert read(target=b"/a%2520b/jms%20_x")["path"] == "/a%2520b/jms%20_x", "all else as it was sent"


def test_a_long_path_is_cut_and_says_so() -> None:
    found = read(target=b"/" + b"a" * 5000)["path"]
    assert len(found) == LONGEST_PATH
    assert found.endswith("a…")
    assert read(target=b"/" + b"a" * (LONGEST_PATH - 2))["path"].endswith("aa")


PARENT = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (f"00-{PARENT}-01", True),
        (f"00-{PARENT}-00", True),
        (f"cc-{PARENT}-01", True),
        (f"cc-{PARENT}-01-what-comes-later", True),
        (f"cc-{PARENT}-01.", False),
        (f"00-{PARENT}-01-more", False),
        (f"ff-{PARENT}-01", False),
        (f"00-{PARENT.upper()}-01", False),
        (f"00-{PARENT}-1", False),
        (f"00-{PARENT}", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        (f"00-{PARENT}-01,00-{PARENT}-01", False),
        (f" 00-{PARENT}-01", False),
        ("", False),
    ],
)
def test_a_trace_is_taken_from_a_valid_header_only(value: str, valid: bool) -> None:
    """W3C Trace Context, §3.2.2 and the examples of its versions to come."""
    assert trace_id(value.encode()) == (PARENT.partition("-")[0] if valid else None)
