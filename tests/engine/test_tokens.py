"""Endpoint tokens: what they open, for how long, what is stored of them, and how they end."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import re
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.token_checks import MOST_TOKENS
from jupyter_model_service.engine.tokens import MOST_TEXTS, EndpointTokens, digest_of
from jupyter_model_service.errors import InvalidRequest, NotFound, StoreError
from jupyter_model_service.ports import ServiceRecord, TokenRecord
from jupyter_model_service.testing import ManualClock, MemoryStore

OWNER = Caller("u", manages=frozenset({"u"}))
CONTROL = {digest_of("jmc_control"): OWNER}
REVISION = Revision(1, "/f", Definition("Tiny", "/models", 8000), 5.0)


def service(id: str, name: str) -> ServiceRecord:
    return ServiceRecord(id, "u", name, False, True, 1, 1, None, 5.0)


class Setting:
    """Two services, ``u/chat`` (s1) and ``u/draw`` (s2), and the tokens of a gateway that just started."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.clock = ManualClock()
        self.tokens = EndpointTokens(self.store, self.clock, CONTROL)

    async def begin(self) -> None:
        await self.store.add_service(service("s1", "chat"), REVISION)
        await self.store.add_service(service("s2", "draw"), REVISION)
        await self.tokens.load()

    async def next_process(self) -> Setting:
        after = Setting(self.store.reopened())
        after.clock = self.clock
        after.tokens = EndpointTokens(after.store, after.clock, CONTROL)
        await after.tokens.load()
        return after

    async def generate(self, name: str = "laptop", expires_in: float | None = None) -> tuple[TokenRecord, str]:
        return await self.tokens.generate("s1", "u/chat", name, expires_in)


def run(body: Callable[[Setting], Coroutine[Any, Any, None]], store: MemoryStore | None = None) -> None:
    async def whole() -> None:
        setting = Setting(store)
        await setting.begin()
        await body(setting)

    asyncio.run(whole())


# --- what a token opens ------------------------------------------------------------------------------


def test_a_token_opens_its_service_and_no_other() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        caller = at.tokens.known(text)
        assert caller == Caller("token:laptop", invokes=frozenset({"u/chat"}))
        assert caller.may_invoke("u", "chat")
        assert not caller.may_invoke("u", "draw")
        assert not caller.may_manage("u")
        assert await at.tokens.resolve(text) == caller

    run(body)


def test_a_token_is_256_random_bits_that_are_not_kept() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        _, other = await at.generate()
        assert re.fullmatch(r"jms_[A-Za-z0-9_-]{43}", text)
        assert text != other
        assert await at.store.tokens() == at.tokens.of("s1")
        assert record.digest == digest_of(text)
        assert at.tokens.known(text) is at.tokens.known(text)
        for kept in (at.tokens, at.store, record, at.store.disk, vars(at.tokens), at.store.disk.tokens):
            assert text not in repr(kept)
            assert text[4:] not in repr(kept)
        assert record.digest not in repr(record)

    run(body)


def test_what_a_token_is_for_stays_with_it() -> None:
    """Over a restart and a change of its limits; what cannot be kept to is refused, and no token is made."""

    async def body(at: Setting) -> None:
        rules = (PathRule("/v1/chat/*", ("POST",)), PathRule("/v1/models"))
        record, text = await at.tokens.generate("s1", "u/chat", "chat", None, rules=rules)
        await at.tokens.change("s1", record.id, {"in_flight": 3})
        with pytest.raises(InvalidRequest):
            await at.tokens.generate("s1", "u/chat", "wrong", None, rules=[PathRule("v1")])
        for each in (at, await at.next_process()):
            caller = each.tokens.known(text)
            assert caller is not None
            assert caller.rules == rules
            assert [token.rules for token in each.tokens.of("s1")] == [rules]

    run(body)


class Text(str):
    """One that can be seen to go."""


def test_the_text_of_a_good_token_is_forgotten_with_the_next_flush_and_that_of_a_wrong_one_at_once() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        good, wrong = Text(text), Text(text + "A")
        assert at.tokens.known(good) is not None
        assert at.tokens.known(wrong) is None
        of_good, of_wrong = weakref.ref(good), weakref.ref(wrong)
        del good, wrong
        assert of_wrong() is None
        await at.tokens.flush()
        assert of_good() is None

    run(body)


def test_not_more_than_a_thousand_texts_are_remembered() -> None:
    async def body(at: Setting) -> None:
        texts = [Text((await at.generate())[1]) for _ in range(MOST_TEXTS + 1)]
        assert all(at.tokens.known(text) is not None for text in texts)
        seen = [weakref.ref(text) for text in texts]
        texts.clear()
        assert sum(ref() is not None for ref in seen) == 1

    run(body)


def test_control_tokens_are_known_too() -> None:
    async def body(at: Setting) -> None:
        assert at.tokens.known("jmc_control") == OWNER
        assert await at.tokens.resolve("jmc_control") == OWNER

    run(body)


