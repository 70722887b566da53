"""How calls and connections end before their time."""

from __future__ import annotations

import struct
from itertools import product

import pytest

from jupyter_model_service.core.ending import (
    Fin,
    ended_by,
    fin_means,
    given_up,
    has_left,
    looks_whole,
    lost_by,
    not_taken,
)
from jupyter_model_service.core.message import AnswerHead
from jupyter_model_service.core.patience import Silence, silence
from jupyter_model_service.core.retrying import Failure, only_once

BOOLS = (False, True)
CLOSED, FIN_CAME, ESTABLISHED = 7, 8, 1


def test_only_who_asked_once_and_said_all_still_listens() -> None:
    """Of the eight cases of an open call, one."""
    for keep_alive, said_all, bridged in product(BOOLS, repeat=3):
        fin = fin_means(open_call=True, bridged=bridged, keep_alive=keep_alive, said_all=said_all)
        if bridged:
            assert fin is Fin.HUNG_UP
        elif said_all and not keep_alive:
            assert fin is Fin.LISTENS
        else:
            assert fin is Fin.LEFT


def test_a_fin_between_calls_ends_nothing() -> None:
    for bridged in BOOLS:
        fin = fin_means(open_call=False, bridged=bridged, keep_alive=True, said_all=False)
        assert fin is Fin.OVER


@pytest.mark.parametrize(
    ("state", "bridged", "keep_alive", "left"),
    [
        (CLOSED, False, False, True),
        (FIN_CAME, False, False, False),
        (FIN_CAME, False, True, True),
        (FIN_CAME, True, False, True),
        (ESTABLISHED, True, True, False),
    ],
)
def test_what_the_kernel_knows_of_a_caller(state: int, bridged: bool, keep_alive: bool, left: bool) -> None:
    """The same rule as for a FIN that was read; a reset is never taken for listening."""
    assert has_left(state, bridged=bridged, keep_alive=keep_alive) is left


def test_an_answer_that_ends_with_its_connection_is_reset_when_it_breaks() -> None:
    """A length that is not reached, or a last chunk that is missing, tells of itself."""
    by_length, by_close = AnswerHead(200, b"OK", [], length=5), AnswerHead(200, b"OK", [], until_close=True)
    assert looks_whole(by_close, chunked=False)
    assert looks_whole(None, chunked=False)
    assert not looks_whole(by_close, chunked=True)
    assert not looks_whole(by_length, chunked=False)


@pytest.mark.parametrize(
    ("spoke", "reused", "unused", "waited", "failure"),
    [
        (True, True, True, 0.0, Failure.BROKEN),
        (True, False, None, 0.0, Failure.BROKEN),
        (False, True, True, 99.0, Failure.STALE),
        (False, False, True, 99.0, Failure.CONNECT),  # accepted and closed before anything came there
        (False, True, False, 0.0, Failure.DIED),
        (False, False, False, 0.0, Failure.DIED),
        (False, True, None, 0.1, Failure.SUDDEN),
        (False, True, None, 0.11, Failure.DIED),
        (False, False, None, 0.0, Failure.DIED),
    ],
)
def test_what_the_end_of_a_connection_was(
    spoke: bool, reused: bool, unused: bool | None, waited: float, failure: Failure
) -> None:
    """What the kernel knows decides; where it knows nothing, how soon a kept-alive connection ended."""
    assert ended_by(spoke=spoke, reused=reused, unused=unused, waited=waited) is failure


def test_a_short_answer_of_the_kernel_says_nothing() -> None:
    """Before Linux 4.19 it does not count the bytes that were sent."""
    assert not_taken(bytes(215)) is None
    assert not_taken(bytes(120) + struct.pack("=Q", 101) + bytes(72) + struct.pack("=QQ", 260, 10)) == 150


def test_a_lost_replica_may_have_seen_the_call_once_it_was_connected() -> None:
    assert lost_by(connected=False, spoke=False) is Failure.CONNECT
    assert lost_by(connected=True, spoke=False) is Failure.DIED
    assert lost_by(connected=True, spoke=True) is Failure.BROKEN
    assert lost_by(connected=False, spoke=False, drained=True) is Failure.CONNECT
    assert lost_by(connected=True, spoke=False, drained=True) is Failure.DRAINED
    assert lost_by(connected=True, spoke=True, drained=True) is Failure.DRAINED


@pytest.mark.parametrize(
    ("failure", "of_web", "late", "replayable", "code", "words"),
    [
        (Failure.CONNECT, True, True, True, "web_unavailable", "control API"),
        (Failure.CONNECT, False, True, True, "connect_timeout", "in time"),
        (Failure.CONNECT, False, False, True, "connect_failed", "No replica"),
        (Failure.DIED, False, False, True, "replica_died", "died under this call."),
        (Failure.SUDDEN, False, False, True, "replica_died", "died under this call."),
        (Failure.LACK, False, False, True, "overloaded", "connection left"),
        (Failure.LACK, True, False, True, "overloaded", "connection left"),
        (Failure.BROKEN, False, False, True, "replica_died", "the whole answer"),
        (Failure.DRAINED, False, False, True, "drained", "serving.drain_timeout"),
        (Failure.BROKEN, False, False, False, "replica_died", "replay_limit"),
    ],
)
def test_what_a_caller_is_told(
    failure: Failure, of_web: bool, late: bool, replayable: bool, code: str, words: str
) -> None:
    refusal = given_up(failure, of_web=of_web, late=late, replayable=replayable)
    assert refusal.code == code
    assert words in refusal.message


@pytest.mark.parametrize("failure", [Failure.DIED, Failure.BROKEN])
def test_a_call_that_its_service_lets_not_be_repeated_is_told_so(failure: Failure) -> None:
    assert only_once(b"POST", any_method=False)
    assert not only_once(b"PUT", any_method=False)
    assert not only_once(b"POST", any_method=True)
    told = given_up(failure, of_web=False, late=False, replayable=True, once=True)
    assert told.message.endswith("lets no call of its method be repeated (serving.retry).")
    assert "serving.retry" not in given_up(failure, of_web=False, late=False, replayable=False, once=True).message


@pytest.mark.parametrize(
    ("bridged", "answered", "stuck", "of_body", "which"),
    [
        (True, True, True, True, Silence.BRIDGE),
        (False, True, True, True, Silence.READER),
        (False, True, False, True, Silence.STREAM),
        (False, False, True, True, Silence.BODY),
        (False, False, False, False, Silence.FIRST_BYTE),
    ],
)
def test_which_limit_counts(bridged: bool, answered: bool, stuck: bool, of_body: bool, which: Silence) -> None:
    """The model's time for its first byte does not run while the caller's own body is awaited."""
    assert silence(bridged=bridged, answered=answered, stuck=stuck, of_body=of_body) is which
