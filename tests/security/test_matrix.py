"""Every operation and every kind of endpoint, asked by everybody who may come, at a whole gateway of a hub."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.routing import PathMatches

from jupyter_model_service.testing.hub_site import HubSite, hub_site
from jupyter_model_service.web.application import Shown, make_application
from jupyter_model_service.web.handler import RouteHandler
from jupyter_model_service.web.page import Page, PageHandler
from jupyter_model_service.web.route import Route

from .asking import HOSTS, page_status, status
from .people import COLUMNS, everybody, people
from .table import ENDPOINTS, KINDS, NOWHERE, OPERATIONS, SHOWN, WAYS, row_for

OPEN = {"GET api/v1/openapi.json", "GET health/live", "GET health/ready"}


_ANY: Any = None


def served() -> Iterator[Route | Page | str]:
    """What the application really answers to, its pages as well; the path alone of what is in no table of ours."""
    needed = inspect.signature(make_application).parameters.values()
    given: dict[str, Any] = {each.name: None for each in needed if each.default is inspect.Parameter.empty}
    for rule in make_application(**given, prefix="", shared=True, shown=Shown(_ANY)).wildcard_router.rules:
        if rule.target is RouteHandler:
            yield from rule.target_kwargs["routes"].values()
        elif rule.target is PageHandler:
            yield from rule.target_kwargs["pages"].values()
        else:
            assert isinstance(rule.matcher, PathMatches)
            yield rule.matcher.regex.pattern


def test_every_operation_has_its_row() -> None:
    """The failure has the row that is to be put into ``tests/security/table.py``."""
    found = list(served())
    missing = [
        row_for(each.method, each.path, each.access)
        for each in found
        if isinstance(each, Route) and f"{each.method} {each.path}" not in OPERATIONS
    ]
    assert not missing, (
        "Rows missing in tests/security/table.py (look at each cell, in the order "
        f"{', '.join(COLUMNS)}, whether it is what is meant):\n" + "\n".join(missing)
    )
    assert [each for each in found if isinstance(each, str)] == [], "pages without rows"
    there = {f"{each.method} {each.path}" for each in found if isinstance(each, Route)}
    assert set(OPERATIONS) - there == set(), "rows of what is not there any more"
    pages = {f"{each.method} {each.path}" for each in found if isinstance(each, Page)}
    assert set(SHOWN) == pages, "pages without rows, or rows without pages, in tests/security/table.py"


def test_every_kind_of_endpoint_has_its_row() -> None:
    assert set(ENDPOINTS) == {way.format(kind) for kind in KINDS for way in WAYS} | set(NOWHERE)


def test_nobody_without_a_good_token_is_let_in_but_where_everybody_is() -> None:
    """Of the table itself: a slip in it would be a hole that is tested for."""
    for way, row in {**OPERATIONS, **ENDPOINTS}.items():
        if way in OPEN or "alice/open" in way or "@open--" in way or way.startswith("WS v1/"):
            continue
        refused = {row[each] for each in ("anonymous", "expired", "revoked", "unknown")}
        assert refused == ({401, 303} if way.startswith("NAV ") else {401}), way
        assert {row[each] for each in ("replica", "foreign")} <= {403, 404}, way


def test_everybody_is_answered_as_the_table_says(tmp_path: Path) -> None:
    async def differing(site: HubSite) -> list[str]:
        tokens, found = await everybody(site), []
        for way, row in {**OPERATIONS, **ENDPOINTS}.items():
            method, path = way.split(" ", 1)
            for who, wanted in row.items():
                answered = await status(site, method, path, tokens[who])
                if answered != wanted:
                    found.append(f"{way} by {who}: {answered}, not {wanted}")
        return found

    async def main() -> None:
        with people() as hub:
            async with hub_site(hub, tmp_path / "gateway", hosts=HOSTS) as site:
                found = await differing(site)
                after = await site.api("GET", "services", token=site.administrator())
        assert not found, "\n".join(found)
        names = sorted(service["name"] for service in after.json()["services"])
        assert names == ["chat", "hers", "open", "own"], "the questions themselves changed something"

    asyncio.run(main())


def test_everybody_is_shown_the_pages_that_the_table_says(tmp_path: Path) -> None:
    """Signed in with each of these tokens, as if the Hub had given it for that; the token itself opens none."""

    async def differing(site: HubSite) -> list[str]:
        tokens, found = await everybody(site), []
        for way, row in SHOWN.items():
            method, path = way.split(" ", 1)
            for who, wanted in row.items():
                answered = await page_status(site, method, path, tokens[who])
                if answered != wanted:
                    found.append(f"{way} by {who}: {answered}, not {wanted}")
            if await status(site, method, path, tokens["admin"]) != row["anonymous"]:
                found.append(f"{way} takes a token")
        return found

    async def main() -> None:
        with people() as hub:
            async with hub_site(hub, tmp_path / "gateway", hosts=HOSTS) as site:
                assert not (found := await differing(site)), "\n".join(found)

    asyncio.run(main())
