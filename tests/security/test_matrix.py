"""Every operation and every kind of endpoint, asked by everybody who may come, at a whole gateway of a hub."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from tornado.routing import PathMatches

from jupyter_model_service.front import entry
from jupyter_model_service.testing.hub_site import HubSite, hub_site
from jupyter_model_service.web.application import Shown, make_application
from jupyter_model_service.web.call import Parts
from jupyter_model_service.web.handler import RouteHandler
from jupyter_model_service.web.page import Page, PageHandler, Who
from jupyter_model_service.web.route import Route

from .asking import (
    ASKED,
    HOSTS,
    ORIGINS,
    answer,
    calls_differing,
    lists_differing,
    pages_differing,
    read_by,
    visit_status,
    visits_differing,
)
from .people import COLUMNS, SHARED, everybody, people, visitors
from .table import (
    ELSEWHERE,
    ENDPOINTS,
    KINDS,
    METHODS,
    NOWHERE,
    OPERATIONS,
    SHOWN,
    VISITS,
    WAYS,
    row_for,
)

OPEN = {"GET api/v1/openapi.json", "GET health/live", "GET health/ready", "GET v1/models", "HEAD v1/models"}
#: Answers that nobody is asked for who she is: what is malformed, not there, elsewhere, or a browser's question (CORS).
NO_MATTER_WHO = {204, 308, 400, 404}
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


_ANY: Any = None


def served() -> Iterator[Route | Page | str]:
    """What the application really answers to, its pages as well; the path alone of what is in no table of ours."""
    needed = inspect.signature(Parts).parameters.values()
    parts = Parts(**{each.name: _ANY for each in needed if each.default is inspect.Parameter.empty})
    for rule in make_application(parts, prefix="", shared=True, shown=Shown(_ANY)).wildcard_router.rules:
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
    for way, row in {**OPERATIONS, **ENDPOINTS, **METHODS, **ELSEWHERE}.items():
        if way in OPEN or "alice/open" in way or "@open--" in way or way.startswith("WS v1/"):
            continue
        if len(set(row.values())) == 1 and row["owner"] in NO_MATTER_WHO:
            continue
        refused = {row[each] for each in ("anonymous", "expired", "revoked", "unknown")}
        assert refused == ({401, 303} if way.startswith("NAV ") else {401}), way
        assert {row[each] for each in ("replica", "foreign")} <= {403, 404}, way


@contextlib.contextmanager
def ways_taken() -> Iterator[set[str]]:
    """By which ways calls come in at the front meanwhile (``entry.BEGINS``)."""
    taken: set[str] = set()

    def noting(way: entry.Way, begins: Any) -> Any:
        return lambda call, looked: (taken.add(way), begins(call, looked))

    with pytest.MonkeyPatch.context() as patch:
        for way, begins in list(entry.BEGINS.items()):
            patch.setitem(entry.BEGINS, way, noting(way, begins))
        yield taken


def at_a_hub(folder: Path, body: Callable[[HubSite], Awaitable[list[str]]]) -> None:
    """What ``body`` finds differing is nothing, and the questions themselves changed nothing."""

    async def main() -> None:
        with people() as hub:
            async with hub_site(hub, folder / "gateway", hosts=HOSTS) as site:
                found = await body(site)
                after = await site.api("GET", "services", token=site.administrator())
        assert not found, "\n".join(found)
        names = sorted(service["name"] for service in after.json()["services"])
        assert names == ["chat", "hers", "open", "own"], "the questions themselves changed something"

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.timeout(600)  # 3,000 questions; beside much else they took four minutes
def test_everybody_is_answered_as_the_table_says(tmp_path: Path) -> None:
    """On every way by which the front lets calls in: a new one without a row fails."""

    async def differing(site: HubSite) -> list[str]:
        return await calls_differing(site, await everybody(site))

    with ways_taken() as taken:
        at_a_hub(tmp_path, differing)
    assert taken == set(entry.BEGINS) == set(get_args(entry.Way)), "a way into the front without a row"


def test_everybody_finds_in_lists_what_the_table_says(tmp_path: Path) -> None:
    async def differing(site: HubSite) -> list[str]:
        return await lists_differing(site, await everybody(site))

    at_a_hub(tmp_path, differing)


def test_a_visit_is_good_for_its_own_pages_and_whoever_opens_them(tmp_path: Path) -> None:
    """By nobody else's page, be it of an origin that the owner lists; at no other host, for no other service, and not at
    the address of all."""

    async def differing(site: HubSite) -> list[str]:
        owner = (await everybody(site))["owner"]
        listed = {"origins": [ORIGINS["PRE!"]]}
        await site.api("PUT", f"services/alice/{SHARED}/access/origins", listed, token=owner)
        return await visits_differing(site, await visitors(site))

    at_a_hub(tmp_path, differing)


def test_what_a_page_of_elsewhere_asks_with_a_visit_opens_nothing() -> None:
    """Of the table itself: a slip in it would be a hole that is tested for."""
    for way, row in VISITS.items():
        method, _, who = way.partition(" ")[0].partition("/")
        if who in ("beside", "other", "unsaid") and method != "NAV":
            assert set(row.values()) == {401}, way


def test_a_method_that_a_path_has_not_is_there_for_nobody(tmp_path: Path) -> None:
    """Of the control API and of our pages: 405, before anybody is asked who she is. So is a browser's question whether a
    page of elsewhere may call, of which the answer lets none."""
    there: dict[str, set[str]] = {}
    for each in served():
        assert not isinstance(each, str)
        there.setdefault(each.path, set()).add(each.method)

    async def differing(site: HubSite) -> list[str]:
        tokens, found = await everybody(site), []
        for path, methods in there.items():
            for method in (*ALL_METHODS, *ORIGINS):
                for who in ("anonymous", "owner", "admin") if method not in methods else ():
                    answered = await answer(site, method, path, tokens[who])
                    if answered.status_code != 405 or read_by(answered) is not None:
                        found.append(f"{method} {path} by {who}: {answered.status_code} {read_by(answered)}")
        return found

    at_a_hub(tmp_path, differing)


def test_everybody_is_shown_the_pages_that_the_table_says(tmp_path: Path) -> None:
    """Signed in with each of these tokens, as if the Hub had given it for that; the token itself opens none."""

    async def differing(site: HubSite) -> list[str]:
        return await pages_differing(site, await everybody(site))

    at_a_hub(tmp_path, differing)


def test_our_pages_are_shown_to_people_alone_and_to_no_page(tmp_path: Path) -> None:
    """Whoever follows a link of another site to one is shown it; no frame and no script gets it, not even of ours."""

    async def differing(site: HubSite) -> list[str]:
        tokens, found = await everybody(site), []
        cookies = site.signed_in(str(tokens["admin"]))
        for each in served():
            if not isinstance(each, Page) or each.method != "GET" or each.who is Who.ANYONE:
                continue
            shown = SHOWN[f"GET {each.path}"]["admin"]
            wanted = {"NAV": shown, "FRAME": 403, "GET": 403}
            for way in [f"{method}/{who}" for method in wanted for who in ("own", "beside", "other")]:
                answered = await visit_status(site, way, each.path + ASKED.get(each.path, ""), cookies)
                if answered != wanted[way.partition("/")[0]]:
                    found.append(f"{way} {each.path}: {answered}")
        return found

    at_a_hub(tmp_path, differing)
