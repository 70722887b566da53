"""Both clients against a gateway on a real socket: what they send, what they make of answers, what they survive."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service import wire
from jupyter_model_service.client import AsyncClient, WaitTimeout
from jupyter_model_service.errors import (
    Conflict,
    DefinitionError,
    GatewayUnavailable,
    InvalidRequest,
    LaunchError,
    NotFound,
    Unauthenticated,
    UpstreamError,
)

from .conftest import Face
from .fake_gateway import FakeGateway, audited, event, refusal, replica, service, use


def sent(fake: FakeGateway) -> list[tuple[str, str, Any]]:
    """What was asked, without looking up who we are."""
    return [(method, path, body) for method, path, _, body in fake.requests if path != "api/v1/"]


def later(seconds: float, *steps: Any) -> threading.Thread:
    def act() -> None:
        for step in steps:
            time.sleep(seconds)
            step()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def until(happened: Any) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


SHARED = {
    "owner": "bob", "name": "parrot", "state": "ready", "endpoint": "http://h/e/bob/parrot/", "page": None,
    "role": "caller",
}  # fmt: skip

# --- the calls -------------------------------------------------------------------------------------------


def test_create_sends_what_was_given_and_nothing_else(face: Face, fake: FakeGateway, tmp_path: Path) -> None:
    made = face.create(tmp_path / "m", "demo", replicas=2, environment={"K": "V"}, mounts=["/a:/b:ro"], memory="1g")
    assert isinstance(made, wire.ServiceInfo)
    assert (made.name, made.state) == ("demo", "starting")
    assert sent(fake) == [
        (
            "POST",
            "api/v1/services",
            {
                "folder": str(tmp_path / "m"),
                "name": "demo",
                "replicas": 2,
                "environment": {"K": "V"},
                "mounts": [{"source": "/a", "target": "/b", "read_only": True}],
                "memory": 1 << 30,
            },
        )
    ]
    wire.CreateRequest.model_validate(fake.requests[0][3])


def test_a_relative_folder_is_the_callers(
    face: Face, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The gateway has a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    face.validate("models/../m")
    assert sent(fake)[0][2] == {"folder": str(tmp_path / "m")}


def test_every_verb_reaches_its_own_address(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.services["bob/demo"] = service(owner="bob")
    assert [s.name for s in face.list()] == ["demo", "demo"]
    assert face.get("bob/demo").owner == "bob"
    assert face.endpoint("demo") == "http://127.0.0.1:1/endpoints/ada/demo/"
    face.scale("demo", 3)
    face.update("demo", public=True, gpus=1)
    face.update("demo", visibility="private")
    face.rollback("demo")
    face.rollback("demo", 2)
    face.restart("demo")
    face.stop("demo")
    face.start("demo")
    assert face.delete("demo") is None
    base = "api/v1/services/ada/demo"
    assert sent(fake)[3:] == [
        ("PUT", f"{base}/scale", {"replicas": 3}),
        ("POST", f"{base}/update", {"public": True, "gpus": 1}),
        ("POST", f"{base}/update", {"visibility": "private"}),
        ("POST", f"{base}/rollback", {}),
        ("POST", f"{base}/rollback", {"revision": 2}),
        ("POST", f"{base}/restart", {}),
        ("POST", f"{base}/stop", {}),
        ("POST", f"{base}/start", {}),
        ("DELETE", base, None),
    ]
    assert [path for _, path, _, _ in fake.requests].count("api/v1/") == 1, "who we are is asked once"


def test_tokens(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    made = face.generate_token("demo", "laptop")
    assert made.token.startswith("jms_")
    assert made.expires_at is not None
    assert 29 * 86400 < made.expires_at - time.time() <= 30 * 86400, "30 days unless said otherwise"
    assert face.generate_token("demo", expires_in=None).expires_at is None
    face.generate_token("demo", expires_in="7d")
    assert fake.requests[-1][3]["expires_in"] == 7 * 86400
    with pytest.raises(InvalidRequest, match="'7' is no duration"):
        face.generate_token("demo", expires_in="7")
    assert [token.name for token in face.tokens("demo")] == ["laptop", "", ""]
    face.revoke_token("demo", made.id)
    assert [token.name for token in face.tokens("demo")] == ["", ""]


def test_who_may_only_call_a_service_gets_its_address_without_a_denial(face: Face, fake: FakeGateway) -> None:
    fake.shared = [SHARED]
    assert face.endpoint("bob/parrot") == SHARED["endpoint"]
    assert [path for _, path, _ in sent(fake)] == ["api/v1/services"]
    fake.services["bob/seen"] = service("seen", owner="bob", role="viewer")
    assert face.endpoint("bob/seen") == fake.services["bob/seen"]["endpoint"]
    with pytest.raises(NotFound):
        face.endpoint("bob/other")


def test_a_service_is_shared_with_users_and_groups_by_their_names(face: Face, fake: FakeGateway) -> None:
    """Whatever letters they have; only limits that are given are sent."""
    fake.services["ada/demo"] = service()
    made = face.share("demo", users=["bob", "j/o e?"], groups=["ds"], role="viewer", calls_per_day=5)
    assert [(share.kind, share.name, share.role) for share in made] == [
        ("user", "bob", "viewer"),
        ("user", "j/o e?", "viewer"),
        ("group", "ds", "viewer"),
    ]
    assert [request[3] for request in fake.requests[-3:]] == [{"role": "viewer", "limits": {"calls_per_day": 5}}] * 3
    face.share("demo", users=["bob"])
    assert fake.requests[-1][3] == {"role": "caller"}
    face.unshare("demo", users=["j/o e?"], groups=["ds"])
    told = face.access("demo", "carol&x")
    assert [share.name for share in told.shares] == ["bob"]
    assert told.person is not None
    assert (told.person.name, told.person.role) == ("carol&x", None)
    assert face.access("demo").person is None
    with pytest.raises(NotFound, match="not shared"):
        face.unshare("demo", groups=["ds"])


def test_several_are_unshared_or_none_where_it_is_not_shared_with_one(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    face.share("demo", users=["bob", "carol"], groups=["ds"])
    with pytest.raises(NotFound, match=r"not shared with eve and the group x\. Nothing was changed\."):
        face.unshare("demo", users=["bob", "eve"], groups=["x"])
    assert len(fake.shares) == 3
    face.unshare("demo", users=["bob", "bob", "carol"])
    assert list(fake.shares) == [("group", "ds")]


def test_who_shares_with_several_is_told_how_far_it_came(face: Face, fake: FakeGateway) -> None:
    """The gateway refuses the second of three: with whom it is to be done again is said, and nobody is left out."""
    fake.services["ada/demo"] = service()
    fake.refused_share = "carol"
    with pytest.raises(
        Conflict, match=r"no carol\. It was done for bob, and not for carol or the group ds\.$"
    ) as failed:
        face.share("demo", users=["bob", "carol"], groups=["ds"])
    assert failed.value.code == "no_carol"
    assert failed.value.message == str(failed.value)
    assert list(fake.shares) == [("user", "bob")]
    with pytest.raises(Conflict, match=r"no carol\. It was done for nobody, and not for carol or bob\.$"):
        face.share("demo", users=["carol", "bob"])
    with pytest.raises(Conflict, match=r"no carol\.$"):
        face.share("demo", users=["carol"])
    fake.refused_share = None
    face.share("demo", users=["carol"])
    fake.refused_share = "carol"
    with pytest.raises(Conflict, match=r"no carol\. It was done for bob, and not for carol\.$"):
        face.unshare("demo", users=["bob", "carol"])
    assert list(fake.shares) == [("user", "carol")]


def test_origins_of_pages_take_the_place_of_the_former_ones(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    assert face.allow_origins("demo", iter(["https://a.org"])).origins == ["https://a.org"]
    assert face.allow_origins("demo", []).origins == []


def test_an_administrator_sees_all_limits_users_and_leaves_notices(face: Face, fake: FakeGateway) -> None:
    fake.services["bob/demo"] = service()
    told = {"owner": "bob", "user": "bob", "services": 1, "replicas": 2, "gpus": 0, "limits": []}
    fake.overview = {"services": [], "owners": [told], "gpus": [{"id": "GPU-1", "holder": "notebook", "user": "bob"}]}
    assert [gpu.user for gpu in face.overview().gpus] == ["bob"]
    assert face.limits("bob").replicas == 2
    face.limit("a/b", max_replicas_per_user=2, max_cpus=None)
    face.unlimit("a/b")
    face.notice("bob/demo", "Please stop it.")
    face.notice("bob/demo", None)
    asked = [(method, path, body) for method, path, _, body in fake.requests if "/admin/" in path][2:]
    notice = "api/v1/admin/services/bob/demo/notice"
    assert asked == [
        ("PUT", "api/v1/admin/users/a%2Fb/limits", {"max_replicas_per_user": 2, "max_cpus": None}),
        ("DELETE", "api/v1/admin/users/a%2Fb/limits", None),
        ("PUT", notice, {"text": "Please stop it."}),
        ("DELETE", notice, None),
    ]


def test_the_audit_log_is_read_of_a_service_or_of_all(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.audit = [audited(1), audited(2, target="bob/other"), audited(3)]
    assert [entry.id for entry in face.audit("demo")] == [1, 3]
    assert [entry.id for entry in face.audit(limit=2)] == [2, 3]
    assert [entry.id for entry in face.audit(after=1, limit=1, newest=False)] == [2]


def test_entries_of_the_audit_log_that_are_too_long_for_one_answer_are_all_read(face: Face, fake: FakeGateway) -> None:
    """Where the gateway's page ends early the client reads on, in the direction that it was asked for."""
    fake.audit, fake.audit_page = [audited(n) for n in range(1, 21)], 3
    assert [entry.id for entry in face.audit(limit=10)] == list(range(11, 21))
    assert [entry.id for entry in face.audit(limit=50)] == list(range(1, 21))
    assert [entry.id for entry in face.audit(after=15, limit=50)] == list(range(16, 21))
    assert [entry.id for entry in face.audit(after=2, limit=7, newest=False)] == list(range(3, 10))
    assert face.audit(after=20) == []


