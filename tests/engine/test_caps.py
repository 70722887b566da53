"""What is left to people with whom a service is shared: how many are remembered."""

from __future__ import annotations

import asyncio

from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.sharing import Person
from jupyter_model_service.engine.caps import MOST
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
