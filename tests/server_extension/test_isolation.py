"""What may pass between a model's pages and the Jupyter origin, decided without a server."""

from __future__ import annotations

import pytest

from jupyter_model_service.server_extension import isolation

HERE = {"Host": "lab.example:8888"}


@pytest.mark.parametrize(
    "target",
    [
        "api/v1/./gateway/shutdown",
        "api/v1/services/../gateway/attach",
        "api/v1/%2e/gateway",
        "api/v1/%2E%2e/gateway",
        "api/v1/.%2e/gateway",
        "api/v1/%2e./gateway",
        "api/v1/..",
        "api/v1/..?q=1",
        "../api",
    ],
)
def test_a_dot_segment_is_seen_however_it_is_written(target: str) -> None:
    assert isolation.has_dot_segment(target)


@pytest.mark.parametrize("target", ["api/v1/services", "a/.well-known/x", "a/...", "a/x..", "a/v1.2/", "a?q=/../b"])
def test_dots_elsewhere_are_just_dots(target: str) -> None:
    assert not isolation.has_dot_segment(target)


@pytest.mark.parametrize("value", [b"secret", b" secret", b"secret\n", b"\x01secret", "\u2003secret".encode()])
def test_the_token_is_known_behind_what_jupyter_strips(value: bytes) -> None:
    assert isolation.holds_token([b"other", value], "secret")


def test_other_tokens_are_the_models_own_business() -> None:
    assert not isolation.holds_token([b"other", b"", b"\xff", b"secret2"], "secret")
    assert not isolation.holds_token([b"", b" "], ""), "no token is set: nothing can be it"


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://lab.example:9999", "", "http://lab.example"])
def test_a_foreign_origin(origin: str) -> None:
    assert isolation.foreign_origin({**HERE, "Origin": origin})


def test_our_own_origin_and_programs_which_send_none() -> None:
    assert not isolation.foreign_origin(HERE)
    assert not isolation.foreign_origin({**HERE, "Origin": "https://Lab.example:8888"})


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("GET", {}, False),
        ("GET", {"Sec-Fetch-Site": "same-origin"}, False),
        ("GET", {"Sec-Fetch-Site": "none"}, False),
        ("GET", {"Sec-Fetch-Site": "same-site"}, True),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, True),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, True),
        ("HEAD", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, True),
        ("GET", {"Origin": "null"}, True),
        ("GET", {"Origin": "http://evil.example"}, True),
        ("GET", {"Origin": "http://lab.example:8888"}, False),
    ],
)
def test_requests_that_other_sites_make(method: str, headers: dict[str, str], refused: bool) -> None:
    assert isolation.cross_site(method, {**HERE, **headers}) is refused


def test_a_models_answer_keeps_no_header_that_acts_on_the_whole_origin() -> None:
    names = "nel report-to reporting-endpoints alt-svc accept-ch critical-ch use-as-dictionary origin-agent-cluster"
    planted = [(name.title(), "x") for name in [*names.split(), "refresh", "set-cookie", "clear-site-data"]]
    kept = [("Permissions-Policy", "camera=()"), ("Content-Type", "text/html")]
    assert isolation.model_headers([*planted, *kept], place=isolation.Place("/e/o/n")) == [
        *kept,
        ("Content-Security-Policy", isolation.SANDBOX),
        ("X-Content-Type-Options", "nosniff"),
    ]


def test_a_location_at_the_models_root_moves_below_the_endpoint() -> None:
    moved = dict(isolation.model_headers([("Location", "/a")], place=isolation.Place("/e/o/n")))["Location"]
    assert moved == "/e/o/n/a"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/e/o/n/a", "/e/o/n/a"),  # a model that looks at X-Forwarded-Prefix
        ("/e/o/n", "/e/o/n"),
        ("/e/o/n?q", "/e/o/n?q"),
        ("/e/o/names", "/e/o/n/e/o/names"),
        ("/", "/e/o/n/"),
        ("a/b", "a/b"),
        ("/g/e/o/n/a?b", "/e/o/n/a?b"),  # a gateway that has a path of its own says it as seen from there
        ("/g", "/e/o/n/g"),
        ("../../hub", "/e/o/n/hub"),
        ("/e/o/n/%2e%2E/p", "/e/o/n/e/o/p"),
        ("//lab.example/hub", "//lab.example/e/o/n/hub"),
        ("/\\lab.example", None),
        ("/é", "/e/o/n/é"),
        ("//other.example/", "//other.example/"),
        ("https://other.example/", "https://other.example/"),
    ],
)
def test_a_location_below_the_endpoint_or_elsewhere_stays(said: str, told: str | None) -> None:
    place = isolation.Place("/e/o/n", host="lab.example", path="/p?a=/b", behind="/g", here="")
    assert dict(isolation.model_headers([("Location", said)], place=place)).get("Location") == told


def test_nothing_that_a_caller_says_of_the_way_here_goes_on() -> None:
    said = "x-forwarded-for X-Forwarded-Prefix X-FORWARDED-HOST X-Forwarded-Proto x-forwarded-port Forwarded X-Real-IP"
    said += " X-Client-IP True-Client-IP X-Original-URL X-Rewrite-URL Remote-User X-Remote-User X-Scheme"
    said += " X_Forwarded_Host x_forwarded-user X_Real_IP REMOTE_USER True_Client_IP X_XSRFToken Content_Length"
    headers = [*((name, "evil") for name in said.split()), ("X-Own", "kept"), ("X_Own", "kept")]
    assert isolation.request_headers(headers) == [("X-Own", "kept"), ("X_Own", "kept")]


def test_by_whom_a_call_came_goes_on() -> None:
    """No matter of belief (RFC 9110 §7.6.3): by it, the gateway sees what goes round."""
    via = [("Via", "1.1 a"), ("via", "1.1 b")]
    assert isolation.request_headers(via) == via


def test_a_callers_own_request_id_goes_on_as_the_callers() -> None:
    """The gateway believes a Jupyter server, and its own ids are in its log."""
    assert isolation.request_headers([("X-Request-Id", "mine"), ("A", "1"), ("X_Request_Id", "2")]) == [
        ("A", "1"),
        ("X-Client-Request-Id", "mine"),
    ]
    both = [("x-request-ID", "mine"), ("x-client-request-id", "other")]
    assert isolation.request_headers(both) == both[1:]
    assert isolation.request_headers([("X-Request-Id", "mine"), ("Connection", "x-request-id")]) == []


def test_what_is_said_instead_is_the_address_that_the_caller_used() -> None:
    assert isolation.public_headers(
        base_url="/user/f%C3%BC@o/", protocol="https", host="lab.example:8888", remote="::1"
    ) == [
        ("X-Forwarded-Prefix", "/user/f%C3%BC@o/model-service"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "lab.example:8888"),
        ("X-Forwarded-For", "::1"),
    ]
    odd = isolation.public_headers(base_url="/ü/", protocol="http", host="a\r\nb c", remote="")
    assert odd == [
        ("X-Forwarded-Prefix", "/%C3%BC/model-service"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "a%0D%0Ab%20c"),
    ]
