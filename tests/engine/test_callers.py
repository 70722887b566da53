"""Whose a token is: one way to find out, with one outcome for each failure, wherever it is asked."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.message import Refusal
from jupyter_model_service.engine.callers import IDENTITY_UNAVAILABLE, UNKNOWN_TOKEN, Callers
from jupyter_model_service.errors import HubUnavailable
from jupyter_model_service.testing import FakeIdentity, LoopClock, run_in_virtual_time

ANN, AT, ELSEWHERE = Caller("ann"), b"203.0.113.7", b"203.0.113.8"


def with_hub(body: Any, **settings: Any) -> None:
    async def main() -> None:
        hub = FakeIdentity()
        await body(hub, Callers(hub, LoopClock(), **settings))
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "nothing that was asked outlives who asked"

    run_in_virtual_time(main())


def test_it_is_known_from_memory_or_asked_for_and_nobodys_is_nobodys() -> None:
    async def body(hub: FakeIdentity, callers: Callers) -> None:
        hub.callers["a"] = hub.elsewhere["b"] = ANN
        hub.ended.add("over")
        assert (callers.known("a"), callers.known("b")) == (ANN, None)
        assert await callers.who("a", AT) is ANN
        assert hub.asked == []
        assert await callers.who("b", AT) is ANN
        assert await callers.who("c", AT) is UNKNOWN_TOKEN
        assert await callers.who("b", signs_in=True, vetted=True) is ANN
        assert (hub.asked, hub.signed_in) == (["b", "c", "b"], ["b"])
        assert (callers.over("over"), callers.over("a")) == (True, False)

    with_hub(body)


@pytest.mark.parametrize("how", ["says so", "breaks", "hangs"])
def test_where_nobody_can_say_it_the_outcome_is_one(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def body(hub: FakeIdentity, callers: Callers) -> None:
        hub.error = {"says so": HubUnavailable("Away: secret-token."), "breaks": OSError("secret-token")}.get(how)
        hub.answer = asyncio.Event() if how == "hangs" else None
        clock = asyncio.get_running_loop()
        began = clock.time()
        assert await callers.who("secret-token", AT) is IDENTITY_UNAVAILABLE
        assert clock.time() - began == pytest.approx(7.0 if hub.answer else 0.0, abs=0.1)
        for number in range(30):
            assert await callers.who(f"t{number}", AT) is IDENTITY_UNAVAILABLE, "what was not looked up is no guess"

    with caplog.at_level(logging.INFO):
        with_hub(body, timeout=7.0)
    assert "secret-token" not in caplog.text


def test_after_twenty_wrong_ones_an_address_waits_and_no_other_nor_who_was_met() -> None:
    async def body(hub: FakeIdentity, callers: Callers) -> None:
        hub.elsewhere["mine"] = ANN
        for number in range(19):
            assert await callers.who(f"wrong-{number}", AT) is UNKNOWN_TOKEN
        assert callers.too_many(AT, "a-code") is None
        callers.wrong(AT, "a-code")  # of a sign-in: it counts with the tokens
        asked = len(hub.asked)
        refused = await callers.who("mine", AT)
        assert isinstance(refused, Refusal)
        assert (refused.status, refused.code, refused.retry_after) == (429, "too_many_attempts", pytest.approx(2.0))
        assert callers.too_many(AT, "another-code") == refused
        assert len(hub.asked) == asked
        assert await callers.who("mine", ELSEWHERE) is ANN
        assert await callers.who("mine", AT, vetted=True) is ANN
        assert await callers.who("mine", AT) is ANN, "by now it was met"
        await LoopClock().sleep(2.5)
        assert await callers.who("wrong-next", AT) is UNKNOWN_TOKEN, "its time is the clock's"

    with_hub(body)


def test_what_was_good_before_counts_as_no_guess() -> None:
    async def body(hub: FakeIdentity, callers: Callers) -> None:
        hub.lately |= {f"met-{number}" for number in range(30)}
        for number in range(30):
            assert await callers.who(f"met-{number}", AT) is UNKNOWN_TOKEN
            assert await callers.who(f"vetted-{number}", AT, vetted=True) is UNKNOWN_TOKEN
        assert callers.too_many(AT, "x") is None

    with_hub(body)
