"""The table of ``tests/security``, asked of real Hubs of both lines: every operation, every kind of endpoint and every
page, by real users with real tokens, by way of the Hub's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

import httpx
import pytest

from tests.security.asking import (
    CALLS,
    ORIGINS,
    Tokens,
    calls_differing,
    lists_differing,
    pages_differing,
    visits_differing,
)
from tests.security.people import COLUMNS, SHARED, everybody, visitors
from tests.security.table import ENDPOINTS, OPERATIONS

from .deployment import Deployment, Setup
from .real_site import AUDITORS, INSTALLED, RealSite, peopled, real_site

LINES = [Setup(line=line, install=INSTALLED, after=AUDITORS) for line in (6, 5)]
pytestmark = pytest.mark.parametrize("hub", LINES, indirect=True, ids=str)

ROW = "GET api/v1/services/{owner}/{name}"


@pytest.fixture(scope="module")
def tokens(hub: Deployment) -> Iterator[Tokens]:
    """By column. The Hub knows each but those that are over, and nobody."""
    with peopled(hub):

        async def main() -> Tokens:
            async with real_site(hub) as site:
                return await everybody(site)

        found = asyncio.run(main())
        known = {who for who, token in found.items() if hub.api("GET", "/user", token=token or "-").status_code == 200}
        assert known == set(COLUMNS) - {"anonymous", "expired", "revoked", "unknown"}
        yield found


def asked(hub: Deployment, ask: Callable[[RealSite], Coroutine[None, None, list[str]]]) -> list[str]:
    async def main() -> list[str]:
        async with real_site(hub) as site:
            return await ask(site)

    return asyncio.run(main())


def test_the_gateway_has_the_operations_of_the_table_and_no_others(hub: Deployment) -> None:
    told = httpx.get(f"{hub.service_url}api/v1/openapi.json", trust_env=False, timeout=30).json()
    served = {f"{method.upper()} {path.lstrip('/')}" for path, ways in told["paths"].items() for method in ways}
    assert served == set(OPERATIONS)


@pytest.mark.timeout(600)  # as in ``tests/security``: 3,000 questions
def test_everybody_is_answered_as_the_table_says(hub: Deployment, tokens: Tokens) -> None:
    """Of the older line what the control API and endpoints are asked for: other methods and addresses are no matter of the
    Hub's."""
    table = CALLS if hub.setup.line == 6 else {**OPERATIONS, **ENDPOINTS}
    found = asked(hub, partial(calls_differing, tokens=tokens, table=table))
    assert not found, "\n".join(found)
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    after = httpx.get(f"{hub.service_url}api/v1/services", headers=headers, trust_env=False, timeout=30).json()
    assert sorted(each["name"] for each in after["services"]) == ["chat", "hers", "open", "own"], "as it was"


def test_each_cell_of_the_table_is_really_asked_for(hub: Deployment, tokens: Tokens) -> None:
    """With 418 in its place, none is right: of an operation, and on each way to an endpoint."""
    rows = {way: row for way, row in ENDPOINTS.items() if "alice/own" in way or "@own--" in way}
    for way, row in {ROW: OPERATIONS[ROW], **rows}.items():
        wrong = {way: dict.fromkeys(COLUMNS, 418)}
        found = asked(hub, partial(calls_differing, tokens=tokens, table=wrong))
        assert found == [f"{way} by {who}: {wanted}, not 418" for who, wanted in row.items()]


def test_everybody_finds_in_lists_what_the_table_says(hub: Deployment, tokens: Tokens) -> None:
    found = asked(hub, partial(lists_differing, tokens=tokens))
    assert not found, "\n".join(found)


def test_a_visit_is_good_for_its_own_pages_and_whoever_opens_them(hub: Deployment, tokens: Tokens) -> None:
    """Whatever origins the owner lists; of real tokens that the Hub gave, and one that it has forgotten."""

    async def ask(site: RealSite) -> list[str]:
        listed = {"origins": [ORIGINS["PRE!"]]}
        answered = await site.api("PUT", f"services/alice/{SHARED}/access/origins", listed, token=tokens["owner"])
        assert answered.status_code == 200, answered.text
        return await visits_differing(site, await visitors(site))

    found = asked(hub, ask)
    assert not found, "\n".join(found)


def test_everybody_is_shown_the_pages_that_the_table_says(hub: Deployment, tokens: Tokens) -> None:
    """Signed in with each of these tokens, as if the Hub had given it for that: what the Hub really gives for it is in
    ``test_sign_in`` and ``test_administrators_page``."""
    found = asked(hub, partial(pages_differing, tokens=tokens))
    assert not found, "\n".join(found)