@given(st.text(st.characters(), max_size=80))
@example("\ud800 jms_")
def test_any_other_text_is_nobody(text: str) -> None:
    tokens = EndpointTokens(MemoryStore(), ManualClock(), CONTROL)
    assert tokens.known(text) is None


def test_a_changed_token_or_its_digest_is_nobody() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        swapped = text[:-2] + ("AA" if text[-2:] != "AA" else "BB")
        for wrong in (swapped, text + "A", text[:-1], text.upper(), " " + text, text[4:], record.digest, record.id):
            assert at.tokens.known(wrong) is None
            assert await at.tokens.resolve(wrong) is None

    run(body)


# --- expiry ------------------------------------------------------------------------------------------


def test_an_expired_token_is_refused_at_once_and_still_listed() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate(expires_in=60)
        assert record.expires_at == at.clock.now() + 60
        at.clock.advance(59.9)
        assert at.tokens.known(text) is not None
        at.clock.advance(0.1)
        assert at.tokens.known(text) is None
        assert [t.id for t in at.tokens.of("s1")] == [record.id]
        assert (await at.next_process()).tokens.known(text) is None

    run(body)


def test_a_token_was_met_while_it_is_good_and_that_is_no_use_of_it() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate(expires_in=60)
        assert at.tokens.met(text)
        assert at.tokens.met("jmc_control")
        assert not at.tokens.met(text + "x")
        assert at.tokens.of("s1")[0].last_used_at is None
        at.clock.advance(60)
        assert not at.tokens.met(text)
        await at.tokens.revoke("s1", record.id)
        assert not at.tokens.met(text)

    run(body)


def test_a_token_without_expiry_stays() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        at.clock.advance(100 * 365 * 86400)
        assert at.tokens.known(text) is not None

    run(body)


