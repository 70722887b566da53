"""What a hub's gateway leaves behind, and what it tells of itself, holds nobody's secret: everything is looked through.

Environments and addresses of real containers are not here: ``hub/test_spawner.py`` looks at those."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from jupyter_model_service.config import HubService
from jupyter_model_service.core.policy import Policy, VolumeRule
from jupyter_model_service.testing import hub_site as sites
from jupyter_model_service.testing.hub_site import HubSite, hub_site

from .asking import status
from .people import COLUMNS, everybody, people
from .table import ENDPOINTS, OPERATIONS

VALUE = "a-password-of-the-owners"  # of an environment variable that she gives her model
TOLD = ("metrics", "api/v1/admin/audit?limit=1000", "api/v1/services", "api/v1/services/alice/chat",
        "api/v1/services/alice/chat/events", "api/v1/services/alice/chat/tokens", "api/v1/services/alice/chat/access",
        "health/ready")  # fmt: skip
#: Where the gateway keeps what its owner alone may read, and needs again.
KEPT = {"key"}


@pytest.fixture
def logging_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_log(**fields: object) -> HubService:
        return HubService(**fields, access_log="access.log")  # type: ignore[arg-type]

    monkeypatch.setattr(sites, "HubService", with_log)


def test_nobodys_secret_is_left_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture, logging_calls: None) -> None:
    """Everybody asks for everything first, with the token where it belongs and where it does not."""
    caplog.set_level(logging.DEBUG)
    secrets: dict[str, str] = {}
    told: dict[str, str] = {}

    async def use(site: HubSite) -> None:
        tokens = await everybody(site)
        await site.deploy("secret", str(tokens["owner"]), environment={"PASSWORD": VALUE})
        for way in [*OPERATIONS, *ENDPOINTS]:
            method, path = way.split(" ", 1)
            for who in COLUMNS:
                await status(site, method, path, tokens[who])
        owner = tokens["owner"]
        for place in ("api/v1/services", "endpoints/alice/chat/", "endpoints/alice/open/", "v1/models"):
            for name in ("token", "access_token"):
                answer = await site.request("GET", f"{place}?{name}={owner}", token=None)
                told[f"the answer at {place}?{name}="] = answer.text
        for path in TOLD:
            answer = await site.request("GET", path, token=tokens["admin"])
            assert answer.status_code == 200, path
            told[path] = answer.text
        secrets.update({who: token for who, token in tokens.items() if token is not None})

    with people() as hub:

        async def main() -> str:
            async with hub_site(hub, tmp_path / "gateway", Policy(model_volumes=(VolumeRule("models"),))) as site:
                await use(site)
            return site.address

        address = asyncio.run(main())
        secrets |= {"the gateway's own": hub.token, "the key": hub.key}
    told["the log"] = "\n".join(
        caplog.handler.format(record)
        for record in caplog.records
        if record.name != "httpx" or address not in record.getMessage()  # what this test itself asks for
    )
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {Path(name).name for name in files}
    assert {"state.db", "access.log"} <= names, "what should be looked through is there"
    assert b"endpoints/alice" in next(data for name, data in files.items() if name.endswith("access.log"))
    found = [f"{who} in {place}" for place, text in told.items() for who, secret in secrets.items() if secret in text]
    found += [f"the value in {place}" for place, text in told.items() if VALUE in text]
    found += [
        f"{who} in the file {name}"
        for name, data in files.items()
        if Path(name).name not in KEPT
        for who, secret in secrets.items()
        if secret.encode() in data
    ]
    assert found == []
