"""What is left to people with whom a service is shared: how many are remembered."""

from __future__ import annotations

import asyncio

from jupyter_model_service.core.limits import Allowance, Limits
from jupyter_model_service.core.message import Refusal
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.engine.caps import MOST, Caps
from jupyter_model_service.engine.uses import Uses
from jupyter_model_service.testing.clock import ManualClock
from jupyter_model_service.testing.store import MemoryStore

LIMITS = Limits(in_flight=1)


def test_whoever_comes_beside_ten_thousand_who_are_calling_is_let_in_and_remembered() -> None:
    """None of them can be forgotten, nor can she."""

    async def body() -> None:
        caps = Uses(MemoryStore(), ManualClock())
        for number in range(MOST):
            person = Person(f"p{number}", f"p{number}")
            assert caps.allowance("s", person, LIMITS, "by alice").admit(0, 0.0) is None
        last = Person("last", "last")
        assert caps.allowance("s", last, LIMITS, "by alice").admit(0, 0.0) is None
        assert caps.allowance("s", last, LIMITS, "by alice").admit(0, 0.0) is not None, "one at once is hers"

    asyncio.run(body())


def test_who_called_longest_ago_is_forgotten_for_whoever_comes_beside_ten_thousand() -> None:
    """One for one, so that there are never more; and nobody else is."""
    caps = Caps(ManualClock(), lambda key: (0, 0))

    def of(number: int) -> Allowance:
        return caps.allowance(("s", f"p{number}", "then"), LIMITS, "by alice")

    kept = [of(number) for number in range(MOST)]
    assert of(0) is kept[0], "she calls again"
    of(MOST)
    assert of(0) is kept[0]
    assert of(2) is kept[2]
    assert of(1) is not kept[1]


def test_a_lowered_limit_does_not_hold_a_former_burst_against_anybody() -> None:
    """After 100 at once, whoever may now make one per second waits for a second, not for 100."""
    clock = ManualClock()
    caps, key = Caps(clock, lambda key: (0, 0)), ("s", "bob", "then")

    def admit(limits: Limits) -> Refusal | None:
        now = int(clock.monotonic() * 1_000_000_000)
        return caps.allowance(key, limits, "by alice").admit(now, clock.now())

    assert [admit(Limits(calls_per_second=100)) for _ in range(100)] == [None] * 100
    refused = admit(Limits(calls_per_second=1))
    assert refused is not None
    assert refused.retry_after == 1
    clock.advance(1.0)
    assert admit(Limits(calls_per_second=1)) is None
