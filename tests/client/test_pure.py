"""What needs no socket: units, names, the event stream's parser, the decision when waiting is over, errors."""

from __future__ import annotations

import inspect
import json
import random
from typing import Any

import pytest

from jupyter_model_service import errors
from jupyter_model_service.client import calls, tokens
from jupyter_model_service.client.address import Address, Locator
from jupyter_model_service.client.aio import AsyncClient
from jupyter_model_service.client.events import RawChange, Reconnect, StreamParser
from jupyter_model_service.client.exchange import Broken
from jupyter_model_service.client.failures import error_from
from jupyter_model_service.client.sync import Client
from jupyter_model_service.client.units import parse_duration, parse_expiry, parse_size, show_duration, show_size
from jupyter_model_service.client.waiting import Goal, outcome
from jupyter_model_service.errors import GatewayUnavailable, InvalidRequest, ModelServiceError

from .fake_gateway import replica, service

# --- units -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("8g", 8 << 30), ("8GB", 8 << 30), ("8 GiB", 8 << 30), ("512m", 512 << 20), ("1.5k", 1536), ("100", 100)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "g", "-1g", "0", "0.0001", "8x", "8gg", "1e9", "nan", "9" * 40, "\u0663g", "\uff18g"]
)
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3d", 259200), ("2h", 7200), ("90s", 90), ("1h30m", 5400), ("1W", 604800), ("0.5h", 1800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "d", "-3d", "0s", "3 days", "3d2", "3x", "\u0663", "\u0663d", "\uff13h"])
def test_wrong_durations(text: str) -> None:
    """A bare number is refused: 30 what?"""
    for plain_seconds in (False, True) if text != "3" else (False,):
        with pytest.raises(InvalidRequest, match="is no duration"):
            parse_duration(text, plain_seconds=plain_seconds)


def test_a_time_limit_may_be_plain_seconds_and_an_expiry_never() -> None:
    assert parse_duration("30", plain_seconds=True) == 30
    assert parse_expiry("never") is None
    assert parse_expiry("3d") == 259200


def test_what_is_shown_has_two_units_at_most() -> None:
    shown = [show_duration(s) for s in (0.25, 12.34, 245, 12000, 2588400)]
    assert shown == ["250 ms", "12.3 s", "4 min 05 s", "3 h 20 min", "29 d 23 h"]
    assert [show_size(s) for s in (100, 1536, 8 << 30, 3 << 40)] == ["100 B", "1.5 KiB", "8.0 GiB", "3.0 TiB"]


# --- names and calls -------------------------------------------------------------------------------------


def test_a_name_may_have_an_owner() -> None:
    assert calls.split_name("demo") == (None, "demo")
    assert calls.split_name("ada/demo") == ("ada", "demo")


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a/b/c", ".", "..", "ada/..", "../x", "x" * 300])
def test_what_is_no_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no name of a service"):
        calls.split_name(name)


def test_names_are_quoted_into_paths() -> None:
    assert calls.get(("a?d", "x#y z")).target == "api/v1/services/a%3Fd/x%23y%20z"
    assert tokens.revoke(("ada", "x"), "../../stop").target == "api/v1/services/ada/x/tokens/..%2F..%2Fstop"
    assert calls.endpoint_path(("ada", "x"), "/api/chat?q=1") == "endpoints/ada/x/api/chat?q=1"
    assert calls.endpoint_path(("ada", "x"), "a..b/...?to=../y#../z") == "endpoints/ada/x/a..b/...?to=../y#../z"


@pytest.mark.parametrize("path", ["..", ".", "../y", "a/../../y", "a/..?q", "%2e%2E/y", "..%2fy", "/./y"])
def test_a_path_of_a_call_never_leads_out_of_the_service(path: str) -> None:
    """httpx, or a proxy on the way, would resolve it."""
    with pytest.raises(InvalidRequest, match="leave the service"):
        calls.endpoint_path(("ada", "x"), path)


def test_what_is_left_out_of_an_update_is_not_sent() -> None:
    options = calls.revision_options(None, gpus=0, memory="1g")
    assert calls.update(("ada", "x"), options).body == {"gpus": 0, "memory": 1 << 30}


@pytest.mark.parametrize("mount", ["/a", "/a:", ":/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x"])
def test_wrong_mounts(mount: str) -> None:
    with pytest.raises(InvalidRequest, match="mount"):
        calls.parse_mount(mount)


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        members = inspect.getmembers(kind, lambda m: callable(m) or isinstance(m, property))
        return {
            name: [] if isinstance(member, property) else list(inspect.signature(member).parameters)
            for name, member in members
            if not name.startswith("_")
        }

    assert public(Client) == public(AsyncClient)
    for verb in ("info", "validate", "create", "list", "get", "scale", "update", "rollback", "restart", "stop", "start",
                 "delete", "logs", "events", "watch", "wait_ready", "generate_token", "tokens", "revoke_token", "share", "unshare", "access", "allow_origins", "audit",
                 "endpoint", "call", "request", "stream"):  # fmt: skip
        assert verb in public(Client)