# --- wrong use ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("expires_in", [0, -1, math.nan, math.inf, -math.inf, 10 * 365 * 86400 + 1])
def test_a_wrong_expiry_is_refused_and_nothing_is_made(expires_in: float) -> None:
    async def body(at: Setting) -> None:
        with pytest.raises(InvalidRequest, match="expires after"):
            await at.generate(expires_in=expires_in)
        assert [*at.tokens.of("s1"), *await at.store.tokens()] == []

    run(body)


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x1b[31m", "a\x00", "\ud800", "‮name"])
def test_a_wrong_name_is_refused_and_nothing_is_made(name: str) -> None:
    async def body(at: Setting) -> None:
        with pytest.raises(InvalidRequest, match="name of a token"):
            await at.generate(name)
        assert [*at.tokens.of("s1"), *await at.store.tokens()] == []

    run(body)


@pytest.mark.parametrize("name", ["", "x" * 100, "my laptop", "노트북 ✓"])
def test_a_printable_name_is_taken(name: str) -> None:
    async def body(at: Setting) -> None:
        assert (await at.generate(name))[0].name == name

    run(body)


def test_there_is_an_end_to_the_tokens_of_a_service() -> None:
    """Rotated ones among them; one that is revoked makes room."""

    async def body(at: Setting) -> None:
        made = [await at.generate() for _ in range(MOST_TOKENS)]
        with pytest.raises(InvalidRequest, match="2,000 tokens"):
            await at.generate()
        with pytest.raises(InvalidRequest, match="2,000 tokens"):
            await at.tokens.rotate("s1", "u/chat", made[0][0].id, 60.0)
        await at.tokens.revoke("s1", made[1][0].id)
        await at.generate()

    run(body)


def test_a_token_of_no_service_is_refused() -> None:
    async def body(at: Setting) -> None:
        with pytest.raises(StoreError):
            await at.tokens.generate("s9", "u/gone", "laptop", None)
        assert at.tokens.of("s9") == []

    run(body)


# --- revoked, forgotten ------------------------------------------------------------------------------


def test_a_revoked_token_is_refused_at_once_and_for_good() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        _, kept = await at.generate()
        revoking = asyncio.ensure_future(at.tokens.revoke("s1", record.id))
        await asyncio.sleep(0)  # it has begun, and the store has not answered yet
        assert at.tokens.known(text) is None
        await revoking
        assert at.tokens.known(text) is None
        assert at.tokens.known(kept) is not None
        after = await at.next_process()
        assert after.tokens.known(text) is None
        assert after.tokens.known(kept) is not None
        assert [t.digest for t in after.tokens.of("s1")] == [digest_of(kept)]

    run(body)


def test_only_a_token_of_this_service_can_be_revoked() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        for service_id, token_id in (("s2", record.id), ("s1", "nothing"), ("s9", record.id)):
            with pytest.raises(NotFound, match="no token"):
                await at.tokens.revoke(service_id, token_id)
        assert at.tokens.known(text) is not None
        await at.tokens.revoke("s1", record.id)
        with pytest.raises(NotFound):
            await at.tokens.revoke("s1", record.id)

    run(body)


def test_a_revocation_that_is_not_stored_can_be_repeated() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await at.tokens.revoke("s1", record.id)
        assert at.tokens.known(text) is None  # refused all the same
        assert [t.id for t in at.tokens.of("s1")] == [record.id]
        at.store.fail_writes = None
        await at.tokens.revoke("s1", record.id)
        assert [*at.tokens.of("s1"), *await at.store.tokens()] == []

    run(body)


def test_a_token_that_is_not_stored_is_not_given_out() -> None:
    async def body(at: Setting) -> None:
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await at.generate()
        assert at.tokens.of("s1") == []

    run(body)


def test_tokens_of_a_deleted_service_do_not_open_the_next_one_of_that_name() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        _, other = await at.tokens.generate("s2", "u/draw", "laptop", None)
        await at.store.remove_service("s1")
        at.tokens.forget("s1")
        assert at.tokens.known(text) is None
        assert at.tokens.of("s1") == []
        assert at.tokens.known(other) is not None
        await at.store.add_service(service("s3", "chat"), REVISION)
        after = await at.next_process()
        assert after.tokens.known(text) is None
        at.tokens.forget("s1")  # twice does no harm

    run(body)


class DeletesMeanwhile(MemoryStore):
    """The service is deleted while a token of it is being stored."""

    tokens_of: EndpointTokens | None = None

    async def add_token(self, record: TokenRecord) -> None:
        await super().add_token(record)
        if self.tokens_of is not None:
            await self.remove_service(record.service_id)
            self.tokens_of.forget(record.service_id)


def test_a_token_made_while_its_service_is_deleted_is_none() -> None:
    store = DeletesMeanwhile()

    async def body(at: Setting) -> None:
        store.tokens_of = at.tokens
        with pytest.raises(NotFound, match="deleted meanwhile"):
            await at.generate()
        assert at.tokens.of("s1") == []
        assert vars(at.tokens)["_keys"] == {}

    run(body, store)


# --- over a restart, last use ------------------------------------------------------------------------


def test_tokens_stay_good_over_a_restart() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        after = await at.next_process()
        assert after.tokens.known(text) == Caller("token:laptop", invokes=frozenset({"u/chat"}))
        assert after.tokens.of("s2") == []

    run(body)


def test_the_last_use_is_listed_at_once_and_stored_by_a_flush() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        assert at.tokens.of("s1") == [record]
        at.clock.advance(10)
        at.tokens.known(text)
        used = dataclasses.replace(record, last_used_at=at.clock.now())
        assert at.tokens.of("s1") == [used]
        assert await at.store.tokens() == [record]
        await at.tokens.flush()
        assert await at.store.tokens() == [used]
        assert (await at.next_process()).tokens.of("s1") == [used]

    run(body)


def test_refused_tokens_are_not_used_ones() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate(expires_in=10)
        at.clock.advance(10)
        at.tokens.known(text)
        assert at.tokens.of("s1") == [record]

    run(body)


def test_a_flush_with_nothing_new_does_not_touch_the_disk() -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        at.tokens.known(text)
        at.tokens.known("jmc_control")
        await at.tokens.flush()
        writes = at.store.disk.writes
        await at.tokens.flush()
        assert at.store.disk.writes == writes

    run(body)


def test_a_flush_that_fails_is_made_up_for_by_the_next() -> None:
    async def body(at: Setting) -> None:
        record, text = await at.generate()
        at.tokens.known(text)
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await at.tokens.flush()
        at.store.fail_writes = None
        await at.tokens.flush()
        assert await at.store.tokens() == [dataclasses.replace(record, last_used_at=at.clock.now())]

    run(body)


def test_last_uses_are_stored_every_30_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def stored(at: Setting) -> Mapping[str, float | None]:
        return {t.id: t.last_used_at for t in await at.store.tokens()}

    async def body(at: Setting) -> None:
        record, text = await at.generate()
        at.tokens.start()
        at.tokens.start()  # one task, not two
        at.tokens.known(text)
        first = at.clock.now()
        await at.clock.pass_time(29.9)
        assert await stored(at) == {record.id: None}
        await at.clock.pass_time(0.2)
        await at.clock.pass_time(0)
        assert await stored(at) == {record.id: first}
        at.tokens.known(text)
        at.store.fail_writes = "disk full"
        await at.clock.pass_time(95)
        assert [r.levelno for r in caplog.records] == [logging.WARNING]  # once for three failures
        assert text not in caplog.text
        at.store.fail_writes = None
        last = at.clock.now()
        at.tokens.known(text)
        await at.tokens.stop()
        assert await stored(at) == {record.id: last}
        assert len(asyncio.all_tasks()) == 1
        await at.tokens.stop()

    run(body)


def test_the_end_is_not_held_up_by_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    async def body(at: Setting) -> None:
        _, text = await at.generate()
        at.tokens.start()
        at.tokens.known(text)
        at.store.fail_writes = "disk full"
        await at.tokens.stop()
        assert "disk full" in caplog.text
        assert len(asyncio.all_tasks()) == 1

    run(body)
