"""What of an endpoint a token is for, however an address is spelled."""

from __future__ import annotations

import posixpath
import stringprep
import unicodedata
from typing import Any, Literal
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core import grants
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.grants import PathRule, changed_half, check_rules, may
from jupyter_model_service.errors import InvalidRequest

from .least_time import took

CHAT = (PathRule("/v1/chat/*", ("POST",)), PathRule("/v1/models", ("GET",)))


@pytest.mark.parametrize(
    ("method", "target", "within"),
    [
        (b"POST", b"/v1/chat/completions", True),
        (b"POST", b"/v1/chat/", True),
        (b"POST", b"/v1/chat/completions?a=/../b", True),
        (b"POST", b"/v1/chat/caf%C3%A9%20.x", True),
        (b"GET", b"/v1/models", True),
        (b"HEAD", b"/v1/models", True),
        (b"GET", b"/v1/models?limit=3", True),
        (b"GET", b"/v1/chat/completions", False),
        (b"post", b"/v1/chat/completions", False),
        (b"POST", b"/v1/models", False),
        (b"POST", b"/v1/chat", False),
        (b"GET", b"/v1/models/", False),
        (b"GET", b"/V1/models", False),
        (b"GET", b"/v1/%6dodels", False),
        (b"GET", b"/", False),
    ],
)
def test_paths_and_methods(method: bytes, target: bytes, within: bool) -> None:
    assert may(CHAT, method, target) == within


@pytest.mark.parametrize(
    "rest",
    [
        b"../admin", b"./x", b"..", b"x/..", b"%2e%2e/admin", b"%2E./admin", b"..%2fadmin", b"%2e%2e%2fadmin", b"x%2Fy",
        b"..\\admin", b"..%5cadmin", b"//admin", b"/admin", b"x//y", b"..;/admin", b"x;a=b", b"x%3By", b"%252e%252e/admin",
        b"x%25", b"x%00", b"x%0d%0a", b"x\x80", b"x y", b"x#y", b"%c0%ae%c0%ae/admin", b"%", b"%2", b"%zz",
        b"%e0%80%ae%e0%80%ae/admin", b"%f0%80%80%af", b"..%20/admin", b".%E2%80%8B./admin", b"%C2%A0/x", b"x/%2E%EF%BB%BF",
        b"..%3F", b"..%23/x", b".%3Fx", b"x%E9", b"x/..%85/y", b".%A0./admin", b"..%EF%B8%8F/admin", b".%E2%80%AE./admin",
        b"x" * 4096,
    ],
)  # fmt: skip
def test_what_a_model_may_read_in_another_way_is_within_no_rule(rest: bytes) -> None:
    assert not may(CHAT, b"POST", b"/v1/chat/" + rest)
    assert not may((PathRule("/*"),), b"POST", b"/" + rest)


@pytest.mark.parametrize("form", ["NFKC", "NFKD"])
def test_what_unicode_makes_a_dot_or_a_slash_of_is_within_no_rule(form: Literal["NFKC", "NFKD"]) -> None:
    """Of each character that there is: it adds no slash, no step, no second encoding once it is in that form."""
    for code in range(0x80, 0x110000):
        read = "" if 0xD800 <= code < 0xE000 else unicodedata.normalize(form, chr(code))
        if set(read) & set("/\\;%#?") or read in (".", ".."):
            sent = quote(chr(code)).encode()
            assert not may(CHAT, b"POST", b"/v1/chat/x" + sent + b"y"), hex(code)
            assert not may(CHAT, b"POST", b"/v1/chat/." + sent.lower()), hex(code)


def unseen(code: int) -> bool:
    """Blanks, controls, and what is shown as nothing: of Unicode, and by the lists of RFC 3454."""
    character = chr(code)
    if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        return True
    return stringprep.in_table_b1(character) or stringprep.in_table_c12(character) or stringprep.in_table_c9(character)


def test_no_step_is_made_by_leaving_out_what_nobody_sees() -> None:
    """Of each such character that there is: beside one dot, between two, behind and before them, and alone."""
    found = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and unseen(code)]
    assert len(found) > 250
    for code in found:
        sent = quote(chr(code), safe="").encode()
        for segment in (b"." + sent, b"." + sent + b".", b".." + sent * 2, sent + b"..", sent):
            for rest in (segment + b"/admin", b"x/" + segment):
                assert not may(CHAT, b"POST", b"/v1/chat/" + rest), (hex(code), rest)


@pytest.mark.parametrize(
    "rest",
    [
        "café",
        "cafe\u0301",
        "模型",
        "½",
        "…",
        "⒈",
        "a b",
        "a ",
        "...",
        "x/ y",
        "𝔸",
        "a?b",
        "a#",
        "x..?",
        "☃\ufe0f",
        "👩\u200d🔬",
        "x" * 4000,
    ],
)
def test_names_in_other_letters_are_within(rest: str) -> None:
    assert may(CHAT, b"POST", b"/v1/chat/" + quote(rest).encode())


