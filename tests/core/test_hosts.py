"""Hosts of services: which label is whose, and what a ``Host`` means."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.hosts import Hosts, is_of_this_machine, label_of
from jupyter_model_service.core.names import SERVICE_NAME_PATTERN, owner_from
from jupyter_model_service.core.origin import on_own_origin
from jupyter_model_service.core.routing import Endpoint, RoutingTable

NAMES = st.from_regex(SERVICE_NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 20)
OWNERS = st.one_of(
    st.text(min_size=1, max_size=80).map(owner_from),
    st.from_regex(r"[a-z0-9]+(-+[a-z0-9]+)*", fullmatch=True).map(lambda text: text[:64].strip("-")),
)


@pytest.mark.parametrize(
    ("owner", "name", "label"),
    [
        ("ann", "chat", "chat--ann"),
        ("ann-b", "tiny-chat", "tiny-chat--ann-b"),
        ("Ann", "chat", "h--chat--4d29dde1c5c9a7da"),
        ("ann.b", "chat", "h--chat--4b3f6a0d0f7ebe6e"),
        ("a--b", "chat", "h--chat--"),
        ("ann", "xn", "h--xn--"),
        ("a" * 60, "chat", "h--chat--"),
    ],
)
def test_a_label_says_whose_the_service_is_where_it_can(owner: str, name: str, label: str) -> None:
    assert label_of(owner, name).startswith(label[:9] if label.startswith("h--") else label)
    assert label.startswith("h--") == label_of(owner, name).startswith("h--")


@given(OWNERS, NAMES, OWNERS, NAMES)
def test_each_service_has_a_label_of_its_own_that_dns_takes(owner: str, name: str, other: str, second: str) -> None:
    """Also for owners who differ in nothing but case, which no host name keeps."""
    label = label_of(owner, name)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
    assert label[2:4] != "--"
    for their_owner, their_name in ((other, second), (owner.swapcase(), name), (owner, second), (other, name)):
        same = (their_owner, their_name) == (owner, name)
        assert (label_of(their_owner, their_name) == label) is same


@pytest.mark.parametrize(
    ("host", "label"),
    [
        (b"chat--ann.models.example.org", "chat--ann"),
        (b"Chat--ANN.Models.example.org:8443", "chat--ann"),
        (b"chat--ann.models.example.org.", ""),
        (b"chat--ann.models.example.org.:80", ""),
        (b"x.chat--ann.models.example.org", ""),
        (b".models.example.org", ""),
        (b"models.example.org", None),
        (b"chat--ann.models.example.org.evil.test", None),
        (b"evilmodels.example.org", None),
        (b"10.0.0.1:8910", None),
        (b"[::1]:8910", None),
        (b"", None),
    ],
)
def test_what_a_host_is(host: bytes, label: str | None) -> None:
    """``""``: nobody's, and no place for the control API either."""
    assert Hosts("https://*.models.example.org").label(host) == label


@pytest.mark.parametrize(
    "url",
    [
        "https://models.example.org", "https://*.example.org/path", "https://a.*.example.org", "https://*x.example.org",
        "http://*.models.example.org", "http://*.localhost.example.org", "ftp://*.example.org", "*.example.org", "https://*",
        "https://*.example.org\n", "https://*.EXAMPLE.org",
    ],
)  # fmt: skip
def test_what_is_no_place_for_hosts(url: str) -> None:
    with pytest.raises(ValueError, match=r"\*|https"):
        Hosts(url)


def test_the_address_of_a_page() -> None:
    assert Hosts("https://*.models.example.org/").url_of("ann", "chat") == "https://chat--ann.models.example.org/"
    local = Hosts("http://*.models.localhost:8001")
    assert local.url_of("ann", "chat") == "http://chat--ann.models.localhost:8001/"
    assert local.origin("chat--ann") == "http://chat--ann.models.localhost:8001"


def test_the_table_knows_services_by_their_labels_as_long_as_they_are_there() -> None:
    table = RoutingTable()
    first = Endpoint("ann", "chat", False, Serving())
    table.put(first)
    assert table.labelled("chat--ann") is first
    second = Endpoint("ann", "chat", False, Serving())
    table.put(second)
    assert table.labelled("chat--ann") is second
    table.remove("ann", "chat")
    assert table.labelled("chat--ann") is None


@pytest.mark.parametrize(
    ("name", "value", "may"),
    [
        (b"Set-Cookie", b"a=b; Path=/; HttpOnly", True),
        (b"Set-Cookie", b"a=b; Path=/x; domainx=y", True),
        (b"set-cookie", b"a=b; Domain=models.example.org", False),
        (b"Set-Cookie", b"a=b;DOMAIN = .example.org", False),
        (b"Set-Cookie", b"a=b; domain", False),
        (b"Set-Cookie", b"__Host-model-service-visit=x; Path=/; Secure", False),
        (b"Set-Cookie", b" __Secure-Model-Service-x =x", False),
        (b"Set-Cookie", b"jupyterhub-session-id=x", False),
        (b"Set-Cookie", b"_xsrf=x", False),
        (b"Set-Cookie", b"=__Host-model-service-visit=x", False),
        (b"Set-Cookie", b"__Host-model-service-visit", False),
        (b"Set-Cookie2", b"a=b", False),
        (b"Service-Worker-Allowed", b"/", True),
        (b"Refresh", b"0; url=/login", True),
        (b"Content-Type", b"text/html", True),
        (b"Clear-Site-Data", b'"cookies"', False),
        (b"Strict-Transport-Security", b"max-age=1; includeSubDomains", False),
        (b"Alt-Svc", b'h3="evil.test:443"', False),
        (b"NEL", b"{}", False),
        (b"Access-Control-Allow-Origin", b"*", False),
        (b"Access-Control-Allow-Credentials", b"true", False),
        (b"WWW-Authenticate", b"Basic", False),
    ],
)
def test_what_a_model_may_say_at_a_host_of_its_own(name: bytes, value: bytes, may: bool) -> None:
    assert on_own_origin(name, value) is may


def test_a_host_that_is_longer_than_any_is_not_kept() -> None:
    """Anybody may send one of 64 KiB, and another one each time: 4,096 that are kept are 260 MB."""
    hosts = Hosts("https://*.models.example.org")
    tracemalloc.start()
    try:
        for number in range(200):
            assert hosts.label(b"%d" % number + b"a" * 60_000 + b".models.example.org") is not None
            assert not is_of_this_machine(b"%d" % number + b"a" * 60_000)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert hosts.label(b"chat--ann.models.example.org") == "chat--ann"
