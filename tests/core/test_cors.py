"""Whose pages may call: by a list, letter for letter, and never with what a browser keeps for the address."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.cors import MOST_ORIGINS, check_origins, lines_for, preflight
from jupyter_model_service.errors import InvalidRequest

APP = "https://app.example.org"
ORIGINS = (APP, "http://localhost:3000")


def asks(origin: str = APP, method: str = "POST", **more: str) -> list[tuple[bytes, bytes]]:
    given = {"Origin": origin, "Access-Control-Request-Method": method, **more}
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (APP, APP),
        ("HTTPS://App.Example.ORG:443/", APP),
        ("http://h:80", "http://h"),
        ("http://h:443", "http://h:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        (" http://localhost:3000 ", "http://localhost:3000"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, kept: str) -> None:
    assert check_origins([given, kept]) == (kept,)


@pytest.mark.parametrize(
    "given",
    ["*", "null", "", "app.example.org", "https://", "https://*.example.org", "https://a/path", "https://u:p@a",
     "https://a?x", "https://a#x", "ftp://a", "file://", "https://a:b", "https://a:99999", "https://a b", "https://a\r\nX: y",
     "https://exämple.org", "https://-", "chrome-extension://abc"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(given: str) -> None:
    """Nor is there one that stands for all."""
    with pytest.raises(InvalidRequest, match="is no origin: write scheme and host"):
        check_origins([given])


def test_there_is_an_end_to_the_list() -> None:
    with pytest.raises(InvalidRequest, match="100 origins, not 101"):
        check_origins(f"https://h{n}" for n in range(MOST_ORIGINS + 1))


def test_a_page_of_the_list_may_ask_for_what_it_wants_to_send() -> None:
    found = preflight(
        ORIGINS,
        asks(Access_Control_Request_Headers="authorization, content-type",
             Access_Control_Request_Private_Network="true"),
    )  # fmt: skip
    assert found is not None
    assert found.lines.decode().split("\r\n") == [
        f"Access-Control-Allow-Origin: {APP}",
        "Access-Control-Allow-Methods: POST",
        "Access-Control-Allow-Headers: authorization, content-type",
        "Access-Control-Allow-Private-Network: true",
        "Access-Control-Max-Age: 600",
        "Vary: Origin",
        "",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        asks("https://app.example.org.evil.test"),
        asks("http://app.example.org"),
        asks("https://app.example.org:8443"),
        asks("null"),
        asks(""),
        asks(method="PO ST"),
        asks(method=""),
        asks(Access_Control_Request_Headers="a b"),
        asks(Access_Control_Request_Headers=",".join(["x"] * 101)),
        [*asks(), *asks()],
        asks()[:1],
        asks()[1:],
        [],
    ],
)
def test_nobody_else_may(headers: list[tuple[bytes, bytes]]) -> None:
    assert preflight(ORIGINS, headers) is None


@pytest.mark.parametrize("name", ["x-forwarded-host", "X-Forwarded-Prefix", "X-FORWARDED-FOR"])
def test_no_page_may_say_what_a_proxy_says_of_the_way(name: str) -> None:
    """The Hub's passes on what a caller says of the host that she called, and is believed."""
    assert preflight(ORIGINS, asks(Access_Control_Request_Headers=f"content-type, {name}")) is None


def test_answers_say_who_may_read_them_and_never_with_credentials() -> None:
    told = lines_for(ORIGINS, asks())
    assert told.startswith(b"Access-Control-Allow-Origin: https://app.example.org\r\nAccess-Control-Expose-Headers: ")
    assert b"Credentials" not in told
    for other in (asks("https://evil.test"), asks("null"), []):
        assert lines_for(ORIGINS, other) == b"Vary: Origin\r\n"
