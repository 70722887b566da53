"""What is read out of two samples of a runner."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.reports import LeaseSample, cpu_percent


@pytest.mark.parametrize(
    ("earlier", "later", "percent"),
    [
        ((10.0, 5.0), (11.0, 7.0), 50.0),
        ((10.0, 5.0), (18.0, 7.0), 400.0),  # four cores
        ((10.0, 5.0), (10.0, 7.0), 0.0),
        ((10.0, 5.0), (10.0, 5.0), None),  # no new look was taken: that is not an idle replica
        ((None, None), (11.0, 7.0), None),  # a runner of an older version
        ((10.0, 5.0), (None, None), None),
        ((10.0, 5.0), (0.0, 9.0), None),  # another runner: its account begins anew
        ((10.0, 5.0), (11.0, 1.0), None),
    ],
)
def test_percent_of_a_core_between_two_samples(
    earlier: tuple[float | None, float | None], later: tuple[float | None, float | None], percent: float | None
) -> None:
    assert cpu_percent(LeaseSample(None, 7, *earlier), LeaseSample(None, 7, *later)) == percent
