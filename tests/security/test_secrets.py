"""What a hub's gateway leaves behind, and what it tells of itself, holds nobody's secret: everything is looked through.

Environments and addresses of real containers are not here: ``hub/test_spawner.py`` looks at those."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_model_service.config import HubService
from jupyter_model_service.core.hosts import Hosts
from jupyter_model_service.core.hub_options import ReplicaOptions
from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.testing import hub_site as sites
from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.hub_site import PREFIX, HubSite, hub_site

from .asking import status
from .people import COLUMNS, everybody, people
from .table import ENDPOINTS, OPERATIONS

VALUE = "a-password-of-the-owners"  # of an environment variable that she gives her model
TOLD = ("metrics", "api/v1/admin/audit?limit=1000", "api/v1/services", "api/v1/services/alice/chat",
        "api/v1/services/alice/chat/events", "api/v1/services/alice/chat/tokens", "api/v1/services/alice/chat/access",
        "health/ready")  # fmt: skip
#: Where the gateway keeps what its owner alone may read, and needs again.
KEPT = {"key"}
#: Of a model that runs for as long as it is looked for.
RUNS = """\
models:
- name: m
  model_path: /models
  service:
    start_command: [python3, -c, "import time; time.sleep(600)"]
    port: 8000
"""
HOSTS = Hosts("http://*.models.localhost:8000")


@pytest.fixture
def logging_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_log(**fields: object) -> HubService:
        return HubService(**fields, access_log="access.log")  # type: ignore[arg-type]

    monkeypatch.setattr(sites, "HubService", with_log)


async def signed_in(site: HubSite, told: dict[str, str]) -> dict[str, str]:
    """carol opens the page of what is shared with her, and one that is not. What that leaves in her browser, and the
    codes that were in its addresses."""
    async with Browser(site) as browser:
        await browser.login("carol")
        assert (await browser.open(f"{HOSTS.url_of('alice', 'chat')}a?b")).status_code == 503
        went = list(browser.went)
        told["our page"] = (await browser.open(site.address + PREFIX)).text
        told["a page that is not hers"] = (await browser.open(HOSTS.url_of("alice", "own"))).text
        kept = {f"the cookie {name}": cookie.value for (_, name), cookie in browser.cookies.items()}
        codes = {f"a code of {url.partition('?')[0]}": said["code"][0] for url, said in asked(went) if "code" in said}
        assert {"the cookie model-service-page", "the cookie __Host-model-service-visit"} <= kept.keys()
        assert len(codes) == 2
        tokens = [text for text, token in site.hub.tokens.items() if token.session]
        assert len(tokens) == 1
        assert not [url for url in went for secret in (*kept.values(), *tokens) if secret in url]
        return {**kept, **codes, "the token of a sign-in": tokens[0]}


async def runs_with_a_password(site: HubSite, owner: str) -> None:
    definition = {"file": "model-definition.yaml", "text": RUNS}
    await site.deploy("secret", owner, definition=definition, environment={"PASSWORD": VALUE}, replicas=1)

    async def loading() -> None:
        while "loading" not in (await site.api("GET", "services/alice/secret", token=owner)).text:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(loading(), 30)


def asked(urls: list[str]) -> list[tuple[str, dict[str, list[str]]]]:
    return [(url, parse_qs(urlsplit(url).query)) for url in urls]


def test_nobodys_secret_is_left_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture, logging_calls: None) -> None:
    """Everybody asks for everything first, with the token where it belongs and where it does not."""
    caplog.set_level(logging.DEBUG)
    secrets: dict[str, str] = {}
    told: dict[str, str] = {}

    async def use(site: HubSite) -> None:
        tokens = await everybody(site)
        await runs_with_a_password(site, str(tokens["owner"]))
        for way in [*OPERATIONS, *ENDPOINTS]:
            method, path = way.split(" ", 1)
            for who in COLUMNS:
                await status(site, method, path, tokens[who])
        owner = tokens["owner"]
        for place in ("api/v1/services", "endpoints/alice/chat/", "endpoints/alice/open/", "v1/models"):
            for name in ("token", "access_token"):
                answer = await site.request("GET", f"{place}?{name}={owner}", token=None)
                told[f"the answer at {place}?{name}="] = answer.text
        secrets.update(await signed_in(site, told))
        for path in TOLD:
            answer = await site.request("GET", path, token=tokens["admin"])
            assert answer.status_code == 200, path
            told[path] = answer.text
        secrets.update({who: token for who, token in tokens.items() if token is not None})

    with people() as hub:

        async def main() -> str:
            policy = Policy(model_volumes=(VolumeRule("models"),))
            async with hub_site(hub, tmp_path / "gateway", policy, hosts=HOSTS) as site:
                await use(site)
            return site.address

        address = asyncio.run(main())
        secrets |= {"the gateway's own": hub.token, "the key": hub.key, "the value": VALUE}
        secrets |= {
            f"the secret of {one.replica}": one.secret for one in hub.engine.started if isinstance(one, ReplicaOptions)
        }
        assert [whose for whose in secrets if whose.startswith("the secret of secret-")]
    told["the log"] = "\n".join(
        caplog.handler.format(record)
        for record in caplog.records
        # What this test itself asks for, and is answered; the gateway's own log has neither.
        if not record.name.startswith("httpcore") and (record.name != "httpx" or address not in record.getMessage())
    )
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {Path(name).name for name in files}
    assert {"state.db", "access.log", "audit.jsonl"} <= names, "what should be looked through is there"
    assert {name for name in names if name.endswith("key")} == KEPT
    with closing(sqlite3.connect(tmp_path / "gateway" / "state.db")) as database:
        told["a dump of the database"] = "\n".join(database.iterdump())
    assert "PASSWORD" in told["a dump of the database"]
    assert 'INSERT INTO "replicas"' in told["a dump of the database"]
    assert b"endpoints/alice" in next(data for name, data in files.items() if name.endswith("access.log"))
    found = [f"{who} in {place}" for place, text in told.items() for who, secret in secrets.items() if secret in text]
    found += [
        f"{who} in the file {name}"
        for name, data in files.items()
        if Path(name).name not in KEPT
        for who, secret in secrets.items()
        if secret.encode() in data
    ]
    assert found == []
