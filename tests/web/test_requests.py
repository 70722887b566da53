"""What goes into the engine, what is refused before, and how errors look."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.revision import Mount
from jupyter_model_service.core.revision_change import RevisionChange
from jupyter_model_service.engine.engine import Engine
from jupyter_model_service.engine.views import ServiceView
from jupyter_model_service.errors import (
    DefinitionError,
    GatewayUnavailable,
    HubRefused,
    InvalidRequest,
    LaunchError,
    ModelServiceError,
    Problem,
    StoreError,
    WaitTimeout,
)
from jupyter_model_service.web.handler import MAX_BODY, MAX_DISCARDED, MAX_KEYS

from .conftest import FOLDER

API_PAGE = Path(__file__).parents[2] / "docs" / "api.md"
CHAT = "/api/v1/services/alice/chat"


def post(site: Any, path: str, body: Any = None, **options: Any) -> httpx.Response:
    if body is not None:
        options["json"] = body
    return site.run(lambda c: c.post(path, **options))


def test_create_hands_everything_to_the_engine(site: Any) -> None:
    answer = post(
        site,
        "/api/v1/services",
        {
            "folder": "/models/x",
            "name": "chat",
            "replicas": 2,
            "public": True,
            "image": "img",
            "environment": {"A": "b"},
            "mounts": [{"source": "/s", "target": "/t", "read_only": True}],
            "cpus": 1.5,
            "memory": 1 << 30,
            "gpus": 1,
        },
    )
    change = RevisionChange("/models/x", "img", {"A": "b"}, (Mount("/s", "/t", True),), 1.5, 1 << 30, 1)
    assert site.engine.asked == [("create", "alice", change, "chat", 2, True)]
    assert answer.status_code == 201
    assert answer.json()["state"] == "starting"


def test_the_tokens_of_a_deleted_service_are_forgotten(site: Any) -> None:
    """Or they would open the next service of that name."""
    view = site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> httpx.Response:
        await client.post(f"{CHAT}/tokens", json={})
        return await client.delete(CHAT)

    answer = site.run(body)
    assert (answer.status_code, answer.json()["state"]) == (202, "deleting")
    assert site.tokens.of(view.id) == []


def test_what_is_left_out_of_an_update_stays_none(site: Any) -> None:
    """``None`` is "keep"; an empty environment is "no variables"."""
    site.add("alice", "chat")
    post(site, f"{CHAT}/update", {"environment": {}})
    assert site.engine.asked == [("update", "alice", "chat", RevisionChange(environment={}), None)]


def test_what_changed_in_a_folder_is_told_where_one_service_is_asked_for(site: Any) -> None:
    """It costs a look at the folder, which a list of all services must not."""
    site.add("alice", "chat")
    site.shelf.folders[FOLDER]["app.py"] = b"2"
    told = site.run(lambda c: c.get(CHAT)).json()
    assert (told["changed"], told["folder_changed"], told["folder_gone"]) == (["app.py"], True, False)
    (listed,) = site.run(lambda c: c.get("/api/v1/services")).json()["services"]
    assert listed["changed"] is None


def test_a_body_may_be_left_out_where_nothing_in_it_is_needed(site: Any) -> None:
    site.add("alice", "chat", replicas=1)

    async def updated() -> None:
        await Engine.update(site.engine, "alice", "chat", change=RevisionChange(environment={"A": "1"}))

    site.play(updated())
    answer = post(site, f"{CHAT}/rollback")
    assert (answer.status_code, answer.json()["revision"]) == (202, 1)
    assert site.engine.asked == [("rollback", "alice", "chat", None)]
    assert post(site, "/api/v1/gateway/shutdown").status_code == 202
    assert site.ended == [False]


@pytest.mark.parametrize(
    ("body", "where", "says"),
    [
        ({"folder": "/m", "replica": 2}, "replica", 'did you mean "replicas"'),
        ({"folder": "/m", "zzz": 2}, "zzz", "known are"),
        ({"folder": "/m", "mounts": [{"sorce": "/a", "target": "/b"}]}, "mounts[0].sorce", 'did you mean "source"'),
        ({"replicas": 1}, "folder", "needed"),
        ({"folder": "/m", "replicas": -1}, "replicas", "greater than or equal to 0"),
        ({"folder": "/m", "replicas": 10**9}, "replicas", "less than or equal to 100"),
        ({"folder": "/m", "replicas": "2"}, "replicas", "valid integer"),
        ({"folder": "/m", "replicas": True}, "replicas", "valid integer"),
        ({"folder": "/m", "environment": {"SECRET": 5}}, "environment.SECRET", "valid string"),
        ({"folder": "/m", "gpus": 65}, "gpus", "less than or equal to 64"),
        ([1], "", "object"),
    ],
)
def test_a_wrong_body_is_named_field_by_field(site: Any, body: Any, where: str, says: str) -> None:
    """400, one sentence with the place and what would be right; nothing reaches the engine."""
    answer = post(site, "/api/v1/services", body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert says in error["message"]
    assert where in [p["where"] for p in error["problems"]]
    assert site.engine.asked == []


def test_all_problems_of_a_body_are_named_at_once(site: Any) -> None:
    answer = post(site, "/api/v1/services", {"foldr": "/m", "replicas": -1})
    assert {p["where"] for p in answer.json()["error"]["problems"]} == {"folder", "foldr", "replicas"}


@pytest.mark.parametrize("path", ["/api/v1/services", f"{CHAT}/update"])
@pytest.mark.parametrize("environment", [{"A=B": "x"}, {"": "x"}, {"A\nB": "x"}, {"A": "x\0"}])
def test_an_environment_that_no_program_can_be_given_asks_nothing_of_the_engine(
    site: Any, path: str, environment: dict[str, str]
) -> None:
    answer = post(site, path, {"folder": "/models/x", "environment": environment})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == InvalidRequest.code
    assert "environment variable" in answer.json()["error"]["message"]
    assert site.engine.asked == []


def test_what_was_sent_is_not_repeated(site: Any) -> None:
    """A value may be a secret: neither answer nor log holds it."""
    answer = post(site, "/api/v1/services", {"folder": "/m", "environment": {"KEY": ["hunter2"]}})
    assert answer.status_code == 400
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"folder": NaN}'])
def test_what_is_no_json_is_a_bad_request(site: Any, body: bytes) -> None:
    answer = post(site, "/api/v1/services", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_body_of_another_type_is_refused(site: Any) -> None:
    """A form of a foreign page cannot pass for JSON."""
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {}):
        answer = post(site, "/api/v1/services", content=b'{"folder": "/m"}', headers=headers)
        assert answer.status_code == 415
        assert "application/json" in answer.json()["error"]["message"]
    good = post(
        site,
        "/api/v1/services",
        content=b'{"folder": "/m"}',
        headers={"Content-Type": "application/JSON; charset=utf-8"},
    )
    assert good.status_code == 201


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_and_the_connection_stays(site: Any, chunked: bool) -> None:
    """413 whether or not the length was announced; exactly the limit is still read."""

    async def pieces(size: int) -> Any:
        yield b" " * (size - 2)
        yield b"{}"

    async def body(client: httpx.AsyncClient) -> list[httpx.Response]:
        headers = {"Content-Type": "application/json"}
        sizes = (MAX_BODY + 1, MAX_BODY)
        return [
            await client.post(
                "/api/v1/gateway/shutdown",
                content=pieces(size) if chunked else b" " * (size - 2) + b"{}",
                headers=headers,
            )
            for size in sizes
        ]

    too_large, fits = site.run(body)
    assert too_large.status_code == 413
    assert too_large.json()["error"]["code"] == "too_large"
    assert fits.status_code == 202
    assert site.ended == [False]


def test_a_body_with_a_flood_of_keys_is_refused_unread(site: Any) -> None:
    """What is wrong with each of 60,000 took 17 s to say, in which the gateway did nothing else."""

    async def body(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/gateway/shutdown", json={f"leave_replica{n}": 1 for n in range(MAX_KEYS + 1)})

    refused = site.run(body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert f"at most {MAX_KEYS} keys" in refused.json()["error"]["message"]


def test_a_body_far_beyond_the_limit_is_not_even_read(site: Any) -> None:
    """The refusal comes after the headers, alone, and ends the connection."""

    async def main() -> bytes:
        async with site.serving():
            reader, writer = await asyncio.open_unix_connection(site.path)
            length = MAX_DISCARDED * 1000
            writer.write(f"POST /api/v1/services HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n".encode())
            said = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            return said

    head, _, rest = site.play(main()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(rest)["error"]["code"] == "too_large"


def test_an_unknown_address_and_a_wrong_method(site: Any) -> None:
    """404 and 405 have the same body as every other refusal; 405 says what would do."""

    async def body(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        return (
            await client.get("/api/v1/nothing"),
            await client.patch("/api/v1/services"),
            await client.get("/api/v1/services/a%20b/%ff"),
        )

    unknown, method, undecodable = site.run(body)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "GET, POST"
    assert undecodable.status_code == 400
    assert undecodable.json()["error"]["code"] == "invalid_request"


def test_a_cache_breaker_is_no_parameter(site: Any) -> None:
    """JupyterLab appends the time to each GET."""
    assert site.run(lambda c: c.get("/api/v1/services?1700000000000")).status_code == 200


def test_limits_of_a_query_are_checked(site: Any) -> None:
    site.add("alice", "chat")
    for query in ("limit=0", "limit=100000", "after=-1", "after=x", "replicas=a"):
        assert site.run(lambda c, q=query: c.get(f"{CHAT}/logs?{q}")).status_code == 400
    assert site.engine.asked == []


@pytest.mark.parametrize("where", ["logs", "events"])
def test_a_cursor_beyond_every_id_is_refused_with_one_sentence(site: Any, where: str) -> None:
    site.add("alice", "chat", replicas=1)
    for after in ("9" * 40, str(2**63)):
        answer = site.run(lambda c, after=after: c.get(f"{CHAT}/{where}?after={after}"))
        assert answer.status_code == 400
        assert "after" in answer.json()["error"]["message"]
    assert site.engine.asked == []
    assert site.run(lambda c: c.get(f"{CHAT}/{where}?after={2**63 - 1}")).status_code == 200


def all_errors(base: type[ModelServiceError] = ModelServiceError) -> list[type[ModelServiceError]]:
    return [base, *(found for child in base.__subclasses__() for found in all_errors(child))]


@pytest.mark.parametrize(
    "kind", [k for k in all_errors() if k.__module__.endswith(".errors")], ids=lambda k: k.__name__
)
def test_each_error_has_its_status_code_and_sentence(site: Any, kind: type[ModelServiceError]) -> None:
    """The classes say it; the answer repeats it, with Retry-After for 503."""
    error: ModelServiceError
    if kind is DefinitionError:
        error = DefinitionError([Problem("models[0].port", "0 is no port", "model-definition.yaml", 4)])
    elif kind.__name__ == "MethodNotAllowed":
        error = kind(["GET"])  # type: ignore[arg-type]
    elif kind is HubRefused:
        error = HubRefused("It went wrong here; do that.", hub_status=400)
    else:
        error = kind("It went wrong here; do that.")
    site.engine.failure = error
    answer = post(site, "/api/v1/validate", {"folder": "/m"})
    assert answer.status_code == kind.status
    assert answer.headers["x-model-service-error"] == kind.code
    assert answer.json()["error"]["code"] == kind.code
    assert answer.json()["error"]["message"] == error.message
    assert ("retry-after" in answer.headers) == (kind.status in (429, 503))


def test_each_code_is_on_the_page() -> None:
    """docs/api.md has every code that the gateway answers with, beside its status."""
    rows = [line for line in API_PAGE.read_text().splitlines() if line.startswith("| ")]
    # What only clients and the command line raise is no answer of the gateway.
    of_clients = (GatewayUnavailable, WaitTimeout)
    kinds = [k for k in all_errors() if "errors" in k.__module__.rsplit(".", 1)[-1] and k not in of_clients]
    assert len(kinds) > 8
    for kind in kinds:
        assert any(f"| {kind.status} |" in row and f"`{kind.code}`" in row for row in rows), kind


def test_the_problems_of_a_definition_are_listed(site: Any) -> None:
    problems = [Problem("models[0].port", "0 is no port", "model-definition.yaml", 4), Problem("", "no name")]
    site.engine.failure = DefinitionError(problems)
    answer = post(site, "/api/v1/validate", {"folder": "/m"})
    assert answer.status_code == 422
    first = answer.json()["error"]["problems"][0]
    assert (first["where"], first["file"], first["line"]) == ("models[0].port", "model-definition.yaml", 4)
    assert len(answer.json()["error"]["problems"]) == 2


def test_a_wait_is_rounded_up(site: Any) -> None:
    site.engine.failure = ModelServiceError("later", retry_after=0.2)
    assert post(site, "/api/v1/validate", {"folder": "/m"}).headers["retry-after"] == "1"


def test_the_unexpected_is_logged_and_not_shown(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """500 with the request id, which the log has, too, beside the traceback."""
    site.engine.failure = RuntimeError("password=hunter2")
    with caplog.at_level(logging.ERROR):
        answer = post(site, "/api/v1/validate", {"folder": "/m"}, headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "abc-1" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"] == "abc-1"
    assert "hunter2" not in answer.text
    assert any("abc-1" in record.getMessage() and record.exc_info for record in caplog.records)


def test_our_own_wrong_answer_is_not_the_callers_mistake(site: Any) -> None:
    """A view that does not fit the wire model is a 500."""
    site.add("alice", "chat")
    inspect = site.engine.inspect

    async def nonsense(owner: str, name: str) -> ServiceView:
        return replace(await inspect(owner, name), state="nonsense")

    site.engine.inspect = nonsense
    assert site.run(lambda c: c.get(CHAT)).status_code == 500


def test_one_line_is_logged_for_an_action_without_secrets(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, how it went and the request id; no token, query or body. Reading is quiet."""
    site.add("alice", "chat")
    with caplog.at_level(logging.INFO, logger="jupyter_model_service"):
        post(site, f"{CHAT}/update", {"environment": {"KEY": "hunter2"}}, headers={"X-Request-Id": "r1"})
        post(site, f"{CHAT}/tokens", {"name": "x"})
        site.run(lambda c: c.get(CHAT))
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("jupyter_model_service")]
    assert len(lines) == 2
    assert "POST /api/v1/services/alice/chat/update 202 ok by alice" in lines[0]
    assert "request=r1" in lines[0]
    assert not any(secret in line for line in lines for secret in ("hunter2", "jmc_", "jms_"))


