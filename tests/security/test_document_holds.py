"""Thousands of requests that the served OpenAPI document allows, and as many that it does not, made up by schemathesis:
nothing breaks inside, and without a credential nothing succeeds but what is open to everybody."""

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
SECONDS = 50.0  # for everything; what does not fit into them is left out, and told
REAL = {"owner": "alice", "name": "chat", "kind": "user", "whom": "bob"}


class Asker:
    """Runs in a thread of its own, as the gateway has the loop of this one."""

    def __init__(self, base: str, document: dict[str, Any], token: str | None, until: float) -> None:
        self.base, self.token, self.until = base, token, until
        self.answered: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.left_out = 0
        self._schema = schemathesis.openapi.from_dict(document)
        self._http = httpx.Client(trust_env=False, timeout=30)

    def run(self) -> None:
        """What the document allows first, of every operation."""
        operations = [each.ok() for each in self._schema.get_all_operations()]
        with self._http:
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                for operation in operations:
                    self._operation(operation, mode)

    def _operation(self, operation: Any, mode: Any) -> None:
        """Whatever else the machine does: twice each at least of what the document allows."""
        late = time.monotonic() > self.until
        if late:
            self.left_out += 1
            if mode is schemathesis.GenerationMode.NEGATIVE:
                return
        try:
            self._try(operation, operation.as_strategy(generation_mode=mode), 2 if late else EACH)
        except (hypothesis.errors.Unsatisfiable, schemathesis.errors.InvalidSchema):
            return  # nothing about it can be wrong

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
@pytest.mark.parametrize("who", ["nobody", "the owner"])
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
        asker = Asker(
            f"{site.address}{PREFIX}".rstrip("/"),
            document,
            None if who == "nobody" else alice,
            time.monotonic() + SECONDS / 2,
        )
        await asyncio.to_thread(asker.run)
        return asker

    with FakeHub(users=["alice", "bob"], interrupt=0.02) as hub:
        asker, still = asyncio.run(main(hub))
    assert not asker.wrong, "\n".join(asker.wrong[:10])
    assert still == 200
    assert sum(asker.answered.values()) > 100, asker.answered
    assert len({label for label, _ in asker.answered}) > 40, "of nearly every operation"
    if who != "nobody":
        assert any(status < 300 for _, status in asker.answered), "the token opened something"
    print(f"{sum(asker.answered.values())} answers, {asker.left_out} kinds of requests left out for want of time")
