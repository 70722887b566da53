"""Small files of the gateway's: nobody else reads them, and they are whole or not there."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from jupyter_model_service.adapters.private_file import read_book, write_book, write_private


def test_a_book_comes_back_as_it_was_written_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    former = os.umask(0)
    try:
        write_book(path, {"b": {"name": "bö"}, "a": 1})
        write_book(path, {"a": 2})
    finally:
        os.umask(former)
    assert read_book(path, "it is noted anew") == {"a": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["book.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """The name is a folder's, so the last step cannot be done."""
    path = tmp_path / "book.json"
    path.mkdir()
    with pytest.raises(OSError, match=r"book\.json"):
        write_private(path, "x")
    assert os.listdir(tmp_path) == ["book.json"]


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    """What a killed process has left there is replaced, and what it points to stays."""
    (tmp_path / "other").write_text("mine")
    (tmp_path / ".book.json.part").symlink_to(tmp_path / "other")
    write_private(tmp_path / "book.json", "new")
    assert (tmp_path / "other").read_text() == "mine"
    assert (tmp_path / "book.json").read_text() == "new"


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"'])
def test_a_book_that_is_none_is_empty_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / "book.json"
    with caplog.at_level(logging.WARNING):
        assert read_book(path, "it is noted anew") == {}
        assert caplog.text == "", "there is none yet"
        path.write_text(content)
        assert read_book(path, "it is noted anew") == {}
    assert f"{path} cannot be read" in caplog.text
    assert "it is noted anew" in caplog.text
