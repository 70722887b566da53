"""Tokens of endpoints, which the Hub makes and our own table knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.adapters.hub_models import HubToken, HubUser
from jupyter_model_service.core.hub_scopes import INVOKE
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.errors import HubUnavailable, InvalidRequest
from jupyter_model_service.testing.hub_in_memory import LATE

from .hub_setting import DOWN, SYSTEM, Run, Setting


async def _until(check: Callable[[], Any]) -> None:
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come true")


def test_a_token_of_an_endpoint_is_the_hubs_and_opens_that_endpoint(run: Run) -> None:
    async def body(s: Setting) -> None:
        token_id, text = await s.generate(expires_in=600.2)
        ((made, _),) = s.hub.made.values()
        assert made.scopes == {f"{INVOKE}!server=alice/chat"}
        assert made.expires_at == LATE + 601
        assert "alice/chat" in made.note
        assert "laptop" in made.note
        caller = await s.identity.resolve(text)
        assert caller is not None
        assert caller.may_invoke("alice", "chat")
        assert not caller.may_invoke("alice", "other")
        assert not caller.manages_any
        assert s.identity.known(text) == caller
        assert [t.id for t in s.tokens.of("s1")] == [token_id]
        assert s.tokens.of("s1")[0].last_used_at is not None

    run(body)


def test_limits_of_an_endpoints_token_hold_for_all_its_calls_also_while_the_hub_is_silent(run: Run) -> None:
    """They are in our own table: a change holds for the next call, without a question to the Hub."""

    async def body(s: Setting) -> None:
        record, text = await s.tokens.generate("s1", "alice/chat", "laptop", None, Limits(in_flight=1))
        first = await s.identity.resolve(text)
        s.hub.silent, asked = DOWN, s.hub.asked
        again = s.identity.known(text)
        assert first is not None
        assert again is not None
        assert first.allowance is again.allowance is not None
        assert first.allowance.admit(0, 1e9) is None
        assert again.allowance is not None
        assert again.allowance.admit(0, 1e9) is not None
        await s.tokens.change("s1", record.id, {"in_flight": 2})
        assert first.allowance.admit(0, 1e9) is None
        await s.tokens.change("s1", record.id, {"in_flight": None})
        free = s.identity.known(text)
        assert free is not None
        assert free.allowance is None
        assert s.hub.asked == asked

    run(body)


def test_revoking_is_immediate_even_while_the_hub_is_silent_and_is_made_good_there(run: Run) -> None:
    async def body(s: Setting) -> None:
        token_id, text = await s.generate()
        assert not s.identity.over(text)  # nothing is known of it yet
        assert await s.identity.resolve(text) is not None
        assert not s.identity.over(text)
        s.issuer.start(s.tokens.ids)
        s.hub.silent = DOWN
        await s.tokens.revoke("s1", token_id)
        assert s.identity.known(text) is None
        assert s.identity.over(text)
        assert await s.identity.resolve(text) is None
        assert len(s.hub.made) == 1
        asked = s.hub.asked
        s.hub.silent = None

        def gone() -> bool:
            s.clock.advance(1)
            return not s.hub.made

        await _until(gone)
        assert s.hub.asked > asked
        assert await s.identity.resolve(text) is None

    run(body)


def test_what_is_revoked_while_another_is_made_good_is_made_good_too(run: Run) -> None:
    async def body(s: Setting) -> None:
        (one, _), (two, _) = await s.generate(), await s.generate()
        s.issuer.start(s.tokens.ids)
        for _ in range(50):
            await asyncio.sleep(0)
        s.hub.hold, asked = asyncio.Event(), s.hub.asked
        await s.tokens.revoke("s1", one)
        await _until(lambda: s.hub.asked > asked)
        await s.tokens.revoke("s1", two)
        s.hub.hold.set()
        await _until(lambda: not s.hub.made)  # and not at the next look, an hour later

    run(body)


def test_the_tokens_of_a_deleted_service_open_no_later_one_of_that_name(run: Run) -> None:
    async def body(s: Setting) -> None:
        _, text = await s.generate()
        assert await s.identity.resolve(text) is not None
        s.tokens.forget("s1")
        assert s.identity.known(text) is None
        s.clock.advance(31)
        assert await s.identity.resolve(text) is None  # though the Hub still knows it

    run(body)


def test_a_token_of_the_system_user_that_was_not_made_here_opens_nothing(run: Run) -> None:
    """Whoever could make one in the Hub: all scopes of the system user are of no use without our table."""

    async def body(s: Setting) -> None:
        s.hub.by_token["stray"] = HubUser(SYSTEM, scopes=frozenset({INVOKE, f"access:servers!user={SYSTEM}"}))
        assert await s.identity.resolve("stray") is None
        assert s.identity.known("stray") is None

    run(body)


def test_an_id_that_the_hub_gave_out_again_is_somebody_elses(run: Run) -> None:
    """``a1`` was deleted behind our back and is now another token: revoking the old one leaves it alone."""

    async def body(s: Setting) -> None:
        old, _ = await s.generate()
        await s.hub.delete_token(SYSTEM, "a1")
        new, text = await s.generate()
        assert old.partition("-")[0] == new.partition("-")[0] == "a1"
        await s.tokens.revoke("s1", old)
        await s.issuer.sweep(s.tokens.ids())
        assert await s.identity.resolve(text) is not None

    run(body)


def test_what_a_crash_left_in_the_hub_is_removed_and_nothing_else(run: Run) -> None:
    async def body(s: Setting) -> None:
        kept, _ = await s.generate()
        left = HubToken("a7", "model-service alice/gone [0123abcd] x", created=0.0)
        young = HubToken("a8", "model-service alice/new [0123abcd] x", created=s.clock.now())
        strange = HubToken("a9", "made by hand", created=0.0)
        for token in (left, young, strange):
            s.hub.made[token.id] = (token, token.id)
            s.hub.by_token[token.id] = HubUser(SYSTEM)
        await s.issuer.sweep(s.tokens.ids())
        assert set(s.hub.made) == {kept.partition("-")[0], "a8", "a9"}

    run(body)


def test_what_the_hub_does_not_allow_is_told_in_its_words(run: Run) -> None:
    async def body(s: Setting) -> None:
        with pytest.raises(InvalidRequest, match="must not exceed 1000"):
            await s.generate(expires_in=5000)
        s.hub.silent = DOWN
        with pytest.raises(HubUnavailable):
            await s.generate()
        assert s.tokens.of("s1") == []

    run(body)
