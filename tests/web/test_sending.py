"""Files and long answers, and readers who take nothing of them: over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from jupyter_model_service.core.audit import AuditPage, AuditQuery, Entry, json_line
from jupyter_model_service.web.sending import Sending

from .conftest import ADMIN, BOB, CONTROL, eventually

EXPORT, WORDS, ALL = (
    "/api/v1/services/alice/chat/audit.jsonl",
    "/api/v1/services/bob/words/audit.jsonl",
    "/api/v1/admin/audit.jsonl",
)
LIST = "/api/v1/services/alice/chat/audit"
LONG = {"environment": ["x" * 300] * 100}  # 30 KB


async def fill(site: Any, count: int = 60) -> None:
    """Of each of the two services so many entries of 30 KB: more than a connection takes while nobody reads."""
    for owner, name in (("alice", "chat"), ("bob", "words")):
        made = (await site.made(owner, name)).created_at
        entries = [
            Entry(made + 10.0 + n, owner, "", "update_service", f"{owner}/{name}", after=LONG) for n in range(count)
        ]
        await site.store.audit.add(entries)


def lengthen(site: Any, size: int) -> None:
    """What is told of a service, and of one that was scaled."""
    for name in ("inspect", "scale"):
        real = getattr(site.engine, name)

        async def long(*given: Any, real: Any = real) -> Any:
            return dataclasses.replace(await real(*given), reason="x" * size)

        setattr(site.engine, name, long)


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextlib.asynccontextmanager
async def asking(site: Any, path: str, token: str = CONTROL) -> AsyncIterator[asyncio.StreamReader]:
    """Asked, and nothing of the answer is taken."""
    reader, writer = await asyncio.open_unix_connection(site.path, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def test_one_caller_has_few_downloads_at_once_and_keeps_nobody_elses_out(site: Any) -> None:
    """The third of one caller is refused, and told when to come again; one that ends makes room."""
    usual = inspect.signature(Sending).parameters
    assert [usual[name].default for name in ("of_services", "of_everything", "of_one")] == [20, 10, 2]

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site)
        async with asking(site, EXPORT), contextlib.AsyncExitStack() as second:
            await second.enter_async_context(asking(site, EXPORT))
            await eventually(lambda: site.sending.files == 2)
            third = await client.get(EXPORT)
            assert (third.status_code, third.json()["error"]["code"]) == (429, "too_much_at_once")
            assert "2 downloads of alice" in third.json()["error"]["message"]
            assert int(third.headers["Retry-After"]) >= 1
            assert (await client.get(WORDS, headers=by(BOB))).text.count("\n") == 60
            assert (await client.get(f"{LIST}?limit=5")).status_code == 200
            await second.aclose()
            await eventually(lambda: site.sending.files == 1)
            assert (await client.get(EXPORT)).text.count("\n") == 60
        await eventually(lambda: not site.sending.files)

    site.run(body)


def test_however_many_owners_download_whoever_reads_everything_has_room(site: Any) -> None:
    site.shared, site.sending = True, Sending(of_services=1, of_everything=1)

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site)
        async with asking(site, EXPORT):
            await eventually(lambda: site.sending.files == 1)
            bobs = await client.get(WORDS, headers=by(BOB))
            assert (bobs.status_code, bobs.json()["error"]["message"].split(" under")[0]) == (
                429,
                "There are 1 downloads",
            )
            assert (await client.get(ALL, headers=by(ADMIN))).text.count("\n") == 120
            async with asking(site, ALL, ADMIN):
                await eventually(lambda: site.sending.files == 2)
                assert (await client.get(ALL, headers=by(ADMIN))).status_code == 429

    site.run(body)


def test_of_a_download_that_nobody_takes_little_is_read(site: Any) -> None:
    """A piece has about 256 KiB, whatever the entries: 8 of 30 KB, not 100, which would be 3 MB."""
    found: list[AuditPage] = []
    audit = site.store.audit
    page = audit.page

    async def heard(query: AuditQuery, most: int) -> AuditPage:
        found.append(await page(query, most))
        return found[-1]

    audit.page = heard

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site)
        async with asking(site, EXPORT):
            await eventually(lambda: site.sending.files == 1)
            before = -1
            while before != len(found):
                before = len(found)
                await asyncio.sleep(0.15)
            sizes = [sum(map(len, map(json_line, each.entries))) for each in found]
            assert 0 < max(sizes) <= 256 << 10
            assert sum(sizes) < 1 << 20, "of 1.8 MB: what the connection keeps, and a piece"
        found.clear()
        whole = await client.get(EXPORT)
        assert whole.text.count("\n") == 60
        assert len(found) > 6

    site.run(body)


def test_readers_of_the_log_take_turns(site: Any) -> None:
    """One is read for at a time, and of alice's twenty requests two at most come before bob's."""
    reading, order = 0, list[str]()
    audit = site.store.audit
    page = audit.page

    async def slow(query: AuditQuery, most: int) -> AuditPage:
        nonlocal reading
        reading += 1
        assert reading == 1
        await asyncio.sleep(0.01)
        order.append(query.target or "")
        reading -= 1
        found: AuditPage = await page(query, most)
        return found

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site, 1)
        audit.page = slow
        asked = [asyncio.create_task(client.get(LIST)) for n in range(20)]
        await eventually(lambda: order)
        answer = await client.get("/api/v1/services/bob/words/audit", headers=by(BOB))
        came = len(order)
        assert answer.status_code == 200
        await asyncio.gather(*asked)
        assert order.index("bob/words") <= 4
        assert came < 8

    site.run(body)


def test_a_long_list_ends_early_and_says_so(site: Any) -> None:
    """Each page has about 512 KiB at most, and one entry at least; by ``next``, and by the first id back, all are read."""

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site)
        whole = [json.loads(line) for line in (await client.get(EXPORT)).text.splitlines()]
        for newest in (False, True):
            read: list[Any] = []
            more, pages, on = True, 0, ""
            while more:
                answer = await client.get(f"{LIST}?limit=1000{'&newest=true' if newest else ''}{on}")
                assert len(answer.content) < 600 << 10
                told = answer.json()
                more, pages = told["more"], pages + 1
                read = [*told["entries"], *read] if newest else [*read, *told["entries"]]
                on = f"&before={read[0]['id']}" if newest else f"&after={told['next']}"
            assert (read, pages) == (whole, 4)
        few = (await client.get(f"{LIST}?limit=3")).json()
        assert (len(few["entries"]), few["more"]) == (3, True)
        assert (await client.get(f"{LIST}?limit=3&newest=true&before={whole[3]['id']}")).json()["more"] is False

    site.run(body)


def test_a_download_of_which_nothing_is_taken_is_broken_off(site: Any) -> None:
    """It has no end then, and its place is another's."""
    site.sending = Sending(stalled=0.3, of_one=1)

    async def body(client: httpx.AsyncClient) -> None:
        await fill(site)
        async with asking(site, EXPORT) as reader:
            await eventually(lambda: site.sending.files == 1)
            await eventually(lambda: not site.sending.files)
            got = await asyncio.wait_for(reader.read(), 20)
            assert len(got) < 1 << 20
            assert not got.endswith(b"0\r\n\r\n")
        assert (await client.get(EXPORT)).status_code == 200

    site.run(body)


