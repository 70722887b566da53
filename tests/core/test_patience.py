"""What a caller says about its own waiting."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.message import BadMessage
from jupyter_model_service.core.patience import heartbeat_seconds, preferred_wait


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        ([b"wait=10"], 10),
        ([b"wait=0"], 0),
        ([b"respond-async, WAIT = 10"], 10),
        ([b"respond-async", b"wait=10"], 10),
        ([b'wait="10"; foo="some, thing"'], 10),
        ([b"wait=10, wait=20"], 10),
        ([b"wait=soon, wait=20"], None),
        ([b'x="a, wait=5", wait=7'], 7),
        ([b"wait"], None),
        ([b"wait=-1"], None),
        ([b"wait=1.5"], None),
        ([b"wait=12345678901"], None),
        ([b"waiting=5"], None),
        ([b'x="a\\", wait=5", wait=7'], 7),
        ([b'x="open, wait=5'], None),
        ([b'"\\' * 30_000 + b",wait=5"], None),
        ([b'",' * 20_000], None),
    ],
)
def test_the_first_wait_counts_and_nonsense_is_no_wish(values: list[bytes], seconds: int | None) -> None:
    """RFC 7240: names in any case, parameters and other preferences around, quotes that hide commas."""
    assert preferred_wait(values) == seconds


def test_a_heartbeat_is_of_whole_seconds_up_to_a_minute() -> None:
    assert [heartbeat_seconds((value,)) for value in (b"1", b"07", b"60")] == [1, 7, 60]


@pytest.mark.parametrize(
    "values", [(b"0",), (b"61",), (b"",), (b"1.5",), (b"-1",), (b"5, 5",), (b"5", b"5"), (b"\xb2",)]
)
def test_another_heartbeat_is_refused(values: tuple[bytes, ...]) -> None:
    with pytest.raises(BadMessage, match="from 1 to 60") as caught:
        heartbeat_seconds(values)
    assert caught.value.refusal.status == 400
