"""The extension in a real Jupyter server, request by request: what is refused, and what reaches the gateway."""

from __future__ import annotations

import http.client
import json

import pytest

from .conftest import Lab

ECHO = "endpoints/root/echo/"
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + "A" * 22 + "==",
)


@pytest.mark.parametrize("before", ["", "%20", "%ff&token=", "%01"])
@pytest.mark.parametrize("lines", [(), UPGRADE], ids=["get", "websocket"])
@pytest.mark.parametrize("path", [ECHO, "api/v1/services"])
def test_the_jupyter_token_in_the_address_reaches_neither_model_nor_log(
    lab: Lab, path: str, lines: tuple[str, ...], before: str
) -> None:
    status, _, reached = lab.ask("GET", f"{path}?token={before}{lab.token}", *lines, token=False)
    assert (status, reached) == (400, [])
    assert lab.token not in lab.log.read_text()


def test_a_token_that_is_the_models_own_passes(lab: Lab) -> None:
    assert lab.ask("GET", f"{ECHO}?key=a&tokens=b")[::2] == (200, [f"/{ECHO}?key=a&tokens=b"])


@pytest.mark.parametrize(
    "path",
    [
        "api/v1/./gateway/shutdown",
        "api/v1/services/../gateway/attach",
        "api/v1/services/%2e%2E/gateway/attach",
        "api/v1/.%2e/gateway/attach",
        "api/v1/../../endpoints/root/echo/page",
        "endpoints/../api/",
        "endpoints/root/%2e%2e/api",
    ],
)
def test_no_path_changes_its_meaning_on_the_way(lab: Lab, path: str) -> None:
    status, _, reached = lab.ask("POST" if "gateway" in path else "GET", path, "Content-Length: 0")
    assert (status, reached) == (400, [])


def test_a_models_path_arrives_as_it_was_sent(lab: Lab) -> None:
    path = f"{ECHO}../../../api/v1/%2e/a%2Fb|c//?q=/../x"
    status, answer, reached = lab.ask("GET", path)
    assert (status, reached) == (200, [f"/{path}"])
    assert b"Content-Security-Policy: sandbox" in answer
    assert b"X-Content-Type-Options: nosniff" in answer


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
def test_a_foreign_pages_websocket_never_reaches_the_model(lab: Lab, origin: str) -> None:
    assert lab.ask("GET", ECHO, *UPGRADE, f"Origin: {origin}")[::2] == (403, [])


def test_cookies_serve_our_own_pages_and_arrivals_only(lab: Lab) -> None:
    answer = lab.send("GET", f"/user/ann/api/me?token={lab.token}", token=False).decode()
    cookies = [line.split(": ", 1)[1].split(";")[0] for line in answer.split("\r\n") if line.startswith("Set-Cookie")]
    cookie = "Cookie: " + "; ".join(cookies)
    assert lab.ask("GET", ECHO, cookie, token=False)[0] == 200
    foreign = "Sec-Fetch-Site: cross-site"
    for lines in ((foreign,), ("Origin: null",), (foreign, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")):
        assert lab.ask("GET", ECHO, cookie, *lines, token=False)[::2] == (403, []), lines
        assert lab.ask("GET", ECHO, *lines)[0] == 200, "a token in the header is no cookie"
    arrival = (foreign, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    assert lab.ask("GET", ECHO, cookie, *arrival, token=False)[0] == 200


def test_the_closing_slash_is_added_below_the_base_url(lab: Lab) -> None:
    status, answer, reached = lab.ask("GET", "endpoints/root/echo?a=%2F&b")
    assert (status, reached) == (308, [])
    assert b"Location: /user/ann/model-service/endpoints/root/echo/?a=%2F&b\r\n" in answer


def test_an_answer_header_in_utf8_passes_and_an_illegal_one_goes(lab: Lab) -> None:
    status, answer, _ = lab.ask("GET", f"{ECHO}utf8")
    assert status == 200
    assert "filename=日本.txt".encode() in answer
    assert b"\x01" not in answer


def test_head_makes_nothing_up(lab: Lab) -> None:
    status, answer, _ = lab.ask("HEAD", ECHO)
    assert status == 200
    assert b"etag" not in answer.lower()
    assert b"content-length" not in answer.lower()


def test_the_authorizers_verdict_counts(lab: Lab) -> None:
    status, answer, reached = lab.ask("POST", ECHO, "Content-Length: 0")
    assert (status, reached) == (403, [])
    assert b"may not write" in answer
    assert lab.ask("GET", ECHO)[0] == 200


def test_a_call_ends_upstream_when_the_caller_leaves(lab: Lab) -> None:
    connection = lab.connect("GET", f"/user/ann/model-service/{ECHO}slow")
    while f"/{ECHO}slow" not in lab.gateway.targets:
        assert not lab.gateway.left.wait(0.02)
    connection.close()
    assert lab.gateway.left.wait(20), "the gateway's connection was closed"


def test_a_flood_ends_upstream_when_its_reader_leaves(lab: Lab) -> None:
    """The reader goes while the connection to it is full, so that its going is seen by a failed write only."""
    lab.gateway.left.clear()
    for _ in range(3):
        with lab.connect("GET", f"/user/ann/model-service/{ECHO}flood") as caller:
            for _ in range(20):
                assert caller.recv(65536)
        assert lab.gateway.left.wait(10)
        lab.gateway.left.clear()
    assert "Traceback" not in lab.log.read_text()


def test_a_broken_stream_ends_as_broken(lab: Lab) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
    connection.request("GET", f"/user/ann/model-service/{ECHO}broken", headers={"Authorization": f"token {lab.token}"})
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    "path", ["v1/models", "v1/models/root%2Fecho?a=%20", "v1/x/y", "v1/../api/v1/gateway/shutdown"]
)
def test_the_address_of_all_services_is_forwarded_as_it_was_sent(lab: Lab, path: str) -> None:
    status, answer, reached = lab.ask("GET", path)
    assert (status, reached) == (200, [f"/{path}"])
    assert b"Content-Security-Policy: sandbox" in answer, "a model may answer there, too"
    assert lab.ask("GET", path, token=False)[::2] == (403, [])
    assert lab.ask("POST", path, "Content-Length: 0")[::2] == (403, []), "the authorizer's verdict"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["v1/models", f"{ECHO}x"])
def test_a_token_that_is_not_jupyters_is_told_where_it_is_for(lab: Lab, method: str, path: str) -> None:
    """A POST too, of which Jupyter says only that a word of its pages' is missing; at `v1/` in OpenAI's form."""
    for lines, told in (
        (["Authorization: Bearer jms_x"], "Jupyter does not know this token"),
        ([], "Sign in to Jupyter first"),
    ):
        status, answer, reached = lab.ask(method, path, "Content-Length: 0", *lines, token=False)
        assert (status, reached) == (403, [])
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert error["code"] == "jupyter"
        assert error["message"].startswith(told)
        assert error.get("type") == ("permission_error" if path.startswith("v1/") else None)


def test_a_location_at_the_address_of_all_services_stays_there(lab: Lab) -> None:
    _, answer, _ = lab.ask("GET", "v1/moved")
    assert b"Location: /user/ann/model-service/v1/files/1\r\n" in answer