def test_tokens_for_paths_and_methods(face: Face, fake: FakeGateway) -> None:
    """The methods are for each path, and for all paths where none is named."""
    fake.services["ada/demo"] = service()
    made = face.generate_token("demo", paths=["/v1/chat/*", "/v1/models"], methods=["GET", "POST"])
    assert [(rule.path, rule.methods) for rule in made.rules] == [
        ("/v1/chat/*", ["GET", "POST"]),
        ("/v1/models", ["GET", "POST"]),
    ]
    assert [(rule.path, rule.methods) for rule in face.generate_token("demo", methods=["GET"]).rules] == [
        ("/*", ["GET"])
    ]
    assert [(rule.path, rule.methods) for rule in face.generate_token("demo", paths=["/x"]).rules] == [("/x", None)]


def test_limits_of_tokens(face: Face, fake: FakeGateway) -> None:
    """Only what is given is sent: a gateway of before there were any makes tokens, too."""
    fake.services["ada/demo"] = service()
    plain = face.generate_token("demo")
    assert sorted(fake.requests[-1][3]) == ["expires_in", "name", "shorten"]
    assert (plain.limits, plain.calls_today, plain.in_flight) == (None, None, None)
    made = face.generate_token("demo", calls_per_second=0.5, calls_per_day=1000)
    assert fake.requests[-1][3]["limits"] == {"calls_per_second": 0.5, "calls_per_day": 1000}
    assert made.limits is not None
    assert (made.limits.calls_per_second, made.limits.in_flight, made.limits.calls_per_day) == (0.5, None, 1000)
    changed = face.limit_token("demo", made.id, in_flight=4, calls_per_day=None)
    method, path, _, body = fake.requests[-1]
    assert (method, path) == ("PATCH", f"api/v1/services/ada/demo/tokens/{made.id}")
    assert body == {"limits": {"in_flight": 4, "calls_per_day": None}}
    assert changed == face.tokens("demo")[1]
    assert changed.limits is not None
    assert (changed.limits.calls_per_second, changed.limits.in_flight, changed.limits.calls_per_day) == (0.5, 4, None)
    assert (changed.calls_today, changed.in_flight) == (12, 3)


