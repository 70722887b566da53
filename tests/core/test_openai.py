"""Which service a model's name means, and for whom."""

from __future__ import annotations

import json

import pytest

from jupyter_model_service.core import openai
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.message import Refusal
from jupyter_model_service.core.routing import Endpoint, RoutingTable

PRIVATE = ("ann/chat", "ann/own", "bob/chat", "bob/secret", "eve/rare", "uwe/hers")
PUBLIC = ("ann/open", "bob/open", "bob/show", "eve/chat", "eve/own2")


def table() -> RoutingTable:
    made = RoutingTable()
    for public, keys in ((False, PRIVATE), (True, PUBLIC)):
        for key in keys:
            made.put(Endpoint(*key.split("/"), public, Serving()))
    return made


ANN = Caller("ann", manages=frozenset({"ann"}), home="ann")
HELD = Caller("ann", manages=frozenset({"ann"}), invokes_of=frozenset({"bob"}), home="ann")  # bob lets her in
TOKEN = Caller("token:t", invokes=frozenset({"bob/secret"}))
ADMIN = Caller("root", manages_all=True, home="uwe")
MONITOR = Caller("service", invokes_all=True)


def meant(model: str, caller: Caller | None) -> str:
    found = openai.resolve(model, caller, table())
    return found.code if isinstance(found, Refusal) else found.key


@pytest.mark.parametrize(
    ("caller", "model", "want"),
    [
        (ANN, "ann/chat", "ann/chat"),
        (ANN, "chat", "ann/chat"),
        (ANN, "open", "ann/open"),
        (ANN, "bob/chat", "model_not_found"),
        (ANN, "secret", "model_not_found"),
        (ANN, "bob/show", "bob/show"),
        (ANN, "show", "model_not_found"),  # a stranger's public one is never meant by its name alone
        (ANN, "own2", "model_not_found"),
        (ANN, "eve/own2", "eve/own2"),
        (HELD, "chat", "ann/chat"),  # her own first
        (HELD, "secret", "bob/secret"),
        (HELD, "show", "bob/show"),
        (HELD, "eve/rare", "model_not_found"),
        (TOKEN, "secret", "bob/secret"),
        (TOKEN, "show", "bob/show"),  # public, and of the owner that the token is of
        (TOKEN, "open", "bob/open"),
        (TOKEN, "chat", "model_not_found"),
        (TOKEN, "bob/chat", "model_not_found"),
        (TOKEN, "eve/chat", "eve/chat"),
        (ADMIN, "chat", "model_ambiguous"),
        (ADMIN, "hers", "uwe/hers"),
        (ADMIN, "secret", "bob/secret"),
        (MONITOR, "chat", "model_ambiguous"),
        (MONITOR, "rare", "eve/rare"),
        (None, "chat", "eve/chat"),
        (None, "open", "model_ambiguous"),
        (None, "bob/open", "bob/open"),
        (None, "rare", "model_not_found"),
        (None, "ann/chat", "model_not_found"),
        (ADMIN, "", "model_not_found"),
        (ADMIN, "/", "model_not_found"),
        (ADMIN, "/chat", "model_not_found"),
        (ADMIN, "ann/", "model_not_found"),
        (ADMIN, "ann/chat/", "model_not_found"),
        (ADMIN, "ann", "model_not_found"),
        (ADMIN, "Chat", "model_not_found"),
        (ADMIN, "gpt-4o", "model_not_found"),
    ],
)
def test_what_a_name_means(caller: Caller | None, model: str, want: str) -> None:
    assert meant(model, caller) == want


def ids(caller: Caller | None) -> list[str]:
    return [each["id"] for each in json.loads(openai.listing(caller, table()))["data"]]


def test_the_list_has_all_that_one_may_call() -> None:
    """And each id means that service."""
    assert ids(None) == sorted(PUBLIC)
    assert ids(ANN) == sorted({*PUBLIC, "ann/chat", "ann/own"})
    assert ids(TOKEN) == sorted({*PUBLIC, "bob/secret"})
    assert ids(ADMIN) == ids(MONITOR) == sorted({*PUBLIC, *PRIVATE})
    for caller in (None, ANN, HELD, TOKEN, ADMIN, MONITOR):
        assert [meant(each, caller) for each in ids(caller)] == ids(caller)