PIECES = st.sampled_from(
    ["v1", "chat", "admin", "/", "//", ".", "..", "%2e", "%2E", "%2f", "%252e", "%252f", "%25", "%5c", "\\", ";", "?", "#", "%3f"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_gets_by_is_within_once_and_twice_decoded(rest: str) -> None:
    """As servers read paths that decode, that normalise, and that take a backslash for a slash."""
    target = f"/v1/chat/{rest}"
    if not may(CHAT, b"POST", target.encode()):
        return
    path = target.partition("?")[0]
    for _ in range(3):
        read = posixpath.normpath(path.replace("\\", "/").partition(";")[0])
        assert read == "/v1/chat" or read.startswith("/v1/chat/")
        path = unquote(path)


@given(st.text(max_size=20))
def test_a_rule_that_is_taken_holds_for_its_own_path(text: str) -> None:
    try:
        (rule,) = check_rules([PathRule(f"/{text}")])
    except InvalidRequest:
        return
    from urllib.parse import quote

    path = rule.path.removesuffix("*")
    assert may((rule,), b"GET", quote(path, safe="/-._~!$&'()*+,=:@").encode())


@pytest.mark.parametrize(
    "path", ["", "v1", "*", "/*/x", "/v1/*x", "/a?b", "/a#b", "/a;b", "/a\\b", "/a//b", "/a/../b", "/a/.", "/%41", "/\n", "/" + "x" * 200]
)  # fmt: skip
def test_a_path_that_could_never_hold_or_means_two_things_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        check_rules([PathRule(path)])


@pytest.mark.parametrize("methods", [(), ("",), ("G ET",), ("GET",) * 1 + tuple(f"A{c}" for c in "BCDEFGHIJK")])
def test_methods_are_words(methods: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        check_rules([PathRule("/", methods)])


def test_methods_are_kept_in_capitals_and_rules_are_few() -> None:
    assert check_rules([PathRule("/", ("get", "GET", "post"))]) == (PathRule("/", ("GET", "POST")),)
    assert check_rules([PathRule("/a"), PathRule("/b"), PathRule("/a")]) == (PathRule("/a"), PathRule("/b"))
    with pytest.raises(InvalidRequest):
        check_rules([PathRule("/")] * 21)


@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method-Override", b"x-http-method", b"X_Method_Override", b"X-Original-Method"]
)
def test_a_call_that_says_to_be_of_another_method_is_within_no_rule(name: bytes) -> None:
    rules = (PathRule("/v1/*", ("POST",)),)
    assert may(rules, b"POST", b"/v1/x", [(b"Accept", b"*/*")])
    assert not may(rules, b"POST", b"/v1/x", [(b"Accept", b"*/*"), (name, b"DELETE")])


@pytest.mark.parametrize(
    ("query", "within"),
    [
        (b"_method=DELETE", False),
        (b"a=1&_Method=put", False),
        (b"a=1;_method=put", False),
        (b"a=1&%5fmetho%64=put", False),
        (b"_method[]=put", False),
        (b"X-HTTP-Method-Override=PUT", False),
        (b"a&x.http-method=PUT", False),
        (b"_method", False),
        (b".method=put", False),
        (b"+_method=put", False),
        (b"a=1&%20+_method=put", False),
        (b"_method%00x=put", False),
        (b"q=100%&%5Fmethod=put", False),
        (b"%u005fmethod=put", False),
        (b"method=DELETE", True),
        (b"my_method=x&a=_method", True),
        (b"_methods=x", True),
        (b"the+method=x&a=x_http_method", True),
        (b"q=" + b"%C3%A9" * 2600 + b"%20method", True),
    ],
)
def test_so_is_one_whose_query_says_so(query: bytes, within: bool) -> None:
    assert may((PathRule("/v1/*", ("POST",)),), b"POST", b"/v1/x?" + query) == within


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/" + b"%41" * 5400,
        b"/v1/" + b"%41" * 1360,
        b"/v1/" + b"%E2%80%A7" * 454,
        b"/v1/" + b"%20" * 1360 + b"x",
        b"/v1/x?" + b"%5f" * 5400,
        b"/v1/x?" + b"%zz" * 5400,
        b"/v1/x?a=method&" + b"%26" * 5400,
    ],
    ids=lambda target: f"{target[:24].decode()} {len(target)}",
)
def test_to_judge_a_call_takes_less_than_pythons_own_way_to_decode_it(target: bytes) -> None:
    """It was four times that and more, 4 ms for 16 KiB. Who is refused may ask again as often as she likes, and all
    other calls wait for that."""
    rules = (PathRule("/v1/*"),)
    assert took(lambda: may(rules, b"GET", target)) < took(lambda: unquote_to_bytes(target))


