"""The fingerprint of a folder is written twice, in a file that must stand alone and for the user's own server: equal."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_model_service.fingerprint import EXCLUDED, fingerprint

from .test_copier import copied


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "koala"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "app.py").write_text("print(1)")
    (folder / "run.sh").write_text("true")
    (folder / "run.sh").chmod(0o755)
    (folder / "sub" / "same").hardlink_to(folder / "app.py")
    (folder / "sub" / "up").symlink_to("../app.py")
    (folder / "sub" / "out").symlink_to("/etc/passwd")
    (folder / "sub" / "whole").symlink_to(folder / "sub")
    (folder / "sub" / ".git" / "HEAD").write_text("x")
    (folder / ".ipynb_checkpoints" / "y").write_text("y")
    (folder / os.fsdecode(b"\xff\xfe odd\nname")).write_text("z")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    with open(folder / "hole", "wb") as file:
        file.truncate(1 << 20)
    return folder


def of_the_copier(folder: Path) -> str:
    target = folder.parent.parent / f"target-{time.monotonic_ns()}"
    target.mkdir()
    done = copied(folder.parent, target, exclude=list(EXCLUDED))
    assert done["t"] == "done", done
    return str(done["fingerprint"])


def test_both_find_the_same(folder: Path) -> None:
    before = fingerprint(str(folder))
    assert before == of_the_copier(folder)
    assert fingerprint(str(folder)) == before, "looking changes nothing"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "app.py").write_text("print(2)"),
        lambda folder: (folder / "new").write_text(""),
        lambda folder: (folder / "run.sh").unlink(),
        lambda folder: (folder / "run.sh").chmod(0o644),
        lambda folder: (folder / "sub" / "same").rename(folder / "sub" / "other"),
        lambda folder: os.utime(folder / "hole", ns=(0, 1)),
        lambda folder: ((folder / "sub" / "up").unlink(), (folder / "sub" / "up").symlink_to("../run.sh")),
    ],
)
def test_every_change_shows_in_both(folder: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(str(folder))
    change(folder)
    after = fingerprint(str(folder))
    assert after != before
    assert after == of_the_copier(folder)


def test_what_no_copy_has_does_not_count(folder: Path) -> None:
    before = fingerprint(str(folder))
    (folder / "sub" / ".git" / "HEAD").write_text("another commit")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_text("x")
    (folder / "another empty one").mkdir()
    (folder / "pipe").unlink()
    assert fingerprint(str(folder)) == before


def test_a_link_to_the_folder_is_as_good(folder: Path) -> None:
    (folder.parent / "alias").symlink_to(folder)
    assert fingerprint(str(folder.parent / "alias")) == fingerprint(str(folder))


def test_what_is_mounted_in_the_folder_does_not_count(folder: Path, tmp_path: Path) -> None:
    """The copy has an empty folder there, also where the device's number is the same."""
    before = fingerprint(str(folder))
    (folder / "data set").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weights").write_text("x")
    mounted = subprocess.run(
        ["mount", "--bind", tmp_path / "elsewhere", folder / "data set"], capture_output=True, timeout=30
    )
    if mounted.returncode:
        pytest.skip("needs to mount a folder")
    try:
        assert (folder / "data set" / "weights").exists()
        assert fingerprint(str(folder)) == before
    finally:
        subprocess.run(["umount", folder / "data set"], check=True, timeout=30)


def test_a_folder_that_cannot_be_looked_at_has_none(folder: Path) -> None:
    assert fingerprint(str(folder / "none")) is None
    assert fingerprint(str(folder / "app.py")) is None


def test_a_look_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / str(number)).touch()
    assert fingerprint(str(tmp_path), seconds=0.0001) is None
    assert fingerprint(str(tmp_path), seconds=60.0) is not None