# --- addresses -------------------------------------------------------------------------------------------


def test_addresses_do_not_show_their_token() -> None:
    client = Client("http://127.0.0.1:8000", "jmc_secret")
    assert client.url == "http://127.0.0.1:8000/"
    for shown in (repr(client), repr(client._locator.current()), repr(AsyncClient("http://h", "jmc_secret"))):
        assert "secret" not in shown


@pytest.mark.parametrize("url", ["", "h:80", "ftp://h/", "http:///x", "http://h/?token=x", "http://u:p@h/"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Client(url, "t")


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ä"])
def test_what_is_no_token_is_not_shown_either(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Client("http://h/", token)
    assert "X: y" not in str(caught.value)


def test_url_and_token_come_together() -> None:
    with pytest.raises(InvalidRequest, match="both"):
        Client("http://h/")


def test_proxies_are_for_other_machines() -> None:
    assert Address("http://127.0.0.1:1/", "t").loopback
    assert Address("http://[::1]:1/", "t").loopback
    assert Address("http://localhost:1/", "t").loopback
    assert not Address("https://hub.example.org/", "t").loopback


def test_an_explicit_data_dir_wins_over_the_environment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SERVICE_URL", "http://h/")
    monkeypatch.setenv("MODEL_SERVICE_TOKEN", "t")
    assert Locator().current() == Address("http://h/", "t")
    assert Locator().explicit
    assert not Locator(data_dir=tmp_path).explicit
    with pytest.raises(GatewayUnavailable, match="--background"):
        Locator(data_dir=tmp_path).current()


# --- errors ----------------------------------------------------------------------------------------------


def test_every_error_of_the_tree_comes_back_as_itself() -> None:
    named = [getattr(errors, name) for name in errors.__all__]
    kinds = [kind for kind in named if isinstance(kind, type) and issubclass(kind, ModelServiceError)]
    assert len(kinds) > 10
    for kind in set(kinds) - {ModelServiceError}:
        problem = {"where": "models[0]", "message": "is wrong", "file": "f.yaml", "line": 3, "severity": "error"}
        body = {"error": {"code": kind.code, "message": "A sentence.", "problems": [problem]}}
        error = error_from(kind.status, {"retry-after": "2"}, json.dumps(body).encode(), "http://h/")
        assert type(error) is kind
        assert (error.code, error.status) == (kind.code, kind.status)
        if isinstance(error, errors.DefinitionError):
            assert str(error) == "f.yaml:3: models[0]: is wrong"
        else:
            assert str(error) == "A sentence."
            assert error.retry_after == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "InvalidRequest"), (403, "Forbidden"), (404, "NotFound"), (409, "Conflict"), (502, "UpstreamError"),
     (503, "Overloaded"), (418, "ModelServiceError")],
)  # fmt: skip
def test_an_unknown_code_becomes_the_class_of_its_status(status: int, kind: str) -> None:
    error = error_from(status, {}, b'{"error": {"code": "of_tomorrow", "message": "m"}}', "http://h/")
    assert type(error).__name__ == kind
    assert (error.code, error.status) == ("of_tomorrow", status)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"message": "Forbidden"}', b"\xff"])
def test_what_does_not_come_from_a_gateway_says_so(body: bytes) -> None:
    error = error_from(502, {}, body, "http://h/")
    assert isinstance(error, GatewayUnavailable)
    assert "is the address right?" in str(error)


# --- the event stream ------------------------------------------------------------------------------------


def test_the_stream_reads_the_same_however_it_is_cut() -> None:
    text = (
        ': still here\n\nevent: hello\ndata: {}\n\nevent: service\r\ndata: {"owner": "ada",\ndata: "name": "é"}'
        '\r\n\r\nevent: of_tomorrow\ndata: 1\n\nevent: removed\ndata: {"service": "ada/x"}\n\n'
    ).encode()
    whole = StreamParser().feed(text)
    assert [(change.kind, change.key) for change in whole] == [
        ("resync", None), ("service", "ada/é"), ("removed", "ada/x"),
    ]  # fmt: skip
    chance = random.Random(7)
    for _ in range(50):
        parser, found, rest = StreamParser(), [], text
        while rest:
            cut = chance.randint(1, 9)
            found += parser.feed(rest[:cut])
            rest = rest[cut:]
        assert found == whole


def test_an_endless_event_is_cut_off_but_heartbeats_are_not() -> None:
    parser = StreamParser()
    for _ in range(15):
        parser.feed(b"data: " + b"x" * (1 << 20) + b"\n")
    with pytest.raises(Broken, match="too large"):
        parser.feed(b"data: " + b"x" * (2 << 20) + b"\n")
    parser = StreamParser()
    for _ in range(20):
        parser.feed(b": " + b"x" * (1 << 20) + b"\n\n")