@pytest.mark.parametrize("caller", [None, ANN, HELD, TOKEN, ADMIN, MONITOR])
def test_the_list_follows_each_change_of_the_table(caller: Caller | None) -> None:
    """It is what may be called, as it is then: of what is remembered nothing is out of date."""
    made = table()

    def said() -> list[str]:
        return [each["id"] for each in json.loads(openai.listing(caller, made))["data"]]

    def right() -> list[str]:
        return sorted(each.key for each in made if openai.may_call(caller, each))

    assert said() == right()
    made.put(Endpoint("ann", "new", False, Serving()))
    made.put(Endpoint("bob", "secret", False, Serving(), created_at=5.0))  # made anew
    assert said() == right()
    opened = made.get("bob", "secret")
    assert opened is not None
    opened.publish(True)
    assert "bob/secret" in said()
    made.remove("ann", "open")
    opened.publish(False)
    assert said() == right()
    assert (b'"created": 5' in openai.listing(caller, made)) is ("bob/secret" in right())


def test_whether_anything_is_public_is_known_without_a_look_at_all() -> None:
    made = RoutingTable()
    assert not made.any_public
    one, other = (Endpoint("o", name, False, Serving()) for name in ("one", "other"))
    one.publish(True)
    made.put(one)
    made.put(other)
    assert made.any_public
    other.publish(True)
    one.publish(False)
    one.publish(False)
    assert made.any_public
    made.put(Endpoint("o", "other", False, Serving()))
    assert not made.any_public
    other.publish(False)
    other.publish(True)  # it is not there any more
    assert not made.any_public
    made.put(one)
    one.publish(True)
    made.remove("o", "one")
    assert not made.any_public


def test_a_list_of_five_thousand_costs_no_call_for_each() -> None:
    """Counted, not timed: each owner is asked about once, and each service is put into words once."""
    asked: list[str] = []

    class Counting(Caller):
        def may_manage(self, owner: str) -> bool:
            asked.append(owner)
            return super().may_manage(owner)

    made = RoutingTable()
    for number in range(5000):
        made.put(Endpoint(f"o{number % 7}", f"s{number}", False, Serving()))
    caller = Counting("o1", manages=frozenset({"o1"}))
    first = openai.listing(caller, made)
    said = [each.listed for each in made]
    assert first == openai.listing(caller, made)
    assert len(asked) == 14
    assert all(each.listed is before for each, before in zip(made, said, strict=True))
    assert made.in_order() is made.in_order()


def test_a_name_that_is_free_again_is_the_next_ones() -> None:
    made = table()
    made.remove("eve", "rare")
    made.remove("eve", "rare")
    assert made.called("rare") == []
    made.put(Endpoint("ann", "rare", False, Serving()))
    assert [each.key for each in made.called("rare")] == ["ann/rare"]
    made.remove("eve", "chat")
    assert sorted(each.key for each in made.called("chat")) == ["ann/chat", "bob/chat"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (b"models", ""),
        (b"models/", ""),
        (b"models?a=b/c", ""),
        (b"models/ann/chat", "ann/chat"),
        (b"models/ann%2Fchat?x", "ann/chat"),
        (b"models/%ff", "\ufffd"),
        (b"modelsx", None),
        (b"", None),
        (b"chat/models/x", None),
    ],
)
def test_the_model_of_a_path(path: bytes, model: str | None) -> None:
    assert openai.model_of_path(path) == model


def test_types_of_errors() -> None:
    """As OpenAI's documentation has them."""

    def kind(status: int) -> str | None:
        return openai.error_fields(Refusal(status, "x", "y"))["type"]

    assert [kind(status) for status in (400, 401, 403, 404, 408, 413, 429, 502, 503)] == [
        "invalid_request_error", "authentication_error", "permission_error", "invalid_request_error",
        "invalid_request_error", "invalid_request_error", "rate_limit_error", "server_error", "server_error",
    ]  # fmt: skip
    assert openai.error_fields(openai.not_found("x"))["param"] == "model"


def test_messages_stay_short() -> None:
    assert len(openai.not_found("x" * 5000).message) < 200
    assert len(openai.not_by_name(b"x" * 5000, TOKEN).message) < 200