def test_paths_of_a_token_change_with_and_without_its_limits(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    made = face.generate_token("demo", in_flight=4)
    changed = face.limit_token("demo", made.id, paths=["/v1/*"], methods=["GET"])
    assert fake.requests[-1][3] == {"paths": ["/v1/*"], "methods": ["GET"]}
    assert [(rule.path, rule.methods) for rule in changed.rules] == [("/v1/*", ["GET"])]
    assert changed.limits is not None
    changed = face.limit_token("demo", made.id, methods=["POST"])
    assert fake.requests[-1][3] == {"methods": ["POST"]}
    assert [(rule.path, rule.methods) for rule in changed.rules] == [("/v1/*", ["POST"])]
    changed = face.limit_token("demo", made.id, paths=[], in_flight=None)
    assert fake.requests[-1][3] == {"limits": {"in_flight": None}, "paths": None}
    assert [(rule.path, rule.methods) for rule in changed.rules] == [("/*", ["POST"])]
    assert face.limit_token("demo", made.id, methods=None).rules == []


def test_of_a_method_that_may_be_a_slip_there_is_a_warning(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    with pytest.warns(UserWarning, match="PSOT is no usual method: was POST meant") as told:
        made = face.generate_token("demo", methods=["PSOT"])
    with pytest.warns(UserWarning, match="XYZZY is no usual method: the token opens nothing but") as also:
        face.limit_token("demo", made.id, methods=["GET", "xyzzy"])
    assert (len(told), len(also)) == (1, 1)


def test_what_the_gateway_says_of_a_change_is_a_warning(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    made = face.generate_token("demo")
    fake.of_changed_tokens = ["PSOT is no usual method: was POST meant?", "t9 still is for everything."]
    with warnings.catch_warnings(record=True) as told:
        face.limit_token("demo", made.id, methods=["PSOT"])
    assert [str(each.message) for each in told] == fake.of_changed_tokens
    fake.of_new_shares = ["So far it was shared with bob as viewer."]
    with warnings.catch_warnings(record=True) as told:
        face.share("demo", users=["bob", "carol"])
    assert [str(each.message) for each in told] == fake.of_new_shares


def test_a_token_is_rotated_for_as_long_as_is_said(face: Face, fake: FakeGateway) -> None:
    """A day, and as long as the former was to live, where nothing is."""
    fake.services["ada/demo"] = service()
    made = face.generate_token("demo", "laptop")
    new = face.rotate_token("demo", made.id)
    assert (new.name, new.family, new.token) == ("laptop", made.id, "jms_secret2")
    assert fake.requests[-1][1::2] == (f"api/v1/services/ada/demo/tokens/{made.id}/rotate", {"overlap": 86400.0})
    face.rotate_token("demo", made.id, overlap="2h", expires_in=None)
    assert fake.requests[-1][3] == {"overlap": 7200.0, "expires_in": None}
    face.rotate_token("demo", made.id, overlap=0, expires_in="7d")
    assert fake.requests[-1][3] == {"overlap": 0.0, "expires_in": 7 * 86400}
    requests = len(fake.requests)
    with pytest.raises(InvalidRequest, match="'soon' is no duration"):
        face.rotate_token("demo", made.id, overlap="soon")
    with pytest.raises(InvalidRequest, match="for at most 30d"):
        face.rotate_token("demo", made.id, overlap="60d")
    assert len(fake.requests) == requests


def test_who_called_how_often(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.uses = [use("user", "bob", 1, 3), use("token", "t0", 30, 4, refused=1, label="ci")]
    told = face.uses("demo")
    assert [(each.kind, each.name, each.calls, each.refused) for each in told.uses] == [
        ("user", "bob", 3, 0),
        ("token", "t0", 4, 1),
    ]
    assert told.complete
    assert [each.name for each in face.uses("demo", since="2026-11-02").uses] == ["t0"]


def test_logs_by_cursor_and_from_the_end(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.log = [f"line {n}" for n in range(25_000)]
    first = face.logs("demo", limit=2)
    assert first.lines == ["line 0", "line 1"]
    assert face.logs("demo", after=first.next, limit=1).lines == ["line 2"]
    assert face.logs("demo", tail=2).lines == ["line 24998", "line 24999"]
    assert face.logs("demo", tail=2).next == 25_000


def test_events_and_info(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.events = [event(n) for n in (1, 2, 3)]
    assert [e.id for e in face.events("demo", after=1, limit=1)] == [3]
    assert face.info().owner == "ada"


# --- refusals --------------------------------------------------------------------------------------------


def test_refusals_are_raised_as_the_servers_own_errors(face: Face, fake: FakeGateway, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no service ada/nobody"):
        face.get("nobody")
    fake.answers["POST", "api/v1/services"] = refusal(409, "conflict", "The name demo is taken.")
    with pytest.raises(Conflict, match="taken"):
        face.create(tmp_path)
    problem = {"where": "models[0].service.port", "message": "0 is no port", "file": "model-definition.yaml", "line": 9}
    fake.answers["POST", "api/v1/validate"] = refusal(422, "invalid_definition", "1 problem", problems=[problem])
    with pytest.raises(DefinitionError) as caught:
        face.validate(tmp_path)
    assert caught.value.problems[0].line == 9


def test_a_wrong_name_is_refused_before_anything_is_sent(face: Face, fake: FakeGateway) -> None:
    with pytest.raises(InvalidRequest):
        face.delete("../other")
    assert fake.requests == []


def test_answers_that_are_no_gateways(face: Face, fake: FakeGateway) -> None:
    fake.answers["GET", "api/v1/services"] = (200, b"<html>Log in</html>", {})
    with pytest.raises(GatewayUnavailable, match="did not answer with JSON"):
        face.list()
    fake.answers["GET", "api/v1/services"] = (200, {"services": [{"name": 3}]}, {})
    with pytest.raises(GatewayUnavailable, match="another version"):
        face.list()


# --- gateways that go and come back -----------------------------------------------------------------------


def test_no_gateway_says_how_to_start_one(kind: Any, tmp_path: Path) -> None:
    face = Face(kind(data_dir=tmp_path))
    with pytest.raises(GatewayUnavailable, match="gateway --background"):
        face.list()
    face.done()


def test_a_restarted_gateway_is_found_again(face: Face, fake: FakeGateway) -> None:
    """Its control token is a new one each time; its port may be, too."""
    face.list()
    fake.token = "jmc_another"
    fake.announce()
    assert face.list() == []
    with FakeGateway(fake.data_dir, token="jmc_third"):
        fake.server.shutdown()
        fake.server.server_close()
        assert face.list() == []


def test_a_gateway_that_does_not_answer_is_named(kind: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: connections are refused
        face = Face(kind(f"http://127.0.0.1:{taken.getsockname()[1]}/", "jmc_secret"))
        with pytest.raises(GatewayUnavailable, match="cannot be reached") as caught:
            face.list()
        assert "secret" not in str(caught.value)
        face.done()


def test_a_wrong_token_stays_unauthenticated(kind: Any, fake: FakeGateway) -> None:
    face = Face(kind(fake.url, "jmc_wrong"))
    with pytest.raises(Unauthenticated):
        face.list()
    assert len(fake.requests) == 1, "an address that was given is not looked up again"
    face.done()


@pytest.mark.parametrize(("verb", "times"), [("stop", 1), ("get", 2)])
def test_an_answer_that_breaks_off_is_not_taken_for_one(kind: Any, verb: str, times: int) -> None:
    """Reading is done once more; a change is not sent again: nobody knows whether it was made."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    asked.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        face = Face(kind(f"http://127.0.0.1:{server.getsockname()[1]}/", "t"))
        with pytest.raises(GatewayUnavailable, match="did not finish its answer"):
            getattr(face, verb)("ada/demo")
        face.done()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert len(asked) == times


@pytest.mark.parametrize("when", ["idle", "under the call"])
def test_a_change_on_a_kept_connection_that_died_is_made_once_or_reported(when: str) -> None:
    """Closed while it was idle: the change goes out on a fresh connection. Closed when the gateway had read it: nobody
    knows whether it was made, so it is not sent again."""
    asked: list[bytes] = []
    idle_over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                if data.startswith((b"GET ", b"POST ")):  # else the body, in a packet of its own
                    asked.append(data.split(b" ", 1)[0])
                else:
                    continue
                if when == "under the call" and asked[-1] == b"POST":
                    return
                body = json.dumps(service()).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                if when == "idle" and len(asked) == 1:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test is over
                    return
                serve(connection)
                idle_over.set()

        async def body() -> None:
            async with AsyncClient(f"http://127.0.0.1:{server.getsockname()[1]}/", "t") as client:
                await client.get("ada/demo")
                if when == "idle":
                    await asyncio.to_thread(idle_over.wait, 10)
                    await client.stop("ada/demo")
                    return
                with pytest.raises(GatewayUnavailable, match="did not finish its answer"):
                    await client.stop("ada/demo")

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            asyncio.run(body())
        finally:
            server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert asked == [b"GET", b"POST"]


# --- watching --------------------------------------------------------------------------------------------


def test_changes_arrive_as_they_happen(face: Face, fake: FakeGateway) -> None:
    def publish() -> None:
        fake.stream_opened.wait(10)
        fake.publish("service", service(state="starting"))
        fake.publish("event", event(7))
        fake.publish("shared", SHARED)
        fake.publish("removed", {"service": "ada/demo"})

    thread = later(0, publish)
    changes = face.take(5, timeout=30)
    thread.join()
    assert [(change.kind, change.key) for change in changes] == [
        ("resync", None), ("service", "ada/demo"), ("event", "ada/demo"), ("shared", "bob/parrot"),
        ("removed", "ada/demo"),
    ]  # fmt: skip
    assert changes[1].service.state == "starting"
    assert changes[2].event.id == 7
    assert changes[3].shared == wire.SharedInfo(**SHARED)
    assert changes[3].service is None


def test_what_others_share_for_calling_alone_is_told_apart(face: Face, fake: FakeGateway) -> None:
    """It has no replicas to be told of: whoever goes through her list meets nothing that somebody else put there."""
    fake.services["ada/demo"] = service()
    fake.shared = [SHARED]
    assert [(each.owner, each.name) for each in face.list()] == [("ada", "demo")]
    assert face.shared() == [wire.SharedInfo(**SHARED)]


def test_a_watch_ends_at_its_time_limit(face: Face, fake: FakeGateway) -> None:
    """Exactly there, though heartbeats come in between, or nothing comes at all."""
    began = time.monotonic()
    changes = face.take(100, timeout=0.5)
    assert [change.kind for change in changes] == ["resync"]
    assert 0.4 < time.monotonic() - began < 5


def test_a_watch_outlives_its_connection(face: Face, fake: FakeGateway) -> None:
    def drop() -> None:
        fake.stream_opened.wait(10)
        fake.token = "jmc_another"
        fake.announce()
        fake.drop_streams()
        fake.stream_opened.wait(10)
        fake.publish("service", service())

    thread = later(0, drop)
    assert [change.kind for change in face.take(3, timeout=30)] == ["resync", "resync", "service"]
    thread.join()


def test_wait_ready_returns_at_the_change(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(state="starting")
    seen: list[str] = []

    def proceed() -> None:
        until(lambda: len(sent(fake)) >= 4)  # the stream is open, and what it may have missed was looked at
        fake.publish("service", service("other", "failed"))
        fake.publish("service", service(state="starting", replica_list=[replica("demo-a", "loading")]))
        fake.publish("service", service(state="ready"))

    thread = later(0, proceed)
    ready = face.wait_ready("demo", timeout=30, on_change=lambda s: seen.append(s.state))
    thread.join()
    assert ready.state == "ready"
    assert seen == ["starting", "starting", "ready"]


def test_wait_ready_misses_nothing_between_looking_and_listening(face: Face, fake: FakeGateway) -> None:
    """Whatever changed before the stream was open is seen by the look after it was."""
    answers = [service(state="starting"), service(state="starting"), service(state="ready")]

    def next_state(_: Any) -> Any:
        return 200, answers.pop(0) if len(answers) > 1 else answers[0], {}

    fake.answers["GET", "api/v1/services/ada/demo"] = next_state
    assert face.wait_ready("demo", timeout=30).state == "ready"


def test_wait_ready_tells_why_it_failed(face: Face, fake: FakeGateway) -> None:
    exit = {"stage": "serve", "code": 3, "tail": ["Traceback", "ImportError: no torch"]}
    gone = replica("demo-a", "gone", exit=exit)
    fake.services["ada/demo"] = service(state="failed", reason="replica demo-a exited with code 3", replica_list=[gone])
    with pytest.raises(LaunchError, match="replica demo-a exited with code 3") as caught:
        face.wait_ready("demo", timeout=30)
    assert "ImportError: no torch" in str(caught.value)


def test_wait_ready_of_what_is_stopped_says_so_and_not_that_it_was_stopped_meanwhile(
    face: Face, fake: FakeGateway
) -> None:
    fake.services["ada/demo"] = service(state="stopped")
    with pytest.raises(LaunchError, match=r"^ada/demo: it is stopped, until it is started$"):
        face.wait_ready("demo", timeout=30)


def test_wait_ready_is_late_or_finds_it_deleted(face: Face, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(state="starting")
    with pytest.raises(WaitTimeout, match=r"is starting, not ready, after 0\.3 s"):
        face.wait_ready("demo", timeout=0.3)
    fake.stream_opened.clear()

    def delete() -> None:
        fake.stream_opened.wait(10)
        fake.publish("removed", {"service": "ada/demo"})

    thread = later(0, delete)
    with pytest.raises(NotFound, match="deleted meanwhile"):
        face.wait_ready("demo", timeout=30)
    thread.join()


# --- calling the model -------------------------------------------------------------------------------------


def model(handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
    """Echoes; ``/stream`` answers in pieces, ``/broken`` breaks off, ``/fail`` is the model's own 500."""
    handler.send_response(500 if path.endswith("/fail") else 200)
    if path.endswith(("/stream", "/broken")):
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for text in (b"one\n", b"two\n"):
            FakeGateway.chunk(handler, text)
        if path.endswith("/stream"):
            FakeGateway.chunk(handler, b"")
        # A close after a whole answer would race with the next call on that connection, which is not what is tested.
        handler.close_connection = path.endswith("/broken")
        return
    told = f"{handler.command} {handler.path} {handler.headers['Authorization']} {body.decode()}".encode()
    handler.send_header("Content-Length", str(len(told)))
    handler.end_headers()
    handler.wfile.write(told)


def test_calls_reach_the_model_with_the_owners_rights(face: Face, fake: FakeGateway) -> None:
    fake.endpoint = model
    bearer = f"Bearer {fake.token}"
    assert face.call("demo", "/api/chat?x=1").text == f"GET /endpoints/ada/demo/api/chat?x=1 {bearer} "
    assert face.call("bob/demo", json={"a": 1}).text == f'POST /endpoints/bob/demo/ {bearer} {{"a":1}}'
    assert face.request("PUT", "demo", "x", content=b"data").text == f"PUT /endpoints/ada/demo/x {bearer} data"
    assert face.call("demo", headers={"Authorization": "Bearer jms_mine"}).text.split()[2:] == ["Bearer", "jms_mine"]


def test_the_models_own_errors_are_its_answers_and_the_gateways_are_raised(face: Face, fake: FakeGateway) -> None:
    fake.endpoint = model
    assert face.call("demo", "fail").status_code == 500

    def died(handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        fake.send(handler, *refusal(502, "replica_died", "The replica died under the call."))

    fake.endpoint = died
    with pytest.raises(UpstreamError, match="died under the call"):
        face.call("demo")


def test_answers_can_be_streamed_and_never_look_complete_when_they_are_not(face: Face, fake: FakeGateway) -> None:
    fake.endpoint = model
    assert face.streamed("POST", "demo", "stream", json={}) == ["one", "two"]
    with pytest.raises(httpx.RemoteProtocolError):
        face.streamed("GET", "demo", "broken")
    with pytest.raises(UpstreamError, match="broke off"):
        face.call("demo", "broken")


def test_a_call_to_a_restarted_gateway_is_made_again_with_its_new_token(face: Face, fake: FakeGateway) -> None:
    def checked(handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        if handler.headers["Authorization"] != f"Bearer {fake.token}":
            fake.send(handler, *refusal(401, "unauthenticated", "This token is not known."))
        else:
            model(handler, path, body)

    fake.endpoint = checked
    assert face.call("demo").status_code == 200
    fake.token = "jmc_another"
    fake.announce()
    assert face.call("demo", json={"again": True}).text.endswith('{"again":true}')
    with pytest.raises(Unauthenticated):
        face.call("demo", headers={"Authorization": "Bearer jms_wrong"})


def test_a_silent_model_is_given_up_after_the_time_allowed(face: Face, fake: FakeGateway) -> None:
    released = threading.Event()

    def silent(handler: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        released.wait(30)
        handler.close_connection = True

    fake.endpoint = silent
    with pytest.raises(UpstreamError, match="sent nothing for the time allowed"):
        face.call("demo", timeout=0.3)
    released.set()


# --- the package -------------------------------------------------------------------------------------------


def test_importing_the_package_is_light_and_gives_the_clients() -> None:
    """Jupyter imports the package of every extension at its start."""
    code = (
        "import sys, jupyter_model_service as package\n"
        "heavy = {'httpx', 'pydantic', 'rich', 'jupyter_server', 'tornado', 'sqlalchemy', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from jupyter_model_service import AsyncClient, Client\n"
        "assert Client.__module__.endswith('client.sync') and AsyncClient.__module__.endswith('client.aio')\n"
        "try:\n"
        "    package.Nothing\n"
        "except AttributeError as error:\n"
        "    assert 'Nothing' in str(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
