"""``%XX`` in addresses: read as Python's own way does it, whatever stands beside them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_model_service.core.escapes import read, read_leniently

PIECES = st.lists(st.one_of(st.binary(max_size=3), st.sampled_from([b"%41", b"%e9", b"%5C", b"\\", b"\\x41", b"%", b"%4", b"\\%5c", b"\\N{DOT}", b"\n"])))  # fmt: skip


@given(PIECES.map(b"".join))
@example(b"\\x41\\%41")
def test_it_is_read_once_and_nothing_else_is(sent: bytes) -> None:
    if re.search(rb"%(?![0-9a-fA-F]{2})", sent):
        with pytest.raises(UnicodeDecodeError):
            read(sent)
    else:
        assert read(sent) == unquote_to_bytes(sent)
    assert read_leniently(sent) == unquote_to_bytes(sent)


def test_what_is_long_and_no_address_stays_as_it_is() -> None:
    """Python's own way takes 1 ms and more for 16 KiB of it."""
    assert read_leniently(b"%41%" * 2000) == b"%41%" * 2000
    assert read_leniently(b"%41" * 5000) == b"A" * 5000