def test_a_forged_request_id_is_replaced(site: Any) -> None:
    """It goes into the log, so it may hold no line break and no kilobytes."""
    answer = site.run(lambda c: c.get("/health/live", headers={"X-Request-Id": "a" * 129}))
    assert len(answer.headers["x-request-id"]) == 16


def test_launch_and_store_errors_pass_as_they_are(site: Any) -> None:
    site.engine.failure = LaunchError("Python is missing.", stage="spawn")
    assert post(site, "/api/v1/validate", {"folder": "/m"}).status_code == 502
    site.engine.failure = StoreError("The database cannot be written.")
    assert post(site, "/api/v1/validate", {"folder": "/m"}).status_code == 500


def test_answers_are_not_cached_or_sniffed(site: Any) -> None:
    answer = site.run(lambda c: c.get("/api/v1/services"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_the_prefix_is_part_of_every_address(site: Any) -> None:
    """On a hub everything lies below the service's prefix."""
    site.prefix = "/services/model-service/"
    assert site.run(lambda c: c.get("/services/model-service/api/v1/services")).status_code == 200
    assert site.run(lambda c: c.get("/api/v1/services")).status_code == 404


@pytest.mark.parametrize("path", ["services", "services/alice/chat/update"])
def test_what_takes_hours_is_given_up_when_the_caller_leaves(site: Any, path: str) -> None:
    """At once: nobody would be told of what comes of it."""
    site.add("alice", "chat")
    ended: list[str] = []

    async def body(client: httpx.AsyncClient) -> None:
        begun = asyncio.Event()

        async def forever(*args: Any, **named: Any) -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.append(path)
                raise

        site.engine.create = site.engine.update = forever
        call = asyncio.ensure_future(client.post(f"/api/v1/{path}", json={"folder": "/m"}))
        await asyncio.wait_for(begun.wait(), 20)
        call.cancel()
        for _ in range(1000):
            if ended:
                return
            await asyncio.sleep(0.01)

    site.run(body)
    assert ended == [path]