def test_long_answers_that_wait_for_their_reader_are_bounded_for_one_caller(site: Any) -> None:
    """Whatever they are of: she is refused more of them, and changes, but what was done is answered; others have theirs."""
    usual = inspect.signature(Sending).parameters
    assert [usual[name].default for name in ("unread", "unread_of_one")] == [128 << 20, 8 << 20]
    site.sending = Sending(unread_of_one=5 << 20)
    site.add("alice", "chat")
    site.add("bob", "words")
    lengthen(site, 3 << 20)
    one = "/api/v1/services/alice/chat"

    async def body(client: httpx.AsyncClient) -> None:
        async with asking(site, one):
            await eventually(lambda: site.sending.unread > 2 << 20)
            refused = await client.get(one)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_much_at_once")
            assert "are not read yet" in refused.json()["error"]["message"]
            assert (await client.put(f"{one}/scale", json={"replicas": 2})).status_code == 202
            assert (await client.get("/api/v1/")).status_code == 200
            assert (await client.get("/api/v1/services/bob/words", headers=by(BOB))).status_code == 200
        await eventually(lambda: not site.sending.unread)
        assert len((await client.get(one)).json()["reason"]) == 3 << 20

    site.run(body)


def test_whoever_takes_nothing_of_long_answers_changes_nothing_before_she_does(site: Any) -> None:
    site.sending = Sending(unread_of_one=1 << 20)
    site.add("alice", "chat")
    lengthen(site, 3 << 20)
    one = "/api/v1/services/alice/chat"

    async def body(client: httpx.AsyncClient) -> None:
        async with asking(site, one):
            await eventually(lambda: site.sending.unread > 2 << 20)
            site.engine.asked.clear()
            assert (await client.put(f"{one}/scale", json={"replicas": 2})).status_code == 429
            assert not site.engine.asked
        await eventually(lambda: not site.sending.unread)
        assert (await client.put(f"{one}/scale", json={"replicas": 2})).status_code == 202

    site.run(body)


def test_a_long_answer_of_which_nothing_is_taken_is_given_up(site: Any) -> None:
    site.sending = Sending(stalled=0.3)
    site.add("alice", "chat")
    lengthen(site, 3 << 20)

    async def body(client: httpx.AsyncClient) -> None:
        async with asking(site, "/api/v1/services/alice/chat") as reader:
            await eventually(lambda: site.sending.unread > 2 << 20)
            await eventually(lambda: not site.sending.unread)
            assert len(await asyncio.wait_for(reader.read(), 20)) < 3 << 20

    site.run(body)
