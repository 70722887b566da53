"""The page of the audit log: what it shows to administrators, and to nobody else; and what the page of services lets
them close."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import html
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jupyter_model_service.adapters import hub_identity
from jupyter_model_service.adapters.store_audit import SqlAudit
from jupyter_model_service.core.audit import AuditQuery, Entry
from jupyter_model_service.core.hub_scopes import AUDIT
from jupyter_model_service.testing.browser import Browser
from jupyter_model_service.testing.hub_site import PREFIX, HubSite
from jupyter_model_service.web.page_session import PageSessions, PageVisitor

from .test_pages import at_the_pages, page, said, send

BrowserOf = Callable[[str], Awaitable[Browser]]


async def rows(browser: Browser, query: str = "") -> list[str]:
    """As people read them, the newest first."""
    text = await page(browser, f"audit{query}")
    return [said(row).strip() for row in re.findall(r"<tr>\n(.*?)</tr>", text, re.S)]


async def saved(browser: Browser, query: str = "") -> list[dict[str, Any]]:
    answer = await browser.open(f"{PREFIX}audit.jsonl{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def put(folder: Path, *entries: Entry) -> None:
    """Into the log of the gateway that runs there, as it would itself."""
    with contextlib.closing(sqlite3.connect(folder / "gateway" / "state.db")) as database, database:
        for entry in entries:
            row = {**dataclasses.asdict(entry), "before": None, "after": json.dumps(entry.after)}
            del row["id"]
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
            database.execute(f"INSERT INTO audit ({names}) VALUES ({marks})", tuple(row.values()))


def linked(text: str, word: str) -> str:
    (to,) = re.findall(rf'<a href="([^"]*)">{word}</a>', text)
    return html.unescape(to)


def test_an_administrator_reads_who_did_what_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        await site.api("PUT", "services/alice/chat/scale", {"replicas": 1}, token=site.notebook("alice"))
        carol = await browser_of("carol")
        assert linked(await page(carol), "Audit log") == "audit"
        found = await rows(carol)
        scaled = next(row for row in found if "scale_service" in row)
        assert re.search(r"\d UTC alice from 127\.0\.0\.1 scale_service alice/chat 202 replicas: 0 -> 1", scaled), (
            scaled
        )
        assert "oauth_callback" in found[0], "the newest is the first: she has just signed in"
        assert "Entries are kept for" in said(await page(carol, "audit"))

    at_the_pages(tmp_path, body)


def test_she_finds_by_who_what_about_what_and_since_when(tmp_path: Path) -> None:
    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        carol = await browser_of("carol")
        put(
            tmp_path,
            Entry(86400.0 - 1, "bob", "", "delete_service", "bob/old"),
            Entry(86400.0, "bob", "", "scale_service", "bob/old"),
            Entry(86400.0, "bob", "", "set_limits", "user:bob"),
            Entry(86400.0, "bob2", "", "create_service", "bob2/new"),
        )
        assert [row.split(" ")[3] for row in await rows(carol, "?who=bob&action=scale_service")] == ["bob"]
        assert len(await rows(carol, "?about=bob/old")) == 2
        (made,) = await rows(carol, "?about=bob/words")
        assert "create_service bob/words" in made
        assert len(await rows(carol, "?about=bob")) == 3, "all of bob's services, and nothing else"
        assert len(await rows(carol, "?about=user:bob")) == 1
        assert len(await rows(carol, "?about=bob/old&since=1970-01-02")) == 1
        assert await rows(carol, "?who=nobody") == []
        text = await page(carol, "audit?who=bob&about=bob/old&since=1970-01-02")
        assert [linked(text, word) for word in ("Save all", "Show all")] == [
            "audit.jsonl?who=bob&about=bob%2Fold&since=1970-01-02",
            "audit",
        ]
        assert 'name="since" value="1970-01-02"' in text
        assert '<option value="stop_service">' in text, "she chooses from the names that there are"

    at_the_pages(tmp_path, body)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("since=yesterday", "'yesterday' is no day"),
        ("before=-1", "names no entry"),
        ("before=9223372036854775808", "names no entry"),
        ("who=" + "x" * 301, "longer than 300"),
        ("action=stop", "Action 'stop': no operation has this name (did you mean stop_gateway or stop_service?)."),
        ("about=words", "Nothing in the log is of an owner 'words': write a service as OWNER/NAME."),
    ],
)
def test_what_cannot_be_looked_for_is_said_so(tmp_path: Path, query: str, why: str) -> None:
    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        carol = await browser_of("carol")
        for place in ("audit", "audit.jsonl"):
            answer = await carol.open(f"{PREFIX}{place}?{query}")
            if place == "audit" or "before" not in query:  # of a file there is no page to go on from
                assert (answer.status_code, why in html.unescape(answer.text)) == (400, True)

    at_the_pages(tmp_path, body)


def test_older_entries_follow_the_link_and_all_of_them_are_saved(tmp_path: Path) -> None:
    """250 of one kind: three pages, of which none repeats or leaves out one, and one file, piece by piece."""

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        put(tmp_path, *(Entry(1000.0, "dora", "", "list_services", f"n{each}") for each in range(250)))
        carol = await browser_of("carol")
        to, seen, sizes = "audit?who=dora", [], []
        while to:
            text = await page(carol, to)
            targets = re.findall(r"<bdi>(n\d+)</bdi>", text)
            seen += targets
            sizes.append(len(targets))
            to = linked(text, "Older") if ">Older<" in text else ""
        assert sizes == [100, 100, 50]
        assert seen == [f"n{each}" for each in reversed(range(250))]
        assert linked(text, "The newest") == "audit?who=dora"
        answer = await carol.open(f"{PREFIX}audit.jsonl?who=dora")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.jsonl"'
        assert answer.headers["Transfer-Encoding"] == "chunked", "it is not gathered before it is sent"
        assert [each["target"] for each in await saved(carol, "?who=dora")] == [f"n{each}" for each in range(250)]
        api = (await site.api("GET", "admin/audit?limit=1000", token=site.administrator("carol"))).json()["entries"]
        assert await saved(carol) == api
        assert await saved(carol, "?who=nobody") == []

    at_the_pages(tmp_path, body)


def test_whatever_is_in_an_entry_is_text(tmp_path: Path) -> None:
    text = '<img src=x onerror="alert(1)"> & {{ page.xsrf }}'

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        changes = {"tried": {text: text}}
        put(tmp_path, Entry(1.0, text, text, text, text, 403, text, None, changes))
        carol = await browser_of("carol")
        answer = await carol.open(f"{PREFIX}audit")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        shown = await page(carol, "audit?" + "about=%22%3E%3Cimg%20src%3Dx%3E/x") + answer.text
        assert "<img" not in shown
        assert "&lt;img src=x onerror=" in shown
        assert not re.search(r"<script|style=|javascript:", shown)
        assert not [token for token in site.hub.tokens if token in shown]

    at_the_pages(tmp_path, body)


def test_nobody_but_an_administrator_reads_it(tmp_path: Path) -> None:
    """As little as any page that is not there; and she who is none any more no longer than the Hub takes to say so."""

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        alice = await browser_of("alice")
        for path in ("audit", "audit.jsonl"):
            answer = await alice.open(PREFIX + path)
            assert (answer.status_code, "There is no page here for you." in answer.text) == (404, True)
            assert "create_service" not in answer.text
        assert 'href="audit' not in await page(alice)

    at_the_pages(tmp_path, body)


@pytest.mark.parametrize("why", ["unreadable", "no administrator", "signed out"])
def test_a_file_that_is_broken_off_does_not_look_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Where the log cannot be read any more, and where whoever takes it is no administrator any more, or is signed out."""
    read, visitor, reads = SqlAudit.page, PageSessions.visitor, 0

    async def fails_later(self: SqlAudit, query: AuditQuery, most: int) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2 and why == "unreadable":
            raise OSError("the disk is gone")
        return await read(self, query, most)

    async def another_later(self: PageSessions, request: Any) -> PageVisitor | None:
        found = await visitor(self, request)
        if reads < 2 or why == "unreadable":
            return found
        if why == "signed out":
            return None
        assert found is not None
        assert found.caller.person is not None
        person = dataclasses.replace(found.caller.person, admin=False)
        return dataclasses.replace(found, caller=dataclasses.replace(found.caller, person=person))

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        nonlocal reads
        put(tmp_path, *(Entry(1.0, "dora", "", "x", f"n{each}") for each in range(250)))
        carol = await browser_of("carol")
        monkeypatch.setattr(SqlAudit, "page", fails_later)
        monkeypatch.setattr(PageSessions, "visitor", another_later)
        reads = 0
        with pytest.raises(httpx.RemoteProtocolError):
            await saved(carol, "?who=dora")
        assert reads == 2
        monkeypatch.undo()
        assert len(await saved(carol, "?who=dora")) == 250

    at_the_pages(tmp_path, body)