def test_reconnecting_backs_off_and_gives_up() -> None:
    policy = Reconnect(give_up=10)
    with pytest.raises(GatewayUnavailable):
        policy.lost(0.0, Broken("never there"))
    policy.heard()
    pauses, now = [], 100.0
    while now < 110:
        pauses.append(policy.lost(now, Broken("gone")))
        now += pauses[-1]
    with pytest.raises(GatewayUnavailable, match="within 10 s"):
        policy.lost(now, Broken("gone"))
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    policy.heard()
    assert policy.lost(now, Broken("gone")) == 0.1


def test_changes_know_whose_they_are() -> None:
    assert RawChange("service", {"owner": "a", "name": "b"}).key == "a/b"
    assert RawChange("event", {"service": "a/b", "id": 1}).key == "a/b"
    assert RawChange("resync", {}).key is None


# --- when waiting is over --------------------------------------------------------------------------------

FAILED = replica("m-1", "gone", exit={"stage": "serve", "code": 3, "tail": ["one", "two"]})


@pytest.mark.parametrize(
    ("seen", "goal", "expected"),
    [
        (service(state="starting"), Goal(), None),
        (service(state="ready"), Goal(), True),
        (service(state="degraded", want=2, ready=1), Goal(), None),
        (service(state="failed", reason="it crashed"), Goal(), "it crashed"),
        (service(state="failed"), Goal(), "without a reason"),
        (service(state="deleting"), Goal(), "deleted"),
        (service(state="stopped", want=1), Goal(), "stopped meanwhile"),
        # what was stopped before stays so: it is done, unless it is to run
        (service(state="stopped", want=2), Goal(replicas=2, stopped=True, to_run=False), True),
        (service(state="stopped", want=2), Goal(replicas=1, stopped=True, to_run=False), "scaled to 2"),
        (service(state="stopped", want=1), Goal(stopped=True), "it is stopped, until it is started"),
        (service(state="stopped", want=1), Goal(to_run=False), "stopped meanwhile"),
        # an update: its revision is the active one until it is taken back
        (service(state="updating", revision=2), Goal(revision=2), None),
        (service(state="ready", revision=2), Goal(revision=2), True),
        (service(state="ready", revision=1, note="2 crashed"), Goal(revision=2), "2 crashed"),
        (service(state="ready", revision=1), Goal(revision=2), "made active meanwhile"),
        # scaling: those that leave must be gone, and nobody else's scaling counts
        (service(want=1, replica_list=[replica("a"), replica("b", "draining")]), Goal(replicas=1), None),
        (service(want=1, replica_list=[replica("a"), replica("b", "gone")]), Goal(replicas=1), True),
        (service(want=3, ready=3), Goal(replicas=2), "scaled to 3"),
        (service(state="stopped", want=0, replica_list=[replica("a", "draining")]), Goal(replicas=0), None),
        (service(state="stopped", want=0), Goal(replicas=0), True),
        (service(state="stopped", want=0), Goal(), True),
        # a restart: none of the former ones
        (service(replica_list=[replica("a"), replica("b")]), Goal(without=frozenset("a")), None),
        (service(replica_list=[replica("a", "gone"), replica("b")]), Goal(without=frozenset("a")), True),
        (service(state="stopped", replica_list=[replica("a", "stopping")]), Goal("stopped"), None),
        (service(state="stopped", replica_list=[replica("a", "gone")]), Goal("stopped"), True),
        (service(state="deleting"), Goal("removed"), None),
    ],
)  # fmt: skip
def test_when_waiting_is_over(seen: dict[str, Any], goal: Goal, expected: object) -> None:
    result = outcome(seen, goal)
    if isinstance(expected, str):
        assert result is not None
        assert not result.ok
        assert expected in result.reason
    else:
        assert (None if result is None else result.ok) is expected


def test_a_failure_brings_the_last_log_lines() -> None:
    result = outcome(service(state="failed", reason="replica m-1 crashed", replica_list=[FAILED]), Goal())
    assert result is not None
    assert (result.tail, result.replica) == (("one", "two"), "m-1")


@pytest.mark.parametrize(
    ("seen", "goal"),
    [
        (service(state="failed", reason="replica m-2 crashed", replica_list=[FAILED]), Goal()),
        (service(state="failed", reason="replica m-1x crashed", replica_list=[FAILED]), Goal()),
        (service(state="failed", reason="the disk is full", replica_list=[FAILED]), Goal()),
        (service(state="failed", revision=2, reason="replica m-1 crashed", replica_list=[FAILED]), Goal()),
        (service(revision=1, note="replica m-1 crashed", replica_list=[FAILED]), Goal(revision=2)),
    ],
)
def test_the_log_of_another_replica_or_revision_is_no_explanation(seen: dict[str, Any], goal: Goal) -> None:
    result = outcome(seen, goal)
    assert result is not None
    assert (result.ok, result.tail, result.replica) == (False, (), None)
