"""How long tokens live that take each other's place; what they may be called is in ``contract/test_bounds.py``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.bounds import LONGEST_TOKEN
from jupyter_model_service.core.token_checks import end_beside, life_like

seconds = st.floats(0.0, 1e9)


@given(seconds, seconds, st.none() | seconds)
def test_one_that_is_rotated_ends_when_its_time_is_over_or_that_beside_the_other(
    made_at: float, overlap: float, expires_at: float | None
) -> None:
    ends = end_beside(made_at, overlap, expires_at)
    assert ends in (made_at + overlap, expires_at)
    assert ends <= made_at + overlap
    assert expires_at is None or ends <= expires_at


@pytest.mark.parametrize(
    ("made_at", "overlap", "expires_at", "ends"),
    [(100.0, 50.0, None, 150.0), (100.0, 50.0, 120.0, 120.0), (100.0, 0.0, 99.0, 99.0), (100.0, 0.0, 0.0, 0.0)],
    ids=["for ever", "sooner", "expired", "at the beginning of time"],
)
def test_it_never_lives_longer_by_that(made_at: float, overlap: float, expires_at: float | None, ends: float) -> None:
    assert end_beside(made_at, overlap, expires_at) == ends


@pytest.mark.parametrize(
    ("lives", "longest", "life"),
    [
        ([10.0], None, 10.0),
        ([10.0, 3.0], None, 10.0),
        ([10.0, None], None, None),
        ([10.0, None], 5.0, 5.0),
        ([10.0], 50.0, 10.0),
        ([1e12], None, float(LONGEST_TOKEN)),
    ],
)
def test_one_more_of_a_family_lives_as_long_as_the_longest_of_it_was_to_and_no_longer_than_one_may(
    lives: list[float | None], longest: float | None, life: float | None
) -> None:
    assert life_like(lives, longest) == life
