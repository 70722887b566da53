"""Where a model may send its callers from an address that others have, too."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_model_service.core.location import own_location

ROOT, HOST, ASKED = "/hub/endpoints/ann/chat", "lab.example", "/a/b?c=/d"


def led(said: str, *, host: str = HOST) -> str | None:
    place = own_location(said.encode(), root=ROOT.encode(), host=host.encode(), path=ASKED.encode())
    return None if place is None else place.decode()


@pytest.mark.parametrize(
    "said",
    [
        "b", "b/c?d=/../e#/../f", "?q", "#f", "", ROOT, f"{ROOT}/", f"{ROOT}/x", f"{ROOT}?q", f"{ROOT}/a..b/...",
        f"https://lab.example{ROOT}/x", "https://other.example/hub", "//other.example", "https://lab.example:8443/x",
        "http://[::1]:80/x", "mailto:ann@lab.example", "myapp:/x",
    ],
)  # fmt: skip
def test_below_its_root_and_to_other_hosts_as_it_says(said: str) -> None:
    assert led(said) == said


@pytest.mark.parametrize(
    ("said", "to"),
    [
        ("/", "/"),
        ("/login?next=/hub", "/login?next=/hub"),
        ("/hub/logout", "/hub/logout"),
        (f"{ROOT}ter/x", f"{ROOT}ter/x"),
        (f"{ROOT}/../ben/", "/hub/endpoints/ann/ben/"),
        (f"{ROOT}/%2e%2E/.%2e/x", "/hub/endpoints/x"),
        ("../../../hub", "/hub"),
        ("..", "/"),
        ("./x/../y/.", "/a/y/"),
    ],
)
def test_any_other_path_is_moved_below_its_root(said: str, to: str) -> None:
    assert led(said) == ROOT + to


def test_so_is_that_of_an_address_of_this_host() -> None:
    assert led("https://lab.example/hub/logout#x") == f"https://lab.example{ROOT}/hub/logout#x"
    assert led("//LAB.example:443") == f"//LAB.example:443{ROOT}/"
    assert led("http://lab.example?q") == f"http://lab.example{ROOT}/?q"
    assert led("//[::1]:8888/x", host="[::1]:8888") == f"//[::1]:8888{ROOT}/x"


@pytest.mark.parametrize(
    "said",
    [
        "https:/hub", "https:hub", "http:", "///hub", "//", "/\\hub", "\\\\lab.example/hub", "ht\ttps://lab.example/hub",
        "/\t/lab.example", "https://ann@lab.example/hub", "//l%61b.example/hub", "//lab。example/hub", "//127.1/hub",
        "//0x7f000001/hub", "//127.0.0.01/hub", "//lab.example:80x/hub", "/a\x00b",
    ],
)  # fmt: skip
def test_what_programs_read_in_two_ways_is_not_said(said: str) -> None:
    assert led(said) is None


def test_a_host_of_our_own_that_is_odd_is_compared_with_none() -> None:
    assert led("https://other.example/", host="l%61b.example") is None
    assert led("/x", host="l%61b.example") == f"{ROOT}/x"


def where(said: str) -> tuple[str, str]:
    """The host and path to which a browser goes from the page that was asked for: WHATWG URL, in short."""
    text = re.sub(r"[\t\n\r]", "", said.strip("".join(map(chr, range(33))))).replace("\\", "/")
    scheme = re.match(r"(?i)(https?):", text)
    if scheme is None and re.match(r"(?i)[a-z][a-z0-9+.-]*:", text):
        return "elsewhere", ""
    text = text[scheme.end() :] if scheme else text
    if text.startswith("//") or (scheme and scheme[1].lower() != "https"):
        host, path = re.match(r"/*([^/?#]*)([^?#]*)", text).groups()  # type: ignore[union-attr]
        host = host.rpartition("@")[2].lower().removesuffix(":443" if not scheme else ":80")
    else:
        host, path = HOST, re.split(r"[?#]", text)[0]
        if not path.startswith("/"):
            path = (ROOT + ASKED.partition("?")[0]).rpartition("/")[0] + "/" + path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        dots = re.sub("(?i)%2e", ".", segment)
        if dots == "..":
            kept = kept[:-1]
        elif dots != ".":
            kept.append(segment)
    return host, "/" + "/".join(kept)


PARTS = ["/", "//", "..", ".", "%2e", "%2E", "\\", "?", "#", "\t", " ", "https:", "HTTP:", "lab.example", "Lab.Example",
         ":443", ":80", "@", "hub", "ann", "endpoints", ROOT, "chat", "x", ":", "evil.example", "é"]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
@example(f"{ROOT}/../..//lab.example/hub")
@example("./..//lab.example/../hub")
@example(f"{ROOT}/%2e%2E/hub")
@example("https://Lab.Example:443/hub")
@example("https:/hub")
def test_no_other_place_at_the_address_can_be_reached(said: str) -> None:
    place = led(said)
    if place is not None:
        host, path = where(place)
        assert host not in (HOST, f"{HOST}:80", f"{HOST}:443") or path == ROOT or path.startswith(f"{ROOT}/"), place