def test_an_auditor_reads_it_once_the_hub_was_asked_and_does_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether she comes there first or from the page of services; who is none is told so after one way to the Hub."""

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        site.hub.auditors.add("bob")
        bob, alice = await browser_of("bob"), await browser_of("alice")
        assert "Audit log" not in await page(bob), "she was not asked about, for a page that everybody has"
        text = await page(bob, "audit")
        assert "/hub/api/oauth2/authorize" in [urlsplit(url).path for url in bob.went]
        assert "Signed in as bob , an auditor" in said(text)
        assert "bob" in {entry["who"] for entry in await saved(bob)}
        assert linked(await page(bob), "Audit log") == "audit"
        for shown in (await page(bob), text):
            for beyond in ("alice/chat/stop", "Owners", 'action="limits"'):
                assert beyond not in shown
        assert (await send(bob, "services/alice/chat/stop", await page(bob))).status_code == 404
        for _ in range(2):
            refused = await alice.open(f"{PREFIX}audit")
            assert (refused.status_code, "no page here for you" in refused.text) == (404, True)
            ways.append([urlsplit(url).path for url in alice.went].count("/hub/api/oauth2/authorize"))
        assert ways == [1, 0]
        assert "alice/chat" in await page(alice), "she is signed in as before"
        monkeypatch.setattr(hub_identity, "FRESH", 0.0)
        for token in site.hub.tokens.values():
            token.scopes -= {AUDIT}
        while (answer := await bob.open(f"{PREFIX}audit")).status_code == 200:  # what is just being asked is told
            await asyncio.sleep(0.02)
        assert (answer.status_code, bob.went) == (404, [f"{site.address}{PREFIX}audit"])

    ways: list[int] = []
    at_the_pages(tmp_path, body)


def test_an_administrator_makes_a_public_service_private(tmp_path: Path) -> None:
    """And its owner may; what it is shared with, and who may call it by that, stays."""

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        token = site.notebook("alice")
        await site.api("PUT", "services/alice/chat/access/user/bob", {"role": "operator"}, token=token)
        made = await site.api("POST", "services/alice/chat/update", {"visibility": "public"}, token=token)
        assert made.status_code == 202, made.text
        carol, bob = await browser_of("carol"), await browser_of("bob")
        assert "services/alice/chat/private" not in await page(bob)
        text = await page(carol)
        assert text.count('/private"') == 1, "of those that are public only"
        assert (await send(bob, "services/alice/chat/private", await page(bob))).status_code in (403, 404)
        assert (await site.api("GET", "services/alice/chat", token=token)).json()["public"] is True
        assert (await send(carol, "services/alice/chat/private", text)).status_code == 303
        now = (await site.api("GET", "services/alice/chat", token=token)).json()
        assert (now["public"], now["visibility"]) == (False, "shared")
        assert "services/alice/chat/private" not in await page(carol)
        entry = (await saved(carol, "?who=carol&action=update_service"))[-1]
        assert (entry["target"], entry["status"]) == ("alice/chat", 303)
        assert (entry["before"], entry["after"]) == ({"public": True}, {"public": False})

    at_the_pages(tmp_path, body)


def test_whoever_is_an_administrator_is_told_where_the_page_is(tmp_path: Path) -> None:
    """By the token of a notebook, which the panel has, and which manages nothing but what is hers."""

    async def body(site: HubSite, browser_of: BrowserOf) -> None:
        told = {user: (await site.api("GET", "", token=site.notebook(user))).json() for user in ("alice", "carol")}
        assert told["alice"]["administration"] is None
        assert told["carol"]["administration"] == f"{site.address}{PREFIX}"
        assert (await (await browser_of("carol")).open(told["carol"]["administration"])).status_code == 200

    at_the_pages(tmp_path, body)
