"""Thousands of requests that the served OpenAPI document allows, and as many that it does not, made up by schemathesis:
nothing breaks inside, and without a credential nothing succeeds but what is open to everybody. An administrator may all
that there is, so that each operation is not only refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import PREFIX, HubSite, hub_site

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

OPEN = {"/api/v1/openapi.json", "/health/live", "/health/ready"}
EACH = 5  # requests of one kind for one operation
LATE = 2  # … when there was no time for more
SECONDS = 25.0  # for everything
REAL = {"owner": "alice", "name": "chat", "kind": "user", "whom": "bob", "user": "bob"}
LAST = "DELETE /api/v1/services/{owner}/{name}"  # there is nothing to ask of behind it
#: Operations that are not asked by who may have them done, each with its reason.
NOT_ASKED = {"an administrator": {"POST /api/v1/gateway/shutdown": "the gateway that is asked would end"}}
NOTHING_TO_MAKE_UP = "schemathesis makes up nothing of that kind: it takes neither parameters nor a body"
NOT_SENT = "no client could send what it made up"


class Asker:
    """Runs in a thread of its own, as the gateway has the loop of this one. ``left_out``: by operation and kind, why."""

    def __init__(self, who: str, base: str, document: dict[str, Any], token: str | None) -> None:
        self.base, self.token = base, token
        self.answered: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.left_out: dict[tuple[str, str], str] = {}
        self.labels: set[str] = set()
        self._not_asked = NOT_ASKED.get(who, {})
        self._until = time.monotonic() + SECONDS
        self._schema = schemathesis.openapi.from_dict(document)
        self._http = httpx.Client(trust_env=False, timeout=30)

    def run(self) -> None:
        """What the document allows first, of every operation."""
        operations = [each.ok() for each in self._schema.get_all_operations()]
        self.labels = {operation.label for operation in operations}
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        kinds = [(mode, operation) for mode in modes for operation in operations]
        with self._http:
            for mode, operation in sorted(kinds, key=lambda kind: kind[1].label == LAST):
                if why := self._not_asked.get(operation.label) or self._operation(operation, mode):
                    self.left_out[operation.label, mode.value] = why

    def _operation(self, operation: Any, mode: Any) -> str | None:
        """Whatever else the machine does, of each kind some. Why none was sent."""
        before = sum(self.answered.values())
        try:
            late = time.monotonic() > self._until
            self._try(operation, operation.as_strategy(generation_mode=mode), LATE if late else EACH)
        except (hypothesis.errors.Unsatisfiable, schemathesis.errors.InvalidSchema):
            return NOTHING_TO_MAKE_UP
        return NOT_SENT if sum(self.answered.values()) == before else None

    def _try(self, operation: Any, cases: Any, count: int) -> None:
        @hypothesis.settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=cases, real=hypothesis.strategies.booleans())
        def ask(case: Any, real: bool) -> None:
            if real:
                case.path_parameters = {**(case.path_parameters or {}), **REAL}
            self._ask(operation.label, operation.path, case)

        ask()

    def _ask(self, label: str, path: str, case: Any) -> None:
        given = case.as_transport_kwargs(base_url=self.base)
        headers = {name: str(value) for name, value in given["headers"].items() if name.lower() != "authorization"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        more = {"content": given["data"]} if isinstance(given.get("data"), bytes) else {}
        if given.get("json") is not None:
            more = {"json": given["json"]}
        try:
            request = self._http.build_request(
                given["method"], given["url"], params=given.get("params"), headers=headers, **more
            )
        except (httpx.InvalidURL, UnicodeError, ValueError):
            return  # no client could send it
        try:
            answer = self._http.send(request, stream=True)
        except httpx.LocalProtocolError:
            return
        answer.close()
        self.answered[label, answer.status_code] += 1
        if answer.status_code >= 500 or (self.token is None and answer.is_success and path not in OPEN):
            self.wrong.append(f"{answer.status_code} to {request.method} {request.url} {request.content[:300]!r}")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["nobody", "the owner", "an administrator"])
def test_what_the_document_allows_and_what_it_does_not_break_nothing_and_open_nothing(who: str, tmp_path: Path) -> None:
    async def main(hub: FakeHub) -> tuple[Asker, int]:
        async with hub_site(hub, tmp_path / "gateway") as site:
            asker = await asked(site)
            still = await site.request("GET", "health/ready", token=None)
        return asker, still.status_code

    async def asked(site: HubSite) -> Asker:
        alice = site.notebook("alice")
        await site.deploy("chat", alice)
        document = (await site.api("GET", "openapi.json", token=None)).json()
        token = {"the owner": alice, "an administrator": site.administrator("admin")}.get(who)
        asker = Asker(who, f"{site.address}{PREFIX}".rstrip("/"), document, token)
        await asyncio.to_thread(asker.run)
        return asker

    with FakeHub(users=["alice", "bob", "admin"], interrupt=0.02) as hub:
        hub.users["admin"].admin = True
        asker, still = asyncio.run(main(hub))
    assert not asker.wrong, "\n".join(asker.wrong[:10])
    assert still == 200
    statuses: dict[str, set[int]] = {}
    for label, status in asker.answered:
        statuses.setdefault(label, set()).add(status)
    assert asker.labels - set(statuses) == set(NOT_ASKED.get(who, {})), "of every operation but those"
    kinds = 2 * len(asker.labels)
    assert len(asker.left_out) <= kinds * LEFT_OUT, asker.left_out
    print(f"{sum(asker.answered.values())} answers, {len(asker.left_out)} of {kinds} kinds of requests were not made:")
    print(*(f"{label} ({mode}): {why}" for (label, mode), why in asker.left_out.items()), sep="\n")
    succeeded = {label for label, found in statuses.items() if min(found) < 300}
    if who == "nobody":
        assert {label.partition(" ")[2] for label in succeeded} == OPEN
    elif who == "an administrator":
        refused = [label for label, found in statuses.items() if found <= {401, 403}]
        assert refused == [], "she may everything"
    assert len(succeeded) >= DONE[who], succeeded


#: The largest share of operations and kinds (of requests that the document allows, or does not) that may be left out.
LEFT_OUT = 0.05
#: How many operations are done at least, and not only asked for.
DONE = {"nobody": 3, "the owner": 20, "an administrator": 25}
