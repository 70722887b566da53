"""Sealed options: what comes out is what went in, and nothing else comes out."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.adapters.key_file import SealError, make_key, new_key, read_key
from jupyter_model_service.adapters.sealing import Sealer

plain = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
sealer = Sealer(new_key())


@given(plain)
def test_what_is_sealed_is_opened_and_cannot_be_read(value: dict[str, object]) -> None:
    text = sealer.seal(value)
    assert sealer.open(text) == value
    assert text.isascii()


def test_nothing_of_it_can_be_read() -> None:
    text = sealer.seal({"secret": "hushhushhush"})
    assert b"hush" not in base64.urlsafe_b64decode(text)


def test_a_changed_character_opens_nothing() -> None:
    """At every place but the last four, of which some bits may be padding."""
    text = sealer.seal({"a": 1})
    for place, was in enumerate(text[:-4]):
        with pytest.raises(SealError):
            sealer.open(text[:place] + ("A" if was != "A" else "B") + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "x", "é", "\ud800", "gAAAAA", pytest.param(new_key(), id="another key")])
def test_anything_else_opens_nothing(text: str) -> None:
    with pytest.raises(SealError):
        sealer.open(text)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealError):
        Sealer(new_key()).open(sealer.seal({}))


def test_only_objects_are_opened() -> None:
    """What was sealed by the same key and is no object is no answer either."""
    text = sealer._fernet.encrypt(b"[1]").decode()
    with pytest.raises(SealError):
        sealer.open(text)
    with pytest.raises(SealError):
        sealer.open(sealer._fernet.encrypt(b"[" * 100_000).decode())


@pytest.mark.parametrize("key", ["", "short", "é" * 44, "A" * 43])
def test_a_key_that_is_none_is_one_sentence(key: str) -> None:
    with pytest.raises(SealError, match="key"):
        Sealer(key)


# --- the key's file ----------------------------------------------------------------------------------


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_key(path) == read_key(path) == key
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["key"]


def test_processes_that_begin_together_get_the_same_key(tmp_path: Path) -> None:
    code = "import sys, pathlib; from jupyter_model_service.adapters.key_file import make_key; print(make_key(pathlib.Path(sys.argv[1])))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "key")], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    keys = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(keys) == 1
    assert all(process.returncode == 0 for process in started)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    make_key(path)
    path.chmod(mode)
    with pytest.raises(SealError, match="chmod 600"):
        read_key(path)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file away")
def test_a_key_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(SealError, match="belongs"):
        read_key(path)


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"\xff\xfe", b"A" * 5000])
def test_a_file_without_a_key_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SealError, match="key file"):
        read_key(path)


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    """A FIFO is not waited for, a folder is no file, a folder that is not there is said."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "none"):
        with pytest.raises(SealError, match="key file"):
            read_key(path)
    with pytest.raises(SealError, match="cannot be made"):
        make_key(tmp_path / "none" / "key")
