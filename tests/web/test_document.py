"""The served OpenAPI document and the handlers are held against each other, operation by operation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from jupyter_model_service.web.openapi import document
from jupyter_model_service.web.routes import ROUTES, Access, Route

# One call that succeeds for each operation: the path's variables, the JSON body, the query.
PATH = {"owner": "alice", "name": "chat", "id": "t1", "kind": "user", "whom": "bob", "user": "bob"}
IDS = {"remove_rule": "r1", "remove_schedule": "s1"}
POLICY = {
    "max": 4,
    "rules": [{"metric": "gpu_util", "above": 80}],
    "schedules": [{"when": "Mon-Fri 08:00-19:00", "timezone": "Asia/Seoul", "min": 2}],
}
BODIES: dict[str, dict[str, Any]] = {
    "validate": {"folder": "/models/x"},
    "create_service": {"folder": "/models/x", "name": "new-one", "mounts": [{"source": "/a", "target": "/b"}]},
    "update_service": {"environment": {"A": "1"}, "public": True},
    "scale_service": {"replicas": 3},
    "rollback_service": {"revision": 1},
    "set_autoscaling": POLICY,
    "add_rule": {"metric_name": "cuda_util", "threshold": "80", "comparator": "gt"},
    "add_schedule": {"when": "0 8 * * 1-5", "duration": 39600, "min": 1},
    "share_service": {"role": "viewer", "limits": {"calls_per_day": 200}},
    "set_origins": {"origins": ["https://app.example.org"]},
    "set_limits": {"max_replicas_per_user": 1, "max_memory": None},
    "set_notice": {"text": "Please scale it down."},
    "create_token": {"name": "laptop", "expires_in": 3600, "limits": {"calls_per_second": 2.5, "in_flight": 4}},
    "change_token": {"limits": {"calls_per_day": 1000, "in_flight": None}},
    "attach": {"pid": 1, "create_time": 2.5, "keep": True},
    "shutdown": {"leave_replicas": True},
}
QUERIES: dict[str, dict[str, Any]] = {
    "get_access": {"user": "bob"},
    "list_events": {"after": 1, "limit": 5},
    "read_logs": {"after": 2, "limit": 7},
    "list_decisions": {"limit": 5},
    "read_series": {"since": 1.5, "step": 30},
    "list_series": {"services": "alice/chat", "since": 1.5, "step": 30, "values": "calls_per_second"},
}


def address(route: Route) -> str:
    values = PATH | ({"id": IDS[route.name]} if route.name in IDS else {})
    return "/" + re.sub(r"\{(\w+)\}", lambda found: values[found[1]], route.path)


def schema_of(served: dict[str, Any], operation: dict[str, Any], status: int) -> dict[str, Any]:
    """The JSON schema that the document promises for this status, with its components beside it."""
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = served["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return {**response["content"]["application/json"]["schema"], "components": served["components"]}


def test_the_document_is_valid_openapi_3_1() -> None:
    """A client generator can read it."""
    served = document(ROUTES)
    validate(served)
    assert served["openapi"].startswith("3.1")


def test_the_served_document_is_the_table(site: Any) -> None:
    """What api/v1/openapi.json answers names exactly the operations of the table, each with its own id."""
    served = site.run(lambda c: c.get("/api/v1/openapi.json"), token=None).json()
    operations = {
        (method.upper(), path.lstrip("/")): operation["operationId"]
        for path, methods in served["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {(r.method, r.path): r.name for r in ROUTES}
    assert len(set(operations.values())) == len(ROUTES)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.handler is not None], ids=lambda r: r.name)
def test_each_operation_answers_as_documented(site: Any, route: Route) -> None:
    """The status and the body of a successful call are those of the document."""
    site.add("alice", "chat", replicas=1)
    (replica,) = site.engine.service("alice", "chat").replica_list
    query = QUERIES.get(route.name, {}) | ({"replica": replica.id} if route.name == "read_logs" else {})

    async def body(client: httpx.AsyncClient) -> httpx.Response:
        await client.post("/api/v1/services/alice/chat/update", json={})  # there is one to go back to
        await client.put("/api/v1/admin/services/alice/chat/notice", json={"text": "It ends on Friday."})
        await client.post("/api/v1/services/alice/chat/tokens", json={"name": "first"})
        await client.put("/api/v1/services/alice/chat/autoscaling", json=POLICY)
        await client.put("/api/v1/services/alice/chat/access/user/bob", json={})
        return await client.request(route.method, address(route), json=BODIES.get(route.name), params=query)

    answer = site.run(body)
    served = document(ROUTES)
    assert answer.status_code == route.status, answer.text
    if route.status == 204:
        assert answer.content == b""
        return
    assert answer.headers["content-type"].partition(";")[0] == route.media_type
    if route.media_type == "application/json":
        operation = served["paths"][f"/{route.path}"][route.method.lower()]
        jsonschema.validate(answer.json(), schema_of(served, operation, route.status))


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.name)
def test_each_operation_refuses_as_documented(site: Any, route: Route) -> None:
    """Without a token: 401 with the documented body, unless the operation is open to anyone. An unknown query
    parameter is 400 everywhere."""
    site.add("alice", "chat")

    async def body(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        control = {"Authorization": "Bearer jmc_control"}
        return (
            await client.request(route.method, address(route), json=BODIES.get(route.name)),
            await client.request(
                route.method,
                address(route),
                json=BODIES.get(route.name),
                params={**QUERIES.get(route.name, {}), "limt": 1},
                headers=control,
            ),
        )

    without, misspelt = site.run(body, token=None)
    served = document(ROUTES)
    operation = served["paths"][f"/{route.path}"][route.method.lower()]
    if route.access is Access.ANYONE:
        assert without.status_code == route.status
        assert operation["security"] == []
    else:
        assert without.status_code == 401
        assert without.headers["www-authenticate"] == "Bearer"
        jsonschema.validate(without.json(), schema_of(served, operation, 401))
    assert misspelt.status_code == 400
    assert misspelt.json()["error"]["problems"][0]["where"] == "limt"
    jsonschema.validate(misspelt.json(), schema_of(served, operation, 400))


def test_every_path_of_the_application_is_in_the_table(site: Any) -> None:
    """No handler can be added beside the table."""
    application = site.application()
    rules = application.wildcard_router.rules
    assert len(rules) == len({r.path for r in ROUTES})
    assert all(rule.target.__name__ == "RouteHandler" for rule in rules)


def test_only_health_and_the_document_are_open() -> None:
    """Deny by default: a new open operation has to be added here, too."""
    assert {r.name for r in ROUTES if r.access is Access.ANYONE} == {"openapi", "live", "ready"}


def test_the_page_lists_every_operation() -> None:
    """docs/api.md has one row for each, with the same words."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for route in ROUTES:
        assert f"| `{route.method}` | `{route.path}` | {route.summary} | {route.status} |" in page
