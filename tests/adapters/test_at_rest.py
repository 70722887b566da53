"""What is sealed in the database: it comes out as it went in, where it went in, and nothing else comes out."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.adapters.at_rest import AtRest, own_at_rest
from jupyter_model_service.adapters.key_file import SealError, new_key
from jupyter_model_service.adapters.sealing import Sealer

KEY, FILE = new_key(), Path("the.key")
text = st.text(max_size=200)


@given(plain=text, about=text)
def test_what_is_sealed_is_opened(plain: str, about: str) -> None:
    sealed = AtRest(KEY, FILE).seal(plain, about)
    assert sealed.isascii()
    assert AtRest(KEY, FILE).open(sealed, about) == plain


def test_nothing_of_it_can_be_read_and_it_is_another_text_each_time() -> None:
    """Not what it says, nor that two say the same: not in one place either."""
    at_rest = AtRest(KEY, FILE)
    sealed = {at_rest.seal("hush" * 40, "there") for _ in range(50)}
    assert len(sealed) == 50
    plain = [base64.urlsafe_b64decode(each)[16:] for each in sealed]  # Fernet begins with the time
    assert not [each for each in plain if b"hush" in each]
    blocks = [each[at : at + 16] for each in plain for at in range(0, len(each) - 15, 16)]
    assert len(blocks) == len(set(blocks)) >= 50 * 10


def test_a_changed_character_opens_nothing() -> None:
    """At every place but the last four, of which some bits may be padding."""
    at_rest = AtRest(KEY, FILE)
    sealed = at_rest.seal("a value", "there")
    for place, was in enumerate(sealed[:-4]):
        with pytest.raises(SealError):
            at_rest.open(sealed[:place] + ("A" if was != "A" else "B") + sealed[place + 1 :], "there")


@pytest.mark.parametrize("sealed", ["", "x", "é", "\ud800", "AAAA", "A" * 64, "A" * 200, "plain text", "5e" * 32])
def test_anything_else_opens_nothing(sealed: str) -> None:
    with pytest.raises(SealError):
        AtRest(KEY, FILE).open(sealed, "there")


def test_it_is_opened_with_its_key_and_in_its_place_alone() -> None:
    sealed = AtRest(KEY, FILE).seal("a value", "environment of s1 1")
    with pytest.raises(SealError):
        AtRest(new_key(), FILE).open(sealed, "environment of s1 1")
    with pytest.raises(SealError):
        AtRest(KEY, FILE).open(sealed, "environment of s1 11")
    assert AtRest(KEY, FILE).open(sealed, "environment of s1 1") == "a value"


def test_what_the_hubs_key_seals_for_something_else_is_nothing_of_the_database() -> None:
    with pytest.raises(SealError):
        AtRest(KEY, FILE).open(Sealer(KEY).seal({"about": "there", "plain": "x"}), "there")
    with pytest.raises(SealError):
        Sealer(KEY).open(AtRest(KEY, FILE).seal("x", "there"))


def test_a_key_of_ones_own_is_made_once_for_its_owner_alone_and_what_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.key"
    sealed = own_at_rest(path).seal("a value", "there")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert own_at_rest(path).open(sealed, "there") == "a value"
    path.chmod(0o640)
    with pytest.raises(SealError, match="chmod 600"):
        own_at_rest(path)
