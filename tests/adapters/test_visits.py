"""Visits in sealed cookies."""

from __future__ import annotations

import time

import pytest

from jupyter_model_service.adapters import visits as module
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.ports import Visit
from jupyter_model_service.testing import ManualClock


def test_a_visit_is_what_was_sealed_until_it_ends_and_over_a_restart() -> None:
    key, clock = new_key(), ManualClock()
    sealed = SealedVisits(key, clock).seal("s1", "token", clock.now() + 10.0)
    visits = SealedVisits(key, clock)
    assert visits.known(sealed) is None
    assert visits.resolve(sealed) == visits.known(sealed) == Visit("s1", "token")
    assert "token" not in sealed
    assert "token" not in repr(visits.known(sealed))
    clock.advance(10.0)
    assert visits.resolve(sealed) is None
    assert visits.known(sealed) is None


def test_a_bounded_number_is_remembered_and_the_others_are_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And they are shown nowhere."""
    monkeypatch.setattr(module, "_MOST", 3)
    clock = ManualClock()
    visits = SealedVisits(new_key(), clock)
    sealed = [visits.seal("s1", f"token{number}", clock.now() + 10.0) for number in range(5)]
    for each in sealed:
        visits.resolve(each)
    assert [visits.known(each) is None for each in sealed] == [True, True, False, False, False]
    assert visits.resolve(sealed[0]) == Visit("s1", "token0")
    shown = repr(vars(visits)) + str(vars(visits))
    assert not [each for each in sealed if each in shown]
    assert "token" not in shown


def test_nothing_else_is_a_visit() -> None:
    """Not what the same key seals for another purpose, nor another gateway's, nor a changed one."""
    key, clock = new_key(), ManualClock()
    plain = {"s": "s1", "t": "token", "e": time.time() + 1e6}
    good = SealedVisits(key, clock).seal("s1", "token", clock.now() + 10.0)
    for cookie in (
        Sealer(key).seal(plain),
        SealedVisits(new_key(), clock).seal("s1", "t", 1e12),
        good[:-5],
        "",
        "x" * 9000,
        "é",
    ):
        assert SealedVisits(key, clock).resolve(cookie) is None
