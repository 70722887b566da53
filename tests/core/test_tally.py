"""What is counted is told once, taken once, and never lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.tally import Tally


@given(st.lists(st.sampled_from(["call", "refused", "take", "fail"]), max_size=40))
def test_what_is_taken_and_put_back_adds_up(steps: list[str]) -> None:
    """Whoever is told takes; what cannot be stored is put back. In the end everything was stored once, and while there
    was something to take, somebody had been told."""
    told: list[None] = []
    tally = Tally(lambda: told.append(None))
    stored, came = [0, 0], [0, 0]
    for step in steps:
        if step == "call":
            tally.let_in()
            came[0] += 1
        elif step == "refused":
            tally.refuse()
            came[1] += 1
        else:
            taken = tally.take()
            assert (taken == (0, 0)) == (not told)
            told.clear()
            if step == "fail":
                tally.put_back(*taken)
            else:
                stored[0] += taken[0]
                stored[1] += taken[1]
        assert len(told) == (tally.calls + tally.refused > 0)
    last = tally.take()
    assert [stored[0] + last[0], stored[1] + last[1]] == came