def test_twenty_rules_are_not_looked_at_twenty_times() -> None:
    """Put together once for each token: a call within the last of them took four times as long as with one."""
    one, many = (
        Caller("token:t", rules=tuple(PathRule(f"/v1/{n}/*", ("GET",)) for n in each)) for each in ([19], range(20))
    )
    assert one.grant.allows(b"GET", b"/v1/19/x")
    assert many.grant.allows(b"GET", b"/v1/19/x")
    times = [took(lambda who=who: [who.grant.allows(b"GET", b"/v1/19/x") for _ in range(500)]) for who in (one, many)]
    assert times[1] < 1.5 * times[0]


def test_a_call_that_writes_to_another_path_of_its_own_is_within_no_rule_for_a_part() -> None:
    """RFC 4918: COPY and MOVE write where their Destination says, which no rule has looked at."""
    aimed = [(b"Destination", b"https://models.example.org/endpoints/alice/chat/admin/keys")]
    assert not may((PathRule("/files/*"),), b"MOVE", b"/files/a", aimed)
    assert not may((PathRule("/files/*"), PathRule("/other")), b"GET", b"/files/a", aimed)
    assert may((PathRule("/files/*"),), b"MOVE", b"/files/a", [(b"Depth", b"0")])
    assert may((PathRule("/*", ("MOVE",)),), b"MOVE", b"/files/a", aimed)


GET_AND_POST = (PathRule("/v1/chat/*", ("POST",)), PathRule("/v1/models", ("POST",)))
MIXED = (PathRule("/v1/chat/*", ("POST",)), PathRule("/v1/models", ("GET",)))


@pytest.mark.parametrize(
    ("rules", "halves", "now"),
    [
        (GET_AND_POST, {"methods": ["GET"]}, [("/v1/chat/*", ("GET",)), ("/v1/models", ("GET",))]),
        (GET_AND_POST, {"paths": ["/x"]}, [("/x", ("POST",))]),
        (GET_AND_POST, {"paths": ["/x"], "methods": ["GET"]}, [("/x", ("GET",))]),
        (GET_AND_POST, {"methods": None}, [("/v1/chat/*", None), ("/v1/models", None)]),
        (GET_AND_POST, {"paths": None}, [("/*", ("POST",))]),
        (GET_AND_POST, {"paths": [], "methods": []}, []),
        (GET_AND_POST, {"paths": None, "methods": None}, []),
        (GET_AND_POST, {}, [("/v1/chat/*", ("POST",)), ("/v1/models", ("POST",))]),
        (MIXED, {"methods": ["GET"]}, [("/v1/chat/*", ("GET",)), ("/v1/models", ("GET",))]),
        (MIXED, {}, [("/v1/chat/*", ("POST",)), ("/v1/models", ("GET",))]),
        (MIXED, {"paths": ["/x"], "methods": None}, [("/x", None)]),
        ((), {"methods": ["GET"]}, [("/*", ("GET",))]),
        ((), {"paths": ["/x", "/y", "/x"]}, [("/x", None), ("/y", None)]),
        ((), {"paths": None}, []),
        ((PathRule("/*", ("GET",)),), {"methods": None}, []),
        ((PathRule("/*", ("GET",)),), {"paths": ["/*"], "methods": None}, [("/*", None)]),
    ],
)
def test_who_changes_one_half_leaves_the_other(
    rules: tuple[PathRule, ...], halves: dict[str, Any], now: list[tuple[str, Any]]
) -> None:
    assert [(rule.path, rule.methods) for rule in changed_half(rules, halves)] == now


@pytest.mark.parametrize("paths", [["/x"], None])
def test_new_paths_of_a_token_with_different_methods_need_methods(paths: Any) -> None:
    """Which of the two they would have nobody can tell; with both of them more would be open than was."""
    with pytest.raises(InvalidRequest, match="different methods"):
        changed_half(MIXED, {"paths": paths})


def test_a_rule_is_written_as_in_an_address_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each call: refused ones cost their caller nothing."""
    written: list[str] = []

    def counted(path: str, safe: str) -> str:
        written.append(path)
        return quote(path, safe=safe)

    monkeypatch.setattr(grants, "quote", counted)
    rules = tuple(PathRule(f"/{number}/ä") for number in range(20))
    assert not any(may(rules, b"GET", b"/x") for _ in range(100))
    assert len(written) == 20


def test_a_word_for_all_methods_is_none() -> None:
    assert grants.unusual(["any", "GET"]) == ["ANY is no usual method: a token for all of them names none."]
